/*
 * SPF macros: RFC 7208 section 7 (examples of 7.4), RFC 8616 section 4.
 */
#include "check.h"

#include "spf/macro.h"

static const char *validated(void *arg, const char *domain)
{
	(void)arg;
	(void)domain;
	return "mx.example.org";
}

static struct spf_macro_env env_of(const char *ip)
{
	struct spf_macro_env e = {
		.local = SLICE("strong-bad"),
		.sender = "email.example.com",
		.domain = "email.example.com",
		.helo = SLICE("helo.example"),
		.receiver = "mx.receiver.example",
		.now = 1234567890,
		.validated = validated,
	};

	assert_true(ip_parse(slice_of(ip), &e.client));
	return e;
}

struct expansion {
	const char *spec;
	const char *name;
};

static void check_names(const struct spf_macro_env *e,
			const struct expansion *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena *a = arena_new();
		struct slice s = check_heap(t[i].spec, strlen(t[i].spec));
		bool unmatched;
		const char *got = spf_macro_domain(a, e, s, &unmatched);

		free(unconst(s.p));
		assert_false(unmatched);
		if (t[i].name == NULL)
			assert_null(got);
		else
			assert_string_equal(got, t[i].name);
		arena_free(a);
	}
}

static void test_names(void **state)
{
	static const struct expansion t[] = {
		{"%{s}", "strong-bad@email.example.com"},
		{"%{o}", "email.example.com"},
		{"%{d}", "email.example.com"},
		{"%{d4}", "email.example.com"}, /* libspf2 loses a letter */
		{"%{d3}", "email.example.com"},
		{"%{d2}", "example.com"},
		{"%{d1}", "com"},
		{"%{d200}", "email.example.com"},
		{"%{d99999999999999999999}", "email.example.com"},
		{"%{dr}", "com.example.email"},
		{"%{d2r}", "example.email"},
		{"%{D2R}", "example.email"},
		{"%{l}", "strong-bad"},
		{"%{l-}", "strong.bad"},
		{"%{lr}", "strong-bad"},
		{"%{lr-}", "bad.strong"},
		{"%{l1r-}", "strong"},
		{"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}",
		 "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
		{"%{p}.x", "mx.example.org.x"},
		{"%{h}.", "helo.example"},
		{"macro%%percent%_%_space%-url-space.example.com",
		 "macro%percent  space%20url-space.example.com"},
		{"%{S}.x", "strong-bad%40email.example.com.x"},
		{"a.example.", "a.example"},
	};
	struct spf_macro_env e = env_of("192.0.2.3");

	(void)state;
	check_names(&e, t, sizeof(t) / sizeof(t[0]));
}

static void test_ipv6(void **state)
{
	static const struct expansion t[] = {
		{"%{ir}.%{v}._spf.%{d2}",
		 "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0."
		 "0.2.ip6._spf.example.com"},
	};
	struct spf_macro_env e = env_of("2001:db8::cb01");

	(void)state;
	check_names(&e, t, 1);
}

/* 7.3: over 253 the left labels go; growth is bounded whatever it says. */
static void test_long(void **state)
{
	struct spf_macro_env e = env_of("192.0.2.3");
	struct arena *a = arena_new();
	struct strbuf b;
	const char *got;
	bool unmatched;

	(void)state;
	strbuf_init(&b, a, 1 << 16);
	for (int i = 0; i < 100; i++)
		strbuf_adds(&b, "%{d}.");
	got = spf_macro_domain(a, &e, strbuf_slice(&b), &unmatched);
	assert_non_null(got);
	assert_true(strlen(got) <= 253 && strlen(got) > 240);
	assert_string_equal(got + strlen(got) - 18, ".email.example.com");
	for (int i = 0; i < 9000; i++)
		strbuf_adds(&b, "%{s5r-}");
	assert_null(spf_macro_domain(a, &e, strbuf_slice(&b), &unmatched));
	assert_true(arena_used(a) < 4 << 20);
	/* nothing, a NUL, one label that is too long */
	e.local = SLICE("");
	assert_null(spf_macro_domain(a, &e, SLICE("%{l}"), &unmatched));
	e.local = SLICE("a\0b");
	assert_null(spf_macro_domain(a, &e, SLICE("%{l}.x"), &unmatched));
	e.helo.n = 1000;
	e.helo.p = memset(arena_alloc(a, 1000), 'x', 1000);
	assert_null(spf_macro_domain(a, &e, SLICE("%{h}"), &unmatched));
	arena_free(a);
}

/* RFC 8616 4 (SPF-5) */
static void test_non_ascii_local(void **state)
{
	struct spf_macro_env e = env_of("192.0.2.3");
	struct arena *a = arena_new();
	bool unmatched;

	(void)state;
	e.local = SLICE("j\xc3\xb6rg");
	assert_null(spf_macro_domain(a, &e, SLICE("%{l}.x"), &unmatched));
	assert_true(unmatched);
	assert_null(spf_macro_domain(a, &e, SLICE("%{S}.x"), &unmatched));
	assert_true(unmatched);
	assert_string_equal(spf_macro_domain(a, &e, SLICE("%{o}"), &unmatched),
			    "email.example.com");
	assert_false(unmatched);
	arena_free(a);
}

/* 6.2, 11.5.2 (SPF-25), class H */
static void test_explanation(void **state)
{
	static const struct expansion t[] = {
		{"See me.", "See me."},
		{"%{c} is %{i} at %{t} by %{r}",
		 "192.0.2.3 is 192.0.2.3 at 1234567890 by mx.receiver.example"},
		{"100%%%_%-", "100% %20"},
		{"http://x.example/?l=%{L}&h=%{H}",
		 "http://x.example/?l=a%26b%3Dc~&h=evil%0D%0A.example"},
		{"%{h}", "evil??.example"},
		{"The %{x}-files.", NULL},
		{"100%", NULL},
		{"\xef\xbb\xbfText", NULL},
		{"a\r\nb", NULL},
		{"a\tb", NULL},
		{"", NULL},
	};
	struct spf_macro_env e = env_of("192.0.2.3");

	(void)state;
	e.local = SLICE("a&b=c~");
	e.helo = SLICE("evil\r\n.example");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct arena *a = arena_new();
		struct slice s = check_heap(t[i].spec, strlen(t[i].spec));
		const char *got = spf_macro_explanation(a, &e, s);

		if (t[i].name == NULL)
			assert_null(got);
		else
			assert_string_equal(got, t[i].name);
		free(unconst(s.p));
		arena_free(a);
	}
}

static void test_explanation_bound(void **state)
{
	struct spf_macro_env e = env_of("192.0.2.3");
	struct arena *a = arena_new();
	struct strbuf b;
	const char *got;

	(void)state;
	strbuf_init(&b, a, 1 << 16);
	while (!b.overflow)
		strbuf_adds(&b, "%{S} is ");
	got = spf_macro_explanation(a, &e, strbuf_slice(&b));
	assert_non_null(got);
	assert_int_equal(strlen(got), SPF_EXPLANATION_MAX);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_non_ascii_local),
		cmocka_unit_test(test_explanation),
		cmocka_unit_test(test_explanation_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
