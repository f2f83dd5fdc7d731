/* policy.c: who decides the direction, who may be signed for, and that
 * nothing is enforced while monitoring. */
#include "check.h"

#include "eval/eval.h"

static const struct direction_row {
	const char *what;
	int forced;
	const char *login;
	bool local;
	const char *client;
	enum mail_direction want;
	const char *why;
} direction_rows[] = {
	{"listener wins over login", MAIL_INBOUND, "u", false, "192.0.2.1",
	 MAIL_INBOUND, "listener"},
	{"listener none", MAIL_IGNORED, "u", false, "192.0.2.1", MAIL_IGNORED,
	 "listener"},
	{"login", -1, "u", false, "192.0.2.1", MAIL_OUTBOUND, "login"},
	{"sendmail(1)", -1, "", true, "", MAIL_OUTBOUND, "local-submission"},
	{"network", -1, "", false, "198.51.100.7", MAIL_OUTBOUND,
	 "networks.sign"},
	{"re-injection from loopback is not outbound", -1, "", false,
	 "127.0.0.1", MAIL_INBOUND, "default"},
	{"stranger", -1, "", false, "192.0.2.1", MAIL_INBOUND, "default"},
	{"unknown address is a stranger", -1, "", false, "", MAIL_INBOUND,
	 "default"},
};

static void test_direction(void **state)
{
	struct ip_net sign;

	(void)state;
	assert_true(ip_net_parse(SLICE("198.51.100.0/24"), &sign));
	for (size_t i = 0; i < sizeof(direction_rows) / sizeof(*direction_rows);
	     i++) {
		const struct direction_row *r = &direction_rows[i];
		struct client_facts client = {.local = r->local};
		struct envelope_facts envelope = {.login = slice_of(r->login)};
		const char *why = NULL;

		if (r->client[0] != '\0')
			assert_true(
				ip_parse(slice_of(r->client), &client.addr));
		assert_int_equal(policy_direction(r->forced, &sign, 1, &client,
						  &envelope, &why),
				 r->want);
		assert_string_equal(why, r->why);
	}
}

/* DK-55: one author domain, or no signature. */
static void test_signing_domain(void **state)
{
	const char *two[] = {"a.example", "b.example"};
	struct addr_authors authors = {.ndomains = 1, .domains = two};
	const char *why;

	(void)state;
	assert_string_equal(policy_signing_domain(&authors, &why), "a.example");
	assert_null(why);
	authors.ndomains = 2;
	assert_null(policy_signing_domain(&authors, &why));
	assert_non_null(why);
	authors.ndomains = 0;
	assert_null(policy_signing_domain(&authors, &why));
	authors = (struct addr_authors){.malformed = true, .reason = "bad"};
	assert_null(policy_signing_domain(&authors, &why));
	assert_string_equal(why, "bad");
}

/* The default: a failing p=reject is counted, not applied. */
static void test_monitoring(void **state)
{
	struct results r = {.dmarc = {.status = DMARC_STATUS_FAIL,
				      .policy = DMARC_P_REJECT}};
	struct verdict v;

	(void)state;
	policy_decide(&r, &v);
	assert_int_equal(v.action, VERDICT_ACCEPT);
	assert_int_equal(v.disposition, DMARC_P_NONE);
	assert_int_equal(v.would_be, DMARC_P_REJECT);
	r.dmarc.status = DMARC_STATUS_TEMPERROR;
	policy_decide(&r, &v);
	assert_int_equal(v.would_be, DMARC_P_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_signing_domain),
		cmocka_unit_test(test_monitoring),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
