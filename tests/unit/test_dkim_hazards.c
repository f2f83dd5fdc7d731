/*
 * dkim/ against what is known to break libopendkim 2.11 and other verifiers:
 * wrong acceptance, wrong rejection, memory errors, unbounded work.  Those
 * that one tag list shows are rows in test_dkim_verify.c.
 *
 * Work is counted, not timed: the linker gives us the calls of
 * canon_body_feed() and crypto_hash_new() (see Makefile.am).
 */
#include "dkim_forge.h"

#include <stdio.h>

#define FIELDS	      "From: a@d.example\r\nTo: b@e.example\r\nSubject: s\r\n"
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- counting ---- */

static uint64_t fed;	/* body bytes canonicalized, all streams */
static unsigned hashes; /* digests begun */

void __real_canon_body_feed(struct canon_body *b, struct slice bytes);
void __wrap_canon_body_feed(struct canon_body *b, struct slice bytes);
struct crypto_hash *__real_crypto_hash_new(void);
struct crypto_hash *__wrap_crypto_hash_new(void);

void __wrap_canon_body_feed(struct canon_body *b, struct slice bytes)
{
	fed += bytes.n;
	__real_canon_body_feed(b, bytes);
}

struct crypto_hash *__wrap_crypto_hash_new(void)
{
	hashes++;
	return __real_crypto_hash_new();
}

static int setup(void **state)
{
	*state = forge_new("");
	return 0;
}

static int teardown(void **state)
{
	forge_free(*state);
	return 0;
}

/* `n` times `part`. */
static const char *repeat(struct forge *w, const char *part, size_t n)
{
	struct strbuf b;

	strbuf_init(&b, w->a, strlen(part) * n + 1);
	for (size_t i = 0; i < n; i++)
		strbuf_adds(&b, part);
	return strbuf_cstr(&b);
}

static const char *signed_message(struct forge *w, const struct forge_spec *s,
				  const char *fields, const char *body)
{
	return arena_printf(w->a, "%s%s\r\n%s",
			    forge_signature(w, s, fields, body), fields, body);
}

/* ---- memory ---- */

/* More names than fields: libopendkim writes past its list when all fields
 * are used up and h= goes on (RFC 6376 5.4: those names hash as nothing). */
static void test_more_names_than_fields(void **state)
{
	struct forge *w = *state;
	static const size_t counts[] = {1, 2, 13, 14, 15, 16, 60, 197};

	for (size_t i = 0; i < LENGTH(counts); i++) {
		struct forge_spec s = {0};
		s.h = arena_printf(w->a, "from:to:subject%s",
				   repeat(w, ":x-none", counts[i]));
		forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"), "pass",
			     NULL);
		/* all fields used up, the signature among them */
		s.h = arena_printf(w->a, "from:to:subject:dkim-signature%s",
				   repeat(w, ":x-none", counts[i] - 1));
		forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"), "pass",
			     NULL);
		/* oversigned: the same name again and again */
		s.h = arena_printf(w->a, "from:to:subject%s",
				   repeat(w, ":from", counts[i]));
		forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"), "pass",
			     NULL);
	}
}

/* The name that pads libopendkim's list may itself be in h=. */
static void test_h_names_the_pad(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {.h = "from:x-pad-0:X-Pad-1:to:x-pad-0"};

	forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"), "pass", NULL);
	forge_expect(w, signed_message(w, &s, "X-Pad-0: y\r\n" FIELDS, "x\r\n"),
		     "pass", NULL);
}

static void test_names_without_end(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {0};

	s.h = arena_printf(w->a, "from%s", repeat(w, ":x", 5000));
	s.bh = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=";
	forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"), "permerror",
		     "too many names in h=");
	assert_int_equal(w->queries, 0);
}

/* h= of 5,000 bytes: libopendkim reads 4,095 of them. */
static void test_long_h(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {0};
	const char *name = arena_printf(w->a, "x-%s", repeat(w, "n", 98));
	const char *fields =
		arena_printf(w->a, "%s: v\r\n" FIELDS "X-Last: 1\r\n", name);

	s.h = arena_printf(w->a, "from%s:x-last",
			   repeat(w, arena_printf(w->a, ":%s", name), 50));
	assert_true(strlen(s.h) > 5000);
	forge_expect(w, signed_message(w, &s, fields, "x\r\n"), "pass", NULL);
	/* the name at its end counts */
	forge_expect(w,
		     arena_printf(w->a,
				  "%s%s: v\r\n" FIELDS "X-Last: 2\r\n\r\nx\r\n",
				  forge_signature(w, &s, fields, "x\r\n"),
				  name),
		     "fail", "signature did not verify");
}

/* i= past 256 bytes is left without an end by libopendkim; "=" before its end
 * makes dkim_qp_decode() read on. */
static void test_identities(void **state)
{
	struct forge *w = *state;
	const struct {
		const char *i, *status, *reason;
	} cases[] = {
		{repeat(w, "i", 199), "pass", NULL},
		{repeat(w, "i", 245), "pass", NULL},
		{repeat(w, "i", 300), "pass", NULL},
		{repeat(w, "i", 600), "permerror", "bad i="},
		{repeat(w, "i", 60000), "permerror", "bad i="},
		{"joe=", "pass", NULL},
		{"joe=4", "pass", NULL},
		{"=", "pass", NULL},
		{"", "pass", NULL},
		{"a@b", "pass", NULL},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct forge_spec s = {0};
		struct dkim_results r;
		const char *m;

		s.tags = arena_printf(w->a, FORGE_TAGS " i=%s@d.example;",
				      cases[i].i);
		m = signed_message(w, &s, FIELDS, "x\r\n");
		print_message("i=%.40s\n", cases[i].i);
		forge_expect(w, m, cases[i].status, cases[i].reason);
		/* what is reported is bounded too */
		forge_verify(w, slice_of(m), &r);
		assert_true(r.v[0].identity.n <= 512);
	}
	for (size_t i = 0; i < 3; i++) {
		static const char *const bad[] = {"joe", "joe@d.example=", "@"};
		struct forge_spec s = {0};
		s.tags = arena_printf(w->a, FORGE_TAGS " i=%s;", bad[i]);
		forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"),
			     "permerror", "bad i=");
	}
}

/* A signature that is refused at its first tag is reported all the same, and
 * not with all that it brought. */
static void test_reported_text_is_bounded(void **state)
{
	struct forge *w = *state;
	const char *lots = repeat(w, "i", 60000);
	const char *m = arena_printf(
		w->a,
		"DKIM-Signature: v=2; a=%s; i=%s@d.example; d=d.example; s=s;"
		" h=from; b=%s; bh=AA\r\n" FIELDS "\r\n",
		lots, lots, lots);
	struct dkim_results r;

	forge_verify(w, slice_of(m), &r);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.v[0].reason, "unknown version");
	assert_true(r.v[0].identity.n <= 512);
	assert_true(r.v[0].algorithm.n <= 64);
	assert_true(r.v[0].b.n <= 4096);
}

static void test_huge_b(void **state)
{
	struct forge *w = *state;
	const char *m =
		arena_printf(w->a,
			     "DKIM-Signature: " FORGE_TAGS
			     " h=from; bh=%s; b=%s\r\n" FIELDS "\r\n",
			     "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
			     repeat(w, "AAAA", 15000));

	forge_expect(w, m, "permerror", "bad b=");
	assert_int_equal(w->queries, 0);
}

/* z= is for people (RFC 6376 3.5): whatever it says, and however much, it
 * neither helps nor hurts. */
static void test_copied_fields(void **state)
{
	struct forge *w = *state;
	const char *const z[] = {
		"From:x@y.example|Subject:other",
		"=",
		"|||=|=0|=0D=0A|",
		"a=",
		repeat(w, "From:a@d.example|", 3000),
		repeat(w, "=", 30000),
	};

	for (size_t i = 0; i < LENGTH(z); i++) {
		struct forge_spec s = {0};
		s.tags = arena_printf(w->a, FORGE_TAGS " z=%s;", z[i]);
		forge_expect(w, signed_message(w, &s, FIELDS, "x\r\n"), "pass",
			     NULL);
	}
	/* DK-6: the field is what it is, not what z= says that it was */
	struct forge_spec s = {.tags = FORGE_TAGS " z=Subject:s;"};
	forge_expect(w,
		     arena_printf(w->a,
				  "%sFrom: a@d.example\r\nTo: b@e.example\r\n"
				  "Subject: t\r\n\r\nx\r\n",
				  forge_signature(w, &s, FIELDS, "x\r\n")),
		     "fail", "signature did not verify");
}

/* An empty field, a field of white space, and no body at all. */
static void test_empty_things(void **state)
{
	struct forge *w = *state;
	static const char *const fields[] = {
		"From: a@d.example\r\nTo:\r\nSubject: \t \r\n",
		"From: a@d.example\r\nTo: \r\n \r\nSubject:\r\n",
		"To:\r\nTo:\r\nTo:\r\nFrom: a@d.example\r\n",
		"From:\r\n",
		/* libopendkim refuses a tab before the colon */
		"From \t: a@d.example\r\nTo\t:\r\nSubject\t: s\r\n",
	};

	for (size_t i = 0; i < LENGTH(fields) * 4; i++) {
		struct forge_spec s = {0};
		const char *f = fields[i / 4];
		bool body = i % 4 < 2, simple = i % 2 != 0;

		s.simple_header = s.simple_body = simple;
		s.h = "from:to:to:to:to:subject";
		s.tags = simple ? "v=1; a=rsa-sha256; d=d.example; s=rsa;"
				: NULL;
		forge_expect(w, signed_message(w, &s, f, body ? "\r\n" : ""),
			     "pass", NULL);
	}
	/* no field value at all */
	forge_expect(w, "DKIM-Signature:\r\n" FIELDS "\r\n", "neutral",
		     "syntax error in tag list");
	forge_expect(w, "DKIM-Signature: ;;;\r\n" FIELDS "\r\n", "neutral",
		     "syntax error in tag list");
}

/* The signature field alone is the whole message. */
static void test_nothing_else(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {.h = "from:from:from"};

	forge_expect(w, forge_signature(w, &s, "", ""), "pass", NULL);
}

/* Other signatures of the same message do not disturb each other: one that
 * only we hash (zb=), one that libopendkim hashes, one that is broken. */
static void test_mixed_signatures(void **state)
{
	struct forge *w = *state;
	struct forge_spec odd = {.tags = FORGE_TAGS " zb=b;"}, plain = {0};
	const char *m = arena_printf(
		w->a,
		"%s%sDKIM-Signature: v=1; broken\r\n%s" FIELDS "\r\nx\r\n",
		forge_signature(w, &odd, FIELDS, "x\r\n"),
		forge_signature(w, &plain, FIELDS, "x\r\n"),
		forge_signature(w, &odd, FIELDS, "y\r\n"));
	struct dkim_results r;

	forge_verify(w, slice_of(m), &r);
	assert_int_equal(r.n, 4);
	assert_int_equal(r.v[0].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[1].status, DKIM_STATUS_PASS);
	assert_int_equal(r.v[2].status, DKIM_STATUS_NEUTRAL);
	assert_int_equal(r.v[3].status, DKIM_STATUS_FAIL);
}

/* ---- work ---- */

#define BODY_BYTES (1 << 20)

/* `n` signatures with distinct l= (1, 2, 3 ...) above a body of 1 MB. */
static struct slice many_signatures(struct forge *w, unsigned n)
{
	struct strbuf m;

	strbuf_init(&m, w->a, 8 << 20);
	for (unsigned i = 0; i < n; i++)
		strbuf_printf(&m,
			      "DKIM-Signature: " FORGE_TAGS
			      " l=%u; h=from; b=AAAA; bh=%s\r\n",
			      i + 1,
			      "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
	strbuf_adds(&m, FIELDS "\r\n");
	strbuf_adds(&m, repeat(w, "0123456789abcdef 0123456789abc\r\n",
			       BODY_BYTES / 32));
	return strbuf_slice(&m);
}

static size_t count(const struct dkim_results *r, const char *reason)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].reason != NULL &&
		     strcmp(r->v[i].reason, reason) == 0;
	return n;
}

/* DK-31: libopendkim hashes the body once for each signature, however many
 * there are.  We stop at max_signatures. */
static void test_many_signatures(void **state)
{
	static const struct {
		unsigned n, evaluate, list;
	} cases[] = {
		{10, 10, 50}, {200, 10, 50}, {1000, 10, 50},
		{1000, 3, 7}, {1000, 0, 50},
	};
	struct forge *w = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		unsigned n = cases[i].n, evaluate = cases[i].evaluate;
		size_t listed = n < cases[i].list ? n : cases[i].list;
		struct slice m = many_signatures(w, n);
		struct dkim_results r;

		w->options.max_signatures = evaluate;
		w->options.max_listed = cases[i].list;
		fed = 0;
		hashes = 0;
		forge_verify(w, m, &r);
		assert_int_equal(r.n, listed);
		assert_int_equal(r.more, n - listed);
		assert_int_equal(count(&r, "not evaluated"), listed - evaluate);
		assert_int_equal(fed, (uint64_t)evaluate * BODY_BYTES);
		/* at most one for the fields and one for the body of each */
		assert_true(hashes <= 2 * evaluate);
	}
	w->options.max_signatures = 10;
	w->options.max_listed = 50;
}

/* Signatures that agree in canonicalization and l= share one hash. */
static void test_shared_body(void **state)
{
	struct forge *w = *state;
	struct forge_spec s = {0};
	const char *one = forge_signature(w, &s, FIELDS, "x\r\n");
	struct dkim_results r;
	const char *m =
		arena_printf(w->a, "%s" FIELDS "\r\nx\r\n", repeat(w, one, 10));

	fed = 0;
	forge_verify(w, slice_of(m), &r);
	assert_int_equal(r.n, 10);
	for (size_t i = 0; i < r.n; i++)
		assert_int_equal(r.v[i].status, DKIM_STATUS_PASS);
	assert_int_equal(fed, 3);
	/* one name, one question */
	assert_int_equal(w->queries, 1);
}

/* No signature that can be evaluated: the body is not looked at. */
static void test_no_work_for_bad_ones(void **state)
{
	struct forge *w = *state;
	struct dkim_results r;
	const char *m = arena_printf(
		w->a, "%s" FIELDS "\r\n%s",
		repeat(w,
		       "DKIM-Signature: v=1; a=rsa-sha1; d=d.example; "
		       "s=rsa; h=from; bh=AA==; b=AA==\r\n",
		       40),
		repeat(w, "x\r\n", 1000));

	fed = 0;
	forge_verify(w, slice_of(m), &r);
	assert_int_equal(count(&r, "rsa-sha1 is not accepted"), 40);
	assert_int_equal(fed, 0);
	assert_int_equal(w->queries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_names_than_fields),
		cmocka_unit_test(test_h_names_the_pad),
		cmocka_unit_test(test_names_without_end),
		cmocka_unit_test(test_long_h),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_reported_text_is_bounded),
		cmocka_unit_test(test_huge_b),
		cmocka_unit_test(test_copied_fields),
		cmocka_unit_test(test_empty_things),
		cmocka_unit_test(test_nothing_else),
		cmocka_unit_test(test_mixed_signatures),
		cmocka_unit_test(test_many_signatures),
		cmocka_unit_test(test_shared_body),
		cmocka_unit_test(test_no_work_for_bad_ones),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
