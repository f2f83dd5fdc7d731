/*
 * What we sign verifies: DKIM (dkim/sign.c, names.c, sendmail.c) and ARC
 * (arc/seal.c) over any message.  The input: a line with a letter for what the
 * MTA does ("s" Sendmail, "u" unknown) and one for the key ("r" RSA), then the
 * message.
 */
#include "fuzz.h"

#include "arc/arc.h"
#include "dkim/dkim.h"
#include "dkim/names.h"
#include "dkim/sendmail.h"
#include "mail/base64.h"
#include "mail/lines.h"

#define NOW   INT64_C(1795500000)
#define PIECE 3

static const struct field_limits limits = {200, 65536, 262144};
static const struct dkim_verify_options verifying = {10,   50,	1024,
						     4096, 300, NULL};

struct world {
	struct dns *dns;
	struct crypto_keycache *cache;
	struct dkim_signing_key rsa, ed;
};

static void add_key(struct strbuf *zone, const struct dkim_signing_key *k)
{
	struct arena *a = zone->arena;
	struct slice p = base64_encode(a, crypto_privkey_public(a, k->key));

	strbuf_printf(zone, "%s._domainkey.%s TXT \"v=DKIM1; k=%s; p=\"",
		      k->selector, k->domain,
		      crypto_privkey_type(k->key) == CRYPTO_RSA ? "rsa"
								: "ed25519");
	for (; p.n > 0; p = slice_from(p, 200)) {
		struct slice part = slice_first(p, 200);

		strbuf_printf(zone, " \"%.*s\"", (int)part.n, part.p);
	}
	strbuf_addc(zone, '\n');
}

static void start(struct world *w)
{
	struct arena *a = arena_new();
	const char *err = NULL;
	struct strbuf zone;

	w->rsa = (struct dkim_signing_key){
		.domain = "example.org",
		.selector = "r",
		.key = crypto_privkey_generate(CRYPTO_RSA, 1024),
		.lifetime = 1000};
	w->ed = (struct dkim_signing_key){
		.domain = "example.org",
		.selector = "e",
		.identity = "\"a b\"@sub.example.org",
		.key = crypto_privkey_generate(CRYPTO_ED25519, 0)};
	strbuf_init(&zone, a, 65536);
	add_key(&zone, &w->rsa);
	add_key(&zone, &w->ed);
	w->dns = dns_new_zone_text(a, strbuf_slice(&zone), &err);
	w->cache = crypto_keycache_new(16);
	FUZZ_CHECK(w->dns != NULL);
	arena_free(a);
}

/* The message as others get it: one field more on top, lines with CRLF. */
static void with_field(struct arena *a, const char *name, struct slice value,
		       const struct field_list *fields, struct field_list *ret)
{
	struct field_limits more = limits;

	more.max_fields += 4;
	more.max_field_bytes *= 4;
	more.max_bytes *= 4;
	for (size_t i = 0; i < value.n; i++) /* no line of ours ends a header */
		FUZZ_CHECK(value.p[i] != '\n' ||
			   (i + 1 < value.n && ascii_iswsp(value.p[i + 1])));
	field_list_add(a, ret, &more, slice_of(name), value);
	for (size_t i = 0; fields != NULL && i < fields->n; i++)
		field_list_add(a, ret, &more, fields->v[i].name,
			       fields->v[i].value);
	FUZZ_CHECK(ret->trouble == FIELD_OK);
}

static struct slice as_sent(struct arena *a, struct slice body)
{
	struct strbuf b;

	strbuf_init(&b, a, 2 * body.n + 1);
	for (size_t i = 0; i < body.n; i++) {
		bool cr = body.p[i] == '\r';

		if (!cr && body.p[i] != '\n') {
			strbuf_addc(&b, body.p[i]);
			continue;
		}
		strbuf_adds(&b, "\r\n");
		i += cr && i + 1 < body.n && body.p[i + 1] == '\n';
	}
	return strbuf_slice(&b);
}

/* ---- DKIM ---------------------------------------------------------------- */

static void verify(struct arena *a, struct world *w,
		   const struct field_list *fields, struct slice body)
{
	struct dns_budget *b = dns_budget_new(w->dns, 5000, 100);
	struct dkim_verify_options o = verifying;
	struct dkim_results r = {0};
	struct dkim_verifier *v;

	o.keycache = w->cache;
	v = dkim_verifier_new(a, &o, fields, NULL, 0);
	dkim_verifier_body(v, body);
	dkim_verifier_end(v, b, NOW, &r);
	dkim_verifier_free(v);
	dns_budget_free(b);
	FUZZ_CHECK(r.n > 0);
	if (r.v[0].status != DKIM_STATUS_PASS)
		fprintf(stderr, "%s\n", r.v[0].reason);
	FUZZ_CHECK(r.v[0].status == DKIM_STATUS_PASS);
	FUZZ_CHECK(strcmp(r.v[0].domain, "example.org") == 0);
}

static void sign(struct arena *a, struct world *w,
		 const struct field_list *fields, struct slice body,
		 const struct dkim_signing_key *key, enum dkim_mta mta)
{
	struct dkim_signer *s = dkim_signer_new(a, fields, key, 1, NOW);
	struct field_list sent = *fields, all = {0};
	const char *reason = NULL, *warning;
	struct slice rest = body, value;
	bool ok;

	dkim_signer_mta(s, mta);
	for (; rest.n > 0; rest = slice_from(rest, PIECE))
		dkim_signer_body(s, slice_first(rest, PIECE));
	ok = dkim_signer_end(s, &value, &reason);
	FUZZ_CHECK(ok == (reason == NULL));
	warning = dkim_signer_warning(s);
	FUZZ_CHECK(warning == NULL || fuzz_printable(warning));
	dkim_signer_free(s);
	if (!ok)
		return;
	if (mta == DKIM_MTA_SENDMAIL)
		dkim_sendmail_fields(a, fields, &sent);
	with_field(a, "DKIM-Signature", value, &sent, &all);
	verify(a, w, &all, as_sent(a, body));
}

/* ---- ARC ----------------------------------------------------------------- */

static void find_chain(struct arena *a, struct world *w,
		       const struct field_list *fields, struct slice body,
		       struct arc_result *ret)
{
	const struct arc_options o = {1024, 4096, w->cache};
	struct dns_budget *b = dns_budget_new(w->dns, 5000, 150);
	struct arc_verifier *v = arc_verifier_new(a, &o, fields);

	arc_verifier_body(v, body);
	arc_verifier_end(v, b, ret);
	arc_verifier_free(v);
	dns_budget_free(b);
}

/* With our set the chain is what it was, or begins. */
static void seal(struct arena *a, struct world *w,
		 const struct field_list *fields, struct slice body,
		 const struct dkim_signing_key *key)
{
	const struct arc_sealing_key k = {key->domain, key->selector, key->key};
	const struct dkim_signing_key plain = {.domain = key->domain};
	struct field_list one = {0}, two = {0}, three = {0};
	const char *reason = NULL, *left_out = NULL;
	struct arc_sealer *s = arc_sealer_new(a);
	struct arc_result found, again;
	struct arc_seal_input in = {
		.fields = fields,
		.found = &found,
		.authres = SLICE("mx.test; spf=none; dmarc=none"),
		.now = NOW};
	struct arc_new_set set;

	find_chain(a, w, fields, body, &found);
	arc_sealer_body(s, body);
	if (dkim_names_choose(a, fields, DKIM_MTA_KEEPS, &plain, &in.names,
			      &left_out) == NULL &&
	    arc_sealer_end(s, &in, &k, &set, &reason)) {
		FUZZ_CHECK(set.instance >= 1 && set.instance <= ARC_SETS_MAX);
		with_field(a, "ARC-Authentication-Results", set.results, fields,
			   &one);
		with_field(a, "ARC-Message-Signature", set.signature, &one,
			   &two);
		with_field(a, "ARC-Seal", set.seal, &two, &three);
		find_chain(a, w, &three, as_sent(a, body), &again);
		if (again.status == ARC_STATUS_FAIL &&
		    found.status != ARC_STATUS_FAIL)
			fprintf(stderr, "%s\n", again.reason);
		if (found.status == ARC_STATUS_FAIL)
			FUZZ_CHECK(again.status == ARC_STATUS_FAIL);
		else
			FUZZ_CHECK(again.status == ARC_STATUS_PASS &&
				   again.n == set.instance);
	}
	arc_sealer_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct slice rest = fuzz_input(data, size), line = fuzz_line(&rest);
	const struct dkim_signing_key *key = &w.ed;
	enum dkim_mta mta = DKIM_MTA_KEEPS;
	struct arena *a = arena_new();
	struct field_list fields = {0};
	struct slice body;

	if (w.dns == NULL)
		start(&w);
	if (slice_chr(line, 'r') >= 0)
		key = &w.rsa;
	if (slice_chr(line, 's') >= 0)
		mta = DKIM_MTA_SENDMAIL;
	else if (slice_chr(line, 'u') >= 0)
		mta = DKIM_MTA_UNKNOWN;
	field_list_parse(a, &fields, &limits, rest, &body);
	if (fields.trouble == FIELD_OK) {
		sign(a, &w, &fields, body, key, mta);
		seal(a, &w, &fields, body, key);
	}
	arena_free(a);
	return 0;
}
