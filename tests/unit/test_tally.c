/* The counters: in which bucket a time goes, names and their bound, and that
 * nothing is lost when several threads count. */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "milter/tally.h"

#define THREADS	 8
#define MESSAGES 20000

static const struct tally_message plain = {
	.direction = MAIL_OUTBOUND,
	.result = TALLY_ACCEPTED,
	.signing = TALLY_NOT_ASKED,
	.arc_sealing = TALLY_NOT_ASKED,
	.us = {-1, -1, -1, -1, -1},
};

static void test_times(void **state)
{
	static const struct {
		int64_t us;
		size_t bucket;
	} rows[] = {
		{0, 0},		{1, 0},		{100, 0},
		{101, 1},	{250, 1},	{251, 2},
		{30000000, 16}, {30000001, 17}, {INT64_C(900000000000), 17},
	};
	struct tally *t = tally_new();
	struct tally_counters c;
	uint64_t n[TALLY_BOUNDS + 1] = {0}, us = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tally_message m = plain;

		m.us[TALLY_STAGE_SIGN] = rows[i].us;
		tally_count_message(t, &m);
		n[rows[i].bucket]++;
		us += (uint64_t)rows[i].us;
	}
	tally_get(t, &c);
	assert_memory_equal(c.times[TALLY_STAGE_SIGN].buckets, n, sizeof(n));
	assert_int_equal(c.times[TALLY_STAGE_SIGN].us, us);
	assert_int_equal(c.times[TALLY_STAGE_DNS].us, 0);
	assert_int_equal(c.times[TALLY_STAGE_DNS].buckets[0], 0);
	for (size_t i = 1; i < TALLY_BOUNDS; i++)
		assert_true(tally_bounds[i - 1] < tally_bounds[i]);
	tally_free(t);
}

static void *count_many(void *arg)
{
	struct dkim_signing_key keys[2] = {{.domain = "a.example"},
					   {.domain = "b.example"}};
	struct tally_message m = plain;

	m.signing = TALLY_SEALED;
	m.nkeys = 2;
	m.keys = keys;
	m.us[TALLY_STAGE_OUTBOUND] = 300;
	for (size_t i = 0; i < MESSAGES; i++) {
		tally_message_begins(arg);
		tally_count_message(arg, &m);
		tally_message_ends(arg);
	}
	return NULL;
}

static void add_up(void *arg, const struct tally_named *n)
{
	uint64_t *sum = arg;

	assert_true(strcmp(n->name, "a.example") == 0 ||
		    strcmp(n->name, "b.example") == 0);
	assert_int_equal(n->n, THREADS * MESSAGES);
	(*sum)++;
}

static void test_threads(void **state)
{
	struct tally *t = tally_new();
	struct tally_counters c;
	pthread_t threads[THREADS];
	uint64_t names = 0;

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, count_many, t), 0);
	for (size_t i = 0; i < 200; i++) {
		tally_get(t, &c);
		assert_true(c.messages_begun >= c.messages_ended);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	tally_get(t, &c);
	assert_int_equal(c.messages[MAIL_OUTBOUND][TALLY_ACCEPTED],
			 THREADS * MESSAGES);
	assert_int_equal(c.signing[TALLY_SEALED], THREADS * MESSAGES);
	assert_int_equal(c.times[TALLY_STAGE_OUTBOUND].buckets[2],
			 THREADS * MESSAGES);
	assert_int_equal(c.messages_begun, c.messages_ended);
	tally_each_signature(t, add_up, &names);
	assert_int_equal(names, 2);
	tally_free(t);
}

struct seen {
	size_t names;
	uint64_t others, all;
};

static void note(void *arg, const struct tally_named *n)
{
	struct seen *s = arg;

	s->names++;
	s->all += n->n;
	if (strcmp(n->name, "(other)") == 0)
		s->others += n->n;
}

/* Each domain signs twice. */
static void test_bound(void **state)
{
	struct tally *t = tally_new();
	struct arena *a = arena_new();
	struct seen s = {0};

	(void)state;
	for (size_t i = 0; i < 2 * 1300; i++) {
		struct dkim_signing_key key = {
			.domain = arena_printf(a, "d%zu.example", i % 1300)};
		struct tally_message m = plain;

		m.nkeys = 1;
		m.keys = &key;
		tally_count_message(t, &m);
	}
	tally_each_signature(t, note, &s);
	assert_int_equal(s.names, TALLY_NAMES_MAX + 1);
	assert_int_equal(s.others, 2 * 300);
	assert_int_equal(s.all, 2 * 1300);
	arena_free(a);
	tally_free(t);
}

static void note_rule(void *arg, const struct tally_named *n)
{
	struct strbuf *b = arg;

	strbuf_printf(b, "%s/%s/%s=%d ", n->name, n->action, n->mode,
		      (int)n->n);
}

static void test_rules(void **state)
{
	static const struct rule enforced = {.name = "r", .action = RULE_TAG};
	static const struct rule shadow = {.name = "r", .action = RULE_REJECT};
	const struct rule *would[] = {&shadow};
	struct verdict v = {.rules = {&enforced, 1, would}};
	struct tally *t = tally_new();
	struct tally_message m = plain;
	struct arena *a = arena_new();
	struct strbuf b;

	(void)state;
	strbuf_init(&b, a, 1000);
	m.verdict = &v;
	tally_count_message(t, &m);
	v.rules.rule = NULL;
	tally_count_message(t, &m);
	tally_each_rule(t, note_rule, &b);
	assert_non_null(strstr(strbuf_cstr(&b), "r/tag/enforce=1 "));
	assert_non_null(strstr(strbuf_cstr(&b), "r/reject/monitor=2 "));
	arena_free(a);
	tally_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
