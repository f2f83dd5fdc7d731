/*
 * The resolver on libunbound, against a name server that runs in a thread of
 * this program on the loopback: the states of an answer, deadlines, equal
 * questions in flight, the cache, the end with questions outstanding, and
 * what it refuses to start with.  Outages: test_dns_outage.c.
 */
#include "check.h"

#include "base/clock.h"
#include "name_server.h"

static void test_statuses(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		enum dns_status status;
		const char *data, *reason;
		size_t n; /* of the data */
	} cases[] = {
		{"ok.test", DNS_A, DNS_FOUND, "\xc0\0\2\1", NULL, 4},
		{"OK.Test.", DNS_A, DNS_FOUND, "\xc0\0\2\1", NULL, 4},
		/* RFC 7208 3.3, RFC 6376 3.6.2.2: joined, NUL kept */
		{"txt.test", DNS_TXT, DNS_FOUND, "a\0b cd", NULL, 6},
		{"mx.test", DNS_MX, DNS_FOUND, "m.test", NULL, 6},
		{"cname.test", DNS_A, DNS_FOUND, "\xc0\0\2\1", NULL, 4},
		/* over UDP truncated, so over TCP */
		{"big.test", DNS_TXT, DNS_FOUND, NULL, NULL, BIG_TXT},
		/* a backslash is no escape in our names */
		{"a\\b.test", DNS_A, DNS_FOUND, "\xc0\0\2\1", NULL, 4},
		{"nx.test", DNS_A, DNS_NXDOMAIN, NULL, NULL, 0},
		{"nodata.test", DNS_A, DNS_NODATA, NULL, NULL, 0},
		{"servfail.test", DNS_A, DNS_TEMPFAIL, NULL,
		 "DNS server failure", 0},
		/* libunbound asks again, and gives up with SERVFAIL */
		{"refused.test", DNS_A, DNS_TEMPFAIL, NULL,
		 "DNS server failure", 0},
		{"trunc.test", DNS_A, DNS_TEMPFAIL, NULL, NULL, 0},
		{"badname.test", DNS_A, DNS_TEMPFAIL, NULL, NULL, 0},
		{"short.test", DNS_A, DNS_TEMPFAIL, NULL, NULL, 0},
		{"junk.test", DNS_A, DNS_TEMPFAIL, NULL, "time-out", 0},
	};
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 1000);
	struct dns_budget *b = dns_budget_new(d, 8000, 100);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct dns_answer *ans =
			dns_ask(b, cases[i].name, cases[i].type);
		if (ans->status != cases[i].status)
			fail_msg("%s: %s (%s)", cases[i].name,
				 dns_status_name(ans->status),
				 ans->reason != NULL ? ans->reason : "");
		assert_int_equal(ans->security, DNS_INSECURE);
		if (cases[i].reason != NULL)
			assert_string_equal(ans->reason, cases[i].reason);
		if (ans->status != DNS_FOUND)
			continue;
		assert_int_equal(ans->n, 1);
		assert_int_equal(ans->rr[0].data.n, cases[i].n);
		assert_int_equal(ans->ttl, 60);
		if (cases[i].data != NULL)
			assert_memory_equal(ans->rr[0].data.p, cases[i].data,
					    cases[i].n);
	}
	assert_int_equal(dns_ask(b, "mx.test", DNS_MX)->rr[0].preference, 10);
	assert_int_equal(seen("a\\b"), 1);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* A silent server: our own deadlines hold, of a question and of a message. */
static void test_deadline(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 300);
	struct dns_budget *b = dns_budget_new(d, 450, 100);
	int64_t start = clock_mono_ms(), took;
	const struct dns_answer *ans = dns_ask(b, "silent1.test", DNS_TXT);
	struct dns_counters c;

	(void)state;
	took = clock_mono_ms() - start;
	assert_int_equal(ans->status, DNS_TEMPFAIL);
	assert_string_equal(ans->reason, "time-out");
	assert_in_range(took, 290, 1000);
	ans = dns_ask(b, "silent2.test", DNS_TXT);
	assert_string_equal(ans->reason, "DNS time of the message used up");
	start = clock_mono_ms();
	ans = dns_ask(b, "silent3.test", DNS_TXT);
	assert_string_equal(ans->reason, "DNS time of the message used up");
	assert_true(clock_mono_ms() - start < 100);
	assert_in_range(dns_budget_waited_ms(b), 440, 1500);
	assert_int_equal(seen("silent3"), 0);
	dns_counters_get(d, &c);
	assert_int_equal(c.timeouts, 3);
	assert_int_equal(c.by_status[DNS_TEMPFAIL], 3);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* A question that was cut short by what is kept for others is asked anew when
 * they come: SPF must not spoil the question of DMARC (RFC 7208 4.6.4 on time,
 * RFC 9989 5.3.6 on temporary errors). */
static void test_hold_time(void **state)
{
	static const char used_up[] = "DNS time of the message used up";
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 5000);
	struct dns_budget *b = dns_budget_new(d, 1600, 100);
	const struct dns_answer *cut, *ans;

	(void)state;
	dns_budget_hold(b, 0, 1500); /* at most half */
	ans = dns_ask(b, "silent4.test", DNS_TXT);
	assert_string_equal(ans->reason, used_up);
	cut = dns_ask(b, "ok-held.test", DNS_A);
	assert_string_equal(cut->reason, used_up);
	dns_budget_hold(b, 0, 0);
	ans = dns_ask(b, "ok-held.test", DNS_A);
	assert_int_equal(ans->status, DNS_FOUND);
	assert_ptr_equal(dns_ask(b, "ok-held.test", DNS_A), ans);
	assert_string_equal(cut->reason, used_up); /* it still stands */
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

static void test_coalesce(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 2000);
	struct asker askers[8];
	pthread_t threads[8];
	struct dns_counters c;
	size_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		askers[i] = (struct asker){d, "slow.test", DNS_TEMPFAIL, NULL};
		pthread_create(&threads[i], NULL, ask_one, &askers[i]);
	}
	for (i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(askers[i].status, DNS_FOUND);
	}
	assert_int_equal(seen("slow"), 1);
	dns_counters_get(d, &c);
	assert_int_equal(c.asked, 8);
	/* Those who came late found it in the cache. */
	assert_int_equal(c.sent, 1);
	dns_free(d);
	arena_free(a);
}

static void test_cache(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 2000);
	static const char *const names[] = {"ok2.test", "nx2.test",
					    "servfail2.test"};
	unsigned before[3];
	struct dns_counters c;
	size_t i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		struct dns_budget *b = dns_budget_new(d, 5000, 10);
		for (i = 0; i < 3; i++) {
			char label[64] = {0};
			dns_ask(b, names[i], DNS_A);
			memcpy(label, names[i], strlen(names[i]) - 5);
			if (round == 0)
				before[i] = seen(label);
			assert_int_equal(seen(label), before[i]);
		}
		dns_budget_free(b);
	}
	dns_counters_get(d, &c);
	assert_int_equal(c.asked, 9);
	assert_int_equal(c.sent, 3);
	assert_int_equal(c.cache_hits, 6);
	assert_int_equal(c.by_status[DNS_FOUND], 3);
	assert_int_equal(c.by_status[DNS_NXDOMAIN], 3);
	assert_int_equal(c.by_status[DNS_TEMPFAIL], 3);
	dns_free(d);
	arena_free(a);
}

static void test_prefetch(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 2000);
	struct dns_budget *b = dns_budget_new(d, 5000, 2);
	int64_t start = clock_mono_ms();
	struct dns_counters c;
	unsigned i;

	(void)state;
	dns_prefetch(b, "ok3.test", DNS_A);
	dns_prefetch(b, "ok3.test", DNS_A);
	/* No more than max_queries. */
	dns_prefetch(b, "ok4.test", DNS_A);
	assert_true(clock_mono_ms() - start < 100);
	assert_int_equal(dns_budget_queries(b), 0);
	for (i = 0; i < 200 && seen("ok3") == 0; i++)
		usleep(10000);
	usleep(20000);
	assert_int_equal(dns_ask(b, "ok3.test", DNS_A)->status, DNS_FOUND);
	assert_int_equal(dns_budget_queries(b), 1);
	assert_int_equal(seen("ok3"), 1);
	assert_int_equal(seen("ok4"), 0);
	dns_counters_get(d, &c);
	assert_int_equal(c.sent, 1);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* RFC 1035 2.3.4: what cannot exist is not asked. */
static void test_name_limits(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 500);
	struct dns_budget *b = dns_budget_new(d, 1000, 10);
	char name[300];
	struct dns_counters c;

	(void)state;
	memset(name, 'l', 64);
	memcpy(name + 64, ".test", 6);
	assert_int_equal(dns_ask(b, name, DNS_A)->status, DNS_NXDOMAIN);
	memset(name, 'l', sizeof(name));
	name[50] = name[100] = name[150] = name[200] = '.';
	name[254] = '\0';
	assert_int_equal(dns_ask(b, name, DNS_A)->status, DNS_NXDOMAIN);
	dns_counters_get(d, &c);
	assert_int_equal(c.sent, 0);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* The end with questions outstanding: answered, and soon. */
static void test_outstanding(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_resolver(a, 5000);
	struct dns_budget *b = dns_budget_new(d, 5000, 10);
	struct asker k = {d, "silent4.test", DNS_FOUND, NULL};
	int64_t start = clock_mono_ms();
	pthread_t thread;

	(void)state;
	dns_prefetch(b, "silent5.test", DNS_A);
	pthread_create(&thread, NULL, ask_one, &k);
	usleep(150000);
	dns_free(d);
	pthread_join(thread, NULL);
	assert_true(clock_mono_ms() - start < 2000);
	assert_int_equal(k.status, DNS_TEMPFAIL);
	assert_string_equal(k.reason, "resolver stops");
	dns_budget_free(b);
	arena_free(a);
}

static void test_dead_server(void **state)
{
	const char *servers[] = {"127.0.0.1@1"};
	struct dns_options o = {
		.servers = servers, .nservers = 1, .query_timeout_ms = 400};
	struct arena *a = arena_new();
	const char *err = "";
	struct dns *d = dns_new(a, &o, &err);
	struct dns_budget *b = dns_budget_new(d, 1000, 10);
	int64_t start = clock_mono_ms();

	(void)state;
	assert_int_equal(dns_ask(b, "ok.test", DNS_A)->status, DNS_TEMPFAIL);
	assert_true(clock_mono_ms() - start < 1000);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

static void test_bad_options(void **state)
{
	static const char *const bad[] = {
		"",
		"localhost",
		"127.0.0.1@",
		"127.0.0.1@0",
		"127.0.0.1@65536",
		"127.0.0.1 x",
		"127.0.0.1@5\n",
		"1.2.3",
	};
	struct arena *a = arena_new();
	struct dns_options o = {.nservers = 1};
	const char *err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o.servers = &bad[i];
		err = NULL;
		assert_null(dns_new(a, &o, &err));
		assert_non_null(strstr(err, "bad server address"));
	}
	o = (struct dns_options){
		.servers = bad, .nservers = 1, .recursion = true};
	assert_null(dns_new(a, &o, &err));
	assert_non_null(strstr(err, "recursion asks no servers"));
	/* None: those of the system; it starts in any case. */
	o = (struct dns_options){.query_timeout_ms = 100};
	dns_free(dns_new(a, &o, &err));
	arena_free(a);
}

/* ---- trust anchors ---- */

#define ROOT ". IN DS 20326 8 2 "
#define HASH "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"

static void test_trust_anchor(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: it is good */
	} rows[] = {
		{"; the root\n" ROOT HASH "\n", NULL},
		{"", "no DS or DNSKEY record in it"},
		{"; DS\nexample.org. IN A 192.0.2.1\n",
		 "no DS or DNSKEY record in it"},
		{". IN DS 20326 8\n",
		 "no anchor in it that libunbound can use"},
		/* an algorithm that nobody knows (RFC 4035 5.2) */
		{". IN DS 20326 200 2 " HASH "\n",
		 "no anchor in it that libunbound can use"},
		{ROOT HASH "\nDS and more\n",
		 "no anchor in it that libunbound can use"},
	};
	char path[] = "/tmp/mailseal-anchor-XXXXXX";
	struct dns_options o = {.trust_anchor_file = path, .recursion = true};
	struct arena *a = arena_new();
	int fd = mkstemp(path);
	const char *err;
	struct dns *d;
	size_t i;

	(void)state;
	assert_true(fd >= 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ssize_t n = (ssize_t)strlen(rows[i].text);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, rows[i].text, (size_t)n, 0), n);
		err = "";
		d = dns_new(a, &o, &err);
		if (rows[i].want == NULL)
			assert_non_null(d);
		else
			assert_null(d);
		dns_free(d);
		if (rows[i].want != NULL)
			assert_string_equal(
				err, arena_printf(a,
						  "trust anchors %s: %s; "
						  "install dns-root-data or "
						  "correct "
						  "resolver.trust_anchor",
						  path, rows[i].want));
	}
	close(fd);
	unlink(path);
	assert_null(dns_new(a, &o, &err));
	assert_non_null(strstr(err, "No such file or directory; install"));
	o.trust_anchor_file = "/tmp";
	assert_null(dns_new(a, &o, &err));
	assert_non_null(strstr(err, "Is a directory; install"));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_hold_time),
		cmocka_unit_test(test_coalesce),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_prefetch),
		cmocka_unit_test(test_name_limits),
		cmocka_unit_test(test_outstanding),
		cmocka_unit_test(test_dead_server),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_trust_anchor),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
