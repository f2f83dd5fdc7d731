/* mail/base64: RFC 4648 4 and 10, with the FWS of RFC 6376 3.2. */
#include "check.h"

#include "mail/base64.h"

/* RFC 4648 10 */
static const struct {
	const char *plain, *coded;
} vectors[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct arena *a = arena_new();
		struct slice plain =
			check_heap(vectors[i].plain, strlen(vectors[i].plain));
		struct slice coded =
			check_heap(vectors[i].coded, strlen(vectors[i].coded));
		struct slice got;

		check_slice(base64_encode(a, plain), vectors[i].coded);
		assert_true(base64_decode(a, coded, &got));
		check_slice(got, vectors[i].plain);
		free(unconst(plain.p));
		free(unconst(coded.p));
		arena_free(a);
	}
}

static void test_all_bytes_and_lengths(void **state)
{
	struct arena *a = arena_new();
	char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 73 + 11);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct slice in = check_heap(bytes, n), got;

		assert_true(base64_decode(a, base64_encode(a, in), &got));
		assert_true(slice_eq(got, in));
		free(unconst(in.p));
	}
	arena_free(a);
}

static void test_white_space(void **state)
{
	static const char *const cases[] = {
		" Zm9v YmFy ",
		"Zm9v\r\n\tYmFy",
		"\tZ m\r\n 9 v Y m F y\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct slice got;

		assert_true(base64_decode(a, slice_of(cases[i]), &got));
		check_slice(got, "foobar");
		arena_free(a);
	}
}

static void test_refused(void **state)
{
	static const struct slice cases[] = {
		SLICE("Z"),
		SLICE("Zg"),
		SLICE("Zg="),
		SLICE("Zg==="),
		SLICE("Zm8=="),
		SLICE("Zm9v="),
		SLICE("Zm9v===="),
		SLICE("="),
		SLICE("===="),
		SLICE("Zg==Zg=="),
		SLICE("Zg==A"),
		SLICE("Zm9v!"),
		SLICE("Zm-_"),
		SLICE("Zm9v\0"),
		SLICE("Zm9\x80"),
		SLICE("Zm9v;"),
		SLICE("Zg=g"),
		SLICE("\"Zm9v\""),
		SLICE("Zm9vY"),
		SLICE("Zm\x0b"
		      "9v"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct slice s = check_heap(cases[i].p, cases[i].n);
		struct slice got = SLICE("untouched");

		if (base64_decode(a, s, &got))
			fail_msg("\"%s\" was decoded", cases[i].p);
		check_slice(got, "untouched");
		free(unconst(s.p));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_bytes_and_lengths),
		cmocka_unit_test(test_white_space),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
