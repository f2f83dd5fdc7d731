/*
 * The hazards of libspf2 that the RFC 7208 suite does not show, each against
 * the whole evaluation (test_spf_check.c has the include bomb, exp= of
 * includes, loopback, and the record of CVE-2023-42118 itself).  What counts
 * is that a record can make us do, ask and print only so much.
 */
#include "check.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "spf/spf.h"

struct world {
	struct arena *arena;
	struct dns *dns;
	struct dns_budget *budget;
};

static void world_open(struct world *w, const char *zone, unsigned queries)
{
	const char *err = NULL;

	w->arena = arena_new();
	w->dns = dns_new_zone_text(w->arena, slice_of(zone), &err);
	if (w->dns == NULL)
		fail_msg("%s", err);
	w->budget = dns_budget_new(w->dns, 5000, queries);
}

static void world_close(struct world *w)
{
	dns_budget_free(w->budget);
	dns_free(w->dns);
	arena_free(w->arena);
}

static struct spf_result check_from(struct world *w, const char *ip,
				    struct slice local, struct slice helo)
{
	struct spf_query q = {
		.helo = helo,
		.receiver = "mx.example",
		.now = 1,
		.sender = {.local = local, .domain = "d.example"},
	};
	struct spf_result r;

	assert_true(ip_parse(slice_of(ip), &q.client));
	spf_check_mailfrom(w->arena, w->budget, &q, &r);
	return r;
}

static struct spf_result check_in(struct world *w)
{
	return check_from(w, "192.0.2.1", SLICE("u"), SLICE("helo.example"));
}

static void check_status(const struct spf_result *r, enum spf_status want,
			 const char *about)
{
	if (r->status != want)
		fail_msg("%s: %s (%s)", about, spf_status_name(r->status),
			 r->reason != NULL ? r->reason : "");
}

/* `n` times `term`, then `last`, as the record of d.example. */
static const char *zone_of(struct arena *a, unsigned n, const char *term,
			   const char *last)
{
	struct strbuf b;

	strbuf_init(&b, a, 1 << 17);
	strbuf_adds(&b, "d.example TXT \"v=spf1\"");
	for (unsigned i = 0; i < n; i++)
		strbuf_printf(&b, " \" %s\"", term);
	strbuf_printf(&b, " \" %s\"\n", last);
	assert_false(b.overflow);
	return strbuf_cstr(&b);
}

/* Silent truncation at 511 bytes: 63 ip4 or 26 ip6 terms made "-all" vanish.
 * 4.6: a record is what its author published, whatever its length. */
static void test_no_truncation(void **state)
{
	static const struct {
		unsigned from, to;
		const char *term;
	} t[] = {
		{60, 66, "ip4:198.51.100.1"},
		{24, 30, "ip6:2001:db8::1"},
		{250, 260, "ip4:198.51.100.0/24"}, /* terms in a byte */
		{1020, 1030, "ip4:0.0.0.0/32"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (unsigned n = t[i].from; n <= t[i].to; n++) {
			struct arena *a = arena_new();
			struct spf_result r;
			struct world w;

			world_open(&w, zone_of(a, n, t[i].term, "-all"), 10);
			r = check_in(&w);
			check_status(&r, SPF_STATUS_FAIL, t[i].term);
			assert_string_equal(r.mechanism, "-all");
			world_close(&w);
			arena_free(a);
		}
}

/* 11.1: ten records of 60 KB each, in one message, are cheap to read.  Here
 * below 30 ms without sanitizers, and 500 when libspf2 sees each term. */
static void test_cheap_addresses(void **state)
{
	struct arena *a = arena_new();
	clock_t start;
	struct world w;

	(void)state;
	world_open(&w, zone_of(a, 5000, "ip4:1.1.1.1", "-all"), 10);
	start = clock();
	for (unsigned i = 0; i < 10; i++) {
		struct spf_result r = check_in(&w);
		check_status(&r, SPF_STATUS_FAIL, "5000 addresses");
	}
	assert_in_range((clock() - start) * 1000 / CLOCKS_PER_SEC, 0, 250);
	world_close(&w);
	arena_free(a);
}

/* Names of any legal length reach the resolver whole, through every
 * mechanism; the library's record has one byte for a length. */
static void test_long_names(void **state)
{
	static const char *const names[] = {"a", "mx", "exists", "include",
					    "ptr"};
	char name[254], zone[2048];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	for (size_t i = 60; i <= 240; i += 60)
		name[i] = '.';
	memcpy(name + 245, ".example", 9);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct spf_result r;
		struct world w;

		snprintf(zone, sizeof(zone),
			 "d.example TXT \"v=spf1 %s:%.200s\" \"%s -all\"\n"
			 "%s %s\n1.2.0.192.in-addr.arpa PTR %s\n%s A "
			 "192.0.2.1\n",
			 names[i], name, name + 200, name,
			 i == 1 ? "MX 1 h.example\nh.example A 192.0.2.1"
				: "TXT \"v=spf1 +all\"",
			 name, name);
		world_open(&w, zone, 20);
		r = check_in(&w);
		check_status(&r, SPF_STATUS_PASS, names[i]);
		world_close(&w);
	}
}

/* The widest record: ten mx of ten names of ten addresses each.  4.6.4 and
 * 11.1: the number of questions has a limit that we can name. */
static void test_mx_bomb(void **state)
{
	struct arena *a = arena_new();
	struct spf_result r;
	struct strbuf b;
	struct world w;

	(void)state;
	strbuf_init(&b, a, 1 << 17);
	strbuf_adds(&b, "d.example TXT \"v=spf1\"");
	for (int i = 0; i < 12; i++)
		strbuf_printf(&b, " \" mx:m%d.example\"", i);
	strbuf_adds(&b, "\n");
	for (int i = 0; i < 120; i++)
		strbuf_printf(&b,
			      "m%d.example MX 1 h%d.example\n"
			      "h%d.example A 198.51.100.1\n",
			      i / 10, i, i);
	world_open(&w, strbuf_cstr(&b), 1000);
	r = check_in(&w);
	check_status(&r, SPF_STATUS_PERMERROR, "mx bomb");
	assert_string_equal(r.reason, "more than 10 DNS terms");
	assert_int_equal(dns_budget_queries(w.budget), 1 + 10 + 10 * 10);
	world_close(&w);
	arena_free(a);
}

/* ptr and %{p} in every term: the client's names are asked for once, and no
 * more than ten of them (4.6.4). */
static void test_ptr_bomb(void **state)
{
	struct arena *a = arena_new();
	struct spf_result r;
	struct strbuf b;
	struct world w;

	(void)state;
	strbuf_init(&b, a, 1 << 17);
	strbuf_adds(&b, zone_of(a, 2,
				"exists:%{p}.%{p}.%{p}.e.example "
				"ptr:p.example",
				"?all exp=x.example"));
	for (int i = 0; i < 50; i++)
		strbuf_printf(&b,
			      "1.2.0.192.in-addr.arpa PTR n%d.example\n"
			      "n%d.example A 198.51.100.1\n",
			      i, i);
	world_open(&w, strbuf_cstr(&b), 1000);
	r = check_in(&w);
	check_status(&r, SPF_STATUS_NEUTRAL, "ptr bomb");
	/* the record, the PTR, ten names, one exists */
	assert_int_equal(dns_budget_queries(w.budget), 1 + 1 + 10 + 1);
	world_close(&w);
	arena_free(a);
}

/* redirect=%{d}%{d}%{d} made names of any length: none is over 253, and the
 * chain ends with the eleventh term. */
static void test_redirect_growth(void **state)
{
	static const char *const specs[] = {
		"%{d}.%{d}.%{d}", "%{d}.%{dr}.%{d9r}",
		"%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}.%{d}"};
	char zone[512];

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct spf_result r;
		struct world w;

		snprintf(zone, sizeof(zone),
			 "*.example TXT \"v=spf1 redirect=%s\"\n"
			 "*.d TXT \"v=spf1 redirect=%s\"\n",
			 specs[i], specs[i]);
		world_open(&w, zone, 1000);
		r = check_in(&w);
		check_status(&r, SPF_STATUS_PERMERROR, specs[i]);
		assert_int_equal(r.terms, 11);
		assert_true(dns_budget_queries(w.budget) <= 11);
		assert_true(arena_used(w.arena) < 1 << 20);
		world_close(&w);
	}
}

/* The shapes of CVE-2023-42118 and what is near them, as a policy: macro
 * text never reaches the library's compiler.  7.1, 5.3, 5.6 */
static void test_crafted_policies(void **state)
{
	static const struct {
		const char *term;
		enum spf_status status;
	} t[] = {
		{"exists:%{", SPF_STATUS_PERMERROR},
		{"exists:%{d", SPF_STATUS_PERMERROR},
		{"exists:%{d4294967297r", SPF_STATUS_PERMERROR},
		{"exists:%{dr.-+,/_=", SPF_STATUS_PERMERROR},
		{"exists:%%%%%%%%%%%", SPF_STATUS_PERMERROR},
		{"exists:%{d}%", SPF_STATUS_PERMERROR},
		{"exp=%{", SPF_STATUS_PERMERROR},
		{"redirect=%{d}%{d", SPF_STATUS_PERMERROR},
		{"x=%{d", SPF_STATUS_PERMERROR},
		{"exists:%{d99999999999999999999999999}", SPF_STATUS_FAIL},
		{"exists:%{d127r.-+,/_=.-+,/_=.-+,/_=}", SPF_STATUS_FAIL},
		{"exists:%%%%%%%%%%%%", SPF_STATUS_FAIL},
		{"a:", SPF_STATUS_PERMERROR},
		{"a:/64", SPF_STATUS_PERMERROR},
		{"a://64", SPF_STATUS_PERMERROR},
		{"a//64", SPF_STATUS_FAIL},
		{"a/4294967040", SPF_STATUS_PERMERROR},
		{"a//4294967040", SPF_STATUS_PERMERROR},
		{"a:%{d}/4294967040", SPF_STATUS_PERMERROR},
		{"mx/18446744073709551616", SPF_STATUS_PERMERROR},
		{"ip4:192.0.2.1/4294967328", SPF_STATUS_PERMERROR},
	};
	char zone[256];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct spf_result r;
		struct world w;

		snprintf(zone, sizeof(zone),
			 "d.example TXT \"v=spf1 %s -all\"\n", t[i].term);
		world_open(&w, zone, 20);
		r = check_in(&w);
		check_status(&r, t[i].status, t[i].term);
		assert_true(dns_budget_queries(w.budget) <= 3);
		world_close(&w);
	}
}

/* Long expansions in a policy: 1 to 300 macros, with a long HELO, through
 * every term that takes a name.  Beyond what we expand there is no name. */
static void test_long_expansions(void **state)
{
	static const char *const terms[] = {
		"a:",	    "mx:",	 "ptr:",     "exists:",
		"include:", "redirect=", "-all exp="};
	static char helo[1000];

	(void)state;
	memset(helo, 'h', sizeof(helo));
	for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++)
		for (unsigned n = 1; n <= 300; n += 23) {
			struct arena *a = arena_new();
			struct strbuf b;
			struct world w;

			strbuf_init(&b, a, 1 << 15);
			strbuf_adds(&b, terms[i]);
			for (unsigned j = 0; j < n; j++)
				strbuf_adds(&b, "\" \"%{H9r.-}%{s}%-%_");
			world_open(&w, zone_of(a, 0, "", strbuf_cstr(&b)), 20);
			check_from(&w, "192.0.2.1", SLICE("u"),
				   (struct slice){helo, sizeof(helo)});
			assert_true(dns_budget_queries(w.budget) <= 3);
			assert_true(arena_used(w.arena) < 128 << 10);
			world_close(&w);
			arena_free(a);
		}
}

static void check_explained(const char *text, const char *want)
{
	struct arena *a = arena_new();
	struct spf_result r;
	struct strbuf b;
	struct world w;

	strbuf_init(&b, a, 1 << 17);
	strbuf_printf(&b,
		      "d.example TXT \"v=spf1 -all exp=x.example\"\n"
		      "x.example TXT %s\n",
		      text);
	world_open(&w, strbuf_cstr(&b), 20);
	r = check_in(&w);
	check_status(&r, SPF_STATUS_FAIL, text);
	if (want == NULL)
		assert_null(r.explanation);
	else
		assert_string_equal(r.explanation, want);
	world_close(&w);
	arena_free(a);
}

/* The same shapes as an explanation (6.2: an error is no explanation). */
static void test_crafted_explanations(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} t[] = {
		{"\"%\"", NULL},
		{"\"%{\"", NULL},
		{"\"%{d\"", NULL},
		{"\"%{d99999999999999999999\"", NULL},
		{"\"%{d.-+,/_=\"", NULL},
		{"\"%{d0}\"", NULL},
		{"\"%{d\" \"r}\"", "example.d"},
		{"\"%{d99999999999999999999}\"", "d.example"},
		{"\"%{dr.-+,/_=.-+,/_=.-+,/_=}\"", "example.d"},
		{"\"%{d4}\"", "d.example"}, /* lost a letter */
		{"\"See me.\"", "See me."}, /* the space became \"%\" */
		{"\"a %{d} b\"", "a d.example b"},
		{"\"%{d}%{\"", NULL},
		{"\"%{d}%\"", NULL},
		{"\"\\000%{d}\"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check_explained(t[i].text, t[i].want);
}

/* Macros that expand to nothing are work all the same: 128 are enough. */
static void test_many_macros(void **state)
{
	struct arena *a = arena_new();
	struct strbuf b;
	struct world w;

	(void)state;
	strbuf_init(&b, a, 1 << 12);
	strbuf_adds(&b, "x.example TXT");
	for (int i = 0; i < 129; i++)
		strbuf_adds(&b, " \"%{h}\"");
	strbuf_adds(&b, " \"y\"\nd.example TXT \"v=spf1 -all exp=x.example\"");
	world_open(&w, strbuf_cstr(&b), 20);
	assert_null(
		check_from(&w, "192.0.2.1", SLICE("u"), SLICE("")).explanation);
	world_close(&w);
	arena_free(a);
}

/* Every length around the sizes of the library's buffers, of literal text and
 * then one macro: the text that overran its stack had this shape. */
static void test_explanation_lengths(void **state)
{
	static const unsigned around[] = {64, 128, 256, 512, 1024, 4096, 8192};

	(void)state;
	for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++)
		for (unsigned n = around[i] - 9; n <= around[i] + 9; n += 3) {
			struct arena *a = arena_new();
			char *literal = memset(arena_alloc(a, n + 1), 'x', n);
			char *want = arena_printf(a, "%sd.example", literal);

			want[n + 9 > 512 ? 512 : n + 9] = '\0';
			check_explained(arena_printf(a, "\"%s%%{d}\"", literal),
					want);
			check_explained(arena_printf(a, "\"%s%%{d\"", literal),
					NULL);
			arena_free(a);
		}
}

/* The library ends the process when its look-up hook has no answer.  Ours has
 * one wherever the questions run out: SPF-17, a temperror or the result. */
static void test_no_abort_without_answer(void **state)
{
	static const char zone[] =
		"d.example TXT \"v=spf1 a:%{p}.e.example mx ptr:p.example "
		"exists:%{i}.e.example include:i.example -all exp=x.example\""
		"\n"
		"d.example MX 1 m1.example\nd.example MX 2 m2.example\n"
		"m1.example A 198.51.100.1\nm2.example A 198.51.100.2\n"
		"1.2.0.192.in-addr.arpa PTR n1.example\n"
		"1.2.0.192.in-addr.arpa PTR n2.example\n"
		"n1.example A 192.0.2.1\nn2.example A 192.0.2.2\n"
		"i.example TXT \"v=spf1 a ?all\"\ni.example A 192.0.2.9\n"
		"x.example TXT \"No.\"\n";
	struct spf_result r;
	struct world w;

	(void)state;
	for (unsigned n = 0; n <= 20; n++) {
		world_open(&w, zone, n);
		r = check_in(&w);
		/* 11 questions decide it, one more explains it */
		check_status(&r,
			     n < 11 ? SPF_STATUS_TEMPERROR : SPF_STATUS_FAIL,
			     "budget");
		assert_int_equal(dns_budget_queries(w.budget), n < 12 ? n : 12);
		assert_int_equal(r.explanation != NULL, n >= 12);
		world_close(&w);
	}
}

/* The names that stand for published ones at the library are nobody's: who
 * publishes them gets what the DNS says. */
static void test_names_of_the_front_end(void **state)
{
	static const char zone[] =
		"d.example TXT \"v=spf1 a:t.invalid exists:m0.invalid "
		"mx:m.example ptr:t.invalid -all\"\n"
		"m.example MX 1 m1.invalid\nm.example MX 2 m0.invalid\n"
		"t.invalid A 192.0.2.1\nm1.invalid A 192.0.2.2\n"
		"5.2.0.192.in-addr.arpa PTR x.t.invalid\n"
		"3.2.0.192.in-addr.arpa PTR t.invalid\n"
		"x.t.invalid A 192.0.2.5\n";
	static const struct {
		const char *ip;
		const char *mechanism;
	} t[] = {
		{"192.0.2.1", "a:t.invalid"},
		{"192.0.2.2", "mx:m.example"},
		{"192.0.2.5", "ptr:t.invalid"},
		{"192.0.2.3", "-all"},
	};
	struct spf_result r;
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		world_open(&w, zone, 50);
		r = check_from(&w, t[i].ip, SLICE("u"), SLICE("t.invalid"));
		/* m0.invalid is void twice, and no answer was made up */
		assert_string_equal(r.mechanism, t[i].mechanism);
		world_close(&w);
	}
}

/* No free ride on loopback (the library says pass to 127/8 and ::1 before it
 * reads a record), however the address is written. */
static void test_loopback(void **state)
{
	static const char *const ips[] = {"127.0.0.1", "127.8.9.10",
					  "::ffff:127.0.0.1", "::1"};
	static const char *const records[] = {
		"-all",
		"a -all",
		"mx -all",
		"exists:gone.example -all",
		"ip4:192.0.2.1 ip6:2001:db8::1 -all",
		"ptr -all",
		"include:i.example -all",
		"redirect=i.example"};
	char zone[256];

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
		for (size_t j = 0; j < sizeof(ips) / sizeof(ips[0]); j++) {
			struct spf_result r;
			struct world w;

			snprintf(zone, sizeof(zone),
				 "d.example TXT \"v=spf1 %s\"\n"
				 "d.example A 192.0.2.1\n"
				 "i.example TXT \"v=spf1 a -all\"\n",
				 records[i]);
			world_open(&w, zone, 20);
			r = check_from(&w, ips[j], SLICE("u"), SLICE("h.x"));
			check_status(&r, SPF_STATUS_FAIL, records[i]);
			world_close(&w);
		}
}

/* 5: a mapped client is an IPv4 client, whoever made the address. */
static void test_mapped_client(void **state)
{
	static const char mapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1";
	struct spf_query q = {
		.client = {.family = IP_V6},
		.helo = SLICE("helo.example"),
		.sender = {.local = SLICE("u"), .domain = "d.example"},
	};
	struct spf_result r;
	struct world w;

	(void)state;
	memcpy(q.client.b, mapped, 16);
	world_open(&w,
		   "d.example TXT \"v=spf1 -ip6:::/0 ip4:192.0.2.1 -all\"\n",
		   10);
	spf_check_mailfrom(w.arena, w.budget, &q, &r);
	check_status(&r, SPF_STATUS_PASS, "mapped client");
	world_close(&w);
}

/* 11.5.2: HELO and local-part come from the wire as they are; what an
 * explanation makes of them is printable. */
static void test_hostile_explanation(void **state)
{
	struct spf_result r;
	struct world w;

	(void)state;
	world_open(&w,
		   "d.example TXT \"v=spf1 -all exp=x.example\"\n"
		   "x.example TXT \"%{l}|%{h}|%{H}\"\n",
		   10);
	r = check_from(&w, "192.0.2.1", SLICE("a\r\nX: y"),
		       SLICE("h\x7f\x1b[2J\0\xff"));
	check_status(&r, SPF_STATUS_FAIL, "hostile HELO");
	assert_string_equal(r.explanation,
			    "a??X: y|h??[2J??|h%7F%1B%5B2J%00%FF");
	world_close(&w);
}

/* What goes to standard output or error while `run` runs. */
static off_t bytes_printed(void (*run)(void **))
{
	FILE *f = tmpfile();
	int out = dup(1), err = dup(2);
	off_t n;

	assert_non_null(f);
	fflush(NULL);
	dup2(fileno(f), 1);
	dup2(fileno(f), 2);
	run(NULL);
	fflush(NULL);
	n = lseek(fileno(f), 0, SEEK_END);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	fclose(f);
	return n;
}

/* The library's own handlers print: nothing of ours makes them. */
static void test_silent(void **state)
{
	(void)state;
	assert_int_equal(bytes_printed(test_crafted_policies), 0);
	assert_int_equal(bytes_printed(test_no_abort_without_answer), 0);
	assert_int_equal(bytes_printed(test_names_of_the_front_end), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_truncation),
		cmocka_unit_test(test_cheap_addresses),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_mx_bomb),
		cmocka_unit_test(test_ptr_bomb),
		cmocka_unit_test(test_redirect_growth),
		cmocka_unit_test(test_crafted_policies),
		cmocka_unit_test(test_long_expansions),
		cmocka_unit_test(test_crafted_explanations),
		cmocka_unit_test(test_many_macros),
		cmocka_unit_test(test_explanation_lengths),
		cmocka_unit_test(test_no_abort_without_answer),
		cmocka_unit_test(test_names_of_the_front_end),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_mapped_client),
		cmocka_unit_test(test_hostile_explanation),
		cmocka_unit_test(test_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
