/*
 * dkim/signature and dkim/verify, rule by rule (RFC 6376 3.2 to 3.6, RFC 8301,
 * RFC 8463), and the example of RFC 6376 A.  The rules on which libopendkim
 * errs have rows in test_dkim_verify.c, where most outcomes are.
 */
#include "dkim_forge.h"

#include <stdio.h>

#define FIELDS	      "From: a@d.example\r\nTo: b@e.example\r\nSubject: s\r\n"
#define BODY	      "a  b \r\n\r\n\r\n"
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define RSA_TAGS      "v=1; a=rsa-sha256; d=d.example; s=rsa;"

static int setup(void **state)
{
	struct arena *a = arena_new();
	struct strbuf z;
	/* SPKI (RFC 8410), which is not what RFC 8463 4.2 wants */
	static const char spki[] = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70"
				   "\x03\x21\0"
				   "0123456789abcdef0123456789abcdef";

	strbuf_init(&z, a, 10000);
	strbuf_adds(&z, "broken._domainkey.d.example TXT !SERVFAIL\n"
			"slow._domainkey.d.example TXT !TIMEOUT\n");
	forge_record(&z, a, "spki._domainkey.d.example", "k=ed25519;",
		     SLICE(spki));
	*state = forge_new(strbuf_cstr(&z));
	arena_free(a);
	return 0;
}

static int teardown(void **state)
{
	forge_free(*state);
	return 0;
}

static const char *message(struct forge *w, const struct forge_spec *s,
			   const char *body)
{
	return arena_printf(w->a, "%s" FIELDS "\r\n%s",
			    forge_signature(w, s, FIELDS, body), body);
}

/* RFC 6376 3.5: c= has a default, and one word leaves the body simple. */
static void test_canonicalization(void **state)
{
	static const struct {
		struct forge_spec spec;
		const char *reason; /* NULL: pass */
	} cases[] = {
		{{.tags = RSA_TAGS, .simple_header = true, .simple_body = true},
		 NULL},
		{{.tags = RSA_TAGS " c=simple;",
		  .simple_header = true,
		  .simple_body = true},
		 NULL},
		{{.tags = RSA_TAGS " c=relaxed;", .simple_body = true}, NULL},
		{{.tags = RSA_TAGS " c=relaxed/simple;", .simple_body = true},
		 NULL},
		{{.tags = RSA_TAGS " c=simple/relaxed;", .simple_header = true},
		 NULL},
		{{.tags = RSA_TAGS " c=;"}, "unknown canonicalization"},
		{{.tags = RSA_TAGS " c=relaxed/;"}, "unknown canonicalization"},
		{{.tags = RSA_TAGS " c=/relaxed;"}, "unknown canonicalization"},
		{{.tags = RSA_TAGS " c=Relaxed/Relaxed;"},
		 "unknown canonicalization"},
		{{.tags = RSA_TAGS " c=relaxed/relaxed/relaxed;"},
		 "unknown canonicalization"},
		{{.tags = RSA_TAGS " c=nofws/simple;"},
		 "unknown canonicalization"},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		print_message("%zu %s\n", i, cases[i].spec.tags);
		forge_expect(w, message(w, &cases[i].spec, BODY),
			     cases[i].reason != NULL ? "permerror" : "pass",
			     cases[i].reason);
	}
}

/* RFC 6376 3.5: seven tags are required; names are case-sensitive (3.2). */
static void test_required_tags(void **state)
{
	static const char *const tags[] = {
		"v=1",
		"a=rsa-sha256",
		"d=d.example",
		"s=rsa",
		"h=from",
		"bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		"b=AAAA"};
	struct forge *w = *state;

	for (size_t leave = 0; leave < LENGTH(tags) * 2; leave++) {
		struct strbuf m;
		const char *name;

		strbuf_init(&m, w->a, 1000);
		strbuf_adds(&m, "DKIM-Signature: x=9999999999");
		for (size_t i = 0; i < LENGTH(tags); i++) {
			struct slice t = slice_of(tags[i]);
			if (i != leave / 2)
				strbuf_printf(&m, "; %s", tags[i]);
			else if (leave % 2 != 0) /* upper case is another */
				strbuf_printf(&m, "; %c%s", t.p[0] - 32,
					      t.p + 1);
		}
		strbuf_adds(&m, "\r\n" FIELDS "\r\n");
		name = tags[leave / 2];
		forge_expect(w, strbuf_cstr(&m), "permerror",
			     arena_printf(w->a, "%.*s= is missing",
					  (int)(strchr(name, '=') - name),
					  name));
	}
}

/* RFC 6376 3.2: an unknown tag is ignored, and hashed like the rest. */
static void test_unknown_tags(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {.tags = FORGE_TAGS " xx=1; V=2; B=x;"};
	const char *m = message(w, &s, BODY);
	char *changed = arena_strdup(w->a, m);

	forge_expect(w, m, "pass", NULL);
	*(strstr(changed, "xx=1") + 3) = '2';
	forge_expect(w, changed, "fail", "signature did not verify");
}

/* RFC 6376 3.4.1, 3.4.2: the name of the field as it is written; RFC 5322
 * 4.5 lets white space stand before the colon. */
static void test_field_name(void **state)
{
	static const char *const field_names[] = {
		"DKIM-Signature:",  "dkim-signature:",	 "DKIM-SIGNATURE:",
		"DKIM-Signature :", "DKIM-Signature\t:", "dkim-Signature \t :",
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(field_names) * 2; i++) {
		bool simple = i % 2 != 0;
		struct forge_spec s = {.name = field_names[i / 2],
				       .tags = simple ? RSA_TAGS : NULL,
				       .simple_header = simple,
				       .simple_body = simple};
		print_message("%s\n", s.name);
		forge_expect(w, message(w, &s, BODY), "pass", NULL);
	}
}

/* RFC 6376 3.5: t= and x= have at most 12 digits; DK-3.  Those that are
 * malformed ask nothing. */
static void test_times(void **state)
{
	static const struct {
		const char *tags, *status, *reason;
	} cases[] = {
		{" t=1; x=999999999999;", "pass", NULL},
		{" x=1700000001;", "pass", NULL},
		{" t=1700000000; x=1700000001;", "pass", NULL},
		{" t=1700000000; x=1700000000;", "permerror",
		 "x= is not after t="},
		{" t=2; x=1;", "permerror", "x= is not after t="},
		{" t=0; x=0;", "permerror", "x= is not after t="},
		{" t=0000000000001;", "permerror", "bad t="},
		{" t=9999999999999;", "permerror", "bad t="},
		{" t=999999999999;", "permerror", "signature from the future"},
		{" t=;", "permerror", "bad t="},
		{" t=-1;", "permerror", "bad t="},
		{" t=1.5;", "permerror", "bad t="},
		{" x=;", "permerror", "bad x="},
		{" x=-1;", "permerror", "bad x="},
		{" x=9999999999999;", "permerror", "bad x="},
		{" x=0;", "policy", "signature expired"},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct forge_spec s = {0};
		s.tags = arena_printf(w->a, FORGE_TAGS "%s", cases[i].tags);
		print_message("%s\n", cases[i].tags);
		forge_expect(w, message(w, &s, BODY), cases[i].status,
			     cases[i].reason);
		if (strcmp(cases[i].status, "permerror") == 0)
			assert_int_equal(w->queries, 0);
	}
}

/* RFC 6376 3.5 l=, DK-4, DK-40.  The relaxed BODY has 5 bytes. */
static void test_lengths(void **state)
{
#define ZEROS_70                                                               \
	"00000000000000000000000000000000000000000000000000000000000000000000" \
	"00"
	static const struct {
		const char *l, *body, *status, *reason;
	} cases[] = {
		{"5", BODY, "pass", NULL},
		{"0", "\r\n", "pass", NULL},
		{ZEROS_70 "000005", BODY, "pass", NULL},
		{"0", BODY, "policy", "l= leaves a part of the body unsigned"},
		{"4", BODY, "policy", "l= leaves a part of the body unsigned"},
		{"6", BODY, "permerror", "l= is larger than the body"},
		{"1", "\r\n", "permerror", "l= is larger than the body"},
		{ZEROS_70 "999999", BODY, "permerror",
		 "l= is larger than the body"},
		{"18446744073709551615", BODY, "permerror",
		 "l= is larger than the body"},
		{"18446744073709551621", BODY, "permerror",
		 "l= is larger than the body"}, /* 5 modulo 2^64 */
		{ZEROS_70 "0000005", BODY, "permerror", "bad l="},
		{"", BODY, "permerror", "bad l="},
		{"+5", BODY, "permerror", "bad l="},
		{"5 5", BODY, "permerror", "bad l="},
		{"0x5", BODY, "permerror", "bad l="},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct forge_spec s = {.l = cases[i].l};
		print_message("l=%s\n", cases[i].l);
		forge_expect(w, message(w, &s, cases[i].body), cases[i].status,
			     cases[i].reason);
	}
}

/* RFC 6376 3.5, 5.4: h= */
static void test_signed_names(void **state)
{
	static const struct {
		const char *h, *reason;
	} cases[] = {
		{"from", NULL},
		{"FROM", NULL},
		{"to:from:from:to:to", NULL},
		{" from : to :\r\n\tsubject ", NULL},
		/* a signature signs another, but never itself */
		{"from:dkim-signature", NULL},
		{"", "bad h="},
		{":", "bad h="},
		{"from:", "bad h="},
		{":from", "bad h="},
		{"from to", "bad h="},
		{"from:t\xc3\xb6", "bad h="},
		{"to:subject", "From is not signed"},
		{"x-from:resent-from", "From is not signed"},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct forge_spec s = {.h = cases[i].h};
		print_message("h=%s\n", cases[i].h);
		forge_expect(w, message(w, &s, BODY),
			     cases[i].reason != NULL ? "permerror" : "pass",
			     cases[i].reason);
	}
}

/* RFC 6376 5.4.2: of fields with one name the lowest is signed first. */
static void test_bottom_up(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {.h = "from:x:x"};
	const char *sig = forge_signature(
		w, &s, "From: a@d.example\r\nX: 1\r\nX: 2\r\n", "");

	forge_expect(w,
		     arena_printf(w->a,
				  "%sFrom: a@d.example\r\nX: 0\r\n"
				  "X: 1\r\nX: 2\r\n\r\n",
				  sig),
		     "pass", NULL);
	forge_expect(w,
		     arena_printf(w->a,
				  "%sFrom: a@d.example\r\nX: 1\r\n"
				  "X: 2\r\nX: 3\r\n\r\n",
				  sig),
		     "fail", "signature did not verify");
}

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* DK-7: a name that is no host name is never asked for, and never reported. */
static void test_bad_names_ask_nothing(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"d..example",
		".d.example",
		"d.example.",
		"d example",
		"d\texample",
		"d\r\n example",
		"d(example",
		"d.example)",
		"\"d.example\"",
		"'d.example",
		"d%example",
		"d/example",
		"d\\046example",
		"d,example",
		"d@example",
		"d:example",
		"d*example",
		"*.example",
		"d[192.0.2.1]",
		"d\xff.example",
		"d\xe2\x80\x8b.example",
		"a" L63 ".example",
		L63 "." L63 "." L63 "." L63 ".example",
		"d=x",
		"d<b>",
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(names) * 2; i++) {
		bool is_d = i % 2 == 0;
		const char *name = names[i / 2];
		struct dns_counters before, after;
		struct dkim_results r;
		const char *m = arena_printf(
			w->a,
			"DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=%s; h=from;"
			" bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;"
			" b=AAAA\r\n" FIELDS "\r\n",
			is_d ? name : "d.example", is_d ? "rsa" : name);

		print_message("%s=%s\n", is_d ? "d" : "s", name);
		dns_counters_get(w->dns, &before);
		forge_verify(w, slice_of(m), &r);
		dns_counters_get(w->dns, &after);
		assert_int_equal(r.n, 1);
		assert_int_equal(r.v[0].status, DKIM_STATUS_PERMERROR);
		assert_string_equal(r.v[0].reason, is_d ? "bad d=" : "bad s=");
		assert_null(is_d ? r.v[0].domain : r.v[0].selector);
		assert_int_equal(w->queries, 0);
		assert_int_equal(after.asked, before.asked);
		assert_int_equal(after.sent, before.sent);
	}
}

/* Each part is legal, both together are longer than a name may be. */
static void test_long_key_name(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {.tags = "v=1; a=rsa-sha256; d=" L63 "." L63
				       "; s=" L63 "." L63 ";"};

	forge_expect(w, message(w, &s, BODY), "permerror",
		     "key name is too long");
	assert_int_equal(w->queries, 0);
	/* NUL is no part of a field: nothing of it is evaluated (HP-7) */
	struct dkim_results r;
	static const char nul[] = "DKIM-Signature: v=1; a=rsa-sha256; "
				  "d=d.example; s=rsa\0.x; h=from; b=AAAA; "
				  "bh=AAAA\r\n" FIELDS "\r\n";
	forge_verify(w, (struct slice){nul, sizeof(nul) - 1}, &r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PERMERROR);
	assert_int_equal(w->queries, 0);
}

/* RFC 6376 6.1.2: what cannot be asked now is no verdict (DK-12). */
static void test_key_not_available(void **state)
{
	static const struct {
		const char *selector, *status;
	} cases[] = {
		{"broken", "temperror"},
		{"slow", "temperror"},
		{"none", "permerror"},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct forge_spec s = {0};
		struct dkim_results r;
		s.tags = arena_printf(w->a,
				      "v=1; a=rsa-sha256; c=relaxed/relaxed; "
				      "d=d.example; s=%s;",
				      cases[i].selector);
		forge_verify(w, slice_of(message(w, &s, BODY)), &r);
		assert_string_equal(dkim_status_name(r.v[0].status),
				    cases[i].status);
		assert_non_null(r.v[0].reason);
	}
}

/* RFC 8463: 4.2 the bare 32 bytes, not SPKI; 6 two algorithms side by side,
 * each with its own selector. */
static void test_ed25519(void **state)
{
#define ED_TAGS "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=d.example;"
	struct forge *w = *state;
	struct forge_spec ed = {.tags = ED_TAGS " s=ed;", .ed = true};
	struct forge_spec spki = {.tags = ED_TAGS " s=spki;", .ed = true};
	struct forge_spec rsa = {0};
	struct dkim_results r;

	forge_verify(
		w,
		slice_of(arena_printf(w->a, "%s%s" FIELDS "\r\n" BODY,
				      forge_signature(w, &rsa, FIELDS, BODY),
				      forge_signature(w, &ed, FIELDS, BODY))),
		&r);
	assert_int_equal(r.n, 2);
	for (size_t i = 0; i < r.n; i++)
		assert_int_equal(r.v[i].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[0].key_bits, 1024);
	assert_int_equal(r.v[1].key_bits, 0);
	forge_verify(w, slice_of(message(w, &spki, BODY)), &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PERMERROR);
}

/* DK-31: each signature stands alone (RFC 6376 4.2, 6.1). */
static void test_one_bad_one_good(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {0};
	struct dkim_results r;

	forge_verify(w,
		     slice_of(arena_printf(
			     w->a, "%s%s" FIELDS "\r\n" BODY,
			     forge_signature(w, &s, FIELDS, "other\r\n"),
			     forge_signature(w, &s, FIELDS, BODY))),
		     &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
}

/*
 * RFC 6376 A.2 with the key of appendix C, which the text has at
 * _domainkey.example.org, at d=.  The margin of the RFC's layout is not part
 * of the message; the signature is c=simple, so the blanks that are matter.
 */
static void test_rfc6376_example(void **state)
{
	static const char zone[] =
		"brisbane._domainkey.example.com TXT \"v=DKIM1; p=\" "
		"\"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3"
		"/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7"
		"od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGj"
		"aNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB\"\n";
	static const char example[] =
		"DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;"
		"\r\n"
		"      c=simple/simple; q=dns/txt; i=joe@football.example.com;"
		"\r\n"
		"      h=Received : From : To : Subject : Date : "
		"Message-ID;\r\n"
		"      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
		"      "
		"b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
		"      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
		"      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
		"      4bmp/YzhwvcubU4=;\r\n"
		"Received: from client1.football.example.com  [192.0.2.1]\r\n"
		"      by submitserver.example.com with SUBMISSION;\r\n"
		"      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n"
		"From: Joe SixPack <joe@football.example.com>\r\n"
		"To: Suzie Q <suzie@shopping.example.net>\r\n"
		"Subject: Is dinner ready?\r\n"
		"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
		"Message-ID: <20030712040037.46341.5F8J@football.example.com>"
		"\r\n\r\nHi.\r\n\r\n"
		"We lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n";
	struct forge *w = *state, other = *w;
	const char *err = NULL;
	char *changed = arena_strdup(w->a, example);
	struct dkim_results r;

	other.dns = dns_new_zone_text(w->a, SLICE(zone), &err);
	assert_non_null(other.dns);
	forge_verify(&other, SLICE(example), &r);
	/* c=simple: one blank of "com  [" becomes a tab */
	*strstr(changed, "  [") = '\t';
	forge_expect(&other, changed, "fail", "signature did not verify");
	dns_free(other.dns);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_null(r.v[0].reason);
	assert_string_equal(r.v[0].domain, "example.com");
	assert_string_equal(r.v[0].selector, "brisbane");
	check_slice(r.v[0].identity, "joe@football.example.com");
	assert_int_equal(r.v[0].key_bits, 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc6376_example),
		cmocka_unit_test(test_canonicalization),
		cmocka_unit_test(test_required_tags),
		cmocka_unit_test(test_unknown_tags),
		cmocka_unit_test(test_field_name),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_signed_names),
		cmocka_unit_test(test_bottom_up),
		cmocka_unit_test(test_bad_names_ask_nothing),
		cmocka_unit_test(test_long_key_name),
		cmocka_unit_test(test_key_not_available),
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_one_bad_one_good),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
