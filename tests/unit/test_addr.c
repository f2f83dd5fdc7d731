/* mail/addr: authors of a message (HP-1 to HP-13, RFC 5322 3.4 and 4.4, RFC
 * 6854) and envelope paths (SPF-6, HP-10).  Rows called a8 to a19 and B1 to B3
 * are the published attacks on From. */
#include "check.h"

#include "mail/addr.h"

#define BAD "!" /* malformed */

/* The author domains, joined with ","; BAD when malformed. */
static const char *domains_text(struct arena *a, const struct addr_authors *l)
{
	struct strbuf b;

	if (l->malformed) {
		assert_non_null(l->reason);
		assert_int_equal(l->n, 0);
		assert_int_equal(l->ndomains, 0);
		return BAD;
	}
	assert_null(l->reason);
	assert_true(l->ndomains <= l->n);
	strbuf_init(&b, a, 65536);
	for (size_t i = 0; i < l->ndomains; i++)
		strbuf_printf(&b, "%s%s", i > 0 ? "," : "", l->domains[i]);
	return strbuf_cstr(&b);
}

struct list_case {
	const char *value;
	const char *domains;
	size_t n; /* mailboxes */
};

static void run_list(const struct list_case *c, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct arena *a = arena_new();
		struct slice s = check_heap(c[i].value, strlen(c[i].value));
		struct addr_authors got;
		const char *text;

		addr_list_parse(a, s, &got);
		text = domains_text(a, &got);
		if (strcmp(text, c[i].domains) != 0 || got.n != c[i].n)
			fail_msg("%s: got %zu in %s (%s), want %zu in %s",
				 c[i].value, got.n, text,
				 got.reason != NULL ? got.reason : "", c[i].n,
				 c[i].domains);
		free(unconst(s.p));
		arena_free(a);
	}
}

#define RUN_LIST(c) run_list(c, sizeof(c) / sizeof((c)[0]))

/* RFC 5322 3.4, appendix A */
static void test_mailboxes(void **state)
{
	static const struct list_case cases[] = {
		{"a@b.com", "b.com", 1},
		{" a@b.com ", "b.com", 1},
		{"<a@b.com>", "b.com", 1},
		{"A@B.COM.", "b.com", 1},
		{"John Doe <jdoe@machine.example>", "machine.example", 1},
		{"John Q. Public <j@x.test>", "x.test", 1},
		{"\"Joe Q. Public\" <john.q.public@example.com>", "example.com",
		 1},
		{"Who? <one@y.test>", "y.test", 1},
		{"\"Giant; \\\"Big\\\" Box\" <a@x.net>", "x.net", 1},
		{"\"a@b.com\" <c@d.com>", "d.com", 1},
		{"\"<a@b.com>\" <c@d.com>", "d.com", 1},
		{"\"a@b.com\"@d.com", "d.com", 1},
		{"\"a b\"@d.com", "d.com", 1},
		{"\"\"@d.com", "d.com", 1},
		{"a.b+c/d=e@d.com", "d.com", 1},
		{"a@b.com, c@d.com", "b.com,d.com", 2},
		{"a@b.com, c@B.com", "b.com", 2},
		{"a@b.com,c@d.com,e@b.com", "b.com,d.com", 3},
		{"x<a@b.com>,y<c@d.com>", "b.com,d.com", 2},
		{"\"x, y\" <a@b.com>", "b.com", 1},
		{"a@com", "com", 1},
		{"a@_spf.b.com", "_spf.b.com", 1},
	};

	(void)state;
	RUN_LIST(cases);
}

/* RFC 5322 3.2.2 and 4.4, appendix A.5 and A.6 */
static void test_comments_folds_and_obsolete_forms(void **state)
{
	static const struct list_case cases[] = {
		{"(c)a@b.com(d)", "b.com", 1},
		{"(c) a (d) @ (e) b.com (f)", "b.com", 1},
		{"Pete(A nice \\) chap) <pete(his account)@silly.test(host)>",
		 "silly.test", 1},
		{"(a (b) (c(d))) x@y.com", "y.com", 1},
		{"(\\() x@y.com", "y.com", 1},
		{"(\\)) x@y.com", "y.com", 1},
		{"(,<a@b.com>,) x@y.com", "y.com", 1},
		{"(\")x@y.com", "y.com", 1},
		{"\"(\" <x@y.com>", "y.com", 1},
		{"John\r\n <a@b.com>", "b.com", 1},
		{"\r\n\ta@b.com\r\n ", "b.com", 1},
		{"a@b.com,\r\n \r\n c@d.com", "b.com,d.com", 2},
		{"\"a\r\n b\" <a@b.com>", "b.com", 1},
		{"a . b@c.com", "c.com", 1},
		{"\"a\".b.\"c\"@d.com", "d.com", 1},
		{"<@a.com:c@d.com>", "d.com", 1},
		{"<@a.com,@b.com:c@d.com>", "d.com", 1},
		{"<@a.com , , @b.com : c@d.com>", "d.com", 1},
		{"< a@b.com >", "b.com", 1},
		{"a@b.com,,c@d.com", "b.com,d.com", 2},
		{",a@b.com,", "b.com", 1},
	};

	(void)state;
	RUN_LIST(cases);
}

/* RFC 6854 2.1, HP-3 */
static void test_groups(void **state)
{
	static const struct list_case cases[] = {
		{"undisclosed-recipients:;", "", 0},
		{"undisclosed: (none) ;", "", 0},
		{"g:,;", "", 0},
		{"A Group:Ed <joe@where.test>,b@c.com;", "where.test,c.com", 2},
		{"g:a@b.com;", "b.com", 1},
		{"g:a@b.com;,h:c@d.com;", "b.com,d.com", 2},
		{"x@y.com, g:a@b.com;", "y.com,b.com", 2},
		{"\"g@x.com\": a@b.com;", "b.com", 1},
		{"g:a@b.com", BAD, 0},
		{"g:", BAD, 0},
		{":a@b.com;", BAD, 0},
		{"a@b.com;", BAD, 0},
		{"g:h:a@b.com;;", BAD, 0},
		{"g:a@b.com;x@y.com", BAD, 0},
		{"g:a@b.com;;", BAD, 0},
		{"g;", BAD, 0},
		{";", BAD, 0},
		{"g:x;", BAD, 0},
		{"a@b.com:c@d.com;", BAD, 0},
		{"<g>:a@b.com;", BAD, 0},
	};

	(void)state;
	RUN_LIST(cases);
}

/* a14 to a19, B1, B2 */
static void test_attacks(void **state)
{
	static const struct list_case cases[] = {
		/* a14 */
		{"<first@attack.com>, <admin@legit.com>",
		 "attack.com,legit.com", 2},
		/* a15: the encoded "<admin@legit.com>," and raw base64 */
		{"=?utf-8?B?PGFkbWluQGxlZ2l0LmNvbT4=?=,<second@attack.com>",
		 BAD, 0},
		{"PGFkbWluQGxlZ2l0LmNvbT4=,<second@attack.com>", BAD, 0},
		{"=?utf-8?B?PGFkbWluQGxlZ2l0LmNvbT4s?=<second@attack.com>",
		 "attack.com", 1},
		/* a16 */
		{"<@attack.com,@any.com:admin@legit.com>", "legit.com", 1},
		/* a17 */
		{"<admin@legit.com>\\,<second@attack.com>", BAD, 0},
		{"admin@legit.com\\,<second@attack.com>", BAD, 0},
		/* a18 */
		{"admin@legit.com,<second@attack.com>", "legit.com,attack.com",
		 2},
		/* a19 */
		{"<any@attack.com>admin@legit.com", BAD, 0},
		{"admin@legit.com<any@attack.com>", BAD, 0},
		{"admin@legit.com <any@attack.com>", BAD, 0},
		{"<any@attack.com><admin@legit.com>", BAD, 0},
		{"<any@attack.com> x <admin@legit.com>", BAD, 0},
		/* B1: U+2000 */
		{"admin@legit.com\xe2\x80\x80", BAD, 0},
		{"<admin@legit.com\xe2\x80\x80>", BAD, 0},
		{"<admin@legit.com\xe2\x80\x80@attack.com>", BAD, 0},
		{"admin@legit.com\xe3\x80\x80<a@attack.com>", BAD, 0},
		/* B2 */
		{"=?utf-8?Q?admin=40legit.com?=", BAD, 0},
		{"=?utf-8?Q?=3Cadmin@legit.com=3E?=", BAD, 0},
		{"=?utf-8?B?YWRtaW4=?=@legit.com", BAD, 0},
		{"=?utf-8?Q?x@legit.com,<second@attack.com>", BAD, 0},
		{"<=?utf-8?B?YWRtaW5AbGVnaXQuY29t?=>", BAD, 0},
		{"admin@=?utf-8?Q?legit.com?=", BAD, 0},
		{"\"=?utf-8?Q?admin?=\"@legit.com", BAD, 0},
		/* comments and spaces in the domain */
		{"admin@legit.com(.attack.com", BAD, 0},
		{"admin@legit.com(x).attack.com", BAD, 0},
		{"admin@legit.com .attack.com", BAD, 0},
		{"admin@legit. com", BAD, 0},
		{"admin@legit.com'@attack.com", BAD, 0},
		{"admin@legit.com@attack.com", BAD, 0},
		{"admin@\"legit.com\"@attack.com", BAD, 0},
	};

	(void)state;
	RUN_LIST(cases);
}

/* HP-4, HP-8 */
static void test_malformed(void **state)
{
	static const struct list_case cases[] = {
		{"", BAD, 0},
		{"  ", BAD, 0},
		{",", BAD, 0},
		{"()", BAD, 0},
		{"a", BAD, 0},
		{"a b", BAD, 0},
		{"@", BAD, 0},
		{"@b.com", BAD, 0},
		{"a@", BAD, 0},
		{"<>", BAD, 0},
		{"<a>", BAD, 0},
		{"x <>", BAD, 0},
		{"<a@b.com", BAD, 0},
		{"a@b.com>", BAD, 0},
		{"<<a@b.com>>", BAD, 0},
		{"x <a@b.com", BAD, 0},
		{"<a@b.com, c@d.com>", BAD, 0},
		{"<x <a@b.com>>", BAD, 0},
		{"<g:a@b.com;>", BAD, 0},
		{"(a@b.com", BAD, 0},
		{"a@b.com)", BAD, 0},
		{"a@b.com (x\\)", BAD, 0},
		{"(x\\", BAD, 0},
		{"\"a@b.com", BAD, 0},
		{"a@b.com\"", BAD, 0},
		{"\"a\\", BAD, 0},
		{"\"a\\\"", BAD, 0},
		{"\"a\"b@c.com", BAD, 0},
		{"a b@c.com", BAD, 0},
		{"a..b@c.com", BAD, 0},
		{".a@c.com", BAD, 0},
		{"a.@c.com", BAD, 0},
		{". <a@b.com>", BAD, 0},
		{"a\\b@c.com", BAD, 0},
		{"[x] <a@b.com>", BAD, 0},
		{"Doe, John <a@b.com>", BAD, 0},
		{"a@b.com c@d.com", BAD, 0},
		{"a@b.com;c@d.com", BAD, 0},
		{"a@[1.2.3.4]", BAD, 0},
		{"a@[IPv6:::1]", BAD, 0},
		{"a@.com", BAD, 0},
		{"a@b..com", BAD, 0},
		{"a@b.com..", BAD, 0},
		{"a@b%c.com", BAD, 0},
		{"a@\"b.com\"", BAD, 0},
		{"a@b!c.com", BAD, 0},
		{"<@a.com c@d.com>", BAD, 0},
		{"<@a.com@b.com:c@d.com>", BAD, 0},
		{"<@a.com>", BAD, 0},
		{"<@:c@d.com>", BAD, 0},
		{"<@a.com:>", BAD, 0},
		{"<@a.com:@b.com:c@d.com>", BAD, 0},
		{"@a.com:c@d.com", BAD, 0},
		{"<,@a.com:c@d.com>", BAD, 0},
	};

	(void)state;
	RUN_LIST(cases);
}

/* HP-7, HP-9, W12 to W14, RFC 6532 */
static void test_eight_bit_and_controls(void **state)
{
	static const struct list_case cases[] = {
		{"J\xc3\xb6rg <j\xc3\xb6rg@b\xc3\xbc"
		 "cher.example>",
		 "xn--bcher-kva.example", 1},
		{"a@\xd0\xb0pple.com", "xn--pple-43d.com", 1},
		{"\xf0\x9f\x93\xa7 Mail <a@b.com>", "b.com", 1},
		{"J\xf6rg <a@b.com>", BAD, 0},
		{"(\xff) a@b.com", BAD, 0},
		{"a@b.com\xc3", BAD, 0},
		{"\xed\xa0\x80 <a@b.com>", BAD, 0},
		{"\xc0\xbc <a@b.com>", BAD, 0},
		{"\xf4\x90\x80\x80 <a@b.com>", BAD, 0},
		{"\xe2\x80\xaemoc.tigel <a@b.com>", BAD, 0},
		{"\xe2\x80\xa8 <a@b.com>", BAD, 0},
		{"x\xc2\x85 <a@b.com>", BAD, 0},
		{"a@le\xe2\x80\x8bgit.com", BAD, 0},
		{"a@\xef\xbb\xbflegit.com", BAD, 0},
		{"x\x01 <a@b.com>", BAD, 0},
		{"x\x7f <a@b.com>", BAD, 0},
		{"\"x\x1b\" <a@b.com>", BAD, 0},
		{"x\ry <a@b.com>", BAD, 0},
		{"x\n y <a@b.com>", BAD, 0},
		{"x\r\ny <a@b.com>", BAD, 0},
		{"a@b.com\r\n", BAD, 0},
		{"a@b.com\r", BAD, 0},
		{"\"x\\\r\n y\" <a@b.com>", BAD, 0},
		{"(x\\\r\n y) a@b.com", BAD, 0},
	};
	struct arena *a = arena_new();
	struct slice nul = check_heap("a@b.com\0.c", 10);
	struct addr_authors got;

	(void)state;
	RUN_LIST(cases);
	addr_list_parse(a, nul, &got);
	assert_string_equal(domains_text(a, &got), BAD);
	free(unconst(nul.p));
	arena_free(a);
}

/* HP-9: IDNA2008 by UTS46, not transitional */
static void test_international_domains(void **state)
{
	static const struct list_case cases[] = {
		{"a@fa\xc3\x9f.de", "xn--fa-hia.de", 1},
		{"a@FASS.de, b@fa\xc3\x9f.de", "fass.de,xn--fa-hia.de", 2},
		/* one domain in two spellings */
		{"a@B\xc3\x9c"
		 "CHER.example, b@xn--BCHER-kva.example.",
		 "xn--bcher-kva.example", 2},
		/* Latin and Cyrillic in one label: another domain (W12) */
		{"a@p\xd0\xb0ypal.com, b@paypal.com",
		 "xn--pypal-4ve.com,paypal.com", 2},
		/* the dots of UTS46: U+FF0E, U+3002 */
		{"a@legit\xef\xbc\x8e"
		 "com",
		 "legit.com", 1},
		{"a@legit\xe3\x80\x82"
		 "com",
		 "legit.com", 1},
		{"a@\xef\xbc\x8elegit.com", BAD, 0},
		/* no U-labels: U+2603, a combining mark first, "--" */
		{"a@\xe2\x98\x83.com", BAD, 0},
		{"a@\xcc\x81legit.com", BAD, 0},
		{"a@ab--\xc3\xbc.com", BAD, 0},
		/* Hebrew and Latin in one label (RFC 5893 2) */
		{"a@\xd7\x90z.com", BAD, 0},
		{"a@\xd7\x90.com", "xn--4db.com", 1},
		/* 64 bytes as A-label */
		{"a@\xc3\xbc"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 ".com",
		 BAD, 0},
	};

	(void)state;
	RUN_LIST(cases);
}

/* `place` with `character` for the "$" in it. */
static void check_malformed_at(const char *place, const char *character)
{
	struct arena *a = arena_new();
	struct addr_authors got;
	struct strbuf b;

	strbuf_init(&b, a, 100);
	for (; *place != '\0'; place++)
		if (*place == '$')
			strbuf_adds(&b, character);
		else
			strbuf_addc(&b, *place);
	addr_list_parse(a, strbuf_slice(&b), &got);
	if (!got.malformed)
		fail_msg("accepted: %s", strbuf_cstr(&b));
	arena_free(a);
}

/* HP-8: wherever a reader might see the end of a domain, or nothing */
static void test_unseen_characters_in_a_domain(void **state)
{
	static const char *const places[] = {
		"a@legit.com$",		"a@$legit.com",
		"a@legit$.com",		"a@legit.$com",
		"<a@legit.com$>",	"a@legit.com$.attack.com",
		"a@legit.com$<b@c.de>", "g:a@legit.com$;",
	};
	static const char *const others[] = {
		"\xe3\x80\x80" /* U+3000 */, "\xef\xbb\xbf" /* U+FEFF */,
		"\xe2\x80\xae" /* U+202E */, "\xe2\x80\xaf" /* U+202F */,
		"\xe2\x81\x9f" /* U+205F */, "\xe2\x81\xa0" /* U+2060 */,
		"\xe1\x9a\x80" /* U+1680 */, "\xc2\xa0" /* U+00A0 */,
		"\xc2\xad" /* U+00AD */,
	};

	(void)state;
	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (int c = 0x80; c <= 0x8f; c++) { /* U+2000 to U+200F */
			const char text[] = {'\xe2', '\x80', (char)c, '\0'};
			check_malformed_at(places[p], text);
		}
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			check_malformed_at(places[p], others[i]);
	}
}

/* W13, W14: what reorders the text after it is malformed wherever it stands.
 * The marks of one direction (U+200E, U+200F) reorder nothing but themselves
 * and belong into names. */
static void test_direction_overrides(void **state)
{
	static const char *const places[] = {
		"$ <a@b.com>",	"\"x$y\" <a@b.com>", "x ($) <a@b.com>",
		"$admin@b.com", "ad$min@b.com",	     "\"$\"@b.com",
		"x$: a@b.com;", "<a@b.com> ($)",     "<a@b$.com>",
	};
	static const unsigned char last[][2] = {
		/* U+202A to U+202E */
		{0x80, 0xaa},
		{0x80, 0xab},
		{0x80, 0xac},
		{0x80, 0xad},
		{0x80, 0xae},
		/* U+2066 to U+2069 */
		{0x81, 0xa6},
		{0x81, 0xa7},
		{0x81, 0xa8},
		{0x81, 0xa9},
	};
	static const struct list_case marks[] = {
		{"\xd7\x90\xe2\x80\x8f! \xe2\x80\x8e <a@b.com>", "b.com", 1},
	};

	(void)state;
	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
			const char text[] = {'\xe2', (char)last[i][0],
					     (char)last[i][1], '\0'};
			check_malformed_at(places[p], text);
		}
	}
	RUN_LIST(marks);
}

static void test_parts_of_a_mailbox(void **state)
{
	static const struct {
		const char *value, *local, *display;
	} cases[] = {
		{"a.b@c.com", "a.b", ""},
		{" John  Doe <a@c.com>", "a", "John  Doe"},
		{"(x) \"J. D.\" (y) <a@c.com>", "a", "\"J. D.\""},
		{"\"a \\\"b\"@c.com", "a \"b", ""},
		{"a (x) . b@c.com", "a.b", ""},
		{"=?utf-8?Q?J=C3=B6?= <a@c.com>", "a", "=?utf-8?Q?J=C3=B6?="},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct addr_authors got;

		addr_list_parse(a, slice_of(cases[i].value), &got);
		assert_int_equal(got.n, 1);
		check_slice(got.v[0].local, cases[i].local);
		check_slice(got.v[0].display, cases[i].display);
		assert_string_equal(got.v[0].domain, "c.com");
		arena_free(a);
	}
}

/* `n` times `unit`, with `tail` after them. */
static void parse_repeated(struct arena *a, const char *unit, size_t n,
			   const char *tail, struct addr_authors *ret)
{
	struct strbuf b;

	strbuf_init(&b, a, 1 << 20);
	for (size_t i = 0; i < n; i++)
		strbuf_adds(&b, unit);
	strbuf_adds(&b, tail);
	addr_list_parse(a, strbuf_slice(&b), ret);
}

/* HP-12 */
static void test_limits(void **state)
{
	static const struct {
		const char *unit;
		size_t n;
		const char *tail, *want;
	} cases[] = {
		{"a@b.com,", ADDR_MAX_MAILBOXES, "", "b.com"},
		{"a@b.com,", ADDR_MAX_MAILBOXES, "c@b.com", BAD},
		{" ", ADDR_MAX_VALUE - 7, "a@b.com", "b.com"},
		{" ", ADDR_MAX_VALUE - 6, "a@b.com", BAD},
		{"(", ADDR_MAX_VALUE, "", BAD},
		{"(", 21, ")))))))))))))))))))))a@b.com", BAD},
		{"(", 20, "))))))))))))))))))))a@b.com", "b.com"},
		{"()", 4000, "a@b.com", "b.com"},
		{",", 8000, "a@b.com", "b.com"},
		{"g:;,", 2000, "a@b.com", "b.com"},
		{"\"", 8001, "", BAD},
		{"\\", 8001, "", BAD},
		{"x.", 4000, "x@b.com", "b.com"},
		{"x ", 4000, "<a@b.com>", "b.com"},
		{"\xc3\xbc", 4000, " <a@b.com>", "b.com"},
		{"<", 8000, "a@b.com", BAD},
		{"g:", 4000, ";", BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct addr_authors got;

		parse_repeated(a, cases[i].unit, cases[i].n, cases[i].tail,
			       &got);
		if (strcmp(domains_text(a, &got), cases[i].want) != 0)
			fail_msg("%zu times \"%s\": not %s", cases[i].n,
				 cases[i].unit, cases[i].want);
		assert_true(arena_used(a) < 16 * 1024 * 1024);
		arena_free(a);
	}
}

/* No prefix and no single foreign byte may lead to an over-read. */
static void test_every_prefix_and_byte(void **state)
{
	static const char value[] =
		"g:(\\(c)\"a\\\"b\" <@x.com,@y.com:a.\"b\"@c\xc3\xbc.com>;,d@e";

	(void)state;
	for (size_t n = 0; n < sizeof(value); n++) {
		for (int byte = 0; byte < 256; byte += n % 4 == 0 ? 1 : 17) {
			struct arena *a = arena_new();
			struct slice s = check_heap(value, n + 1);
			struct addr_authors got;
			struct addr_path path;

			((char *)unconst(s.p))[n] = (char)byte;
			addr_list_parse(a, s, &got);
			(void)domains_text(a, &got);
			addr_path_parse(a, s, &path);
			free(unconst(s.p));
			arena_free(a);
		}
	}
}

/* ---- whole header blocks: HP-1, HP-13, a8 to a13, B3 ---- */

static const struct field_limits limits = {1000, 65536, 262144};

static void test_header_blocks(void **state)
{
	static const struct {
		const char *message, *domains;
	} cases[] = {
		{"From: a@b.com\n\n", "b.com"},
		{"Subject: x\nFROM: a@b.com\nSender: c@d.com\n\n", "b.com"},
		{"From:\n a@b.com\n\n", "b.com"},
		/* a8, in both orders */
		{"From: x@attack.com\nFrom: admin@legit.com\n\n", BAD},
		{"From: admin@legit.com\nFrom: x@attack.com\n\n", BAD},
		{"From: a@b.com\nfrom: a@b.com\n\n", BAD},
		/* a9: the first line is no header field */
		{" From: x@attack.com\nFrom: admin@legit.com\n\n", BAD},
		/* a10 */
		{"From: x@attack.com\nFrom : admin@legit.com\n\n", BAD},
		{"From : x@attack.com\nFrom: admin@legit.com\n\n", BAD},
		{"From : a@b.com\n\n", "b.com"},
		/* a11: "From" alone is no header field */
		{"From\r\n : x@attack.com\r\nFrom: admin@legit.com\r\n\r\n",
		 BAD},
		{"From: x@attack.com\r\nFrom\r\n : admin@legit.com\r\n\r\n",
		 "attack.com"},
		/* a12, a13: HP-13 */
		{"From: <x@attack.com\nSender: admin@legit.com\n\n", BAD},
		{"From: <x@attack.com\nResent-From: admin@legit.com\n\n", BAD},
		/* a14, with a Sender (RFC 5322 3.6.2) */
		{"From: <x@attack.com>, <admin@legit.com>\n"
		 "Sender: x@attack.com\n\n",
		 "attack.com,legit.com"},
		/* B3 */
		{"Sender: admin@legit.com\nReply-To: admin@legit.com\n\n", BAD},
		{"Subject: x\n\nFrom: a@b.com\n", BAD},
		{"", BAD},
		/* HP-7: a block that does not read the same for everybody */
		{"X: a\rb\nFrom: a@b.com\n\n", BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		struct addr_authors got;
		struct slice body;
		const char *text;

		field_list_parse(a, &l, &limits, slice_of(cases[i].message),
				 &body);
		addr_authors_of(a, &l, &got);
		text = domains_text(a, &got);
		if (strcmp(text, cases[i].domains) != 0)
			fail_msg("%s: got %s, want %s", cases[i].message, text,
				 cases[i].domains);
		arena_free(a);
	}
}

/* Milters get fields singly, with names as the MTA saw them (a10, a11). */
static void test_fields_from_the_mta(void **state)
{
	static const struct {
		const char *name, *domains;
	} cases[] = {
		{"From", BAD},	     {"from", BAD},	  {"From ", BAD},
		{"From\t", BAD},     {"From\r\n ", BAD},  {"Fr\xc3\xb6m", BAD},
		{"Sender", "b.com"}, {"X-From", "b.com"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		struct addr_authors got;

		field_list_add(a, &l, &limits, SLICE("From"),
			       SLICE(" a@b.com"));
		field_list_add(a, &l, &limits, slice_of(cases[i].name),
			       SLICE(" c@d.com"));
		addr_authors_of(a, &l, &got);
		assert_string_equal(domains_text(a, &got), cases[i].domains);
		arena_free(a);
	}
}

/* ---- envelope ---- */

static const char *path_text(struct arena *a, const struct addr_path *p)
{
	if (p->malformed) {
		assert_null(p->domain);
		assert_int_equal(p->local.n, 0);
		assert_false(p->null);
		return BAD;
	}
	return arena_printf(a, "%s%.*s|%s", p->null ? "<>" : "",
			    (int)p->local.n, p->local.n > 0 ? p->local.p : "",
			    p->domain != NULL ? p->domain : "-");
}

static void test_paths(void **state)
{
	static const struct {
		const char *path, *want; /* local "|" domain */
	} cases[] = {
		{"<>", "<>|-"},
		{"", "<>|-"},
		{"<a@b.com>", "a|b.com"},
		{"a@b.com", "a|b.com"},
		{"<a@B.Com.>", "a|b.com"},
		{"<postmaster>", "postmaster|-"},
		{"root", "root|-"},
		{"<\"a b\"@b.com>", "a b|b.com"},
		{"<\"a@x.com\"@b.com>", "a@x.com|b.com"},
		{"<\"a(\\\"\"@b.com>", "a(\"|b.com"},
		{"<a..b.@b.com>", "a..b.|b.com"},
		{"<a'b=c+d/e@b.com>", "a'b=c+d/e|b.com"},
		{"<j\xc3\xb6rg@b\xc3\xbc"
		 "cher.example>",
		 "j\xc3\xb6rg|xn--bcher-kva.example"},
		/* an address literal has no domain */
		{"<a@[1.2.3.4]>", "a|-"},
		{"<a@[IPv6:2001:db8::1]>", "a|-"},
		{"<a@[1.2.3.4>", BAD},
		{"<a@[1.2.3]>", BAD},
		{"<a@[]>", BAD},
		{"<a@[legit.com]>", BAD},
		{"<a@[1.2.3.4]@b.com>", BAD},
		/* a2, a5, a6, a7 */
		{"<(any@legit.com>", BAD},
		{"any@legit.com(a.attack.com", BAD},
		{"any@legit.com'@any.attack.com", BAD},
		{"<@legit.com,@any.com:'any@attack.com>", BAD},
		/* HP-10: source routes, also well-formed ones */
		{"<@a.com:b@c.com>", BAD},
		{"<@a.com>", BAD},
		/* SPF-6 */
		{"<a@b@c.com>", BAD},
		{"<a@b.com >", BAD},
		{"<a@b .com>", BAD},
		{"<a b@c.com>", BAD},
		{"<a@b\".com>", BAD},
		{"<a@\"b.com\">", BAD},
		{"<a@(x)b.com>", BAD},
		{"<a@b.com\x01>", BAD},
		{"<a@b\t.com>", BAD},
		{"<a\r\n@b.com>", BAD},
		{"<\"a\tb\"@b.com>", BAD},
		{"<\"a\\\tb\"@b.com>", BAD},
		{"<a@b%c.com>", BAD},
		{"<a@>", BAD},
		{"<a@.>", BAD},
		{"<.@b.com>", BAD},
		{"<a@b.com", BAD},
		{"a@b.com>", BAD},
		{"<<a@b.com>>", BAD},
		{"< >", BAD},
		{"<\"a@b.com>", BAD},
		{"<\"a\"b@c.com>", BAD},
		{"<a,b@c.com>", BAD},
		{"<a\\@b@c.com>", BAD},
		{"<a@legit.com\xe2\x80\x80>", BAD},
		{"<a@le\xe2\x80\xaegit.com>", BAD},
		{"<\xff@b.com>", BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct slice s =
			check_heap(cases[i].path, strlen(cases[i].path));
		struct addr_path got;
		const char *text;

		addr_path_parse(a, s, &got);
		text = path_text(a, &got);
		if (strcmp(text, cases[i].want) != 0)
			fail_msg("%s: got %s, want %s", cases[i].path, text,
				 cases[i].want);
		free(unconst(s.p));
		arena_free(a);
	}
}

static void test_path_with_nul_or_too_long(void **state)
{
	struct arena *a = arena_new();
	struct addr_path got;
	char big[ADDR_MAX_VALUE + 16];

	(void)state;
	addr_path_parse(a, (struct slice){"<a@b.com\0.c>", 12}, &got);
	assert_string_equal(path_text(a, &got), BAD);
	memset(big, 'a', sizeof(big));
	memcpy(big + sizeof(big) - 6, "@b.com", 6);
	addr_path_parse(a, (struct slice){big, sizeof(big)}, &got);
	assert_string_equal(path_text(a, &got), BAD);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mailboxes),
		cmocka_unit_test(test_comments_folds_and_obsolete_forms),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_eight_bit_and_controls),
		cmocka_unit_test(test_international_domains),
		cmocka_unit_test(test_unseen_characters_in_a_domain),
		cmocka_unit_test(test_direction_overrides),
		cmocka_unit_test(test_parts_of_a_mailbox),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every_prefix_and_byte),
		cmocka_unit_test(test_header_blocks),
		cmocka_unit_test(test_fields_from_the_mta),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_path_with_nul_or_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
