/* dmarc/psl.c and the discoveries beside each other: RFC 7489 3.2 and 6.6.3,
 * against RFC 9989 4.10. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "dmarc/dmarc.h"

static const char list_text[] = "// of the test\n"
				"com\n"
				"uk\n"
				"co.uk\n"
				"test\n"
				"*.wild.test\n"
				"!kept.wild.test\n"
				"blog.test\n"
				"bank\n"
				"公司.cn\n";

static char list_file[] = "/tmp/mailseal-psl-XXXXXX";
static struct dmarc_psl *list;

static int make_list(void **state)
{
	const char *why = NULL;
	int fd = mkstemp(list_file);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	(void)state;
	if (f == NULL)
		return -1;
	fputs(list_text, f);
	fclose(f);
	list = dmarc_psl_load(list_file, &why);
	return list != NULL ? 0 : -1;
}

static int drop_list(void **state)
{
	(void)state;
	dmarc_psl_free(list);
	return unlink(list_file);
}

static void test_org(void **state)
{
	static const char *const rows[][2] = {
		{"example.com", "example.com"},
		{"a.b.example.com", "example.com"},
		{"com", "com"},
		{"co.uk", "co.uk"},
		{"example.co.uk", "example.co.uk"},
		{"mail.example.co.uk", "example.co.uk"},
		{"example.uk", "example.uk"},
		{"me.blog.test", "me.blog.test"},
		{"x.me.blog.test", "me.blog.test"},
		{"a.b.wild.test", "a.b.wild.test"},
		{"z.a.b.wild.test", "a.b.wild.test"},
		{"b.wild.test", "b.wild.test"},
		{"a.kept.wild.test", "kept.wild.test"},
		{"a.b.xn--55qx5d.cn", "b.xn--55qx5d.cn"},
		/* RFC 7489 3.2: an unknown last label is a suffix */
		{"a.b.unlisted", "b.unlisted"},
		{"localhost", "localhost"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *org = dmarc_psl_org(list, rows[i][0]);

		assert_string_equal(org, rows[i][1]);
		assert_true(org >= rows[i][0] &&
			    org <= rows[i][0] + strlen(rows[i][0]));
	}
}

static void test_load(void **state)
{
	const char *why = NULL;
	struct dmarc_psl *p;

	(void)state;
	assert_null(dmarc_psl_load("/nonexistent/list", &why));
	assert_string_equal(why, "No such file or directory");
	why = NULL;
	assert_null(dmarc_psl_load("/dev/null", &why));
	assert_string_equal(why, "holds no public suffix");
	p = dmarc_psl_load("", &why);
	assert_non_null(p);
	assert_string_equal(dmarc_psl_org(p, "a.example.co.uk"),
			    "example.co.uk");
	dmarc_psl_free(p);
	dmarc_psl_free(NULL);
}

#define TXT(name, text) "_dmarc." name " TXT \"v=DMARC1;" text "\"\n"

/* A message: the author's domain, the d= that passed. */
struct row {
	const char *what, *zone, *from, *dkim;
	enum dmarc_status status; /* by the list */
	const char *org, *policy_domain;
	enum dmarc_policy policy;
	unsigned queries;
	bool differs; /* from the tree walk */
};

#define NONE DMARC_STATUS_NONE
#define PASS DMARC_STATUS_PASS
#define FAIL DMARC_STATUS_FAIL
#define TEMP DMARC_STATUS_TEMPERROR

static const struct row rows[] = {
	{"own record", TXT("example.com", "p=reject"), "example.com",
	 "example.com", PASS, "example.com", "example.com", DMARC_P_REJECT, 1,
	 false},
	{"of the organization", TXT("example.com", "p=reject;sp=quarantine"),
	 "a.b.example.com", "c.example.com", PASS, "example.com", "example.com",
	 DMARC_P_QUARANTINE, 2, false},
	{"not aligned", TXT("example.com", "p=reject"), "example.com",
	 "example.co.uk", FAIL, "example.com", "example.com", DMARC_P_REJECT, 1,
	 false},
	{"two questions for any depth", TXT("example.com", "p=reject"),
	 "a.b.c.d.e.f.g.h.i.j.example.com", NULL, FAIL, "example.com",
	 "example.com", DMARC_P_REJECT, 2, false},
	{"siblings below a private suffix", TXT("blog.test", "p=reject"),
	 "me.blog.test", "you.blog.test", NONE, "me.blog.test", NULL,
	 DMARC_P_UNSET, 1, true},
	{"the walk stops at psd=n",
	 TXT("b.example.com", "p=reject;psd=n") TXT("example.com", "p=none"),
	 "a.b.example.com", "example.com", PASS, "example.com", "example.com",
	 DMARC_P_NONE, 2, true},
	{"a PSD has no say", TXT("bank", "p=reject;psd=y"), "my.bank", NULL,
	 NONE, "my.bank", NULL, DMARC_P_UNSET, 1, true},
	/* RFC 7489 6.6.3, 5: the walk goes on instead */
	{"several records end it",
	 TXT("a.example.com", "p=none") TXT("a.example.com", "p=reject")
		 TXT("example.com", "p=reject"),
	 "a.example.com", NULL, NONE, "example.com", NULL, DMARC_P_UNSET, 1,
	 true},
	{"np needs NXDOMAIN",
	 TXT("example.com", "p=none;np=reject") "a.example.com A 192.0.2.1\n",
	 "nx.example.com", NULL, FAIL, "example.com", "example.com",
	 DMARC_P_REJECT, 3, false},
	{"the look-up fails", "_dmarc.example.com TXT !SERVFAIL\n",
	 "example.com", "a.example.com", TEMP, NULL, NULL, DMARC_P_UNSET, 1,
	 false},
};

/* A budget of its own, so that the questions are those of one discovery. */
static void evaluate(struct arena *a, const struct row *row,
		     enum dmarc_discovery discovery, struct dmarc_result *ret,
		     unsigned *queries)
{
	const char *err = NULL, *domains[] = {row->from};
	struct dns *dns = dns_new_zone_text(a, slice_of(row->zone), &err);
	struct dns_budget *b;
	struct addr_authors authors = {
		.n = 1, .ndomains = 1, .domains = domains};
	struct dkim_result sig = {.status = DKIM_STATUS_PASS,
				  .domain = row->dkim};
	struct dkim_results dkim = {.n = row->dkim != NULL, .v = &sig};
	struct spf_result spf = {0};
	struct dmarc_input in = {&authors, &spf, &dkim, {discovery, list}};

	if (dns == NULL)
		fail_msg("%s: %s", row->what, err);
	b = dns_budget_new(dns, 1000, 150);
	dmarc_evaluate(a, b, &in, ret);
	*queries = dns_budget_queries(b);
	dns_budget_free(b);
	dns_free(dns);
}

static const char *text(const char *s)
{
	return s != NULL ? s : "(none)";
}

static void check_list(struct arena *a, const struct row *row)
{
	struct dmarc_result r;
	unsigned queries;

	evaluate(a, row, DMARC_DISCOVERY_PSL, &r, &queries);
	if (r.status != row->status || r.policy != row->policy ||
	    strcmp(text(r.org_domain), text(row->org)) != 0 ||
	    strcmp(text(r.policy_domain), text(row->policy_domain)) != 0 ||
	    queries != row->queries)
		fail_msg("%s: dmarc=%s policy=%s org=%s record=%s queries=%u",
			 row->what, dmarc_status_name(r.status),
			 dmarc_policy_name(r.policy), text(r.org_domain),
			 text(r.policy_domain), queries);
	assert_true(r.by_psl);
	assert_null(r.difference);
}

/* The walk decides, and the list only tells. */
static void check_compare(struct arena *a, const struct row *row)
{
	struct dmarc_result walk, both;
	unsigned queries;

	evaluate(a, row, DMARC_DISCOVERY_WALK, &walk, &queries);
	evaluate(a, row, DMARC_DISCOVERY_COMPARE, &both, &queries);
	assert_false(walk.by_psl || both.by_psl);
	assert_null(walk.difference);
	if (both.status != walk.status || both.policy != walk.policy ||
	    strcmp(text(both.policy_domain), text(walk.policy_domain)) != 0 ||
	    strcmp(text(both.org_domain), text(walk.org_domain)) != 0)
		fail_msg("%s: the list changed the verdict", row->what);
	if ((both.difference != NULL) != row->differs)
		fail_msg("%s: %s", row->what, text(both.difference));
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new();

		check_list(a, &rows[i]);
		check_compare(a, &rows[i]);
		arena_free(a);
	}
}

static void test_difference(void **state)
{
	const struct row *row = &rows[4];
	struct arena *a = arena_new();
	struct dmarc_result r;
	unsigned queries;

	(void)state;
	evaluate(a, row, DMARC_DISCOVERY_COMPARE, &r, &queries);
	assert_string_equal(
		r.difference,
		"me.blog.test: tree walk dmarc=pass policy=reject "
		"record=blog.test organizational-domain=blog.test; public "
		"suffix list dmarc=none policy=none record=none "
		"organizational-domain=me.blog.test");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_org),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_difference),
	};

	return cmocka_run_group_tests_name("dmarc_psl", tests, make_list,
					   drop_list);
}
