/* milter/place.c, service.c, start.c: a message keeps the configuration that it
 * began with while another takes its place, and what need not be new is not. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "milter/place.h"

#define THREADS 4
#define RELOADS 200

struct world {
	struct arena *arena;
	char dir[64];
	struct app_place *place;
	atomic_bool done;
	atomic_uint bad;
};

static const char *path_of(struct world *w, const char *name)
{
	return arena_printf(w->arena, "%s/%s", w->dir, name);
}

static void put(struct world *w, const char *name, const char *text)
{
	FILE *f = fopen(path_of(w, name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* `more`: further options. */
static void configure(struct world *w, const char *more)
{
	put(w, "conf",
	    arena_printf(w->arena,
			 "user = \"\"; authserv_id = \"mx.test\";\n"
			 "state_directory = \"%s\";\n%s",
			 w->dir, more));
}

static const char *zone_option(struct world *w)
{
	return arena_printf(w->arena, "resolver = { zone_file = \"%s\"; };\n",
			    path_of(w, "zone"));
}

/* With a new place, as mailseald starts. */
static void restart(struct world *w)
{
	struct strbuf errors;
	struct config *c;
	struct app *app;

	strbuf_init(&errors, w->arena, 65536);
	c = config_load(path_of(w, "conf"), &errors);
	assert_non_null(c);
	app = app_new(c, NULL, &errors, &errors);
	if (app == NULL || !app_start(app, NULL, &errors, &errors))
		fail_msg("%s", strbuf_cstr(&errors));
	w->place = app_place_new(app);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->arena = arena_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/mailseal-reload-XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	put(w, "zone", "example.com A 192.0.2.1\n");
	configure(w, zone_option(w));
	restart(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"conf", "zone", "key", "one", "two", "journal.sqlite", "journal.sqlite-wal",
		"journal.sqlite-shm"};
	struct world *w = *state;

	app_place_free(w->place);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(path_of(w, names[i]));
	rmdir(w->dir);
	arena_free(w->arena);
	free(w);
	return 0;
}

/* What reload() says; `text`: a part of its errors or warnings. */
static void expect(struct world *w, bool ok, const char *text)
{
	struct strbuf errors, warnings;
	const char *all;

	strbuf_init(&errors, w->arena, 65536);
	strbuf_init(&warnings, w->arena, 65536);
	if (reload(w->place, &errors, &warnings) != ok)
		fail_msg("reload: %s", strbuf_cstr(&errors));
	all = arena_printf(w->arena, "%s%s", strbuf_cstr(&errors),
			   strbuf_cstr(&warnings));
	if (strstr(all, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, all);
}

static void *use(void *arg)
{
	struct world *w = arg;

	while (!atomic_load(&w->done)) {
		struct app *app = app_get(w->place);
		const char *id = app->config->authserv_id;

		if (strcmp(id, "mx.test") != 0 || app->env.dns == NULL ||
		    strcmp(app->env.authserv_id, id) != 0)
			atomic_fetch_add(&w->bad, 1);
		app_unref(app);
	}
	return NULL;
}

static void test_swap(void **state)
{
	struct world *w = *state;
	pthread_t threads[THREADS];
	struct reload_state s;

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, w), 0);
	for (size_t i = 0; i < RELOADS; i++)
		expect(w, true, "");
	atomic_store(&w->done, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&w->bad), 0);
	reload_state_get(w->place, &s);
	assert_int_equal(s.done, RELOADS);
	assert_int_equal(s.failed, 0);
	assert_true(s.ok && s.time > 0);
}

static void test_keep(void **state)
{
	struct world *w = *state;
	struct app *mine = app_get(w->place), *next;

	configure(w, arena_printf(w->arena, "authserv_aliases = [\"a.test\"];"
					    "\n%s",
				  zone_option(w)));
	expect(w, true, "");
	next = app_get(w->place);
	assert_int_equal(mine->config->authserv_aliases.n, 0);
	assert_int_equal(next->config->authserv_aliases.n, 1);
	for (size_t i = 0; i < APP_SERVICES; i++)
		assert_ptr_equal(mine->services[i], next->services[i]);
	app_unref(mine);
	app_unref(next);
}

/* Each with its own options alone; a file's text is one of them. */
static void test_replaced(void **state)
{
	struct world *w = *state;
	struct app *first = app_get(w->place), *second, *third;

	put(w, "zone", "example.com A 192.0.2.2\n");
	expect(w, true, "");
	second = app_get(w->place);
	assert_ptr_not_equal(first->env.dns, second->env.dns);
	assert_ptr_equal(first->journal, second->journal);
	configure(w, arena_printf(w->arena, "journal = { record_days = 3; };\n%s",
				  zone_option(w)));
	expect(w, true, "");
	third = app_get(w->place);
	assert_ptr_equal(second->env.dns, third->env.dns);
	assert_ptr_not_equal(second->journal, third->journal);
	assert_ptr_equal(first->env.dkim.keycache, third->env.dkim.keycache);
	app_unref(first);
	app_unref(second);
	app_unref(third);
}

static void test_wrong(void **state)
{
	struct world *w = *state;
	struct app *before = app_get(w->place), *after;
	struct reload_state s;

	configure(w, "nonsense = 1;\n");
	expect(w, false, "conf:3: ");
	configure(w, "dmarc = {");
	expect(w, false, "conf:3: syntax error");
	unlink(path_of(w, "conf"));
	expect(w, false, "conf:0: ");
	configure(w, "outbound = { key_table = \"/nonexistent/t\"; };\n");
	expect(w, false, "/nonexistent/t");
	configure(w, "resolver = { zone_file = \"/nonexistent/z\"; };\n");
	expect(w, false, "/nonexistent/z");
	after = app_get(w->place);
	assert_ptr_equal(before, after);
	reload_state_get(w->place, &s);
	assert_int_equal(s.done, 0);
	assert_int_equal(s.failed, 5);
	assert_false(s.ok);
	app_unref(before);
	app_unref(after);
}

/* A key that cannot be used is a warning at start, and no reason to lose one
 * that can. */
static void test_keys(void **state)
{
	struct world *w = *state;
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_ED25519, 0);
	const char *signing = arena_printf(
		w->arena,
		"%soutbound = { domains = ( { domain = \"example.com\"; "
		"keys = ( { selector = \"s\"; file = \"%s\"; } ); } ); };\n",
		zone_option(w), path_of(w, "key"));

	put(w, "key", slice_cstr(w->arena, crypto_privkey_pem(w->arena, k)));
	crypto_privkey_free(k);
	chmod(path_of(w, "key"), 0600);
	configure(w, signing);
	expect(w, true, "");
	chmod(path_of(w, "key"), 0644);
	expect(w, false, "key: mode 0644");
	chmod(path_of(w, "key"), 0600);
	expect(w, true, "");
	configure(w, zone_option(w));
	expect(w, true, "");
}

/* a.test s is `first`, a.test t is "two", b.test `third` is "one". */
static void configure_keys(struct world *w, const char *first,
			   const char *third)
{
	configure(w,
		  arena_printf(w->arena,
			       "%soutbound = { domains = ( "
			       "{ domain = \"a.test\"; keys = ( "
			       "{ selector = \"s\"; file = \"%s\"; }, "
			       "{ selector = \"t\"; file = \"%s\"; } ); }, "
			       "{ domain = \"b.test\"; keys = ( "
			       "{ selector = \"%s\"; file = \"%s\"; } ); } "
			       "); };\n",
			       zone_option(w), first, path_of(w, "two"), third,
			       path_of(w, "one")));
}

/* Another key than the one that could not be used before, though it is as many;
 * and one that takes the place of such a one under another name. */
static void test_other_keys(void **state)
{
	struct world *w = *state;
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_ED25519, 0);
	struct slice pem = crypto_privkey_pem(w->arena, k);
	const char *one = path_of(w, "one"), *two = path_of(w, "two");

	put(w, "one", slice_cstr(w->arena, pem));
	put(w, "two", slice_cstr(w->arena, pem));
	crypto_privkey_free(k);
	chmod(one, 0600);
	chmod(two, 0600);
	configure_keys(w, one, "s");
	expect(w, true, "");
	/* as at a start with a key that cannot be used */
	app_place_free(w->place);
	chmod(one, 0644);
	restart(w);
	expect(w, true, "");
	chmod(one, 0600);
	chmod(two, 0644); /* one for two */
	expect(w, false,
	       "1 key cannot be used that could, or was not there, before, as "
	       "a.test t");
	chmod(one, 0644);
	expect(w, false, "as a.test t");
	chmod(two, 0600);
	expect(w, true, "");
	configure_keys(w, two, "other");
	expect(w, false, "as b.test other");
	chmod(one, 0600);
	expect(w, true, "");
}

static void test_constant(void **state)
{
	struct world *w = *state;

	configure(w, arena_printf(w->arena, "socket = \"fd:7\";\n%s",
				  zone_option(w)));
	expect(w, true, "socket is another, and takes effect at a restart");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_swap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_keys, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_constant, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
