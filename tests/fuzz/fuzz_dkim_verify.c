/*
 * DKIM verification of a whole message, libopendkim's hashing included.  The
 * input is the message.  Keys: r._domainkey.example.org (RSA) and
 * e._domainkey.example.org (Ed25519), made for this test alone.
 *
 * The verdicts must not depend on the pieces in which the body comes.
 */
#include "fuzz.h"

#include "dkim/dkim.h"

static const char zone[] =
	"r._domainkey.example.org TXT \"v=DKIM1; p="
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDoWw2gWesT/+UQd5Z52Mh00d+N"
	"qScGhghWWYkMEUWPmDfw4Zk8/zKlh2O/onpBh7EmuvoMeyqm521bA/bE7hsd54p7"
	"v40C/WfLiHX/iMQ7bbhgBdhXqF1coqKUeIfcy9sT5i++c/mWx7VEA/GylTT5sEcx"
	"3nMU/9wxZV5GNuDQtQIDAQAB\"\n"
	"e._domainkey.example.org TXT \"v=DKIM1; k=ed25519; p="
	"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\"\n"
	"s._domainkey.example.org TXT \"v=DKIM1; k=rsa; t=s:y; p=MIGf\"\n"
	"v._domainkey.example.org TXT \"p=\"\n"
	"t._domainkey.example.org TXT !TIMEOUT\n";
static const struct field_limits limits = {
	.max_fields = 200, .max_field_bytes = 1 << 20, .max_bytes = 1 << 20};

static struct dkim_verify_options options = {.max_signatures = 5,
					     .max_listed = 10,
					     .min_rsa_bits = 1024,
					     .max_rsa_bits = 4096,
					     .clock_skew = 300};

static void verify(struct arena *a, struct dns_budget *b,
		   const struct field_list *fields, struct slice body,
		   size_t piece, struct dkim_results *ret)
{
	static const char *const authors[] = {"example.org"};
	struct dkim_verifier *v =
		dkim_verifier_new(a, &options, fields, authors, 1);

	while (body.n > 0) {
		dkim_verifier_body(v, slice_first(body, piece));
		body = slice_from(body, piece);
	}
	dkim_verifier_end(v, b, 1600000000, ret);
	dkim_verifier_free(v);
}

static void check_same(const struct dkim_results *x,
		       const struct dkim_results *y)
{
	FUZZ_CHECK(x->n == y->n && x->n <= options.max_listed);
	for (size_t i = 0; i < x->n; i++) {
		const struct dkim_result *r = &x->v[i];

		FUZZ_CHECK(r->status == y->v[i].status);
		FUZZ_CHECK(r->reason == y->v[i].reason);
		if (r->status == DKIM_STATUS_PASS)
			FUZZ_CHECK(r->domain != NULL && r->selector != NULL);
		else
			FUZZ_CHECK(r->reason != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns *dns; /* kept: making them costs more than a run */
	struct dkim_results whole = {0}, pieces = {0};
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
	b = dns_budget_new(dns, 5000, 100);
	field_list_parse(a, &fields, &limits, fuzz_input(data, size), &body);
	verify(a, b, &fields, body, size + 1, &whole);
	verify(a, b, &fields, body, 3, &pieces);
	check_same(&whole, &pieces);
	dns_budget_free(b);
	arena_free(a);
	return 0;
}
