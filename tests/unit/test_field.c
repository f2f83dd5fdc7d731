/* mail/field: header fields as they came, and whole messages. */
#include "check.h"

#include <stdio.h>

#include "mail/field.h"

static const struct field_limits wide = {1000, 65536, 262144};

static void add(struct arena *a, struct field_list *l, const char *name,
		struct slice value)
{
	field_list_add(a, l, &wide, slice_of(name), value);
}

/* RFC 6376 3.4: folds are CRLF in what is hashed; milters see LF. */
static void test_folds_become_crlf(void **state)
{
	static const struct {
		const char *value, *raw;
	} cases[] = {
		{" x", "A: x"},
		{"", "A:"},
		{" a\n\tb", "A: a\r\n\tb"},
		{" a\r\n\tb", "A: a\r\n\tb"},
		{" a\n b\r\n c\n d", "A: a\r\n b\r\n c\r\n d"},
		{"\n x", "A:\r\n x"},
		{" x\n", "A: x"},
		{" x\r\n", "A: x"},
		{" a\n \n b", "A: a\r\n \r\n b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		struct slice v =
			check_heap(cases[i].value, strlen(cases[i].value));
		add(a, &l, "A", v);
		free(unconst(v.p));
		assert_int_equal(l.trouble, FIELD_OK);
		assert_int_equal(l.n, 1);
		check_slice(l.v[0].raw, cases[i].raw);
		check_slice(l.v[0].name, "A");
		assert_ptr_equal(l.v[0].value.p, l.v[0].raw.p + 2);
		assert_int_equal(l.v[0].value.n, l.v[0].raw.n - 2);
		assert_int_equal(l.bytes, l.v[0].raw.n);
		arena_free(a);
	}
}

/* HP-7 */
static void test_bad_bytes(void **state)
{
	static const struct {
		struct slice name, value;
		enum field_trouble want;
	} cases[] = {
		{{"A", 1}, {" x\0y", 4}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\ry", 4}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\r", 3}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\r\r\n y", 7}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\nBcc: y", 9}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\r\nBcc: y", 10}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\n\n y", 6}, FIELD_BAD_BYTES},
		{{"A", 1}, {" x\x01", 3}, FIELD_OK},
		{{"A", 1}, {" \x1b$B\x1b(B", 7}, FIELD_OK},
		{{"A", 1}, {" x\ty\xff", 5}, FIELD_OK},
		{{"A B", 3}, {"", 0}, FIELD_BAD_BYTES},
		{{"A:", 2}, {"", 0}, FIELD_BAD_BYTES},
		{{"\xe9", 1}, {"", 0}, FIELD_BAD_BYTES},
		{{"A\x7f", 2}, {"", 0}, FIELD_BAD_BYTES},
		{{"A\0", 2}, {"", 0}, FIELD_BAD_BYTES},
		{{"", 0}, {"", 0}, FIELD_BAD_BYTES},
		{{"  ", 2}, {"", 0}, FIELD_BAD_BYTES},
		{{"A \t", 3}, {"", 0}, FIELD_OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		field_list_add(a, &l, &wide, cases[i].name, cases[i].value);
		assert_int_equal(l.trouble, cases[i].want);
		assert_int_equal(l.n, 1);
		/* The first trouble stays. */
		add(a, &l, "B", SLICE(" fine"));
		assert_int_equal(l.trouble, cases[i].want);
		arena_free(a);
	}
}

/* HP-12 */
static void test_limits(void **state)
{
	static const struct {
		struct field_limits limits;
		enum field_trouble want;
		size_t n;
	} cases[] = {
		{{2, 100, 100}, FIELD_OK, 2},
		{{1, 100, 100}, FIELD_TOO_MANY, 1},
		{{0, 100, 100}, FIELD_TOO_MANY, 0},
		{{2, 14, 100}, FIELD_OK, 2},
		{{2, 13, 100}, FIELD_TOO_LONG, 2},
		{{2, 3, 100}, FIELD_TOO_LONG, 0},
		{{2, 100, 21}, FIELD_OK, 2},
		{{2, 100, 20}, FIELD_TOO_LARGE, 2},
		{{2, 100, 0}, FIELD_TOO_LARGE, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		/* 7 and 14 bytes, the fold counted as CRLF */
		field_list_add(a, &l, &cases[i].limits, SLICE("From"),
			       SLICE(" a"));
		field_list_add(a, &l, &cases[i].limits, SLICE("Subject"),
			       SLICE(" a\n b"));
		assert_int_equal(l.trouble, cases[i].want);
		assert_int_equal(l.n, cases[i].n);
		assert_true(l.bytes <= cases[i].limits.max_bytes);
		arena_free(a);
	}
}

static void test_name_of_too_long_field_counts(void **state)
{
	struct arena *a = arena_new();
	struct field_limits limits = {10, 20, 100};
	struct field_list l = {0};

	(void)state;
	field_list_add(a, &l, &limits, SLICE("From"),
		       SLICE(" aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	field_list_add(a, &l, &limits, SLICE("From"), SLICE(" b"));
	assert_int_equal(l.trouble, FIELD_TOO_LONG);
	assert_int_equal(field_count(&l, "from"), 2);
	check_slice(field_nth(&l, "From", 0)->raw, "From:");
	check_slice(field_nth(&l, "From", 0)->value, "");
	check_slice(field_nth(&l, "From", 1)->value, " b");
	arena_free(a);
}

static void test_memory_is_bounded(void **state)
{
	struct arena *a = arena_new();
	struct field_limits limits = {100, 1000, 10000};
	struct field_list l = {0};
	char big[5000];

	(void)state;
	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < 10000; i++)
		field_list_add(a, &l, &limits, (struct slice){big, i % 1200},
			       (struct slice){big, (i * 7) % 5000});
	assert_true(arena_used(a) < 100000);
	assert_true(l.n <= 100);
	arena_free(a);
}

static void test_nth_and_count(void **state)
{
	struct arena *a = arena_new();
	struct field_list l = {0};
	char value[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(value, sizeof(value), "%d", i);
		add(a, &l, i % 2 != 0 ? "Odd" : "eVEN", slice_of(value));
	}
	assert_int_equal(field_count(&l, "odd"), 50);
	assert_int_equal(field_count(&l, "Od"), 0);
	check_slice(field_nth(&l, "ODD", 0)->value, "1");
	check_slice(field_nth(&l, "even", 49)->value, "98");
	assert_null(field_nth(&l, "even", 50));
	arena_free(a);
}

static void test_unfold(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
		{" a\r\n\tb\r\n  c ", "a\tb  c"},
		{"\r\n x", "x"},
		{"", ""},
		{" \r\n ", ""},
		{" a\rb", "a\rb"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct slice v =
			check_heap(cases[i].value, strlen(cases[i].value));
		check_slice(field_unfold(a, v), cases[i].want);
		free(unconst(v.p));
		arena_free(a);
	}
}

/* `want`: the raw fields, each followed by "|". */
static void test_messages(void **state)
{
	static const struct {
		const char *message, *want, *body;
		enum field_trouble trouble;
	} cases[] = {
		{"A: b\r\n\r\nbody\r\n", "A: b|", "body\r\n", FIELD_OK},
		{"A: b\n\nbody\n", "A: b|", "body\n", FIELD_OK},
		{"A: b\nC: d\r\n\r\n\nx", "A: b|C: d|", "\nx", FIELD_OK},
		{"A: b\n c\r\n\td\n\n", "A: b\r\n c\r\n\td|", "", FIELD_OK},
		{"A: b", "A: b|", "", FIELD_OK},
		{"A: b\n c", "A: b\r\n c|", "", FIELD_OK},
		{"A:\n\n", "A:|", "", FIELD_OK},
		{"", "", "", FIELD_OK},
		{"\r\nbody", "", "body", FIELD_OK},
		{"\n", "", "", FIELD_OK},
		/* HP-6: a line of white space goes on */
		{"A: b\n \n c\n\nx", "A: b\r\n \r\n c|", "x", FIELD_OK},
		/* HP-12a: the first line that is no header begins the body */
		{"A: b\nno header\nC: d\n", "A: b|", "no header\nC: d\n",
		 FIELD_OK},
		{"A: b\n: x\n\n", "A: b|", ": x\n\n", FIELD_OK},
		{" A: b\n\n", "", " A: b\n\n", FIELD_OK},
		{"\xef\xbb\xbf"
		 "A: b\n\n",
		 "",
		 "\xef\xbb\xbf"
		 "A: b\n\n",
		 FIELD_OK},
		{"A B: c\n", "", "A B: c\n", FIELD_OK},
		{"A: b\nno colon", "A: b|", "no colon", FIELD_OK},
		/* raw keeps the white space before the colon */
		{"A \t: b\n\n", "A \t: b|", "", FIELD_OK},
		/* mbox */
		{"From x Thu Jan  1 00:00:00 1970\nA: b\n\nx", "A: b|", "x",
		 FIELD_OK},
		{"From : x\n\n", "From : x|", "", FIELD_OK},
		{"From: x\n\n", "From: x|", "", FIELD_OK},
		{"A: b\nFrom x\n\n", "A: b|", "From x\n\n", FIELD_OK},
		{"From x", "", "", FIELD_OK},
		/* HP-7 */
		{"A: b\rC: d\n\nx", "A: b\rC: d|", "x", FIELD_BAD_BYTES},
		{"A: b\r\r\n\r\nx", "A: b\r|", "x", FIELD_BAD_BYTES},
		{"A: b\r", "A: b\r|", "", FIELD_BAD_BYTES},
		{"A: b\n\r\r\nx", "A: b|", "\r\r\nx", FIELD_OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct field_list l = {0};
		struct strbuf got;
		struct slice body, m = check_heap(cases[i].message,
						  strlen(cases[i].message));
		field_list_parse(a, &l, &wide, m, &body);
		strbuf_init(&got, a, 1000);
		for (size_t k = 0; k < l.n; k++) {
			strbuf_add(&got, l.v[k].raw);
			strbuf_addc(&got, '|');
		}
		check_slice(strbuf_slice(&got), cases[i].want);
		check_slice(body, cases[i].body);
		assert_int_equal(l.trouble, cases[i].trouble);
		free(unconst(m.p));
		arena_free(a);
	}
}

static void test_names_have_no_space(void **state)
{
	struct arena *a = arena_new();
	struct field_list l = {0};
	struct slice body;

	(void)state;
	field_list_parse(a, &l, &wide, SLICE("From \t: x\n\ny"), &body);
	check_slice(l.v[0].name, "From");
	check_slice(l.v[0].value, " x");
	add(a, &l, "To ", SLICE(" y"));
	check_slice(l.v[1].raw, "To: y");
	arena_free(a);
}

static void test_any_bytes_parse(void **state)
{
	static const char bytes[] = "\r\n\t :AF\0\xff"
				    "From ";
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		struct arena *a = arena_new();
		struct field_limits limits = {4, 12, 30};
		struct field_list l = {0};
		struct slice body, m;
		char text[40];
		size_t n = (size_t)round % sizeof(text);
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = bytes[(seed >> 16) % (sizeof(bytes) - 1)];
		}
		m = check_heap(text, n);
		field_list_parse(a, &l, &limits, m, &body);
		assert_true(l.n <= 4 && l.bytes <= 30);
		assert_true(body.n == 0 || body.p + body.n == m.p + m.n);
		free(unconst(m.p));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folds_become_crlf),
		cmocka_unit_test(test_bad_bytes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_name_of_too_long_field_counts),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_nth_and_count),
		cmocka_unit_test(test_unfold),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_names_have_no_space),
		cmocka_unit_test(test_any_bytes_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
