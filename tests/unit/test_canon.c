/* mail/canon: RFC 6376 3.4 canonicalization. */
#include "check.h"

#include "mail/canon.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

struct output {
	struct strbuf text;
	size_t calls;
};

static void collect(void *arg, struct slice bytes)
{
	struct output *o = arg;

	strbuf_add(&o->text, bytes);
	o->calls++;
}

static struct output output_new(struct arena *a)
{
	struct output o = {.calls = 0};

	strbuf_init(&o.text, a, 10000000);
	return o;
}

static struct slice field(struct arena *a, enum canon_mode mode,
			  const char *raw, bool crlf)
{
	struct output o = output_new(a);
	struct slice in = check_heap(raw, strlen(raw));

	canon_field(mode, in, crlf, collect, &o);
	free(unconst(in.p));
	return strbuf_slice(&o.text);
}

/* RFC 6376 3.4.1, 3.4.2 and the examples of 3.4.5 */
static void test_fields(void **state)
{
	static const struct {
		const char *raw, *simple, *relaxed;
	} cases[] = {
		{"A: X", "A: X\r\n", "a:X\r\n"},
		{"B : Y\t\r\n\tZ  ", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"A:", "A:\r\n", "a:\r\n"},
		{"A: \t ", "A: \t \r\n", "a:\r\n"},
		{"A:\r\n x", "A:\r\n x\r\n", "a:x\r\n"},
		{"A: a\r\n \r\n\tb", "A: a\r\n \r\n\tb\r\n", "a:a b\r\n"},
		{"SUBJect: AbC  : d", "SUBJect: AbC  : d\r\n",
		 "subject:AbC : d\r\n"},
		{"X\xc3\x84: \xc3\x84", "X\xc3\x84: \xc3\x84\r\n",
		 "x\xc3\x84:\xc3\x84\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_new();
		struct slice s;
		check_slice(field(a, CANON_SIMPLE, cases[i].raw, true),
			    cases[i].simple);
		check_slice(field(a, CANON_RELAXED, cases[i].raw, true),
			    cases[i].relaxed);
		s = field(a, CANON_RELAXED, cases[i].raw, false);
		assert_int_equal(s.n, strlen(cases[i].relaxed) - 2);
		s = field(a, CANON_SIMPLE, cases[i].raw, false);
		check_slice(s, cases[i].raw);
		arena_free(a);
	}
}

static void test_long_name_is_lowered(void **state)
{
	struct arena *a = arena_new();
	char raw[204];
	struct slice s;

	(void)state;
	memset(raw, 'Q', 200);
	memcpy(raw + 200, ": x", 4);
	s = field(a, CANON_RELAXED, raw, false);
	assert_int_equal(s.n, 202);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(s.p[i], 'q');
	arena_free(a);
}

/* RFC 6376 3.5 (b=), 3.7 */
static void test_without_b(void **state)
{
	static const struct {
		const char *raw, *want;
	} cases[] = {
		{"S: v=1; b=abc; d=x", "S: v=1; b=; d=x"},
		{"S: v=1; b=abc", "S: v=1; b="},
		{"S: v=1; b = \r\n\ta bc \r\n ; d=x", "S: v=1; b =; d=x"},
		{"S: v=1; b=ab\r\n c=\r\n ", "S: v=1; b="},
		{"S: bh=xyz=; b=abc=;", "S: bh=xyz=; b=;"},
		{"S:b=abc", "S:b="},
		{"S: v=1;\r\n b=\r\n abc;", "S: v=1;\r\n b=;"},
		{"S: B=abc; bb=abc", "S: B=abc; bb=abc"},
		{"b=x: b=y", "b=x: b="},
		{"S: ;;b=y;;", "S: ;;b=;;"},
		{"S:", "S:"},
		{"S", "S"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_new();
		struct slice in =
			check_heap(cases[i].raw, strlen(cases[i].raw));
		check_slice(canon_without_b(a, in), cases[i].want);
		free(unconst(in.p));
		arena_free(a);
	}
}

static void add_fields(struct arena *a, struct field_list *l, const char *names)
{
	static const struct field_limits wide = {5000, 1000, 1000000};
	struct slice rest = slice_of(names);

	while (rest.p != NULL)
		field_list_add(a, l, &wide, slice_cut(&rest, ' '), SLICE("x"));
}

/* RFC 6376 5.4.2: bottom-up; "-" has no instance left. */
static void test_select(void **state)
{
	static const struct {
		const char *fields, *h, *want;
	} cases[] = {
		{"From To Subject", "from:subject", "02"},
		{"A B A B A", "a", "4"},
		{"A B A B A", "A:a:A:a:b:b:b", "420-31-"},
		{"A B", "c", "-"},
		{"A B", " a \r\n\t: B ", "01"},
		{"A B", "a::b:", "0-1-"},
		{"Ab A", "a:ab", "10"},
		{"A", "", ""},
		{"A", " \t", ""},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		size_t ret[16], n, want = strlen(cases[i].want);
		struct slice h = check_heap(cases[i].h, strlen(cases[i].h));
		add_fields(a, &l, cases[i].fields);
		n = canon_select(&l, h, 16, ret);
		assert_int_equal(n, want);
		for (size_t k = 0; k < n; k++) {
			char c = cases[i].want[k];
			assert_true(ret[k] ==
				    (c == '-' ? SIZE_MAX : (size_t)(c - '0')));
		}
		free(unconst(h.p));
		arena_free(a);
	}
}

static void test_select_has_a_maximum(void **state)
{
	struct field_list l = {0};
	size_t ret[3] = {7, 7, 7};

	(void)state;
	assert_int_equal(canon_select(&l, SLICE("a:b:c"), 3, ret), 3);
	ret[2] = 7;
	assert_true(canon_select(&l, SLICE("a:b:c:d"), 3, ret) == SIZE_MAX);
	assert_int_equal(ret[2], 7);
}

/* RFC 6376 3.4.3, 3.4.4 and 3.4.5; errata 5839: white space goes first, so
 * that a line of it is an empty line. */
static const struct {
	const char *body, *simple, *relaxed;
} bodies[] = {
	{"", "\r\n", ""},
	{"\r\n", "\r\n", ""},
	{"\r\n\r\n\r\n", "\r\n", ""},
	{" ", " \r\n", ""},
	{" \r\n", " \r\n", ""},
	{" \t\r\n\r\n \t", " \t\r\n\r\n \t\r\n", ""},
	{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
	{"a", "a\r\n", "a\r\n"},
	{"a\r\n", "a\r\n", "a\r\n"},
	{"a \t", "a \t\r\n", "a\r\n"},
	{"a\r\n \r\n", "a\r\n \r\n", "a\r\n"},
	{"a\r\n  ", "a\r\n  \r\n", "a\r\n"},
	{"a\r\n \r\n\tb", "a\r\n \r\n\tb\r\n", "a\r\n\r\n b\r\n"},
	{"\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
	{"\ta\t\tb", "\ta\t\tb\r\n", " a b\r\n"},
	{"a\tb c", "a\tb c\r\n", "a b c\r\n"},
	/* CR and LF alone are bytes like any other */
	{"a\nb\n", "a\nb\n\r\n", "a\nb\n\r\n"},
	{"\n", "\n\r\n", "\n\r\n"},
	{"\r", "\r\r\n", "\r\r\n"},
	{"a\r", "a\r\r\n", "a\r\r\n"},
	{"a\r\r\n", "a\r\r\n", "a\r\r\n"},
	{"a \rb \n", "a \rb \n\r\n", "a \rb \n\r\n"},
	{"a\r\n\r", "a\r\n\r\r\n", "a\r\n\r\r\n"},
	{"a\r\n\n\r\n", "a\r\n\n\r\n", "a\r\n\n\r\n"},
	{"a\r \r\n", "a\r \r\n", "a\r\r\n"},
	{" \r \r\n", " \r \r\n", " \r\r\n"},
};

static void test_bodies_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(bodies) * 2; i++) {
		enum canon_mode mode =
			i % 2 != 0 ? CANON_RELAXED : CANON_SIMPLE;
		const char *body = bodies[i / 2].body;
		const char *want = mode == CANON_SIMPLE ? bodies[i / 2].simple
							: bodies[i / 2].relaxed;
		size_t n = strlen(body);
		for (size_t at = 0; at <= n; at++) {
			struct arena *a = arena_new();
			struct output o = output_new(a);
			struct canon_body b;
			struct slice x = check_heap(body, at);
			struct slice y = check_heap(body + at, n - at);
			canon_body_init(&b, mode, UINT64_MAX, collect, &o);
			canon_body_feed(&b, x);
			canon_body_feed(&b, y);
			canon_body_end(&b);
			check_slice(strbuf_slice(&o.text), want);
			assert_int_equal(b.total, strlen(want));
			free(unconst(x.p));
			free(unconst(y.p));
			arena_free(a);
		}
	}
}

/* l= cuts the output, never the count (RFC 6376 3.5 l=). */
static void test_limit(void **state)
{
	static const char *const want[] = {"",	    "a",       "a b",
					   "a b\r", "a b\r\n", "a b\r\n"};
	static const uint64_t limits[] = {0, 1, 3, 4, 5, 6};

	(void)state;
	for (size_t i = 0; i < LENGTH(limits); i++) {
		struct arena *a = arena_new();
		struct output o = output_new(a);
		struct canon_body b;
		canon_body_init(&b, CANON_RELAXED, limits[i], collect, &o);
		canon_body_feed(&b, SLICE("a  b \r\n\r\n"));
		canon_body_end(&b);
		check_slice(strbuf_slice(&o.text), want[i]);
		assert_int_equal(b.total, 5);
		arena_free(a);
	}
}

/* The plainest way to do it, on a whole body. */
static struct slice reference(struct arena *a, enum canon_mode mode,
			      struct slice body)
{
	struct strbuf out;
	size_t keep = 0;

	strbuf_init(&out, a, body.n + 2);
	for (size_t i = 0; i <= body.n; i++) {
		bool eol =
			i == body.n || (i + 1 < body.n && body.p[i] == '\r' &&
					body.p[i + 1] == '\n');
		if (mode == CANON_RELAXED && eol)
			while (out.n > 0 && out.p[out.n - 1] == ' ')
				out.n--;
		if (eol && out.n > 0 &&
		    !(out.n >= 2 && memcmp(out.p + out.n - 2, "\r\n", 2) == 0))
			keep = out.n;
		if (i == body.n)
			break;
		if (eol) {
			strbuf_adds(&out, "\r\n");
			i++;
		} else if (mode == CANON_SIMPLE || !ascii_iswsp(body.p[i])) {
			strbuf_addc(&out, body.p[i]);
		} else if (out.n == 0 || out.p[out.n - 1] != ' ') {
			strbuf_addc(&out, ' ');
		}
	}
	out.n = keep;
	if (keep > 0 || mode == CANON_SIMPLE)
		strbuf_adds(&out, "\r\n");
	return strbuf_slice(&out);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

static void test_any_split_is_the_same(void **state)
{
	/* much to be done, and long stretches of nothing */
	static const struct slice kinds[] = {
		SLICE("ab  \t\r\r\n\n"),
		SLICE("abcdefghijklmnopqrstuvwxyzABCDEFGH    \r\n\n"),
	};
	uint32_t seed = 7;

	(void)state;
	for (size_t round = 0; round < 20000; round++) {
		struct arena *a = arena_new();
		struct output o = output_new(a);
		enum canon_mode mode =
			round % 2 != 0 ? CANON_RELAXED : CANON_SIMPLE;
		struct canon_body b;
		struct slice want;
		const struct slice bytes = kinds[round / 2 % LENGTH(kinds)];
		char body[192];
		size_t n = next(&seed) % sizeof(body);
		for (size_t i = 0; i < n; i++) {
			body[i] = bytes.p[next(&seed) % bytes.n];
			/* whole line ends, often */
			if (body[i] == '\n' && i > 0 && next(&seed) % 2 != 0)
				body[i - 1] = '\r';
		}
		canon_body_init(&b, mode, UINT64_MAX, collect, &o);
		for (size_t i = 0; i < n;) {
			size_t len = next(&seed) % (n - i + 1);
			struct slice part = check_heap(body + i, len);
			canon_body_feed(&b, part);
			free(unconst(part.p));
			i += len;
		}
		canon_body_end(&b);
		want = reference(a, mode, (struct slice){body, n});
		if (!slice_eq(strbuf_slice(&o.text), want))
			fail_msg("round %zu", round);
		assert_int_equal(b.total, want.n);
		arena_free(a);
	}
}

static void test_blank_lines_take_no_memory(void **state)
{
	struct arena *a = arena_new();
	struct output o = output_new(a);
	struct canon_body b;

	(void)state;
	canon_body_init(&b, CANON_RELAXED, UINT64_MAX, collect, &o);
	for (int i = 0; i < 100000; i++)
		canon_body_feed(&b, SLICE(" \r\n\r\n"));
	assert_int_equal(o.calls, 0);
	canon_body_feed(&b, SLICE("x"));
	canon_body_end(&b);
	assert_int_equal(b.total, 400003);
	assert_int_equal(o.text.n, 400003);
	check_slice(slice_from(strbuf_slice(&o.text), 399998), "\r\nx\r\n");
	arena_free(a);
}

/* Text that stays as it is goes on in one piece. */
static void test_plain_text_is_one_run(void **state)
{
	struct arena *a = arena_new();
	struct output o = output_new(a);
	struct canon_body b;

	(void)state;
	canon_body_init(&b, CANON_RELAXED, UINT64_MAX, collect, &o);
	canon_body_feed(&b, SLICE("words and words\r\nand more words\r\n"));
	canon_body_end(&b);
	assert_true(o.calls <= 2);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_long_name_is_lowered),
		cmocka_unit_test(test_without_b),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_has_a_maximum),
		cmocka_unit_test(test_bodies_at_every_split),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_any_split_is_the_same),
		cmocka_unit_test(test_blank_lines_take_no_memory),
		cmocka_unit_test(test_plain_text_is_one_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
