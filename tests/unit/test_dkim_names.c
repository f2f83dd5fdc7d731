/* dkim/names.c: which fields are signed (RFC 6376 5.4.1, 8.15) and as whom
 * (3.5, 2.11). */
#include "dkim_signing.h"

/* ---- which fields ---- */

static enum dkim_signing_mode default_mode(const char *name)
{
	size_t n;
	const struct dkim_signed_name *v = dkim_default_names(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return v[i].mode;
	fail_msg("%s is not in the default list", name);
	return DKIM_SIGN_PRESENT;
}

/* RFC 6376 5.4.1; DK-50, DK-51: each once, none that may not be signed. */
static void test_default_list(void **state)
{
	static const char *const present[] = {
		"List-Id",     "List-Post",   "List-Help", "List-Archive",
		"List-Owner",  "Resent-From", "Autocrypt", "Feedback-ID",
		"Resent-Date", "Content-ID",
	};
	static const char *const oversign_present[] = {
		"Sender", "Date", "Message-ID", "List-Unsubscribe",
		"List-Unsubscribe-Post"};
	static const char *const oversign[] = {
		"From",		"To",
		"Cc",		"Subject",
		"Reply-To",	"MIME-Version",
		"In-Reply-To",	"References",
		"Content-Type", "Content-Transfer-Encoding"};
	size_t n;
	const struct dkim_signed_name *v = dkim_default_names(&n);
	const char *reason;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_true(dkim_signed_name_ok(v[i].name, &reason));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(v[i].name, v[k].name);
	}
	for (size_t i = 0; i < sizeof(present) / sizeof(char *); i++)
		assert_int_equal(default_mode(present[i]), DKIM_SIGN_PRESENT);
	for (size_t i = 0; i < sizeof(oversign) / sizeof(char *); i++)
		assert_int_equal(default_mode(oversign[i]), DKIM_OVERSIGN);
	for (size_t i = 0; i < sizeof(oversign_present) / sizeof(char *); i++)
		assert_int_equal(default_mode(oversign_present[i]),
				 DKIM_OVERSIGN_PRESENT);
}

/* RFC 6376 5.4.1, RFC 5322 3.6.8 */
static void test_name_ok(void **state)
{
	static const char *const good[] = {
		"From",	   "X-Campaign", "x_y",	      "Reply-To",
		"ARCHIVE", "a=b",	 "Received2", "Content-Language"};
	static const char *const bad[] = {
		"Return-Path",
		"received",
		"Comments",
		"KEYWORDS",
		"Bcc",
		"Resent-Bcc",
		"Content-Length",
		"Full-Name",
		"Authentication-Results",
		"Received-SPF",
		"ARC-Seal",
		"arc-message-signature",
		"DKIM-Signature",
		"",
		"a b",
		"a:b",
		"a;b",
		"\xc3\xa4",
		"a\r\nb",
		"a\x7f",
		"a\t",
	};
	const char *reason = NULL;
	char name[66];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(char *); i++) {
		assert_true(dkim_signed_name_ok(good[i], &reason));
		assert_null(reason);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++) {
		print_message("%s\n", bad[i]);
		reason = NULL;
		assert_false(dkim_signed_name_ok(bad[i], &reason));
		assert_non_null(reason);
	}
	memset(name, 'x', 65);
	name[65] = '\0';
	assert_false(dkim_signed_name_ok(name, &reason));
	name[64] = '\0';
	assert_true(dkim_signed_name_ok(name, &reason));
}

/* The names of h= of a message by the default list. */
static void test_h(void **state)
{
	static const struct {
		const char *fields, *h;
	} rows[] = {
		{"", "From:From:To:Cc:Subject:Reply-To:In-Reply-To:References:"
		     "MIME-Version:Content-Type:Content-Transfer-Encoding"},
		{"DATE: x\r\nSender: s@x\r\nMessage-Id: <y>\r\nTo: a@b\r\n"
		 "X-Foo: 1\r\nReceived: x\r\n",
		 "From:From:To:To:Cc:Subject:Date:Date:Reply-To:Sender:Sender:"
		 "Message-ID:Message-ID:In-Reply-To:References:MIME-Version:"
		 "Content-Type:Content-Transfer-Encoding"},
		{"List-Unsubscribe: <u>\r\nList-Unsubscribe-Post: p\r\n"
		 "Feedback-ID: f\r\nList-Id: 1\r\nList-Id: 2\r\n",
		 "From:From:To:Cc:Subject:Reply-To:In-Reply-To:References:"
		 "MIME-Version:Content-Type:Content-Transfer-Encoding:"
		 "List-Id:List-Id:List-Unsubscribe:List-Unsubscribe:"
		 "List-Unsubscribe-Post:List-Unsubscribe-Post:Feedback-ID"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct made m = sign(
			w, arena_printf(w->a, "From: a@example.org\r\n%s\r\nx",
					rows[i].fields));
		assert_true(m.ok);
		assert_string_equal(tag(w, m.v[0], "h"), rows[i].h);
		assert_string_equal(tag(w, m.v[1], "h"), rows[i].h);
	}
}

/* RFC 6376 8.15: what happens when `added` comes on top of the message. */
static void check_added(struct world *w, const char *message, const char *added,
			enum dkim_status want)
{
	struct made m = sign(w, message);
	struct dkim_results r;

	print_message("%s", added);
	assert_true(m.ok);
	verify(w,
	       slice_of(with_signatures(
		       w, m.v, arena_printf(w->a, "%s%s", added, message))),
	       &r);
	assert_int_equal(r.v[0].status, want);
	assert_int_equal(r.v[1].status, want);
}

static void test_added_fields(void **state)
{
	static const char bare[] = "From: a@example.org\r\n\r\nx\r\n";
	static const char *const fields[] = {
		"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n",
		"Message-ID: <x@y>\r\n",
		"Sender: l@example.net\r\n",
		"List-Unsubscribe: <x>\r\n",
		"List-Unsubscribe-Post: x\r\n",
	};
	static const char *const never[] = {
		"From: b@example.org\r\n",
		"To: x@y\r\n",
		"Cc: x@y\r\n",
		"Subject: x\r\n",
		"Reply-To: x@y\r\n",
		"References: <x>\r\n",
		"In-Reply-To: <x>\r\n",
		"MIME-Version: 1.0\r\n",
		"Content-Type: text/html\r\n",
		"Content-Transfer-Encoding: base64\r\n",
	};
	static const char *const always[] = {
		"List-Id: <l>\r\n",	"List-Post: <l>\r\n",
		"Received: x\r\n",	"Return-Path: <x@y>\r\n",
		"Feedback-ID: x\r\n",	"X-Spam: no\r\n",
		"Resent-From: x@y\r\n",
	};
	struct world *w = *state;

	/* The MTA or a mailing list adds an absent one; a second one, no. */
	for (size_t i = 0; i < sizeof(fields) / sizeof(char *); i++) {
		const char *with = arena_printf(w->a, "%s%s", fields[i], bare);
		check_added(w, bare, fields[i], DKIM_STATUS_PASS);
		check_added(w, with, fields[i], DKIM_STATUS_FAIL);
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(char *); i++)
		check_added(w, bare, never[i], DKIM_STATUS_FAIL);
	for (size_t i = 0; i < sizeof(always) / sizeof(char *); i++) {
		const char *with = arena_printf(w->a, "%s%s", always[i], bare);
		check_added(w, bare, always[i], DKIM_STATUS_PASS);
		check_added(w, with, always[i], DKIM_STATUS_PASS);
	}
}

/* ---- lists and identities of one's own ---- */

/* Two keys, each with its own list and lifetime. */
static void test_own_lists(void **state)
{
	static const struct dkim_signed_name one[] = {
		{"x-campaign", DKIM_OVERSIGN_PRESENT},
		{"X-Other", DKIM_OVERSIGN_PRESENT},
		{"from", DKIM_SIGN_PRESENT},
		{"FROM", DKIM_OVERSIGN},
		{"List-Id", DKIM_OVERSIGN},
	};
	static const struct dkim_signed_name odd[] = {{"From", DKIM_OVERSIGN},
						      {"X+=!", DKIM_OVERSIGN}};
	static const char message[] = "X-Campaign: 7\r\nX+=!: y\r\n"
				      "From: a@example.org\r\n\r\nx\r\n";
	const struct dkim_signing_key a = {LIST(one), .lifetime = 60};
	const struct dkim_signing_key b = {LIST(odd), .lifetime = 3600};
	struct world *w = *state;
	struct made m = sign_as(w, message, a, b);
	struct dkim_results r;

	assert_true(m.ok);
	assert_string_equal(tag(w, m.v[0], "h"),
			    "x-campaign:x-campaign:from:List-Id");
	assert_string_equal(tag(w, m.v[0], "x"), "1700000060");
	assert_string_equal(tag(w, m.v[1], "h"), "From:From:X+=!:X+=!");
	assert_string_equal(tag(w, m.v[1], "x"), "1700003600");
	verify(w, slice_of(with_signatures(w, m.v, message)), &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	/* Only the first signs List-Id, only the second X+=!. */
	verify(w,
	       slice_of(with_signatures(
		       w, m.v,
		       arena_printf(w->a, "List-Id: 1\r\n%s", message))),
	       &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	verify(w,
	       slice_of(with_signatures(
		       w, m.v, arena_printf(w->a, "X+=!: 1\r\n%s", message))),
	       &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_FAIL);
}

/* RFC 6376 5.4: never without From. */
static void test_bad_lists(void **state)
{
	static const struct dkim_signed_name no_from[] = {
		{"To", DKIM_OVERSIGN}, {"X-From", DKIM_OVERSIGN}};
	static const struct dkim_signed_name two[] = {{"From", DKIM_OVERSIGN},
						      {"To", DKIM_OVERSIGN}};
	static struct dkim_signed_name many[201];
	const struct dkim_signing_key usual = {.lifetime = 0};
	const struct dkim_signing_key without = {LIST(no_from)};
	const struct dkim_signing_key empty = {.names = no_from};
	struct dkim_signing_key full = {LIST(many)};
	struct world *w = *state;
	struct made m;

	m = sign_as(w, plain, usual, without);
	assert_false(m.ok);
	assert_string_equal(m.reason,
			    "From is not in the list of fields to sign");
	assert_null(m.v[0].p);
	assert_null(m.v[1].p);
	m = sign_as(w, plain, empty, usual);
	assert_string_equal(m.reason,
			    "From is not in the list of fields to sign");
	/* Lists of one length, and lists with one beginning, are two. */
	m = sign_as(w, plain, (struct dkim_signing_key){LIST(two)}, without);
	assert_false(m.ok);
	m = sign_as(w, plain, (struct dkim_signing_key){LIST(two)},
		    (struct dkim_signing_key){.names = two, .nnames = 1});
	assert_true(m.ok);
	assert_string_equal(tag(w, m.v[0], "h"), "From:From:To:To");
	assert_string_equal(tag(w, m.v[1], "h"), "From:From");
	/* What a verifier would refuse is not made. */
	m = sign_as(w, plain, usual,
		    (struct dkim_signing_key){.identity = "joe@example.com"});
	assert_false(m.ok);
	assert_string_equal(m.reason, "i= is not within d=");
	for (int i = 0; i < 201; i++)
		many[i] = (struct dkim_signed_name){
			i == 0 ? "From" : arena_printf(w->a, "X-%d", i),
			DKIM_OVERSIGN_PRESENT};
	assert_false(sign_as(w, plain, usual, full).ok);
	full.nnames = 200;
	assert_true(sign_as(w, plain, usual, full).ok);
}

/* RFC 6376 3.5 (i=), RFC 5321 4.1.2 (Local-part) */
static void test_identity_ok(void **state)
{
	static const char *const good[] = {
		"@example.org",
		"@news.example.org",
		"joe@example.org",
		"joe.b+tag=x@News.Example.org",
		"\"joe b;c\"@example.org",
		"\"a@b\"@example.org",
		"\"a\\\"b\"@example.org",
		"j\xc3\xb6@example.org",
		"\"\"@example.org",
		"@m\xc3\xbc.example.org",
		"1234567890123456789012345678901234567890"
		"123456789012345678901234@example.org",
	};
	static const char *const bad[] = {
		"",
		"joe",
		"example.org",
		"joe@",
		"@",
		"joe@example.com",
		"joe@xexample.org",
		"joe@org",
		"joe b@example.org",
		" joe@example.org",
		"joe@example.org ",
		"<joe@example.org>",
		"<joe>@example.org",
		".joe@example.org",
		"joe.@example.org",
		"jo..e@example.org",
		"jo;e@example.org",
		"jo,e@example.org",
		"a@b@example.org",
		"\"joe@example.org",
		"joe\"@example.org",
		"\"a\"b@example.org",
		"\"a\".b@example.org",
		"\"a\"\"b\"@example.org",
		"\"a\r\n b\"@example.org",
		"\"a\tb\"@example.org",
		"\"a\\\"@example.org",
		"j\xf6@example.org",
		"joe@exa mple.example.org",
		"joe@x;.example.org",
		"joe@[192.0.2.1]",
		"joe(c)@example.org",
		"1234567890123456789012345678901234567890"
		"1234567890123456789012345@example.org",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(char *); i++) {
		print_message("good %s\n", good[i]);
		assert_true(dkim_identity_ok(good[i], "example.org"));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++) {
		print_message("bad %s\n", bad[i]);
		assert_false(dkim_identity_ok(bad[i], "example.org"));
	}
}

/* RFC 6376 2.11, 3.5 */
static void test_identity(void **state)
{
	static const struct {
		const char *identity, *i;
	} rows[] = {
		{"@example.org", "@example.org"},
		{"joe@News.example.org", "joe@news.example.org"},
		{"\"j;b = @\"@example.org",
		 "\"j=3Bb=20=3D=20=40\"@example.org"},
		{"j\xc3\xb6.a=b@example.org", "j=C3=B6.a=3Db@example.org"},
		{"!#$%&'*+-/?^_`{|}~@example.org",
		 "!#$%&'*+-/?^_`{|}~@example.org"},
		{"\"a\\\\\x7e:<>,\"@example.org", "\"a\\\\~:<>,\"@example.org"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct dkim_signing_key usual = {.lifetime = 0};
		const struct dkim_signing_key key = {.identity =
							     rows[i].identity};
		struct made m;
		struct dkim_results r;

		print_message("%s\n", rows[i].identity);
		assert_true(dkim_identity_ok(rows[i].identity, "example.org"));
		m = sign_as(w, plain, key, usual);
		assert_true(m.ok);
		assert_string_equal(tag(w, m.v[0], "i"), rows[i].i);
		assert_null(tag(w, m.v[1], "i"));
		verify(w, slice_of(with_signatures(w, m.v, plain)), &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
		check_slice(r.v[0].identity, rows[i].i);
		assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	}
}

/* ---- addresses that the MTA will complete ---- */

/* Is the first field of the message signed?  Then there is no warning. */
static bool first_is_signed(struct world *w, const char *name,
			    const char *value)
{
	struct made m = sign(w, arena_printf(w->a,
					     "%s: %s\r\nFrom: a@example.org\r\n"
					     "\r\nx",
					     name, value));
	struct slice h;
	bool found = false;

	assert_true(m.ok);
	h = slice_of(tag(w, m.v[0], "h"));
	assert_string_equal(tag(w, m.v[0], "h"), tag(w, m.v[1], "h"));
	while (h.p != NULL)
		found |= slice_is_ci(slice_cut(&h, ':'), name);
	if (found)
		assert_null(m.warning);
	else
		assert_string_equal(m.warning,
				    "an address without domain is not signed");
	return found;
}

static void test_unqualified(void **state)
{
	static const char *const complete[] = {
		"",
		"a@b",
		"A B <a@b>",
		"\"A, B\" <a@b>, (x, y) c@d",
		"undisclosed-recipients:;",
		"Group: a@b, c@d;, e@f",
		"A <@r,@s:a@b>",
		"a@[192.0.2.1], b@[IPv6:2001:db8::1]",
		"\"a b\"@c",
		"\"x\\\"y, z\" <a@b>",
		"(nested (a, b) \\) c) a@b",
		"a@b,, c@d,",
		"a @ b,\r\n c@d",
		"=?utf-8?q?=C3=A4?= <a@b>",
		"\xc3\xa4@b",
		"A <a@b> B",
		"(a (b) c, d) a@b",
		"<,@r:a@b>",
	};
	static const char *const incomplete[] = {
		"a",	   "a@b, c",	     "a, b@c",
		"A B <a>", "A@B <a>",	     "<>",
		"a@",	   "a@b; c",	     "\"a@b\"",
		"(a@b) c", "Group: a, c@d;", "Group: a@b, c;",
		"<@r:a>",  "<a@b>, c <d>",   "a!b",
		"a%b",	   "a@b,\r\n\tc",    "\"a@b",
		"a (x@y",  "A <a> x@y",	     "(\\() c",
		"x@y, @",
	};
	static const char *const names[] = {
		"To",	     "CC",	    "Reply-To",
		"Sender",    "Resent-To",   "Resent-Sender",
		"Resent-Cc", "Resent-From",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(complete) / sizeof(char *); i++) {
		print_message("complete: %s\n", complete[i]);
		assert_true(first_is_signed(w, "To", complete[i]));
	}
	for (size_t i = 0; i < sizeof(incomplete) / sizeof(char *); i++) {
		print_message("incomplete: %s\n", incomplete[i]);
		assert_false(first_is_signed(w, "To", incomplete[i]));
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(char *); i++) {
		print_message("%s\n", names[i]);
		assert_true(first_is_signed(w, names[i], "a@b"));
		assert_false(first_is_signed(w, names[i], "a"));
	}
	assert_true(first_is_signed(w, "Subject", "a"));
	assert_true(first_is_signed(w, "List-Id", "a"));
}

/* What Sendmail makes of an address after the milter, and of two fields of
 * which one is complete. */
static void test_qualified_later(void **state)
{
	static const char before[] = "From: a@example.org\r\nTo: joe\r\n"
				     "To: x@y\r\nCc: y@z\r\n\r\nx\r\n";
	static const char after[] = "From: a@example.org\r\nTo: joe@host\r\n"
				    "To: x@y\r\nCc: y@z\r\n\r\nx\r\n";
	static const struct dkim_signed_name own[] = {{"From", DKIM_OVERSIGN},
						      {"To", DKIM_OVERSIGN}};
	const struct dkim_signing_key usual = {.lifetime = 0};
	const struct dkim_signing_key key = {LIST(own)};
	struct world *w = *state;
	struct made m = sign_as(w, before, usual, key);
	struct dkim_results r;

	assert_true(m.ok);
	assert_string_equal(tag(w, m.v[1], "h"), "From:From");
	assert_non_null(strstr(tag(w, m.v[0], "h"), ":Cc:Cc:"));
	verify(w, slice_of(with_signatures(w, m.v, after)), &r);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	/* From is always signed, whatever it holds. */
	m = sign(w, "From: joe\r\n\r\nx");
	assert_true(m.ok);
	assert_null(m.warning);
	assert_true(slice_starts(slice_of(tag(w, m.v[0], "h")), "From:From:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_list),
		cmocka_unit_test(test_name_ok),
		cmocka_unit_test(test_h),
		cmocka_unit_test(test_added_fields),
		cmocka_unit_test(test_own_lists),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_identity_ok),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_unqualified),
		cmocka_unit_test(test_qualified_later),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
