/*
 * The SPF record parser (RFC 7208 section 12).  The input is one TXT text.
 *
 * The parse must agree with the terms read one by one, and with the parse of
 * the same record in lower case (RFC 7208 4.6.1: names are case-insensitive).
 */
#include "fuzz.h"

#include "spf/macro.h"
#include "spf/record.h"

static void check_term(const struct spf_term *t, struct slice record)
{
	bool needs_domain =
		t->kind == SPF_KIND_INCLUDE || t->kind == SPF_KIND_EXISTS ||
		t->kind == SPF_KIND_REDIRECT || t->kind == SPF_KIND_EXP;

	FUZZ_CHECK(t->text.n > 0 && fuzz_inside(t->text, record));
	FUZZ_CHECK(fuzz_inside(t->domain, t->text));
	FUZZ_CHECK(t->bits4 <= 32 && t->bits6 <= 128);
	FUZZ_CHECK(!needs_domain || t->domain.n > 0);
	FUZZ_CHECK(t->domain.n == 0 || spf_macro_domain_ok(t->domain));
	for (size_t i = 0; i < t->text.n; i++)
		FUZZ_CHECK(t->text.p[i] > 0x20 && t->text.p[i] < 0x7f);
}

/* False at a syntax error; *twice: redirect or exp came again (6). */
static bool read_terms(struct slice txt, struct spf_record *ret, bool *twice)
{
	struct slice rest = slice_from(txt, strlen("v=spf1"));
	struct spf_term t;
	bool bad;

	while (spf_record_next(&rest, &t, &bad)) {
		check_term(&t, txt);
		ret->has_all = ret->has_all || t.kind == SPF_KIND_ALL;
		if (t.kind == SPF_KIND_REDIRECT) {
			*twice = *twice || ret->redirect.n > 0;
			ret->redirect = t.domain;
		} else if (t.kind == SPF_KIND_EXP) {
			*twice = *twice || ret->exp.n > 0;
			ret->exp = t.domain;
		}
	}
	return !bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice txt = fuzz_input(data, size), lower;
	struct arena *a = arena_new();
	struct spf_record got = {0}, want = {0};
	bool ok = spf_record_parse(txt, &got);
	bool twice = false;

	if (!spf_record_is(txt))
		FUZZ_CHECK(!ok);
	else
		FUZZ_CHECK(ok == (read_terms(txt, &want, &twice) && !twice));
	FUZZ_CHECK(fuzz_inside(spf_record_fault(txt), txt));
	if (ok) {
		FUZZ_CHECK(spf_record_fault(txt).n == 0);
		FUZZ_CHECK(got.has_all == want.has_all);
		FUZZ_CHECK(slice_eq(got.redirect, want.redirect));
		FUZZ_CHECK(slice_eq(got.exp, want.exp));
	}
	lower = (struct slice){slice_lower(a, txt), size};
	FUZZ_CHECK(spf_record_parse(lower, &got) == ok);
	arena_free(a);
	return 0;
}
