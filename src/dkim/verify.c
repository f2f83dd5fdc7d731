/*
 * DKIM verification (RFC 6376 6; RFC 8301, 8463, 8616).
 *
 * At the end of the header each chosen signature gets its header hash and a
 * place at a body stream (signatures that agree in canonicalization and l=
 * share one); at the end of the message keys are asked for and verdicts made.
 * Not a policy on the message: a failed signature is no worse than none
 * (RFC 6376 6.1).
 *
 * A verifier belongs to one thread and one message; its memory is the arena's
 * but for the hashes.
 */
#include "dkim/dkim.h"

#include <string.h>

#include "dkim/hash.h"
#include "dkim/signature.h"
#include "mail/domain.h"
#include "mail/keyrecord.h"

/* One body hash, for all signatures that need the same. */
struct body_stream {
	struct canon_body canon;
	struct crypto_hash *hash;
	unsigned char digest[SHA256_LEN];
};

/* A signature that is evaluated. */
struct job {
	struct dkim_signature *sig;
	struct body_stream *body;
	struct dkim_header_hash *header;
};

struct dkim_verifier {
	struct arena *arena;
	struct dkim_verify_options options;
	const struct field_list *fields;
	size_t nsigs;
	struct dkim_signature *sigs;
	size_t more;
	size_t njobs;
	struct job *jobs;
	size_t nbodies;
	struct body_stream *bodies;
};

const char *dkim_status_name(enum dkim_status s)
{
	switch (s) {
	case DKIM_STATUS_PASS:
		return "pass";
	case DKIM_STATUS_FAIL:
		return "fail";
	case DKIM_STATUS_POLICY:
		return "policy";
	case DKIM_STATUS_NEUTRAL:
		return "neutral";
	case DKIM_STATUS_TEMPERROR:
		return "temperror";
	case DKIM_STATUS_PERMERROR:
		return "permerror";
	}
	return "permerror";
}

static void set(struct dkim_signature *s, enum dkim_status status,
		const char *reason)
{
	s->result.status = status;
	s->result.reason = reason;
}

/* ---- end of header ---- */

static void parse_all(struct dkim_verifier *v)
{
	const struct field_list *l = v->fields;
	size_t count = field_count(l, "DKIM-Signature");
	size_t max = v->options.max_listed;

	v->more = count > max ? count - max : 0;
	v->sigs = arena_array(v->arena, count - v->more + 1, sizeof(*v->sigs));
	for (size_t i = 0; i < l->n && v->nsigs < count - v->more; i++) {
		struct dkim_signature *s = &v->sigs[v->nsigs];
		if (!slice_is_ci(l->v[i].name, "DKIM-Signature"))
			continue;
		v->nsigs++;
		dkim_signature_parse(v->arena, &l->v[i], s);
		if (l->trouble != FIELD_OK) {
			s->ok = false;
			set(s, DKIM_STATUS_PERMERROR,
			    field_trouble_text(l->trouble));
		}
	}
}

enum closeness {
	SAME,	 /* d= is an author domain */
	RELATED, /* above or below one */
	UNRELATED,
};

static enum closeness closeness(const char *domain, const char *const *authors,
				size_t n)
{
	enum closeness ret = UNRELATED;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(domain, authors[i]) == 0)
			return SAME;
		if (domain_is_under(domain, authors[i]) ||
		    domain_is_under(authors[i], domain))
			ret = RELATED;
	}
	return ret;
}

/* DK-31: with too many signatures those that can align go first, so that
 * others put on top cannot crowd them out. */
static void choose(struct dkim_verifier *v, const char *const *authors,
		   size_t nauthors)
{
	size_t max = v->options.max_signatures;

	if (max > v->nsigs)
		max = v->nsigs;
	v->jobs = arena_array(v->arena, max + 1, sizeof(*v->jobs));
	for (int c = SAME; c <= UNRELATED; c++) {
		for (size_t i = 0; i < v->nsigs; i++) {
			struct dkim_signature *s = &v->sigs[i];
			if (!s->ok || (int)closeness(s->result.domain, authors,
						     nauthors) != c)
				continue;
			if (v->njobs < max)
				v->jobs[v->njobs++].sig = s;
			else
				set(s, DKIM_STATUS_POLICY, "not evaluated");
		}
	}
}

static void hash_headers(struct dkim_verifier *v)
{
	struct dkim_header_hash *h =
		arena_array(v->arena, v->njobs + 1, sizeof(*h));

	for (size_t i = 0; i < v->njobs; i++) {
		const struct dkim_signature *s = v->jobs[i].sig;
		h[i] = (struct dkim_header_hash){.field = s->field,
						 .h = s->h,
						 .mode = s->header,
						 .plain = s->plain};
		v->jobs[i].header = &h[i];
	}
	if (v->njobs > 0)
		dkim_hash_headers(v->arena, v->fields, h, v->njobs);
}

static void add_to_hash(void *arg, struct slice bytes)
{
	crypto_hash_add(arg, bytes);
}

static struct body_stream *body_for(struct dkim_verifier *v,
				    const struct dkim_signature *s)
{
	struct body_stream *b;

	for (size_t i = 0; i < v->nbodies; i++) {
		b = &v->bodies[i];
		if (b->canon.mode == s->body && b->canon.limit == s->length)
			return b;
	}
	b = &v->bodies[v->nbodies++];
	b->hash = crypto_hash_new();
	canon_body_init(&b->canon, s->body, s->length, add_to_hash, b->hash);
	return b;
}

struct dkim_verifier *dkim_verifier_new(struct arena *a,
					const struct dkim_verify_options *o,
					const struct field_list *fields,
					const char *const *authors,
					size_t nauthors)
{
	struct dkim_verifier *v = arena_alloc(a, sizeof(*v));

	v->arena = a;
	v->options = *o;
	v->fields = fields;
	parse_all(v);
	choose(v, authors, nauthors);
	hash_headers(v);
	v->bodies = arena_array(a, v->njobs + 1, sizeof(*v->bodies));
	for (size_t i = 0; i < v->njobs; i++)
		v->jobs[i].body = body_for(v, v->jobs[i].sig);
	return v;
}

void dkim_verifier_prefetch(struct dkim_verifier *v, struct dns_budget *b)
{
	for (size_t i = 0; i < v->njobs; i++)
		dns_prefetch(b, v->jobs[i].sig->query, DNS_TXT);
}

bool dkim_verifier_wants_body(const struct dkim_verifier *v)
{
	return v->nbodies > 0;
}

void dkim_verifier_body(struct dkim_verifier *v, struct slice bytes)
{
	for (size_t i = 0; i < v->nbodies; i++)
		canon_body_feed(&v->bodies[i].canon, bytes);
}

/* ---- the key ---- */

/* RFC 6376 3.6.2.2: several records are undefined; we take one if no other is
 * a key record. */
static bool pick_record(struct arena *a, const struct dns_answer *answer,
			struct keyrecord *ret, const char **reason)
{
	const char *why = "no key";
	struct keyrecord k;
	size_t good = 0;

	for (size_t i = 0; i < answer->n && good < 2; i++) {
		if (!keyrecord_parse(a, answer->rr[i].data, &k, &why))
			continue;
		*ret = k;
		good++;
	}
	if (good != 1)
		*reason = good == 0 ? why : "several key records";
	return good == 1;
}

/* RFC 6376 6.1.2; NULL when the record allows the signature. */
static const char *record_objection(const struct keyrecord *k,
				    const struct dkim_signature *s)
{
	enum keyrecord_type want =
		s->type == CRYPTO_RSA ? KEYRECORD_RSA : KEYRECORD_ED25519;

	if (k->revoked)
		return "key revoked";
	if (k->type != want)
		return "key type does not match a=";
	if (!k->sha256_ok)
		return "key does not allow sha256";
	if (!k->email_ok)
		return "key is not for email";
	/* RFC 6376 3.6.1: t=s */
	if (k->strict_domain &&
	    strcmp(s->identity_domain, s->result.domain) != 0)
		return "key does not allow a subdomain in i=";
	return NULL;
}

/* Fetches the record; false with the result set. */
static bool fetch_record(struct dkim_verifier *v, struct dns_budget *b,
			 struct dkim_signature *s, struct keyrecord *ret)
{
	const struct dns_answer *answer = dns_ask(b, s->query, DNS_TXT);
	const char *reason = "no key";

	if (answer->status == DNS_TEMPFAIL) {
		set(s, DKIM_STATUS_TEMPERROR,
		    answer->reason != NULL ? answer->reason
					   : "key query failed");
		return false;
	}
	if (answer->status != DNS_FOUND ||
	    !pick_record(v->arena, answer, ret, &reason)) {
		set(s, DKIM_STATUS_PERMERROR, reason);
		return false;
	}
	return true;
}

/* RFC 8301 3.2: too short must not be valid; too long is not worth the
 * time. */
static bool size_ok(const struct dkim_verifier *v, struct dkim_signature *s)
{
	unsigned bits = s->result.key_bits;

	if (s->type != CRYPTO_RSA)
		return true;
	if (bits < v->options.min_rsa_bits)
		set(s, DKIM_STATUS_POLICY, "key too short");
	else if (bits > v->options.max_rsa_bits)
		set(s, DKIM_STATUS_POLICY, "key too long");
	else
		return true;
	return false;
}

/* The key to verify with, or NULL with the result set. */
static struct crypto_pubkey *fetch_key(struct dkim_verifier *v,
				       struct dns_budget *b,
				       struct dkim_signature *s)
{
	struct keyrecord record = {.revoked = true};
	struct crypto_pubkey *key;
	const char *reason;

	if (!fetch_record(v, b, s, &record))
		return NULL;
	s->result.testing = record.testing;
	reason = record_objection(&record, s);
	if (reason != NULL) {
		set(s, DKIM_STATUS_PERMERROR, reason);
		return NULL;
	}
	key = crypto_keycache_get(v->options.keycache, s->type, record.key,
				  &reason);
	if (key == NULL) {
		set(s, DKIM_STATUS_PERMERROR, reason);
		return NULL;
	}
	if (s->type == CRYPTO_RSA)
		s->result.key_bits = crypto_pubkey_bits(key);
	if (!size_ok(v, s)) {
		crypto_pubkey_free(key);
		return NULL;
	}
	return key;
}

/* ---- the verdict ---- */

/* HP-15: fields of which a message has at most one, and a reader may show
 * any. */
static const char *const single_fields[] = {
	"From",
	"Subject",
	"To",
	"Cc",
	"Date",
	"Sender",
	"Reply-To",
	"Message-ID",
	"In-Reply-To",
	"References",
	"MIME-Version",
	"Content-Type",
	"Content-Transfer-Encoding",
};

static bool field_was_added(const struct dkim_verifier *v,
			    const struct dkim_signature *s)
{
	for (size_t i = 0; i < sizeof(single_fields) / sizeof(char *); i++) {
		size_t listed = dkim_signature_lists(s->h, single_fields[i]);
		if (listed > 0 &&
		    field_count(v->fields, single_fields[i]) > listed)
			return true;
	}
	return false;
}

/* DK-40: with l=, unsigned MIME fields can turn the signed body into a part
 * that nobody sees. */
static bool mime_is_unsigned(const struct dkim_verifier *v,
			     const struct dkim_signature *s)
{
	static const char *const mime[] = {"MIME-Version", "Content-Type",
					   "Content-Transfer-Encoding"};

	for (size_t i = 0; i < sizeof(mime) / sizeof(mime[0]); i++)
		if (field_count(v->fields, mime[i]) >
		    dkim_signature_lists(s->h, mime[i]))
			return true;
	return false;
}

/* Why a signature that is cryptographically right does not count. */
static const char *policy_objection(const struct dkim_verifier *v,
				    const struct job *j, uint64_t now)
{
	const struct dkim_signature *s = j->sig;

	if (s->expires && s->expiry + v->options.clock_skew < now)
		return "signature expired";
	if (s->length != UINT64_MAX && s->length < j->body->canon.total)
		return "l= leaves a part of the body unsigned";
	if (s->length != UINT64_MAX && mime_is_unsigned(v, s))
		return "l= with unsigned MIME fields";
	if (field_was_added(v, s))
		return "a signed field occurs more often than signed";
	return NULL;
}

static void judge(struct dkim_verifier *v, struct dns_budget *b, struct job *j,
		  uint64_t now)
{
	struct dkim_signature *s = j->sig;
	struct crypto_pubkey *key;
	const char *reason;

	if (s->time > now + v->options.clock_skew) {
		set(s, DKIM_STATUS_PERMERROR, "signature from the future");
		return;
	}
	/* RFC 6376 3.5 */
	if (s->length != UINT64_MAX && s->length > j->body->canon.total) {
		set(s, DKIM_STATUS_PERMERROR, "l= is larger than the body");
		return;
	}
	key = fetch_key(v, b, s);
	if (key == NULL)
		return;
	if (memcmp(j->body->digest, s->body_hash.p, SHA256_LEN) != 0) {
		set(s, DKIM_STATUS_FAIL, "body hash did not verify");
	} else if (!crypto_verify(key, j->header->digest, s->sig)) {
		set(s, DKIM_STATUS_FAIL, "signature did not verify");
	} else {
		reason = policy_objection(v, j, now);
		set(s, reason != NULL ? DKIM_STATUS_POLICY : DKIM_STATUS_PASS,
		    reason);
	}
	crypto_pubkey_free(key);
}

void dkim_verifier_end(struct dkim_verifier *v, struct dns_budget *b,
		       int64_t now, struct dkim_results *ret)
{
	for (size_t i = 0; i < v->nbodies; i++) {
		canon_body_end(&v->bodies[i].canon);
		crypto_hash_end(v->bodies[i].hash, v->bodies[i].digest);
	}
	for (size_t i = 0; i < v->njobs; i++)
		judge(v, b, &v->jobs[i], now > 0 ? (uint64_t)now : 0);
	*ret = (struct dkim_results){.n = v->nsigs, .more = v->more};
	ret->v = arena_array(v->arena, v->nsigs + 1, sizeof(*ret->v));
	for (size_t i = 0; i < v->nsigs; i++)
		ret->v[i] = v->sigs[i].result;
}

void dkim_verifier_free(struct dkim_verifier *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->nbodies; i++)
		crypto_hash_free(v->bodies[i].hash);
	v->nbodies = 0;
}
