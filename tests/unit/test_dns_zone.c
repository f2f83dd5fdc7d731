/*
 * The zone-file resolver, the budget and the reader of DNS messages: values
 * in, values out, no network.
 */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "dns/dns.h"
#include "dns/resolver.h"

static const char zone_text[] =
	"; a comment\n"
	"# another\n"
	"\n"
	"example.org\tA\t192.0.2.1\n"
	"Example.ORG. 60 A 192.0.2.2 ; the second\n"
	"example.org AAAA 2001:db8::1\r\n"
	"example.org MX 10 Mail.Example.org.\n"
	"example.org MX 65535 backup_1.example.org # comment\n"
	"example.org TXT \"v=spf1 \" \"-all; \\\"x\\\" \\\\ \\009\"\n"
	"example.org TXT \"\"\n"
	"nullmx.example MX 0 .\n"
	"odd.example PTR bad(name.example\n"
	"odd.example PTR good.example\n"
	"alias.example CNAME example.org\n"
	"alias2.example 30 CNAME alias.example\n"
	"dangling.example CNAME nothing.example\n"
	"loop1.example CNAME loop2.example\n"
	"loop2.example CNAME loop1.example\n"
	"a.deep.example.net TXT \"deep\"\n"
	"*.example.net TXT \"wild\"\n"
	"soa.example SOA ns1 hostmaster 1 2 3 4 \"x\n"
	"slow.example TXT !TIMEOUT\n"
	"slow.example A 192.0.2.9\n"
	"broken.example ANY !SERVFAIL\n"
	"brokencname.example CNAME !SERVFAIL\n"
	"nine.example CNAME c8.example\n"
	"c8.example CNAME c7.example\n"
	"c7.example CNAME c6.example\n"
	"c6.example CNAME c5.example\n"
	"c5.example CNAME c4.example\n"
	"c4.example CNAME c3.example\n"
	"c3.example CNAME c2.example\n"
	"c2.example CNAME c1.example\n"
	"c1.example CNAME example.org\n"
	"o'brian+x.example TXT \"odd name\"\n"
	"last.example TXT \"no newline\"";

static struct dns *open_text(struct arena *a, const char *text)
{
	struct slice copy = check_heap(text, strlen(text));
	const char *err = "";
	struct dns *d = dns_new_zone_text(a, copy, &err);

	free(unconst(copy.p));
	if (d == NULL)
		fail_msg("%s", err);
	return d;
}

/* "found 300: data, data" with binary data as hex. */
static const char *render(struct arena *a, const struct dns_answer *ans,
			  enum dns_type type)
{
	struct strbuf b;
	size_t i, k;

	strbuf_init(&b, a, 4096);
	strbuf_adds(&b, dns_status_name(ans->status));
	if (ans->reason != NULL)
		strbuf_printf(&b, " (%s)", ans->reason);
	for (i = 0; i < ans->n; i++) {
		struct slice data = ans->rr[i].data;
		strbuf_adds(&b, i == 0 ? ": " : " | ");
		if (type == DNS_MX)
			strbuf_printf(&b, "%u ", ans->rr[i].preference);
		if (type != DNS_A && type != DNS_AAAA) {
			strbuf_add_escaped(&b, data, 500);
			continue;
		}
		for (k = 0; k < data.n; k++)
			strbuf_printf(&b, "%02x", (unsigned char)data.p[k]);
	}
	return strbuf_cstr(&b);
}

static void test_lookup(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		const char *want;
	} cases[] = {
		{"example.org", DNS_A, "found: c0000201 | c0000202"},
		{"EXAMPLE.org.", DNS_AAAA,
		 "found: 20010db8000000000000000000000001"},
		{"example.org", DNS_MX,
		 "found: 10 mail.example.org | 65535 backup_1.example.org"},
		/* RFC 1035 3.3.14, RFC 7208 3.3: joined without spaces */
		{"example.org", DNS_TXT,
		 "found: v=spf1 -all; \"x\" \\x5c \\x09 | "},
		{"example.org", DNS_PTR, "nodata"},
		/* RFC 7505: exists, and names no host */
		{"nullmx.example", DNS_MX, "found"},
		{"odd.example", DNS_PTR, "found: good.example"},
		{"alias2.example", DNS_AAAA,
		 "found: 20010db8000000000000000000000001"},
		{"alias.example", DNS_PTR, "nodata"},
		{"dangling.example", DNS_A, "nxdomain"},
		{"loop1.example", DNS_A, "tempfail (too many CNAMEs)"},
		{"c8.example", DNS_A, "found: c0000201 | c0000202"},
		{"nine.example", DNS_A, "tempfail (too many CNAMEs)"},
		/* RFC 8020: a name above another exists */
		{"deep.example.net", DNS_TXT, "nodata"},
		{"net", DNS_TXT, "nodata"},
		/* RFC 4592 2.2: the closest encloser alone counts */
		{"x.example.net", DNS_TXT, "found: wild"},
		{"y.x.example.net", DNS_TXT, "found: wild"},
		{"x.example.net", DNS_A, "nodata"},
		{"b.deep.example.net", DNS_TXT, "nxdomain"},
		{"b.a.deep.example.net", DNS_TXT, "nxdomain"},
		{"soa.example", DNS_TXT, "nodata"},
		{"slow.example", DNS_TXT, "tempfail (time-out)"},
		{"slow.example", DNS_A, "found: c0000209"},
		{"broken.example", DNS_MX, "tempfail (DNS server failure)"},
		{"brokencname.example", DNS_A, "tempfail (DNS server failure)"},
		{"o'brian+x.example", DNS_TXT, "found: odd name"},
		{"last.example", DNS_TXT, "found: no newline"},
		{"nothing.example", DNS_TXT, "nxdomain"},
		{"..", DNS_TXT, "nxdomain"},
		{"", DNS_TXT, "nxdomain"},
		{"a..example.org", DNS_TXT, "nxdomain"},
	};
	struct arena *a = arena_new();
	struct dns *d = open_text(a, zone_text);
	struct dns_budget *b = dns_budget_new(d, 1000, 1000);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct dns_answer *ans =
			dns_ask(b, cases[i].name, cases[i].type);
		const char *got = render(a, ans, cases[i].type);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s %s: got \"%s\", want \"%s\"",
				 cases[i].name, dns_type_name(cases[i].type),
				 got, cases[i].want);
	}
	/* The smallest TTL of the chain (RFC 2181 5.2). */
	assert_int_equal(dns_ask(b, "alias2.example", DNS_AAAA)->ttl, 30);
	assert_int_equal(dns_ask(b, "example.org", DNS_A)->ttl, 60);
	assert_int_equal(dns_ask(b, "example.org", DNS_MX)->ttl, 300);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"\n\na.example A 1.2.3", "zone:3: bad address"},
		{"a.example A ::1", "zone:1: bad address"},
		{"a.example AAAA 1.2.3.4", "zone:1: bad address"},
		{"a.example A", "zone:1: bad address"},
		{"a.example A 1.2.3.4 x", "zone:1: something follows the data"},
		{"a..example A 1.2.3.4", "zone:1: bad name"},
		{"a.example", "zone:1: a type is missing"},
		{"a.example 60", "zone:1: a type is missing"},
		{"a.example 99999999999 A 1.2.3.4", "zone:1: bad TTL"},
		{"a.example TXT x", "zone:1: TXT wants \"strings\" in quotes"},
		{"a.example TXT \"x", "zone:1: a string does not end"},
		{"a.example TXT \"x\\", "zone:1: bad escape in a string"},
		{"a.example TXT \"x\\25\"", "zone:1: bad escape in a string"},
		{"a.example TXT \"x\\256\"", "zone:1: bad escape in a string"},
		{"a.example MX x", "zone:1: MX wants a preference and a name"},
		{"a.example MX 65536 x",
		 "zone:1: MX wants a preference and a name"},
		{"a.example MX 10", "zone:1: a name is missing"},
		{"a.example PTR", "zone:1: a name is missing"},
		{"a.example TXT !SLEEP", "zone:1: unknown fault"},
		{"a.example TXT !TIMEOUT x",
		 "zone:1: something follows the data"},
		{"a.example ANY 1.2.3.4",
		 "zone:1: ANY goes with !SERVFAIL or !TIMEOUT only"},
		{"a.example CNAME b\na.example CNAME c",
		 "zone:2: a second CNAME for this name"},
		{"a.example CNAME b\na.example A 1.2.3.4",
		 "zone:2: other data for a name with a CNAME"},
		{"a.example A 1.2.3.4\na.example CNAME b",
		 "zone:2: CNAME for a name with other data"},
	};
	struct arena *a = arena_new();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice text =
			check_heap(cases[i].text, strlen(cases[i].text));
		const char *err = "none";
		assert_null(dns_new_zone_text(a, text, &err));
		if (strcmp(err, cases[i].want) != 0)
			fail_msg("got \"%s\", want \"%s\"", err, cases[i].want);
		free(unconst(text.p));
	}
	arena_free(a);
}

static void test_file(void **state)
{
	char path[] = "/tmp/mailseal-zone-XXXXXX";
	struct dns_options o = {.zone_file = path};
	struct arena *a = arena_new();
	struct dns_budget *b;
	const char *err = NULL, text[] = "a.example TXT \"x\"\nb.example A 1\n";
	int fd = mkstemp(path);
	struct dns *d;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_null(dns_new(a, &o, &err));
	assert_string_equal(err, arena_printf(a, "%s:2: bad address", path));
	assert_int_equal(ftruncate(fd, 18), 0);
	d = dns_new(a, &o, &err);
	assert_non_null(d);
	b = dns_budget_new(d, 100, 10);
	assert_int_equal(dns_ask(b, "a.example", DNS_TXT)->status, DNS_FOUND);
	dns_budget_free(b);
	dns_free(d);
	close(fd);
	unlink(path);
	assert_null(dns_new(a, &o, &err));
	assert_non_null(strstr(err, "No such file"));
	o.zone_file = "/";
	assert_null(dns_new(a, &o, &err));
	arena_free(a);
}

/* RFC 1035 2.3.4: illegal lengths are answered without a question. */
static void test_name_limits(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_text(a, "*.example TXT \"x\"\n");
	struct dns_budget *b = dns_budget_new(d, 100, 10);
	struct dns_counters c;
	char name[400], label[65];

	(void)state;
	memset(label, 'a', 64);
	label[64] = '\0';
	snprintf(name, sizeof(name), "%s.example", label);
	assert_int_equal(dns_ask(b, name, DNS_TXT)->status, DNS_NXDOMAIN);
	assert_int_equal(dns_ask(b, name + 1, DNS_TXT)->status, DNS_FOUND);
	label[60] = '\0';
	/* 4 x 61 + 10 = 254 */
	snprintf(name, sizeof(name), "%s.%s.%s.%s.aa.example", label, label,
		 label, label);
	assert_int_equal(strlen(name), 254);
	assert_int_equal(dns_ask(b, name, DNS_TXT)->status, DNS_NXDOMAIN);
	assert_int_equal(dns_ask(b, name + 1, DNS_TXT)->status, DNS_FOUND);
	assert_int_equal(dns_budget_queries(b), 2);
	dns_counters_get(d, &c);
	assert_int_equal(c.asked, 2);
	assert_int_equal(c.sent, 2);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

static void test_budget(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_text(a, zone_text);
	struct dns_budget *b = dns_budget_new(d, 1000, 2);
	const struct dns_answer *first, *over;
	struct dns_counters c;

	(void)state;
	first = dns_ask(b, "example.org", DNS_A);
	/* The same question, whatever its spelling, is asked once. */
	assert_ptr_equal(dns_ask(b, "EXAMPLE.ORG.", DNS_A), first);
	assert_int_equal(dns_budget_queries(b), 1);
	assert_int_equal(dns_ask(b, "slow.example", DNS_TXT)->status,
			 DNS_TEMPFAIL);
	over = dns_ask(b, "example.org", DNS_MX);
	assert_int_equal(over->status, DNS_TEMPFAIL);
	assert_string_equal(over->reason,
			    "too many DNS questions for one message");
	assert_int_equal(dns_budget_queries(b), 2);
	/* What was answered before stays answered. */
	assert_ptr_equal(dns_ask(b, "example.org", DNS_A), first);
	dns_prefetch(b, "example.org", DNS_MX);
	dns_counters_get(d, &c);
	assert_int_equal(c.asked, 2);
	assert_int_equal(c.timeouts, 1);
	assert_int_equal(c.by_status[DNS_FOUND], 1);
	assert_int_equal(c.by_status[DNS_TEMPFAIL], 1);
	dns_budget_free(b);

	b = dns_budget_new(d, 0, 10);
	first = dns_ask(b, "example.org", DNS_A);
	assert_string_equal(first->reason, "DNS time of the message used up");
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

static void test_txt_bound(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;
	const char *err = NULL;
	struct dns *d;
	size_t n;

	(void)state;
	for (n = 65535; n <= 65536; n++) {
		size_t i;
		strbuf_init(&b, a, 70000);
		strbuf_adds(&b, "a.example TXT \"");
		for (i = 0; i < n; i++)
			strbuf_addc(&b, 'x');
		strbuf_adds(&b, "\"\n");
		d = dns_new_zone_text(a, strbuf_slice(&b), &err);
		if (n == 65535)
			assert_non_null(d);
		else
			assert_null(d);
		dns_free(d);
	}
	assert_string_equal(err, "zone:1: TXT data over 65535 octets");
	arena_free(a);
}

/* ---- the message reader ---- */

#define HEAD(flags, an, ns)                                                    \
	"\0\1" flags "\0\1\0" an "\0" ns "\0\0"                                \
	"\1a\4test\0"
#define OK    "\x81\x80"
#define Q_A   HEAD(OK, "\1", "\0") "\0\1\0\1"
#define Q_TXT HEAD(OK, "\1", "\0") "\0\x10\0\1"
#define Q_MX  HEAD(OK, "\1", "\0") "\0\x0f\0\1"
#define Q_A2  HEAD(OK, "\2", "\0") "\0\1\0\1"
#define Q_NEG "\0\1" OK "\0\1\0\0\0\1\0\0\1a\4test\0\0\1\0\1"
#define TTL60 "\0\0\0\x3c"
#define OWNER "\xc0\x0c"
#define RR_A  OWNER "\0\1\0\1" TTL60

static void test_wire(void **state)
{
#define BYTES(s) s, sizeof(s) - 1
	static const struct {
		const char *p;
		size_t n;
		enum dns_type type;
		const char *want;
	} cases[] = {
		{BYTES(Q_A RR_A "\0\4\1\2\3\4"), DNS_A, "found: 01020304"},
		/* names compare without case (RFC 1035 2.3.3) */
		{BYTES(Q_A "\1A\4TEST\0\0\1\0\1" TTL60 "\0\4\1\2\3\4"), DNS_A,
		 "found: 01020304"},
		/* another owner's record is none of ours */
		{BYTES(Q_A "\1b\4test\0\0\1\0\1" TTL60 "\0\4\1\2\3\4"), DNS_A,
		 "nodata"},
		{BYTES(Q_A RR_A "\0\3\1\2\3"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_A RR_A "\0\4\1\2\3"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_A), DNS_A, "tempfail (malformed DNS answer)"},
		{BYTES("\0\1"), DNS_A, "tempfail (malformed DNS answer)"},
		{BYTES(""), DNS_A, "tempfail (malformed DNS answer)"},
		/* a question is no answer */
		{BYTES(HEAD("\1\0", "\0", "\0") "\0\1\0\1"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		/* the answer of another question */
		{BYTES(Q_A RR_A "\0\4\1\2\3\4"), DNS_MX,
		 "tempfail (malformed DNS answer)"},
		{BYTES("\0\1" OK "\0\1\0\1\0\0\0\0\1b\4test\0\0\1\0\1" RR_A
		       "\0\4\1\2\3\4"),
		 DNS_A, "tempfail (malformed DNS answer)"},
		{BYTES("\0\1" OK "\0\1\0\0\0\0\0\0\1a\4tes\0\0\0\1\0\1"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES("\0\1" OK "\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES("\0\1" OK "\0\1\0\0\0\0\0\0\6a.test\0\0\1\0\1"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES(HEAD("\x83\x80", "\0", "\0") "\0\1\0\1"), DNS_A,
		 "tempfail (truncated DNS answer)"},
		{BYTES(HEAD("\x81\x82", "\0", "\0") "\0\1\0\1"), DNS_A,
		 "tempfail (DNS server failure)"},
		{BYTES(HEAD("\x81\x85", "\0", "\0") "\0\1\0\1"), DNS_A,
		 "tempfail (DNS server refused)"},
		{BYTES(HEAD("\x81\x83", "\0", "\0") "\0\1\0\1"), DNS_A,
		 "nxdomain"},
		{BYTES(Q_TXT OWNER "\0\x10\0\1" TTL60 "\0\6\2ab\0\1c"), DNS_TXT,
		 "found: abc"},
		{BYTES(Q_TXT OWNER "\0\x10\0\1" TTL60 "\0\1\0"), DNS_TXT,
		 "found: "},
		{BYTES(Q_TXT OWNER "\0\x10\0\1" TTL60 "\0\3\1\0b"), DNS_TXT,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_TXT OWNER "\0\x10\0\1" TTL60 "\0\3\3ab"), DNS_TXT,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_TXT OWNER "\0\x10\0\1" TTL60 "\0\0"), DNS_TXT,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_MX OWNER "\0\x0f\0\1" TTL60 "\0\6\0\x0a\1M\xc0\x0e"),
		 DNS_MX, "found: 10 m.test"},
		/* RFC 7505 */
		{BYTES(Q_MX OWNER "\0\x0f\0\1" TTL60 "\0\3\0\0\0"), DNS_MX,
		 "found"},
		/* a dot inside a label is no domain */
		{BYTES(Q_MX OWNER "\0\x0f\0\1" TTL60
				  "\0\x8\0\x0a\3m.x\xc0\x0e"),
		 DNS_MX, "found"},
		/* RFC 1035 4.1.4: pointers that go nowhere, in a circle,
		 * forwards, past the end */
		{BYTES(Q_MX OWNER "\0\x0f\0\1" TTL60 "\0\4\0\x0a\xc0\x26"),
		 DNS_MX, "tempfail (malformed DNS answer)"},
		{BYTES(Q_A "\xc0\x18\0\1\0\1" TTL60 "\0\4\1\2\3\4"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_A "\xff\xff\0\1\0\1" TTL60 "\0\4\1\2\3\4"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		{BYTES(Q_A "\xc0"), DNS_A, "tempfail (malformed DNS answer)"},
		{BYTES(Q_A "\x41x\0\0\1\0\1" TTL60 "\0\4\1\2\3\4"), DNS_A,
		 "tempfail (malformed DNS answer)"},
		/* a chain */
		{BYTES(Q_A2 OWNER "\0\5\0\1" TTL60 "\0\4\1b\xc0\x0e"
				  "\1B\xc0\x0e\0\1\0\1" TTL60 "\0\4\1\2\3\4"),
		 DNS_A, "found: 01020304"},
		/* data after the name of a CNAME */
		{BYTES(Q_A OWNER "\0\5\0\1" TTL60 "\0\5\1b\xc0\x0e\0"), DNS_A,
		 "tempfail (malformed DNS answer)"},
	};
	struct arena *a = arena_new();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice packet = check_heap(cases[i].p, cases[i].n);
		struct dns_question q;
		const struct dns_answer *ans;
		const char *got;

		assert_true(
			dns_question_init(&q, SLICE("a.test"), cases[i].type));
		ans = dns_wire_answer(&q, packet, DNS_INSECURE);
		got = render(a, ans, cases[i].type);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("case %zu: got \"%s\", want \"%s\"", i, got,
				 cases[i].want);
		dns_answer_unref(ans);
		free(unconst(packet.p));
	}
	arena_free(a);
}

/* RFC 2308 5: the lesser of the SOA's TTL and its MINIMUM. */
static void test_wire_negative_ttl(void **state)
{
	static const char text[] =
		Q_NEG "\xc0\x0e\0\6\0\1" TTL60
		      "\0\x16\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x1e";
	struct slice packet = check_heap(text, sizeof(text) - 1);
	struct dns_question q;
	const struct dns_answer *ans;

	(void)state;
	assert_true(dns_question_init(&q, SLICE("a.test"), DNS_A));
	ans = dns_wire_answer(&q, packet, DNS_SECURE);
	assert_int_equal(ans->status, DNS_NODATA);
	assert_int_equal(ans->security, DNS_SECURE);
	assert_int_equal(ans->ttl, 30);
	dns_answer_unref(ans);
	free(unconst(packet.p));
}

/* Every prefix and every changed octet of a good message: no crash. */
static void test_wire_damage(void **state)
{
	static const char good[] =
		Q_A2 OWNER "\0\5\0\1" TTL60 "\0\4\1b\xc0\x0e"
			   "\1B\xc0\x0e\0\1\0\1" TTL60 "\0\4\1\2\3\4";
	size_t n = sizeof(good) - 1, i;
	struct dns_question q;
	unsigned v;

	(void)state;
	assert_true(dns_question_init(&q, SLICE("a.test"), DNS_A));
	for (i = 0; i < n; i++) {
		struct slice cut = check_heap(good, i);
		const struct dns_answer *ans =
			dns_wire_answer(&q, cut, DNS_INSECURE);
		assert_int_equal(ans->status, DNS_TEMPFAIL);
		dns_answer_unref(ans);
		free(unconst(cut.p));
		for (v = 0; v < 256; v++) {
			struct slice bad = check_heap(good, n);
			((char *)unconst(bad.p))[i] = (char)v;
			dns_answer_unref(
				dns_wire_answer(&q, bad, DNS_INSECURE));
			free(unconst(bad.p));
		}
	}
}

/* ---- the cache ---- */

static void cache_add(struct dns_cache *c, unsigned number, uint32_t ttl,
		      int64_t now_ms)
{
	char data[100] = {0}, name[40];
	struct dns_draft d = {0};
	struct dns_question q;
	const struct dns_answer *ans;

	snprintf(name, sizeof(name), "n%u.test", number);
	assert_true(dns_question_init(&q, slice_of(name), DNS_TXT));
	dns_draft_add(&d, (struct slice){data, sizeof(data)}, 0);
	ans = dns_draft_finish(&d, DNS_INSECURE, ttl);
	dns_cache_put(c, &q, ans, now_ms);
	dns_answer_unref(ans);
}

static bool cache_has(struct dns_cache *c, unsigned number, int64_t now_ms)
{
	struct dns_question q;
	const struct dns_answer *ans;
	char name[40];

	snprintf(name, sizeof(name), "n%u.test", number);
	assert_true(dns_question_init(&q, slice_of(name), DNS_TXT));
	ans = dns_cache_get(c, &q, now_ms);
	dns_answer_unref(ans);
	return ans != NULL;
}

static void test_cache_lifetime(void **state)
{
	struct dns_cache *c = dns_cache_new(1 << 20);
	struct dns_question q;
	const struct dns_answer *ans;

	(void)state;
	cache_add(c, 1, 60, 0);
	assert_true(cache_has(c, 1, 59999));
	assert_false(cache_has(c, 1, 60000));
	cache_add(c, 2, 0, 0); /* at least 5 s */
	assert_true(cache_has(c, 2, 4999));
	assert_false(cache_has(c, 2, 5000));
	cache_add(c, 3, 86400, 0); /* at most an hour */
	assert_true(cache_has(c, 3, 3599999));
	assert_false(cache_has(c, 3, 3600000));
	/* RFC 2308 7.1: a failure not for long */
	assert_true(dns_question_init(&q, SLICE("n4.test"), DNS_TXT));
	ans = dns_answer_fail("x");
	dns_cache_put(c, &q, ans, 0);
	dns_answer_unref(ans);
	assert_true(cache_has(c, 4, 5999));
	assert_false(cache_has(c, 4, 6000));
	assert_int_equal(dns_cache_bytes(c), 0);
	dns_cache_free(c);
}

static void test_cache_bound(void **state)
{
	struct dns_cache *c = dns_cache_new(64 << 10);
	unsigned i, found = 0;

	(void)state;
	for (i = 0; i < 5000; i++) {
		cache_add(c, i, 60, 0);
		assert_true(dns_cache_bytes(c) <= 64 << 10);
		assert_true(cache_has(c, i, 1));
	}
	for (i = 0; i < 4000; i++)
		found += cache_has(c, i, 1);
	assert_int_equal(found, 0);
	assert_true(dns_cache_bytes(c) > 32 << 10);
	for (i = found = 0; i < 5000; i++)
		found += cache_has(c, i, 1);
	assert_int_equal(dns_cache_answers(c), found);
	dns_cache_free(c);

	c = dns_cache_new(0);
	cache_add(c, 1, 60, 0);
	assert_false(cache_has(c, 1, 1));
	dns_cache_free(c);
}

/* RFC 1035 3.5; RFC 3596 2.5, whose example is the first of IPv6. */
static void test_reverse_name(void **state)
{
	static const struct {
		const char *ip, *name;
	} rows[] = {
		{"192.0.2.1", "1.2.0.192.in-addr.arpa"},
		{"255.0.10.100", "100.10.0.255.in-addr.arpa"},
		{"::ffff:192.0.2.1", "1.2.0.192.in-addr.arpa"},
		{"4321:0:1:2:3:4:567:89ab",
		 "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0."
		 "1.2.3.4.ip6.arpa"},
		{"::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
			"0.0.0.0.0.0.ip6.arpa"},
	};
	struct arena *a = arena_new();
	struct ip ip;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(ip_parse(slice_of(rows[i].ip), &ip));
		assert_string_equal(dns_reverse_name(a, &ip), rows[i].name);
	}
	arena_free(a);
}

/* What one message was told, told once more from the record of it. */
static void test_recorded(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
	} asked[] = {
		{"example.org", DNS_A},	     {"example.org", DNS_AAAA},
		{"example.org", DNS_MX},     {"example.org", DNS_TXT},
		{"odd.example", DNS_PTR},    {"dangling.example", DNS_A},
		{"a.example.net", DNS_A},    {"slow.example", DNS_TXT},
		{"broken.example", DNS_TXT}, {"Example.ORG.", DNS_TXT},
	};
	const size_t n = sizeof(asked) / sizeof(*asked);
	struct arena *a = arena_new();
	struct dns *d = open_text(a, zone_text), *again;
	struct dns_budget *b = dns_budget_new(d, 1000, 100), *c;
	struct dns_recorded *v;
	const struct dns_answer *x;

	(void)state;
	for (size_t i = 0; i < n; i++)
		(void)dns_ask(b, asked[i].name, asked[i].type);
	assert_int_equal(dns_budget_record(b, a, &v), n - 1);
	again = dns_new_recorded(v, n - 1);
	c = dns_budget_new(again, 1000, 100);
	for (size_t i = 0; i < n; i++) {
		const struct dns_answer *was =
			dns_ask(b, asked[i].name, asked[i].type);

		x = dns_ask(c, asked[i].name, asked[i].type);
		assert_string_equal(render(a, x, asked[i].type),
				    render(a, was, asked[i].type));
		assert_int_equal(x->security, was->security);
		if (was->reason != NULL)
			assert_string_equal(x->reason, was->reason);
	}
	x = dns_ask(c, "example.org", DNS_PTR);
	assert_int_equal(x->status, DNS_TEMPFAIL);
	assert_string_equal(x->reason, "not in the record");
	dns_budget_free(c);
	dns_free(again);
	dns_budget_free(b);
	dns_free(d);
	again = dns_new_recorded(NULL, 0);
	c = dns_budget_new(again, 1000, 100);
	assert_int_equal(dns_ask(c, "example.org", DNS_A)->status,
			 DNS_TEMPFAIL);
	dns_budget_free(c);
	dns_free(again);
	arena_free(a);
}

/* Questions that were cut short: told once, unless answered later. */
static void test_recorded_cut(void **state)
{
	struct arena *a = arena_new();
	struct dns *d = open_text(a, zone_text);
	struct dns_budget *b = dns_budget_new(d, 1000, 4);
	struct dns_recorded *v;
	size_t n;

	(void)state;
	(void)dns_ask_within(b, "example.org", DNS_A, 0);
	(void)dns_ask_within(b, "example.org", DNS_A, 0);
	n = dns_budget_record(b, a, &v);
	assert_int_equal(n, 1);
	assert_int_equal(v[0].answer.status, DNS_TEMPFAIL);
	assert_string_equal(v[0].answer.reason,
			    "DNS time for such questions used up");
	(void)dns_ask_within(b, "example.org", DNS_MX, 0);
	(void)dns_ask(b, "example.org", DNS_A);
	/* beyond the number of questions: none of it is kept, or grows */
	for (int i = 0; i < 100; i++) {
		(void)dns_ask(b, "example.org", DNS_TXT);
		(void)dns_ask_within(b, "example.org", DNS_MX, 0);
	}
	n = dns_budget_record(b, a, &v);
	assert_int_equal(n, 2);
	assert_int_equal(v[0].type, DNS_A);
	assert_int_equal(v[0].answer.status, DNS_FOUND);
	assert_int_equal(v[1].type, DNS_MX);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_name_limits),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_recorded_cut),
		cmocka_unit_test(test_txt_bound),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_wire_negative_ttl),
		cmocka_unit_test(test_wire_damage),
		cmocka_unit_test(test_cache_lifetime),
		cmocka_unit_test(test_cache_bound),
		cmocka_unit_test(test_reverse_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
