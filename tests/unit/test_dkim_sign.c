/* dkim/sign.c: RFC 6376 5, DK-50 to DK-54; what we sign we verify. */
#include "dkim_signing.h"

#include <time.h>

#include "dkim/hash.h"

static void test_round_trip(void **state)
{
	static const char *const messages[] = {
		plain,
		"From: a@example.org\r\n\r\n",
		"From: a@example.org\r\n\r\n\r\n\r\n",
		"From: a@example.org\r\n\r\nno line end",
		"From: \xc3\xa4 <a@example.org>\r\nSubject:\r\n\r\n\xff\r\n",
		"From: a@example.org\r\nTo: x@y\r\nTo: y@z\r\n\r\nx\r\n",
		"DKIM-Signature: v=1; broken\r\nFrom: a@example.org\r\n\r\nx",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(messages) / sizeof(char *); i++) {
		struct dkim_results r;
		struct made m;

		print_message("message %zu\n", i);
		m = sign(w, messages[i]);
		assert_true(m.ok);
		assert_null(m.warning);
		verify(w, slice_of(with_signatures(w, m.v, messages[i])), &r);
		assert_true(r.n >= 2);
		for (size_t k = 0; k < 2; k++) {
			assert_string_equal(
				r.v[k].reason != NULL ? r.v[k].reason : "", "");
			assert_int_equal(r.v[k].status, DKIM_STATUS_PASS);
			assert_string_equal(r.v[k].domain, "example.org");
		}
		assert_int_equal(r.v[0].key_bits, 1024);
		assert_int_equal(r.v[1].key_bits, 0);
	}
}

/* RFC 6376 8.15, DK-51: whatever is changed or added breaks both. */
static void test_changes(void **state)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
		{"From: a", "From: z"},
		{"bye", "Bye"},
		{"Subject:", "Subject: x\r\nSubject:"},
		{"Date:", "Cc: x\r\nDate:"},
		{"Date:", "Reply-To: x\r\nDate:"},
		{"Date:", "Content-Type: text/html\r\nDate:"},
		{"Date:", "From: b@example.org\r\nDate:"},
		{"<l.", "<m."},
	};
	struct world *w = *state;
	struct made m = sign(w, plain);

	assert_true(m.ok);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *at = strstr(plain, changes[i].from);
		char *changed;
		struct dkim_results r;

		assert_non_null(at);
		changed = arena_printf(w->a, "%.*s%s%s", (int)(at - plain),
				       plain, changes[i].to,
				       at + strlen(changes[i].from));
		print_message("change to %s\n", changes[i].to);
		verify(w, slice_of(with_signatures(w, m.v, changed)), &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_FAIL);
		assert_int_equal(r.v[1].status, DKIM_STATUS_FAIL);
	}
}

/* DK-52, DK-54 */
static void test_form(void **state)
{
	struct world *w = *state;
	struct made m = sign(w, plain);

	assert_true(m.ok);
	for (size_t k = 0; k < 2; k++) {
		struct slice rest = m.v[k];
		char *text = slice_cstr(w->a, m.v[k]);
		size_t before = strlen("DKIM-Signature:");

		assert_true(slice_starts(m.v[k], " v=1; "));
		assert_true(slice_chr(m.v[k], '\r') < 0);
		while (rest.p != NULL) {
			struct slice line = slice_cut(&rest, '\n');
			assert_true(before + line.n < 78);
			assert_true(rest.p == NULL || rest.p[0] == '\t');
			before = 0;
		}
		assert_non_null(strstr(text, "t=1700000000;"));
		assert_null(strstr(text, " l="));
		assert_null(strstr(text, "\tl="));
		assert_null(strstr(text, " z="));
		assert_null(strstr(text, "Received"));
		assert_non_null(strstr(text, "h=From:From:To:To:Cc:"));
	}
	assert_string_equal(tag(w, m.v[0], "x"), "1701209600");
	assert_null(tag(w, m.v[1], "x"));
	assert_string_equal(tag(w, m.v[0], "a"), "rsa-sha256");
	assert_string_equal(tag(w, m.v[1], "a"), "ed25519-sha256");
}

/* The same message by the same keys gives the same bytes, alone or together. */
static void test_same_output(void **state)
{
	struct world *w = *state;
	struct made one = sign(w, plain), two = sign(w, plain);
	struct slice body, alone;
	struct field_list l;
	const char *reason;

	parse(w, SLICE(plain), &l, &body);
	for (size_t k = 0; k < 2; k++) {
		struct dkim_signer *s =
			dkim_signer_new(w->a, &l, &w->keys[k], 1, NOW);

		dkim_signer_body(s, body);
		assert_true(dkim_signer_end(s, &alone, &reason));
		dkim_signer_free(s);
		assert_true(slice_eq(one.v[k], two.v[k]));
		assert_true(slice_eq(one.v[k], alone));
	}
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct strbuf many;
	struct made m;

	/* RFC 6376 5.4: From must be signed */
	m = sign(w, "To: x@example.org\r\n\r\nx");
	assert_false(m.ok);
	assert_string_equal(m.reason, "no From field to sign");
	strbuf_init(&many, w->a, 100000);
	strbuf_adds(&many, "From: a@example.org\r\n");
	for (int i = 0; i < 300; i++)
		strbuf_adds(&many, "Subject: x\r\n");
	m = sign(w, strbuf_cstr(&many));
	assert_false(m.ok);
	assert_string_equal(m.reason, "too many fields to sign");
}

/* libopendkim and mail/canon.c agree on what both hash. */
static void test_two_hashers(void **state)
{
	static const char message[] = "From: a@example.org\r\n"
				      "To :  x  \r\n"
				      "Subject: \r\n"
				      "SUBJECT:a\r\n \r\n\tb  c \t\r\n"
				      "X-8: \xff\xfe \xc3\xa4\r\n"
				      "Empty:\r\n"
				      "List-Id: 1\r\nList-Id: 2\r\n"
				      "\r\n";
	static const char *const lists[] = {
		"from",
		"from:from:from",
		"From : TO :\r\n\tsubject:Subject:subject:x-8:empty",
		"list-id:from:list-id:list-id:nothing",
	};
	struct world *w = *state;
	struct slice body;
	struct field_list l;

	parse(w, SLICE(message), &l, &body);
	for (size_t i = 0; i < 16; i++) {
		const char *times =
			i < 8 ? "x=1701209600" : "t=1700000000; x=1701209600";
		const char *c = i % 2 == 0 ? "relaxed" : "simple";
		struct field f = {.name = SLICE("DKIM-Signature")};
		struct dkim_header_hash v[2];

		f.raw = slice_of(arena_printf(
			w->a,
			"DKIM-Signature:  v=1; a=rsa-sha256; c=%s; d=a.b; s=s;"
			"\r\n\th=%s; bh=%s; b=AA\r\n\tAA ; %s",
			c, lists[i % 8 / 2],
			"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=", times));
		f.value = slice_from(f.raw, f.name.n + 1);
		v[0] = (struct dkim_header_hash){
			.field = &f,
			.h = slice_of(lists[i % 8 / 2]),
			.mode = i % 2 == 0 ? CANON_RELAXED : CANON_SIMPLE,
			.plain = true};
		v[1] = v[0];
		v[1].plain = false;
		print_message("%s %s %s\n", times, c, lists[i % 8 / 2]);
		dkim_hash_headers(w->a, &l, &v[0], 2);
		assert_true(v[0].by_library);
		assert_false(v[1].by_library);
		assert_memory_equal(v[0].digest, v[1].digest, SHA256_LEN);
	}
}

/* ---- line ends and what the MTA will change ---- */

/* RFC 6376 5.3, said simply: CRLF, CR and LF end a line. */
static char *with_crlf(struct world *w, const char *s)
{
	struct strbuf b;

	strbuf_init(&b, w->a, 100000);
	for (; *s != '\0'; s++) {
		if (*s != '\r' && *s != '\n') {
			strbuf_addc(&b, *s);
			continue;
		}
		strbuf_adds(&b, "\r\n");
		if (s[0] == '\r' && s[1] == '\n')
			s++;
	}
	return arena_strdup(w->a, strbuf_cstr(&b));
}

/* `body` in three chunks, cut at `one` and `two`. */
static struct slice sign_body(struct world *w, const char *body, size_t one,
			      size_t two)
{
	struct slice in = check_heap(body, strlen(body)), none, ret;
	struct field_list l;
	struct dkim_signer *s;
	const char *reason;

	parse(w, SLICE("From: a@example.org\r\n\r\n"), &l, &none);
	s = dkim_signer_new(w->a, &l, &w->keys[1], 1, NOW);
	dkim_signer_body(s, slice_first(in, one));
	dkim_signer_body(s, slice_first(slice_from(in, one), two - one));
	dkim_signer_body(s, slice_from(in, two));
	assert_true(dkim_signer_end(s, &ret, &reason));
	assert_null(dkim_signer_warning(s));
	dkim_signer_free(s);
	free(unconst(in.p));
	return ret;
}

/* SM-2, SM-3, DK-53 */
static void test_line_ends(void **state)
{
	static const char *const bodies[] = {
		"a\nb\rc\r\nd",
		"\n",
		"\r",
		"\r\r\n",
		"\n\r",
		"\r\n\n\r\r",
		"a \r\n\t b\n\n\r x",
		"a\r\r\r\nb\n\n\n",
		"\n\na\r",
		"a\r\n\nb\r\n\r",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(char *); i++) {
		const char *sent = with_crlf(w, bodies[i]);
		size_t n = strlen(bodies[i]);
		struct slice want = sign_body(w, sent, 0, 0);
		struct slice none = {"", 0};
		struct dkim_results r;

		print_message("body %zu\n", i);
		for (size_t one = 0; one <= n; one++)
			for (size_t two = one; two <= n; two++)
				assert_true(slice_eq(
					sign_body(w, bodies[i], one, two),
					want));
		verify(w,
		       slice_of(with_signatures(
			       w, (struct slice[2]){want, none},
			       arena_printf(w->a,
					    "From: a@example.org\r\n\r\n%s",
					    sent))),
		       &r);
		assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	}
}

/* The work for a chunk is linear in its size. */
static void test_many_bare_cr(void **state)
{
	struct world *w = *state;
	size_t n = 1 << 19;
	char *body = arena_alloc(w->a, n + 1);
	clock_t start = clock();

	memset(body, '\r', n);
	(void)sign_body(w, body, 0, 0);
	assert_true(clock() - start < CLOCKS_PER_SEC);
}

static bool sign_field(struct world *w, struct slice value, struct slice *ret,
		       const char **reason)
{
	struct field_list l = {.n = 0};
	struct dkim_signer *s;
	bool ok;

	field_list_add(w->a, &l, &limits, SLICE("From"),
		       SLICE(" a@example.org"));
	field_list_add(w->a, &l, &limits, SLICE("Subject"), value);
	s = dkim_signer_new(w->a, &l, &w->keys[1], 1, NOW);
	ok = dkim_signer_end(s, ret, reason);
	dkim_signer_free(s);
	return ok;
}

/* DK-53: libmilter gives folds with LF; HP-7: other line ends are refused. */
static void test_field_line_ends(void **state)
{
	static const char *const bad[] = {" a\rb",  " a\nb",	" a\r\r\n b",
					  " a\r b", " a\n\n b", " a\r"};
	struct world *w = *state;
	struct slice crlf, lf, none;
	const char *reason = NULL;

	assert_true(sign_field(w, SLICE(" a\r\n\tb"), &crlf, &reason));
	assert_true(sign_field(w, SLICE(" a\n\tb"), &lf, &reason));
	assert_true(slice_eq(crlf, lf));
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++) {
		reason = NULL;
		assert_false(sign_field(w, slice_of(bad[i]), &none, &reason));
		assert_string_equal(reason, "control characters in the header");
	}
}

/* RFC 5322 2.1.1; `fields` and a body line of `n` bytes before `end`. */
static const char *warning_for(struct world *w, const char *fields, size_t n,
			       const char *end, size_t chunk)
{
	char *line = arena_alloc(w->a, n + 1);
	struct made m;

	memset(line, 'x', n);
	m = sign_chunks(w,
			slice_of(arena_printf(
				w->a, "From: a@example.org\r\n%s\r\nx\r\n%s%s",
				fields, line, end)),
			chunk);
	assert_true(m.ok);
	return m.warning;
}

static void test_long_lines(void **state)
{
	static const char *const ends[] = {"\r\nx\r\n", "\nx", "\rx", "\r\r\n",
					   ""};
	static const char body[] = "a body line is longer than 998 bytes";
	static const char field[] =
		"a field with a line longer than 998 bytes is not signed";
	static const size_t chunks[] = {1, 998, 1000, 65535};
	struct world *w = *state;
	char *x = arena_alloc(w->a, 1000), *fields;

	for (size_t i = 0; i < sizeof(ends) / sizeof(char *); i++) {
		for (size_t k = 0; k < 4; k++) {
			assert_null(
				warning_for(w, "", 998, ends[i], chunks[k]));
			assert_string_equal(
				warning_for(w, "", 999, ends[i], chunks[k]),
				body);
		}
	}
	memset(x, 'x', 998 - strlen("Subject: "));
	fields = arena_printf(w->a, "Subject: %s\r\n %s\r\nReceived: %sxx\r\n",
			      x, x, x);
	assert_null(warning_for(w, fields, 1, "", 1));
	fields = arena_printf(w->a, "Subject: %sx\r\n b\r\n", x);
	assert_string_equal(warning_for(w, fields, 1, "", 1), field);
	fields = arena_printf(w->a, "Subject: b\r\n xxxxxxxxx%s\r\n", x);
	assert_string_equal(warning_for(w, fields, 1, "", 1), field);
	/* The worst of several. */
	assert_string_equal(warning_for(w, fields, 999, "", 1), body);
	fields = arena_printf(w->a, "X-From: x\r\n%s", fields);
	assert_string_equal(warning_for(w, fields, 1, "", 1), field);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_same_output),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_two_hashers),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_many_bare_cr),
		cmocka_unit_test(test_field_line_ends),
		cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
