/* mail/tagvalue: RFC 6376 3.2, DK-1. */
#include "check.h"

#include "mail/tagvalue.h"

static bool parse(const char *text, size_t n, struct tagvalue_list *l,
		  struct slice *copy)
{
	const char *reason = NULL;
	bool ok;

	*copy = check_heap(text, n);
	ok = tagvalue_parse(*copy, l, &reason);
	if (!ok) {
		assert_non_null(reason);
		assert_int_equal(l->n, 0);
	}
	return ok;
}

static void test_lists(void **state)
{
	static const struct {
		const char *text, *tag, *value;
		size_t n;
	} cases[] = {
		{"v=1", "v", "1", 1},
		{"v=1;", "v", "1", 1},
		{"v=1; ", "v", "1", 1},
		{"v=1;\r\n\t", "v", "1", 1},
		{" v = 1 ; a = b c ", "a", "b c", 2},
		{"v=1;\r\n\th=from :\r\n to;x=", "h", "from :\r\n to", 3},
		{"v=1;\r\n\th=from:to;x=", "x", "", 3},
		{"b=AA==", "b", "AA==", 1},
		{"b==", "b", "=", 1},
		{"i=@a;I=@b", "i", "@a", 2},
		{"i=@a;I=@b", "I", "@b", 2},
		{"a1_b=x", "a1_b", "x", 1},
		/* RFC 8616 5: UTF-8 in values */
		{"d=b\xc3\xbc.example", "d", "b\xc3\xbc.example", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tagvalue_list l;
		struct slice copy, v = {0};

		if (!parse(cases[i].text, strlen(cases[i].text), &l, &copy))
			fail_msg("\"%s\" was refused", cases[i].text);
		assert_int_equal(l.n, cases[i].n);
		assert_true(tagvalue_get(&l, cases[i].tag, &v));
		check_slice(v, cases[i].value);
		free(unconst(copy.p));
	}
}

static void test_refused(void **state)
{
	static const struct slice cases[] = {
		SLICE(""),
		SLICE(" "),
		SLICE(";"),
		SLICE("v"),
		SLICE("=1"),
		SLICE("v=1;;"),
		SLICE(";v=1"),
		SLICE("v=1;;a=b"),
		SLICE("v=1; ;"),
		SLICE("v=1;a"),
		SLICE("1v=1"),
		SLICE("_v=1"),
		SLICE("v-w=1"),
		SLICE("v w=1"),
		SLICE("\xc3\xbc=1"),
		/* RFC 6376 3.2: no duplicates, also with equal values */
		SLICE("v=1;v=1"),
		SLICE("v=1;a=2;v=3"),
		SLICE("v=1;a=2;A=2;a ="),
		/* HP-7 */
		SLICE("v=1\0"),
		SLICE("v=1\x7f"),
		SLICE("v=a\x01z"),
		SLICE("v=a\rz"),
		SLICE("v=a\nz"),
		SLICE("v=a\r\nz"),
		SLICE("v=a\r\n"),
		SLICE("v=a\r"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tagvalue_list l;
		struct slice copy;

		if (parse(cases[i].p, cases[i].n, &l, &copy))
			fail_msg("\"%s\" was accepted", cases[i].p);
		free(unconst(copy.p));
	}
}

static void test_no_bytes(void **state)
{
	struct tagvalue_list l;
	const char *reason = NULL;

	(void)state;
	assert_false(tagvalue_parse((struct slice){NULL, 0}, &l, &reason));
	assert_non_null(reason);
}

static void test_absent(void **state)
{
	struct tagvalue_list l;
	struct slice copy, v = SLICE("untouched");

	(void)state;
	assert_true(parse("d=x", 3, &l, &copy));
	assert_false(tagvalue_get(&l, "D", &v));
	assert_false(tagvalue_get(&l, "", &v));
	check_slice(v, "untouched");
	free(unconst(copy.p));
}

static void test_too_many(void **state)
{
	for (size_t n = TAGVALUE_MAX; n <= TAGVALUE_MAX + 1; n++) {
		struct arena *a = arena_new();
		struct tagvalue_list l;
		struct slice copy;
		struct strbuf b;
		const char *text;

		strbuf_init(&b, a, 4096);
		for (size_t i = 0; i < n; i++)
			strbuf_printf(&b, "t%zu=%zu;", i, i);
		text = strbuf_cstr(&b);
		assert_int_equal(parse(text, strlen(text), &l, &copy),
				 n == TAGVALUE_MAX);
		free(unconst(copy.p));
		arena_free(a);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),	 cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_bytes), cmocka_unit_test(test_absent),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
