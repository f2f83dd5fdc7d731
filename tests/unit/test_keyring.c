/* keys/: owner and mode of key files, keys by domain. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/keyring.h"

struct world {
	struct arena *a;
	char dir[64];
	const char *file;
};

static const char *write_file(struct world *w, const char *name,
			      struct slice text)
{
	const char *path = arena_printf(w->a, "%s/%s", w->dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.n), (ssize_t)text.n);
	close(fd);
	return path;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_ED25519, 0);

	w->a = arena_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/keyring.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	w->file = write_file(w, "k.pem", crypto_privkey_pem(w->a, k));
	crypto_privkey_free(k);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"k.pem", "text.pem", "big.pem",
					    "fifo"};
	struct world *w = *state;

	for (size_t i = 0; i < 4; i++)
		unlink(arena_printf(w->a, "%s/%s", w->dir, names[i]));
	rmdir(w->dir);
	arena_free(w->a);
	free(w);
	return 0;
}

static void test_mode(void **state)
{
	static const struct {
		mode_t mode;
		const char *what; /* NULL: accepted */
	} cases[] = {
		{0600, NULL},
		{0400, NULL},
		{0640, NULL}, /* the file has our own group */
		{0644, "mode 0644 lets others read the key"},
		{0602, "mode 0602 lets others at the key"},
		{0660, "mode 0660 lets the group write the key"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct crypto_privkey *k = NULL;
		const char *err = NULL;
		int status;

		assert_int_equal(chmod(w->file, cases[i].mode), 0);
		status = keyd_load(w->a, w->file, &k, &err);
		assert_int_equal(status, cases[i].what ? -EACCES : 0);
		if (cases[i].what != NULL)
			assert_string_equal(
				err,
				arena_printf(w->a,
					     "%s: %s; cure: chmod 0600 %s",
					     w->file, cases[i].what, w->file));
		assert_int_equal(k != NULL, cases[i].what == NULL);
		crypto_privkey_free(k);
	}
	assert_int_equal(chmod(w->file, 0600), 0);
}

/* Only root can give files away. */
static void test_owner(void **state)
{
	struct world *w = *state;
	struct crypto_privkey *k = NULL;
	const char *err = NULL;

	if (geteuid() != 0) {
		skip();
		return;
	}
	assert_int_equal(chown(w->file, 65534, 0), 0);
	assert_int_equal(keyd_load(w->a, w->file, &k, &err), -EACCES);
	assert_non_null(strstr(err, "owner is user 65534"));
	assert_int_equal(chown(w->file, 0, 65534), 0);
	assert_int_equal(chmod(w->file, 0640), 0);
	assert_int_equal(keyd_load(w->a, w->file, &k, &err), -EACCES);
	assert_non_null(strstr(err, "lets a foreign group read the key"));
	assert_int_equal(chown(w->file, 0, 0), 0);
	assert_int_equal(chmod(w->file, 0600), 0);
}

static void test_no_key(void **state)
{
	struct world *w = *state;
	struct crypto_privkey *k = NULL;
	const char *err = NULL;
	char *big = calloc(1, 70000);
	const char *fifo = arena_printf(w->a, "%s/fifo", w->dir);

	assert_int_equal(keyd_load(w->a, "/nonexistent/k", &k, &err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/k: "));
	assert_int_equal(keyd_load(w->a, w->dir, &k, &err), -EACCES);
	assert_non_null(strstr(err, "no regular file"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(keyd_load(w->a, fifo, &k, &err), -EACCES);
	assert_int_equal(keyd_load(w->a, write_file(w, "text.pem", SLICE("x")),
				   &k, &err),
			 -EINVAL);
	assert_non_null(strstr(err, "mailseal key new"));
	assert_int_equal(
		keyd_load(w->a,
			  write_file(w, "big.pem", (struct slice){big, 70000}),
			  &k, &err),
		-EINVAL);
	assert_null(k);
	free(big);
}

static void test_find(void **state)
{
	struct world *w = *state;
	struct keyring *k = keyring_new();
	const struct dkim_signing_key *found = NULL;
	const char *err = NULL;

	for (int i = 40; i-- > 0;) /* unsorted */
		assert_int_equal(keyring_add(k, w->a,
					     arena_printf(w->a, "d%d.example",
							  i * 7 % 40),
					     "s", w->file, 99, &err),
				 0);
	assert_int_equal(
		keyring_add(k, w->a, "d3.example", "t", w->file, 0, &err), 0);
	assert_int_equal(keyring_domains(k), 40);
	for (int i = 0; i < 40; i++) {
		const char *d = arena_printf(w->a, "d%d.example", i);
		assert_int_equal(keyring_find(k, d, &found), i == 3 ? 2 : 1);
		assert_string_equal(found[0].domain, d);
		assert_string_equal(found[0].selector, "s");
		assert_int_equal(found[0].lifetime, 99);
	}
	/* exact match */
	assert_int_equal(keyring_find(k, "example", &found), 0);
	assert_int_equal(keyring_find(k, "x.d1.example", &found), 0);
	keyring_free(k);
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct keyring *k = keyring_new();
	const char *err = NULL;

	assert_int_equal(
		keyring_add(k, w->a, "D.example", "s", w->file, 0, &err),
		-EINVAL);
	assert_non_null(strstr(err, "write it as d.example"));
	assert_int_equal(
		keyring_add(k, w->a, "d.example", "s s", w->file, 0, &err),
		-EINVAL);
	assert_int_equal(
		keyring_add(k, w->a, "d.example", "s", w->file, 0, &err), 0);
	/* RFC 8463 6 */
	assert_int_equal(
		keyring_add(k, w->a, "d.example", "s", w->file, 0, &err),
		-EEXIST);
	assert_int_equal(
		keyring_add(k, w->a, "e.example", "s", "/nonexistent", 0, &err),
		-ENOENT);
	assert_int_equal(keyring_domains(k), 1);
	keyring_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mode),	cmocka_unit_test(test_owner),
		cmocka_unit_test(test_no_key),	cmocka_unit_test(test_find),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
