/*
 * DKIM-Signature fields (RFC 6376 3.5).  The input is one field value.
 */
#include "fuzz.h"

#include "dkim/signature.h"
#include "mail/domain.h"

static const struct field_limits limits = {
	.max_fields = 10, .max_field_bytes = 1 << 20, .max_bytes = 1 << 20};

static void check_ok(struct arena *a, const struct dkim_signature *s)
{
	const struct dkim_result *r = &s->result;

	FUZZ_CHECK(r->domain != NULL && r->selector != NULL);
	FUZZ_CHECK(strlen(s->query) <= DOMAIN_MAX);
	FUZZ_CHECK(domain_canon(a, slice_of(s->query)) != NULL);
	FUZZ_CHECK(domain_is_under(s->query, r->domain));
	FUZZ_CHECK(domain_is_under(s->identity_domain, r->domain));
	FUZZ_CHECK(s->body_hash.n == SHA256_LEN && s->sig.n > 0);
	/* RFC 6376 5.4, and our limit */
	FUZZ_CHECK(dkim_signature_lists(s->h, "FROM") > 0);
	FUZZ_CHECK(dkim_signature_lists(s->h, "from") <= DKIM_NAMES_MAX);
	/* RFC 6376 3.5; without t= the time is 0, and so may x= be */
	FUZZ_CHECK(!s->expires || s->time == 0 || s->expiry > s->time);
	/* what libopendkim is given */
	for (size_t i = 0; s->plain && i < s->field->raw.n; i++)
		FUZZ_CHECK((unsigned char)s->field->raw.p[i] < 0x7f);
	FUZZ_CHECK(!s->plain || r->identity.n <= 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct field_list l = {0};
	struct dkim_signature s;

	field_list_add(a, &l, &limits, SLICE("DKIM-Signature"),
		       fuzz_input(data, size));
	dkim_signature_parse(a, &l.v[0], &s);
	if (s.ok) {
		check_ok(a, &s);
	} else { /* RFC 8601 2.7.1 */
		FUZZ_CHECK(s.result.reason != NULL && !s.plain);
		FUZZ_CHECK(s.result.status == DKIM_STATUS_NEUTRAL ||
			   s.result.status == DKIM_STATUS_PERMERROR);
	}
	arena_free(a);
	return 0;
}
