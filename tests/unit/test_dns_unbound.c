/*
 * The resolver on libunbound, against a name server that runs in a thread of
 * this program on the loopback: the states of an answer, deadlines, equal
 * questions in flight, the cache, and the end with questions outstanding.
 */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "dns/dns.h"

/* ---- the name server: one behaviour for each first label ---- */

#define SEEN_MAX 512
#define BIG_TXT	 3000

static struct server {
	int udp, tcp, stop[2];
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	char seen[SEEN_MAX][64]; /* first labels of the questions */
	size_t nseen;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct reply {
	unsigned char b[8192];
	size_t n;
};

static void put(struct reply *r, const void *p, size_t n)
{
	memcpy(r->b + r->n, p, n);
	r->n += n;
}
#define PUT(r, literal) put((r), (literal), sizeof(literal) - 1)

#define OWNER "\xc0\x0c"
#define TTL60 "\0\0\0\x3c"

static void put_big(struct reply *r)
{
	unsigned char one[256];
	size_t left = BIG_TXT, rdata = BIG_TXT + (BIG_TXT + 249) / 250;

	r->b[7] = 1;
	PUT(r, OWNER "\0\x10\0\1" TTL60);
	put(r,
	    (unsigned char[]){(unsigned char)(rdata >> 8),
			      (unsigned char)rdata},
	    2);
	memset(one, 'x', sizeof(one));
	one[0] = 250;
	for (; left > 0; left -= 250)
		put(r, one, 251);
}

static void note(const char *label, size_t n)
{
	pthread_mutex_lock(&server.lock);
	if (server.nseen < SEEN_MAX) {
		memcpy(server.seen[server.nseen], label, n);
		server.seen[server.nseen++][n] = '\0';
	}
	pthread_mutex_unlock(&server.lock);
}

static bool is(const char *label, const char *what)
{
	return strncmp(label, what, strlen(what)) == 0;
}

/* What stands behind the question section; false: say nothing. */
static bool answer(struct reply *r, const char *label, bool tcp)
{
	if (is(label, "silent"))
		return false;
	if (is(label, "slow"))
		usleep(200000);
	if (is(label, "ok") || is(label, "slow") || is(label, "a\\b")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\1\0\1" TTL60 "\0\4\xc0\0\2\1");
	} else if (is(label, "txt")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\x10\0\1" TTL60 "\0\x8\3a\0b\3 cd");
	} else if (is(label, "mx")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\x0f\0\1" TTL60 "\0\6\0\x0a\1M\xc0\x0f");
	} else if (is(label, "cname")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\5\0\1" TTL60 "\0\x09\2ok\4test\0");
	} else if (is(label, "nx")) {
		r->b[3] |= 3;
	} else if (is(label, "servfail")) {
		r->b[3] |= 2;
	} else if (is(label, "refused")) {
		r->b[3] |= 5;
	} else if (is(label, "trunc") || (is(label, "big") && !tcp)) {
		if (tcp)
			return false;
		r->b[2] |= 2;
	} else if (is(label, "big")) {
		put_big(r);
	} else if (is(label, "badname")) {
		/* a pointer to itself */
		r->b[7] = 1;
		PUT(r, "\xc0\x1e\0\1\0\1" TTL60 "\0\4\xc0\0\2\1");
	} else if (is(label, "short")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\1\0\1" TTL60 "\0\4\xc0\0");
	} else if (is(label, "junk")) {
		r->n = 3;
	}
	return true;
}

/* Makes the reply to a question; false: none. */
static bool reply_to(const unsigned char *q, size_t n, struct reply *r,
		     bool tcp)
{
	size_t at = 12, label = n > 12 ? q[12] : 0;
	char first[64];

	if (n < 17 || label > 63 || 13 + label > n)
		return false;
	while (at < n && q[at] != 0)
		at += (size_t)q[at] + 1;
	at += 5;
	if (at > n)
		return false;
	memcpy(first, q + 13, label);
	first[label] = '\0';
	note(first, label);
	r->n = 0;
	put(r, q, at);
	memset(r->b + 6, 0, 6);
	r->b[2] = 0x81;
	r->b[3] = 0x80;
	return answer(r, first, tcp);
}

static void serve_udp(void)
{
	unsigned char q[2048];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct reply r;
	ssize_t n = recvfrom(server.udp, q, sizeof(q), 0,
			     (struct sockaddr *)&from, &len);

	if (n > 0 && reply_to(q, (size_t)n, &r, false))
		sendto(server.udp, r.b, r.n, 0, (struct sockaddr *)&from, len);
}

static void serve_tcp(void)
{
	int fd = accept(server.tcp, NULL, NULL);
	unsigned char q[2048], len[2];
	struct reply r;
	ssize_t n;

	if (fd < 0)
		return;
	n = recv(fd, len, 2, MSG_WAITALL);
	if (n == 2 && (size_t)len[0] * 256 + len[1] <= sizeof(q)) {
		n = recv(fd, q, (size_t)len[0] * 256 + len[1], MSG_WAITALL);
		if (n > 0 && reply_to(q, (size_t)n, &r, true)) {
			len[0] = (unsigned char)(r.n >> 8);
			len[1] = (unsigned char)r.n;
			if (send(fd, len, 2, MSG_NOSIGNAL) == 2)
				send(fd, r.b, r.n, MSG_NOSIGNAL);
		}
	}
	close(fd);
}

static void *serve(void *data)
{
	struct pollfd p[3] = {
		{.fd = server.udp, .events = POLLIN},
		{.fd = server.tcp, .events = POLLIN},
		{.fd = server.stop[0], .events = POLLIN},
	};

	(void)data;
	while (poll(p, 3, -1) >= 0 && p[2].revents == 0) {
		if (p[0].revents != 0)
			serve_udp();
		if (p[1].revents != 0)
			serve_tcp();
	}
	return NULL;
}

/* One port for UDP and TCP. */
static int server_start(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.tcp = socket(AF_INET, SOCK_STREAM, 0);
	server.udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(server.tcp, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    getsockname(server.tcp, (struct sockaddr *)&a, &len) != 0 ||
	    bind(server.udp, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(server.tcp, 16) != 0 || pipe(server.stop) != 0)
		return -1;
	server.port = ntohs(a.sin_port);
	return pthread_create(&server.thread, NULL, serve, NULL);
}

static int server_stop(void **state)
{
	(void)state;
	if (write(server.stop[1], "", 1) != 1)
		return -1;
	pthread_join(server.thread, NULL);
	close(server.udp);
	close(server.tcp);
	close(server.stop[0]);
	close(server.stop[1]);
	return 0;
}

static unsigned seen(const char *label)
{
	unsigned n = 0;
	size_t i;

	pthread_mutex_lock(&server.lock);
	for (i = 0; i < server.nseen; i++)
		n += strcmp(server.seen[i], label) == 0;
	pthread_mutex_unlock(&server.lock);
	return n;
}

static struct dns *open_resolver(struct arena *a, unsigned query_timeout_ms)
{
	const char *servers[] = {arena_printf(a, "127.0.0.1@%u", server.port)};
	struct dns_options o = {.servers = servers,
				.nservers = 1,
				.query_timeout_ms = query_timeout_ms,
				.cache_bytes = 1 << 20};
	const char *err = "";
	struct dns *d = dns_new(a, &o, &err);

	if (d == NULL)
		fail_msg("%s", err);
	return d;
}

/* ---- the tests ---- */

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

struct asker {
	struct dns *d;
	const char *name;
	enum dns_status status;
	const char *reason;
};

static void *ask_one(void *data)
{
	struct asker *k = data;
	struct dns_budget *b = dns_budget_new(k->d, 5000, 10);
	const struct dns_answer *ans = dns_ask(b, k->name, DNS_A);

	k->status = ans->status;
	k->reason = ans->reason;
	dns_budget_free(b);
	return NULL;
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
	/* None: those of the system; it starts in any case. */
	o = (struct dns_options){.query_timeout_ms = 100};
	dns_free(dns_new(a, &o, &err));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_coalesce),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_prefetch),
		cmocka_unit_test(test_name_limits),
		cmocka_unit_test(test_outstanding),
		cmocka_unit_test(test_dead_server),
		cmocka_unit_test(test_bad_options),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
