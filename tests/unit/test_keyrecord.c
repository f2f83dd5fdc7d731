/* mail/keyrecord: RFC 6376 3.6.1, RFC 8463 4.2 (DK-10, DK-11). */
#include "check.h"

#include "mail/keyrecord.h"

enum {
	REVOKED = 1,
	NO_SHA256 = 2,
	NO_EMAIL = 4,
	TESTING = 8,
	STRICT = 16,
};

static unsigned flags_of(const struct keyrecord *k)
{
	return (k->revoked ? REVOKED : 0u) | (k->sha256_ok ? 0u : NO_SHA256) |
	       (k->email_ok ? 0u : NO_EMAIL) | (k->testing ? TESTING : 0u) |
	       (k->strict_domain ? STRICT : 0u);
}

static void test_records(void **state)
{
	static const struct {
		const char *text;
		enum keyrecord_type type;
		const char *key;
		unsigned flags;
	} cases[] = {
		{"v=DKIM1; p=Zm9v", KEYRECORD_RSA, "foo", 0},
		{"p=Zm9v", KEYRECORD_RSA, "foo", 0},
		{"k=rsa; p=Zm9v;", KEYRECORD_RSA, "foo", 0},
		{"v=DKIM1;k=ed25519;p=Zm9v", KEYRECORD_ED25519, "foo", 0},
		{"k=dsa;p=Zm9v", KEYRECORD_OTHER, "foo", 0},
		{"k=;p=Zm9v", KEYRECORD_OTHER, "foo", 0},
		/* values are case-sensitive, RFC 6376 3.2 */
		{"k=RSA;p=Zm9v", KEYRECORD_OTHER, "foo", 0},
		{"p=Zm9v YmFy", KEYRECORD_RSA, "foobar", 0},
		{"v=DKIM1; p=", KEYRECORD_RSA, "", REVOKED},
		{"v=DKIM1; p= ;", KEYRECORD_RSA, "", REVOKED},
		{"p=Zm9v;h=sha1", KEYRECORD_RSA, "foo", NO_SHA256},
		{"p=Zm9v;h=", KEYRECORD_RSA, "foo", NO_SHA256},
		{"p=Zm9v;h=sha2567", KEYRECORD_RSA, "foo", NO_SHA256},
		{"p=Zm9v;h=sha1 : sha256", KEYRECORD_RSA, "foo", 0},
		{"p=Zm9v;s=*", KEYRECORD_RSA, "foo", 0},
		{"p=Zm9v;s=x:email", KEYRECORD_RSA, "foo", 0},
		{"p=Zm9v;s=tlsrpt", KEYRECORD_RSA, "foo", NO_EMAIL},
		{"p=Zm9v;s=", KEYRECORD_RSA, "foo", NO_EMAIL},
		{"p=Zm9v;t=y", KEYRECORD_RSA, "foo", TESTING},
		{"p=Zm9v;t=s", KEYRECORD_RSA, "foo", STRICT},
		{"p=Zm9v;t=z : y : s", KEYRECORD_RSA, "foo", TESTING | STRICT},
		/* unknown tags and notes are ignored */
		{"g=*;n=a note;p=Zm9v;zz=1", KEYRECORD_RSA, "foo", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct slice s =
			check_heap(cases[i].text, strlen(cases[i].text));
		struct keyrecord k;
		const char *reason = NULL;

		if (!keyrecord_parse(a, s, &k, &reason))
			fail_msg("\"%s\": %s", cases[i].text, reason);
		free(unconst(s.p));
		if (k.type != cases[i].type || flags_of(&k) != cases[i].flags)
			fail_msg("\"%s\": type %d, flags %u", cases[i].text,
				 k.type, flags_of(&k));
		check_slice(k.key, cases[i].key);
		arena_free(a);
	}
}

static void test_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"v=DKIM1",
		"v=DKIM1; k=rsa",
		"v=DKIM2; p=Zm9v",
		"v=dkim1; p=Zm9v",
		"v=; p=Zm9v",
		/* v= is not first */
		"p=Zm9v; v=DKIM1",
		"k=rsa; v=DKIM1; p=Zm9v",
		"v=DKIM1; p=Zm9",
		"v=DKIM1; p=Zm9v!",
		"v=DKIM1; p=====",
		"v=DKIM1; p=Zm9v; p=Zm9v",
		"V=DKIM1; P=Zm9v",
		"v=spf1 -all",
		"just text",
		"v=DKIM1;; p=Zm9v",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new();
		struct slice s = check_heap(cases[i], strlen(cases[i]));
		struct keyrecord k = {.type = KEYRECORD_OTHER};
		const char *reason = NULL;

		if (keyrecord_parse(a, s, &k, &reason))
			fail_msg("\"%s\" was accepted", cases[i]);
		assert_non_null(reason);
		assert_int_equal(k.type, KEYRECORD_OTHER);
		free(unconst(s.p));
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
