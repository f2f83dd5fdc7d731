/* policy.c: who decides the direction, who may be signed for, and what is
 * done with mail that fails. */
#include "check.h"

#include <string.h>

#include "eval/eval.h"
#include "mail/domain.h"

static const struct direction_row {
	const char *what;
	int forced;
	const char *login;
	bool local;
	const char *client;
	enum mail_direction want;
	const char *why;
	bool received, sign_reinjected;
} direction_rows[] = {
	{"listener wins over login", MAIL_INBOUND, "u", false, "192.0.2.1",
	 MAIL_INBOUND, "listener", false, false},
	{"listener none", MAIL_IGNORED, "u", false, "192.0.2.1", MAIL_IGNORED,
	 "listener", false, false},
	{"login", -1, "u", false, "192.0.2.1", MAIL_OUTBOUND, "login", false,
	 false},
	{"sendmail(1)", -1, "", true, "", MAIL_OUTBOUND, "local-submission",
	 false, false},
	{"network", -1, "", false, "198.51.100.7", MAIL_OUTBOUND,
	 "networks.sign", false, false},
	{"re-injection from loopback is not outbound", -1, "", false,
	 "127.0.0.1", MAIL_INBOUND, "default", false, false},
	{"the host's own mail, if its network signs", -1, "", false,
	 "127.0.0.2", MAIL_OUTBOUND, "networks.sign", false, false},
	{"but not what came from elsewhere", -1, "", false, "127.0.0.2",
	 MAIL_INBOUND, "re-injected", true, false},
	{"nor through sendmail(1)", -1, "", true, "", MAIL_INBOUND,
	 "re-injected", true, false},
	{"unless that is wanted", -1, "", false, "127.0.0.2", MAIL_OUTBOUND,
	 "networks.sign", true, true},
	{"or it has a login", -1, "u", false, "127.0.0.2", MAIL_OUTBOUND,
	 "login", true, false},
	{"or its listener says so", MAIL_OUTBOUND, "", false, "127.0.0.1",
	 MAIL_OUTBOUND, "listener", true, false},
	{"or it comes from another host that signs here", -1, "", false,
	 "198.51.100.7", MAIL_OUTBOUND, "networks.sign", true, false},
	{"stranger", -1, "", false, "192.0.2.1", MAIL_INBOUND, "default", false,
	 false},
	{"unknown address is a stranger", -1, "", false, "", MAIL_INBOUND,
	 "default", false, false},
};

static void test_direction(void **state)
{
	struct ip_net sign[2];

	(void)state;
	assert_true(ip_net_parse(SLICE("198.51.100.0/24"), &sign[0]));
	assert_true(ip_net_parse(SLICE("127.0.0.2/32"), &sign[1]));
	for (size_t i = 0; i < sizeof(direction_rows) / sizeof(*direction_rows);
	     i++) {
		const struct direction_row *r = &direction_rows[i];
		struct client_facts client = {.local = r->local};
		struct envelope_facts envelope = {.login = slice_of(r->login)};
		const struct direction_options o = {
			.forced = r->forced,
			.sign = sign,
			.nsign = 2,
			.sign_reinjected = r->sign_reinjected,
		};
		const char *why = NULL;

		if (r->client[0] != '\0')
			assert_true(
				ip_parse(slice_of(r->client), &client.addr));
		assert_int_equal(policy_direction(&o, &client, &envelope,
						  r->received, &why),
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

#define MON   DISPOSITION_MONITOR
#define QUAR  DISPOSITION_QUARANTINE
#define HONOR DISPOSITION_HONOR
#define UNSET DMARC_P_UNSET
#define NONE  DMARC_P_NONE
#define Q     DMARC_P_QUARANTINE
#define R     DMARC_P_REJECT

/* RFC 9989 4.7 (p=none, t is applied before), 5.3.6, 7.2, 7.4. */
static const struct decide_row {
	enum dmarc_status status;
	enum dmarc_policy policy; /* after t=y */
	enum dmarc_policy would_be;
	enum dmarc_policy done[3]; /* monitor, quarantine, honor */
} decide_rows[] = {
	{DMARC_STATUS_FAIL, R, R, {NONE, Q, R}},
	{DMARC_STATUS_FAIL, Q, Q, {NONE, Q, Q}},
	{DMARC_STATUS_FAIL, NONE, NONE, {NONE, NONE, NONE}},
	/* "not every author domain passes": no policy of its own */
	{DMARC_STATUS_FAIL, UNSET, NONE, {NONE, NONE, NONE}},
	{DMARC_STATUS_PASS, R, NONE, {NONE, NONE, NONE}},
	{DMARC_STATUS_PASS, Q, NONE, {NONE, NONE, NONE}},
	{DMARC_STATUS_NONE, UNSET, NONE, {NONE, NONE, NONE}},
	{DMARC_STATUS_NONE, R, NONE, {NONE, NONE, NONE}},
	{DMARC_STATUS_TEMPERROR, R, NONE, {NONE, NONE, NONE}},
	{DMARC_STATUS_TEMPERROR, Q, NONE, {NONE, NONE, NONE}},
	/* a permanent error that is not From's */
	{DMARC_STATUS_PERMERROR, R, NONE, {NONE, NONE, NONE}},
};

static const char *one_domain[] = {"a.example", "b.example", "c.example",
				   "d.example", "e.example"};

static struct results sample(enum dmarc_status status, enum dmarc_policy policy)
{
	return (struct results){
		.authors = {.ndomains = 1, .domains = one_domain},
		.dmarc = {.status = status,
			  .author_domain = "a.example",
			  .policy = policy},
	};
}

static void check_verdict(size_t row, const struct verdict *v,
			  enum dmarc_policy done, enum dmarc_policy would_be)
{
	if (v->disposition != done || v->would_be != would_be ||
	    (v->action == VERDICT_REJECT) != (done == R) ||
	    (v->reply.text != NULL) != (done == R) ||
	    (v->mark != NULL) != (done == Q) ||
	    (v->rule != NULL) != (would_be != NONE))
		fail_msg("row %zu: done %d would_be %d action %d", row,
			 v->disposition, v->would_be, v->action);
}

static void test_dispositions(void **state)
{
	struct arena *a = arena_new();
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(decide_rows) / sizeof(*decide_rows);
	     i++) {
		const struct decide_row *row = &decide_rows[i];
		struct results r = sample(row->status, row->policy);

		for (int mode = MON; mode <= HONOR; mode++) {
			struct policy_options o = {
				.disposition = (enum dmarc_disposition)mode};

			policy_decide(a, &o, &r, &v);
			check_verdict(i, &v, row->done[mode], row->would_be);
			/* mail of our own is never judged again */
			o.exempt = "ours";
			policy_decide(a, &o, &r, &v);
			check_verdict(i, &v, NONE, row->would_be);
			if (v.rule != NULL)
				assert_string_equal(v.rule, "ours");
		}
	}
	arena_free(a);
}

/* Without a configuration nothing is applied. */
static void test_default(void **state)
{
	struct arena *a = arena_new();
	struct policy_options o = {0};
	struct results r = sample(DMARC_STATUS_FAIL, R);
	struct verdict v;

	(void)state;
	policy_decide(a, &o, &r, &v);
	assert_int_equal(v.action, VERDICT_ACCEPT);
	assert_int_equal(v.disposition, NONE);
	assert_false(v.tag || v.hold);
	assert_string_equal(v.rule, "monitor");
	arena_free(a);
}

static const struct quarantine_row {
	enum dmarc_quarantine how;
	bool tag, hold;
} quarantine_rows[] = {
	{QUARANTINE_TAG, true, false},
	{QUARANTINE_HOLD, false, true},
	{QUARANTINE_BOTH, true, true},
};

static void test_quarantine(void **state)
{
	struct arena *a = arena_new();
	struct results r = sample(DMARC_STATUS_FAIL, R);
	struct verdict v;

	(void)state;
	for (size_t i = 0;
	     i < sizeof(quarantine_rows) / sizeof(*quarantine_rows); i++) {
		const struct quarantine_row *row = &quarantine_rows[i];
		struct policy_options o = {.disposition = QUAR,
					   .quarantine = row->how};

		policy_decide(a, &o, &r, &v);
		assert_int_equal(v.action, VERDICT_ACCEPT);
		assert_int_equal(v.tag, row->tag);
		assert_int_equal(v.hold, row->hold);
		assert_string_equal(v.mark, "dmarc=fail header.from=a.example "
					    "policy.dmarc=reject");
	}
	arena_free(a);
}

/* RFC 9989 5.3.1, DM-2: no author domain, or more than are looked at. */
static void test_unauthored(void **state)
{
	struct arena *a = arena_new();
	struct policy_options o = {.disposition = HONOR};
	struct results r = {.authors = {.malformed = true},
			    .dmarc = {.status = DMARC_STATUS_PERMERROR,
				      .reason = "several From fields"}};
	struct verdict v;

	(void)state;
	policy_decide(a, &o, &r, &v);
	check_verdict(0, &v, R, R);
	assert_string_equal(v.reply.code, "550");
	assert_string_equal(v.reply.enhanced, "5.7.1");
	assert_string_equal(v.reply.text,
			    "Email rejected, the domain of its author cannot "
			    "be told (RFC 5322 3.6 From): several From fields");
	o.disposition = QUAR;
	policy_decide(a, &o, &r, &v);
	check_verdict(1, &v, Q, R);
	assert_string_equal(v.mark,
			    "dmarc=permerror reason=\"several From fields\"");
	o.disposition = MON;
	policy_decide(a, &o, &r, &v);
	check_verdict(2, &v, NONE, R);
	/* a limit of ours is no fault of the sender: not lost */
	o = (struct policy_options){.disposition = HONOR, .over_limit = true};
	policy_decide(a, &o, &r, &v);
	check_verdict(3, &v, Q, Q);
	/* an empty group */
	o.over_limit = false;
	r.authors.malformed = false;
	policy_decide(a, &o, &r, &v);
	check_verdict(4, &v, R, R);
	r.authors = (struct addr_authors){.ndomains = DMARC_AUTHORS_MAX + 1,
					  .domains = one_domain};
	policy_decide(a, &o, &r, &v);
	check_verdict(5, &v, R, R);
	r.authors.ndomains = DMARC_AUTHORS_MAX;
	policy_decide(a, &o, &r, &v);
	check_verdict(6, &v, NONE, NONE);
	arena_free(a);
}

#define REJECTED "Email rejected per DMARC policy for a.example: "

/* RFC 9989 7.2, RFC 7372 3.3: what failed, and which code says so. */
static const struct reply_row {
	bool spf_checked;
	enum spf_status spf;
	const char *spf_domain;
	size_t nsignatures;
	enum dkim_status dkim[2];
	const char *dkim_domain;
	const char *enhanced, *text;
} reply_rows[] = {
	{true,
	 SPF_STATUS_FAIL,
	 "s.example",
	 1,
	 {DKIM_STATUS_FAIL},
	 "d.example",
	 "5.7.26",
	 REJECTED "SPF fail for s.example, DKIM fail for d.example"},
	{true,
	 SPF_STATUS_SOFTFAIL,
	 "s.example",
	 1,
	 {DKIM_STATUS_PERMERROR},
	 NULL,
	 "5.7.26",
	 REJECTED "SPF softfail for s.example, DKIM permerror"},
	{true,
	 SPF_STATUS_FAIL,
	 "s.example",
	 0,
	 {0},
	 NULL,
	 "5.7.1",
	 REJECTED "SPF fail for s.example, no DKIM signature"},
	{true,
	 SPF_STATUS_PASS,
	 "s.example",
	 1,
	 {DKIM_STATUS_FAIL},
	 "d.example",
	 "5.7.1",
	 REJECTED
	 "SPF pass for s.example not aligned, DKIM fail for d.example"},
	{true,
	 SPF_STATUS_FAIL,
	 "s.example",
	 2,
	 {DKIM_STATUS_FAIL, DKIM_STATUS_PASS},
	 "d.example",
	 "5.7.1",
	 REJECTED "SPF fail for s.example, DKIM pass for d.example not "
		  "aligned"},
	{true,
	 SPF_STATUS_NONE,
	 NULL,
	 1,
	 {DKIM_STATUS_FAIL},
	 "d.example",
	 "5.7.1",
	 REJECTED "SPF none, DKIM fail for d.example"},
	{false,
	 SPF_STATUS_FAIL,
	 "s.example",
	 1,
	 {DKIM_STATUS_FAIL},
	 "d.example",
	 "5.7.1",
	 REJECTED "SPF not checked, DKIM fail for d.example"},
};

static void test_replies(void **state)
{
	struct arena *a = arena_new();
	struct policy_options o = {.disposition = HONOR};
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(reply_rows) / sizeof(*reply_rows); i++) {
		const struct reply_row *row = &reply_rows[i];
		struct dkim_result d[2] = {
			{.status = row->dkim[0], .domain = row->dkim_domain},
			{.status = row->dkim[1], .domain = row->dkim_domain}};
		struct results r = sample(DMARC_STATUS_FAIL, R);

		r.spf_mailfrom =
			(struct spf_result){.checked = row->spf_checked,
					    .status = row->spf,
					    .domain = row->spf_domain};
		r.dkim = (struct dkim_results){.n = row->nsignatures, .v = d};
		policy_decide(a, &o, &r, &v);
		assert_int_equal(v.action, VERDICT_REJECT);
		assert_string_equal(v.reply.code, "550");
		assert_string_equal(v.reply.enhanced, row->enhanced);
		assert_string_equal(v.reply.text, row->text);
	}
	arena_free(a);
}

/* The longest domains: RFC 5321 4.5.3.1.5 is kept, and who asked is seen. */
static void test_long_reply(void **state)
{
	struct arena *a = arena_new();
	struct policy_options o = {.disposition = HONOR};
	struct results r = sample(DMARC_STATUS_FAIL, R);
	struct dkim_result d = {.status = DKIM_STATUS_PASS};
	struct verdict v;
	char domain[DOMAIN_MAX + 1];

	(void)state;
	for (size_t i = 0; i < DOMAIN_MAX; i++)
		domain[i] = i % 10 == 9 ? '.' : 'a';
	memcpy(domain + DOMAIN_MAX - 13, ".bank.example", 14);
	r.dmarc.author_domain = domain;
	r.spf_mailfrom = (struct spf_result){
		.checked = true, .status = SPF_STATUS_PASS, .domain = domain};
	d.domain = domain;
	r.dkim = (struct dkim_results){.n = 1, .v = &d};
	policy_decide(a, &o, &r, &v);
	assert_true(strlen(v.reply.text) <= SMTP_REPLY_MAX);
	assert_true(strlen(v.reply.text) > 300);
	assert_non_null(strstr(v.reply.text, "bank.example: SPF pass"));
	assert_true(slice_ends_ci(slice_of(v.reply.text),
				  "bank.example not aligned"));
	for (const char *p = v.reply.text; *p != '\0'; p++)
		assert_true(*p >= 0x20 && *p < 0x7f && *p != '%');
	o.disposition = QUAR;
	policy_decide(a, &o, &r, &v);
	assert_non_null(strstr(v.mark, domain));
	assert_non_null(strstr(v.mark, " policy.dmarc=reject"));
	arena_free(a);
}

static const struct exempt_row {
	bool local;
	const char *client;
	const char *exempt;
	bool trusted;
} exempt_rows[] = {
	{false, "192.0.2.1", NULL, false},
	{false, "2001:db8::1", NULL, false},
	{false, "198.51.100.7", "client in networks.trusted", true},
	{false, "198.51.101.7", NULL, false},
	{false, "127.0.0.1", "client in networks.internal", false},
	{false, "", "client address unknown", false},
	/* whatever address it may carry */
	{true, "198.51.100.7", "local submission", false},
};

static void test_exempt(void **state)
{
	struct ip_net trusted, internal;
	struct eval_env env = {.trusted = &trusted,
			       .ntrusted = 1,
			       .internal = &internal,
			       .ninternal = 1};

	(void)state;
	assert_true(ip_net_parse(SLICE("198.51.100.0/24"), &trusted));
	assert_true(ip_net_parse(SLICE("127.0.0.0/8"), &internal));
	for (size_t i = 0; i < sizeof(exempt_rows) / sizeof(*exempt_rows);
	     i++) {
		const struct exempt_row *row = &exempt_rows[i];
		struct client_facts client = {.local = row->local};
		const char *why;

		if (row->client[0] != '\0')
			assert_true(
				ip_parse(slice_of(row->client), &client.addr));
		why = policy_exempt(&env, &client);
		assert_int_equal(policy_trusted(&env, &client), row->trusted);
		if (row->exempt == NULL)
			assert_null(why);
		else
			assert_string_equal(why, row->exempt);
	}
}

/* Limits are ours, bad bytes are the sender's. */
static void test_over_limit(void **state)
{
	struct field_list l = {0};

	(void)state;
	assert_false(policy_over_limit(&l));
	l.trouble = FIELD_BAD_BYTES;
	assert_false(policy_over_limit(&l));
	l.trouble = FIELD_TOO_MANY;
	assert_true(policy_over_limit(&l));
	l.trouble = FIELD_TOO_LONG;
	assert_true(policy_over_limit(&l));
	l.trouble = FIELD_TOO_LARGE;
	assert_true(policy_over_limit(&l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_signing_domain),
		cmocka_unit_test(test_dispositions),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_quarantine),
		cmocka_unit_test(test_unauthored),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_long_reply),
		cmocka_unit_test(test_exempt),
		cmocka_unit_test(test_over_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
