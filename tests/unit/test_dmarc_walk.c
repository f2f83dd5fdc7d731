/* dmarc/walk.c: RFC 9989 4.10; DM-20 to DM-29 and the vectors of 3.5. */
#include "check.h"

#include <stdio.h>

#include "dmarc/dmarc.h"

/* DM-20: which names are asked. */
static void test_names(void **state)
{
	static const struct {
		const char *start;
		size_t n;
		const char *want[DMARC_WALK_MAX];
	} rows[] = {
		{"", 0, {NULL}},
		{"com", 1, {"com"}},
		{"example.com", 2, {"example.com", "com"}},
		{"a.b.c.d.e.f.com",
		 7,
		 {"a.b.c.d.e.f.com", "b.c.d.e.f.com", "c.d.e.f.com",
		  "d.e.f.com", "e.f.com", "f.com", "com"}},
		{"a.b.c.d.e.f.g.com",
		 8,
		 {"a.b.c.d.e.f.g.com", "b.c.d.e.f.g.com", "c.d.e.f.g.com",
		  "d.e.f.g.com", "e.f.g.com", "f.g.com", "g.com", "com"}},
		{"a.b.c.d.e.f.g.h.com",
		 8,
		 {"a.b.c.d.e.f.g.h.com", "c.d.e.f.g.h.com", "d.e.f.g.h.com",
		  "e.f.g.h.com", "f.g.h.com", "g.h.com", "h.com", "com"}},
		/* the example of RFC 9989 4.10 */
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com",
		 8,
		 {"a.b.c.d.e.f.g.h.i.j.mail.example.com",
		  "g.h.i.j.mail.example.com", "h.i.j.mail.example.com",
		  "i.j.mail.example.com", "j.mail.example.com",
		  "mail.example.com", "example.com", "com"}},
	};
	const char *got[DMARC_WALK_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = dmarc_walk_names(rows[i].start, got);
		if (n != rows[i].n)
			fail_msg("%s: %zu names", rows[i].start, n);
		for (size_t j = 0; j < n; j++)
			assert_string_equal(got[j], rows[i].want[j]);
	}
}

/* 9.2: a name of 100 labels asks 8 names. */
static void test_names_long(void **state)
{
	const char *got[DMARC_WALK_MAX];
	char name[256] = "";
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(name + n, sizeof(name) - n, "a.");
	snprintf(name + n, sizeof(name) - n, "com");
	assert_int_equal(dmarc_walk_names(name, got), DMARC_WALK_MAX);
	assert_ptr_equal(got[0], name);
	assert_string_equal(got[1], "a.a.a.a.a.a.com");
	assert_string_equal(got[7], "com");
}

struct row {
	const char *what;
	const char *zone;
	const char *start;
	const char *org;
	const char *policy; /* NULL: none */
	unsigned queries;
	bool tempfail, duplicates;
};

#define TXT(name, text) "_dmarc." name " TXT \"" text "\"\n"
#define PLAIN(name)	TXT(name, "v=DMARC1; p=reject")
#define PSD(name)	TXT(name, "v=DMARC1; p=reject; psd=y")
#define NOPSD(name)	TXT(name, "v=DMARC1; p=reject; psd=n")

static const struct row rows[] = {
	/* the table of 3.5 */
	{"middle record is no policy",
	 PLAIN("mail.example.com") PLAIN("example.com"), "a.mail.example.com",
	 "example.com", "example.com", 4, false, false},
	{"psd=n ends the walk", NOPSD("mail.example.com") PLAIN("example.com"),
	 "a.mail.example.com", "mail.example.com", "mail.example.com", 2, false,
	 false},
	{"PSD only", PSD("com"), "a.mail.example.com", "example.com", "com", 4,
	 false, false},
	{"own record wins", PLAIN("mail.example.com") PLAIN("example.com"),
	 "mail.example.com", "example.com", "mail.example.com", 3, false,
	 false},
	{"none", "example.com A 192.0.2.1\n", "example.com", "example.com",
	 NULL, 2, false, false},
	{"a PSD's own mail", PSD("bank.example"), "bank.example",
	 "bank.example", "bank.example", 1, false, false},
	{"below a PSD", PSD("bank.example") PLAIN("x.bank.example"),
	 "x.bank.example", "x.bank.example", "x.bank.example", 2, false, false},
	{"org has none: PSD, not the middle",
	 PLAIN("b.c.bank.example") PSD("bank.example"), "a.b.c.bank.example",
	 "c.bank.example", "bank.example", 4, false, false},
	{"duplicates in the middle",
	 PLAIN("b.example.com") PLAIN("b.example.com") PLAIN("example.com"),
	 "a.b.example.com", "example.com", "example.com", 4, false, true},
	{"psd=u does not stop", TXT("example.com", "v=DMARC1; p=reject; psd=u"),
	 "u.example.com", "example.com", "example.com", 3, false, false},
	{"skipped 8-label suffix", PLAIN("f.g.h.i.j.mail.example.com"),
	 "a.b.c.d.e.f.g.h.i.j.mail.example.com",
	 "a.b.c.d.e.f.g.h.i.j.mail.example.com", NULL, 8, false, false},
	{"7-label suffix is seen", PLAIN("g.h.i.j.mail.example.com"),
	 "a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com",
	 "g.h.i.j.mail.example.com", 8, false, false},
	/* DM-25a: the PSD rule exempts the start alone */
	{"directly below a PSD", PSD("bank.example"), "example.bank.example",
	 "example.bank.example", "bank.example", 2, false, false},
	{"one label below a PSD's TLD", PSD("bank"), "example.bank",
	 "example.bank", "bank", 2, false, false},
	/* DM-28 */
	{"B.4.3 author", PSD("bank.example"), "giant.bank.example",
	 "giant.bank.example", "bank.example", 2, false, false},
	{"B.4.3 identifier", PSD("bank.example"), "mail.mega.bank.example",
	 "mega.bank.example", "bank.example", 3, false, false},
	/* DM-29 */
	{"zone cut jumped over",
	 NOPSD("b.c.d.e.f.g.example.com") PLAIN("example.com"),
	 "mail.a.b.c.d.e.f.g.example.com", "example.com", "example.com", 8,
	 false, false},
	/* psd=y at a PSD's child with a record of its own below */
	{"org record before PSD record", PSD("com") PLAIN("example.com"),
	 "mail.example.com", "example.com", "example.com", 3, false, false},
	{"psd=y in the middle ends the walk",
	 PSD("mail.example.com") PLAIN("example.com"), "a.b.mail.example.com",
	 "b.mail.example.com", "mail.example.com", 3, false, false},
	{"psd=n at the start", NOPSD("example.com") PLAIN("com"), "example.com",
	 "example.com", "example.com", 1, false, false},
	{"duplicates at the start (U2)",
	 PLAIN("m.example.com") NOPSD("m.example.com") PLAIN("example.com"),
	 "m.example.com", "example.com", "example.com", 3, false, true},
	{"duplicates only", PLAIN("example.com") PLAIN("example.com"),
	 "example.com", "example.com", NULL, 2, false, true},
	{"a record and other text",
	 PLAIN("example.com") TXT("example.com", "v=dmarc1; p=none")
		 TXT("example.com", "hello"),
	 "example.com", "example.com", "example.com", 2, false, false},
	{"strings are joined (DM-11)",
	 "_dmarc.example.com TXT \"v=DMA\" \"RC1; p=reject; ps\" \"d=n\"\n",
	 "a.example.com", "example.com", "example.com", 2, false, false},
	{"one label", PLAIN("localhost"), "localhost", "localhost", "localhost",
	 1, false, false},
	/* U1: a record without p counts for the organizational domain */
	{"record without p", TXT("example.com", "v=DMARC1"), "a.example.com",
	 "example.com", "example.com", 3, false, false},
	/* DM-31 */
	{"failure at the start",
	 "_dmarc.a.example.com TXT !TIMEOUT\n" PLAIN("example.com"),
	 "a.example.com", "a.example.com", NULL, 1, true, false},
	{"failure above a record",
	 "_dmarc.com TXT !SERVFAIL\n" PLAIN("example.com"), "a.example.com",
	 "example.com", NULL, 3, true, false},
	{"failure above the own record",
	 "_dmarc.com TXT !SERVFAIL\n" PLAIN("example.com"), "example.com",
	 "example.com", "example.com", 2, true, false},
	{"failure that is not asked for",
	 "_dmarc.com TXT !TIMEOUT\n" NOPSD("example.com"), "a.example.com",
	 "example.com", "example.com", 2, false, false},
};

static void check_row(const struct row *row)
{
	struct arena *a = arena_new();
	const char *err = NULL;
	struct dns *d = dns_new_zone_text(a, slice_of(row->zone), &err);
	struct dns_budget *b;
	const struct dmarc_node *node;
	struct dmarc_walk w;

	if (d == NULL)
		fail_msg("%s: %s", row->what, err);
	b = dns_budget_new(d, 1000, 100);
	dmarc_walk_run(a, b, row->start, &w);
	node = dmarc_walk_policy(&w);
	if (strcmp(w.org, row->org) != 0)
		fail_msg("%s: org %s", row->what, w.org);
	if ((node == NULL) != (row->policy == NULL) ||
	    (node != NULL && strcmp(node->name, row->policy) != 0))
		fail_msg("%s: policy %s", row->what,
			 node != NULL ? node->name : "none");
	if (w.queries != row->queries || dns_budget_queries(b) != w.queries)
		fail_msg("%s: %u queries", row->what, w.queries);
	if (w.tempfail != row->tempfail || w.duplicates != row->duplicates)
		fail_msg("%s: tempfail %d duplicates %d", row->what, w.tempfail,
			 w.duplicates);
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

/* "_dmarc." in front of a name of 253 bytes is no name: no record, no crash. */
static void test_too_long(void **state)
{
	struct arena *a = arena_new();
	const char *err = NULL;
	struct dns *d = dns_new_zone_text(a, SLICE(PLAIN("com")), &err);
	struct dns_budget *b = dns_budget_new(d, 1000, 100);
	char name[254] = "";
	struct dmarc_walk w;

	(void)state;
	for (size_t i = 0; i < 249; i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	memcpy(name + 249, ".com", 4);
	dmarc_walk_run(a, b, name, &w);
	assert_false(w.tempfail);
	assert_int_equal(w.queries, 6);
	assert_string_equal(w.org, "com");
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

/* The budget of a message ends a walk as a failure, never as "none". */
static void test_budget(void **state)
{
	struct arena *a = arena_new();
	const char *err = NULL;
	struct dns *d = dns_new_zone_text(a, SLICE(PLAIN("com")), &err);
	struct dns_budget *b = dns_budget_new(d, 1000, 1);
	struct dmarc_walk w;

	(void)state;
	dmarc_walk_run(a, b, "example.com", &w);
	assert_true(w.tempfail);
	assert_null(dmarc_walk_policy(&w));
	dns_budget_free(b);
	dns_free(d);
	arena_free(a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_long),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
