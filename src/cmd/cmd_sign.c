/* mailseal sign: a message on standard input goes out with a signature. */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "keys/keyring.h"
#include "mail/domain.h"

#define MESSAGE_MAX (256 * 1024 * 1024)

struct arguments {
	const char *domain, *selector, *key;
};

static const struct option long_options[] = {
	{"domain", required_argument, NULL, 'd'},
	{"selector", required_argument, NULL, 's'},
	{"key", required_argument, NULL, 'k'},
	{0},
};

static int parse(int argc, char **argv, struct arguments *o)
{
	int c;

	*o = (struct arguments){0};
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 'd')
			o->domain = optarg;
		else if (c == 's')
			o->selector = optarg;
		else if (c == 'k')
			o->key = optarg;
		else
			return cmd_usage("sign", "bad option");
	}
	if (o->domain == NULL || o->selector == NULL || o->key == NULL)
		return cmd_usage("sign",
				 "--domain, --selector and --key are needed");
	return optind == argc ? 0 : cmd_usage("sign", "too many arguments");
}

/* Body bytes as they travel: each line end as CRLF. */
static void feed_body(struct dkim_signer *s, struct slice body)
{
	while (body.n > 0) {
		ptrdiff_t at = slice_chr(body, '\n');
		size_t n = at < 0 ? body.n : (size_t)at;
		struct slice line = slice_first(body, n);

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		dkim_signer_body(s, line);
		if (at < 0)
			break;
		dkim_signer_body(s, SLICE("\r\n"));
		body = slice_from(body, n + 1);
	}
}

static int sign(struct arena *a, const struct dkim_signing_key *key)
{
	const struct field_limits limits = {10000, 1 << 20, 4 << 20};
	struct field_list fields = {0};
	struct slice message, body, value;
	struct dkim_signer *s;
	const char *reason = "cannot be signed";
	bool ok = false;

	if (!cmd_read_stdin(a, MESSAGE_MAX, &message))
		return EX_NOINPUT;
	field_list_parse(a, &fields, &limits, message, &body);
	if (fields.trouble != FIELD_OK) {
		fprintf(stderr, "mailseal sign: %s\n",
			field_trouble_text(fields.trouble));
		return EX_DATAERR;
	}
	s = dkim_signer_new(a, &fields, key, 1, clock_unix());
	if (s != NULL) {
		feed_body(s, body);
		ok = dkim_signer_end(s, &value, &reason);
		dkim_signer_free(s);
	}
	if (!ok) {
		fprintf(stderr, "mailseal sign: %s\n", reason);
		return EX_SOFTWARE;
	}
	printf("DKIM-Signature:%.*s\n", (int)value.n, value.p);
	fwrite(message.p, 1, message.n, stdout);
	return fflush(stdout) == 0 ? 0 : EX_IOERR;
}

int cmd_sign(int argc, char **argv)
{
	struct arguments o;
	struct arena *a;
	struct crypto_privkey *key = NULL;
	struct dkim_signing_key k = {0};
	const char *err = NULL;
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	a = arena_new();
	k.domain = domain_canon(a, slice_of(o.domain));
	k.selector = domain_canon(a, slice_of(o.selector));
	if (k.domain == NULL || k.selector == NULL) {
		status = cmd_usage("sign", "--domain or --selector is no name");
	} else if (key_file_load(a, o.key, &key, &err) != 0) {
		fprintf(stderr, "mailseal sign: %s\n", err);
		status = EX_CONFIG;
	} else {
		k.key = key;
		status = sign(a, &k);
	}
	crypto_privkey_free(key);
	arena_free(a);
	return status;
}
