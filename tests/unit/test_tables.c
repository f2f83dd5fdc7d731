/* milter/tables.c: the tables of the submission gate, or what is wrong. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "milter/tables.h"

struct world {
	struct config c;
	struct arena *arena;
	char file[64];
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
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	unlink(w->file);
	arena_free(w->arena);
	free(w);
	return 0;
}

static void test_right(void **state)
{
	struct tables *t = load(*state);

	assert_true(sender_owns(t->senders, SLICE("alice"), SLICE("alice"),
				"example.com"));
	assert_null(t->credentials);
	tables_free(t);
	tables_free(NULL);
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
		cmocka_unit_test_setup_teardown(test_right, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
