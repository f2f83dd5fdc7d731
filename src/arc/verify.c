/*
 * Verification of a chain (RFC 8617 5.2).
 *
 * Header hashes are made at the end of the header: of each signature, and of
 * each seal over its own set and all before it, which one running hash gives in
 * one pass.  The body is hashed once for each way in which signatures want it,
 * at most BODIES_MAX ways.  At the end of the message keys are asked for: the
 * newest signature, then the seals, newest first, then the older signatures for
 * oldest-pass.
 */
#include "arc/set.h"

#include <string.h>

#include "mail/keyrecord.h"

/* Signatures that want the body in yet another way cannot pass: a chain has one
 * or two ways, and each costs as much as the body is long. */
#define BODIES_MAX 4

struct body_stream {
	struct canon_body canon;
	struct crypto_hash *hash;
	unsigned char digest[SHA256_LEN];
};

/* A signature, read in one way. */
struct reading {
	struct body_stream *body; /* NULL: it cannot pass */
	unsigned char digest[SHA256_LEN];
};

/* What is known of one set at the end of the header. */
struct job {
	size_t n; /* 1, or 2 without c= */
	struct reading v[2];
	unsigned char seal[SHA256_LEN];
};

struct arc_verifier {
	struct arena *arena;
	struct arc_options options;
	const struct field_list *fields;
	struct arc_chain chain;
	struct job *jobs;
	struct field *others; /* room for as many as there are fields */
	size_t nbodies;
	struct body_stream bodies[BODIES_MAX];
	bool temporary;
};

const char *arc_status_name(enum arc_status s)
{
	return s == ARC_STATUS_NONE   ? "none"
	       : s == ARC_STATUS_PASS ? "pass"
				      : "fail";
}

static void add_to_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

/* ---- header hashes ---- */

/* A field to be signed is not the signature itself, whatever h= lists. */
static void add_selected(struct arc_verifier *v, const struct arc_signature *s,
			 enum canon_mode mode, struct crypto_hash *h)
{
	struct field_list others = *v->fields;
	size_t at[ARC_NAMES_MAX], n = 0, names;

	others.v = v->others;
	for (size_t i = 0; i < v->fields->n; i++)
		if (&v->fields->v[i] != s->tags.field)
			others.v[n++] = v->fields->v[i];
	others.n = n;
	names = canon_select(&others, s->h, ARC_NAMES_MAX, at);
	for (size_t i = 0; names != SIZE_MAX && i < names; i++)
		if (at[i] != SIZE_MAX)
			canon_field(mode, others.v[at[i]].raw, true,
				    add_to_hash, h);
}

static void hash_signature(struct arc_verifier *v,
			   const struct arc_signature *s, enum canon_mode mode,
			   unsigned char out[SHA256_LEN])
{
	struct crypto_hash *h = crypto_hash_new();

	add_selected(v, s, mode, h);
	canon_field(mode, canon_without_b(v->arena, s->tags.field->raw), false,
		    add_to_hash, h);
	crypto_hash_end(h, out);
	crypto_hash_free(h);
}

static void add_relaxed(struct crypto_hash *h, struct slice raw, bool crlf)
{
	canon_field(CANON_RELAXED, raw, crlf, add_to_hash, h);
}

/* RFC 8617 5.1.1: set by set, AAR, AMS, AS; of the last its b= is empty. */
static void hash_seals(struct arc_verifier *v)
{
	struct crypto_hash *all = crypto_hash_new(), *one;

	for (size_t i = 0; i < v->chain.n; i++) {
		const struct arc_link *link = &v->chain.v[i];
		struct slice seal = link->seal.tags.field->raw;

		add_relaxed(all, link->results->raw, true);
		add_relaxed(all, link->signature.tags.field->raw, true);
		one = crypto_hash_dup(all);
		add_relaxed(one, canon_without_b(v->arena, seal), false);
		crypto_hash_end(one, v->jobs[i].seal);
		crypto_hash_free(one);
		add_relaxed(all, seal, true);
	}
	crypto_hash_free(all);
}

/* ---- bodies ---- */

static struct body_stream *body_for(struct arc_verifier *v,
				    enum canon_mode mode, uint64_t length)
{
	struct body_stream *b;

	for (size_t i = 0; i < v->nbodies; i++) {
		b = &v->bodies[i];
		if (b->canon.mode == mode && b->canon.limit == length)
			return b;
	}
	if (v->nbodies == BODIES_MAX)
		return NULL;
	b = &v->bodies[v->nbodies++];
	b->hash = crypto_hash_new();
	canon_body_init(&b->canon, mode, length, add_to_hash, b->hash);
	return b;
}

static void read_as(struct arc_verifier *v, const struct arc_signature *s,
		    struct job *j, enum canon_mode header, enum canon_mode body)
{
	struct reading *r = &j->v[j->n++];

	r->body = body_for(v, body, s->length);
	hash_signature(v, s, header, r->digest);
}

/* The newest first: it must have its place. */
static void prepare(struct arc_verifier *v)
{
	v->jobs = arena_array(v->arena, v->chain.n, sizeof(*v->jobs));
	v->others = arena_array(v->arena, v->fields->n, sizeof(*v->others));
	for (size_t i = v->chain.n; i > 0; i--) {
		const struct arc_signature *s = &v->chain.v[i - 1].signature;

		if (s->bad != NULL)
			continue;
		read_as(v, s, &v->jobs[i - 1], s->header, s->body);
		if (s->any_canon)
			read_as(v, s, &v->jobs[i - 1], CANON_RELAXED,
				CANON_RELAXED);
	}
	hash_seals(v);
}

struct arc_verifier *arc_verifier_new(struct arena *a,
				      const struct arc_options *o,
				      const struct field_list *fields)
{
	struct arc_verifier *v = arena_alloc(a, sizeof(*v));

	v->arena = a;
	v->options = *o;
	v->fields = fields;
	arc_chain_read(a, fields, &v->chain);
	if (v->chain.n > 0 && v->chain.reason == NULL)
		prepare(v);
	return v;
}

void arc_verifier_prefetch(struct arc_verifier *v, struct dns_budget *b)
{
	for (size_t i = v->chain.n; v->jobs != NULL && i > 0; i--) {
		const struct arc_link *link = &v->chain.v[i - 1];

		dns_prefetch(b, link->seal.tags.query, DNS_TXT);
		if (link->signature.bad == NULL)
			dns_prefetch(b, link->signature.tags.query, DNS_TXT);
	}
}

bool arc_verifier_wants_body(const struct arc_verifier *v)
{
	return v->nbodies > 0;
}

void arc_verifier_body(struct arc_verifier *v, struct slice bytes)
{
	for (size_t i = 0; i < v->nbodies; i++)
		canon_body_feed(&v->bodies[i].canon, bytes);
}

/* ---- keys ---- */

/* The one key record among the TXT records (RFC 6376 3.6.2.2). */
static bool pick_record(struct arena *a, const struct dns_answer *answer,
			struct keyrecord *ret)
{
	struct keyrecord k;
	const char *why;
	size_t good = 0;

	for (size_t i = 0; i < answer->n && good < 2; i++) {
		if (!keyrecord_parse(a, answer->rr[i].data, &k, &why))
			continue;
		*ret = k;
		good++;
	}
	return good == 1;
}

static bool allows(const struct keyrecord *k, enum crypto_type type)
{
	return !k->revoked && k->sha256_ok && k->email_ok &&
	       k->type ==
		       (type == CRYPTO_RSA ? KEYRECORD_RSA : KEYRECORD_ED25519);
}

static bool has_size(const struct arc_verifier *v, enum crypto_type type,
		     const struct crypto_pubkey *k)
{
	unsigned bits = crypto_pubkey_bits(k);

	return type != CRYPTO_RSA || (bits >= v->options.min_rsa_bits &&
				      bits <= v->options.max_rsa_bits);
}

/* NULL and *reason when there is none to verify with. */
static struct crypto_pubkey *key_of(struct arc_verifier *v,
				    struct dns_budget *b,
				    const struct arc_tags *t,
				    const char **reason)
{
	const struct dns_answer *answer = dns_ask(b, t->query, DNS_TXT);
	struct keyrecord record = {.revoked = true};
	struct crypto_pubkey *k;

	if (answer->status == DNS_TEMPFAIL) {
		v->temporary = true;
		*reason = answer->reason != NULL ? answer->reason
						 : "key query failed";
		return NULL;
	}
	*reason = "no key";
	if (answer->status != DNS_FOUND ||
	    !pick_record(v->arena, answer, &record) ||
	    !allows(&record, t->type))
		return NULL;
	k = crypto_keycache_get(v->options.keycache, t->type, record.key,
				reason);
	if (k == NULL || has_size(v, t->type, k))
		return k;
	crypto_pubkey_free(k);
	*reason = "key too short or too long";
	return NULL;
}

/* NULL when it verifies. */
static const char *check(struct arc_verifier *v, struct dns_budget *b,
			 const struct arc_tags *t,
			 const unsigned char digest[SHA256_LEN],
			 const char *otherwise)
{
	const char *reason = NULL;
	struct crypto_pubkey *k = key_of(v, b, t, &reason);

	if (k == NULL)
		return reason;
	if (!crypto_verify(k, digest, t->sig))
		reason = otherwise;
	else
		reason = NULL;
	crypto_pubkey_free(k);
	return reason;
}

/* ---- verdicts ---- */

static const char *body_objection(const struct arc_signature *s,
				  const struct body_stream *b)
{
	if (b == NULL)
		return "body would have to be hashed in too many ways";
	if (memcmp(b->digest, s->body_hash.p, SHA256_LEN) != 0)
		return "body hash did not verify";
	/* as for DKIM (DK-40) */
	if (s->length != UINT64_MAX && s->length != b->canon.total)
		return "l= does not cover the body";
	return NULL;
}

static const char *check_reading(struct arc_verifier *v, struct dns_budget *b,
				 const struct arc_signature *s,
				 const struct reading *r)
{
	const char *reason = body_objection(s, r->body);

	if (reason != NULL)
		return reason;
	return check(v, b, &s->tags, r->digest,
		     "ARC-Message-Signature did not verify");
}

static const char *check_signature(struct arc_verifier *v, struct dns_budget *b,
				   size_t i)
{
	const struct arc_signature *s = &v->chain.v[i].signature;
	const struct job *j = &v->jobs[i];
	const char *reason = s->bad;

	for (size_t k = 0; k < j->n; k++) {
		reason = check_reading(v, b, s, &j->v[k]);
		if (reason == NULL || v->temporary)
			break;
	}
	return reason;
}

static const char *check_chain(struct arc_verifier *v, struct dns_budget *b)
{
	const char *reason = check_signature(v, b, v->chain.n - 1);

	for (size_t i = v->chain.n; i > 0 && reason == NULL; i--)
		reason = check(v, b, &v->chain.v[i - 1].seal.tags,
			       v->jobs[i - 1].seal, "ARC-Seal did not verify");
	return reason;
}

/* Step 5; what is asked of the DNS for it does not touch the verdict. */
static unsigned oldest_pass(struct arc_verifier *v, struct dns_budget *b)
{
	for (size_t i = v->chain.n - 1; i > 0; i--)
		if (check_signature(v, b, i - 1) != NULL)
			return (unsigned)i + 1;
	return 0;
}

static void tell_sets(struct arc_verifier *v, struct arc_result *ret)
{
	ret->n = v->chain.n;
	ret->v = arena_array(v->arena, ret->n, sizeof(*ret->v));
	for (size_t i = 0; i < ret->n; i++) {
		const struct arc_link *link = &v->chain.v[i];

		ret->v[i] = (struct arc_set){
			.seal_domain = link->seal.tags.domain,
			.seal_selector = link->seal.tags.selector,
			.signature_domain = link->signature.bad == NULL
						    ? link->signature.tags
							      .domain
						    : NULL,
			.results = link->results_text,
			.signs_from = link->signature.from};
	}
}

static void end_bodies(struct arc_verifier *v)
{
	for (size_t i = 0; i < v->nbodies; i++) {
		canon_body_end(&v->bodies[i].canon);
		crypto_hash_end(v->bodies[i].hash, v->bodies[i].digest);
	}
}

void arc_verifier_end(struct arc_verifier *v, struct dns_budget *b,
		      struct arc_result *ret)
{
	*ret = (struct arc_result){.reason = v->chain.reason,
				   .ended = v->chain.ended};
	if (v->chain.n == 0 && v->chain.reason == NULL)
		return;
	ret->status = ARC_STATUS_FAIL;
	if (v->chain.reason != NULL)
		return;
	end_bodies(v);
	tell_sets(v, ret);
	ret->reason = check_chain(v, b);
	ret->temporary = v->temporary;
	if (ret->reason != NULL)
		return;
	ret->status = ARC_STATUS_PASS;
	ret->oldest_pass = oldest_pass(v, b);
}

void arc_unreadable(const struct field_list *fields, struct arc_result *ret)
{
	*ret = (struct arc_result){.reason =
					   field_trouble_text(fields->trouble)};
	for (size_t i = 0; i < fields->n; i++)
		if (arc_is_field(fields->v[i].name))
			ret->status = ARC_STATUS_FAIL;
}

void arc_verifier_free(struct arc_verifier *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->nbodies; i++)
		crypto_hash_free(v->bodies[i].hash);
	v->nbodies = 0;
}
