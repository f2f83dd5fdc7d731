/* iprev (RFC 8601 section 3 and 2.7.3): every result, and what bounds it. */
#include "check.h"

#include "iprev/iprev.h"

/* 198.51.100.11 has 12 names: in the order of this text the last two are
 * beyond the bound, and only the 12th confirms. */
static const char zone[] =
	"1.2.0.192.in-addr.arpa      PTR mail.example.org\n"
	"mail.example.org            A   192.0.2.1\n"
	"mail.example.org            AAAA 2001:db8::1\n"
	"2.2.0.192.in-addr.arpa      PTR wrong.example.org\n"
	"2.2.0.192.in-addr.arpa      PTR gone.example.org\n"
	"2.2.0.192.in-addr.arpa      PTR MX2.Example.ORG\n"
	"wrong.example.org           A   192.0.2.99\n"
	"mx2.example.org             A   192.0.2.98\n"
	"mx2.example.org             A   192.0.2.2\n"
	"4.2.0.192.in-addr.arpa      PTR wrong.example.org\n"
	"5.2.0.192.in-addr.arpa      PTR gone.example.org\n"
	"6.2.0.192.in-addr.arpa      PTR !TIMEOUT\n"
	"7.2.0.192.in-addr.arpa      PTR slow.example.org\n"
	"7.2.0.192.in-addr.arpa      PTR wrong.example.org\n"
	"slow.example.org            A   !SERVFAIL\n"
	"8.2.0.192.in-addr.arpa      PTR slow.example.org\n"
	"8.2.0.192.in-addr.arpa      PTR eight.example.org\n"
	"eight.example.org           A   192.0.2.8\n"
	"9.2.0.192.in-addr.arpa      TXT \"not a name\"\n"
	"10.2.0.192.in-addr.arpa     PTR six.example.org\n"
	"six.example.org             AAAA ::ffff:192.0.2.10\n"
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6."
	"arpa"
	" PTR mail.example.org\n"
	"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6."
	"arpa"
	" PTR mail.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n1.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n2.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n3.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n4.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n5.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n6.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n7.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n8.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n9.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n10.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n11.example.org\n"
	"11.100.51.198.in-addr.arpa  PTR n12.example.org\n"
	"n12.example.org             A   198.51.100.11\n";

static const struct row {
	const char *what, *client, *confirmed;
	enum iprev_status status;
	const char *name, *reason;
	unsigned queries;
} rows[] = {
	{"one name confirms", "192.0.2.1", "", IPREV_STATUS_PASS,
	 "mail.example.org", NULL, 2},
	{"IPv6 by AAAA", "2001:db8::1", "", IPREV_STATUS_PASS,
	 "mail.example.org", NULL, 2},
	{"IPv4-mapped is IPv4", "::ffff:192.0.2.1", "", IPREV_STATUS_PASS,
	 "mail.example.org", NULL, 2},
	{"the last of several names, its last address", "192.0.2.2", "",
	 IPREV_STATUS_PASS, "mx2.example.org", NULL, 4},
	{"2.7.3: no PTR", "192.0.2.3", "", IPREV_STATUS_PERMERROR, NULL,
	 "no name for the address", 1},
	{"2.7.3: no PTR, but the name is there", "192.0.2.9", "",
	 IPREV_STATUS_PERMERROR, NULL, "no name for the address", 1},
	{"a name with another address", "192.0.2.4", "", IPREV_STATUS_FAIL,
	 NULL, "no name leads back to the address", 2},
	{"another IPv6 address", "2001:db8::2", "", IPREV_STATUS_FAIL, NULL,
	 "no name leads back to the address", 2},
	{"2.7.3: a name that does not exist", "192.0.2.5", "",
	 IPREV_STATUS_FAIL, NULL, "no name leads back to the address", 2},
	{"an address of the other family", "192.0.2.10", "", IPREV_STATUS_FAIL,
	 NULL, "no name leads back to the address", 2},
	{"PTR unknown", "192.0.2.6", "", IPREV_STATUS_TEMPERROR, NULL, "", 1},
	{"a name unknown, the other wrong", "192.0.2.7", "",
	 IPREV_STATUS_TEMPERROR, NULL, "", 3},
	{"a name unknown, the other confirms", "192.0.2.8", "",
	 IPREV_STATUS_PASS, "eight.example.org", NULL, 3},
	{"no more than 10 names", "198.51.100.11", "", IPREV_STATUS_FAIL, NULL,
	 "no name leads back to the address", 11},
	{"the MTA has confirmed", "192.0.2.3", "MX.Example.ORG.",
	 IPREV_STATUS_PASS, "mx.example.org", NULL, 0},
	{"what was confirmed is no name", "192.0.2.1", "a b", IPREV_STATUS_PASS,
	 "mail.example.org", NULL, 2},
};

static bool same(const char *got, const char *want)
{
	return got == NULL || want == NULL ? got == want
					   : strcmp(got, want) == 0;
}

/* A reason "" in the table stands for the resolver's own words. */
static bool as_wanted(const struct row *row, const struct iprev_result *r,
		      unsigned queries)
{
	bool reason = row->reason != NULL && row->reason[0] == '\0'
			      ? r->reason != NULL && r->reason[0] != '\0'
			      : same(r->reason, row->reason);

	return r->checked && r->status == row->status && reason &&
	       same(r->name, row->name) && queries == row->queries;
}

static void test_results(void **state)
{
	struct arena *a = arena_new();
	const char *err = NULL;
	struct dns *dns = dns_new_zone_text(a, slice_of(zone), &err);

	(void)state;
	if (dns == NULL)
		fail_msg("%s", err);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		struct dns_budget *b = dns_budget_new(dns, 1000, 20);
		struct slice confirmed =
			check_heap(row->confirmed, strlen(row->confirmed));
		struct iprev_result r;
		struct ip ip;

		assert_true(ip_parse(slice_of(row->client), &ip));
		iprev_prefetch(a, b, &ip, confirmed);
		iprev_check(a, b, &ip, confirmed, &r);
		if (!as_wanted(row, &r, dns_budget_queries(b)))
			fail_msg("%s: %s %s (%s) after %u queries", row->what,
				 iprev_status_name(r.status), r.name, r.reason,
				 dns_budget_queries(b));
		free(unconst(confirmed.p));
		dns_budget_free(b);
	}
	dns_free(dns);
	arena_free(a);
}

/* RFC 7208 5: an address that came as IPv4-mapped IPv6 is an IPv4 one, for
 * the reverse name, the type and what is reported. */
static void test_mapped(void **state)
{
	struct arena *a = arena_new();
	const char *err;
	struct dns *dns = dns_new_zone_text(a, slice_of(zone), &err);
	struct dns_budget *b = dns_budget_new(dns, 1000, 20);
	struct ip mapped = {
		IP_V6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1}};
	struct iprev_result r;

	(void)state;
	iprev_check(a, b, &mapped, SLICE(""), &r);
	assert_int_equal(r.status, IPREV_STATUS_PASS);
	assert_int_equal(r.client.family, IP_V4);
	dns_budget_free(b);
	dns_free(dns);
	arena_free(a);
}

/* Local submission has no address: nothing is said. */
static void test_no_address(void **state)
{
	struct arena *a = arena_new();
	const char *err;
	struct dns *dns = dns_new_zone_text(a, slice_of(zone), &err);
	struct dns_budget *b = dns_budget_new(dns, 1000, 20);
	struct ip none = {0};
	struct iprev_result r;

	(void)state;
	iprev_prefetch(a, b, &none, SLICE(""));
	iprev_check(a, b, &none, SLICE("mail.example.org"), &r);
	assert_false(r.checked);
	assert_null(r.name);
	assert_int_equal(dns_budget_queries(b), 0);
	dns_budget_free(b);
	dns_free(dns);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_no_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
