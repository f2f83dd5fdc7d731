/*
 * libopendkim as a signer and verifier of its own, for tests/dkim: linked
 * with nothing of ours, so that what it says is a second opinion.
 *
 *     opendkim_verify KEYS
 *
 * KEYS has a line "NAME RECORD" for each key in DNS.  On standard input come
 * commands, each one line with the number of bytes of the message (CRLF line
 * ends) that follows it:
 *
 *     verify BYTES
 *     sign rsa|ed25519 simple|relaxed simple|relaxed DOMAIN SELECTOR PEM BYTES
 *
 * The answer to "verify" is one line with "pass", or the number and text of
 * the error, for each signature, topmost first, with "; " between.  That to
 * "sign" is the number of bytes of the field that follows, or "error TEXT".
 *
 * Not robust: it reads what a test wrote.  The guards against libopendkim's
 * own errors are those of src/dkim/hash.c.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <opendkim/dkim.h>

#define PAD	    64
#define KEYS_MAX    32
#define PEM_MAX	    16384
#define MESSAGE_MAX ((size_t)64 << 20)

static struct {
	char name[256], record[1024];
} keys[KEYS_MAX];
static size_t nkeys;

static void die(const char *what)
{
	fprintf(stderr, "opendkim_verify: %s\n", what);
	exit(1);
}

static void *padded_alloc(void *closure, size_t n)
{
	(void)closure;
	return calloc(1, n + PAD);
}

static void padded_free(void *closure, void *p)
{
	(void)closure;
	free(p);
}

static void read_keys(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[2048];

	if (f == NULL)
		die("no file of keys");
	while (fgets(line, sizeof(line), f) != NULL && nkeys < KEYS_MAX)
		if (sscanf(line, "%255s %1023[^\n]", keys[nkeys].name,
			   keys[nkeys].record) == 2)
			nkeys++;
	fclose(f);
}

static DKIM_CBSTAT look_up(DKIM *dkim, DKIM_SIGINFO *sig, unsigned char *buf,
			   size_t n)
{
	char name[600];

	(void)dkim;
	snprintf(name, sizeof(name), "%s._domainkey.%s",
		 (const char *)dkim_sig_getselector(sig),
		 (const char *)dkim_sig_getdomain(sig));
	for (size_t i = 0; i < nkeys; i++) {
		if (strcmp(keys[i].name, name) == 0 &&
		    strlen(keys[i].record) < n) {
			memcpy(buf, keys[i].record, strlen(keys[i].record) + 1);
			return DKIM_CBSTAT_CONTINUE;
		}
	}
	return DKIM_CBSTAT_NOTFOUND;
}

static DKIM_LIB *library_open(void)
{
	DKIM_LIB *lib = dkim_init(padded_alloc, padded_free);
	u_int flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;

	if (lib == NULL ||
	    dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags,
			 sizeof(flags)) != DKIM_STAT_OK ||
	    dkim_set_key_lookup(lib, look_up) != DKIM_STAT_OK)
		die("libopendkim does not start");
	return lib;
}

/* The length of the field at `p`, folds but not the last CRLF included; 0 at
 * the end of the header. */
static size_t field_length(const char *p, const char *end)
{
	const char *at = p;

	if (end - p >= 2 && memcmp(p, "\r\n", 2) == 0)
		return 0;
	while (at < end) {
		const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
		if (eol == NULL)
			return (size_t)(end - p);
		at = eol + 2;
		if (at >= end || (*at != ' ' && *at != '\t'))
			return (size_t)(eol - p);
	}
	return (size_t)(end - p);
}

/* Feeds it all up to the end of the message. */
static DKIM_STAT feed(DKIM *dkim, char *message, size_t n, bool pad)
{
	static u_char last[] = "x-pad-to-the-end: x";
	char *at = message, *end = message + n;
	DKIM_STAT status = DKIM_STAT_OK;
	size_t length;

	while (status == DKIM_STAT_OK && at < end &&
	       (length = field_length(at, end)) > 0) {
		status = dkim_header(dkim, (u_char *)at, length);
		at += length;
		at += at + 2 <= end ? 2 : 0;
	}
	at += at + 2 <= end ? 2 : 0;
	if (status == DKIM_STAT_OK && pad)
		status = dkim_header(dkim, last, sizeof(last) - 1);
	if (status == DKIM_STAT_OK)
		status = dkim_eoh(dkim);
	if (status == DKIM_STAT_OK && at < end)
		status = dkim_body(dkim, (u_char *)at, (size_t)(end - at));
	return status == DKIM_STAT_OK ? dkim_eom(dkim, NULL) : status;
}

static void print_result(DKIM_SIGINFO *sig, bool first, DKIM_STAT status)
{
	int error = dkim_sig_geterror(sig);

	printf("%s", first ? "" : "; ");
	/* DKIM_SIG_CHECK() of dkim.h */
	if ((dkim_sig_getflags(sig) & DKIM_SIGFLAG_PASSED) != 0 &&
	    dkim_sig_getbh(sig) == DKIM_SIGBH_MATCH)
		printf("pass");
	else if (error > 0)
		printf("%d %s", error, dkim_sig_geterrorstr(error));
	else if (dkim_sig_getbh(sig) == DKIM_SIGBH_MISMATCH)
		printf("body hash mismatch");
	else
		printf("not verified (%s)", dkim_getresultstr(status));
}

static void verify(DKIM_LIB *lib, char *message, size_t n)
{
	DKIM_STAT status = DKIM_STAT_OK;
	DKIM *dkim = dkim_verify(lib, (const u_char *)"-", NULL, &status);
	DKIM_SIGINFO **sigs = NULL;
	int nsigs = 0;

	if (dkim == NULL)
		die("no handle to verify");
	status = feed(dkim, message, n, true);
	if (dkim_getsiglist(dkim, &sigs, &nsigs) != DKIM_STAT_OK)
		nsigs = 0;
	for (int i = 0; i < nsigs; i++)
		print_result(sigs[i], i == 0, status);
	printf("\n");
	dkim_free(dkim);
}

static void read_pem(const char *path, char *ret)
{
	FILE *f = fopen(path, "r");
	size_t n = f != NULL ? fread(ret, 1, PEM_MAX - 1, f) : 0;

	if (n == 0)
		die("no private key");
	ret[n] = '\0';
	fclose(f);
}

static dkim_canon_t canon_of(const char *word)
{
	return strcmp(word, "simple") == 0 ? DKIM_CANON_SIMPLE
					   : DKIM_CANON_RELAXED;
}

static void sign(DKIM_LIB *lib, char *const words[6], char *message, size_t n)
{
	static char pem[PEM_MAX];
	DKIM_STAT status = DKIM_STAT_OK;
	size_t length = 0;
	u_char *field = NULL;
	DKIM *dkim;

	read_pem(words[5], pem);
	dkim = dkim_sign(lib, (const u_char *)"-", NULL, (dkim_sigkey_t)pem,
			 (const u_char *)words[4], (const u_char *)words[3],
			 canon_of(words[1]), canon_of(words[2]),
			 strcmp(words[0], "rsa") == 0 ? DKIM_SIGN_RSASHA256
						      : DKIM_SIGN_ED25519SHA256,
			 -1, &status);
	if (dkim == NULL)
		die("no handle to sign");
	status = feed(dkim, message, n, false);
	if (status == DKIM_STAT_OK)
		status = dkim_getsighdr_d(dkim, strlen("DKIM-Signature: "),
					  &field, &length);
	if (status == DKIM_STAT_OK)
		printf("%zu\nDKIM-Signature: %.*s", length + 16, (int)length,
		       (const char *)field);
	else
		printf("error %s\n", dkim_getresultstr(status));
	dkim_free(dkim);
}

/* The message that a command announces. */
static char *read_message(size_t n)
{
	char *ret;

	if (n > MESSAGE_MAX)
		die("message too large");
	ret = malloc(n + 1);
	if (ret == NULL || fread(ret, 1, n, stdin) != n)
		die("message too short");
	return ret;
}

int main(int argc, char **argv)
{
	char line[2048];
	DKIM_LIB *lib;

	if (argc != 2)
		die("usage: opendkim_verify KEYS");
	read_keys(argv[1]);
	lib = library_open();
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *words[8], *save = NULL, *message;
		size_t nwords = 0, n;
		for (char *w = strtok_r(line, " \n", &save);
		     w != NULL && nwords < 8; w = strtok_r(NULL, " \n", &save))
			words[nwords++] = w;
		if (nwords != 2 && nwords != 8)
			die("bad command");
		n = strtoul(words[nwords - 1], NULL, 10);
		message = read_message(n);
		if (strcmp(words[0], "verify") == 0)
			verify(lib, message, n);
		else
			sign(lib, words + 1, message, n);
		fflush(stdout);
		free(message);
	}
	dkim_close(lib);
	return 0;
}
