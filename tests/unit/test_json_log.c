/*
 * Lines as JSON: whatever comes over the wire, a line is one valid object of
 * printable ASCII that fits.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "control/json_log.h"

static json_t *line(const struct log_fields *f)
{
	const struct log_record r = {LOG_LEVEL_INFO, LOG_EVENT_MESSAGE,
				     1795478400123, f};
	char buf[LOG_LINE_MAX];
	size_t n = json_log_line(&r, buf);
	json_t *ret;

	assert_true(n > 0 && n < LOG_LINE_MAX);
	for (size_t i = 0; i < n; i++)
		assert_true(buf[i] >= ' ' && buf[i] <= '~');
	ret = json_loadb(buf, n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(ret);
	return ret;
}

static const char *text_at(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void test_form(void **state)
{
	struct arena *a = arena_new();
	struct log_fields f;
	json_t *o;

	(void)state;
	log_fields_init(&f, a);
	log_string(&f, "", "s", "a\"\\\n", "");
	log_number(&f, "", "n", INT64_MIN, "");
	log_list(&f, "", "list");
	log_mark(&f, "none");
	log_end(&f, "");
	o = line(&f);
	assert_string_equal(text_at(o, "time"), "2026-11-24T00:00:00.123Z");
	assert_string_equal(text_at(o, "level"), "info");
	assert_string_equal(text_at(o, "event"), "message");
	assert_string_equal(text_at(o, "s"), "a\"\\\n");
	assert_true(json_integer_value(json_object_get(o, "n")) == INT64_MIN);
	assert_int_equal(json_array_size(json_object_get(o, "list")), 0);
	assert_null(json_object_get(o, "cut"));
	json_decref(o);
	arena_free(a);
}

/* RFC 3629 4; what is none is told byte by byte. */
static void test_bytes(void **state)
{
	static const struct {
		struct slice wire;
		const char *want;
	} rows[] = {
		{SLICE("\xc3\xbc \xf0\x9f\x98\x80"),
		 "\xc3\xbc \xf0\x9f\x98\x80"},
		{SLICE("a\0b\x7f"), "a\xef\xbf\xbd"
				    "b\xef\xbf\xbd"},
		{SLICE("\xff\xc3"), "\xef\xbf\xbd\xef\xbf\xbd"},
		/* overlong, a surrogate, past U+10FFFF */
		{SLICE("\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd"},
		{SLICE("\xe0\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{SLICE("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{SLICE("\xf4\x90\x80\x80"),
		 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice heap = check_heap(rows[i].wire.p, rows[i].wire.n);
		struct log_fields f;
		json_t *o;

		log_fields_init(&f, a);
		log_wire(&f, "", "s", heap, LOG_WORD, 128, "");
		o = line(&f);
		assert_string_equal(text_at(o, "s"), rows[i].want);
		json_decref(o);
		free(unconst(heap.p));
	}
	arena_free(a);
}

static void test_long_values_are_cut(void **state)
{
	struct arena *a = arena_new();
	struct log_fields f;
	char big[6000];
	json_t *o;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_fields_init(&f, a);
	log_wire(&f, "", "s", slice_of(big), LOG_WORD, 10, "");
	log_string(&f, "", "text", big, "");
	log_number(&f, "", "n", 1, "");
	o = line(&f);
	assert_string_equal(text_at(o, "s"), "xxxxxxxxxx...");
	assert_int_equal(strlen(text_at(o, "text")), 2048 + 3);
	assert_int_equal(json_integer_value(json_object_get(o, "n")), 1);
	assert_true(json_is_true(json_object_get(o, "cut")));
	json_decref(o);
	/* each is within its bound, all of them are not */
	log_fields_init(&f, a);
	log_list(&f, "", "list");
	for (int i = 0; i < 1000; i++) {
		log_object(&f, "", NULL);
		log_string(&f, "", "a", big, "");
		log_list(&f, "", "b");
		log_string(&f, "", NULL, "\xff\xff\xff\xff\xff\xff\xff\xff",
			   "");
		log_end(&f, "");
		log_end(&f, "");
	}
	log_end(&f, "");
	log_number(&f, "", "last", 2, "");
	o = line(&f);
	assert_int_equal(json_integer_value(json_object_get(o, "last")), 2);
	assert_true(json_array_size(json_object_get(o, "list")) > 0);
	assert_true(json_is_true(json_object_get(o, "cut")));
	json_decref(o);
	arena_free(a);
}

/* More names than fit, and deeper than is kept. */
static void test_what_never_fits(void **state)
{
	struct arena *a = arena_new();
	struct log_fields f;
	json_t *o;

	(void)state;
	log_fields_init(&f, a);
	for (int i = 0; i < 500; i++)
		log_string(&f, "", arena_printf(a, "name%d", i), "xxxxxxxxx",
			   "");
	o = line(&f);
	assert_int_equal(json_object_size(o), 4);
	assert_string_equal(text_at(o, "event"), "message");
	assert_true(json_is_true(json_object_get(o, "cut")));
	json_decref(o);
	log_fields_init(&f, a);
	for (int i = 0; i < 20; i++)
		log_object(&f, "", "o");
	for (int i = 0; i < 20; i++)
		log_end(&f, "");
	log_end(&f, "");
	log_number(&f, "", "last", 3, "");
	o = line(&f);
	assert_int_equal(json_integer_value(json_object_get(o, "last")), 3);
	json_decref(o);
	arena_free(a);
}

static void test_noise(void **state)
{
	struct arena *a = arena_new();
	unsigned seed = 4711;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct log_fields f;
		char noise[700];

		for (size_t k = 0; k < sizeof(noise); k++) {
			seed = seed * 1103515245u + 12345u;
			noise[k] = (char)(seed >> 16);
		}
		log_fields_init(&f, a);
		for (int k = 0; k < 6; k++)
			log_wire(&f, "", arena_printf(a, "n%d", k),
				 (struct slice){noise + k, sizeof(noise) - 6},
				 LOG_WORD, SIZE_MAX, "");
		json_decref(line(&f));
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_long_values_are_cut),
		cmocka_unit_test(test_what_never_fits),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
