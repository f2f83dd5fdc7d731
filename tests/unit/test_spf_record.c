/*
 * SPF record syntax: RFC 7208 4.5, 4.6, 5, 6, 12 (SPF-12, 13, 22, 23).
 */
#include "check.h"

#include "spf/record.h"

static bool parses(const char *text)
{
	struct slice s = check_heap(text, strlen(text));
	struct spf_record r;
	bool ok = spf_record_parse(s, &r);

	free(unconst(s.p));
	return ok;
}

static void test_selection(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} t[] = {
		{"v=spf1", true},	 {"v=spf1 -all", true},
		{"V=SPF1 -all", true},	 {"v=spf10", false},
		{"v=spf1\t-all", false}, {" v=spf1", false},
		{"v=spf", false},	 {"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct slice s = check_heap(t[i].text, strlen(t[i].text));
		assert_int_equal(spf_record_is(s), t[i].is);
		free(unconst(s.p));
	}
}

static void test_valid(void **state)
{
	static const char *const t[] = {
		"v=spf1",
		"v=spf1 ",
		"v=spf1   a   -all  ",
		"v=spf1 A MX PTR ALL",
		"v=spf1 +a -mx ~ptr ?all",
		"v=spf1 a/24 a//64 a/0//0 a/32//128",
		"v=spf1 a:example.org/24//64 mx:example.org.//1",
		"v=spf1 a:foo:bar/baz.example.org",
		"v=spf1 ip4:192.0.2.0/24 ip4:0.0.0.0/0",
		"v=spf1 ip6:2001:db8::/32 ip6:::ffff:192.0.2.1/96",
		"v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d}",
		"v=spf1 include:example.org redirect=other.example",
		"v=spf1 exp=%{d} -all",
		"v=spf1 moo.cow-far_out=man:dog/cat default=+", /* class G */
		"v=spf1 a:museum.123a ptr:example.org",
		"v=spf1 ip4=192.0.2.1", /* an unknown modifier */
		"v=spf1 a:%{d999999999999999999999}",
		"v=spf1 all= include=", /* empty unknown modifiers */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (!parses(t[i]))
			fail_msg("refused: %s", t[i]);
}

/* Classes A and D of what libspf2 lets through. */
static void test_invalid(void **state)
{
	static const char *const t[] = {
		"v=spf1 all:",
		"v=spf1 all/8",
		"v=spf1 all.",
		"v=spf1 a:",
		"v=spf1 a:/24",
		"v=spf1 a/33",
		"v=spf1 a//129",
		"v=spf1 a/032",
		"v=spf1 a/",
		"v=spf1 a//",
		"v=spf1 a/24/64",
		"v=spf1 a///64",
		"v=spf1 a/4294967040",
		"v=spf1 a:example",
		"v=spf1 a:example.",
		"v=spf1 a:111.222.33.44",
		"v=spf1 a:example.-com",
		"v=spf1 a:example.com-",
		"v=spf1 a:example..",
		"v=spf1 a.example.org",
		"v=spf1 mx:",
		"v=spf1 mx:example.9",
		"v=spf1 mx/99",
		"v=spf1 ptr/0",
		"v=spf1 ptr:",
		"v=spf1 ptr:example.org/24",
		"v=spf1 exists",
		"v=spf1 exists:",
		"v=spf1 include",
		"v=spf1 exists:example.org/24",
		"v=spf1 include:",
		"v=spf1 ip4",
		"v=spf1 ip4:",
		"v=spf1 ip4:1.2.3",
		"v=spf1 ip4:1.2.3.4:25",
		"v=spf1 ip4:1.2.3.4//32",
		"v=spf1 ip4:1.2.3.4/33",
		"v=spf1 ip4:1.2.3.4/032",
		"v=spf1 ip4:01.2.3.4",
		"v=spf1 ip4:1.2.3.256",
		"v=spf1 ip4:1.2.3.4/",
		"v=spf1 ip6",
		"v=spf1 ip6:::1/129",
		"v=spf1 ip6:::1//64",
		"v=spf1 ip6:1:2",
		"v=spf1 ip6:::g",
		"v=spf1 ip6:fe80::1%eth0",
		"v=spf1 unknown",
		"v=spf1 -=x",
		"v=spf1 =x",
		"v=spf1 redirect=",
		"v=spf1 redirect:example.org",
		"v=spf1 -redirect=example.org",
		"v=spf1 exp=",
		"v=spf1 exp=a.example exp=b.example",
		"v=spf1 redirect=a.example redirect=b.example",
		"v=spf1 exp=-all",
		"v=spf1 foo=%abc",
		"v=spf1 1up=foo",
		"v=spf1 a:%(d).example.org",
		"v=spf1 a:%{d",
		"v=spf1 a:%{d0}",
		"v=spf1 a:%{d00}",
		"v=spf1 a:%{z}",
		"v=spf1 a:%{c}",
		"v=spf1 a:%{r}",
		"v=spf1 a:%{t}",
		"v=spf1 a:%",
		"v=spf1 a:%{",
		"v=spf1 a:%{d!}",
		"v=spf1 a:%{d1r2}",
		"v=spf1 a:example.org\t-all",
		"v=spf1 a\r-all",
		"v=spf1 \x80\x61ll",
		"v=spf1 a:ex\xc3.org",
		"v=spf1 -all unknown",
		"v=spf1 --all",
		"v=spf1 -",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (parses(t[i]))
			fail_msg("accepted: %s", t[i]);
}

static void test_nul(void **state)
{
	static const char text[] = "v=spf1 a:example\0.org -all";
	struct slice s = check_heap(text, sizeof(text) - 1);
	struct spf_record r;

	(void)state;
	assert_false(spf_record_parse(s, &r));
	s.n = 7;
	assert_true(spf_record_parse(s, &r));
	free(unconst(s.p));
}

static void test_terms(void **state)
{
	struct slice rest = SLICE(" ~A:x.example/8//9 ip4:1.2.3.4/5 "
				  "redirect=r.example");
	struct spf_term t;
	bool bad;

	(void)state;
	assert_true(spf_record_next(&rest, &t, &bad));
	check_slice(t.text, "~A:x.example/8//9");
	check_slice(t.domain, "x.example");
	assert_int_equal(t.qualifier, SPF_QUALIFIER_SOFTFAIL);
	assert_int_equal(t.kind, SPF_KIND_A);
	assert_int_equal(t.bits4, 8);
	assert_int_equal(t.bits6, 9);
	assert_true(spf_record_next(&rest, &t, &bad));
	assert_int_equal(t.kind, SPF_KIND_IP4);
	assert_int_equal(t.bits4, 5);
	assert_memory_equal(t.addr, "\1\2\3\4", 4);
	assert_true(spf_record_next(&rest, &t, &bad));
	assert_int_equal(t.kind, SPF_KIND_REDIRECT);
	check_slice(t.domain, "r.example");
	assert_false(spf_record_next(&rest, &t, &bad));
	assert_false(bad);
}

/* No byte string may do more than be refused: all of them one byte off. */
static void test_mutations(void **state)
{
	static const char text[] =
		"v=spf1 a:%{d1r.-}/24//64 ip6:::1/3 exp=e.%{l} x=%% -all";
	struct spf_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		struct slice s = check_heap(text, sizeof(text) - 1);
		for (int c = 0; c < 256; c++) {
			((char *)unconst(s.p))[i] = (char)c;
			spf_record_parse(s, &r);
		}
		free(unconst(s.p));
		s = check_heap(text, i);
		spf_record_parse(s, &r);
		free(unconst(s.p));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
