/* mail/authres: Authentication-Results written and read (RFC 8601). */
#include "check.h"

#include <stdio.h>

#include "mail/authres.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- writing ---- */

static struct slice write_one(struct arena *a, const char *ptype,
			      const char *property, struct slice value)
{
	struct authres_writer w;

	authres_begin(&w, a, "mx.example.org");
	authres_method(&w, "x", "pass", NULL, NULL);
	authres_prop(&w, ptype, property, value);
	return authres_end(&w);
}

/* AR-1b, AR-11 */
static void test_property_values(void **state)
{
	static const struct {
		const char *value, *want; /* NULL: left out */
	} cases[] = {
		{"example.com", "example.com"},
		{"user@example.com", "user@example.com"},
		{"@example.com", "@example.com"},
		{"a/b=c+d@example.com", "a/b=c+d@example.com"},
		{"a b@example.com", "\"a b\"@example.com"},
		{"a..b@example.com", "\"a..b\"@example.com"},
		{"a@b@example.com", "\"a@b\"@example.com"},
		{"a\"b\\@x.org", "\"a\\\"b\\\\\"@x.org"},
		{"user@", "\"user@\""},
		{"@", "\"@\""},
		{"user@[192.0.2.1]", "\"user@[192.0.2.1]\""},
		{"user@x..org", "\"user@x..org\""},
		{"AbC+1", "AbC+1"},
		{"AbC/1", "\"AbC/1\""},
		{"AbCd==", "\"AbCd==\""},
		{"192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "\"2001:db8::1\""},
		{"a; dmarc=pass", "\"a; dmarc=pass\""},
		{"a\r\nX: y", "\"aX: y\""},
		{"a\tb\x7f", "ab"},
		{"(c", "\"(c\""},
		{"\"", "\"\\\"\""},
		{"\\", "\"\\\\\""},
		{"a.\xc3\xb6.org", "a..org"},
		/* AR-6: these would become somebody else's */
		{"j\xc3\xb6@example.com", NULL},
		{"\xc3\xb6@example.com", NULL},
		{"adm\x01in@example.com", NULL},
		{"a@x.org\xff@example.com", NULL},
		{"a@ex\xc3\xb6"
		 "ample.com",
		 NULL},
		{"a@example.com\r\n", NULL},
		{"", NULL},
		{"\r\n\xff", NULL},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_new();
		struct slice v =
			check_heap(cases[i].value, strlen(cases[i].value));
		struct slice got = write_one(a, "p", "q", v);
		char want[200] = "mx.example.org;\n\tx=pass";
		if (cases[i].want != NULL)
			snprintf(want + strlen(want), 100, " p.q=%s",
				 cases[i].want);
		check_slice(got, want);
		free(unconst(v.p));
		arena_free(a);
	}
}

static void test_long_value_is_left_out(void **state)
{
	struct arena *a = arena_new();
	char text[AUTHRES_MAX_VALUE + 1];
	struct slice all = {text, sizeof(text)};

	(void)state;
	memset(text, 'x', sizeof(text));
	check_slice(write_one(a, "p", "q", all), "mx.example.org;\n\tx=pass");
	assert_true(
		write_one(a, "p", "q", slice_first(all, sizeof(text) - 1)).n >
		AUTHRES_MAX_VALUE);
	arena_free(a);
}

static void test_no_method_is_none(void **state)
{
	struct arena *a = arena_new();
	struct authres_writer w;

	(void)state;
	authres_begin(&w, a, "mx.example.org");
	check_slice(authres_end(&w), "mx.example.org; none");
	arena_free(a);
}

/* AR-12 */
static void test_whole_field(void **state)
{
	struct arena *a = arena_new();
	struct authres_writer w;

	(void)state;
	authres_begin(&w, a, "mx.example.org");
	authres_method(&w, "dmarc", "pass", NULL, "p=reject (dis\\none)\n");
	authres_prop(&w, "header", "from", SLICE("example.com"));
	authres_method(&w, "dkim", "permerror", "key too short", NULL);
	authres_prop(&w, "header", "d", SLICE("example.com"));
	authres_prop(&w, "header", "i", SLICE("@example.com"));
	authres_prop(&w, "header", "s", SLICE("s1"));
	authres_prop(&w, "header", "b", SLICE("AbC/EfGh"));
	authres_method(&w, "spf", "none", "unknown", "");
	check_slice(authres_end(&w),
		    "mx.example.org;\n"
		    "\tdmarc=pass (p=reject \\(dis\\\\none\\)) "
		    "header.from=example.com;\n"
		    "\tdkim=permerror reason=\"key too short\" "
		    "header.d=example.com\n"
		    "\theader.i=@example.com header.s=s1 "
		    "header.b=\"AbC/EfGh\";\n"
		    "\tspf=none reason=unknown");
	arena_free(a);
}

/* Columns of the widest line, the name of the field counted in. */
static size_t widest(struct slice s)
{
	size_t most = 0, column = strlen("Authentication-Results: ");

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n') {
			column = 0;
			continue;
		}
		column += s.p[i] == '\t' ? 8 : 1;
		if (column > most)
			most = column;
	}
	return most;
}

static void test_lines_are_folded(void **state)
{
	struct arena *a = arena_new();
	struct authres_writer w;
	char comment[256];
	struct slice got;

	(void)state;
	for (size_t i = 0; i < sizeof(comment); i++)
		comment[i] = i % 7 == 3 ? ' ' : 'c';
	comment[255] = '\0';
	authres_begin(&w, a, "mx.example.org");
	authres_method(&w, "spf", "pass", NULL, comment);
	for (int i = 0; i < 30; i++)
		authres_prop(&w, "policy", "name", SLICE("a/value"));
	got = authres_end(&w);
	assert_true(widest(got) <= 78);
	assert_true(widest(got) > 70);
	/* The MTA writes the CR (a CR of ours goes out twice). */
	assert_int_equal(slice_chr(got, '\r'), -1);
	for (size_t i = 0; i + 1 < got.n; i++)
		assert_false(got.p[i] == '\n' && got.p[i + 1] != '\t');
	arena_free(a);
}

/* At the size limit the field is still whole, wherever that falls. */
static void test_full_field_is_well_formed(void **state)
{
	char text[AUTHRES_MAX_VALUE + 1];

	(void)state;
	memset(text, '(', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 3; i < sizeof(text) - 1; i += 4)
		text[i] = ' ';
	for (size_t pad = 80; pad < AUTHRES_MAX_VALUE; pad += 5) {
		struct arena *a = arena_new();
		struct authres_writer w;
		struct authres r;
		struct slice got;
		authres_begin(&w, a, "mx.example.org");
		for (int i = 0; i < 300; i++) {
			authres_method(&w, "x", "pass", "a reason", text);
			authres_prop(&w, "p", "q", (struct slice){text, pad});
		}
		got = authres_end(&w);
		assert_true(got.n > AUTHRES_MAX_FIELD - 1200);
		assert_true(got.n <= AUTHRES_MAX_FIELD);
		assert_true(authres_parse(a, got, &r));
		/* no empty last line */
		assert_int_equal(slice_trim(got).n, got.n);
		arena_free(a);
	}
}

static void test_number_of_methods_is_bounded(void **state)
{
	struct arena *a = arena_new();
	struct authres_writer w;
	struct authres r;

	(void)state;
	authres_begin(&w, a, "mx.example.org");
	for (int i = 0; i < AUTHRES_MAX_RESINFO + 1; i++) {
		authres_method(&w, "x", "pass", NULL, NULL);
		authres_prop(&w, "p", "q", SLICE("1"));
	}
	assert_true(authres_parse(a, authres_end(&w), &r));
	assert_int_equal(r.n, AUTHRES_MAX_RESINFO);
	/* The property of a method that is not there is not either. */
	assert_int_equal(r.v[r.n - 1].nprops, 1);
	arena_free(a);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

static struct slice random_text(struct arena *a, uint32_t *seed)
{
	static const char hard[] = "\"\\()@.; =/\r\n\t\0\x7f\xc3\xb6"
				   "ab,:<>[]?-_";
	size_t n = next(seed) % 24;
	char *p = arena_alloc(a, n);

	for (size_t i = 0; i < n; i++)
		p[i] = next(seed) % 4 == 0
			       ? (char)next(seed)
			       : hard[next(seed) % (sizeof(hard) - 1)];
	return (struct slice){p, n};
}

static struct slice cleaned(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n), *at = p;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= ' ' && s.p[i] < 0x7f)
			*at++ = s.p[i];
	return (struct slice){p, (size_t)(at - p)};
}

static bool expect_property(struct arena *a, struct slice value)
{
	struct slice text = cleaned(a, value);

	/* An address that cleaning would change is not written (AR-6). */
	return text.n > 0 && (text.n == value.n || slice_chr(value, '@') < 0);
}

/* AR-11: whatever is written reads as the same, and as nothing more. */
static void test_any_value_reads_back(void **state)
{
	uint32_t seed = 42;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct arena *a = arena_new();
		struct slice v = random_text(a, &seed);
		struct slice reason = random_text(a, &seed);
		struct slice comment = random_text(a, &seed);
		struct slice id = random_text(a, &seed);
		/* these three end at a NUL */
		const char *reason_text = slice_cstr(a, reason);
		const char *comment_text = slice_cstr(a, comment);
		const char *id_text = slice_cstr(a, id);
		bool expected = expect_property(a, v);
		struct authres_writer w;
		struct authres r;
		struct slice got;

		authres_begin(&w, a, id_text);
		authres_method(&w, "dkim", "fail", reason_text, comment_text);
		authres_prop(&w, "header", "i", v);
		authres_method(&w, "spf", "pass", NULL, comment_text);
		got = authres_end(&w);
		got = check_heap(got.p, got.n);
		if (!authres_parse(a, got, &r))
			fail_msg("round %d: %.*s", round, (int)got.n, got.p);
		assert_true(slice_eq(r.id, cleaned(a, slice_of(id_text))));
		assert_int_equal(r.n, 2);
		check_slice(r.v[0].result, "fail");
		check_slice(r.v[1].method, "spf");
		check_slice(r.v[1].result, "pass");
		assert_int_equal(r.v[1].nprops, 0);
		assert_true(slice_eq(r.v[0].reason,
				     cleaned(a, slice_of(reason_text))));
		assert_int_equal(r.v[0].nprops, expected);
		if (expected)
			assert_true(
				slice_eq(r.v[0].props[0].value, cleaned(a, v)));
		free(unconst(got.p));
		arena_free(a);
	}
}

#define PROPS 12

/* Lengths of all kinds, up to more than may be written. */
static struct slice long_text(struct arena *a, uint32_t *seed)
{
	static const char *const tails[] = {
		"@example.com",
		"@a.very-long-name-of-a-domain.example",
		"@",
		"",
		".example",
		"@x..org",
		" ",
		"==",
		"\"",
		"\\"};
	struct strbuf b;
	size_t n = next(seed) % (next(seed) % 8 == 0 ? 300 : 80);

	strbuf_init(&b, a, 1000);
	while (b.n < n)
		if (next(seed) % 8 == 0)
			strbuf_add(&b, random_text(a, seed));
		else
			strbuf_addc(&b, (char)('a' + next(seed) % 26));
	strbuf_adds(&b, tails[next(seed) % LENGTH(tails)]);
	return strbuf_slice(&b);
}

/* The words of a line; a quoted string is one. */
static size_t count_words(struct slice line)
{
	bool quoted = false;
	size_t words = 1;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\\')
			i++;
		else if (line.p[i] == '"')
			quoted = !quoted;
		else if (line.p[i] == ' ' && !quoted)
			words++;
	}
	return words;
}

/* RFC 5322 2.1.1: 78 columns, except for a line of one word, which cannot be
 * folded; 998 in any case.  4.2: no line of white space alone. */
static void check_lines(struct slice field)
{
	bool first = true;

	for (struct slice rest = field; rest.p != NULL; first = false) {
		struct slice line = slice_cut(&rest, '\n');

		assert_true(line.n > 0 && line.n <= 998);
		assert_int_not_equal(slice_trim(line).n, 0);
		assert_true(first || line.p[0] == '\t');
		if (line.n + (first ? 24 : 7) > 78 && count_words(line) > 1)
			fail_msg("%zu: %.*s", line.n + 7, (int)line.n, line.p);
	}
}

/* AR-11: several properties with long values keep their places. */
static void test_many_values_read_back(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		struct arena *a = arena_new();
		size_t n = next(&seed) % PROPS, wanted = 0;
		struct slice want[PROPS], got;
		struct authres_writer w;
		struct authres r;

		authres_begin(&w, a, "mx.example.org");
		authres_method(&w, "dkim", "fail", NULL, NULL);
		for (size_t i = 0; i < n; i++) {
			struct slice v = long_text(a, &seed);
			authres_prop(&w, "header", "i", v);
			if (v.n <= AUTHRES_MAX_VALUE && expect_property(a, v))
				want[wanted++] = cleaned(a, v);
			else if (slice_chr(v, '@') < 0 && cleaned(a, v).n > 0 &&
				 cleaned(a, v).n < AUTHRES_MAX_VALUE)
				want[wanted++] = cleaned(a, v);
		}
		authres_method(&w, "spf", "pass", "two words", NULL);
		got = authres_end(&w);
		check_lines(got);
		assert_true(authres_parse(a, got, &r));
		assert_int_equal(r.n, 2);
		assert_int_equal(r.v[1].nprops, 0);
		check_slice(r.v[1].reason, "two words");
		assert_int_equal(r.v[0].nprops, wanted);
		for (size_t i = 0; i < wanted; i++)
			assert_true(slice_eq(r.v[0].props[i].value, want[i]));
		arena_free(a);
	}
}

/* ---- reading ---- */

static void add_bracketed(struct strbuf *b, struct slice s)
{
	strbuf_addc(b, '[');
	strbuf_add(b, s);
	strbuf_addc(b, ']');
}

/* All that was read, as one line. */
static struct slice dump(struct arena *a, const struct authres *r)
{
	struct strbuf b;

	strbuf_init(&b, a, 10000);
	add_bracketed(&b, r->id);
	strbuf_printf(&b, "%d", (int)r->version);
	for (size_t i = 0; i < r->n; i++) {
		const struct authres_resinfo *v = &r->v[i];
		strbuf_adds(&b, i > 0 ? "|" : " ");
		strbuf_add(&b, v->method);
		strbuf_printf(&b, "/%u=", v->version);
		strbuf_add(&b, v->result);
		if (v->reason.n > 0)
			add_bracketed(&b, v->reason);
		for (size_t k = 0; k < v->nprops; k++) {
			strbuf_addc(&b, ' ');
			strbuf_add(&b, v->props[k].ptype);
			strbuf_addc(&b, '.');
			strbuf_add(&b, v->props[k].name);
			add_bracketed(&b, v->props[k].value);
		}
	}
	return strbuf_slice(&b);
}

/* RFC 8601 2.2 and the examples of appendix B, AR-1a */
static void test_reading(void **state)
{
	static const struct {
		const char *value, *want; /* NULL: does not parse */
	} cases[] = {
		{" example.org 1; none", "[example.org]1"},
		{" example.org; none", "[example.org]1"},
		{"example.org;NONE (c) ", "[example.org]1"},
		{" example.com;\r\n spf=pass smtp.mailfrom=example.net",
		 "[example.com]1 spf/1=pass smtp.mailfrom[example.net]"},
		{" example.com;\r\n auth=pass (cram-md5)"
		 " smtp.auth=sender@example.net;\r\n"
		 " spf=fail smtp.mailfrom=example.net",
		 "[example.com]1 auth/1=pass smtp.auth[sender@example.net]"
		 "|spf/1=fail smtp.mailfrom[example.net]"},
		{" foo.example.net (foobar) 1 (baz);\r\n"
		 " dkim (Because I like it) / 1 (One yay) = (wait for it) "
		 "fail\r\n policy (A dot can go here) . (like that) expired\r\n"
		 " (this surprised me) = (as I wasn't expecting it) "
		 "1362471462",
		 "[foo.example.net]1 dkim/1=fail policy.expired[1362471462]"},
		{"a;dkim=pass reason=\"good \\\"sig\\\"\" header.i=@x.org "
		 "header.d=x.org",
		 "[a]1 dkim/1=pass[good \"sig\"] header.i[@x.org] "
		 "header.d[x.org]"},
		{"a;dkim=pass reason = ok", "[a]1 dkim/1=pass[ok]"},
		{"a;x=y p.q=\"a\r\n b\"", "[a]1 x/1=y p.q[a b]"},
		{"a;x=y p.q=\"a b\"@x.org", "[a]1 x/1=y p.q[a b@x.org]"},
		{"a;x=y p.q=\"\"", "[a]1 x/1=y p.q[]"},
		{"a;x=y p.q=1 (c (d \\) (e)) f) r.s=2",
		 "[a]1 x/1=y p.q[1] r.s[2]"},
		{"a 7;x/2=y", "[a]7 x/2=y"},
		{"\"a b\";x=y", "[a b]1 x/1=y"},
		{"a;none=pass", "[a]1 none/1=pass"},
		{"a;x=y p.q=\xc3\xb6@\xc3\xb6.org",
		 "[a]1 x/1=y p.q[\xc3\xb6@\xc3\xb6.org]"},
		{"", NULL},
		{"a", NULL},
		{"a;", NULL},
		{"a; none; x=y", NULL},
		{"a; x=y; none", NULL},
		{"a; x=y;", NULL},
		{"a; x", NULL},
		{"a; x=", NULL},
		{"a; x=y z", NULL},
		{"a; x=y z=w", NULL},
		{"a; x=y p.q=1 reason=late", NULL},
		{"a; x=y reason=r reason=s", NULL},
		{"a; x=y reason=", NULL},
		{"a; x=y reason=a/b", NULL},
		/* CFWS must stand before the first property, not the others */
		{"a; x=y reason=\"r\"p.q=1", NULL},
		{"a; x=y(c)reason=r(c)p.q=\"1\"r.s=2",
		 "[a]1 x/1=y[r] p.q[1] r.s[2]"},
		{"a; x=y reason=r; z=w", "[a]1 x/1=y[r]|z/1=w"},
		{"a; x=y reason.q=1", "[a]1 x/1=y reason.q[1]"},
		{"a; x=y smtp.mailfrom=a@b.org smtp.rcptto=@c.org",
		 "[a]1 x/1=y smtp.mailfrom[a@b.org] smtp.rcptto[@c.org]"},
		{"a; x=y p.q=\"2001:db8::1\" r.s=\"a/b==\"",
		 "[a]1 x/1=y p.q[2001:db8::1] r.s[a/b==]"},
		{"(c)a(c)1(c);(c)x(c)/(c)2(c)=(c)y(c)", "[a]1 x/2=y"},
		{"a1; x=y", "[a1]1 x/1=y"},
		{"a; x=y p.q", NULL},
		{"a; x=y p.q=", NULL},
		{"a; x=y p.q=a/b", NULL},
		{"a; x=y p.q=2001:db8::1", NULL},
		{"a; x=y p.q=a@", NULL},
		{"a; x=y p.q=.a@x.org", NULL},
		{"a; x=y p.q=a@x..org", NULL},
		{"a; x=y p.q=a@[192.0.2.1]", NULL},
		{"a; x=y p.q=\"a", NULL},
		{"a; x=y p.q=\"a\\", NULL},
		{"a; x=y p.q=\"a\rb\"", NULL},
		{"a; x=y (c", NULL},
		{"a; x=y (c\\", NULL},
		{"a; x=y )", NULL},
		{"a; x-=y", NULL},
		{"a; x/z=y", NULL},
		{"a; x/99999999999=y", NULL},
		{"a b; x=y", NULL},
		{"a 1 2; x=y", NULL},
		{"a 99999999999999999999; x=y", NULL},
		{"a; x=y\r\np.q=1", NULL},
		{"a; x=y\x01", NULL},
		{"spf=pass smtp.mailfrom=x.org", NULL},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_new();
		struct authres r;
		struct slice v =
			check_heap(cases[i].value, strlen(cases[i].value));
		bool ok = authres_parse(a, v, &r);
		if (ok != (cases[i].want != NULL))
			fail_msg("parsed %d: %s", ok, cases[i].value);
		if (ok)
			check_slice(dump(a, &r), cases[i].want);
		free(unconst(v.p));
		arena_free(a);
	}
}

static void test_too_many_results(void **state)
{
	struct arena *a = arena_new();
	struct authres r;
	struct strbuf b;

	(void)state;
	strbuf_init(&b, a, 10000);
	strbuf_adds(&b, "a");
	for (int i = 0; i < AUTHRES_MAX_RESINFO; i++)
		strbuf_adds(&b, ";x=y");
	assert_true(authres_parse(a, strbuf_slice(&b), &r));
	assert_int_equal(r.n, AUTHRES_MAX_RESINFO);
	strbuf_adds(&b, ";x=y");
	assert_false(authres_parse(a, strbuf_slice(&b), &r));
	arena_free(a);
}

/* Memory grows with the field, not with its square. */
static void test_memory_is_linear(void **state)
{
	static const char *const units[] = {
		" p.q=\"\"", " p.q=\"\"@x", " p.q=a@x", "(", "\\", "\""};

	(void)state;
	for (size_t i = 0; i < LENGTH(units); i++) {
		struct arena *a = arena_new();
		struct authres r;
		struct strbuf b;
		size_t before;
		strbuf_init(&b, a, AUTHRES_MAX_FIELD);
		strbuf_adds(&b, "a;x=y");
		while (!b.overflow)
			strbuf_adds(&b, units[i]);
		before = arena_used(a);
		authres_parse(a, strbuf_slice(&b), &r);
		assert_true(arena_used(a) - before < 64 * AUTHRES_MAX_FIELD);
		arena_free(a);
	}
}

/* ---- claims ---- */

/* AR-4 and the forgeries of standards 9.2 */
static void test_claims(void **state)
{
	static const char *const ids[] = {"our.id", "xn--mx-fka.example",
					  "alias"};
	static const struct {
		const char *value;
		bool claims;
	} cases[] = {
		{" our.id; dmarc=pass", true},
		{"our.id", true},
		{" OUR.Id; none", true},
		{" our.id.; none", true},
		{" our.id..; none", true},
		{" (c) our.id; none", true},
		{" (a (b) \\) c)our.id(d); none", true},
		{" \"our.id\"; none", true},
		{" \"our\\.id\"; none", true},
		{" \" our.id \"; none", true},
		{"\r\n\tour.id\r\n ; none", true},
		{" our.id 1; none", true},
		{" our.id 99; none", true},
		{" our.id (c) 1 ; none", true},
		{" our.id 1.; none", true},
		{" our.id\t1\r\n\t; dmarc=pass", true},
		{" our.id\r\n\t; dmarc=pass", true},
		{" \"our.id.\"(c); dmarc=pass", true},
		{" \"our\r\n .id\"; none", true},
		{" \"(c)our.id\"; none", true},
		{" our\xef\xbc\x8eid; none", true},  /* U+FF0E */
		{" our.id\xe3\x80\x82; none", true}, /* U+3002 */
		{" ou\xc2\xadr.id; none", true},     /* U+00AD */
		{" our.id\xe2\x80\x8b; none", true}, /* U+200B */
		{" \xe2\x80\xaeour.id; none", true}, /* U+202E */
		{" our.id,other.id; none", true},
		{" other.id,our.id; none", true},
		{" our.id; garbage (((", true},
		{" our.id;", true},
		{" alias; none", true},
		{" ALIAS.; none", true},
		{" m\xc3\xbcx.example; none", false},
		{" mx\xc3\xa4.example; none", false},
		{" xn--MX-fka.example.; none", true},
		/* U+FF4F, U+FF55, U+FF52: full-width letters */
		{" \xef\xbd\x8f\xef\xbd\x95\xef\xbd\x92.id; none", true},
		/* cannot tell */
		{"", true},
		{" ", true},
		{" ; dmarc=pass", true},
		{" (our.id", true},
		{" \"our.id", true},
		{" our.i\x01; none", true},
		{" our .id; none", true},
		{" our(c).id; none", true},
		{" other.id our.id; none", true},
		{" other.id=our.id; none", true},
		{" other.id/our.id; none", true},
		{" =?utf-8?q?our.id?=; none", true},
		{" @our.id; none", true},
		{" <our.id>; none", true},
		{" \xff.id; none", true},
		{" \"\"; none", true},
		{" \"other id\"; none", true},
		{" dmarc=pass header.from=x.org", true},
		{" other.id 2; none", true},
		{" other.id 99999999999999999999; none", true},
		{" other.id 1x; none", true},
		/* foreign */
		{" other.id; dmarc=pass", false},
		{" other.id 1; dmarc=pass", false},
		{" other.id", false},
		{" sub.our.id; none", false},
		{" our.id.other; none", false},
		{" our-id; none", false},
		{" ourid; none", false},
		{" other.id; x=y policy.by=our.id", false},
		{" other.id (our.id); garbage (((", false},
		{" other+id; none", false},
		{" xn--mx-fkb.example; none", false},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_new();
		struct slice v =
			check_heap(cases[i].value, strlen(cases[i].value));
		if (authres_claims(a, v, ids, LENGTH(ids)) != cases[i].claims)
			fail_msg("claims %d: %s", !cases[i].claims,
				 cases[i].value);
		free(unconst(v.p));
		arena_free(a);
	}
}

/* RFC 8601 5: an A-label id written as U-label is the same. */
static void test_claims_u_label(void **state)
{
	static const char *const ids[] = {"mx.xn--bcher-kva.example"};
	struct arena *a = arena_new();

	(void)state;
	assert_true(authres_claims(a,
				   SLICE(" mx.b\xc3\xbc"
					 "cher.example; none"),
				   ids, 1));
	assert_true(authres_claims(a,
				   SLICE(" \"MX.B\xc3\x9c"
					 "CHER.example.\" 1; none"),
				   ids, 1));
	assert_false(authres_claims(a,
				    SLICE(" mx.b\xc3\xb6"
					  "cher.example; none"),
				    ids, 1));
	arena_free(a);
}

static void test_claims_with_nul(void **state)
{
	static const char *const ids[] = {"our.id"};
	struct arena *a = arena_new();

	(void)state;
	assert_true(authres_claims(a, (struct slice){"our.id\0; none", 13}, ids,
				   1));
	assert_true(authres_claims(a, (struct slice){"\0our.id; none", 13}, ids,
				   1));
	arena_free(a);
}

static void test_any_bytes_read(void **state)
{
	static const char *const ids[] = {"a"};
	uint32_t seed = 3;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct arena *a = arena_new();
		struct slice v = random_text(a, &seed);
		struct authres r;
		struct strbuf b;
		struct slice copy;
		strbuf_init(&b, a, 100);
		strbuf_adds(&b, round % 2 != 0 ? "b;x=y p.q=" : "b;");
		strbuf_add(&b, v);
		copy = check_heap(strbuf_cstr(&b), b.n);
		/* What parses can be told. */
		if (authres_parse(a, copy, &r))
			assert_false(authres_claims(a, copy, ids, 1));
		authres_claims(a, slice_from(copy, 2), ids, 1);
		free(unconst(copy.p));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_property_values),
		cmocka_unit_test(test_long_value_is_left_out),
		cmocka_unit_test(test_no_method_is_none),
		cmocka_unit_test(test_whole_field),
		cmocka_unit_test(test_lines_are_folded),
		cmocka_unit_test(test_full_field_is_well_formed),
		cmocka_unit_test(test_number_of_methods_is_bounded),
		cmocka_unit_test(test_any_value_reads_back),
		cmocka_unit_test(test_many_values_read_back),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_too_many_results),
		cmocka_unit_test(test_memory_is_linear),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_claims_u_label),
		cmocka_unit_test(test_claims_with_nul),
		cmocka_unit_test(test_any_bytes_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
