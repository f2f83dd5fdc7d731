/* stamp.c: results become header edits (RFC 8601, AR-3, AR-4, AR-12a). */
#include "check.h"

#include "eval/eval.h"
#include "mail/authres.h"

static const char *const own_ids[] = {"mx.example.net", "old.example.net"};
static const struct eval_env env = {.authserv_id = "mx.example.net",
				    .authserv_ids = own_ids,
				    .nauthserv_ids = 2};

static void add(struct arena *a, struct own_fields *l, const char *name,
		const char *value)
{
	stamp_note(a, &env, l, slice_of(name), slice_of(value));
}

/* MB-3: own-id fields go from the highest index down, others stay, and the
 * new field is inserted last. */
static void test_removal(void **state)
{
	struct arena *a = arena_new();
	struct own_fields l = {0};
	struct client_facts client = {0};
	struct envelope_facts envelope = {0};
	struct results r = {0};
	struct verdict v = {0};
	struct edits e;

	(void)state;
	add(a, &l, "Authentication-Results", " mx.example.net; dkim=pass");
	add(a, &l, "Subject", " x");
	add(a, &l, "authentication-results", " other.example; spf=pass");
	add(a, &l, "Authentication-Results", " \"MX.Example.NET.\" 1; none");
	add(a, &l, "Authentication-Results", " old.example.net; dmarc=pass");
	assert_int_equal(l.of[OWN_QUARANTINE].seen, 0);
	stamp_inbound(a, &env, &l, &client, &envelope, &r, &v, &e);
	assert_int_equal(e.n, 4);
	assert_int_equal(e.v[0].kind, EDIT_DELETE);
	assert_int_equal(e.v[0].index, 4);
	assert_int_equal(e.v[1].index, 3);
	assert_int_equal(e.v[2].index, 1);
	assert_int_equal(e.v[3].kind, EDIT_INSERT);
	assert_int_equal(e.v[3].index, 0);
	assert_true(e.v[3].value[0] == ' ');
	arena_free(a);
}

/* AR-5: whatever they say; of each name the highest index first. */
static void test_marks(void **state)
{
	struct arena *a = arena_new();
	struct own_fields l = {0};
	struct client_facts client = {0};
	struct envelope_facts envelope = {0};
	struct results r = {0};
	struct verdict v = {.tag = true, .mark = "dmarc=fail"};
	struct edits e;
	static const struct {
		const char *name;
		size_t index;
	} want[] = {{"Authentication-Results", 1},
		    {"X-Mailseal-Quarantine", 2},
		    {"X-Mailseal-Quarantine", 1}};

	(void)state;
	add(a, &l, "X-Mailseal-Quarantine", " no");
	add(a, &l, "Authentication-Results", " mx.example.net; none");
	add(a, &l, "x-mailseal-quarantinE", "");
	add(a, &l, "X-Mailseal-Quarantined", " another");
	stamp_inbound(a, &env, &l, &client, &envelope, &r, &v, &e);
	assert_int_equal(e.n, 5);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(e.v[i].kind, EDIT_DELETE);
		assert_int_equal(e.v[i].index, want[i].index);
		assert_string_equal(e.v[i].name, want[i].name);
	}
	assert_string_equal(e.v[3].name, "X-Mailseal-Quarantine");
	assert_string_equal(e.v[3].value, " dmarc=fail");
	assert_string_equal(e.v[4].name, "Authentication-Results");
	/* nothing but the removals on the way out */
	stamp_outbound(a, &l, NULL, 0, NULL, &e);
	assert_int_equal(e.n, 3);
	v.tag = false;
	stamp_inbound(a, &env, &l, &client, &envelope, &r, &v, &e);
	assert_int_equal(e.n, 4);
	arena_free(a);
}

static struct results sample(struct dkim_result *d)
{
	d[0] = (struct dkim_result){.status = DKIM_STATUS_PASS,
				    .domain = "example.com",
				    .selector = "s1",
				    .algorithm = SLICE("rsa-sha256"),
				    .b = SLICE("AAAAAAAAAAbb")};
	d[1] = (struct dkim_result){.status = DKIM_STATUS_FAIL,
				    .reason = "body hash mismatch",
				    .domain = "other.example",
				    .selector = "s2",
				    .algorithm = SLICE("ed25519-sha256"),
				    .b = SLICE("AAAAAAAAAAcc")};
	return (struct results){
		.spf_helo = {.checked = true,
			     .status = SPF_STATUS_NONE,
			     .domain = "mail.example.com",
			     .identity = SPF_IDENTITY_HELO},
		.spf_mailfrom = {.checked = true,
				 .status = SPF_STATUS_PASS,
				 .domain = "example.com",
				 .identity = SPF_IDENTITY_MAILFROM},
		.dkim = {.n = 2, .v = d},
		.dmarc = {.status = DMARC_STATUS_PASS,
			  .author_domain = "example.com",
			  .policy_domain = "example.com",
			  .record = {.p = DMARC_P_REJECT},
			  .policy = DMARC_P_REJECT,
			  .dkim_aligned = true},
	};
}

static const struct authres_resinfo *find(const struct authres *ar,
					  const char *method, size_t nth)
{
	for (size_t i = 0; i < ar->n; i++)
		if (slice_is(ar->v[i].method, method) && nth-- == 0)
			return &ar->v[i];
	return NULL;
}

static void check_prop(const struct authres_resinfo *m, const char *ptype,
		       const char *name, const char *want)
{
	assert_non_null(m);
	for (size_t i = 0; i < m->nprops; i++) {
		if (!slice_is(m->props[i].ptype, ptype) ||
		    !slice_is(m->props[i].name, name))
			continue;
		check_slice(m->props[i].value, want);
		return;
	}
	fail_msg("no %s.%s", ptype, name);
}

/* What we write parses, with every property; header.b is unique (6008 4). */
static void test_content(void **state)
{
	struct arena *a = arena_new();
	struct dkim_result d[2];
	struct results r = sample(d);
	struct verdict v = {.disposition = DMARC_P_NONE};
	struct authres ar;
	struct slice value = stamp_authres(a, "mx.example.net", &r, &v);

	(void)state;
	assert_true(authres_parse(a, value, &ar));
	check_slice(ar.id, "mx.example.net");
	assert_int_equal(ar.n, 6);
	check_prop(find(&ar, "dmarc", 0), "header", "from", "example.com");
	check_prop(find(&ar, "dmarc", 0), "policy", "dmarc", "none");
	assert_non_null(strstr(slice_cstr(a, value),
			       "dmarc=pass (p=reject dis=none spf=unaligned "
			       "dkim=aligned)"));
	check_prop(find(&ar, "dkim", 0), "header", "d", "example.com");
	check_prop(find(&ar, "dkim", 0), "header", "b", "AAAAAAAAAAb");
	check_prop(find(&ar, "dkim", 1), "header", "b", "AAAAAAAAAAc");
	check_slice(find(&ar, "dkim", 1)->reason, "body hash mismatch");
	check_prop(find(&ar, "spf", 0), "smtp", "helo", "mail.example.com");
	check_prop(find(&ar, "spf", 1), "smtp", "mailfrom", "example.com");
	arena_free(a);
}

/* RFC 9989 9.1: policy.dmarc is the policy after t=y, dis= what was done with
 * it; of a temporary error there is no policy (5.3.6). */
static void test_policy(void **state)
{
	struct arena *a = arena_new();
	struct results r = {
		.spf_mailfrom = {.checked = true, .status = SPF_STATUS_FAIL},
		.dmarc = {.status = DMARC_STATUS_FAIL,
			  .author_domain = "a.example",
			  .policy_domain = "example",
			  .record = {.p = DMARC_P_NONE,
				     .sp = DMARC_P_REJECT,
				     .np = DMARC_P_NONE,
				     .testing = true},
			  .policy = DMARC_P_QUARANTINE}};
	struct verdict v = {.disposition = DMARC_P_NONE};
	struct authres ar;
	struct slice value = stamp_authres(a, "mx.example.net", &r, &v);

	(void)state;
	assert_true(authres_parse(a, value, &ar));
	check_prop(find(&ar, "dmarc", 0), "policy", "dmarc", "quarantine");
	assert_non_null(
		strstr(slice_cstr(a, value),
		       "dmarc=fail (p=none sp=reject np=none t=y dis=none)"));
	v.disposition = DMARC_P_QUARANTINE;
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_non_null(strstr(slice_cstr(a, value), " dis=quarantine)"));
	r.dmarc.status = DMARC_STATUS_TEMPERROR;
	r.spf_mailfrom.status = SPF_STATUS_PASS;
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_null(strstr(slice_cstr(a, value), "policy.dmarc"));
	assert_null(strstr(slice_cstr(a, value), "aligned"));
	/* nothing is to be applied to a pass, whatever p= says */
	r.dmarc.status = DMARC_STATUS_PASS;
	r.dmarc.spf_aligned = true;
	v.disposition = DMARC_P_NONE;
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_true(authres_parse(a, value, &ar));
	check_prop(find(&ar, "dmarc", 0), "policy", "dmarc", "none");
	v.disposition = DMARC_P_QUARANTINE;
	/* no policy, but something was done */
	r.dmarc = (struct dmarc_result){.status = DMARC_STATUS_PERMERROR,
					.reason = "no From field"};
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_non_null(strstr(slice_cstr(a, value), "(dis=quarantine)"));
	v.disposition = DMARC_P_NONE;
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_null(strstr(slice_cstr(a, value), "dis="));
	arena_free(a);
}

/* Unsigned mail says dkim=none: later filters can tell it from an outage. */
static void test_unsigned(void **state)
{
	struct arena *a = arena_new();
	struct results r = {0};
	struct verdict v = {0};
	struct authres ar;

	(void)state;
	assert_true(authres_parse(a, stamp_authres(a, "mx.example.net", &r, &v),
				  &ar));
	check_slice(find(&ar, "dkim", 0)->result, "none");
	assert_null(find(&ar, "spf", 0));
	arena_free(a);
}

/* RFC 8617 6: the state of the chain, also when there is none, and from whom
 * the message came, when that is known; why it was not looked at (10.2). */
static void test_no_arc(void **state)
{
	struct arena *a = arena_new();
	struct results r = {0};
	struct verdict v = {0};
	struct authres ar;
	struct slice value = stamp_authres(a, "mx.example.net", &r, &v);

	(void)state;
	assert_true(authres_parse(a, value, &ar));
	check_slice(find(&ar, "arc", 0)->result, "none");
	assert_int_equal(find(&ar, "arc", 0)->reason.n, 0);
	assert_int_equal(find(&ar, "arc", 0)->nprops, 0);
	assert_null(find(&ar, "arc", 1));
	assert_true(ip_parse(SLICE("2001:db8::1"), &r.arc_client));
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_true(authres_parse(a, value, &ar));
	assert_int_equal(find(&ar, "arc", 0)->nprops, 1);
	check_prop(find(&ar, "arc", 0), "smtp", "remote-ip", "2001:db8::1");
	evaluation_unexamined(a, "an outage", &r);
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_true(authres_parse(a, value, &ar));
	check_slice(find(&ar, "arc", 0)->result, "none");
	check_slice(find(&ar, "arc", 0)->reason, "an outage");
	assert_int_equal(find(&ar, "arc", 0)->nprops, 0);
	arena_free(a);
}

/* RFC 8601 2.7.3: the client's address, and the name only as a comment. */
static void test_iprev(void **state)
{
	struct arena *a = arena_new();
	struct results r = {.iprev = {.checked = true,
				      .status = IPREV_STATUS_PASS,
				      .name = "mx.example.org"}};
	struct verdict v = {0};
	struct authres ar;
	struct slice value;

	(void)state;
	assert_true(ip_parse(SLICE("2001:db8::1"), &r.iprev.client));
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_true(slice_ends_ci(value, "iprev=pass (mx.example.org) "
					 "policy.iprev=\"2001:db8::1\""));
	assert_true(authres_parse(a, value, &ar));
	check_prop(find(&ar, "iprev", 0), "policy", "iprev", "2001:db8::1");
	/* the writer escapes it, whatever a name may hold one day */
	r.iprev.name = "a) b=(c";
	value = stamp_authres(a, "mx.example.net", &r, &v);
	assert_true(authres_parse(a, value, &ar));
	assert_int_equal(find(&ar, "iprev", 0)->nprops, 1);
	r.iprev.checked = false;
	assert_true(authres_parse(a, stamp_authres(a, "mx.example.net", &r, &v),
				  &ar));
	assert_null(find(&ar, "iprev", 0));
	arena_free(a);
}

/* SPF-3, AR-6: what was not checked is said once and claims no domain. */
static void test_skipped(void **state)
{
	struct arena *a = arena_new();
	struct results r = {
		.spf_helo = {.identity = SPF_IDENTITY_HELO, .reason = "ours"},
		.spf_mailfrom = {.identity = SPF_IDENTITY_MAILFROM,
				 .reason = "ours"}};
	struct verdict v = {0};
	struct authres ar;

	(void)state;
	assert_true(authres_parse(a, stamp_authres(a, "mx.example.net", &r, &v),
				  &ar));
	check_slice(find(&ar, "spf", 0)->result, "none");
	check_slice(find(&ar, "spf", 0)->reason, "ours");
	assert_int_equal(find(&ar, "spf", 0)->nprops, 0);
	assert_null(find(&ar, "spf", 1));
	arena_free(a);
}

/* The header after the edits, each at the place that those before it left. */
static void test_applied(void **state)
{
	static const char *const names[] = {"A", "B", "a", "A", "B", "A", "C"};
	static const struct {
		struct edit v[4];
		size_t n;
		const char *want; /* the values: the place in `names` */
	} rows[] = {
		{{{0}}, 0, "0123456"},
		{{{EDIT_DELETE, 4, "A", NULL},
		  {EDIT_DELETE, 2, "a", NULL},
		  {EDIT_DELETE, 1, "A", NULL}},
		 3,
		 "1346"},
		{{{EDIT_DELETE, 3, "A", NULL},
		  {EDIT_DELETE, 2, "B", NULL},
		  {EDIT_DELETE, 1, "B", NULL},
		  {EDIT_DELETE, 1, "C", NULL}},
		 4,
		 "025"},
		/* from the top down each moves the next */
		{{{EDIT_DELETE, 1, "A", NULL},
		  {EDIT_DELETE, 1, "A", NULL},
		  {EDIT_DELETE, 2, "A", NULL}},
		 3,
		 "1346"},
		{{{EDIT_DELETE, 5, "A", NULL},
		  {EDIT_DELETE, 0, "A", NULL},
		  {EDIT_DELETE, 1, "D", NULL}},
		 3,
		 "0123456"},
		{{{EDIT_DELETE, 4, "A", NULL},
		  {EDIT_INSERT, 0, "A", " x"},
		  {EDIT_DELETE, 2, "A", NULL},
		  {EDIT_CHANGE, 2, "B", " y"}},
		 4,
		 "x123y6"},
		{{{EDIT_DELETE, 1, "C", NULL}, {EDIT_CHANGE, 1, "C", " z"}},
		 2,
		 "012345z"},
	};
	const struct field_limits limits = {10, 100, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct arena *a = arena_new();
		struct edits e = {rows[i].n, unconst(rows[i].v)};
		struct field_list l = {0}, got;
		char text[20];
		size_t n = 0;

		for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++)
			field_list_add(a, &l, &limits, slice_of(names[k]),
				       slice_of(arena_printf(a, " %zu", k)));
		stamp_apply(a, &l, &e, &got);
		for (size_t k = 0; k < got.n; k++)
			text[n++] = slice_trim(got.v[k].value).p[0];
		text[n] = '\0';
		assert_string_equal(text, rows[i].want);
		assert_int_equal(l.n, sizeof(names) / sizeof(*names));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_removal),	 cmocka_unit_test(test_marks),
		cmocka_unit_test(test_content),	 cmocka_unit_test(test_policy),
		cmocka_unit_test(test_unsigned), cmocka_unit_test(test_iprev),
		cmocka_unit_test(test_skipped),	 cmocka_unit_test(test_no_arc),
		cmocka_unit_test(test_applied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
