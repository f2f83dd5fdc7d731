/* mailseal key: arguments, and new: writes a private key (0600) with its state
 * and prints its DNS record.  What comes later in its life: key_life.c. */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/key.h"
#include "mail/domain.h"

#define RSA_BITS_DEFAULT 2048 /* RFC 8301 3.2: SHOULD at least 2048 */

static const struct option long_options[] = {
	{"domain", required_argument, NULL, 'd'},
	{"selector", required_argument, NULL, 's'},
	{"type", required_argument, NULL, 't'},
	{"bits", required_argument, NULL, 'b'},
	{"out", required_argument, NULL, 'o'},
	{"format", required_argument, NULL, 'f'},
	{"revoked", no_argument, NULL, 'r'},
	{"force", no_argument, NULL, 'F'},
	{0},
};

static int take(struct key_arguments *o, int c, const char *value)
{
	switch (c) {
	case 'd':
		o->domain = value;
		return 0;
	case 's':
		o->selector = value;
		return 0;
	case 't':
		o->type = value;
		return 0;
	case 'o':
		o->out = value;
		return 0;
	case 'c':
		o->config = value;
		return 0;
	case 'f':
		o->format = value;
		return 0;
	case 'r':
		o->revoked = true;
		return 0;
	case 'F':
		o->force = true;
		return 0;
	case 'b':
		if (slice_u64(slice_of(value), 4096, &o->bits) &&
		    o->bits >= 1024)
			return 0;
		return cmd_usage("key", "--bits is 1024 to 4096");
	default:
		return cmd_usage("key", "bad option");
	}
}

/* --domain and --selector become canonical. */
static int take_names(struct arena *a, bool needed, struct key_arguments *o)
{
	if (needed && (o->domain == NULL || o->selector == NULL))
		return cmd_usage("key", "--domain and --selector are needed");
	if (o->domain != NULL) {
		o->domain = domain_canon(a, slice_of(o->domain));
		if (o->domain == NULL)
			return cmd_usage("key", "--domain is no domain");
	}
	if (o->selector != NULL) {
		o->selector = domain_canon(a, slice_of(o->selector));
		if (o->selector == NULL)
			return cmd_usage("key", "--selector is no domain");
	}
	return 0;
}

static int parse(struct arena *a, int argc, char **argv, bool one,
		 struct key_arguments *o)
{
	int c, status = 0;

	*o = (struct key_arguments){
		.type = "rsa",
		.bits = RSA_BITS_DEFAULT,
		.config = MAILSEAL_SYSCONFDIR "/mailseal.conf",
		.format = "zone",
	};
	while (status == 0 &&
	       (c = getopt_long(argc, argv, "c:", long_options, NULL)) != -1)
		status = take(o, c, optarg);
	if (status == 0)
		status = take_names(a, one, o);
	if (status != 0)
		return status;
	if (strcmp(o->type, "rsa") != 0 && strcmp(o->type, "ed25519") != 0)
		return cmd_usage("key", "--type is rsa or ed25519");
	if (strcmp(o->format, "zone") != 0 &&
	    strcmp(o->format, "nsupdate") != 0)
		return cmd_usage("key", "--format is zone or nsupdate");
	return optind == argc ? 0 : cmd_usage("key", "too many arguments");
}

/* Never over an existing file, never readable by others. */
static int write_key(const char *path, struct slice pem)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0) {
		fprintf(stderr, "mailseal key: %s: %s\n", path,
			errno == EEXIST ? "exists; choose another --out"
					: strerror(errno));
		return EX_CANTCREAT;
	}
	ok = write(fd, pem.p, pem.n) == (ssize_t)pem.n && fsync(fd) == 0;
	if (close(fd) != 0 || !ok) {
		fprintf(stderr, "mailseal key: %s: %s\n", path,
			strerror(errno));
		unlink(path);
		return EX_IOERR;
	}
	return 0;
}

/* Until it is activated it does not sign. */
static int write_state(struct arena *a, const char *path)
{
	const char *err = NULL;

	if (key_state_write(a, path, KEY_NEW, clock_unix(), &err))
		return 0;
	fprintf(stderr, "mailseal key: %s\n", err);
	unlink(path);
	return EX_CANTCREAT;
}

static int make(struct arena *a, const struct key_arguments *o)
{
	bool rsa = strcmp(o->type, "rsa") == 0;
	const char *domain = o->domain, *selector = o->selector;
	const char *out = o->out;
	struct crypto_privkey *k;
	int status;

	if (out == NULL)
		out = arena_printf(a, "%s.%s.pem", domain, selector);
	k = crypto_privkey_generate(rsa ? CRYPTO_RSA : CRYPTO_ED25519,
				    (unsigned)o->bits);
	if (k == NULL) {
		fputs("mailseal key: no key could be made\n", stderr);
		return EX_SOFTWARE;
	}
	status = write_key(out, crypto_privkey_pem(a, k));
	if (status == 0)
		status = write_state(a, out);
	if (status == 0) {
		fprintf(stderr, "private key written to %s\n", out);
		key_record_print(dkim_published_name(a, domain, selector),
				 key_record_text(a, k), false);
	}
	crypto_privkey_free(k);
	return status;
}

static const struct {
	const char *name;
	int (*run)(struct arena *a, const struct key_arguments *o);
	bool one; /* --domain and --selector must name it */
} actions[] = {
	{"new", make, true},	       {"list", key_list, false},
	{"check", key_check, false},   {"publish", key_publish, true},
	{"activate", key_activate, true}, {"retire", key_retire, true},
};

int cmd_key(int argc, char **argv)
{
	struct key_arguments o;
	struct arena *a;
	int status;

	for (size_t i = 0; argc >= 2 && i < sizeof(actions) / sizeof(*actions);
	     i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		a = arena_new();
		status = parse(a, argc - 1, argv + 1, actions[i].one, &o);
		if (status == 0)
			status = actions[i].run(a, &o);
		arena_free(a);
		return status;
	}
	return cmd_usage("key", "new, list, check, publish, activate or retire "
				"is needed");
}
