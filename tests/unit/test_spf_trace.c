/*
 * What an SPF check tells besides its result: the steps of its trace, whose
 * explanation it is (RFC 7208 11.5.2), and what %{p} costs.
 */
#include "check.h"

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

/* ---- what is traced ---- */

/* One line for each event, two spaces for each include. */
static void write_event(void *arg, const struct spf_event *e)
{
	static const char *const names[] = {"record", "term", "query",
					    "match",  "miss", "error"};
	struct strbuf *b = arg;

	for (unsigned i = 0; i < e->depth; i++)
		strbuf_adds(b, "  ");
	strbuf_printf(b, "%s", names[e->kind]);
	if (e->domain[0] != '\0')
		strbuf_printf(b, " %s", e->domain);
	if (e->kind == SPF_EVENT_QUERY)
		strbuf_printf(b, " %s %s", dns_type_name(e->type),
			      dns_status_name(e->answer->status));
	if (e->kind == SPF_EVENT_MATCH || e->kind == SPF_EVENT_ERROR)
		strbuf_printf(b, " %s", spf_status_name(e->status));
	if (e->text.n > 0) {
		strbuf_adds(b, " [");
		strbuf_add(b, e->text);
		strbuf_addc(b, ']');
	}
	strbuf_addc(b, '\n');
}

static void check_trace(struct slice zone, const char *domain,
			const char *wanted)
{
	struct spf_query q = query_of("192.0.2.1", domain);
	struct spf_result r;
	struct strbuf b;
	struct world w;

	world_open(&w, zone);
	strbuf_init(&b, w.arena, 1 << 16);
	q.trace = write_event;
	q.trace_arg = &b;
	spf_check_mailfrom(w.arena, w.budget, &q, &r);
	assert_string_equal(strbuf_cstr(&b), wanted);
	world_close(&w);
}

/* 4.6.2, 5.2, 6.1, 6.2: each step in its order, and how deep it is */
static void test_trace(void **state)
{
	static const char zone[] =
		"t.example TXT \"v=spf1 x=y ip4:192.0.2.9 include:i.example "
		"mx redirect=%{o2}.r.example\"\n"
		"t.example MX 10 m.example\n"
		"m.example A 192.0.2.8\n"
		"i.example TXT \"v=spf1 a:gone.example ?all\"\n"
		"t.example.r.example TXT \"v=spf1 -all exp=e.example\"\n"
		"e.example TXT \"no\"\n";

	(void)state;
	check_trace(slice_of(zone), "t.example",
		    "query t.example TXT found\n"
		    "record t.example [v=spf1 x=y ip4:192.0.2.9 "
		    "include:i.example mx redirect=%{o2}.r.example]\n"
		    "term [ip4:192.0.2.9]\n"
		    "miss [ip4:192.0.2.9]\n"
		    "term i.example [include:i.example]\n"
		    "  query i.example TXT found\n"
		    "  record i.example [v=spf1 a:gone.example ?all]\n"
		    "  term gone.example [a:gone.example]\n"
		    "  query gone.example A nxdomain\n"
		    "  miss [a:gone.example]\n"
		    "  term [?all]\n"
		    "  match neutral [?all]\n"
		    "miss [include:i.example]\n"
		    "term t.example [mx]\n"
		    "query t.example MX found\n"
		    "query m.example A found\n"
		    "miss [mx]\n"
		    "term t.example.r.example [redirect=%{o2}.r.example]\n"
		    "query t.example.r.example TXT found\n"
		    "record t.example.r.example [v=spf1 -all exp=e.example]\n"
		    "term [-all]\n"
		    "match fail [-all]\n"
		    "term e.example [exp=e.example]\n"
		    "query e.example TXT found\n");
}

/* An error is told once, where it happened, after the term that has it. */
static void test_trace_errors(void **state)
{
	static const char zone[] =
		"p.example TXT \"v=spf1 include:b.example -all\"\n"
		"b.example TXT \"v=spf1 a ip4:1.2.3 -all\"\n"
		"two.example TXT \"v=spf1 -all\"\n"
		"two.example TXT \"v=spf1 +all\"\n"
		"again.example TXT \"v=spf1 exp=x.y -all exp=z.y\"\n"
		"slow.example TXT \"v=spf1 a:late.example -all\"\n"
		"late.example A !TIMEOUT\n";

	(void)state;
	check_trace(slice_of(zone), "p.example",
		    "query p.example TXT found\n"
		    "record p.example [v=spf1 include:b.example -all]\n"
		    "term b.example [include:b.example]\n"
		    "  query b.example TXT found\n"
		    "  record b.example [v=spf1 a ip4:1.2.3 -all]\n"
		    "  term [ip4:1.2.3]\n"
		    "  error b.example permerror [syntax error in the SPF "
		    "record]\n");
	check_trace(slice_of(zone), "two.example",
		    "query two.example TXT found\n"
		    "record two.example [v=spf1 -all]\n"
		    "record two.example [v=spf1 +all]\n"
		    "error two.example permerror [more than one SPF "
		    "record]\n");
	check_trace(slice_of(zone), "again.example",
		    "query again.example TXT found\n"
		    "record again.example [v=spf1 exp=x.y -all exp=z.y]\n"
		    "term [exp=z.y]\n"
		    "error again.example permerror [syntax error in the SPF "
		    "record]\n");
	check_trace(slice_of(zone), "slow.example",
		    "query slow.example TXT found\n"
		    "record slow.example [v=spf1 a:late.example -all]\n"
		    "term late.example [a:late.example]\n"
		    "query late.example A tempfail\n"
		    "error slow.example temperror [time-out]\n");
}

/* ---- whose explanation it is ---- */

/* 6.2: the target of redirect explains, not who redirects; 11.5.2 */
static void test_explainer(void **state)
{
	static const struct {
		const char *domain, *text;
	} t[] = {
		{"e.example", "e.example explains: Not ours."},
		{"r.example", "e.example explains: Not ours."},
		/* HELO is in the name: what it holds is not repeated */
		{"h.example", "h.example explains: Not ours."},
		{"none.example", NULL},
	};
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w, SLICE("e.example TXT \"v=spf1 -all exp=x.example\"\n"
			     "E.example TXT \"no policy\"\n"
			     "x.example TXT \"Not ours.\"\n"
			     "r.example TXT \"v=spf1 redirect=E.Example.\"\n"
			     "h.example TXT \"v=spf1 redirect=%{H}.w.example\""
			     "\n"
			     "*.w.example TXT \"v=spf1 -all exp=x.example\"\n"
			     "none.example TXT \"v=spf1 -all\"\n"));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct spf_query q = query_of("192.0.2.1", t[i].domain);
		const char *text;

		q.helo = SLICE("a b\x1b[31m");
		spf_check_mailfrom(w.arena, w.budget, &q, &r);
		assert_int_equal(r.status, SPF_STATUS_FAIL);
		text = spf_explanation(w.arena, &r);
		if (t[i].text == NULL)
			assert_null(text);
		else
			assert_string_equal(text, t[i].text);
	}
	world_close(&w);
}

/* ---- %{p} and prefetch ---- */

/* 4.6.4: ten names at most, once; 7.3: the domain itself ends the search */
static void test_validated_name_cost(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;
	struct world w;

	(void)state;
	strbuf_init(&b, a, 1 << 16);
	strbuf_adds(&b, "p.example TXT \"v=spf1 a:%{p}%{p}%{p}.l.example "
			"exists:%{p}.l.example ~all\"\n"
			"*.l.example A 127.0.0.2\n");
	for (int i = 0; i < 30; i++)
		strbuf_printf(&b,
			      "1.2.0.192.in-addr.arpa PTR n%d.example\n"
			      "2.2.0.192.in-addr.arpa PTR n%d.example\n"
			      "n%d.example A 192.0.2.%d\n",
			      i, i, i, i == 0 ? 1 : 9);
	world_open(&w, strbuf_slice(&b));
	/* n0.example is validated and the others are no better: TXT, PTR, its
	 * address, the two terms */
	assert_int_equal(check_one(&w, "192.0.2.1", "p.example").status,
			 SPF_STATUS_PASS);
	assert_int_equal(dns_budget_queries(w.budget), 5);
	/* none is: PTR, the other nine, the two terms of "unknown" */
	assert_int_equal(check_one(&w, "192.0.2.2", "p.example").status,
			 SPF_STATUS_PASS);
	assert_int_equal(dns_budget_queries(w.budget), 5 + 1 + 9 + 2);
	world_close(&w);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_trace_errors),
		cmocka_unit_test(test_explainer),
		cmocka_unit_test(test_validated_name_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
