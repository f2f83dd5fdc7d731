/* mail/domain: canonical domains (HP-8, HP-9, HP-12b; RFC 8616 4). */
#include "check.h"

#include "mail/domain.h"

#define L63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define N192 L63 "." L63 "." L63 "."

struct canon_case {
	const char *in, *want; /* NULL: refused */
};

static void run(const struct canon_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena *a = arena_new();
		struct slice s = check_heap(c[i].in, strlen(c[i].in));
		const char *got = domain_canon(a, s);

		if (got == NULL || c[i].want == NULL) {
			if (got != c[i].want)
				fail_msg("\"%s\": got %s, want %s", c[i].in,
					 got != NULL ? got : "refused",
					 c[i].want != NULL ? c[i].want
							   : "refused");
		} else {
			assert_string_equal(got, c[i].want);
		}
		free(unconst(s.p));
		arena_free(a);
	}
}

#define RUN(c) run(c, sizeof(c) / sizeof((c)[0]))

static void test_ascii(void **state)
{
	static const struct canon_case cases[] = {
		{"example.com", "example.com"},
		{"EXAMPLE.Com", "example.com"},
		{"example.com.", "example.com"},
		{"com", "com"},
		{"_dmarc.example.com", "_dmarc.example.com"},
		{"a-b.-c.d-.e_f.com", "a-b.-c.d-.e_f.com"},
		{"1.2.3.4", "1.2.3.4"},
		/* an A-label is kept, also one that does not decode */
		{"XN--bcher-kva.example", "xn--bcher-kva.example"},
		{"xn--a.example", "xn--a.example"},
		{"ab--cd.example", "ab--cd.example"},
		{L63 ".com", L63 ".com"},
	};

	(void)state;
	RUN(cases);
}

/* HP-8, DK-7, SPF-6 */
static void test_refused(void **state)
{
	static const struct canon_case cases[] = {
		{"", NULL},	     {".", NULL},	  {"..", NULL},
		{".com", NULL},	     {"a..com", NULL},	  {"a.com..", NULL},
		{"a b.com", NULL},   {" a.com", NULL},	  {"a.com\t", NULL},
		{"a.com\r\n", NULL}, {"a'b.com", NULL},	  {"a\"b.com", NULL},
		{"a(b.com", NULL},   {"a)b.com", NULL},	  {"a%b.com", NULL},
		{"a@b.com", NULL},   {"a/b.com", NULL},	  {"a\\b.com", NULL},
		{"a;b.com", NULL},   {"a:b.com", NULL},	  {"[1.2.3.4]", NULL},
		{"a\x7f.com", NULL}, {"a\x01.com", NULL}, {L63 "a.com", NULL},
	};

	(void)state;
	RUN(cases);
}

/* RFC 1035 2.3.4: 253 bytes in text form, without the trailing dot. */
static void test_length(void **state)
{
	static const struct canon_case cases[] = {
		{N192 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 N192 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{N192 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.",
		 N192 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{N192 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 NULL},
		/* over the maximum only as A-label */
		{N192 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xbc",
		 NULL},
	};

	(void)state;
	RUN(cases);
}

static void test_nul_is_refused(void **state)
{
	struct arena *a = arena_new();
	struct slice s = check_heap("a.com\0.b", 8);

	(void)state;
	assert_null(domain_canon(a, s));
	assert_null(domain_canon(a, slice_first(s, 6)));
	assert_null(domain_canon(a, (struct slice){NULL, 0}));
	free(unconst(s.p));
	arena_free(a);
}

/* HP-9, RFC 8616 4 */
static void test_u_labels(void **state)
{
	static const struct canon_case cases[] = {
		{"b\xc3\xbc"
		 "cher.example",
		 "xn--bcher-kva.example"},
		{"B\xc3\x9c"
		 "CHER.Example.",
		 "xn--bcher-kva.example"},
		/* u and a combining diaeresis: NFC */
		{"bu\xcc\x88"
		 "cher.example",
		 "xn--bcher-kva.example"},
		{"_dmarc.b\xc3\xbc"
		 "cher.example",
		 "_dmarc.xn--bcher-kva.example"},
		{"xn--a.b\xc3\xbc"
		 "cher.example",
		 "xn--a.xn--bcher-kva.example"},
		/* not transitional: sharp s stays */
		{"fa\xc3\x9f.example", "xn--fa-hia.example"},
		/* a homograph is a domain of its own (Cyrillic a) */
		{"\xd0\xb0pple.example", "xn--pple-43d.example"},
	};

	(void)state;
	RUN(cases);
}

/* HP-8, HP-9, W13, W14: what nobody sees, and what is not UTF-8. */
static void test_bad_utf8_and_invisible(void **state)
{
	static const struct canon_case cases[] = {
		{"legit.com\xe2\x80\x80", NULL}, /* U+2000, B1 */
		{"legit\xe2\x80\x8b.com", NULL}, /* U+200B */
		{"legit\xe2\x80\x8d.com", NULL}, /* U+200D */
		{"\xe2\x80\xaelegit.com", NULL}, /* U+202E */
		{"legit\xe2\x81\xa0.com", NULL}, /* U+2060 */
		{"legit\xe2\x81\xa6.com", NULL}, /* U+2066 */
		{"legit\xe3\x80\x80.com", NULL}, /* U+3000 */
		{"\xef\xbb\xbflegit.com", NULL}, /* U+FEFF */
		{"legit\xc2\xa0.com", NULL},	 /* U+00A0 */
		{"legit\xc2\xad.com", NULL},	 /* U+00AD */
		{"legit\xc2\x85.com", NULL},	 /* U+0085 */
		{"legit\xef\xb8\x8f.com", NULL}, /* U+FE0F */
		{"legit\xcd\x8f.com", NULL},	 /* U+034F */
		{"b\xfc"
		 "cher.example",
		 NULL},
		{"a\xc3", NULL},
		{"a\xe2\x80", NULL},
		{"\xc0\xae.com", NULL},
		{"a\xed\xa0\x80.com", NULL},
		{"a\xf4\x90\x80\x80.com", NULL},
		{"a\x80.com", NULL},
		{"\xef\xbc\x85.com", NULL},  /* U+FF05, maps to "%" */
		{"a\xef\xbc\xa0.com", NULL}, /* U+FF20, maps to "@" */
	};

	(void)state;
	RUN(cases);
}

static void test_labels(void **state)
{
	(void)state;
	assert_int_equal(domain_labels(""), 0);
	assert_int_equal(domain_labels("com"), 1);
	assert_int_equal(domain_labels("a.b.com"), 3);
	assert_string_equal(domain_suffix("a.b.com", 0), "");
	assert_string_equal(domain_suffix("a.b.com", 2), "b.com");
	assert_string_equal(domain_suffix("a.b.com", 3), "a.b.com");
	assert_string_equal(domain_suffix("a.b.com", 9), "a.b.com");
	assert_string_equal(domain_parent("a.b.com"), "b.com");
	assert_string_equal(domain_parent("com"), "");
	assert_string_equal(domain_parent(""), "");
}

/* What is no A-label of IDNA2008 stays. */
static void test_unicode(void **state)
{
	static const char *const rows[][2] = {
		{"example.com", "example.com"},
		{"xn--mller-kva.test", "m\u00fcller.test"},
		{"a.xn--mller-kva.xn--fiqs8s", "a.m\u00fcller.\u4e2d\u56fd"},
		{"xn--.test", "xn--.test"},
		{"xn--a.test", "xn--a.test"},
		{"_dmarc.example.com", "_dmarc.example.com"},
		{"", ""},
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(domain_unicode(a, rows[i][0]), rows[i][1]);
	arena_free(a);
}

static void test_is_under(void **state)
{
	static const struct {
		const char *sub, *domain;
		bool want;
	} cases[] = {
		{"a.com", "a.com", true},    {"b.a.com", "a.com", true},
		{"ba.com", "a.com", false},  {"a.com", "b.a.com", false},
		{"a.com.b", "a.com", false}, {"com", "a.com", false},
		{"a.com", "com", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(domain_is_under(cases[i].sub, cases[i].domain),
				 cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_u_labels),
		cmocka_unit_test(test_bad_utf8_and_invisible),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_unicode),
		cmocka_unit_test(test_is_under),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
