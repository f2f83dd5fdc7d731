/* row.c: what a message leaves for reports (RFC 9990, AG-2 to AG-5). */
#include "check.h"

#include "report/row.h"

static struct dkim_result signatures[] = {
	{.status = DKIM_STATUS_FAIL, .domain = "c.example", .selector = "s3"},
	{.status = DKIM_STATUS_PASS, .domain = "b.example", .selector = "s2"},
	{.status = DKIM_STATUS_PERMERROR}, /* no domain: cannot be reported */
	{.status = DKIM_STATUS_PASS, .domain = "a.example", .selector = "s1"},
};

static struct results sample(enum dmarc_status status)
{
	return (struct results){
		.spf_mailfrom = {.checked = true,
				 .status = SPF_STATUS_SOFTFAIL,
				 .domain = "bounce.a.example"},
		.dkim = {.n = 4, .v = signatures},
		.dmarc = {.status = status,
			  .author_domain = "a.example",
			  .policy_domain = "a.example",
			  .record = {.p = DMARC_P_REJECT,
				     .sp = DMARC_P_QUARANTINE,
				     .rua = SLICE("mailto:r@a.example")},
			  .published = DMARC_P_REJECT,
			  .policy = DMARC_P_REJECT,
			  .dkim_aligned = status == DMARC_STATUS_PASS,
			  .dkim_by = &signatures[3]},
	};
}

static void make(struct arena *a, const struct results *r, const char *sender,
		 struct row *ret)
{
	struct client_facts client = {0};
	struct envelope_facts envelope = {.sender = slice_of(sender)};
	struct verdict v = {.disposition = DMARC_P_NONE, .rule = "monitor"};

	assert_true(ip_parse(SLICE("192.0.2.1"), &client.addr));
	row_from_results(a, 1790000000, &client, &envelope, r, &v, ret);
}

/* RFC 9990 3.1.3: aligned passes first, then passes, then the rest. */
static void test_pass(void **state)
{
	struct arena *a = arena_new();
	struct results r = sample(DMARC_STATUS_PASS);
	struct row row;

	(void)state;
	make(a, &r, "<x@bounce.a.example>", &row);
	assert_int_equal(row.ndkim, 3);
	assert_string_equal(row.dkim[0].selector, "s1");
	assert_string_equal(row.dkim[1].selector, "s2");
	assert_string_equal(row.dkim[2].selector, "s3");
	assert_int_equal(row.disposition, ROW_DISPOSITION_PASS);
	assert_int_equal(row.override, ROW_OVERRIDE_NONE);
	assert_string_equal(row.envelope_from, "bounce.a.example");
	assert_string_equal(row.header_from, "a.example");
	assert_int_equal(row.p, DMARC_P_REJECT);
	assert_int_equal(row.sp, DMARC_P_QUARANTINE);
	check_slice(row.rua, "mailto:r@a.example");
	assert_int_equal(row.spf, SPF_STATUS_SOFTFAIL);
	assert_true(row.dkim_aligned);
	assert_false(row.spf_aligned);
	assert_true(row.tree_walk);
	r.dmarc.by_psl = true;
	make(a, &r, "<>", &row);
	assert_false(row.tree_walk);
	arena_free(a);
}

/* AG-5: applied differs from published: a reason. */
static void test_monitored_failure(void **state)
{
	struct arena *a = arena_new();
	struct results r = sample(DMARC_STATUS_FAIL);
	struct row row;

	(void)state;
	make(a, &r, "<>", &row);
	assert_int_equal(row.disposition, ROW_DISPOSITION_NONE);
	assert_int_equal(row.override, ROW_OVERRIDE_LOCAL_POLICY);
	assert_string_equal(row.override_comment, "monitor");
	assert_string_equal(row.envelope_from, "");
	/* t=y explains the difference by itself: quarantine became none */
	r.dmarc.record.testing = true;
	r.dmarc.published = DMARC_P_QUARANTINE;
	r.dmarc.policy = DMARC_P_NONE;
	make(a, &r, "<>", &row);
	assert_int_equal(row.override, ROW_OVERRIDE_TEST_MODE);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass),
		cmocka_unit_test(test_monitored_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
