/* store/window: the sliding sums, against a list of every message. */
#include "check.h"

#include <stdio.h>

#include "store/window.h"

#define HOUR 3600
#define DAY  86400

static bool take(struct window *w, const struct credential_limits *l,
		 int64_t recipients, int64_t now, struct window_over *over)
{
	window_advance(w, window_slot(now));
	return window_take(w, l, recipients, window_slot(now), over);
}

static void test_slot(void **state)
{
	(void)state;
	assert_int_equal(window_slot(0), 0);
	assert_int_equal(window_slot(299), 0);
	assert_int_equal(window_slot(300), 1);
	assert_int_equal(window_slot(-1), -1);
	assert_int_equal(window_slot(-300), -1);
	assert_int_equal(window_slot(-301), -2);
}

/* One message, then time passes. */
struct row {
	const char *name;
	struct credential_limits limits;
	struct {
		int64_t at, recipients;
		bool ok;
		const char *what;
		int64_t frees; /* seconds */
	} v[8];
};

#define PER_HOUR(n)                                                            \
	{                                                                      \
		.messages_per_hour = (n)                                       \
	}
#define PER_DAY(n)                                                             \
	{                                                                      \
		.messages_per_day = (n)                                        \
	}

static const struct row rows[] = {
	{"no limit", {0}, {{0, 1, true, NULL, 0}, {0, 1000, true, NULL, 0}}},
	{"it frees when the slot is an hour old",
	 PER_HOUR(2),
	 {{10, 1, true, NULL, 0},
	  {299, 1, true, NULL, 0},
	  {299, 1, false, "messages per hour", 3900},
	  {3899, 1, false, "messages per hour", 3900},
	  {3900, 1, true, NULL, 0},
	  {3900, 1, true, NULL, 0},
	  {3900, 1, false, "messages per hour", 7800}}},
	{"the first slot is enough",
	 PER_HOUR(3),
	 {{0, 1, true, NULL, 0},
	  {600, 1, true, NULL, 0},
	  {1200, 1, true, NULL, 0},
	  {1500, 1, false, "messages per hour", 3900},
	  {3900, 1, true, NULL, 0},
	  {3900, 1, false, "messages per hour", 4500}}},
	{"a day",
	 PER_DAY(1),
	 {{0, 1, true, NULL, 0},
	  {DAY, 1, false, "messages per day", DAY + 300},
	  {DAY + 299, 1, false, "messages per day", DAY + 300},
	  {DAY + 300, 1, true, NULL, 0}}},
	{"recipients",
	 {.recipients_per_hour = 10},
	 {{0, 4, true, NULL, 0},
	  {300, 6, true, NULL, 0},
	  {301, 1, false, "recipients per hour", 3900},
	  {301, 5, false, "recipients per hour", 4200},
	  {3900, 5, false, "recipients per hour", 4200},
	  {3900, 4, true, NULL, 0}}},
	{"a message that never fits: when one of one recipient does",
	 {.recipients_per_hour = 10},
	 {{0, 11, false, "recipients per hour", 0},
	  {0, 10, true, NULL, 0},
	  {900, 11, false, "recipients per hour", 3900}}},
	{"the same with two slots",
	 {.recipients_per_hour = 10},
	 {{0, 4, true, NULL, 0},
	  {600, 6, true, NULL, 0},
	  {900, 11, false, "recipients per hour", 3900},
	  {900, 10, false, "recipients per hour", 4500}}},
	{"of two limits the last to be free",
	 {.messages_per_hour = 1, .messages_per_day = 2},
	 {{0, 1, true, NULL, 0},
	  {3900, 1, true, NULL, 0},
	  {3900, 1, false, "messages per day", DAY + 300},
	  {DAY + 300, 1, true, NULL, 0}}},
	{"the hour ends later than the day",
	 {.messages_per_hour = 1, .messages_per_day = 2},
	 {{0, 1, true, NULL, 0},
	  {DAY - 300, 1, true, NULL, 0},
	  {DAY - 300, 1, false, "messages per hour", DAY + 3600}}},
	{"the largest limit",
	 {.recipients_per_day = INT64_MAX},
	 {{0, 1000, true, NULL, 0}, {0, INT32_MAX, true, NULL, 0}}},
	{"the clock goes back a little: what was counted stays",
	 PER_HOUR(1),
	 {{3000, 1, true, NULL, 0},
	  {2999, 1, false, "messages per hour", 6900},
	  {2700, 1, false, "messages per hour", 6900}}},
	{"the clock goes back by years: not free, and not locked for ever",
	 PER_HOUR(1),
	 {{9000LL * DAY, 1, true, NULL, 0},
	  {0, 1, false, "messages per hour", 3900},
	  {3899, 1, false, "messages per hour", 3900},
	  {3900, 1, true, NULL, 0}}},
	{"and of the day",
	 PER_DAY(1),
	 {{9000LL * DAY, 1, true, NULL, 0},
	  {0, 1, false, "messages per day", DAY + 300},
	  {DAY + 300, 1, true, NULL, 0}}},
	{"the clock goes forward: all is forgotten",
	 PER_DAY(1),
	 {{0, 1, true, NULL, 0},
	  {9000LL * DAY, 1, true, NULL, 0},
	  {9000LL * DAY, 1, false, "messages per day", 9001LL * DAY + 300}}},
	{"before 1970",
	 PER_HOUR(1),
	 {{-3600, 1, true, NULL, 0},
	  {-1, 1, false, "messages per hour", 300},
	  {300, 1, true, NULL, 0}}},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct window w = {0};

		for (size_t j = 0; j < 8; j++) {
			struct window_over o;
			bool ok;

			if (r->v[j].recipients == 0)
				break;
			ok = take(&w, &r->limits, r->v[j].recipients,
				  r->v[j].at, &o);
			if (ok != r->v[j].ok ||
			    (!ok && (strcmp(o.what, r->v[j].what) != 0 ||
				     o.frees * SLOT_SECONDS != r->v[j].frees)))
				fail_msg("%s: step %zu: %d %s %lld", r->name, j,
					 ok, ok ? "" : o.what,
					 ok ? 0
					    : (long long)o.frees *
							 SLOT_SECONDS);
		}
		window_done(&w);
	}
}

/* ---- every message by itself --------------------------------------------- */

struct event {
	int64_t at, recipients;
};

#define EVENTS 6000

static uint64_t seed;

static int64_t below(int64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int64_t)((seed >> 33) % (uint64_t)n);
}

/* Messages, or recipients, in the span of seconds that ends at events[last]. */
static int64_t within(const struct event *v, size_t last, int64_t span,
		      bool recipients)
{
	int64_t n = 0;

	for (size_t i = last + 1; i > 0 && v[i - 1].at > v[last].at - span; i--)
		n += recipients ? v[i - 1].recipients : 1;
	return n;
}

static void check_limit(const struct event *v, size_t last, int64_t span,
			bool recipients, int64_t limit)
{
	if (limit > 0)
		assert_true(within(v, last, span, recipients) <= limit);
}

static void copy_of(const struct window *w, struct window *ret)
{
	*ret = (struct window){w->n, w->n, NULL};
	ret->v = malloc(w->n * sizeof(*w->v) + 1);
	memcpy(ret->v, w->v, w->n * sizeof(*w->v));
}

/* What was refused is taken at `frees`, and not a second before. */
static void check_frees(const struct window *w,
			const struct credential_limits *l, int64_t recipients,
			int64_t now, int64_t frees)
{
	struct window_over o;
	struct window c;

	assert_true(frees > now);
	copy_of(w, &c);
	assert_true(take(&c, l, recipients, frees, &o));
	window_done(&c);
	if (frees - 1 <= now)
		return;
	copy_of(w, &c);
	assert_false(take(&c, l, recipients, frees - 1, &o));
	window_done(&c);
}

/* Refused, though the same span and five minutes more would hold it? */
static bool is_needless(const struct event *v, size_t n,
			const struct credential_limits *l, int64_t recipients,
			int64_t now)
{
	struct {
		int64_t limit, span;
		bool recipients;
	} const r[] = {
		{l->messages_per_hour, HOUR, false},
		{l->messages_per_day, DAY, false},
		{l->recipients_per_hour, HOUR, true},
		{l->recipients_per_day, DAY, true},
	};

	for (size_t i = 0; i < 4; i++) {
		int64_t have = r[i].recipients ? recipients : 1;

		for (size_t j = n;
		     j > 0 && v[j - 1].at > now - r[i].span - SLOT_SECONDS; j--)
			have += r[i].recipients ? v[j - 1].recipients : 1;
		if (r[i].limit > 0 && have > r[i].limit)
			return false;
	}
	return true;
}

static void run_property(uint64_t number)
{
	static struct event v[EVENTS];
	struct window w = {0};
	size_t n = 0, refused = 0;
	int64_t now = below(1000000);
	struct credential_limits l = {
		.messages_per_hour = below(2) * (1 + below(40)),
		.messages_per_day = below(2) * (1 + below(300)),
		.recipients_per_hour = below(2) * (10 + below(200)),
		.recipients_per_day = below(2) * (10 + below(2000)),
	};

	for (size_t i = 0; i < EVENTS; i++) {
		const int64_t recipients = 1 + below(10);
		struct window_over o;

		now += below(10) > 0 ? below(200) : below(8000);
		if (take(&w, &l, recipients, now, &o)) {
			v[n] = (struct event){now, recipients};
			check_limit(v, n, HOUR, false, l.messages_per_hour);
			check_limit(v, n, HOUR, true, l.recipients_per_hour);
			check_limit(v, n, DAY, false, l.messages_per_day);
			check_limit(v, n, DAY, true, l.recipients_per_day);
			n++;
			continue;
		}
		if (refused++ % 16 == 0)
			check_frees(&w, &l, recipients, now,
				    o.frees * SLOT_SECONDS);
		if (is_needless(v, n, &l, recipients, now))
			fail_msg("run %llu: refused without need",
				 (unsigned long long)number);
		assert_true(w.n <= DAY_SLOTS);
	}
	window_done(&w);
}

static void test_property(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 24; i++) {
		seed = i;
		run_property(i);
	}
}

/* ---- the store's side ---------------------------------------------------- */

static void test_learn(void **state)
{
	const struct credential_limits l = PER_HOUR(5);
	struct window_over o;
	struct window w = {0};

	(void)state;
	assert_true(take(&w, &l, 2, 600, &o));
	assert_true(take(&w, &l, 2, 600, &o));
	assert_true(window_has_fresh(&w));
	/* others: 2; of ours one is written */
	window_learn(&w, 2, (struct amount){3, 6}, (struct amount){1, 2});
	assert_int_equal(w.v[0].known.messages, 3);
	assert_int_equal(w.v[0].fresh.messages, 1);
	assert_int_equal(w.v[0].fresh.recipients, 2);
	assert_true(take(&w, &l, 1, 600, &o));
	assert_false(take(&w, &l, 1, 600, &o));
	/* a store that has less undoes nothing */
	window_learn(&w, 2, (struct amount){0, 0}, (struct amount){9, 9});
	assert_int_equal(w.v[0].known.messages, 3);
	assert_int_equal(w.v[0].fresh.messages, 0);
	assert_false(window_has_fresh(&w));
	/* slots in any order stay in order */
	window_learn(&w, 1, (struct amount){1, 1}, (struct amount){0});
	window_learn(&w, 3, (struct amount){1, 1}, (struct amount){0});
	window_learn(&w, 0, (struct amount){1, 1}, (struct amount){0});
	assert_int_equal(w.n, 4);
	for (size_t i = 0; i < w.n; i++)
		assert_int_equal(w.v[i].number, i);
	window_advance(&w, DAY_SLOTS + 3);
	assert_int_equal(w.n, 0);
	window_done(&w);
}

/* Counts at their bounds do not overflow, wherever they come from. */
static void test_bounds(void **state)
{
	const struct credential_limits l = {.recipients_per_day = INT64_MAX};
	struct window_over o;
	struct window w = {0};

	(void)state;
	for (int64_t i = 0; i < DAY_SLOTS; i++)
		window_learn(&w, i, (struct amount){COUNT_MAX, COUNT_MAX},
			     (struct amount){0});
	for (int i = 0; i < 10; i++)
		assert_true(
			take(&w, &l, COUNT_MAX, 300LL * (DAY_SLOTS - 1), &o));
	assert_int_equal(w.v[w.n - 1].fresh.recipients, COUNT_MAX);
	window_advance(&w, 0); /* all but two are in the future */
	assert_int_equal(w.n, 2);
	assert_int_equal(w.v[0].known.recipients, COUNT_MAX);
	assert_int_equal(w.v[0].known.messages, COUNT_MAX);
	window_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot),	 cmocka_unit_test(test_table),
		cmocka_unit_test(test_property), cmocka_unit_test(test_learn),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
