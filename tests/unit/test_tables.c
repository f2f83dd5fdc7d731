/* milter/tables.c: a set of tables lives as long as somebody holds it, while
 * others take the newest and one swaps them. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "milter/tables.h"

#define THREADS 4
#define SWAPS	100000

struct world {
	struct config c;
	struct arena *arena;
	struct tables_place *place;
	char file[64];
	atomic_bool done;
	atomic_uint bad;
};

static struct tables *load(struct world *w)
{
	struct strbuf errors;
	struct tables *t;

	strbuf_init(&errors, w->arena, 4096);
	t = tables_load(&w->c, &errors, &errors);
	if (t == NULL)
		fail_msg("%s", strbuf_cstr(&errors));
	return t;
}

static void put(const struct world *w, const char *text)
{
	FILE *f = fopen(w->file, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fd;

	w->arena = arena_new();
	snprintf(w->file, sizeof(w->file), "/tmp/mailseal-tables-XXXXXX");
	fd = mkstemp(w->file);
	if (fd < 0)
		return -1;
	close(fd);
	put(w, "alice@example.com alice\n");
	w->c.submission.sender_table = w->file;
	w->c.submission.sender_groups = "";
	w->c.submission.credentials = "";
	w->c.submission.recipient_delimiter = "";
	w->place = tables_place_new(load(w));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	tables_place_free(w->place);
	unlink(w->file);
	arena_free(w->arena);
	free(w);
	return 0;
}

static void *use(void *arg)
{
	struct world *w = arg;

	while (!atomic_load(&w->done)) {
		struct tables *t = tables_get(w->place);

		if (t->senders != NULL &&
		    !sender_owns(t->senders, SLICE("alice"), SLICE("alice"),
				 "example.com"))
			atomic_fetch_add(&w->bad, 1);
		tables_unref(t);
	}
	return NULL;
}

static void test_swap(void **state)
{
	struct world *w = *state;
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, w), 0);
	for (size_t i = 0; i < SWAPS; i++) {
		/* a file now and then, since it takes long */
		w->c.submission.sender_table = i % 100 == 0 ? w->file : "";
		tables_put(w->place, load(w));
	}
	atomic_store(&w->done, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&w->bad), 0);
}

/* What a message began with stays, though others are in force. */
static void test_keep(void **state)
{
	struct world *w = *state;
	struct tables *mine = tables_get(w->place), *next;

	put(w, "alice@example.com bob\n");
	tables_put(w->place, load(w));
	assert_true(sender_owns(mine->senders, SLICE("alice"), SLICE("alice"),
				"example.com"));
	next = tables_get(w->place);
	assert_false(sender_owns(next->senders, SLICE("alice"), SLICE("alice"),
				 "example.com"));
	tables_unref(mine);
	tables_unref(next);
	tables_unref(NULL);
}

/* One table that is wrong, and there is no set. */
static void test_wrong(void **state)
{
	struct world *w = *state;
	struct strbuf errors;

	w->c.submission.credentials = "/nonexistent/keys";
	strbuf_init(&errors, w->arena, 4096);
	assert_null(tables_load(&w->c, &errors, &errors));
	assert_true(slice_starts(strbuf_slice(&errors), "/nonexistent/keys:0"));
	put(w, "alice@example.com\n");
	w->c.submission.credentials = "";
	strbuf_init(&errors, w->arena, 4096);
	assert_null(tables_load(&w->c, &errors, &errors));
	assert_true(slice_starts(strbuf_slice(&errors), w->file));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_swap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
