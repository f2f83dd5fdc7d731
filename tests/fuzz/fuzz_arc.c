/*
 * ARC: the sets of a message and their verification.  The input is the message.
 * Keys: r._domainkey.example.org (RSA) and e._domainkey.example.org (Ed25519),
 * made for this test alone.
 *
 * The verdict must not depend on the pieces in which the body comes.
 */
#include "fuzz.h"

#include "arc/arc.h"
#include "mail/domain.h"

static const char zone[] =
	"r._domainkey.example.org TXT \"v=DKIM1;  p="
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDIKi6B57mPCrTkmw+EJzbTRVbV"
	"iVl74gKDkKvmvM0JOhGK0f+cchagc1FNkwM5SA6XGx9xCGCt0V+WNdxa9K4wJmxu"
	"eO61Uhe8yDQrGvJWzP2l5Q/fdn85yTLJVAaPqCfvcyO041JIpIG8j6blbI+nhPpj"
	"tO+tYpA3+HratOBJLQIDAQAB\"\n"
	"e._domainkey.example.org TXT \"v=DKIM1; k=ed25519; p="
	"oZ0VWcb8Xji3K+5FA1dYAzMqJE5SCNWPRdjXvGFjJTU=\"\n"
	"v._domainkey.example.org TXT \"p=\"\n"
	"t._domainkey.example.org TXT !TIMEOUT\n";
static const struct field_limits limits = {
	.max_fields = 200, .max_field_bytes = 1 << 20, .max_bytes = 1 << 20};

static struct arc_options options = {1024, 4096, NULL};

static void verify(struct arena *a, struct dns_budget *b,
		   const struct field_list *fields, struct slice body,
		   size_t piece, struct arc_result *ret)
{
	struct arc_verifier *v = arc_verifier_new(a, &options, fields);

	arc_verifier_prefetch(v, b);
	while (body.n > 0) {
		arc_verifier_body(v, slice_first(body, piece));
		body = slice_from(body, piece);
	}
	arc_verifier_end(v, b, ret);
	arc_verifier_free(v);
}

static void check_sets(struct arena *a, const struct arc_result *r)
{
	FUZZ_CHECK(r->n <= ARC_SETS_MAX);
	for (size_t i = 0; i < r->n; i++) {
		const struct arc_set *s = &r->v[i];

		FUZZ_CHECK(s->results.n > 0 && s->results.p != NULL);
		FUZZ_CHECK(s->seal_domain != NULL);
		FUZZ_CHECK(domain_canon(a, slice_of(s->seal_domain)) != NULL);
	}
}

/* RFC 8617 5.2, and arc.h */
static void check_result(struct arena *a, const struct field_list *fields,
			 const struct arc_result *r)
{
	size_t seals = field_count(fields, "ARC-Seal");

	FUZZ_CHECK((r->status == ARC_STATUS_FAIL) == (r->reason != NULL));
	FUZZ_CHECK(r->reason == NULL || fuzz_printable(r->reason));
	FUZZ_CHECK(r->status == ARC_STATUS_FAIL ||
		   (!r->temporary && !r->ended));
	FUZZ_CHECK(
		r->status != ARC_STATUS_PASS ||
		(r->n > 0 && r->n == seals && r->v[r->n - 1].signature_domain));
	FUZZ_CHECK(r->status != ARC_STATUS_NONE || (r->n == 0 && seals == 0));
	FUZZ_CHECK(r->oldest_pass <= r->n);
	FUZZ_CHECK(r->oldest_pass != 1); /* all pass: 0 */
	check_sets(a, r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns *dns; /* kept: making them costs more than a run */
	struct arc_result whole, pieces;
	struct arena *a = arena_new();
	struct field_list fields = {0};
	struct dns_budget *b;
	struct slice body;
	const char *err = NULL;

	if (dns == NULL) {
		dns = dns_new_zone_text(a, slice_of(zone), &err);
		FUZZ_CHECK(dns != NULL);
		options.keycache = crypto_keycache_new(16);
	}
	b = dns_budget_new(dns, 5000, 150);
	field_list_parse(a, &fields, &limits, fuzz_input(data, size), &body);
	verify(a, b, &fields, body, size + 1, &whole);
	verify(a, b, &fields, body, 3, &pieces);
	check_result(a, &fields, &whole);
	FUZZ_CHECK(whole.status == pieces.status);
	FUZZ_CHECK(whole.reason == pieces.reason);
	FUZZ_CHECK(whole.oldest_pass == pieces.oldest_pass);
	FUZZ_CHECK(dns_budget_queries(b) <= 2 * 2 * ARC_SETS_MAX);
	dns_budget_free(b);
	arena_free(a);
	return 0;
}
