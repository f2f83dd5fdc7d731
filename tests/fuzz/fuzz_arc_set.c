/*
 * The sets of a chain as their fields say it (RFC 8617 4.1).  The input is a
 * header block.
 */
#include "fuzz.h"

#include "arc/set.h"
#include "mail/domain.h"

static const struct field_limits limits = {
	.max_fields = 400, .max_field_bytes = 1 << 20, .max_bytes = 1 << 20};

static bool is_of(const struct field_list *l, const struct field *f)
{
	return f >= l->v && f < l->v + l->n && arc_is_field(f->name);
}

static void check_tags(struct arena *a, const struct field_list *l,
		       const struct arc_tags *t)
{
	FUZZ_CHECK(is_of(l, t->field));
	FUZZ_CHECK(t->domain != NULL && t->query != NULL && t->sig.n > 0);
	FUZZ_CHECK(domain_canon(a, slice_of(t->domain)) != NULL);
}

static void check_signature(struct arena *a, const struct field_list *l,
			    const struct arc_signature *s)
{
	FUZZ_CHECK(is_of(l, s->tags.field));
	if (s->bad != NULL) {
		FUZZ_CHECK(fuzz_printable(s->bad));
		return;
	}
	check_tags(a, l, &s->tags);
	FUZZ_CHECK(s->body_hash.n == SHA256_LEN);
	FUZZ_CHECK(fuzz_inside(s->h, s->tags.field->value));
}

/* A chain without a reason is complete and in order. */
static void check_chain(struct arena *a, const struct field_list *l,
			const struct arc_chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct arc_link *link = &c->v[i];

		FUZZ_CHECK(is_of(l, link->results));
		FUZZ_CHECK(fuzz_inside(link->results_text,
				       link->results->value));
		check_tags(a, l, &link->seal.tags);
		check_signature(a, l, &link->signature);
		FUZZ_CHECK(link->seal.cv ==
			   (i == 0 ? ARC_CV_NONE : ARC_CV_PASS));
	}
	FUZZ_CHECK(c->n == 0 || c->v[c->n - 1].signature.bad == NULL);
	FUZZ_CHECK(c->n == field_count(l, "ARC-Seal"));
	FUZZ_CHECK(c->n == field_count(l, "ARC-Message-Signature"));
	FUZZ_CHECK(c->n == field_count(l, "ARC-Authentication-Results"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct field_list fields = {0};
	struct arc_chain chain;
	struct slice body;

	field_list_parse(a, &fields, &limits, fuzz_input(data, size), &body);
	arc_chain_read(a, &fields, &chain);
	FUZZ_CHECK(chain.n <= ARC_SETS_MAX);
	FUZZ_CHECK(chain.reason == NULL || fuzz_printable(chain.reason));
	FUZZ_CHECK(!chain.ended || chain.reason != NULL);
	if (chain.reason == NULL)
		check_chain(a, &fields, &chain);
	arena_free(a);
	return 0;
}
