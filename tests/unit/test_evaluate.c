/* evaluate.c: what one method may not take away from another. */
#include "check.h"

#include "eval/eval.h"

/* Ten mx terms of ten hosts each: what RFC 7208 4.6.4 allows at most. */
static void add_bomb(struct strbuf *zone, const char *domain)
{
	strbuf_printf(zone, "%s TXT \"v=spf1", domain);
	for (int i = 0; i < 10; i++)
		strbuf_printf(zone, " mx:m%d.%s", i, domain);
	strbuf_adds(zone, " -all\"\n");
	for (int i = 0; i < 10; i++)
		for (int j = 0; j < 10; j++)
			strbuf_printf(zone,
				      "m%d.%s MX 10 h%d.m%d.%s\n"
				      "h%d.m%d.%s A 203.0.113.1\n",
				      i, domain, j, i, domain, j, i, domain);
}

static void evaluate(struct arena *a, struct strbuf *zone, const char *helo,
		     const char *sender, struct results *ret)
{
	static const struct field_limits limits = {100, 10000, 100000};
	struct client_facts client = {.helo = slice_of(helo)};
	struct envelope_facts envelope = {.sender = slice_of(sender)};
	struct eval_env env = {
		.authserv_id = "mx.test",
		.dns_wait_ms = 2000,
		.dns_max_queries = 150,
		.dkim = {10, 50, 1024, 4096, 300, crypto_keycache_new(10)}};
	struct field_list fields = {0};
	struct evaluation *e;
	const char *err;

	assert_true(ip_parse(SLICE("192.0.2.1"), &client.addr));
	env.dns = dns_new_zone_text(a, strbuf_slice(zone), &err);
	assert_non_null(env.dns);
	field_list_add(a, &fields, &limits, SLICE("From"),
		       SLICE(" ceo@victim.example"));
	e = evaluation_new(a, &env, &client, &envelope, &fields);
	evaluation_end(e, 1, ret);
	evaluation_free(e);
	dns_free(env.dns);
	crypto_keycache_free(env.dkim.keycache);
}

/* RFC 9989 5.3.5: a spoof stays a fail, however dear its SPF is. */
static void test_dear_spf(void **state)
{
	struct arena *a = arena_new();
	struct strbuf zone;
	struct results r;

	(void)state;
	strbuf_init(&zone, a, 1 << 20);
	add_bomb(&zone, "one.example");
	add_bomb(&zone, "two.example");
	strbuf_adds(&zone, "victim.example TXT \"v=spf1 ip4:192.0.2.9 -all\"\n"
			   "_dmarc.victim.example TXT \"v=DMARC1; "
			   "p=reject\"\n");
	evaluate(a, &zone, "one.example", "<a@two.example>", &r);
	assert_int_equal(r.dmarc.status, DMARC_STATUS_FAIL);
	assert_int_equal(r.dmarc.policy, DMARC_P_REJECT);
	/* what was cut says so */
	assert_int_equal(r.spf_mailfrom.status, SPF_STATUS_TEMPERROR);
	/* a dear HELO takes nothing from MAIL FROM */
	evaluate(a, &zone, "one.example", "<a@victim.example>", &r);
	assert_int_equal(r.spf_mailfrom.status, SPF_STATUS_FAIL);
	assert_int_equal(r.dmarc.status, DMARC_STATUS_FAIL);
	assert_int_equal(r.spf_helo.status, SPF_STATUS_FAIL);
	arena_free(a);
}

/* Slow name servers take the time of their own sender's method only. */
static void test_held_budget(void **state)
{
	struct arena *a = arena_new();
	const char *err;
	struct dns *d =
		dns_new_zone_text(a, SLICE("a.example TXT \"x\"\n"), &err);
	struct dns_budget *b = dns_budget_new(d, 1000, 10);

	(void)state;
	dns_budget_hold(b, 7, 0); /* at most half: 5 */
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			dns_ask(b, arena_printf(a, "n%d.example", i), DNS_TXT)
				->status,
			DNS_NXDOMAIN);
	assert_int_equal(dns_ask(b, "a.example", DNS_TXT)->status,
			 DNS_TEMPFAIL);
	dns_budget_hold(b, 0, 0);
	assert_int_equal(dns_ask(b, "a.example", DNS_TXT)->status, DNS_FOUND);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dear_spf),
		cmocka_unit_test(test_held_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
