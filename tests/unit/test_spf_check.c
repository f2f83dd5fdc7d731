/*
 * SPF evaluation, RFC 7208 section 4: the classes of results that stock
 * libspf2 gets wrong, its hazards, the limits of 4.6.4, and the identities.
 * Every table row is one check of u@DOMAIN from an address.
 */
#include "check.h"

#include "mail/domain.h"
#include "spf/spf.h"

struct world {
	struct arena *arena;
	struct dns *dns;
	struct dns_budget *budget;
};

static void world_open(struct world *w, struct slice zone)
{
	const char *err = NULL;

	w->arena = arena_new();
	w->dns = dns_new_zone_text(w->arena, zone, &err);
	if (w->dns == NULL)
		fail_msg("%s", err);
	w->budget = dns_budget_new(w->dns, 5000, 1000);
}

static void world_close(struct world *w)
{
	dns_budget_free(w->budget);
	dns_free(w->dns);
	arena_free(w->arena);
}

static struct spf_query query_of(const char *ip, const char *domain)
{
	struct spf_query q = {
		.helo = SLICE("helo.example"),
		.receiver = "mx.example",
		.now = 1,
		.sender = {.local = SLICE("u"), .domain = domain},
	};

	assert_true(ip_parse(slice_of(ip), &q.client));
	return q;
}

static struct spf_result check_one(struct world *w, const char *ip,
				   const char *domain)
{
	struct spf_query q = query_of(ip, domain);
	struct spf_result r;

	spf_check_mailfrom(w->arena, w->budget, &q, &r);
	assert_true(r.checked);
	return r;
}

struct row {
	const char *ip;
	const char *domain;
	enum spf_status status;
	const char *explanation;
};

static void check_rows(const char *zone, const struct row *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct world w;
		struct spf_result r;

		world_open(&w, slice_of(zone));
		r = check_one(&w, t[i].ip, t[i].domain);
		if (r.status != t[i].status)
			fail_msg("%s %s: %s (%s)", t[i].ip, t[i].domain,
				 spf_status_name(r.status),
				 r.reason != NULL ? r.reason : "");
		if (t[i].explanation == NULL)
			assert_null(r.explanation);
		else
			assert_string_equal(r.explanation, t[i].explanation);
		world_close(&w);
	}
}
#define CHECK_ROWS(zone, t) check_rows(zone, t, sizeof(t) / sizeof((t)[0]))

/* Class A: an error is temperror or permerror, never "no result". */
static void test_errors(void **state)
{
	static const char zone[] =
		"bad.example TXT \"v=spf1 ip4:1.2.3.4 a/33 -all\"\n"
		"slow.example TXT !TIMEOUT\n"
		"broken.example ANY !SERVFAIL\n"
		"a.example TXT \"v=spf1 a:broken.example -all\"\n"
		"inc.example TXT \"v=spf1 include:slow.example -all\"\n"
		"inc2.example TXT \"v=spf1 include:bad.example -all\"\n"
		"inc3.example TXT \"v=spf1 include:none.example -all\"\n"
		"red.example TXT \"v=spf1 redirect=none.example\"\n"
		"early.example TXT \"v=spf1 ip4:1.2.3.4 a:broken.example\"\n"
		"two.example TXT \"v=spf1 -all\"\n"
		"two.example TXT \"v=spf1 +all\"\n"
		"nul.example TXT \"v=spf1 ip4:1.2.3.4\\000 -all\"\n"
		"empty.example A 192.0.2.1\n"
		"v10.example TXT \"v=spf10 -all\"\n";
	static const struct row t[] = {
		{"1.2.3.4", "bad.example", SPF_STATUS_PERMERROR, NULL},
		{"1.2.3.4", "slow.example", SPF_STATUS_TEMPERROR, NULL},
		{"1.2.3.4", "broken.example", SPF_STATUS_TEMPERROR, NULL},
		{"1.2.3.4", "a.example", SPF_STATUS_TEMPERROR, NULL},
		{"1.2.3.4", "inc.example", SPF_STATUS_TEMPERROR, NULL},
		{"1.2.3.4", "inc2.example", SPF_STATUS_PERMERROR, NULL},
		{"1.2.3.4", "inc3.example", SPF_STATUS_PERMERROR, NULL},
		{"1.2.3.4", "red.example", SPF_STATUS_PERMERROR, NULL},
		{"1.2.3.4", "early.example", SPF_STATUS_PASS, NULL},
		{"1.2.3.5", "early.example", SPF_STATUS_TEMPERROR, NULL},
		{"1.2.3.4", "two.example", SPF_STATUS_PERMERROR, NULL},
		{"1.2.3.4", "nul.example", SPF_STATUS_PERMERROR, NULL},
		{"1.2.3.4", "empty.example", SPF_STATUS_NONE, NULL},
		{"1.2.3.4", "v10.example", SPF_STATUS_NONE, NULL},
		{"1.2.3.4", "no.such.example", SPF_STATUS_NONE, NULL},
		{"1.2.3.4", "example", SPF_STATUS_NONE, NULL},
	};

	(void)state;
	CHECK_ROWS(zone, t);
}

/* Each mechanism, class B (mapped clients), E (/0), loopback. */
static void test_mechanisms(void **state)
{
	static const char zone[] =
		"host.example A 192.0.2.10\n"
		"host.example AAAA 2001:db8::10\n"
		"mail.example MX 10 gone.example\n"
		"mail.example MX 20 host.example\n"
		"a.example TXT \"v=spf1 a:host.example -all\"\n"
		"a24.example TXT \"v=spf1 a:host.example/24//64 -all\"\n"
		"a0.example TXT \"v=spf1 a:host.example/0//0 -all\"\n"
		"mx.example TXT \"v=spf1 mx:mail.example -all\"\n"
		"mx0.example TXT \"v=spf1 mx:mail.example/0 ~all\"\n"
		"gone0.example TXT \"v=spf1 a:gone.example/0 ~all\"\n"
		"ip4.example TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n"
		"ip40.example TXT \"v=spf1 ip4:10.0.0.0/0 -all\"\n"
		"ip6.example TXT \"v=spf1 ip6:2001:db8::/32 -all\"\n"
		"ip60.example TXT \"v=spf1 ip6:::/0 -all\"\n"
		"map.example TXT \"v=spf1 ip6:::ffff:192.0.2.10 -all\"\n"
		"ex.example TXT \"v=spf1 exists:%{ir}.list.example -all\"\n"
		"10.2.0.192.list.example A 127.0.0.2\n"
		"ex6.example TXT \"v=spf1 exists:host.example -all\"\n"
		"ptr.example TXT \"v=spf1 ptr -all\"\n"
		"ptr2.example TXT \"v=spf1 ptr:ptr.example -all\"\n"
		"x.ptr.example A 192.0.2.10\n"
		"10.2.0.192.in-addr.arpa PTR liar.ptr.example\n"
		"10.2.0.192.in-addr.arpa PTR broken.example\n"
		"10.2.0.192.in-addr.arpa PTR x.ptr.example\n"
		"broken.example ANY !SERVFAIL\n"
		"11.2.0.192.in-addr.arpa PTR !TIMEOUT\n"
		"all.example TXT \"v=spf1 -all\"\n"
		"neutral.example TXT \"v=spf1 ?all\"\n"
		"end.example TXT \"v=spf1\"\n"
		"colon.example TXT \"v=spf1 a:foo:bar/baz.host.example -all\"\n"
		"foo:bar/baz.host.example A 192.0.2.10\n";
	static const struct row t[] = {
		{"192.0.2.10", "a.example", SPF_STATUS_PASS, NULL},
		{"::ffff:192.0.2.10", "a.example", SPF_STATUS_PASS, NULL},
		{"2001:db8::10", "a.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.11", "a.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.11", "a24.example", SPF_STATUS_PASS, NULL},
		{"192.0.3.11", "a24.example", SPF_STATUS_FAIL, NULL},
		{"2001:db8::99", "a24.example", SPF_STATUS_PASS, NULL},
		{"2001:db8:0:1::9", "a24.example", SPF_STATUS_FAIL, NULL},
		{"198.51.100.1", "a0.example", SPF_STATUS_PASS, NULL},
		{"fe80::1", "a0.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.10", "mx.example", SPF_STATUS_PASS, NULL},
		{"2001:db8::10", "mx.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.11", "mx.example", SPF_STATUS_FAIL, NULL},
		{"198.51.100.1", "mx0.example", SPF_STATUS_PASS, NULL},
		{"198.51.100.1", "gone0.example", SPF_STATUS_SOFTFAIL, NULL},
		{"192.0.2.10", "ip4.example", SPF_STATUS_PASS, NULL},
		{"::ffff:192.0.2.10", "ip4.example", SPF_STATUS_PASS, NULL},
		{"192.0.3.10", "ip4.example", SPF_STATUS_FAIL, NULL},
		{"::c000:20a", "ip4.example", SPF_STATUS_FAIL, NULL},
		{"198.51.100.1", "ip40.example", SPF_STATUS_PASS, NULL},
		{"fe80::1", "ip40.example", SPF_STATUS_FAIL, NULL},
		{"2001:db8:ffff::", "ip6.example", SPF_STATUS_PASS, NULL},
		{"2001:db9::", "ip6.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.10", "ip6.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.10", "ip60.example", SPF_STATUS_FAIL, NULL},
		{"fe80::1", "ip60.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.10", "map.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.10", "ex.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.11", "ex.example", SPF_STATUS_FAIL, NULL},
		{"2001:db8::1", "ex6.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.10", "ptr.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.10", "ptr2.example", SPF_STATUS_PASS, NULL},
		/* 5.5: an error on PTR is no match */
		{"192.0.2.11", "ptr.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.12", "ptr.example", SPF_STATUS_FAIL, NULL},
		/* no free pass for loopback */
		{"127.0.0.1", "all.example", SPF_STATUS_FAIL, NULL},
		{"::1", "all.example", SPF_STATUS_FAIL, NULL},
		{"127.0.0.1", "a.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.10", "neutral.example", SPF_STATUS_NEUTRAL, NULL},
		{"192.0.2.10", "end.example", SPF_STATUS_NEUTRAL, NULL},
		{"192.0.2.10", "colon.example", SPF_STATUS_PASS, NULL},
	};

	(void)state;
	CHECK_ROWS(zone, t);
}

/* Classes F and G, 5.2, 6.1 */
static void test_include_redirect(void **state)
{
	static const char zone[] =
		"p.example TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
		"inc.example TXT \"v=spf1 include:p.example ?all\"\n"
		"neg.example TXT \"v=spf1 -include:p.example +all\"\n"
		"red.example TXT \"v=spf1 redirect=p.example ip4:9.9.9.9\"\n"
		"red2.example TXT \"v=spf1 redirect=p.example ?all\"\n"
		"mod.example TXT \"v=spf1 x.y-z_1=%{d} redirect=p.example\"\n"
		"dom.example TXT \"v=spf1 redirect=d.dom.example\"\n"
		"d.dom.example TXT \"v=spf1 a -all\"\n"
		"d.dom.example A 192.0.2.1\n"
		"back.example TXT \"v=spf1 include:end.example a -all\"\n"
		"end.example TXT \"v=spf1 ?all\"\n"
		"back.example A 192.0.2.1\n";
	static const struct row t[] = {
		{"192.0.2.1", "inc.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.2", "inc.example", SPF_STATUS_NEUTRAL, NULL},
		{"192.0.2.1", "neg.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.2", "neg.example", SPF_STATUS_PASS, NULL},
		{"9.9.9.9", "red.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.2", "red.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.2", "red2.example", SPF_STATUS_NEUTRAL, NULL},
		{"192.0.2.1", "mod.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.1", "dom.example", SPF_STATUS_PASS, NULL},
		/* the current domain comes back after an include */
		{"192.0.2.1", "back.example", SPF_STATUS_PASS, NULL},
	};

	(void)state;
	CHECK_ROWS(zone, t);
}

/* Class C: 4.6.4 */
static void test_limits(void **state)
{
	static const char zone[] =
		"h.example A 192.0.2.1\n"
		"ten.example TXT \"v=spf1 a:h.example a:h.example a:h.example "
		"a:h.example a:h.example a:h.example a:h.example a:h.example "
		"a:h.example a:h.example ip4:192.0.2.9 -all\"\n"
		"six.example TXT \"v=spf1 a:h.example a:h.example a:h.example "
		"a:h.example a:h.example a:h.example\"\n"
		"twice.example TXT \"v=spf1 include:six.example "
		"include:six.example -all\"\n"
		"once.example TXT \"v=spf1 include:six.example a:h.example "
		"a:h.example a:h.example -all\"\n"
		"loop.example TXT \"v=spf1 redirect=loop.example\"\n"
		"self.example TXT \"v=spf1 include:self.example -all\"\n"
		"v2.example TXT \"v=spf1 a:n1.example a:n2.example -all\"\n"
		"v3.example TXT \"v=spf1 a:n1.example a:n2.example "
		"exists:n3.example -all\"\n"
		"vi.example TXT \"v=spf1 include:v2i.example a:n3.example -all"
		"\"\n"
		"v2i.example TXT \"v=spf1 a:n1.example a:n2.example ?all\"\n"
		"bad.example TXT \"v=spf1 a:%{h}. a:%{h}. a:%{h}. -all\"\n"
		"ptr.example TXT \"v=spf1 ptr:late.example -all\"\n"
		"x.late.example A 192.0.2.5\n"
		"mx.example TXT \"v=spf1 mx -all\"\n";
	static const struct row t[] = {
		{"192.0.2.9", "ten.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.9", "twice.example", SPF_STATUS_PERMERROR, NULL},
		{"192.0.2.9", "once.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.9", "loop.example", SPF_STATUS_PERMERROR, NULL},
		{"192.0.2.9", "self.example", SPF_STATUS_PERMERROR, NULL},
		{"192.0.2.9", "v2.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.9", "v3.example", SPF_STATUS_PERMERROR, NULL},
		{"192.0.2.9", "vi.example", SPF_STATUS_PERMERROR, NULL},
		/* 10 PTR names are used, the rest is ignored */
		{"192.0.2.5", "ptr.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.6", "ptr.example", SPF_STATUS_PASS, NULL},
		{"192.0.2.1", "mx.example", SPF_STATUS_PERMERROR, NULL},
		{"192.0.2.1", "mx10.example", SPF_STATUS_PASS, NULL},
	};
	struct arena *a = arena_new();
	struct strbuf b;

	(void)state;
	strbuf_init(&b, a, 1 << 16);
	strbuf_adds(&b, zone);
	strbuf_adds(&b, "x.late.example A 192.0.2.6\n"
			"mx10.example TXT \"v=spf1 mx -all\"\n");
	for (int i = 0; i < 11; i++) {
		strbuf_printf(&b, "mx.example MX %d m%d.example\n", i, i);
		strbuf_printf(&b, "m%d.example A 192.0.2.1\n", i);
		if (i < 10)
			strbuf_printf(&b, "mx10.example MX %d m%d.example\n", i,
				      i);
	}
	for (int i = 0; i < 10; i++)
		strbuf_printf(&b, "5.2.0.192.in-addr.arpa PTR n%d.example\n",
			      i);
	strbuf_adds(&b, "5.2.0.192.in-addr.arpa PTR x.late.example\n"
			"6.2.0.192.in-addr.arpa PTR x.late.example\n");
	CHECK_ROWS(strbuf_cstr(&b), t);
	arena_free(a);
}

/* libspf2 drops what does not fit 511 bytes: 300 ip4 terms, then -all. */
static void test_long_record(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;
	struct world w;

	(void)state;
	strbuf_init(&b, a, 1 << 16);
	strbuf_adds(&b, "long.example TXT \"v=spf1\"");
	for (int i = 0; i < 300; i++)
		strbuf_printf(&b, " \" ip4:10.0.%d.%d\"", i / 256, i % 256);
	strbuf_adds(&b, " \" -all\"\n");
	world_open(&w, strbuf_slice(&b));
	assert_int_equal(check_one(&w, "10.0.1.43", "long.example").status,
			 SPF_STATUS_PASS);
	assert_int_equal(check_one(&w, "10.0.1.44", "long.example").status,
			 SPF_STATUS_FAIL);
	world_close(&w);
	arena_free(a);
}

/* Ten includes of ten includes of ten ...: 111,111 look-ups in libspf2. */
static void test_include_bomb(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;
	struct world w;
	struct spf_result r;

	(void)state;
	strbuf_init(&b, a, 1 << 16);
	for (int level = 0; level < 6; level++)
		for (int i = 0; i < 10; i++) {
			strbuf_printf(&b, "b%d-%d.example TXT \"v=spf1\"",
				      level, i);
			for (int j = 0; j < 10; j++)
				strbuf_printf(&b,
					      " \" include:b%d-%d.example\"",
					      level + 1, j);
			strbuf_adds(&b, "\n");
		}
	for (int i = 0; i < 10; i++)
		strbuf_printf(&b, "b6-%d.example TXT \"v=spf1 ?all\"\n", i);
	world_open(&w, strbuf_slice(&b));
	r = check_one(&w, "192.0.2.1", "b0-0.example");
	assert_int_equal(r.status, SPF_STATUS_PERMERROR);
	assert_string_equal(r.reason, "more than 10 DNS terms");
	assert_int_equal(r.terms, 11);
	assert_true(dns_budget_queries(w.budget) <= 11);
	world_close(&w);
	arena_free(a);
}

/* redirect=%{d}%{d}%{d}: names and memory stay bounded. */
static void test_growth(void **state)
{
	static const char zone[] =
		"*.example TXT \"v=spf1 redirect=%{d}.%{d}.%{d}.%{d}.%{d}\"\n"
		"crash.example TXT \"v=spf1 -all exp=e.crash.example\"\n"
		"e.crash.example TXT \"%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}"
		"%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}\""
		"\"%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}"
		"%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}\""
		"\n";
	struct world w;
	struct spf_result r;

	(void)state;
	world_open(&w, slice_of(zone));
	r = check_one(&w, "192.0.2.1", "grow.example");
	assert_int_equal(r.status, SPF_STATUS_PERMERROR);
	assert_true(arena_used(w.arena) < 1 << 20);
	/* the record that overruns libspf2's stack (CVE-2023-42118) */
	r = check_one(&w, "192.0.2.1", "crash.example");
	assert_int_equal(r.status, SPF_STATUS_FAIL);
	assert_int_equal(strlen(r.explanation), 512);
	world_close(&w);
}

/* Class H, 6.2 */
static void test_explanations(void **state)
{
	static const char zone[] =
		"e.example TXT \"v=spf1 -all exp=t.example\"\n"
		"t.example TXT \"%{i} is not \" \"for %{d}: %{S} via %{h}\"\n"
		"red.example TXT \"v=spf1 redirect=e.example exp=x.example\"\n"
		"x.example TXT \"wrong\"\n"
		"inc.example TXT \"v=spf1 include:e.example -all\"\n"
		"soft.example TXT \"v=spf1 ~all exp=t.example\"\n"
		"none.example TXT \"v=spf1 -all exp=nothing.example\"\n"
		"slow.example TXT \"v=spf1 -all exp=s.example\"\n"
		"s.example TXT !TIMEOUT\n"
		"many.example TXT \"v=spf1 -all exp=m.example\"\n"
		"m.example TXT \"one\"\nm.example TXT \"two\"\n"
		"syn.example TXT \"v=spf1 -all exp=y.example\"\n"
		"y.example TXT \"100% %{x}\"\n"
		"crlf.example TXT \"v=spf1 -all exp=c.example\"\n"
		"c.example TXT \"a\\013\\010b\"\n"
		"p.example TXT \"v=spf1 -all exp=q.example\"\n"
		"q.example TXT \"from %{p}\"\n"
		"1.2.0.192.in-addr.arpa PTR other.example\n"
		"1.2.0.192.in-addr.arpa PTR liar.p.example\n"
		"1.2.0.192.in-addr.arpa PTR host.p.example\n"
		"other.example A 192.0.2.1\n"
		"host.p.example A 192.0.2.1\n";
	static const struct row t[] = {
		{"192.0.2.1", "e.example", SPF_STATUS_FAIL,
		 "192.0.2.1 is not for e.example: u%40e.example via "
		 "helo.example"},
		{"192.0.2.1", "red.example", SPF_STATUS_FAIL,
		 "192.0.2.1 is not for e.example: u%40red.example via "
		 "helo.example"},
		{"192.0.2.1", "inc.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.1", "soft.example", SPF_STATUS_SOFTFAIL, NULL},
		{"192.0.2.1", "none.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.1", "slow.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.1", "many.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.1", "syn.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.1", "crlf.example", SPF_STATUS_FAIL, NULL},
		{"192.0.2.1", "p.example", SPF_STATUS_FAIL,
		 "from host.p.example"},
		{"192.0.2.2", "p.example", SPF_STATUS_FAIL, "from unknown"},
	};

	(void)state;
	CHECK_ROWS(zone, t);
}

/* libspf2 asks for exp= at each include that does not match. */
static void test_include_asks_no_exp(void **state)
{
	struct world w;
	struct spf_result r;

	(void)state;
	world_open(&w, SLICE("i.example TXT \"v=spf1 include:a.example "
			     "include:b.example ?all exp=x.example\"\n"
			     "a.example TXT \"v=spf1 -all exp=x.example\"\n"
			     "b.example TXT \"v=spf1 ~all exp=x.example\"\n"));
	r = check_one(&w, "192.0.2.1", "i.example");
	assert_int_equal(r.status, SPF_STATUS_NEUTRAL);
	assert_string_equal(r.mechanism, "?all");
	assert_int_equal(r.terms, 2);
	assert_int_equal(dns_budget_queries(w.budget), 3);
	world_close(&w);
}

/* 2.3, 2.4, 4.3 (SPF-1, 2, 10) */
static void test_identities(void **state)
{
	static const struct {
		struct slice helo;
		enum spf_status status;
		const char *domain;
	} t[] = {
		{SLICE("Helo.Example."), SPF_STATUS_PASS, "helo.example"},
		{SLICE("[192.0.2.1]"), SPF_STATUS_NONE, NULL},
		{SLICE("192.0.2.1"), SPF_STATUS_NONE, NULL},
		{SLICE("localhost"), SPF_STATUS_NONE, NULL},
		{SLICE("a..example"), SPF_STATUS_NONE, NULL},
		{SLICE("helo.example\0.x"), SPF_STATUS_NONE, NULL},
		{SLICE(""), SPF_STATUS_NONE, NULL},
	};
	struct spf_query q;
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w,
		   SLICE("helo.example TXT \"v=spf1 "
			 "exists:%{l}.%{o}.l.example -all\"\n"
			 "postmaster.helo.example.l.example A 127.0.0.2\n"));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		q = query_of("192.0.2.1", NULL);
		q.helo = t[i].helo;
		q.sender = (struct addr_path){.null = true};
		spf_prefetch(w.arena, w.budget, &q);
		for (int mailfrom = 0; mailfrom < 2; mailfrom++) {
			if (mailfrom)
				spf_check_mailfrom(w.arena, w.budget, &q, &r);
			else
				spf_check_helo(w.arena, w.budget, &q, &r);
			assert_true(r.checked);
			assert_int_equal(r.identity,
					 mailfrom ? SPF_IDENTITY_MAILFROM
						  : SPF_IDENTITY_HELO);
			assert_int_equal(r.status, t[i].status);
			if (t[i].domain != NULL)
				assert_string_equal(r.domain, t[i].domain);
			else
				assert_null(r.domain);
		}
	}
	world_close(&w);
}

static void test_unchecked(void **state)
{
	struct spf_query q;
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w, SLICE("d.example TXT \"v=spf1 +all\"\n"));
	q = query_of("192.0.2.1", "d.example");
	q.sender.malformed = true; /* SPF-6 */
	spf_check_mailfrom(w.arena, w.budget, &q, &r);
	assert_int_equal(r.status, SPF_STATUS_NONE);
	q = query_of("192.0.2.1", NULL); /* an address literal */
	spf_check_mailfrom(w.arena, w.budget, &q, &r);
	assert_int_equal(r.status, SPF_STATUS_NONE);
	q.client.family = IP_NONE;
	spf_check_mailfrom(w.arena, w.budget, &q, &r);
	assert_false(r.checked);
	spf_check_helo(w.arena, w.budget, &q, &r);
	assert_false(r.checked);
	spf_prefetch(w.arena, w.budget, &q);
	assert_int_equal(dns_budget_queries(w.budget), 0);
	world_close(&w);
}

/* RFC 8616 4: terms with %{l} of a non-ASCII local-part do not match. */
static void test_non_ascii_local(void **state)
{
	struct spf_query q;
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w, SLICE("d.example TXT \"v=spf1 -exists:%{l}.e.example "
			     "-include:%{s}.e.example a:%{o} ~all\"\n"
			     "d.example A 192.0.2.1\n"
			     "*.e.example A 127.0.0.2\n"));
	q = query_of("192.0.2.1", "d.example");
	q.sender.local = SLICE("j\xc3\xb6rg");
	spf_check_mailfrom(w.arena, w.budget, &q, &r);
	assert_int_equal(r.status, SPF_STATUS_PASS);
	assert_string_equal(r.mechanism, "a:%{o}");
	world_close(&w);
}

/* A local-part is no syntax: what it holds never reaches libspf2. */
static void test_hostile_local(void **state)
{
	static const char *const locals[] = {
		"%{d}",	 "a b",	  "x -all", "/0", "a.example/0//0",
		"\\000", ":+all", "....",   "%",  "\"",
	};
	struct spf_query q;
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w, SLICE("d.example TXT \"v=spf1 a:%{l}.e.example "
			     "mx:%{l}.e.example ptr:%{l} -all\"\n"));
	for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
		q = query_of("192.0.2.1", "d.example");
		q.sender.local = slice_of(locals[i]);
		spf_check_mailfrom(w.arena, w.budget, &q, &r);
		/* three voids, or two and a PTR that finds nothing */
		assert_int_equal(r.status, SPF_STATUS_PERMERROR);
		assert_string_equal(r.reason, "more than 2 void lookups");
	}
	world_close(&w);
}

/* A budget that is used up is a temporary failure (SPF-17). */
static void test_budget(void **state)
{
	struct dns_budget *b;
	struct spf_query q;
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w, SLICE("d.example TXT \"v=spf1 a:a.example ?all\"\n"
			     "a.example A 192.0.2.9\n"));
	b = dns_budget_new(w.dns, 5000, 1);
	q = query_of("192.0.2.1", "d.example");
	spf_check_mailfrom(w.arena, b, &q, &r);
	assert_int_equal(r.status, SPF_STATUS_TEMPERROR);
	assert_non_null(r.reason);
	dns_budget_free(b);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_include_redirect),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_long_record),
		cmocka_unit_test(test_include_bomb),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_explanations),
		cmocka_unit_test(test_include_asks_no_exp),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_unchecked),
		cmocka_unit_test(test_non_ascii_local),
		cmocka_unit_test(test_hostile_local),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
