/*
 * Verification: which signatures are evaluated, their body streams, and at the
 * end one result for each (RFC 6376 6, RFC 8301, RFC 8463).
 *
 * The costly part is bounded: at most max_signatures are evaluated, those
 * aligned with an author domain first, so that a flood of signatures above the
 * real one does not push it out.
 */
#include "dkim/dkim.h"

#include <string.h>

#include "dkim/hash.h"
#include "dkim/signature.h"
#include "mail/domain.h"
#include "mail/keyrecord.h"

struct dkim_verifier {
	struct arena *arena;
	const struct dkim_verify_options *o;
	const struct field_list *fields;
	size_t n; /* signatures listed */
	struct signature *v;
	bool *chosen;
	size_t *stream; /* of each chosen signature: index into bodies */
	size_t more;
	size_t nbodies;
	struct body_hash *bodies;
};

const char *dkim_status_name(enum dkim_status s)
{
	static const char *const names[] = {
		[DKIM_STATUS_PASS] = "pass",
		[DKIM_STATUS_FAIL] = "fail",
		[DKIM_STATUS_POLICY] = "policy",
		[DKIM_STATUS_NEUTRAL] = "neutral",
		[DKIM_STATUS_TEMPERROR] = "temperror",
		[DKIM_STATUS_PERMERROR] = "permerror",
	};
	return names[s];
}

static bool aligned(const struct signature *s, const char *const *authors,
		    size_t n)
{
	const char *d = s->result.domain;

	for (size_t i = 0; i < n; i++)
		if (domain_is_under(d, authors[i]) ||
		    domain_is_under(authors[i], d))
			return true;
	return false;
}

/* DK-31: aligned first, then from the top. */
static void choose(struct dkim_verifier *v, const char *const *authors,
		   size_t nauthors)
{
	unsigned left = v->o->max_signatures;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < v->n && left > 0; i++) {
			if (!v->v[i].usable || v->chosen[i] ||
			    (pass == 0 &&
			     !aligned(&v->v[i], authors, nauthors)))
				continue;
			v->chosen[i] = true;
			left--;
		}
	}
	for (size_t i = 0; i < v->n; i++) {
		if (!v->v[i].usable || v->chosen[i])
			continue;
		v->v[i].result.status = DKIM_STATUS_POLICY;
		v->v[i].result.reason = "not evaluated, too many signatures";
	}
}

static size_t stream_for(struct dkim_verifier *v, const struct signature *s)
{
	uint64_t limit = s->has_length ? s->length : UINT64_MAX;

	for (size_t i = 0; i < v->nbodies; i++)
		if (v->bodies[i].canon.mode == s->body_canon &&
		    v->bodies[i].limit == limit)
			return i;
	body_hash_init(&v->bodies[v->nbodies], s->body_canon, limit);
	return v->nbodies++;
}

static void read_signatures(struct dkim_verifier *v)
{
	size_t total = field_count(v->fields, "DKIM-Signature");
	size_t at = 0;

	v->n = total < v->o->max_listed ? total : v->o->max_listed;
	v->more = total - v->n;
	v->v = arena_array(v->arena, v->n, sizeof(*v->v));
	for (size_t i = 0; i < v->fields->n && at < v->n; i++)
		if (slice_is_ci(v->fields->v[i].name, "DKIM-Signature"))
			signature_parse(v->arena, &v->fields->v[i],
					&v->v[at++]);
}

struct dkim_verifier *dkim_verifier_new(struct arena *a,
					const struct dkim_verify_options *o,
					const struct field_list *fields,
					const char *const *authors,
					size_t nauthors)
{
	struct dkim_verifier *v = arena_alloc(a, sizeof(*v));

	v->arena = a;
	v->o = o;
	v->fields = fields;
	read_signatures(v);
	v->chosen = arena_array(a, v->n, sizeof(*v->chosen));
	v->stream = arena_array(a, v->n, sizeof(*v->stream));
	v->bodies = arena_array(a, o->max_signatures, sizeof(*v->bodies));
	choose(v, authors, nauthors);
	for (size_t i = 0; i < v->n; i++)
		if (v->chosen[i])
			v->stream[i] = stream_for(v, &v->v[i]);
	return v;
}

static const char *key_name(struct arena *a, const struct signature *s)
{
	return arena_printf(a, "%s._domainkey.%s", s->result.selector,
			    s->result.domain);
}

void dkim_verifier_prefetch(struct dkim_verifier *v, struct dns_budget *b)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->chosen[i])
			dns_prefetch(b, key_name(v->arena, &v->v[i]), DNS_TXT);
}

bool dkim_verifier_wants_body(const struct dkim_verifier *v)
{
	return v->nbodies > 0;
}

void dkim_verifier_body(struct dkim_verifier *v, struct slice bytes)
{
	for (size_t i = 0; i < v->nbodies; i++)
		body_hash_add(&v->bodies[i], bytes);
}

static bool verdict(struct dkim_result *r, enum dkim_status status,
		    const char *reason)
{
	r->status = status;
	r->reason = reason;
	return false;
}

/* DK-12: of several records exactly one may be a key. */
static bool pick_record(struct arena *a, const struct dns_answer *ans,
			struct keyrecord *ret, const char **reason)
{
	size_t usable = 0;

	*reason = "no usable key record";
	for (size_t i = 0; i < ans->n; i++) {
		struct keyrecord k;
		const char *why = NULL;

		if (keyrecord_parse(a, ans->rr[i].data, &k, &why)) {
			*ret = k;
			usable++;
		} else if (ans->n == 1) {
			*reason = why;
		}
	}
	if (usable > 1)
		*reason = "several key records";
	return usable == 1;
}

static bool fetch_key(struct dkim_verifier *v, struct dns_budget *b,
		      struct signature *s, struct keyrecord *ret)
{
	struct dkim_result *r = &s->result;
	const struct dns_answer *ans =
		dns_ask(b, key_name(v->arena, s), DNS_TXT);
	const char *reason = NULL;

	switch (ans->status) {
	case DNS_TEMPFAIL:
		return verdict(r, DKIM_STATUS_TEMPERROR,
			       "key could not be looked up");
	case DNS_NXDOMAIN:
	case DNS_NODATA:
		return verdict(r, DKIM_STATUS_PERMERROR, "no key");
	case DNS_FOUND:
		break;
	}
	if (!pick_record(v->arena, ans, ret, &reason))
		return verdict(r, DKIM_STATUS_PERMERROR, reason);
	return true;
}

/* RFC 6376 6.1.2 and RFC 8463 4: does the record allow this signature? */
static bool check_record(struct signature *s, const struct keyrecord *k)
{
	struct dkim_result *r = &s->result;
	bool ed = s->algorithm == SIGNATURE_ED25519_SHA256;

	r->testing = k->testing;
	if (k->revoked)
		return verdict(r, DKIM_STATUS_PERMERROR, "key revoked");
	if (k->type != (ed ? KEYRECORD_ED25519 : KEYRECORD_RSA))
		return verdict(r, DKIM_STATUS_PERMERROR,
			       "key is of another type than a=");
	if (!k->sha256_ok)
		return verdict(r, DKIM_STATUS_PERMERROR,
			       "key does not allow sha256");
	if (!k->email_ok)
		return verdict(r, DKIM_STATUS_PERMERROR,
			       "key is not for email");
	if (k->strict_domain && strcmp(s->identity_domain, r->domain) != 0)
		return verdict(r, DKIM_STATUS_PERMERROR,
			       "key does not allow a subdomain in i=");
	return true;
}

static bool check_times(const struct dkim_verifier *v, struct signature *s,
			int64_t now)
{
	uint64_t skew = v->o->clock_skew;
	uint64_t t = now > 0 ? (uint64_t)now : 0;

	/* DK-3 */
	if (s->has_expiry && s->expiry + skew < t)
		return verdict(&s->result, DKIM_STATUS_POLICY,
			       "signature expired");
	if (s->has_time && s->time > t + skew)
		return verdict(&s->result, DKIM_STATUS_PERMERROR,
			       "signature from the future");
	return true;
}

static bool check_crypto(struct dkim_verifier *v, struct signature *s,
			 const struct body_hash *body,
			 const struct crypto_pubkey *key)
{
	struct dkim_result *r = &s->result;
	unsigned char digest[SHA256_LEN];

	if (s->has_length && s->length > body->canon.total)
		return verdict(r, DKIM_STATUS_PERMERROR,
			       "l= is more than the body");
	/* RFC 6376 3.7: the body hash first */
	if (memcmp(body->digest, s->body_hash.p, SHA256_LEN) != 0)
		return verdict(r, DKIM_STATUS_FAIL, "body hash mismatch");
	if (!header_hash(v->arena, s->header_canon, v->fields, s->names,
			 SIGNATURE_MAX_NAMES, s->field->raw, digest) ||
	    !crypto_verify(key, digest, s->bytes))
		return verdict(r, DKIM_STATUS_FAIL, "bad signature");
	return true;
}

/* HP-15: a field that may be there once, signed, and there again unsigned. */
static bool has_unsigned_twin(const struct dkim_verifier *v,
			      const struct signature *s)
{
	static const char *const single[] = {"From",
					     "Sender",
					     "Reply-To",
					     "To",
					     "Cc",
					     "Date",
					     "Subject",
					     "Message-ID",
					     "In-Reply-To",
					     "References",
					     "MIME-Version",
					     "Content-Type",
					     "Content-Transfer-Encoding"};

	for (size_t i = 0; i < sizeof(single) / sizeof(*single); i++) {
		size_t named = signature_names_count(s->names, single[i]);

		if (named > 0 && field_count(v->fields, single[i]) > named)
			return true;
	}
	return false;
}

static void judge_policy(const struct dkim_verifier *v, struct signature *s,
			 const struct body_hash *body)
{
	struct dkim_result *r = &s->result;

	if (r->key_bits > 0 && r->key_bits < v->o->min_rsa_bits)
		(void)verdict(r, DKIM_STATUS_POLICY, "RSA key is too short");
	else if (r->key_bits > v->o->max_rsa_bits)
		(void)verdict(r, DKIM_STATUS_POLICY, "RSA key is too long");
	else if (s->has_length && s->length < body->canon.total)
		/* DK-40 */
		(void)verdict(r, DKIM_STATUS_POLICY,
			      "l= does not cover the body");
	else if (has_unsigned_twin(v, s))
		(void)verdict(r, DKIM_STATUS_POLICY,
			      "a signed field occurs again unsigned");
	else
		(void)verdict(r, DKIM_STATUS_PASS, NULL);
}

static void evaluate(struct dkim_verifier *v, struct dns_budget *b, int64_t now,
		     size_t i)
{
	struct signature *s = &v->v[i];
	struct body_hash *body = &v->bodies[v->stream[i]];
	bool ed = s->algorithm == SIGNATURE_ED25519_SHA256;
	struct crypto_pubkey *key;
	struct keyrecord record;
	const char *reason = NULL;

	if (!check_times(v, s, now) || !fetch_key(v, b, s, &record) ||
	    !check_record(s, &record))
		return;
	key = crypto_keycache_get(v->o->keycache,
				  ed ? CRYPTO_ED25519 : CRYPTO_RSA, record.key,
				  &reason);
	if (key == NULL) {
		(void)verdict(&s->result, DKIM_STATUS_PERMERROR, reason);
		return;
	}
	s->result.key_bits = ed ? 0 : crypto_pubkey_bits(key);
	if (check_crypto(v, s, body, key))
		judge_policy(v, s, body);
	crypto_pubkey_free(key);
}

void dkim_verifier_end(struct dkim_verifier *v, struct dns_budget *b,
		       int64_t now, struct dkim_results *ret)
{
	for (size_t i = 0; i < v->nbodies; i++)
		body_hash_end(&v->bodies[i]);
	*ret = (struct dkim_results){.n = v->n, .more = v->more};
	ret->v = arena_array(v->arena, v->n, sizeof(*ret->v));
	for (size_t i = 0; i < v->n; i++) {
		if (v->chosen[i])
			evaluate(v, b, now, i);
		ret->v[i] = v->v[i].result;
	}
}

void dkim_verifier_free(struct dkim_verifier *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->nbodies; i++)
		body_hash_done(&v->bodies[i]);
	v->nbodies = 0;
}
