/* mail/reply.c: what may be said to an SMTP client. */
#include "check.h"

#include "mail/reply.h"

static const struct template_row {
	const char *text;
	bool ok;
} templates[] = {
	{"Refused", true},
	{"{domain} {rule} {queue_id}", true},
	{"one\ntwo\nthree\nfour\nfive", true},
	{"one\ntwo\nthree\nfour\nfive\nsix", false},
	{"", false},
	{"one\n", false},
	{"one\n\nthree", false},
	{"100%", false},
	{"caf\xc3\xa9", false},
	{"a\tb", false},
	{"a\rb", false},
	{"{password}", false},
	{"{", false},
	{"a } b", true},
	{"{domain", false},
};

static void test_templates(void **state)
{
	char line[REPLY_LINE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++)
		if (reply_template_ok(templates[i].text) != templates[i].ok)
			fail_msg("%s", templates[i].text);
	memset(line, 'x', sizeof(line));
	line[REPLY_LINE_MAX] = '\0';
	assert_true(reply_template_ok(line));
	line[REPLY_LINE_MAX] = 'x';
	line[REPLY_LINE_MAX + 1] = '\0';
	assert_false(reply_template_ok(line));
}

static void test_fill(void **state)
{
	struct arena *a = arena_new();
	struct reply_fields f = {"example.com", "spf", SLICE("4Tx")};
	char fields[REPLY_LINE_MAX + 1] = "";

	(void)state;
	assert_string_equal(
		reply_fill(a, "{domain}: {rule}\n{queue_id}{queue_id}", &f),
		"example.com: spf\n4Tx4Tx");
	/* of a wire text only what is plain */
	f = (struct reply_fields){NULL, "spf", SLICE("4T\r\n250")};
	assert_string_equal(reply_fill(a, "{domain} {queue_id}", &f),
			    "unknown unknown");
	f.queue_id = SLICE("");
	assert_string_equal(reply_fill(a, "{queue_id}", &f), "unknown");
	/* a line is cut, not the reply */
	for (size_t i = 0; i + 9 <= REPLY_LINE_MAX; i += 8)
		memcpy(fields + i, "{domain}", 9);
	f.domain = "a-domain-of-forty-octets.example.com.test";
	assert_int_equal(strlen(reply_fill(a, fields, &f)), SMTP_REPLY_MAX);
	arena_free(a);
}

static void test_text(void **state)
{
	struct arena *a = arena_new();
	char *big = arena_alloc(a, 501);

	(void)state;
	memset(big, 'x', 500);
	assert_string_equal(reply_text(a, "No", ""), "No");
	assert_string_equal(reply_text(a, "No", "Ask"), "No. Ask");
	assert_int_equal(strlen(reply_text(a, big, "Ask")), SMTP_REPLY_MAX);
	assert_string_equal(reply_address(a, SLICE("bob"), "example.com"),
			    "bob@example.com");
	assert_string_equal(reply_address(a, SLICE("a b"), "example.com"),
			    "...@example.com");
	assert_string_equal(reply_login(a, SLICE("bob")), "login bob");
	assert_string_equal(reply_login(a, SLICE("b%s")), "this login");
	assert_string_equal(reply_login(a, (struct slice){big, 500}),
			    "this login");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
