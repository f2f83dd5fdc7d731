/* dkim/sendmail.c: lists of addresses as Sendmail 8.17.1.9 was seen to send
 * them (RFC 5322 3.4), and what is signed for it. */
#include "dkim_signing.h"

#include "dkim/sendmail.h"

static const struct {
	const char *in, *out; /* NULL: cannot be told */
} rows[] = {
	{"", ""},
	{"  \r\n ", ""},
	{" a@x.net", "a@x.net"},
	{"a@x.net,b@x.net", "a@x.net, b@x.net"},
	{"a@x.net\r\n , b@x.net,\r\n\tc@x.net", "a@x.net, b@x.net, c@x.net"},
	{",a@x.net,, b@x.net , ", "a@x.net, b@x.net"},
	{"a @x.net", "a@x.net"},
	{"a@ x.net.", "a@x.net"},
	{"< a@x.net >", "<a@x.net>"},
	{"Alice<a@x.net>", "Alice<a@x.net>"},
	{"Alice  <a@x.net>", "Alice <a@x.net>"},
	{"\"D, A\" <a@x.net>,b@x.net", "\"D, A\" <a@x.net>, b@x.net"},
	{"\"A \\\" B\" <a@x.net>", "\"A \\\" B\" <a@x.net>"},
	{"J. Doe <a@x.net>", "\"J. Doe\" <a@x.net>"},
	{"J. Doe<a@x.net>", "\"J. Doe\"<a@x.net>"},
	{"O'Brien <a@x.net>", "\"O'Brien\" <a@x.net>"},
	{"\xc3\xa4. <a@x.net>", "\"\xc3\xa4.\" <a@x.net>"},
	{"=?utf-8?q?J._D?= <a@x.net>", "\"=?utf-8?q?J._D?=\" <a@x.net>"},
	{"\"J. D\" <a@x.net>", "\"J. D\" <a@x.net>"},
	{"A (B. C) D <a@x.net>", "A (B. C) D <a@x.net>"},
	{"<a@x.net>(c)", "<a@x.net>(c)"},
	{"A <a@x.net>  (c)", "A <a@x.net> (c)"},
	{"a@x.net(c, d)", "a@x.net (c, d)"},
	{"a@x.net (c (d))", "a@x.net (c (d))"},
	{"(c)a@x.net", "(c) a@x.net"},
	{"\"a b\" @ x.net", "\"a b\"@x.net"},
	{"\"a(b\"@x.net", "\"a(b\"@x.net"},
	{"<\"a>b\"@x.net>", "<\"a>b\"@x.net>"},
	{"undisclosed-recipients:;", "undisclosed-recipients:;"},
	{"un disclosed: ;,a@x.net", "un disclosed: ;, a@x.net"},
	/* known to change, by rule sets or otherwise */
	{"bob", NULL},
	{"a@localhost", NULL},
	{"a%b@x.net", NULL},
	{"h!a@x.net", NULL},
	{"a@[192.0.2.1]", NULL},
	{"<@x.net:a@x.net>", NULL},
	{"g: a@x.net;", NULL},
	{"g 1.2: ;", NULL},
	{"\"A\" B. <a@x.net>", NULL},
	{"A B. (c) <a@x.net>", NULL},
	{"A@home <a@x.net>", NULL},
	{"A\\B <a@x.net>", NULL},
	{"A) <a@x.net>", NULL},
	{"<a@x.net> <b@x.net>", NULL},
	{"<<a@x.net>>", NULL},
	{"A <a@x.net", NULL},
	{"A <a@x.net> B", NULL},
	{"a@x.net (c)(d)", NULL},
	{"a@x.net (c", NULL},
	{"\"A <a@x.net>", NULL},
	{"\"", NULL},
	{"\\", NULL},
	{"(", NULL},
	{"()", NULL},
	{"(\\", NULL},
	{"<", NULL},
	{";", NULL},
	{":;", NULL},
	{"@x.net", NULL},
	{"a@", NULL},
	{"a@.", NULL},
	{"a@.net", NULL},
	{"a@gr\xc3\xbc.net", NULL},
};

/* White space as relaxed canonicalization sees it (RFC 6376 3.4.2). */
static char *relaxed(struct arena *a, struct slice s)
{
	char *out = slice_cstr(a, s);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool space = strchr(" \t\r\n", s.p[i]) != NULL;

		if (!space)
			out[n++] = s.p[i];
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return out;
}

static void test_form(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice in = check_heap(rows[i].in, strlen(rows[i].in));
		struct slice form, again;
		bool ok = dkim_sendmail_form(w->a, in, &form);
		bool keeps = dkim_sendmail_keeps(w->a, in);
		char *before = relaxed(w->a, in);

		print_message("row %zu: %s\n", i, rows[i].in);
		free(unconst(in.p));
		assert_int_equal(ok, rows[i].out != NULL);
		if (!ok) {
			assert_false(keeps);
			continue;
		}
		assert_string_equal(relaxed(w->a, form), rows[i].out);
		assert_int_equal(keeps, strcmp(before, rows[i].out) == 0);
		assert_true(dkim_sendmail_form(w->a, form, &again));
		assert_true(slice_eq(form, again));
	}
}

/* Sendmail cuts longer names. */
static void test_long(void **state)
{
	struct world *w = *state;
	char name[201];
	struct slice form;

	memset(name, 'x', 200);
	name[200] = '\0';
	assert_false(dkim_sendmail_keeps(
		w->a, slice_of(arena_printf(w->a, "%s@x.net", name))));
	name[194] = '\0';
	assert_true(dkim_sendmail_form(
		w->a, slice_of(arena_printf(w->a, "%s@x.net", name)), &form));
}

static struct made sign_for(struct world *w, const char *message,
			    enum dkim_mta mta)
{
	struct made ret = {.ok = false};
	struct field_list l;
	struct dkim_signer *s;
	struct slice body;

	parse(w, slice_of(message), &l, &body);
	s = dkim_signer_new(w->a, &l, w->keys, 2, NOW);
	dkim_signer_mta(s, mta);
	dkim_signer_body(s, body);
	ret.ok = dkim_signer_end(s, ret.v, &ret.reason);
	ret.warning = dkim_signer_warning(s);
	dkim_signer_free(s);
	return ret;
}

#define REST	 "Subject: x\r\n\r\nbye\r\n"
#define ODD_LIST "a list of addresses that the MTA may rewrite is not signed"
#define ODD_FROM "the MTA may rewrite the From field and so break the signature"

/* What arrives verifies, or there is a warning, or the field is not signed. */
static void test_signed_form(void **state)
{
	static const struct {
		const char *sent, *arrives;
		enum dkim_mta mta;
		const char *warning;
		bool to, pass;
	} cases[] = {
		{"From: J. D <a@example.org>\r\nTo: a@x.net,b@x.net\r\n",
		 "From: \"J. D\" <a@example.org>\r\nTo: a@x.net, b@x.net\r\n",
		 DKIM_MTA_SENDMAIL, NULL, true, true},
		{"From: a@example.org\r\nTo: a@x.net,b@x.net\r\n",
		 "From: a@example.org\r\nTo: a@x.net,b@x.net\r\n",
		 DKIM_MTA_KEEPS, NULL, true, true},
		{"From: a@example.org\r\nTo: a@x.net,b@x.net\r\n",
		 "From: a@example.org\r\nTo: a@x.net, b@x.net\r\n",
		 DKIM_MTA_UNKNOWN, ODD_LIST, false, true},
		{"From: a@example.org\r\nTo: a@x.net, b@x.net\r\n",
		 "From: a@example.org\r\nTo: a@x.net,\r\n        b@x.net\r\n",
		 DKIM_MTA_UNKNOWN, NULL, true, true},
		{"From: a@example.org\r\nTo: g: a@x.net;\r\n",
		 "From: a@example.org\r\nTo: anything\r\n", DKIM_MTA_SENDMAIL,
		 ODD_LIST, false, true},
		{"From: J. D <a@example.org>\r\nTo: a@x.net\r\n",
		 "From: \"J. D\" <a@example.org>\r\nTo: a@x.net\r\n",
		 DKIM_MTA_UNKNOWN, ODD_FROM, true, false},
		{"From: \"J\" D. <a@example.org>\r\nTo: a@x.net\r\n",
		 "From: \"J\" D. <a@example.org>\r\nTo: a@x.net\r\n",
		 DKIM_MTA_SENDMAIL, ODD_FROM, true, true},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dkim_results r;
		char *sent = arena_printf(w->a, "%s" REST, cases[i].sent);
		char *arrives = arena_printf(w->a, "%s" REST, cases[i].arrives);
		struct made m = sign_for(w, sent, cases[i].mta);

		print_message("case %zu\n", i);
		assert_true(m.ok);
		assert_string_equal(m.warning != NULL ? m.warning : "",
				    cases[i].warning != NULL ? cases[i].warning
							     : "");
		assert_int_equal(strstr(tag(w, m.v[0], "h"), ":To:") != NULL,
				 cases[i].to);
		verify(w, slice_of(with_signatures(w, m.v, arrives)), &r);
		for (size_t k = 0; k < 2; k++)
			assert_int_equal(r.v[k].status,
					 cases[i].pass ? DKIM_STATUS_PASS
						       : DKIM_STATUS_FAIL);
	}
}

/* Sendmail breaks lines over 990 bytes (its mailers have L=990). */
static void test_line_length(void **state)
{
	struct world *w = *state;
	char line[1000];

	for (size_t n = 990; n <= 991; n++) {
		struct made m;

		memset(line, 'x', n);
		line[n] = '\0';
		m = sign_for(w,
			     arena_printf(w->a,
					  "From: a@example.org\r\n"
					  "\r\n%s\r\n",
					  line),
			     DKIM_MTA_SENDMAIL);
		assert_string_equal(m.warning != NULL ? m.warning : "",
				    n == 990 ? ""
					     : "a body line is longer than 990 "
					       "bytes");
		line[n - strlen("Subject:")] = '\0';
		m = sign_for(w,
			     arena_printf(w->a,
					  "From: a@example.org\r\n"
					  "Subject:%s\r\n\r\n",
					  line),
			     DKIM_MTA_UNKNOWN);
		assert_string_equal(m.warning != NULL ? m.warning : "",
				    n == 990
					    ? ""
					    : "a field with a line longer than "
					      "990 bytes is not signed");
	}
}

/* From is signed all the same, and the log says it. */
static void test_long_from(void **state)
{
	struct world *w = *state;
	char line[1000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int keeps = 0; keeps < 2; keeps++) {
		struct made m = sign_for(
			w,
			arena_printf(w->a, "From: %s <a@example.org>\r\n\r\n",
				     line),
			keeps ? DKIM_MTA_KEEPS : DKIM_MTA_UNKNOWN);

		assert_true(m.ok);
		assert_string_equal(
			m.warning,
			keeps ? "a line of From is longer than 998 bytes"
			      : "a line of From is longer than 990 bytes");
	}
}

/* A list of any length on one line: Sendmail folds it. */
static void test_folded(void **state)
{
	struct world *w = *state;
	struct strbuf b;

	strbuf_init(&b, w->a, 10000);
	strbuf_adds(&b, "From: a@example.org\r\nTo: a@x.net");
	for (int i = 0; i < 200; i++)
		strbuf_printf(&b, ",b%d@x.net", i);
	strbuf_adds(&b, "\r\n\r\n");
	assert_null(sign_for(w, strbuf_cstr(&b), DKIM_MTA_SENDMAIL).warning);
	assert_non_null(sign_for(w, strbuf_cstr(&b), DKIM_MTA_KEEPS).warning);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_signed_form),
		cmocka_unit_test(test_line_length),
		cmocka_unit_test(test_long_from),
		cmocka_unit_test(test_folded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
