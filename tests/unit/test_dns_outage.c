/*
 * The resolver on libunbound when servers are silent, and when there is more to
 * ask than is good for it.
 */
#include "check.h"

#include <semaphore.h>
#include <stdio.h>

#include "base/clock.h"
#include "name_server.h"

struct told {
	atomic_uint begun, ended;
};

static void on_outage(void *arg, bool outage)
{
	struct told *t = arg;

	atomic_fetch_add(outage ? &t->begun : &t->ended, 1);
}

/* The resolver's own thread waits here. */
static void get_stuck(void *arg, bool outage)
{
	if (outage)
		sem_wait(arg);
}

static const struct dns_answer *ask_a(struct dns_budget *b, const char *name)
{
	return dns_ask(b, name, DNS_A);
}

static bool in_outage(struct dns *d)
{
	struct dns_counters c;

	dns_counters_get(d, &c);
	return c.outage;
}

/* At most `ms`. */
static bool wait_for_end(struct dns *d, unsigned ms)
{
	unsigned i;

	for (i = 0; i < ms / 10 && in_outage(d); i++)
		usleep(10000);
	return !in_outage(d);
}

/* Questions with the label of a probe: 16 hexadecimal digits. */
static unsigned probes_seen(void)
{
	unsigned n = 0;
	size_t i;

	pthread_mutex_lock(&server.lock);
	for (i = 0; i < server.nseen; i++)
		n += strspn(server.seen[i], "0123456789abcdef") == 16;
	pthread_mutex_unlock(&server.lock);
	return n;
}

static void time_out(struct dns_budget *b, const char *name)
{
	const struct dns_answer *ans = ask_a(b, name);

	assert_int_equal(ans->status, DNS_TEMPFAIL);
	assert_string_equal(ans->reason, "time-out");
}

#define OUTAGE "DNS servers do not answer"

static void *ask_later(void *data)
{
	usleep(300000);
	return ask_one(data);
}

/* Four time-outs; when nobody answers a probe either, `k` is woken, before its
 * own time is over. */
static void fall_silent(struct dns *d, struct dns_budget *b)
{
	struct asker k = {d, "waiter.test", DNS_FOUND, NULL};
	pthread_t thread;

	atomic_store(&server.mute, true);
	time_out(b, "o1.test");
	time_out(b, "o2.test");
	time_out(b, "o3.test");
	assert_false(in_outage(d));
	pthread_create(&thread, NULL, ask_later, &k);
	time_out(b, "o4.test");
	pthread_join(thread, NULL);
	assert_int_equal(k.status, DNS_TEMPFAIL);
	assert_string_equal(k.reason, OUTAGE);
	assert_true(in_outage(d));
}

static void test_outage(void **state)
{
	struct told told = {0, 0};
	struct arena *a = arena_new();
	struct dns *d =
		open_with(a, (struct dns_options){.query_timeout_ms = 400,
						  .outage_after = 4,
						  .probe_ms = 100,
						  .on_outage = on_outage,
						  .on_outage_arg = &told});
	struct dns_budget *b = dns_budget_new(d, 5000, 50);
	const struct dns_answer *ans;
	unsigned probes = probes_seen();
	struct dns_counters c;
	int64_t start;

	(void)state;
	assert_int_equal(ask_a(b, "ok5.test")->status, DNS_FOUND);
	fall_silent(d, b);
	/* At once, and it is no answer to keep; the cache still answers. */
	start = clock_mono_ms();
	ans = ask_a(b, "ok6.test");
	assert_int_equal(ans->status, DNS_TEMPFAIL);
	assert_string_equal(ans->reason, OUTAGE);
	dns_prefetch(b, "ok7.test", DNS_A);
	dns_budget_free(b);
	b = dns_budget_new(d, 5000, 50);
	assert_int_equal(ask_a(b, "ok5.test")->status, DNS_FOUND);
	assert_true(clock_mono_ms() - start < 100);
	dns_counters_get(d, &c);
	assert_int_equal(c.refused, 1);
	assert_int_equal(c.timeouts, 4);
	assert_int_equal(c.outages, 1);
	/* Long enough for a second new context. */
	usleep(600000);
	assert_true(in_outage(d));
	assert_true(probes_seen() - probes >= 5);
	assert_int_equal(seen("ok7"), 0);
	atomic_store(&server.mute, false);
	assert_true(wait_for_end(d, 1000));
	start = clock_mono_ms();
	assert_int_equal(ask_a(b, "ok6.test")->status, DNS_FOUND);
	assert_int_equal(ask_a(b, "o1.test")->status, DNS_NODATA);
	assert_true(clock_mono_ms() - start < 100);
	assert_int_equal(atomic_load(&told.begun), 1);
	assert_int_equal(atomic_load(&told.ended), 1);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* A server that fails quickly is alive, and any answer begins anew. */
static void test_no_outage(void **state)
{
	struct arena *a = arena_new();
	struct dns *d =
		open_with(a, (struct dns_options){.query_timeout_ms = 1500,
						  .outage_after = 3});
	struct dns_budget *b = dns_budget_new(d, 9000, 50);
	struct dns_counters c;
	char name[32];
	unsigned i;

	(void)state;
	for (i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "%s-%u.test",
			 i % 2 == 0 ? "servfail" : "refused", i);
		assert_string_equal(ask_a(b, name)->reason,
				    "DNS server failure");
	}
	dns_budget_free(b);
	dns_free(d);
	d = open_with(a, (struct dns_options){.query_timeout_ms = 200,
					      .outage_after = 3});
	b = dns_budget_new(d, 9000, 50);
	for (i = 0; i < 3; i++) {
		time_out(b, arena_printf(a, "silent-a%u.test", i));
		time_out(b, arena_printf(a, "silent-b%u.test", i));
		assert_int_equal(
			ask_a(b, arena_printf(a, "nx-%u.test", i))->status,
			DNS_NXDOMAIN);
	}
	dns_counters_get(d, &c);
	assert_int_equal(c.outages, 0);
	assert_int_equal(c.refused, 0);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* The dead names of one sender make a suspicion, which a probe ends. */
static void test_dead_names(void **state)
{
	struct arena *a = arena_new();
	struct dns *d =
		open_with(a, (struct dns_options){.query_timeout_ms = 200,
						  .outage_after = 3});
	struct dns_budget *b = dns_budget_new(d, 9000, 50);
	unsigned probes = probes_seen();
	struct dns_counters c;

	(void)state;
	time_out(b, "silent-c1.test");
	time_out(b, "silent-c2.test");
	time_out(b, "silent-c3.test");
	usleep(500000);
	assert_int_equal(probes_seen() - probes, 1);
	dns_counters_get(d, &c);
	assert_int_equal(c.outages, 0);
	assert_int_equal(ask_a(b, "ok8.test")->status, DNS_FOUND);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* One more is not made to wait, not even for a question in flight. */
static void test_max_waiting(void **state)
{
	struct arena *a = arena_new();
	struct dns *d =
		open_with(a, (struct dns_options){.query_timeout_ms = 600,
						  .max_waiting = 2});
	struct dns_budget *b = dns_budget_new(d, 9000, 50);
	struct asker askers[2];
	pthread_t threads[2];
	struct dns_counters c;
	int64_t start;
	size_t i;

	(void)state;
	assert_int_equal(ask_a(b, "ok9.test")->status, DNS_FOUND);
	for (i = 0; i < 2; i++) {
		askers[i] = (struct asker){d, "silent-d.test", DNS_FOUND, NULL};
		pthread_create(&threads[i], NULL, ask_one, &askers[i]);
	}
	usleep(200000);
	start = clock_mono_ms();
	assert_string_equal(ask_a(b, "ok10.test")->reason,
			    "too many sessions wait for the DNS");
	assert_string_equal(ask_a(b, "silent-d.test")->reason,
			    "too many sessions wait for the DNS");
	dns_budget_free(b);
	b = dns_budget_new(d, 9000, 50);
	assert_int_equal(ask_a(b, "ok9.test")->status, DNS_FOUND);
	assert_true(clock_mono_ms() - start < 100);
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_string_equal(askers[i].reason, "time-out");
	}
	assert_int_equal(ask_a(b, "ok10.test")->status, DNS_FOUND);
	dns_counters_get(d, &c);
	assert_int_equal(c.refused, 2);
	assert_int_equal(c.timeouts, 2);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

#define ASKERS	  16
#define ASKS_EACH 240

struct crowd {
	struct dns *d;
	unsigned from;
	unsigned left; /* without an answer */
};

/* Asks, and does not wait for the answer. */
static void *ask_many(void *data)
{
	struct crowd *k = data;
	char name[32];
	unsigned i;

	for (i = 0; i < ASKS_EACH; i++) {
		struct dns_budget *b = dns_budget_new(k->d, 1, 1);
		snprintf(name, sizeof(name), "q%u.test", k->from + i);
		if (strcmp(ask_a(b, name)->reason,
			   "DNS time of the message used up") == 0)
			k->left++;
		dns_budget_free(b);
	}
	return NULL;
}

/* What nobody waits for any more is still in flight, and bounded. */
static void test_max_in_flight(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 20000);
	struct dns_budget *b = dns_budget_new(d, 1000, 5000);
	struct crowd crowd[ASKERS];
	pthread_t threads[ASKERS];
	struct dns_counters c;
	unsigned i;

	(void)state;
	atomic_store(&server.mute, true);
	for (i = 0; i < 300; i++)
		dns_prefetch(b, arena_printf(a, "p%u.test", i), DNS_A);
	dns_counters_get(d, &c);
	assert_int_equal(c.sent, 256);
	for (i = 0; i < ASKERS; i++) {
		crowd[i] = (struct crowd){d, i * ASKS_EACH, 0};
		pthread_create(&threads[i], NULL, ask_many, &crowd[i]);
	}
	for (i = 0; i < ASKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(crowd[i].left, ASKS_EACH);
	}
	assert_string_equal(ask_a(b, "ok11.test")->reason,
			    "too many DNS questions at once");
	dns_counters_get(d, &c);
	assert_int_equal(c.sent, 4096);
	assert_int_equal(c.refused, 1);
	atomic_store(&server.mute, false);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* Does the count grow within a second and a half? */
static bool beats(struct dns *d)
{
	uint64_t before, now = 0;

	assert_true(dns_beats(d, &before));
	for (unsigned i = 0; i < 150; i++) {
		assert_true(dns_beats(d, &now));
		if (now != before)
			return true;
		usleep(10000);
	}
	return false;
}

/* The thread counts under load and while nothing answers, and does not when
 * something holds it up. */
static void test_beats(void **state)
{
	struct arena *a = arena_new();
	sem_t held;
	struct dns *d = open_with(
		a, (struct dns_options){.query_timeout_ms = 300,
					.outage_after = 4,
					.probe_ms = 100,
					.on_outage = get_stuck,
					.on_outage_arg = &held});
	struct dns_budget *b = dns_budget_new(d, 5000, 500);

	(void)state;
	sem_init(&held, 0, 0);
	for (unsigned i = 0; i < 200; i++)
		dns_prefetch(b, arena_printf(a, "b%u.test", i), DNS_A);
	assert_true(beats(d));
	fall_silent(d, b);
	assert_false(beats(d));
	sem_post(&held);
	assert_true(beats(d));
	atomic_store(&server.mute, false);
	dns_budget_free(b);
	dns_free(d);
	sem_destroy(&held);
	d = dns_new_zone_text(a, SLICE(""), NULL);
	assert_false(dns_beats(d, &(uint64_t){0}));
	dns_free(d);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outage),
		cmocka_unit_test(test_no_outage),
		cmocka_unit_test(test_beats),
		cmocka_unit_test(test_dead_names),
		cmocka_unit_test(test_max_waiting),
		cmocka_unit_test(test_max_in_flight),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
