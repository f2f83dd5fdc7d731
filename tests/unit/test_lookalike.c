/* mail/lookalike.c and words.c: Unicode TS 39, RFC 2047.  What they make of a
 * whole message is in test_awareness.c. */
#include "check.h"

#include <stdio.h>

#include "mail/words.h"

static struct lookalike *look;
static struct arena *arena;

static int setup(void **state)
{
	const char *error = NULL;

	(void)state;
	arena = arena_new();
	look = lookalike_new(&error);
	return look != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	lookalike_free(look);
	arena_free(arena);
	return 0;
}

static const char *skeleton(const char *text)
{
	struct slice s = check_heap(text, strlen(text));
	const char *ret = lookalike_skeleton(look, arena, s);

	free(unconst(s.p));
	return ret;
}

static const char *bare(const char *text)
{
	return lookalike_bare(arena, skeleton(text));
}

static void test_skeleton(void **state)
{
	static const struct {
		const char *x, *y;
		bool same;
	} rows[] = {
		{"example", "example", true},
		{"example", "ex\u0430mple", true}, /* Cyrillic a */
		{"example", "examp1e", true},
		{"example", "exampIe", true},
		{"example", "EXAMPLE", true},
		{"example", "exarnple", true},
		{"example", "e\u200bxample", true}, /* zero width space */
		{"example", "\u202eexample", true}, /* right to left */
		{"example", "\uff45xample", true},  /* full width */
		{"google", "g00gle", true},
		{"\u00fc", "u\u0308", true}, /* NFD */
		{"example", "exanple", false},
		{"example", "ex\u00e4mple", false},
		{"example", "ex4mple", false},
		{"", "x", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if ((strcmp(skeleton(rows[i].x), skeleton(rows[i].y)) == 0) !=
		    rows[i].same)
			fail_msg("%s and %s: %s, %s", rows[i].x, rows[i].y,
				 skeleton(rows[i].x), skeleton(rows[i].y));
	assert_string_equal(skeleton(""), "");
	/* of a skeleton it is itself */
	assert_string_equal(skeleton(skeleton("Modern 0ne")),
			    skeleton("Modern 0ne"));
	assert_string_equal(bare("ex\u00e4mple"), bare("example"));
	assert_string_equal(bare("3x4mpl3"), bare("example"));
	assert_string_equal(bare("vvater"), bare("water"));
	assert_string_equal(bare("vvv"), "wv");
	assert_string_equal(bare("\u65e5\u672c"), "\u65e5\u672c");
}

static void test_compare(void **state)
{
	static const struct {
		const char *x, *y;
		enum lookalike_edit want;
	} rows[] = {
		{"abc", "abc", LOOKALIKE_FAR},
		{"", "", LOOKALIKE_FAR},
		{"", "a", LOOKALIKE_NEAR},
		{"a", "b", LOOKALIKE_NEAR},
		{"abc", "abd", LOOKALIKE_NEAR},
		{"abc", "xbc", LOOKALIKE_NEAR},
		{"abc", "ab", LOOKALIKE_NEAR},
		{"abc", "bc", LOOKALIKE_NEAR},
		{"abc", "ac", LOOKALIKE_NEAR},
		{"abc", "bac", LOOKALIKE_SLIP},
		{"abc", "acb", LOOKALIKE_SLIP},
		{"ab", "ba", LOOKALIKE_SLIP},
		{"aab", "ab", LOOKALIKE_SLIP},
		{"abb", "ab", LOOKALIKE_SLIP},
		{"aba", "ab", LOOKALIKE_NEAR},
		{"abc", "cba", LOOKALIKE_FAR},
		{"abc", "bca", LOOKALIKE_FAR},
		{"abc", "abcde", LOOKALIKE_FAR},
		{"abc", "axyc", LOOKALIKE_FAR},
		{"abcd", "badc", LOOKALIKE_FAR},
		{"ab", "cd", LOOKALIKE_FAR},
		{"m\u00fcl", "mul", LOOKALIKE_NEAR},
		{"m\u00fcl", "ml", LOOKALIKE_NEAR},
		{"m\u00fcl", "m\u00e4l", LOOKALIKE_NEAR},
		{"\u00fcm", "m\u00fc", LOOKALIKE_SLIP},
		{"\u00fc\u00fc", "\u00fc", LOOKALIKE_SLIP},
		{"\U0001f600", "x", LOOKALIKE_NEAR},
		{"\U0001f600", "", LOOKALIKE_NEAR},
		{"m\u00fcl", "xy", LOOKALIKE_FAR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (lookalike_compare(rows[i].x, rows[i].y) != rows[i].want ||
		    lookalike_compare(rows[i].y, rows[i].x) != rows[i].want)
			fail_msg("%s and %s", rows[i].x, rows[i].y);
	assert_int_equal(lookalike_length("m\u00fcl\U0001f600"), 4);
	assert_int_equal(lookalike_length(""), 0);
}

static void test_charsets(void **state)
{
	static const struct {
		const char *charset, *bytes, *want; /* NULL: unknown */
	} rows[] = {
		{"iso-8859-1", "M\xf6ller", "M\u00f6ller"},
		{"ISO-8859-1", "M\xf6ller", "M\u00f6ller"},
		{"windows-1252", "\x80", "\u20ac"},
		{"koi8-r", "\xe9", "\u0418"},
		{"iso-2022-jp", "\x1b$BF|\x1b(B", "\u65e5"},
		{"shift_jis", "\x93\xfa", "\u65e5"},
		{"gb18030", "\xc8\xd5", "\u65e5"},
		{"utf-7", "+ZeU-", "\u65e5"},
		{"utf-8", "\xff", "\ufffd"},
		{"none-such", "x", NULL},
		{"", "x", NULL},
		{"../../../etc/passwd", "x", NULL},
		{"/etc/passwd", "x", NULL},
		{"utf-8,swaplfnl", "x", NULL},
		{"utf-8\n", "x", NULL},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "x",
		 NULL},
	};
	struct slice got;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool known =
			lookalike_decode(look, arena, slice_of(rows[i].charset),
					 slice_of(rows[i].bytes), &got);
		if (known != (rows[i].want != NULL))
			fail_msg("%s: %d", rows[i].charset, known);
		if (known)
			check_slice(got, rows[i].want);
	}
}

static void test_words(void **state)
{
	/* RFC 2047 8 and what mail programs take besides */
	static const char *const rows[][2] = {
		{"plain", "plain"},
		{"", ""},
		{"a  b\tc", "a  b c"},
		{"a\r\n b", "a b"},
		{"a\n\tb", "a b"},
		{"(=?ISO-8859-1?Q?a?=)", "(a)"},
		{"=?ISO-8859-1?Q?a?= b", "a b"},
		{"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
		{"=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?b?=", "ab"},
		{"=?ISO-8859-1?Q?a_b?=", "a b"},
		{"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"},
		{"=?iso-8859-1?q?M=F6ller?=", "M\u00f6ller"},
		{"=?utf-8?b?TcO2bGxlcg==?=", "M\u00f6ller"},
		{"=?utf-8*de?b?TcO2bGxlcg==?=", "M\u00f6ller"}, /* RFC 2231 5 */
		{"=?utf-8?B?TcO2bGxlcg?=", "M\u00f6ller"},
		{"=?utf-8?B?TcO2\tbGxl cg?=", "M\u00f6ller"},
		{"=?utf-8?q?M=C3?= =?utf-8?q?=B6ller?=", "M\u00f6ller"},
		{"=?iso-2022-jp?b?GyRCRnwbKEI=?=", "\u65e5"},
		{"=?gb18030?q?=C8?= =?GB18030?q?=D5?=", "\u65e5"},
		{"=?utf-8?b?SmFuZ?=", "Jan"},
		{"=?x?q?=C3=B6?=", "\u00f6"}, /* unknown: as it is */
		{"a=?utf-8?q?b?=c", "abc"},
		{"=?utf-8?q?a=0D=0Ab=00c?=", "a  b c"},
		/* no encoded-words */
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?utf-8?q?a", "=?utf-8?q?a"},
		{"=?utf-8?q?a?", "=?utf-8?q?a?"},
		{"=?utf-8?q", "=?utf-8?q"},
		{"=?", "=?"},
		{"=", "="},
		{"=?utf-8?q?a=?=", "a="},
		{"=?utf-8?q?a=4?=", "a=4"},
		{"=?utf-8?q?a=4x?=", "a=4x"},
		{"=?utf-8?b?Y?= x", " x"},
		{"=?utf-8?q?"
		 "?=",
		 ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice s = check_heap(rows[i][0], strlen(rows[i][0]));
		check_slice(words_decode(look, arena, s), rows[i][1]);
		free(unconst(s.p));
	}
}

static void test_display(void **state)
{
	static const char *const rows[][2] = {
		{"Jane Doe", "Jane Doe"},
		{"\"Doe, Jane\"", "Doe, Jane"},
		{"\"a \\\"b\\\" \\\\c\"", "a \"b\" \\c"},
		{"Jane (a (b) \\) \"c) Doe", "Jane  Doe"},
		{"\"Jane (a) Doe\"", "Jane (a) Doe"},
		{"\"=?utf-8?q?Jane?=\" Doe", "Jane Doe"}, /* against 5 (3) */
		{"\"a\"", "a"},
		{"\"\"", ""},
		{"\"a", "a"},
		{"\"a\\", "a\\"},
		{"(a", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice s = check_heap(rows[i][0], strlen(rows[i][0]));
		check_slice(words_display(look, arena, s), rows[i][1]);
		free(unconst(s.p));
	}
}

/* `n` bytes of `text`, over and over. */
static struct slice many(const char *text, size_t n)
{
	char *p = malloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = text[i % strlen(text)];
	return (struct slice){p, n};
}

/* What is long, broken or made to be dear is cut, and takes no long time: the
 * test driver ends a test that does not end. */
static void test_hostile(void **state)
{
	static const char *const texts[] = {
		"x",
		"\xff\xfe\xc3",
		"\xed\xa0\x80",
		"\ufdfa", /* NFKC makes 18 of it */
		"\u202e\u2066\u200b",
		"a\u0308",
		"\u0308",
		" ",
		"=?",
		"=?a?b?",
		"=?utf-8?q?=?=",
		"=?utf-8?b?/v7+?= ",
		"=?utf-7?q?+AAA?= ",
		"=?koi8-r?q?=E9?= =?koi8-u?q?=E9?= ",
		"=?none?q?x?= =?nine?q?x?= ",
		"=?iso-2022-jp?q?=1B$B?= ",
		"\"(\\",
		"((((",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct arena *a = arena_new();
		struct slice s = many(texts[i], 65536), shown;
		const char *text;

		text = lookalike_skeleton(look, a, s);
		(void)lookalike_bare(a, text);
		(void)lookalike_length(text);
		(void)lookalike_compare(text, lookalike_bare(a, text));
		shown = words_decode(look, a, s);
		if (i == 0)
			assert_int_equal(shown.n, LOOKALIKE_TEXT_MAX);
		assert_true(shown.n <= 4 * LOOKALIKE_TEXT_MAX);
		text = lookalike_skeleton(look, a, shown);
		shown = words_display(look, a, s);
		assert_true(shown.n <= 4 * LOOKALIKE_TEXT_MAX);
		if (arena_used(a) > 8000000)
			fail_msg("%s: %zu bytes", texts[i], arena_used(a));
		free(unconst(s.p));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_skeleton), cmocka_unit_test(test_compare),
		cmocka_unit_test(test_charsets), cmocka_unit_test(test_words),
		cmocka_unit_test(test_display),	 cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
