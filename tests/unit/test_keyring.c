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
					    "fifo", "table", "weak.pem"};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
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
		status = key_file_load(w->a, w->file, &k, &err);
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
	assert_int_equal(key_file_load(w->a, w->file, &k, &err), -EACCES);
	assert_non_null(strstr(err, "owner is user 65534"));
	assert_int_equal(chown(w->file, 0, 65534), 0);
	assert_int_equal(chmod(w->file, 0640), 0);
	assert_int_equal(key_file_load(w->a, w->file, &k, &err), -EACCES);
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

	assert_int_equal(key_file_load(w->a, "/nonexistent/k", &k, &err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/k: "));
	assert_int_equal(key_file_load(w->a, w->dir, &k, &err), -EACCES);
	assert_non_null(strstr(err, "no regular file"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(key_file_load(w->a, fifo, &k, &err), -EACCES);
	assert_int_equal(key_file_load(w->a, write_file(w, "text.pem", SLICE("x")),
				   &k, &err),
			 -EINVAL);
	assert_non_null(strstr(err, "mailseal key new"));
	assert_int_equal(
		key_file_load(w->a,
			  write_file(w, "big.pem", (struct slice){big, 70000}),
			  &k, &err),
		-EINVAL);
	assert_null(k);
	free(big);
}

/* ---- choosing ---- */

static struct keyring *ring_of(struct world *w, const char *table,
			       size_t max_loaded)
{
	const char *path = write_file(w, "table", slice_of(table));
	struct keyring *k = keyring_new(max_loaded);
	struct strbuf errors;

	strbuf_init(&errors, w->a, 65536);
	if (!keyring_add_table(k, path, 99, &errors) ||
	    !keyring_ready(k, &errors))
		fail_msg("%s", strbuf_cstr(&errors));
	return k;
}

static void test_choose(void **state)
{
	struct world *w = *state;
	struct keyring *k = ring_of(w,
				    "# comment\n"
				    "c.example t k.pem\n"
				    "a.example s k.pem # more\n"
				    "\n"
				    "A.example.\tT\tk.pem\r\n"
				    "*.c.example w k.pem\n"
				    "*.d.c.example v k.pem",
				    10);
	static const struct {
		const char *domain, *d, *selectors;
	} cases[] = {
		{"a.example", "a.example", "st"},
		{"c.example", "c.example", "t"},
		{"x.c.example", "c.example", "w"},
		{"y.x.c.example", "c.example", "w"},
		{"d.c.example", "c.example", "w"},
		{"x.d.c.example", "d.c.example", "v"}, /* the nearest */
		{"x.a.example", NULL, ""},
		{"b.example", NULL, ""},
		{"example", NULL, ""},
	};

	assert_int_equal(keyring_domains(k), 4);
	assert_int_equal(keyring_size(k), 5);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].selectors);
		struct key_choice c;

		keyring_choose(k, w->a, cases[i].domain, 0, &c);
		assert_int_equal(c.n, n);
		assert_int_equal(c.must_sign, n > 0);
		assert_null(c.error);
		for (size_t j = 0; j < n; j++) {
			assert_string_equal(c.v[j].domain, cases[i].d);
			assert_int_equal(c.v[j].selector[0],
					 cases[i].selectors[j]);
			assert_int_equal(c.v[j].lifetime, 99);
			assert_non_null(c.v[j].key);
		}
		if (n == 0)
			assert_non_null(strstr(c.why, "no key"));
		keyring_release(&c);
	}
	keyring_free(k);
}

/* One that went out of the cache while a message holds it stays usable. */
static void test_cache(void **state)
{
	struct world *w = *state;
	struct keyring *k = ring_of(w,
				    "a.example s k.pem\nb.example s k.pem\n"
				    "c.example s k.pem\n",
				    2);
	static const char *const order[] = {"a", "b", "a", "c", "a", "b"};
	static const unsigned loads[] = {1, 2, 2, 3, 3, 4};
	struct keyring_counters n;
	struct key_choice held, c;

	keyring_choose(k, w->a, "a.example", 0, &held);
	for (size_t i = 0; i < 6; i++) {
		keyring_choose(k, w->a,
			       arena_printf(w->a, "%s.example", order[i]), 0,
			       &c);
		assert_int_equal(c.n, 1);
		keyring_release(&c);
		keyring_counters_get(k, &n);
		assert_int_equal(n.loads, loads[i]);
		assert_true(n.loaded <= 2);
	}
	keyring_choose(k, w->a, "c.example", 0, &c);
	keyring_release(&c);
	assert_int_equal(crypto_privkey_type(held.v[0].key), CRYPTO_ED25519);
	keyring_release(&held);
	keyring_free(k);
}

static void test_state(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		bool must_sign, error;
	} cases[] = {
		{"new since 2026-11-24T08:00:00Z\n", 0, false, false},
		{"published since 2026-11-24T08:00:00Z\n", 0, false, false},
		{"active since 2026-11-24T08:00:00Z\n", 1, true, false},
		{"retiring since 2026-11-24T08:00:00Z\n", 0, false, false},
		{"revoked since 2026-11-24T08:00:00Z\n", 0, false, false},
		/* nobody knows: mail must not leave unsigned */
		{"aktive since 2026-11-24T08:00:00Z\n", 0, true, true},
		{"active since yesterday\n", 0, true, true},
		{"active\n", 0, true, true},
		{"\n", 0, true, true},
	};
	struct world *w = *state;
	const char *path = arena_printf(w->a, "%s/k.pem.state", w->dir);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keyring *k;
		struct key_choice c;

		write_file(w, "k.pem.state", slice_of(cases[i].text));
		k = ring_of(w, "a.example s k.pem\n", 2);
		keyring_choose(k, w->a, "a.example", 0, &c);
		assert_int_equal(c.n, cases[i].n);
		assert_int_equal(c.must_sign, cases[i].must_sign);
		assert_int_equal(c.error != NULL, cases[i].error);
		keyring_release(&c);
		keyring_free(k);
	}
	unlink(path);
}

static void test_state_round_trip(void **state)
{
	struct world *w = *state;
	enum key_state s;
	int64_t since;
	const char *err = NULL;

	assert_true(key_state_read(w->a, w->file, &s, &since, &err));
	assert_int_equal(s, KEY_ACTIVE); /* no file */
	assert_int_equal(since, 0);
	for (int i = KEY_NEW; i <= KEY_REVOKED; i++) {
		assert_true(key_state_write(w->a, w->file, (enum key_state)i,
					    1800000000 + i, &err));
		assert_true(key_state_read(w->a, w->file, &s, &since, &err));
		assert_int_equal(s, i);
		assert_int_equal(since, 1800000000 + i);
	}
	/* whoever writes it decides whether we sign */
	assert_int_equal(
		chmod(arena_printf(w->a, "%s.state", w->file), 0666), 0);
	assert_false(key_state_read(w->a, w->file, &s, &since, &err));
	assert_non_null(strstr(err, "chmod 0644"));
	unlink(arena_printf(w->a, "%s.state", w->file));
	assert_false(key_state_write(w->a, "/nonexistent/k", KEY_NEW, 0, &err));
}

/* A key that cannot be loaded stops nobody else, is told once, and is tried
 * again after a minute. */
static void test_failure(void **state)
{
	struct world *w = *state;
	struct keyring *k = ring_of(w,
				    "a.example s k.pem\na.example t late.pem\n"
				    "b.example s none.pem\n",
				    10);
	const char *late = arena_printf(w->a, "%s/late.pem", w->dir);
	struct keyring_counters n;
	struct key_choice c;

	keyring_choose(k, w->a, "b.example", 0, &c);
	assert_int_equal(c.n, 0);
	assert_true(c.must_sign);
	assert_string_equal(c.why, "the key could not be loaded");
	assert_non_null(strstr(c.error, "/table:3: "));
	assert_non_null(strstr(c.error, "none.pem"));
	keyring_choose(k, w->a, "b.example", 59999, &c);
	assert_null(c.error);
	assert_true(c.must_sign);

	keyring_choose(k, w->a, "a.example", 0, &c);
	assert_int_equal(c.n, 1);
	assert_non_null(c.error);
	keyring_release(&c);
	assert_int_equal(link(w->file, late), 0);
	keyring_choose(k, w->a, "a.example", 59999, &c);
	assert_int_equal(c.n, 1);
	keyring_release(&c);
	keyring_choose(k, w->a, "a.example", 60000, &c);
	assert_int_equal(c.n, 2);
	keyring_release(&c);
	unlink(late);
	keyring_counters_get(k, &n);
	assert_int_equal(n.failures, 2);
	keyring_free(k);
}

static void test_table_mistakes(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"a.example s\n", ":1: give \"domain selector file\""},
		{"\na.example s k.pem x\n", ":2: give \"domain selector file\""},
		{"a..example s k.pem\n", "\"a..example\" is no domain name"},
		{"a.example s/t k.pem\n", "selector \"s/t\" is no domain name"},
		{"*.example s k.pem\n", "one label"},
		{"a\x01.example s k.pem\n", "a\\x01.example"},
		{"a.example s k.pem\na.example s l.pem\n",
		 ":2: a.example with selector s is there twice"},
	};
	struct world *w = *state;
	struct strbuf errors;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *path =
			write_file(w, "table", slice_of(cases[i].text));
		struct keyring *k = keyring_new(1);
		bool ok;

		strbuf_init(&errors, w->a, 65536);
		ok = keyring_add_table(k, path, 0, &errors);
		ok = keyring_ready(k, &errors) && ok;
		assert_false(ok);
		if (strstr(strbuf_cstr(&errors), cases[i].part) == NULL)
			fail_msg("%s", strbuf_cstr(&errors));
		keyring_free(k);
	}
}

static void test_table_file(void **state)
{
	struct world *w = *state;
	const char *path = write_file(w, "table", SLICE("a.example s k.pem\n"));
	struct keyring *k = keyring_new(1);
	struct strbuf errors;

	strbuf_init(&errors, w->a, 65536);
	assert_int_equal(chmod(path, 0666), 0);
	assert_false(keyring_add_table(k, path, 0, &errors));
	assert_non_null(strstr(strbuf_cstr(&errors), "chmod go-w"));
	assert_false(keyring_add_table(k, w->dir, 0, &errors));
	assert_false(keyring_add_table(k, "/nonexistent/t", 0, &errors));
	assert_non_null(strstr(strbuf_cstr(&errors), "/nonexistent/t: No such"));
	keyring_free(k);
}

/* Pinned while we are root, and of the type that is asked for. */
/* The first entry is usable, and as old as its file; the second is not. */
static void check_standing(struct world *w, struct keyring *k)
{
	struct keyring_standing s;
	struct stat st;

	assert_int_equal(stat(w->file, &st), 0);
	keyring_standing_get(k, 0, w->a, &s);
	assert_true(s.known && s.usable);
	assert_int_equal(s.state, KEY_ACTIVE);
	assert_int_equal(s.since, st.st_mtime);
	assert_null(s.error);
	keyring_standing_get(k, 1, w->a, &s);
	assert_true(s.known && !s.usable);
	assert_non_null(strstr(s.error, "is no RSA key"));
}

static void test_pin(void **state)
{
	struct world *w = *state;
	struct keyring *k = keyring_new(1);
	struct key_entry e = {.domain = "a.example",
			      .signing_domain = "provider.example",
			      .selector = "s",
			      .file = w->file,
			      .source = "conf:7",
			      .type = CRYPTO_ED25519};
	struct strbuf errors, warnings;
	struct key_choice c;

	keyring_add(k, &e);
	e.type = CRYPTO_RSA;
	e.selector = "t";
	e.source = "conf:8";
	keyring_add(k, &e);
	strbuf_init(&errors, w->a, 65536);
	strbuf_init(&warnings, w->a, 65536);
	assert_true(keyring_ready(k, &errors));
	keyring_pin(k, &errors, &warnings);
	assert_non_null(strstr(strbuf_cstr(&errors), "conf:8: "));
	assert_non_null(strstr(strbuf_cstr(&errors), "is no RSA key"));
	assert_null(strstr(strbuf_cstr(&errors), "conf:7"));
	check_standing(w, k);
	assert_int_equal(rename(w->file, arena_printf(w->a, "%s.x", w->file)),
			 0);
	keyring_choose(k, w->a, "a.example", 0, &c);
	assert_int_equal(c.n, 1);
	assert_string_equal(c.v[0].domain, "provider.example");
	keyring_release(&c);
	assert_int_equal(rename(arena_printf(w->a, "%s.x", w->file), w->file),
			 0);
	keyring_free(k);
}

/* A state is read at load: a key that is activated signs from the next start,
 * when root may read it. */
static void test_pinned_state(void **state)
{
	struct world *w = *state;
	struct keyring *k = keyring_new(1);
	struct key_entry e = {.domain = "a.example",
			      .signing_domain = "a.example",
			      .selector = "s",
			      .file = w->file,
			      .source = "conf:7",
			      .any_type = true};
	struct keyring_standing s;
	struct strbuf errors;
	struct key_choice c;
	const char *err;

	assert_true(key_state_write(w->a, w->file, KEY_NEW, 1, &err));
	keyring_add(k, &e);
	strbuf_init(&errors, w->a, 65536);
	assert_true(keyring_ready(k, &errors));
	keyring_standing_get(k, 0, w->a, &s);
	assert_false(s.known);
	keyring_pin(k, &errors, &errors);
	assert_int_equal(errors.n, 0);
	keyring_standing_get(k, 0, w->a, &s);
	assert_true(s.known && s.usable);
	assert_int_equal(s.state, KEY_NEW);
	assert_int_equal(s.since, 1);
	assert_true(key_state_write(w->a, w->file, KEY_ACTIVE, 2, &err));
	keyring_choose(k, w->a, "a.example", 3600000, &c);
	assert_int_equal(c.n, 0);
	assert_false(c.must_sign);
	assert_null(c.error);
	unlink(arena_printf(w->a, "%s.state", w->file));
	keyring_free(k);
}

/* RFC 8301 3.2: 2048 bits SHOULD be used. */
static void test_weak(void **state)
{
	struct world *w = *state;
	struct crypto_privkey *rsa = crypto_privkey_generate(CRYPTO_RSA, 1024);
	struct keyring *k = keyring_new(1);
	struct key_entry e = {.domain = "a.example",
			      .signing_domain = "a.example",
			      .selector = "s",
			      .source = "conf:7",
			      .any_type = true};
	struct strbuf errors, warnings;
	struct key_choice c;

	e.file = write_file(w, "weak.pem", crypto_privkey_pem(w->a, rsa));
	crypto_privkey_free(rsa);
	keyring_add(k, &e);
	strbuf_init(&errors, w->a, 65536);
	strbuf_init(&warnings, w->a, 65536);
	assert_true(keyring_ready(k, &errors));
	keyring_pin(k, &errors, &warnings);
	assert_int_equal(errors.n, 0);
	assert_non_null(strstr(strbuf_cstr(&warnings), "RSA key of 1024 bits"));
	keyring_choose(k, w->a, "a.example", 0, &c);
	assert_int_equal(c.n, 1);
	keyring_release(&c);
	keyring_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_no_key),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_state_round_trip),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_table_mistakes),
		cmocka_unit_test(test_table_file),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_pinned_state),
		cmocka_unit_test(test_weak),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
