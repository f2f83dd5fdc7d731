/* mailseal key new: writes a private key (0600) and prints its DNS record. */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "mail/base64.h"
#include "mail/domain.h"

#define RSA_BITS_DEFAULT 2048 /* RFC 8301 3.2: SHOULD at least 2048 */
#define TXT_STRING_MAX	 255  /* RFC 1035 3.3: bytes of a character-string */

struct arguments {
	const char *domain, *selector, *type, *out;
	uint64_t bits;
};

static const struct option long_options[] = {
	{"domain", required_argument, NULL, 'd'},
	{"selector", required_argument, NULL, 's'},
	{"type", required_argument, NULL, 't'},
	{"bits", required_argument, NULL, 'b'},
	{"out", required_argument, NULL, 'o'},
	{0},
};

static int parse(int argc, char **argv, struct arguments *o)
{
	int c;

	*o = (struct arguments){.type = "rsa", .bits = RSA_BITS_DEFAULT};
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 'd')
			o->domain = optarg;
		else if (c == 's')
			o->selector = optarg;
		else if (c == 't')
			o->type = optarg;
		else if (c == 'o')
			o->out = optarg;
		else if (c != 'b' ||
			 !slice_u64(slice_of(optarg), 4096, &o->bits) ||
			 o->bits < 1024)
			return cmd_usage("key", "bad option (--bits is 1024 to "
						"4096)");
	}
	if (o->domain == NULL || o->selector == NULL)
		return cmd_usage("key", "--domain and --selector are needed");
	if (strcmp(o->type, "rsa") != 0 && strcmp(o->type, "ed25519") != 0)
		return cmd_usage("key", "--type is rsa or ed25519");
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

static void print_record(const char *domain, const char *selector,
			 const char *type, struct slice p)
{
	struct arena *a = arena_new();
	struct slice txt = slice_of(
		arena_printf(a, "v=DKIM1; k=%s; p=%.*s", type, (int)p.n, p.p));

	printf("%s._domainkey.%s. IN TXT (", selector, domain);
	while (txt.n > 0) {
		struct slice part = slice_first(txt, TXT_STRING_MAX);
		printf(" \"%.*s\"", (int)part.n, part.p);
		txt = slice_from(txt, part.n);
	}
	printf(" )\n");
	arena_free(a);
}

static int make(struct arena *a, const struct arguments *o)
{
	bool rsa = strcmp(o->type, "rsa") == 0;
	const char *domain = domain_canon(a, slice_of(o->domain));
	const char *selector = domain_canon(a, slice_of(o->selector));
	const char *out = o->out;
	struct crypto_privkey *k;
	int status;

	if (domain == NULL || selector == NULL)
		return cmd_usage("key", "--domain or --selector is no domain");
	if (out == NULL)
		out = arena_printf(a, "%s.%s.pem", domain, selector);
	k = crypto_privkey_generate(rsa ? CRYPTO_RSA : CRYPTO_ED25519,
				    (unsigned)o->bits);
	if (k == NULL) {
		fputs("mailseal key: no key could be made\n", stderr);
		return EX_SOFTWARE;
	}
	status = write_key(out, crypto_privkey_pem(a, k));
	if (status == 0) {
		fprintf(stderr, "private key written to %s\n", out);
		print_record(domain, selector, o->type,
			     base64_encode(a, crypto_privkey_public(a, k)));
	}
	crypto_privkey_free(k);
	return status;
}

int cmd_key(int argc, char **argv)
{
	struct arguments o;
	struct arena *a;
	int status;

	if (argc < 2 || strcmp(argv[1], "new") != 0)
		return cmd_usage("key", "the word \"new\" is needed");
	status = parse(argc - 1, argv + 1, &o);
	if (status != 0)
		return status;
	a = arena_new();
	status = make(a, &o);
	arena_free(a);
	return status;
}
