/* gate/revoked.c: logins that are revoked by hand. */
#include "check.h"

#include "gate/revoked.h"

static struct revoked_list *read_list(struct arena *a, const char *text,
				      bool strip, const char **err)
{
	struct slice heap = check_heap(text, strlen(text));
	struct revoked_list *l;

	*err = "";
	l = revoked_list_read(a, heap, "revoked", strip, err);
	free(unconst(heap.p)); /* nothing of it is needed */
	return l;
}

static void test_has(void **state)
{
	static const struct {
		const char *text, *login;
		bool strip, has;
	} rows[] = {
		{"", "shop", false, false},
		{"shop\n", "shop", false, true},
		{"shop", "SHOP", false, true}, /* without a line end */
		{"\n\nSHOP\n\n", "shop", false, true},
		{"shop\n", "shop2", false, false},
		{"shop2\n", "shop", false, false},
		{"shop\n", "", false, false},
		{"a\nb\nc\n", "b", false, true},
		{"a\nb\nc\n", "a\nb", false, false},
		{"shop@x\n", "shop", false, false},
		{"shop@x\n", "shop@X", false, true},
		{"shop@x\n", "shop@y", true, true},
		{"shop\n", "shop@y", true, true},
		{"shop\n", "shop@y", false, false},
		{"shop\n", "@y", true, false},
		{"#shop\n", "shop", false, false}, /* there are no comments */
		{"#shop\n", "#shop", false, true},
		{"J\xc3\xbcrgen\n", "j\xc3\xbcrgen", false, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct arena *a = arena_new();
		struct slice login =
			check_heap(rows[i].login, strlen(rows[i].login));
		const char *err;
		struct revoked_list *l =
			read_list(a, rows[i].text, rows[i].strip, &err);

		assert_string_equal(err, "");
		if (revoked_list_has(l, login) != rows[i].has)
			fail_msg("row %zu", i);
		free(unconst(login.p));
		revoked_list_free(l);
		arena_free(a);
	}
}

static void test_faults(void **state)
{
	static const struct {
		const char *text, *err;
		bool strip;
	} rows[] = {
		{"a\nb c\n",
		 "revoked:2: the login has a space or a control character; "
		 "remove the line",
		 false},
		{" a\n",
		 "revoked:1: the login has a space or a control character; "
		 "remove the line",
		 false},
		{"a\r\n",
		 "revoked:1: the login has a space or a control character; "
		 "remove the line",
		 false},
		{"\n\x7f",
		 "revoked:2: the login has a space or a control character; "
		 "remove the line",
		 false},
		{"@x\n",
		 "revoked:1: the login is nothing without its realm; remove "
		 "the line",
		 true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct arena *a = arena_new();
		const char *err;

		assert_null(read_list(a, rows[i].text, rows[i].strip, &err));
		assert_string_equal(err, rows[i].err);
		arena_free(a);
	}
}

static void test_limits(void **state)
{
	struct arena *a = arena_new();
	struct revoked_list *l;
	struct strbuf b;
	const char *err;
	char *text;

	(void)state;
	strbuf_init(&b, a, 1 << 20);
	for (int i = 0; i < REVOKED_MAX; i++)
		strbuf_printf(&b, "u%d\n", i);
	l = read_list(a, strbuf_cstr(&b), false, &err);
	assert_non_null(l);
	assert_int_equal(revoked_list_size(l), REVOKED_MAX);
	check_slice(revoked_list_login(l, 9999), "u9999");
	assert_true(revoked_list_has(l, SLICE("u9999")));
	assert_false(revoked_list_has(l, SLICE("u10000")));
	revoked_list_free(l);
	strbuf_adds(&b, "\n\nmore\n");
	assert_null(read_list(a, strbuf_cstr(&b), false, &err));
	assert_string_equal(err,
			    "revoked:10003: the login is one more than the "
			    "10000 that there may be; remove the line");
	text = arena_alloc(a, REVOKED_LOGIN_MAX + 2);
	memset(text, 'x', REVOKED_LOGIN_MAX);
	assert_null(revoked_objection(slice_of(text), false));
	l = read_list(a, text, false, &err);
	assert_true(revoked_list_has(l, slice_of(text)));
	revoked_list_free(l);
	text[REVOKED_LOGIN_MAX] = 'x';
	assert_string_equal(revoked_objection(slice_of(text), false),
			    "is longer than 1024 bytes");
	assert_string_equal(revoked_objection(SLICE(""), false), "is empty");
	assert_string_equal(revoked_objection(SLICE("a\0b"), false),
			    "has a space or a control character");
	assert_null(revoked_objection(SLICE("@x"), false));
	arena_free(a);
}

static void test_write(void **state)
{
	struct arena *a = arena_new();
	const char *err;
	struct revoked_list *l =
		read_list(a, "b@x\n\nA\nB@y\nbb\n", true, &err);
	struct strbuf with, without;

	(void)state;
	strbuf_init(&with, a, 1000);
	strbuf_init(&without, a, 1000);
	revoked_list_with(l, SLICE("c@z"), &with);
	assert_string_equal(strbuf_cstr(&with), "b@x\nA\nB@y\nbb\nc@z\n");
	revoked_list_without(l, SLICE("b"), &without);
	assert_string_equal(strbuf_cstr(&without), "A\nbb\n");
	revoked_list_free(l);
	arena_free(a);
}

static void test_replies(void **state)
{
	struct arena *a = arena_new();
	const struct gate_facts f = {.login = SLICE("shop")};
	struct gate_fault fault;

	(void)state;
	revoked_refuse(a, &f, "Ask IT", &fault);
	assert_string_equal(fault.log, "revoked");
	assert_string_equal(fault.reply.code, "550");
	assert_string_equal(fault.reply.enhanced, "5.7.8");
	assert_string_equal(fault.reply.text, "The credential of login shop is "
					      "revoked. Ask IT");
	revoked_unknown(a, &f, &fault);
	assert_string_equal(fault.reply.code, "451");
	assert_string_equal(fault.reply.enhanced, "4.3.0");
	assert_string_equal(fault.reply.text,
			    "Whether the credential of login shop is revoked "
			    "cannot be told, try again later");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has),	cmocka_unit_test(test_faults),
		cmocka_unit_test(test_limits),	cmocka_unit_test(test_write),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
