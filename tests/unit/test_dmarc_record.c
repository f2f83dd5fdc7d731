/* dmarc/record.c: RFC 9989 4.7, 4.8; DM-10 to DM-14. */
#include "check.h"

#include <stdio.h>

#include "dmarc/dmarc.h"

#define N DMARC_P_NONE
#define Q DMARC_P_QUARANTINE
#define R DMARC_P_REJECT
#define U DMARC_P_UNSET

static bool parse(const char *text, size_t n, struct dmarc_record *ret)
{
	struct slice s = check_heap(text, n);
	bool ok = dmarc_record_parse(s, ret);

	free(unconst(s.p)); /* callers below look at no slice */
	return ok;
}

/* DM-10: what is a record at all. */
static void test_version(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} rows[] = {
		{"v=DMARC1", true},
		{"v=DMARC1;", true},
		{"v=DMARC1; p=none", true},
		{"v=DMARC1;p=none;", true},
		{"v = DMARC1 ; p = none", true},
		{"v\t=\tDMARC1\t;p=none", true},
		{"", false},
		{"v", false},
		{"v=", false},
		{"v=dmarc1; p=none", false},
		{"V=DMARC1; p=none", false},
		{"v=DMARC1x; p=none", false},
		{"v=DMARC; p=none", false},
		{"v=DMARC1 p=none", false},
		{"v=DMARC 1; p=none", false},
		{"v=DMARC1\r\n; p=none", false},
		{" v=DMARC1; p=none", false},
		{";v=DMARC1; p=none", false},
		{"p=none; v=DMARC1", false},
		{"p=reject", false},
		{"google-site-verification=abc; p=reject", false},
		{"v=spf1 -all", false},
		{"vv=DMARC1", false},
	};
	struct dmarc_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parse(rows[i].text, strlen(rows[i].text), &r) !=
		    rows[i].want)
			fail_msg("\"%s\"", rows[i].text);
	assert_false(parse("v=DMARC1\0", 9, &r));
}

static void test_policies(void **state)
{
	static const struct {
		const char *text; /* after "v=DMARC1;" */
		enum dmarc_policy p, sp, np;
		bool bad, has_rua;
	} rows[] = {
		{"", U, U, U, false, false},
		{"p=none", N, U, U, false, false},
		{" p=Quarantine", Q, U, U, false, false},
		{"p=REJECT;sp=none;np=quarantine", R, N, Q, false, false},
		/* any order (3.5) */
		{"np=reject;sp=none;rua=mailto:a@b.c;p=none", N, N, R, false,
		 true},
		/* DM-14: present but unknown */
		{"p=r", U, U, U, true, false},
		{"p=re ject", U, U, U, true, false},
		{"p=", U, U, U, true, false},
		{"p=reject;sp=bogus", R, U, U, true, false},
		{"p=reject;np=", R, U, U, true, false},
		/* not present at all is not bad */
		{"sp=reject", U, R, U, false, false},
		/* names are case-sensitive (RFC 6376 3.2) */
		{"P=reject", U, U, U, false, false},
		/* the first of two counts */
		{"p=none;p=reject", N, U, U, false, false},
		/* DM-11: unknown and broken tags are passed over */
		{"x=1;;junk;=;p=reject;adkim=z;fo=1:x;ri=a;pct=50%;rf=?", R, U,
		 U, false, false},
		/* DM-13: historic */
		{"p=reject;pct=0", R, U, U, false, false},
	};
	char text[256];
	struct dmarc_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = snprintf(text, sizeof(text), "v=DMARC1;%s",
				 rows[i].text);
		assert_true(parse(text, (size_t)n, &r));
		if (r.p != rows[i].p || r.sp != rows[i].sp ||
		    r.np != rows[i].np || r.bad_policy != rows[i].bad ||
		    r.has_rua != rows[i].has_rua)
			fail_msg("\"%s\": p %d sp %d np %d bad %d rua %d", text,
				 r.p, r.sp, r.np, r.bad_policy, r.has_rua);
	}
}

/* DM-12: y/n and r/s tags, defaults for anything else. */
static void test_switches(void **state)
{
	static const struct {
		const char *text;
		enum dmarc_psd psd;
		bool testing, adkim, aspf;
	} rows[] = {
		{"v=DMARC1", DMARC_PSD_U, false, false, false},
		{"v=DMARC1;psd=y;t=y;adkim=s;aspf=s", DMARC_PSD_Y, true, true,
		 true},
		{"v=DMARC1;psd=N;t=Y;adkim=S;aspf=r", DMARC_PSD_N, true, true,
		 false},
		{"v=DMARC1;psd=u;t=n;adkim=r;aspf=S", DMARC_PSD_U, false, false,
		 true},
		{"v=DMARC1;psd=yes;t=1;adkim=strict;aspf=", DMARC_PSD_U, false,
		 false, false},
		{"v=DMARC1; psd = y ; t = y", DMARC_PSD_Y, true, false, false},
	};
	struct dmarc_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(parse(rows[i].text, strlen(rows[i].text), &r));
		if (r.psd != rows[i].psd || r.testing != rows[i].testing ||
		    r.adkim_strict != rows[i].adkim ||
		    r.aspf_strict != rows[i].aspf)
			fail_msg("\"%s\"", rows[i].text);
	}
}

/* DM-12, DM-14: at least one syntactically valid URI (RFC 3986). */
static void test_uris(void **state)
{
	static const struct {
		const char *rua;
		bool want;
	} rows[] = {
		{"mailto:d@example.com", true},
		{" mailto:d@example.com , https://x.example/r ", true},
		{"mailto:d@example.com!10m", true},
		{"mailto:d@example.com!50", true},
		{"nonsense, mailto:d@example.com", true},
		{"mailto:a%2Cb@example.com", true},
		{"", false},
		{",,", false},
		{"d@example.com", false},
		{"mailto:", false},
		{":d@example.com", false},
		{"1x:d@example.com", false},
		{"mailto:d@example.com!10x", false},
		{"mailto:d!e@example.com", false},
		{"mailto:d@example.com!", false},
		{"mailto:a b@example.com", false},
		{"mailto:a%2@example.com", false},
		{"mailto:a%", false},
		{"mailto:\xc3\xa9@example.com", false},
	};
	char text[256];
	struct dmarc_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = snprintf(text, sizeof(text), "v=DMARC1; rua=%s",
				 rows[i].rua);
		assert_true(parse(text, (size_t)n, &r));
		if (r.has_rua != rows[i].want)
			fail_msg("\"%s\"", rows[i].rua);
	}
}

static void test_as_published(void **state)
{
	struct dmarc_record r;
	struct slice s = SLICE("v=DMARC1; rua = mailto:a@b.c!1k ,x ; ruf=mailto"
			       ":r@b.c; fo=1:d:x");

	(void)state;
	assert_true(dmarc_record_parse(s, &r));
	check_slice(r.rua, "mailto:a@b.c!1k ,x");
	check_slice(r.ruf, "mailto:r@b.c");
	check_slice(r.fo, "1:d:x");
}

/* The result is untouched when the text is no record. */
static void test_untouched(void **state)
{
	struct dmarc_record r = {.p = R};

	(void)state;
	assert_false(parse("v=DMARC2; p=none", 16, &r));
	assert_int_equal(r.p, R);
}

/* 64 KiB of separators, tags or text: linear, and never read past the end. */
static void test_large(void **state)
{
	static const char *const parts[] = {";",      "=",  "p=;",
					    "rua=,;", "a!", "rua=x:%%,"};
	size_t n = 65535;
	char *text = malloc(n);
	struct dmarc_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t part = strlen(parts[i]);
		memcpy(text, "v=DMARC1;", 9);
		for (size_t j = 9; j < n; j++)
			text[j] = parts[i][(j - 9) % part];
		assert_true(dmarc_record_parse((struct slice){text, n}, &r));
		assert_int_equal(r.p, U);
		assert_false(r.has_rua);
	}
	free(text);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(dmarc_policy_name(U), "none");
	assert_string_equal(dmarc_policy_name(N), "none");
	assert_string_equal(dmarc_policy_name(Q), "quarantine");
	assert_string_equal(dmarc_policy_name(R), "reject");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_uris),
		cmocka_unit_test(test_as_published),
		cmocka_unit_test(test_untouched),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
