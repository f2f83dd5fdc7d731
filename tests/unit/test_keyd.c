/* keys/keyd.h: rows by number, generations, and what is refused. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/keyd.h"

struct world {
	struct arena *a;
	char dir[64];
	const char *table;
	struct keyd *keyd;
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

/* Both sides read the table, as configuration is read. */
static struct keyring *read_rows(void *arg, void **owner, struct strbuf *errors)
{
	struct world *w = arg;
	struct keyring *k = keyring_new(10);

	*owner = NULL;
	if (keyring_add_table(k, w->table, 0, errors) &&
	    keyring_ready(k, errors))
		return k;
	keyring_free(k);
	return NULL;
}

static void release_rows(struct keyring *k, void *owner)
{
	assert_null(owner);
	keyring_free(k);
}

static bool confine(void *arg)
{
	(void)arg;
	return true;
}

static void write_key(struct world *w, const char *name)
{
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_ED25519, 0);

	write_file(w, name, crypto_privkey_pem(w->a, k));
	crypto_privkey_free(k);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *err;

	w->a = arena_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/keyd.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	write_key(w, "a.pem");
	write_key(w, "b.pem");
	w->table = write_file(w, "table",
			      SLICE("a.test s a.pem\n"
				    "b.test s b.pem\n"));
	w->keyd = keyd_start(
		&(struct keyd_options){read_rows, release_rows, confine, w},
		&err);
	*state = w;
	return w->keyd != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {"a.pem", "b.pem", "c.pem", "table",
					    "a.pem.state"};
	struct world *w = *state;

	keyd_free(w->keyd);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(arena_printf(w->a, "%s/%s", w->dir, names[i]));
	rmdir(w->dir);
	arena_free(w->a);
	free(w);
	return 0;
}

/* What the filter does at a reload; NULL when the key process objects. */
static struct keyring *attach(struct world *w, struct strbuf *errors)
{
	void *owner;
	struct keyring *k = read_rows(w, &owner, errors);

	assert_non_null(k);
	if (keyring_attach(k, w->keyd, errors))
		return k;
	keyring_free(k);
	return NULL;
}

/* "" when the domain's mail would be signed, else why not. */
static const char *sign_for(struct world *w, struct keyring *k,
			    const char *domain)
{
	struct key_choice c;
	const char *ret;

	keyring_choose(k, w->a, domain, 0, &c);
	ret = c.error != NULL ? c.error : c.n == 0 ? c.why : "";
	keyring_release(&c);
	return ret;
}

static void test_rows(void **state)
{
	struct world *w = *state;
	struct strbuf errors;
	struct keyring *k;

	strbuf_init(&errors, w->a, 1000);
	k = attach(w, &errors);
	assert_non_null(k);
	assert_string_equal(sign_for(w, k, "a.test"), "");
	write_file(w, "b.pem", SLICE("x"));
	assert_string_equal(
		sign_for(w, k, "b.test"),
		arena_printf(w->a,
			     "%s:2: %s/b.pem: no PEM private key; make one "
			     "with: mailseal key new",
			     w->table, w->dir));
	keyring_free(k);
}

static void test_state(void **state)
{
	struct world *w = *state;
	struct keyring_standing s;
	struct strbuf errors;
	struct keyring *k;

	strbuf_init(&errors, w->a, 1000);
	write_file(w, "a.pem.state", SLICE("new since 2026-11-24T08:00:00Z\n"));
	k = attach(w, &errors);
	assert_string_equal(sign_for(w, k, "a.test"),
			    "no key of the author domain is active");
	keyring_standing_get(k, 0, w->a, &s);
	assert_int_equal(s.state, KEY_NEW);
	assert_int_equal(s.since, 1795507200);
	keyring_free(k);
	write_file(w, "a.pem.state", SLICE("nonsense\n"));
	k = attach(w, &errors);
	assert_non_null(strstr(sign_for(w, k, "a.test"),
			       "a.pem.state: must be \"STATE since"));
	keyring_free(k);
}

/* What a filter that was taken over could ask for. */
static void test_refused(void **state)
{
	static const struct {
		uint32_t generation;
		size_t row;
	} cases[] = {{0, 0}, {1, 2}, {1, SIZE_MAX}, {2, 0}, {UINT32_MAX, 0}};
	struct world *w = *state;
	struct strbuf errors;
	struct keyring *k;
	struct key_text t;
	const char *err;

	strbuf_init(&errors, w->a, 1000);
	key_text_init(&t);
	k = attach(w, &errors); /* generation 1 */
	assert_true(keyd_fetch(w->keyd, 1, 1, w->a, &t, &err));
	assert_true(t.n > 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err = NULL;
		assert_false(keyd_fetch(w->keyd, cases[i].generation,
					cases[i].row, w->a, &t, &err));
		assert_int_equal(t.n, 0);
		assert_int_equal(t.state, KEY_ACTIVE);
		assert_string_equal(err, "the key process has forgotten this "
					 "configuration; too many are in use");
	}
	keyring_free(k);
	assert_false(keyd_fetch(w->keyd, 1, 1, w->a, &t, &err)); /* dropped */
	key_text_done(&t);
}

/* Old and new keyring get keys side by side, each those of its own rows. */
static void test_generations(void **state)
{
	struct world *w = *state;
	struct strbuf errors;
	struct keyring *old, *new, *same;

	strbuf_init(&errors, w->a, 1000);
	old = attach(w, &errors);
	write_key(w, "c.pem");
	write_file(w, "table", SLICE("c.test s c.pem\n"));
	new = attach(w, &errors);
	same = attach(w, &errors);
	assert_string_equal(sign_for(w, new, "c.test"), "");
	assert_string_equal(sign_for(w, old, "b.test"), "");
	keyring_free(new);
	assert_string_equal(sign_for(w, same, "c.test"), "");
	assert_string_equal(sign_for(w, old, "a.test"), "");
	keyring_free(same);
	keyring_free(old);
}

/* The number of generations is bounded: the oldest is forgotten. */
static void test_many(void **state)
{
	struct world *w = *state;
	struct keyring *v[KEYD_GENERATIONS + 1];
	struct strbuf errors;

	strbuf_init(&errors, w->a, 1000);
	for (int i = 0; i <= KEYD_GENERATIONS; i++) {
		write_file(
			w, "table",
			slice_of(arena_printf(w->a, "a.test s%d a.pem\n", i)));
		v[i] = attach(w, &errors);
		assert_non_null(v[i]);
	}
	assert_non_null(strstr(sign_for(w, v[0], "a.test"),
			       "the key process has forgotten"));
	assert_string_equal(sign_for(w, v[1], "a.test"), "");
	assert_string_equal(sign_for(w, v[KEYD_GENERATIONS], "a.test"), "");
	for (int i = 0; i <= KEYD_GENERATIONS; i++)
		keyring_free(v[i]);
}

static void test_bad_reload(void **state)
{
	struct world *w = *state;
	struct strbuf errors;
	struct keyring *old, *k;
	void *owner;

	strbuf_init(&errors, w->a, 10000);
	old = attach(w, &errors);
	/* the file changes after we read it */
	k = read_rows(w, &owner, &errors);
	write_file(w, "table", SLICE("a.test s b.pem\n"));
	assert_false(keyring_attach(k, w->keyd, &errors));
	assert_string_equal(strbuf_cstr(&errors),
			    "outbound.domains or outbound.key_table changed "
			    "while they were read; read them again\n");
	keyring_free(k);
	strbuf_init(&errors, w->a, 10000);
	k = read_rows(w, &owner, &errors);
	write_file(w, "table", SLICE("a.test\n"));
	assert_false(keyring_attach(k, w->keyd, &errors));
	assert_string_equal(strbuf_cstr(&errors),
			    arena_printf(w->a,
					 "%s:1: give \"domain selector "
					 "file\"\n",
					 w->table));
	keyring_free(k);
	assert_string_equal(sign_for(w, old, "a.test"), "");
	keyring_free(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_rows),	     T(test_state), T(test_refused),
		T(test_generations), T(test_many),  T(test_bad_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
