/*
 * dkim/verify and dkim/signature.  The signatures are made here by
 * dkim_forge.h.
 */
#include "dkim_forge.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *selector, *tags;
} rsa_records[] = {
	{"rsa", "v=DKIM1; k=rsa;"}, {"plain", ""},
	{"test", "t=y;"},	    {"strict", "t=s;"},
	{"sha1", "h=sha1;"},	    {"tlsrpt", "s=tlsrpt;"},
	{"dkim2", "v=DKIM2;"},	    {"two", "k=rsa;"},
	{"two", "v=DKIM1; k=rsa;"}, {"mixed", "k=rsa;"},
};

static int setup(void **state)
{
	struct forge *w = forge_keys();
	struct strbuf z;

	strbuf_init(&z, w->a, 100000);
	for (size_t i = 0; i < LENGTH(rsa_records); i++)
		forge_record(&z, w->a,
			     arena_printf(w->a, "%s._domainkey.d.example",
					  rsa_records[i].selector),
			     rsa_records[i].tags,
			     crypto_privkey_public(w->a, w->rsa));
	forge_record(&z, w->a, "ed._domainkey.d.example", "k=ed25519;",
		     crypto_privkey_public(w->a, w->ed));
	forge_record(&z, w->a, "nok._domainkey.d.example", "",
		     crypto_privkey_public(w->a, w->ed));
	forge_record(&z, w->a, "rsa._domainkey.xn--bcher-kva.example", "",
		     crypto_privkey_public(w->a, w->rsa));
	strbuf_adds(&z, "mixed._domainkey.d.example TXT \"v=spf1 -all\"\n"
			"revoked._domainkey.d.example TXT \"p=\"\n"
			"bad._domainkey.d.example TXT \"p=AAAA\"\n"
			"nodata._domainkey.d.example A 192.0.2.1\n");
	forge_publish(w, strbuf_slice(&z));
	w->bytewise = true;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	forge_free(*state);
	return 0;
}

#define FIELDS "From: a@d.example\r\nTo: b@e.example\r\nSubject: s\r\n"
#define T(a, s, more)                                                          \
	"v=1; a=" a "; c=relaxed/relaxed; d=d.example; s=" s ";" more

static void test_verdicts(void **state)
{
	static const struct {
		struct forge_spec spec;
		const char *status, *reason;
	} cases[] = {
		{{0}, "pass", NULL},
		{{.tags = T("rsa-sha256", "plain", "")}, "pass", NULL},
		{{.tags = T("ed25519-sha256", "ed", ""), .ed = true},
		 "pass",
		 NULL},
		{{.tags = "v=1; a=rsa-sha256; d=D.Example; s=RSA;",
		  .simple_header = true,
		  .simple_body = true},
		 "pass",
		 NULL},
		/* where libopendkim errs: odd, but right */
		{{.b = "b ="}, "pass", NULL},
		{{.tags = T("rsa-sha256", "rsa", " zb=b;")}, "pass", NULL},
		{{.tags = T("rsa-sha256", "rsa", " t=0;")}, "pass", NULL},
		{{.tags = T("rsa-sha256", "rsa", " q=foo:dns/txt;")},
		 "pass",
		 NULL},
		{{.tags = T("rsa-sha256", "rsa", " i=a=@d.example;")},
		 "pass",
		 NULL},
		/* RFC 8616 5 */
		{{.tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; s=rsa;"
			  " d=b\xc3\xbc"
			  "cher.example;"},
		 "pass",
		 NULL},
		{{.h = "from:from:nothing:nothing:to"}, "pass", NULL},
		{{.tags = T("rsa-sha256", "rsa", " i=u@x.d.example;")},
		 "pass",
		 NULL},
		/* RFC 6376 3.2, 3.5 */
		{{.tags = T("rsa-sha256", "rsa", " s=rsa;")},
		 "neutral",
		 "duplicate tag"},
		{{.tags = T("rsa-sha256", "rsa", " x y;")},
		 "neutral",
		 "syntax error in tag list"},
		{{.tags = T("rsa-sha256", "rsa", " q=foo/bar;")},
		 "permerror",
		 "unknown query method"},
		{{.tags = T("rsa-sha1", "rsa", "")},
		 "permerror",
		 "rsa-sha1 is not accepted"},
		{{.tags = T("rsa-md5", "rsa", "")},
		 "permerror",
		 "unknown algorithm"},
		{{.tags = T("rsa-sha256", "rsa", " i=@e.example;")},
		 "permerror",
		 "i= is not within d="},
		{{.tags = T("rsa-sha256", "rsa", " i=@xd.example;")},
		 "permerror",
		 "i= is not within d="},
		{{.tags = "v=2; a=rsa-sha256; d=d.example; s=rsa;"},
		 "permerror",
		 "unknown version"},
		{{.tags = "a=rsa-sha256; d=d.example; s=rsa;"},
		 "permerror",
		 "v= is missing"},
		{{.tags = "v=1; a=rsa-sha256; s=rsa;"},
		 "permerror",
		 "d= is missing"},
		{{.tags = "v=1; a=rsa-sha256; d=d.example(x; s=rsa;"},
		 "permerror",
		 "bad d="},
		{{.tags = "v=1; a=rsa-sha256; d=d.example.; s=rsa;"},
		 "permerror",
		 "bad d="},
		{{.tags = T("rsa-sha256", "r sa", "")}, "permerror", "bad s="},
		{{.h = "to:subject"}, "permerror", "From is not signed"},
		{{.h = "from::to"}, "permerror", "bad h="},
		{{.tags = T("rsa-sha256", "rsa", " l=-1;")},
		 "permerror",
		 "bad l="},
		{{.tags = T("rsa-sha256", "rsa", " l=18446744073709551610;")},
		 "permerror",
		 "l= is larger than the body"},
		{{.tags = T("rsa-sha256", "rsa", " t=9; x=9;")},
		 "permerror",
		 "x= is not after t="},
		/* DK-3: 300 seconds of skew */
		{{.tags = T("rsa-sha256", "rsa", " x=1699999701;")},
		 "pass",
		 NULL},
		{{.tags = T("rsa-sha256", "rsa", " x=1699999699;")},
		 "policy",
		 "signature expired"},
		{{.tags = T("rsa-sha256", "rsa", " t=1700000299;")},
		 "pass",
		 NULL},
		{{.tags = T("rsa-sha256", "rsa", " t=1700000301;")},
		 "permerror",
		 "signature from the future"},
		{{.tags = T("rsa-sha256", "rsa", " t=1700000000000;")},
		 "permerror",
		 "bad t="},
		/* RFC 6376 3.6.1, 6.1.2 */
		{{.tags = T("rsa-sha256", "none", "")}, "permerror", "no key"},
		{{.tags = T("rsa-sha256", "nodata", "")},
		 "permerror",
		 "no key"},
		{{.tags = T("rsa-sha256", "revoked", "")},
		 "permerror",
		 "key revoked"},
		{{.tags = T("rsa-sha256", "bad", "")},
		 "permerror",
		 "key is no RSA public key"},
		{{.tags = T("rsa-sha256", "two", "")},
		 "permerror",
		 "several key records"},
		{{.tags = T("rsa-sha256", "mixed", "")}, "pass", NULL},
		{{.tags = T("rsa-sha256", "dkim2", "")},
		 "permerror",
		 "key record is not v=DKIM1"},
		{{.tags = T("rsa-sha256", "sha1", "")},
		 "permerror",
		 "key does not allow sha256"},
		{{.tags = T("rsa-sha256", "tlsrpt", "")},
		 "permerror",
		 "key is not for email"},
		{{.tags = T("rsa-sha256", "strict", "")}, "pass", NULL},
		{{.tags = T("rsa-sha256", "strict", " i=@x.d.example;")},
		 "permerror",
		 "key does not allow a subdomain in i="},
		/* RFC 8463 4.1: a= and k= must agree */
		{{.tags = T("ed25519-sha256", "nok", ""), .ed = true},
		 "permerror",
		 "key type does not match a="},
		{{.tags = T("rsa-sha256", "ed", "")},
		 "permerror",
		 "key type does not match a="},
		{{.ed = true}, "fail", "signature did not verify"},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *body = "hello  world\r\n";
		const char *sig =
			forge_signature(w, &cases[i].spec, FIELDS, body);

		print_message("%zu: %s\n", i, sig);
		forge_expect(
			w, arena_printf(w->a, "%s" FIELDS "\r\n%s", sig, body),
			cases[i].status, cases[i].reason);
	}
}

/* What happens to a message after it was signed. */
static void test_changed(void **state)
{
	static const struct {
		struct forge_spec spec;
		const char *fields, *body;
		const char *status, *reason;
	} cases[] = {
		{{0}, FIELDS, "hello \t world  \r\n\r\n", "pass", NULL},
		{{0},
		 "Received: x\r\n" FIELDS,
		 "hello world\r\n",
		 "pass",
		 NULL},
		{{0},
		 FIELDS,
		 "hello, world\r\n",
		 "fail",
		 "body hash did not verify"},
		{{0},
		 FIELDS,
		 "hello world\n",
		 "fail",
		 "body hash did not verify"},
		{{0},
		 "X: y\r\nFrom: z@d.example\r\nTo: b@e.example\r\n"
		 "Subject: s\r\n",
		 "hello world\r\n",
		 "fail",
		 "signature did not verify"},
		/* HP-15: shown by a reader, not signed */
		{{0},
		 "Subject: other\r\n" FIELDS,
		 "hello world\r\n",
		 "policy",
		 "a signed field occurs more often than signed"},
		{{0},
		 "From: x@y.example\r\n" FIELDS,
		 "hello world\r\n",
		 "policy",
		 "a signed field occurs more often than signed"},
		{{.h = "from:to:subject:subject"},
		 "Subject: other\r\n" FIELDS,
		 "hello world\r\n",
		 "fail",
		 "signature did not verify"},
		/* DK-40 */
		{{.l = "13"}, FIELDS, "hello world\r\n", "pass", NULL},
		{{.l = "13"},
		 FIELDS,
		 "hello world\r\nappended\r\n",
		 "policy",
		 "l= leaves a part of the body unsigned"},
		{{.l = "13"},
		 "Content-Type: text/html\r\n" FIELDS,
		 "hello world\r\n",
		 "policy",
		 "l= with unsigned MIME fields"},
		{{.l = "13"},
		 FIELDS,
		 "hello\r\n",
		 "permerror",
		 "l= is larger than the body"},
		/* HP-7 */
		{{0},
		 "X: a\rb\r\n" FIELDS,
		 "hello world\r\n",
		 "permerror",
		 NULL},
		{{0},
		 "X: \x1b(B\r\n" FIELDS,
		 "hello world\r\n",
		 "pass",
		 NULL},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *sig = forge_signature(w, &cases[i].spec, FIELDS,
						  "hello world\r\n");
		struct dkim_results r;
		const char *m = arena_printf(w->a, "%s%s\r\n%s", sig,
					     cases[i].fields, cases[i].body);

		print_message("%zu\n", i);
		if (cases[i].reason != NULL ||
		    strcmp(cases[i].status, "pass") == 0) {
			forge_expect(w, m, cases[i].status, cases[i].reason);
			continue;
		}
		forge_verify(w, slice_of(m), &r);
		assert_string_equal(dkim_status_name(r.v[0].status),
				    cases[i].status);
	}
}

/* DK-11 */
static void test_testing(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {.tags = T("rsa-sha256", "test", "")};
	const char *sig = forge_signature(w, &s, FIELDS, "x\r\n");
	struct dkim_results r;

	forge_verify(w,
		     slice_of(arena_printf(w->a, "%s" FIELDS "\r\nx\r\n", sig)),
		     &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_true(r.v[0].testing);
	forge_verify(w,
		     slice_of(arena_printf(w->a, "%s" FIELDS "\r\ny\r\n", sig)),
		     &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
	assert_true(r.v[0].testing);
}

/* RFC 8301 3.2 */
static void test_key_size(void **state)
{
	static const struct {
		unsigned min, max;
		const char *reason;
	} cases[] = {
		{1025, 4096, "key too short"},
		{512, 1023, "key too long"},
		{1024, 1024, NULL},
	};
	struct forge *w = *state;
	const struct dkim_verify_options usual = w->options;
	struct forge_spec s = {0};
	const char *m = arena_printf(w->a, "%s" FIELDS "\r\nx\r\n",
				     forge_signature(w, &s, FIELDS, "x\r\n"));

	for (size_t i = 0; i < LENGTH(cases); i++) {
		w->options.min_rsa_bits = cases[i].min;
		w->options.max_rsa_bits = cases[i].max;
		forge_expect(w, m, cases[i].reason != NULL ? "policy" : "pass",
			     cases[i].reason);
	}
	w->options = usual;
}

/* DK-31: those that can align are evaluated though they are last. */
static void test_limits(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {0};
	struct strbuf m;
	struct dkim_results r;
	const struct dkim_verify_options usual = w->options;
	const char *sig = forge_signature(w, &s, FIELDS, "x\r\n");

	strbuf_init(&m, w->a, 100000);
	for (int i = 0; i < 4; i++)
		strbuf_adds(&m, "DKIM-Signature: v=1; a=rsa-sha256; s=s; "
				"d=evil.example; h=from; b=AAAA; bh=2jUSOH9Nht"
				"VGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=\r\n");
	strbuf_printf(&m, "%s" FIELDS "\r\nx\r\n", sig);
	w->options.max_signatures = 2;
	w->options.max_listed = 5;
	w->author = "sub.d.example";
	forge_verify(w, strbuf_slice(&m), &r);
	assert_int_equal(r.n, 5);
	assert_int_equal(r.more, 0);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PERMERROR);
	for (int i = 1; i < 4; i++)
		assert_string_equal(r.v[i].reason, "not evaluated");
	assert_int_equal(r.v[4].status, DKIM_STATUS_PASS);
	w->author = "d.example";
	forge_verify(w,
		     slice_of(arena_printf(w->a, "%s%s", sig, strbuf_cstr(&m))),
		     &r);
	assert_int_equal(r.n, 5);
	assert_int_equal(r.more, 1);
	w->options = usual;
}

/* RFC 8463 A.3; with fields used up and h= going on (A.3 does not) the
 * header list of libopendkim is at its end. */
static void test_rfc8463(void **state)
{
	static const char zone[] =
		"brisbane._domainkey.football.example.com TXT \"v=DKIM1; "
		"k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n"
		"test._domainkey.football.example.com TXT \"v=DKIM1; k=rsa; "
		"p=\" \"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V"
		"6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3Fut"
		"ACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYL"
		"zBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\"\n";
	static const char message[] =
		"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
		" d=football.example.com; i=@football.example.com;\r\n"
		" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
		" subject : date : message-id : from : subject : date;\r\n"
		" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
		" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
		"\r\n Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
		" d=football.example.com; i=@football.example.com;\r\n"
		" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
		" date : message-id : from : subject : date;\r\n"
		" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
		" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
		"\r\n DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2J"
		"z\r\n dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+"
		"8=\r\n"
		"From: Joe SixPack <joe@football.example.com>\r\n"
		"To: Suzie Q <suzie@shopping.example.net>\r\n"
		"Subject: Is dinner ready?\r\n"
		"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
		"Message-ID: <20030712040037.46341.5F8J@football.example.com>"
		"\r\n\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n"
		"\r\nJoe.\r\n";
	struct forge *w = *state, other = *w;
	struct dkim_results r;
	const char *err = NULL;

	other.dns = dns_new_zone_text(w->a, SLICE(zone), &err);
	assert_non_null(other.dns);
	other.author = "football.example.com";
	forge_verify(&other, slice_of(message), &r);
	dns_free(other.dns);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	check_slice(r.v[0].identity, "@football.example.com");
	check_slice(slice_first(r.v[0].b, 8), "/gCrinpc");
	assert_string_equal(r.v[1].selector, "test");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8463),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_testing),
		cmocka_unit_test(test_key_size),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
