/* gate/preflight*.c: the rules on text of any bytes, and on keys and zones that
 * the table of tests/cases cannot have; milter/preflight_tally.c. */
#include "check.h"

#include <pthread.h>
#include <stdio.h>

#include "dkim/published.h"
#include "gate/preflight.h"
#include "mail/base64.h"
#include "milter/preflight_tally.h"

static const struct field_limits limits = {1000, 65536, 262144};

/* h= folds as the signer gives them. */
#define SIGNATURE                                                              \
	" v=1; a=rsa-sha256; d=d.example; s=s;\n\th=From:List-Unsubscribe:\n"  \
	"\tList-Unsubscribe-Post:Feedback-ID; bh=AA==;\n\tb=AA=="

struct world {
	struct arena *a;
	struct field_list fields;
	struct addr_authors authors;
	struct gate_facts facts;
	struct dkim_signing_key key;
	struct slice signature;
	struct preflight_message m;
	struct preflight_options o;
	struct dns *dns;
	struct dns_budget *b;
};

static void world_init(struct world *w)
{
	*w = (struct world){.a = arena_new()};
	w->facts = (struct gate_facts){
		.mail = SLICE("<a@d.example>"),
		.authors = &w->authors,
		.fields = &w->fields,
	};
	w->signature = SLICE(SIGNATURE);
	w->key.domain = "d.example";
	w->key.selector = "s";
	w->m = (struct preflight_message){
		.facts = &w->facts,
		.nkeys = 1,
		.keys = &w->key,
		.signatures = &w->signature,
	};
	w->o.helo = "mx.example";
}

static void world_done(struct world *w)
{
	dns_budget_free(w->b);
	dns_free(w->dns);
	arena_free(w->a);
}

static void field(struct world *w, const char *name, struct slice value)
{
	struct slice heap = check_heap(value.p, value.n);

	field_list_add(w->a, &w->fields, &limits, slice_of(name), heap);
	free(unconst(heap.p));
}

static void zone(struct world *w, const char *text)
{
	const char *err = NULL;

	w->dns = dns_new_zone_text(w->a, slice_of(text), &err);
	if (w->dns == NULL)
		fail_msg("%s", err);
	w->b = dns_budget_new(w->dns, 5000, 60);
}

static void good_fields(struct world *w)
{
	field(w, "From", SLICE(" a@d.example"));
	field(w, "Date", SLICE(" Tue, 24 Nov 2026 10:00:00 +0000"));
	field(w, "Message-ID", SLICE(" <1@d.example>"));
	addr_authors_of(w->a, &w->fields, &w->authors);
}

static void is_bad(struct preflight_result r, const char *reason)
{
	assert_int_equal(r.status, PREFLIGHT_BAD);
	assert_string_equal(r.reason, reason);
}

/* ---- bytes ---- */

/* No value may be read past its end, and none may make a word of its own in
 * the log: reasons are constants and names. */
static void test_any_bytes(void **state)
{
	static const char *const names[] = {
		"From",
		"To",
		"Date",
		"Message-ID",
		"Sender",
		"Precedence",
		"List-Unsubscribe",
		"Feedback-ID",
		"List-Unsubscribe-Post",
	};
	static const char alphabet[] = "<>@\"\\(),;:=? \t\0\x01\x80\xff"
				       "https://aA19%.-+[]";
	uint32_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char value[24];
		struct preflight_report r;
		struct world w;
		size_t n = i % sizeof(value);

		world_init(&w);
		for (size_t k = 0; k < n; k++) {
			seed = seed * 1103515245 + 12345;
			value[k] =
				alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		field(&w, names[i % 9], (struct slice){value, n});
		addr_authors_of(w.a, &w.fields, &w.authors);
		w.signature = (struct slice){value, n};
		for (size_t k = PREFLIGHT_FORMAT; k < PREFLIGHT_RULES; k++)
			w.o.mode[k] = PREFLIGHT_LOG;
		w.o.nbulk = 1;
		w.o.bulk = &(struct preflight_bulk){.header = names[i % 9]};
		preflight_check(w.a, NULL, &w.o, &w.m, &r);
		assert_int_equal(r.v[PREFLIGHT_FORMAT].status, PREFLIGHT_BAD);
		assert_int_equal(r.v[PREFLIGHT_UNSUBSCRIBE].status,
				 PREFLIGHT_BAD);
		for (const char *p = preflight_text(w.a, &r, " "); *p != '\0';
		     p++)
			assert_true(*p >= ' ' && *p <= '~' && *p != '%' &&
				    *p != '"');
		world_done(&w);
	}
}

/* A NUL hides what stands behind it from readers in C. */
static void test_nul(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	good_fields(&w);
	field(&w, "Subject", SLICE(" a\0b"));
	is_bad(preflight_format(w.a, &w.m), "control characters in the header");
	field(&w, "List-Unsubscribe", SLICE(" <https://d.example/\0>"));
	is_bad(preflight_unsubscribe(w.a, &w.m),
	       "List-Unsubscribe is malformed");
	world_done(&w);
}

static void test_signed_names(void **state)
{
	static const struct {
		const char *signature;
		bool ok;
	} rows[] = {
		{" h=Feedback-ID", true},
		{" h=From:\n\tfeedback-id :x", true},
		{" h=From; h=Feedback-ID", false},
		{" H=Feedback-ID", false},
		{" h=Feedback-IDs", false},
		{" h=xFeedback-ID", false},
		{" z=h=Feedback-ID", false},
		{"", false},
		{" h=", false},
	};
	struct world w;

	(void)state;
	world_init(&w);
	field(&w, "Feedback-ID", SLICE(" a:sender"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct preflight_result r;

		w.signature = slice_of(rows[i].signature);
		r = preflight_feedback_id(w.a, &w.m);
		if ((r.status == PREFLIGHT_OK) != rows[i].ok)
			fail_msg("%s", rows[i].signature);
	}
	w.signature = SLICE(SIGNATURE);
	assert_int_equal(preflight_feedback_id(w.a, &w.m).status, PREFLIGHT_OK);
	w.m.signatures = NULL;
	is_bad(preflight_feedback_id(w.a, &w.m),
	       "no signature covers Feedback-ID");
	world_done(&w);
}

/* Of a login with a realm, the name alone where realms do not count. */
static void test_bulk_login(void **state)
{
	const struct preflight_bulk rule = {.login = "news@a.example"};
	struct world w;

	(void)state;
	world_init(&w);
	w.o.nbulk = 1;
	w.o.bulk = &rule;
	assert_false(preflight_is_bulk(&w.o, &w.m));
	w.facts.login = SLICE("News@A.example");
	assert_true(preflight_is_bulk(&w.o, &w.m));
	w.facts.login = SLICE("news@b.example");
	assert_false(preflight_is_bulk(&w.o, &w.m));
	w.o.strip_realm = true;
	assert_true(preflight_is_bulk(&w.o, &w.m));
	world_done(&w);
}

/* ---- DNS ---- */

static const char *record(struct world *w, const char *tags)
{
	struct slice p =
		base64_encode(w->a, crypto_privkey_public(w->a, w->key.key));

	return arena_printf(w->a,
			    "s._domainkey.d.example TXT \"v=DKIM1; k=ed25519; "
			    "%s p=%.*s\"\n",
			    tags, (int)p.n, p.p);
}

static void ed25519(struct world *w)
{
	w->key.key = crypto_privkey_generate(CRYPTO_ED25519, 0);
}

/* RFC 6376 3.6.1: t=s is about i=. */
static void test_identity(void **state)
{
	static const struct {
		const char *tags, *identity;
		enum dkim_published want;
	} rows[] = {
		{"", "@sub.d.example", DKIM_PUBLISHED_SAME},
		{"t=s;", NULL, DKIM_PUBLISHED_SAME},
		{"t=s;", "@d.example", DKIM_PUBLISHED_SAME},
		{"t=s;", "a@D.example", DKIM_PUBLISHED_SAME},
		{"t=s;", "@sub.d.example", DKIM_PUBLISHED_DIFFERENT},
		{"t=s;", "\"@\"@sub.d.example", DKIM_PUBLISHED_DIFFERENT},
		{"t=s:y;", "@d.example", DKIM_PUBLISHED_TESTING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *what;
		struct world w;

		world_init(&w);
		ed25519(&w);
		zone(&w, record(&w, rows[i].tags));
		w.key.identity = rows[i].identity;
		assert_int_equal(
			dkim_published_compare(w.a, w.b, &w.key, &what),
			rows[i].want);
		crypto_privkey_free(unconst(w.key.key));
		world_done(&w);
	}
}

#define TERMS 9

/* SPF that asks 9 questions for each of 16 addresses, and finds something. */
static const char *expensive_zone(struct world *w)
{
	struct strbuf z;

	strbuf_init(&z, w->a, 100000);
	strbuf_adds(&z, "x.example TXT \"v=spf1");
	for (unsigned k = 0; k < TERMS; k++)
		strbuf_printf(&z, " a:%u.%%{i}.x.example", k);
	strbuf_adds(&z, " -all\"\n");
	for (unsigned i = 0; i < PREFLIGHT_EGRESS_MAX * TERMS; i++)
		strbuf_printf(&z, "%u.192.0.2.%u.x.example A 127.0.0.1\n",
			      i % TERMS, i / TERMS);
	return strbuf_cstr(&z);
}

/* Whatever SPF of MAIL FROM costs, enough is left to ask for DMARC. */
static void test_expensive_spf(void **state)
{
	struct ip_net egress[PREFLIGHT_EGRESS_MAX];
	struct preflight_report r;
	struct world w;

	(void)state;
	world_init(&w);
	good_fields(&w);
	ed25519(&w);
	zone(&w, arena_printf(w.a,
			      "%s%s_dmarc.d.example TXT \"v=DMARC1; "
			      "p=reject\"\n",
			      record(&w, ""), expensive_zone(&w)));
	for (unsigned i = 0; i < PREFLIGHT_EGRESS_MAX; i++)
		egress[i] = (struct ip_net){
			ip_from_bytes((const char[]){(char)192, 0, 2, (char)i},
				      4),
			32};
	w.o.egress = (struct ip_nets){PREFLIGHT_EGRESS_MAX, egress};
	w.facts.mail = SLICE("<a@x.example>");
	w.o.mode[PREFLIGHT_SPF] = PREFLIGHT_REJECT;
	w.o.mode[PREFLIGHT_DMARC] = PREFLIGHT_REJECT;
	preflight_check(w.a, w.b, &w.o, &w.m, &r);
	assert_int_equal(r.v[PREFLIGHT_DMARC].status, PREFLIGHT_OK);
	is_bad(r.v[PREFLIGHT_SPF], "fail for 192.0.2.0 at x.example");
	assert_int_equal(dns_budget_queries(w.b), 60 - 24 + 2);
	crypto_privkey_free(unconst(w.key.key));
	world_done(&w);
}

/* SPF is asked for DMARC's sake only where DKIM does not do. */
static void test_spf_for_dmarc(void **state)
{
	struct ip_net egress = {ip_from_bytes("\xc0\0\2\1", 4), 32};
	struct preflight_report r;
	struct world w;

	(void)state;
	world_init(&w);
	good_fields(&w);
	zone(&w, "d.example TXT \"v=spf1 +all\"\n"
		 "_dmarc.d.example TXT \"v=DMARC1; p=reject\"\n");
	w.o.egress = (struct ip_nets){1, &egress};
	w.o.mode[PREFLIGHT_DMARC] = PREFLIGHT_LOG;
	preflight_check(w.a, w.b, &w.o, &w.m, &r);
	assert_string_equal(preflight_text(w.a, &r, " "), "ok");
	/* the walk: d.example and example */
	assert_int_equal(dns_budget_queries(w.b), 2);
	w.m.nkeys = 0;
	preflight_check(w.a, w.b, &w.o, &w.m, &r);
	assert_string_equal(preflight_text(w.a, &r, " "), "ok");
	assert_int_equal(dns_budget_queries(w.b), 3);
	w.facts.mail = SLICE("<>");
	preflight_check(w.a, w.b, &w.o, &w.m, &r);
	assert_string_equal(preflight_text(w.a, &r, " "),
			    "bad(dmarc: neither SPF nor DKIM is aligned with "
			    "d.example)");
	world_done(&w);
}

/* ---- the counts ---- */

static void tell(void *arg, const struct preflight_count *c)
{
	strbuf_printf(arg, "%s %llu %llu %llu\n", c->domain,
		      (unsigned long long)c->checked,
		      (unsigned long long)c->unknown,
		      (unsigned long long)c->bad[PREFLIGHT_SPF]);
}

static void test_tally(void **state)
{
	const struct preflight_report ok = {.v = {{PREFLIGHT_OK, NULL}}};
	struct preflight_report bad = {0};
	struct preflight_tally *t = preflight_tally_new();
	struct arena *a = arena_new();
	struct strbuf b;

	(void)state;
	bad.v[PREFLIGHT_DKIM] = preflight_unknown("x");
	bad.v[PREFLIGHT_SPF] = preflight_bad("x");
	assert_int_equal(preflight_tally_add(t, "b.example", &ok),
			 PREFLIGHT_RULES);
	assert_int_equal(preflight_tally_add(t, "b.example", &bad),
			 PREFLIGHT_SPF);
	assert_int_equal(preflight_tally_add(t, "b.example", &bad),
			 PREFLIGHT_RULES);
	assert_int_equal(preflight_tally_add(t, "a.example", &bad),
			 PREFLIGHT_SPF);
	assert_int_equal(preflight_tally_add(t, NULL, &ok), PREFLIGHT_RULES);
	bad.v[PREFLIGHT_DMARC] = bad.v[PREFLIGHT_FORMAT] = preflight_bad("x");
	assert_int_equal(preflight_tally_add(t, "a.example", &bad),
			 PREFLIGHT_DMARC);
	strbuf_init(&b, a, 1 << 20);
	preflight_tally_each(t, tell, &b);
	assert_string_equal(strbuf_cstr(&b), "a.example 2 2 2\n"
					     "b.example 3 2 2\n"
					     "(none) 1 0 0\n");
	for (unsigned i = 0; i < PREFLIGHT_DOMAINS_MAX + 5; i++)
		preflight_tally_add(t, arena_printf(a, "d%u.example", i), &ok);
	strbuf_init(&b, a, 1 << 20);
	preflight_tally_each(t, tell, &b);
	/* 2 of the 1000 were there before */
	assert_non_null(strstr(strbuf_cstr(&b), "\n(other) 7 0 0\n"));
	assert_null(strstr(strbuf_cstr(&b), "d998.example"));
	preflight_tally_free(t);
	arena_free(a);
}

static void *add_many(void *arg)
{
	const struct preflight_report ok = {.v = {{PREFLIGHT_OK, NULL}}};
	char name[32];

	for (unsigned i = 0; i < 4000; i++) {
		snprintf(name, sizeof(name), "d%u.example", i % 40);
		preflight_tally_add(arg, name, &ok);
	}
	return NULL;
}

static void sum(void *arg, const struct preflight_count *c)
{
	*(uint64_t *)arg += c->checked;
}

static void test_tally_threads(void **state)
{
	struct preflight_tally *t = preflight_tally_new();
	pthread_t threads[4];
	uint64_t n = 0;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, t),
				 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	preflight_tally_each(t, sum, &n);
	assert_int_equal(n, 16000);
	preflight_tally_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_signed_names),
		cmocka_unit_test(test_bulk_login),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_expensive_spf),
		cmocka_unit_test(test_spf_for_dmarc),
		cmocka_unit_test(test_tally),
		cmocka_unit_test(test_tally_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
