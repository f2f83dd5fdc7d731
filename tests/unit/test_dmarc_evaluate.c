/* dmarc/align.c and second.c: RFC 9989 5.3, 4.4, 4.7; DM-1 to DM-4, DM-14,
 * DM-22 to DM-32. */
#include "check.h"

#include <stdio.h>

#include "dmarc/dmarc.h"

#define AUTHORS 6
#define SIGS	12

#define NONE DMARC_STATUS_NONE
#define PASS DMARC_STATUS_PASS
#define FAIL DMARC_STATUS_FAIL
#define TEMP DMARC_STATUS_TEMPERROR
#define PERM DMARC_STATUS_PERMERROR

#define PN DMARC_P_NONE
#define PQ DMARC_P_QUARANTINE
#define PR DMARC_P_REJECT
#define PU DMARC_P_UNSET

/* One message: "pass:domain" or "temperror:domain", separated by spaces. */
struct row {
	const char *what;
	const char *zone;
	const char *from; /* domains separated by spaces */
	const char *spf;  /* NULL: not checked */
	const char *dkim; /* NULL: no signature */
	enum dmarc_status status;
	const char *policy_domain; /* NULL: none */
	const char *tag;
	enum dmarc_policy policy;
	bool spf_aligned, dkim_aligned;
};

#define TXT(name, text) "_dmarc." name " TXT \"v=DMARC1;" text "\"\n"

static const struct row rows[] = {
	/* DM-24 */
	{"no record", "example.com A 192.0.2.1\n", "example.com",
	 "pass:example.com", NULL, NONE, NULL, NULL, PU, false, false},
	/* DM-27 */
	{"spf, same name", TXT("example.com", "p=reject"), "example.com",
	 "pass:example.com", NULL, PASS, "example.com", "p", PR, true, false},
	{"dkim, same name", TXT("example.com", "p=reject"), "example.com", NULL,
	 "pass:example.com", PASS, "example.com", "p", PR, false, true},
	{"relaxed, below", TXT("example.com", "p=reject"), "example.com",
	 "pass:bounce.example.com", NULL, PASS, "example.com", "p", PR, true,
	 false},
	{"relaxed, above", TXT("example.com", "p=reject"), "a.example.com",
	 "pass:example.com", NULL, PASS, "example.com", "p", PR, true, false},
	{"relaxed, siblings", TXT("example.com", "p=reject"), "a.example.com",
	 NULL, "pass:b.example.com", PASS, "example.com", "p", PR, false, true},
	{"strict spf", TXT("example.com", "p=reject;aspf=s"), "example.com",
	 "pass:a.example.com", "pass:a.example.com", PASS, "example.com", "p",
	 PR, false, true},
	{"strict dkim", TXT("example.com", "p=reject;adkim=s"), "example.com",
	 "pass:a.example.com", "pass:a.example.com", PASS, "example.com", "p",
	 PR, true, false},
	{"strict both", TXT("example.com", "p=reject;aspf=s;adkim=s"),
	 "example.com", "pass:a.example.com", "pass:a.example.com", FAIL,
	 "example.com", "p", PR, false, false},
	{"strict, same name", TXT("example.com", "p=reject;aspf=s;adkim=s"),
	 "example.com", "pass:example.com", "pass:example.com", PASS,
	 "example.com", "p", PR, true, true},
	{"other domain", TXT("example.com", "p=reject") TXT("com", "p=none"),
	 "example.com", "pass:attacker.net", "pass:attacker.net", FAIL,
	 "example.com", "p", PR, false, false},
	{"suffix without a dot", TXT("example.com", "p=reject"), "example.com",
	 "pass:badexample.com", "pass:badexample.com", FAIL, "example.com", "p",
	 PR, false, false},
	/* what libopendmarc gets wrong */
	{"x.com and another .com", TXT("x.com", "p=reject"), "x.com",
	 "pass:attacker.com", "pass:q.com", FAIL, "x.com", "p", PR, false,
	 false},
	{"x.com itself", TXT("x.com", "p=reject"), "x.com", "pass:x.com",
	 "pass:x.com", PASS, "x.com", "p", PR, true, true},
	{"the TLD", TXT("example.com", "p=reject"), "example.com", "pass:com",
	 "pass:com", FAIL, "example.com", "p", PR, false, false},
	/* DM-3, DM-4 */
	{"spf softfail", TXT("example.com", "p=reject"), "example.com",
	 "softfail:example.com", "fail:example.com", FAIL, "example.com", "p",
	 PR, false, false},
	{"second signature", TXT("example.com", "p=reject"), "example.com",
	 NULL, "fail:example.com pass:list.net pass:a.example.com", PASS,
	 "example.com", "p", PR, false, true},
	/* DM-25a, DM-28 */
	{"siblings below a PSD", TXT("bank", "p=reject;psd=y"), "example.bank",
	 "pass:evil.bank", "pass:evil.bank", FAIL, "bank", "p", PR, false,
	 false},
	/* DK-13: who signs as the suffix itself speaks for nobody below it */
	{"the PSD itself", TXT("bank", "p=reject;psd=y"), "example.bank",
	 "pass:bank", "pass:bank", FAIL, "bank", "p", PR, false, false},
	{"B.4.3", TXT("bank.example", "p=reject;psd=y"), "giant.bank.example",
	 NULL, "pass:mail.mega.bank.example", FAIL, "bank.example", "p", PR,
	 false, false},
	{"psd=n cuts",
	 TXT("a.example.com", "p=none;psd=n") TXT("example.com", "p=reject"),
	 "example.com", "pass:a.example.com", NULL, FAIL, "example.com", "p",
	 PR, false, false},
	/* DM-29 */
	{"zone cut not seen",
	 TXT("b.c.d.e.f.g.example.com", "p=none;psd=n")
		 TXT("example.com", "p=reject"),
	 "mail.a.b.c.d.e.f.g.example.com", NULL, "pass:example.com", PASS,
	 "example.com", "p", PR, false, true},
	/* DM-22 */
	{"sp", TXT("example.com", "p=reject;sp=quarantine"), "a.example.com",
	 NULL, NULL, FAIL, "example.com", "sp", PQ, false, false},
	{"own sp and np unused",
	 TXT("example.com", "p=none;sp=reject;np=reject"), "example.com", NULL,
	 NULL, FAIL, "example.com", "p", PN, false, false},
	{"np, no such name", TXT("example.com", "p=none;sp=none;np=reject"),
	 "nx.example.com", NULL, NULL, FAIL, "example.com", "np", PR, false,
	 false},
	{"np, name exists",
	 TXT("example.com",
	     "p=none;sp=quarantine;np=reject") "a.example.com A 192.0.2.1\n",
	 "a.example.com", NULL, NULL, FAIL, "example.com", "sp", PQ, false,
	 false},
	/* DM-23: any record, or a name below it, is existence */
	{"np, no data",
	 TXT("example.com",
	     "p=quarantine;np=reject") "a.example.com MX 10 mx.example.com\n",
	 "a.example.com", NULL, NULL, FAIL, "example.com", "p", PQ, false,
	 false},
	{"np, empty non-terminal",
	 TXT("example.com",
	     "p=quarantine;np=reject") "x.a.example.com A 192.0.2.1\n",
	 "a.example.com", NULL, NULL, FAIL, "example.com", "p", PQ, false,
	 false},
	{"np falls back to sp", TXT("example.com", "p=none;sp=reject"),
	 "nx.example.com", NULL, NULL, FAIL, "example.com", "sp", PR, false,
	 false},
	{"np unknown",
	 TXT("example.com", "p=none;np=reject") "a.example.com A !TIMEOUT\n",
	 "a.example.com", NULL, NULL, TEMP, "example.com", "p", PN, false,
	 false},
	{"np unknown, but a pass",
	 TXT("example.com", "p=none;np=reject") "a.example.com A !TIMEOUT\n",
	 "a.example.com", "pass:example.com", NULL, PASS, "example.com", "p",
	 PN, true, false},
	{"np of a PSD", TXT("com", "p=none;np=reject;psd=y"), "nx.com", NULL,
	 NULL, FAIL, "com", "np", PR, false, false},
	/* DM-21 */
	{"the middle is no policy",
	 TXT("mail.example.com", "p=none") TXT("example.com", "p=reject"),
	 "a.mail.example.com", NULL, NULL, FAIL, "example.com", "p", PR, false,
	 false},
	{"duplicates at the author (U2)",
	 TXT("a.example.com", "p=none") TXT("a.example.com", "p=none")
		 TXT("example.com", "p=reject"),
	 "a.example.com", NULL, NULL, FAIL, "example.com", "p", PR, false,
	 false},
	/* DM-14, U1 */
	{"no p, rua", TXT("example.com", "rua=mailto:a@b.c"), "example.com",
	 NULL, NULL, FAIL, "example.com", "p", PN, false, false},
	{"no p, no rua", TXT("example.com", ""), "example.com",
	 "pass:example.com", NULL, NONE, NULL, NULL, PU, false, false},
	{"bad p, rua", TXT("example.com", "p=x;rua=mailto:a@b.c"),
	 "example.com", "pass:example.com", NULL, PASS, "example.com", "p", PN,
	 true, false},
	{"bad p, bad rua", TXT("example.com", "p=x;rua=a@b.c"), "example.com",
	 "pass:example.com", NULL, NONE, NULL, NULL, PU, false, false},
	{"bad sp, rua", TXT("example.com", "p=reject;sp=x;rua=mailto:a@b.c"),
	 "example.com", NULL, NULL, FAIL, "example.com", "p", PN, false, false},
	{"bad np, no rua", TXT("example.com", "p=reject;np=x"), "example.com",
	 NULL, NULL, NONE, NULL, NULL, PU, false, false},
	{"bad p at the author stops",
	 TXT("a.example.com", "p=x") TXT("example.com", "p=reject"),
	 "a.example.com", NULL, NULL, NONE, NULL, NULL, PU, false, false},
	/* DM-32 */
	{"t=y, reject", TXT("example.com", "p=reject;t=y"), "example.com", NULL,
	 NULL, FAIL, "example.com", "p", PQ, false, false},
	{"t=y, quarantine", TXT("example.com", "p=quarantine;t=y"),
	 "example.com", NULL, NULL, FAIL, "example.com", "p", PN, false, false},
	{"t=y, none", TXT("example.com", "p=none;t=y"), "example.com", NULL,
	 NULL, FAIL, "example.com", "p", PN, false, false},
	{"t=y, sp", TXT("example.com", "p=none;sp=reject;t=y"), "a.example.com",
	 NULL, NULL, FAIL, "example.com", "sp", PQ, false, false},
	{"t=y, pass", TXT("example.com", "p=reject;t=y"), "example.com",
	 "pass:example.com", NULL, PASS, "example.com", "p", PQ, true, false},
	/* DM-13 */
	{"pct=0 is ignored", TXT("example.com", "p=reject;pct=0"),
	 "example.com", NULL, NULL, FAIL, "example.com", "p", PR, false, false},
	/* DM-31 */
	{"record unknown", "_dmarc.example.com TXT !TIMEOUT\n", "example.com",
	 "pass:example.com", "pass:example.com", TEMP, NULL, NULL, PU, false,
	 false},
	{"walk fails above the author's record, strict enough",
	 TXT("example.com", "p=reject") "_dmarc.com TXT !TIMEOUT\n",
	 "example.com", "pass:example.com", NULL, PASS, "example.com", "p", PR,
	 true, false},
	{"walk fails, relaxed",
	 TXT("example.com", "p=reject") "_dmarc.com TXT !TIMEOUT\n",
	 "example.com", "pass:a.example.com", NULL, TEMP, "example.com", "p",
	 PR, false, false},
	{"walk fails, strict mode",
	 TXT("example.com", "p=reject;aspf=s") "_dmarc.com TXT !TIMEOUT\n",
	 "example.com", "pass:a.example.com", NULL, FAIL, "example.com", "p",
	 PR, false, false},
	{"walk fails, other TLD",
	 TXT("example.com", "p=reject") "_dmarc.com TXT !TIMEOUT\n",
	 "example.com", "pass:a.net", NULL, FAIL, "example.com", "p", PR, false,
	 false},
	{"walk fails, nothing passed",
	 TXT("example.com", "p=reject") "_dmarc.com TXT !TIMEOUT\n",
	 "example.com", NULL, NULL, FAIL, "example.com", "p", PR, false, false},
	{"identifier's walk fails",
	 TXT("example.com", "p=reject") "_dmarc.a.example.com TXT !TIMEOUT\n",
	 "example.com", NULL, "pass:a.example.com", TEMP, "example.com", "p",
	 PR, false, false},
	{"spf temperror, alignable", TXT("example.com", "p=reject"),
	 "example.com", "temperror:a.example.com", NULL, TEMP, "example.com",
	 "p", PR, false, false},
	{"spf temperror, strict", TXT("example.com", "p=reject;aspf=s"),
	 "example.com", "temperror:a.example.com", NULL, FAIL, "example.com",
	 "p", PR, false, false},
	{"spf temperror, elsewhere", TXT("example.com", "p=reject"),
	 "example.com", "temperror:other.net", NULL, FAIL, "example.com", "p",
	 PR, false, false},
	{"spf temperror, dkim pass", TXT("example.com", "p=reject"),
	 "example.com", "temperror:example.com", "pass:example.com", PASS,
	 "example.com", "p", PR, false, true},
	{"dkim temperror, alignable", TXT("example.com", "p=reject"),
	 "example.com", "fail:example.com",
	 "fail:example.com "
	 "temperror:a.example.com",
	 TEMP, "example.com", "p", PR, false, false},
	{"dkim temperror, elsewhere", TXT("example.com", "p=reject"),
	 "example.com", NULL, "temperror:list.net pass:list.net", FAIL,
	 "example.com", "p", PR, false, false},
	{"dkim temperror, spf pass", TXT("example.com", "p=reject"),
	 "example.com", "pass:example.com", "temperror:example.com", PASS,
	 "example.com", "p", PR, true, false},
	{"no record, temperror elsewhere", "a.b A 192.0.2.1\n", "example.com",
	 "temperror:example.com", "temperror:example.com", NONE, NULL, NULL, PU,
	 false, false},
	/* DM-2 */
	{"two authors, both pass",
	 TXT("a.com", "p=reject") TXT("b.com", "p=reject"), "a.com b.com",
	 "pass:a.com", "pass:b.com", PASS, "a.com", "p", PR, true, false},
	{"two authors, the second fails",
	 TXT("a.com", "p=reject") TXT("b.com", "p=quarantine"), "a.com b.com",
	 "pass:a.com", NULL, FAIL, "b.com", "p", PQ, false, false},
	{"two authors, the strictest decides",
	 TXT("a.com", "p=quarantine") TXT("b.com", "p=reject"), "a.com b.com",
	 NULL, NULL, FAIL, "b.com", "p", PR, false, false},
	{"two authors, the stricter is first",
	 TXT("a.com", "p=reject") TXT("b.com", "p=none"), "a.com b.com", NULL,
	 NULL, FAIL, "a.com", "p", PR, false, false},
	{"a pass and no record", TXT("a.com", "p=reject"), "a.com b.com",
	 "pass:a.com", NULL, FAIL, NULL, NULL, PU, false, false},
	{"no record twice", "a.com A 192.0.2.1\n", "a.com b.com", "pass:a.com",
	 NULL, NONE, NULL, NULL, PU, false, false},
	{"a failure and a temporary one",
	 TXT("a.com", "p=reject") "_dmarc.b.com TXT !TIMEOUT\n", "a.com b.com",
	 NULL, NULL, FAIL, "a.com", "p", PR, false, false},
	{"a pass and a temporary failure",
	 TXT("a.com", "p=reject") "_dmarc.b.com TXT !TIMEOUT\n", "a.com b.com",
	 "pass:a.com", NULL, TEMP, NULL, NULL, PU, false, false},
	{"five authors, one fails", TXT("d.com", "p=reject"),
	 "a.com b.com c.com d.com e.com", NULL, NULL, FAIL, "d.com", "p", PR,
	 false, false},
	{"five authors, the fifth would fail", TXT("e.com", "p=reject"),
	 "a.com b.com c.com d.com e.com", NULL, NULL, PERM, NULL, NULL, PU,
	 false, false},
};

/* ---- a message out of a row ---- */

struct message {
	struct arena *arena;
	struct dns *dns;
	struct dns_budget *budget;
	const char *domains[AUTHORS];
	struct addr_authors authors;
	struct spf_result spf;
	struct dkim_result sigs[SIGS];
	struct dkim_results dkim;
	struct dmarc_input in;
	struct dmarc_result r;
};

static void set_spf(struct message *m, struct slice s)
{
	static const enum spf_status all[] = {
		SPF_STATUS_PASS, SPF_STATUS_SOFTFAIL, SPF_STATUS_TEMPERROR,
		SPF_STATUS_FAIL};
	static const char *const names[] = {"pass", "softfail", "temperror",
					    "fail"};
	struct slice status;

	if (s.n == 0)
		return;
	status = slice_cut(&s, ':');
	m->spf.checked = true;
	for (size_t i = 0; i < 4; i++)
		if (slice_is(status, names[i]))
			m->spf.status = all[i];
	m->spf.domain = slice_cstr(m->arena, s);
}

static void add_sig(struct message *m, struct slice s)
{
	struct dkim_result *d = &m->sigs[m->dkim.n++];
	struct slice status = slice_cut(&s, ':');

	assert_true(m->dkim.n <= SIGS);
	d->status = slice_is(status, "pass")	    ? DKIM_STATUS_PASS
		    : slice_is(status, "temperror") ? DKIM_STATUS_TEMPERROR
						    : DKIM_STATUS_FAIL;
	d->domain = slice_cstr(m->arena, s);
}

static void message_init(struct message *m, const struct row *row)
{
	struct slice from = slice_of(row->from), dkim = slice_of(row->dkim);
	const char *err = NULL;

	*m = (struct message){.arena = arena_new()};
	m->dns = dns_new_zone_text(m->arena, slice_of(row->zone), &err);
	if (m->dns == NULL)
		fail_msg("%s: %s", row->what, err);
	m->budget = dns_budget_new(m->dns, 1000, 150);
	while (from.n > 0)
		m->domains[m->authors.ndomains++] =
			slice_cstr(m->arena, slice_cut(&from, ' '));
	m->authors.domains = m->domains;
	m->authors.n = m->authors.ndomains;
	set_spf(m, slice_of(row->spf));
	while (dkim.n > 0)
		add_sig(m, slice_cut(&dkim, ' '));
	m->dkim.v = m->sigs;
	m->in = (struct dmarc_input){.authors = &m->authors,
				     .spf_mailfrom = &m->spf,
				     .dkim = &m->dkim};
	dmarc_prefetch(m->arena, m->budget, &m->in.options, &m->authors);
	dmarc_evaluate(m->arena, m->budget, &m->in, &m->r);
}

static void message_done(struct message *m)
{
	dns_budget_free(m->budget);
	dns_free(m->dns);
	arena_free(m->arena);
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void check_row(const struct row *row)
{
	const char *why, *diff = NULL;
	struct ip client = {IP_V4, {192, 0, 2, 1}};
	struct message m;

	message_init(&m, row);
	why = dmarc_explain(m.arena, &m.in, &m.r);
	if (m.r.status != row->status ||
	    !same(m.r.policy_domain, row->policy_domain) ||
	    !same(m.r.tag, row->tag) || m.r.policy != row->policy ||
	    m.r.spf_aligned != row->spf_aligned ||
	    m.r.dkim_aligned != row->dkim_aligned)
		fail_msg("%s: dmarc=%s policy=%s: %s", row->what,
			 dmarc_status_name(m.r.status),
			 dmarc_policy_name(m.r.policy), why);
	if (m.r.dkim_aligned != (m.r.dkim_by != NULL))
		fail_msg("%s: dkim_by", row->what);
	if (!dmarc_second_opinion(m.arena, &client, &m.r, &diff))
		fail_msg("%s: %s", row->what, diff);
	message_done(&m);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

/* DM-2: nothing to validate. */
static void test_no_author(void **state)
{
	static const struct row row = {
		.what = "no author", .zone = "", .from = ""};
	struct message m;

	(void)state;
	message_init(&m, &row);
	assert_int_equal(m.r.status, PERM);
	assert_string_equal(m.r.reason, "no author domain");
	assert_int_equal(m.r.walks, 0);
	m.authors.malformed = true;
	m.authors.reason = "several From fields";
	dmarc_evaluate(m.arena, m.budget, &m.in, &m.r);
	assert_int_equal(m.r.status, PERM);
	assert_string_equal(m.r.reason, "several From fields");
	assert_string_equal(dmarc_explain(m.arena, &m.in, &m.r),
			    "no evaluation: several From fields");
	message_done(&m);
}

/* DM-26: how many walks and questions a message costs. */
static void test_cost(void **state)
{
	static const struct {
		struct row row;
		unsigned walks, queries;
	} costs[] = {
		{{.zone = TXT("example.com", "p=reject"),
		  .from = "example.com",
		  .spf = "pass:example.com",
		  .dkim = "pass:example.com"},
		 1,
		 2},
		{{.zone = TXT("example.com", "p=reject;adkim=s"),
		  .from = "example.com",
		  .dkim = "pass:a.example.com"},
		 1,
		 2},
		{{.zone = TXT("example.com", "p=reject"),
		  .from = "example.com",
		  .spf = "pass:other.net",
		  .dkim = "pass:attacker.com"},
		 1,
		 2},
		/* the same d= twice is one walk; psd=n makes it not aligned */
		{{.zone = TXT("example.com", "p=reject")
			  TXT("a.example.com", "p=none;psd=n"),
		  .from = "example.com",
		  .spf = "pass:a.example.com",
		  .dkim = "pass:a.example.com pass:a.example.com"},
		 2,
		 3},
		/* no policy: no walk for the identifiers */
		{{.zone = "",
		  .from = "example.com",
		  .spf = "pass:a.example.com"},
		 1,
		 2},
		/* np asks one more name */
		{{.zone = TXT("example.com", "p=reject;np=none"),
		  .from = "nx.example.com"},
		 1,
		 4},
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		message_init(&m, &costs[i].row);
		if (m.r.walks != costs[i].walks ||
		    dns_budget_queries(m.budget) != costs[i].queries)
			fail_msg("row %zu: %u walks, %u queries", i, m.r.walks,
				 dns_budget_queries(m.budget));
		message_done(&m);
	}
}

/* The budget that runs out is a temporary failure, never "fail". */
static void test_budget(void **state)
{
	static const struct row row = {.what = "budget",
				       .zone = TXT("example.com", "p=reject"),
				       .from = "example.com",
				       .spf = "pass:a.example.com"};
	struct message m;

	(void)state;
	message_init(&m, &row);
	for (unsigned max = 0; max <= 2; max++) {
		struct dns_budget *b = dns_budget_new(m.dns, 1000, max);
		dmarc_evaluate(m.arena, b, &m.in, &m.r);
		assert_int_equal(m.r.status, TEMP);
		assert_non_null(m.r.reason);
		dns_budget_free(b);
	}
	message_done(&m);
}

/* DM-26: walks are bounded whatever the number of signatures. */
static void test_many_signatures(void **state)
{
	static const struct row row = {.what = "many",
				       .zone = TXT("example.com", "p=reject"),
				       .from = "example.com"};
	enum { N = 40 };
	struct dkim_result v[N] = {0};
	struct message m;

	(void)state;
	message_init(&m, &row);
	for (unsigned i = 0; i < N; i++) {
		v[i].status = DKIM_STATUS_TEMPERROR;
		v[i].domain = arena_printf(m.arena, "a%u.example.com", i);
	}
	m.dkim = (struct dkim_results){.n = N, .v = v};
	dmarc_evaluate(m.arena, m.budget, &m.in, &m.r);
	assert_int_equal(m.r.status, TEMP);
	assert_true(m.r.walks <= DMARC_AUTHORS_MAX + 11);
	message_done(&m);
}

static void test_explain(void **state)
{
	static const struct {
		struct row row;
		const char *want;
	} lines[] = {
		{{.zone = TXT("example.com", "p=reject"),
		  .from = "example.com",
		  .spf = "pass:other.test"},
		 "example.com: record at example.com p=reject; spf pass for "
		 "other.test not aligned (not example.com or below); no dkim "
		 "pass; tag p applied"},
		{{.zone = TXT("example.com", "p=reject;aspf=s;adkim=s"),
		  .from = "example.com",
		  .spf = "pass:a.example.com",
		  .dkim = "pass:b.example.com"},
		 "example.com: record at example.com p=reject aspf=s adkim=s; "
		 "spf pass for a.example.com not aligned (aspf=s); dkim pass "
		 "for b.example.com not aligned (adkim=s); tag p applied"},
		{{.zone = TXT("example.com", "p=reject")
			  TXT("b.example.com", "p=none;psd=n"),
		  .from = "example.com",
		  .dkim = "pass:b.example.com"},
		 "example.com: record at example.com p=reject; spf not "
		 "checked; dkim pass for b.example.com not aligned (another "
		 "organizational domain); tag p applied"},
		{{.zone = TXT("example.com", "p=none;np=reject;t=y"),
		  .from = "nx.example.com",
		  .dkim = "pass:b.net temperror:c.net"},
		 "nx.example.com: record at example.com p=none np=reject t=y; "
		 "spf not checked; dkim pass for b.net not aligned (not "
		 "example.com or below); dkim temperror for c.net; tag np "
		 "applied"},
		{{.zone = TXT("example.com", "p=reject;aspf=s;adkim=s"),
		  .from = "example.com",
		  .spf = "softfail:example.com",
		  .dkim = "pass:example.com"},
		 "example.com: record at example.com p=reject aspf=s adkim=s; "
		 "no spf pass; dkim pass for example.com aligned; tag p "
		 "applied"},
		{{.zone = "", .from = "example.com"}, "example.com: no record"},
		{{.zone = TXT("example.com", "p=x"), .from = "example.com"},
		 "example.com: no record; record without a valid policy"},
		{{.zone = TXT("example.com", "p=none")
			  TXT("example.com", "p=none"),
		  .from = "example.com"},
		 "example.com: no record; several records at one name"},
		{{.zone = TXT("a.example.com", "p=none")
			  TXT("a.example.com", "p=none")
				  TXT("example.com", "p=none;sp=reject"),
		  .from = "a.example.com"},
		 "a.example.com: record at example.com p=none sp=reject; spf "
		 "not checked; no dkim pass; tag sp applied; several records "
		 "at one name discarded"},
		{{.zone = TXT("a.com", "p=none"),
		  .from = "a.com b.com",
		  .spf = "pass:a.com"},
		 "b.com: no record; not every author domain passes; 2 author "
		 "domains"},
		{{.zone = "_dmarc.example.com TXT !SERVFAIL\n",
		  .from = "example.com"},
		 "example.com: record unknown; policy look-up failed"},
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		message_init(&m, &lines[i].row);
		assert_string_equal(dmarc_explain(m.arena, &m.in, &m.r),
				    lines[i].want);
		message_done(&m);
	}
}

/* A result that libopendmarc cannot agree with is told; ours stays. */
static void test_second_differs(void **state)
{
	struct arena *a = arena_new();
	struct ip client = {.family = IP_NONE};
	struct dmarc_result r = {.status = PASS,
				 .author_domain = "example.com",
				 .policy_domain = "example.com",
				 .tag = "p",
				 .record = {.p = PR},
				 .published = PR,
				 .policy = PR};
	const char *diff = NULL;

	(void)state;
	/* "pass" without an aligned identifier */
	assert_false(dmarc_second_opinion(a, &client, &r, &diff));
	assert_string_equal(diff, "libopendmarc says reject, mailseal pass");
	/* no opinion */
	diff = NULL;
	r.status = TEMP;
	assert_true(dmarc_second_opinion(a, &client, &r, &diff));
	r.status = NONE;
	r.policy_domain = NULL;
	assert_true(dmarc_second_opinion(a, &client, &r, &diff));
	r = (struct dmarc_result){.status = PERM};
	assert_true(dmarc_second_opinion(a, &client, &r, &diff));
	assert_null(diff);
	arena_free(a);
}

/* Names of every length, one-letter labels, both families: no over-read. */
static void test_second_names(void **state)
{
	static const char *const names[] = {"a",
					    "a.b",
					    "x.com",
					    "t.co",
					    "a.example.co.uk",
					    "localhost",
					    "_x.y-z.example"};
	struct arena *a = arena_new();
	struct ip client = {.family = IP_V6};
	char longest[254] = "";
	const char *diff = NULL;

	(void)state;
	for (size_t i = 0; i < 253; i++)
		longest[i] = i % 2 != 0 ? '.' : 'a';
	for (size_t i = 0; i <= sizeof(names) / sizeof(names[0]); i++) {
		const char *name = i < sizeof(names) / sizeof(names[0])
					   ? names[i]
					   : longest;
		struct dmarc_result r = {
			.status = PASS,
			.author_domain = name,
			.policy_domain = name,
			.tag = "p",
			.record = {.p = PR, .aspf_strict = true},
			.published = PR,
			.spf_aligned = true};
		if (!dmarc_second_opinion(a, &client, &r, &diff))
			fail_msg("%s: %s", name, diff);
		r.spf_aligned = false;
		r.dkim_aligned = true;
		if (!dmarc_second_opinion(a, &client, &r, &diff))
			fail_msg("%s: %s", name, diff);
	}
	arena_free(a);
}

static void test_status_names(void **state)
{
	(void)state;
	assert_string_equal(dmarc_status_name(NONE), "none");
	assert_string_equal(dmarc_status_name(PASS), "pass");
	assert_string_equal(dmarc_status_name(FAIL), "fail");
	assert_string_equal(dmarc_status_name(TEMP), "temperror");
	assert_string_equal(dmarc_status_name(PERM), "permerror");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_author),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_many_signatures),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_second_differs),
		cmocka_unit_test(test_second_names),
		cmocka_unit_test(test_status_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
