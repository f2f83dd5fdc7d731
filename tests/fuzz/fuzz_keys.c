/*
 * What the keyring reads (keys/, crypto/).  The first byte of the input says
 * what the rest is: "t" a key table, "s" the state of a key, "p" a key file,
 * "d" the p= of a published key (RSA), "k" requests to the key process.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/keyd.h"
#include "keys/keyring.h"
#include "mail/domain.h"

#define ERRORS_MAX   65536
#define REQUESTS_MAX 20 /* their answers fit into the buffer of a socket */

static int hold(struct slice text)
{
	int fd = memfd_create("keys", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
	FUZZ_CHECK(write(fd, text.p, text.n) == (ssize_t)text.n);
	return fd;
}

static void check_errors(struct strbuf *errors)
{
	unsigned lines = 0;

	for (const char *p = strbuf_cstr(errors); *p != '\0'; p++) {
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
		lines += *p == '\n';
	}
	FUZZ_CHECK(lines <= 2 * 21);
}

static void check_entry(struct arena *a, const struct key_entry *e)
{
	const char *domain = e->domain;
	bool below = strncmp(domain, "*.", 2) == 0;

	FUZZ_CHECK(e->from_table && e->file[0] == '/' && e->lifetime == 7);
	FUZZ_CHECK(fuzz_printable(e->source));
	domain += below ? 2 : 0;
	FUZZ_CHECK(strcmp(domain_canon(a, slice_of(domain)), domain) == 0);
	FUZZ_CHECK(strcmp(e->signing_domain, domain) == 0);
	FUZZ_CHECK(domain_canon(a, slice_of(e->selector)) != NULL);
}

/* No key file is opened. */
static void read_table(struct arena *a, struct slice text)
{
	struct keyring *k = keyring_new(10);
	int fd = hold(text);
	struct strbuf errors;
	bool ok;

	strbuf_init(&errors, a, ERRORS_MAX);
	ok = keyring_add_table(k, arena_printf(a, "/proc/self/fd/%d", fd), 7,
			       &errors);
	FUZZ_CHECK(ok == (errors.n == 0));
	ok = keyring_ready(k, &errors) && ok;
	FUZZ_CHECK(ok == (errors.n == 0));
	check_errors(&errors);
	FUZZ_CHECK(keyring_domains(k) <= keyring_size(k));
	for (size_t i = 0; ok && i < keyring_size(k); i++)
		check_entry(a, keyring_entry(k, i));
	keyring_free(k);
	close(fd);
}

/* ---- files of a folder --------------------------------------------------- */

static char folder[] = "/tmp/mailseal-fuzz-XXXXXX";
static const char *const names[] = {"key", "key.state", "key.state.tmp"};

static const char *path_of(struct arena *a, const char *name)
{
	return arena_printf(a, "%s/%s", folder, name);
}

static void clean(void)
{
	struct arena *a = arena_new();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(path_of(a, names[i]));
	rmdir(folder);
	arena_free(a);
}

static void put(struct arena *a, const char *name, struct slice text)
{
	FILE *f = fopen(path_of(a, name), "w");

	FUZZ_CHECK(f != NULL && fwrite(text.p, 1, text.n, f) == text.n);
	FUZZ_CHECK(fchmod(fileno(f), 0600) == 0 && fclose(f) == 0);
}

static void start(void)
{
	FUZZ_CHECK(mkdtemp(folder) != NULL && atexit(clean) == 0);
}

/* What was read is read again when we have written it. */
static void read_state(struct arena *a, struct slice text)
{
	const char *file = path_of(a, "key"), *err = NULL;
	enum key_state state, again;
	int64_t since, since_again;

	put(a, "key.state", text);
	if (key_state_read(a, file, &state, &since, &err)) {
		FUZZ_CHECK(state <= KEY_REVOKED && err == NULL);
		FUZZ_CHECK(key_state_write(a, file, state, since, &err));
		FUZZ_CHECK(key_state_read(a, file, &again, &since_again, &err));
		FUZZ_CHECK(again == state && since_again == since);
	} else {
		FUZZ_CHECK(err != NULL && fuzz_printable(err));
	}
	unlink(path_of(a, "key.state"));
}

/* ---- keys ---------------------------------------------------------------- */

static void check_key(struct arena *a, const struct crypto_privkey *k)
{
	static const unsigned char digest[SHA256_LEN] = {1, 2, 3};
	struct crypto_pubkey *public;
	const char *reason = NULL;
	struct slice signature;

	FUZZ_CHECK(crypto_privkey_type(k) == CRYPTO_ED25519 ||
		   crypto_privkey_bits(k) >= 1024);
	public = crypto_pubkey_new(crypto_privkey_type(k),
				   crypto_privkey_public(a, k), &reason);
	/* a key of a size that we do not verify, or that is no key */
	if (public != NULL && crypto_sign(a, k, digest, &signature))
		(void)crypto_verify(public, digest, signature);
	crypto_pubkey_free(public);
}

static void read_key(struct arena *a, struct slice text)
{
	const char *reason = NULL;
	struct crypto_privkey *k = crypto_privkey_parse(text, &reason);

	FUZZ_CHECK((k == NULL) == (reason != NULL));
	if (k != NULL)
		check_key(a, k);
	crypto_privkey_free(k);
}

static void read_public(struct slice bytes)
{
	static const unsigned char digest[SHA256_LEN] = {1, 2, 3};
	const char *reason = NULL;
	struct crypto_pubkey *k = crypto_pubkey_new(CRYPTO_RSA, bytes, &reason);

	FUZZ_CHECK((k == NULL) == (reason != NULL));
	if (k != NULL) {
		FUZZ_CHECK(crypto_pubkey_bits(k) <= 16384);
		(void)crypto_verify(k, digest, bytes);
	}
	crypto_pubkey_free(k);
	k = crypto_pubkey_new(CRYPTO_ED25519, bytes, &reason);
	FUZZ_CHECK((k != NULL) == (bytes.n == 32) || bytes.n == 32);
	crypto_pubkey_free(k);
}

/* ---- the key process ----------------------------------------------------- */

/* Two rows: a file that is there, and one that is not. */
static struct keyring *read_rows(void *arg, void **owner, struct strbuf *errors)
{
	struct keyring *k = keyring_new(10);
	struct key_entry e = {.domain = "a.test",
			      .signing_domain = "a.test",
			      .selector = "s",
			      .source = "conf:1",
			      .any_type = true};
	struct arena *a = arena_new();

	(void)arg;
	*owner = a;
	e.file = path_of(a, "key");
	keyring_add(k, &e);
	e.domain = e.signing_domain = "b.test";
	e.file = path_of(a, "none");
	keyring_add(k, &e);
	FUZZ_CHECK(keyring_ready(k, errors));
	return k;
}

static void release(struct keyring *k, void *owner)
{
	keyring_free(k);
	arena_free(owner);
}

/* The text of the one key, or a line that says why not. */
static void check_answer(const struct keyd_answer *r, const char *text,
			 size_t n)
{
	FUZZ_CHECK(r->length == n && r->ok <= 1 && r->state <= KEY_REVOKED);
	FUZZ_CHECK(r->generation <= REQUESTS_MAX);
	if (n > 0 && r->ok)
		FUZZ_CHECK(n == 3 && memcmp(text, "KEY", 3) == 0);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(text[i] >= 0x20 && text[i] < 0x7f);
}

static void ask(struct arena *a, struct slice requests)
{
	static const struct keyd_options o = {.read = read_rows,
					      .release = release};
	struct {
		struct keyd_answer head;
		char text[4096];
	} r;
	int fds[2], n = 0;
	ssize_t got;

	put(a, "key", SLICE("KEY"));
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	for (; requests.n > 0 && n < REQUESTS_MAX; n++) {
		struct slice one =
			slice_first(requests, sizeof(struct keyd_request));

		FUZZ_CHECK(send(fds[0], one.p, one.n, 0) == (ssize_t)one.n);
		requests = slice_from(requests, one.n);
	}
	(void)shutdown(fds[0], SHUT_WR);
	keyd_serve(fds[1], &o);
	close(fds[1]);
	while ((got = recv(fds[0], &r, sizeof(r), 0)) > 0) {
		FUZZ_CHECK(got >= (ssize_t)sizeof(r.head) && n-- > 0);
		check_answer(&r.head, r.text, (size_t)got - sizeof(r.head));
	}
	FUZZ_CHECK(n <= 1); /* the last one may have been too short */
	close(fds[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	struct arena *a = arena_new();
	struct slice rest = slice_from(fuzz_input(data, size), 1);

	if (!started)
		start();
	started = true;
	switch (size > 0 ? data[0] : 0) {
	case 't':
		read_table(a, rest);
		break;
	case 's':
		read_state(a, rest);
		break;
	case 'p':
		read_key(a, rest);
		break;
	case 'd':
		read_public(rest);
		break;
	case 'k':
		ask(a, rest);
		break;
	default:
		break;
	}
	arena_free(a);
	return 0;
}
