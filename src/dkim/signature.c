/*
 * DKIM-Signature fields, strictly: what is accepted here is well-formed and
 * bounded, so that no later code (libopendkim least of all) sees anything
 * else.  Here is also decided which signatures libopendkim would hash wrongly.
 *
 * Not a verifier: no DNS, no clock, no hash.  RFC 6376 3.2 and 3.5, RFC 8301
 * (no SHA-1), RFC 8463 (Ed25519), RFC 8616 (U-labels).
 *
 * Results: syntax errors are "neutral"; missing or impossible tags are
 * "permerror" (RFC 8601 2.7.1).
 */
#include "dkim/signature.h"

#include <string.h>

#include "mail/base64.h"
#include "mail/domain.h"
#include "mail/tagvalue.h"

#define IDENTITY_MAX  512 /* RFC 5321 4.5.3.1: 64 + 1 + 255, and quoting */
#define ALGORITHM_MAX 64
#define B_MAX	      4096 /* base64; an RSA key of 16384 bits gives 2732 */
#define PLAIN_H_MAX   2000
#define PLAIN_I_MAX   200
#define DIGITS_TIME   12 /* RFC 6376 3.5 */
#define DIGITS_L      76

struct reading {
	struct arena *arena;
	struct tagvalue_list tags;
	struct dkim_signature *s;
};

static bool bad(struct reading *r, const char *reason)
{
	r->s->result.status = DKIM_STATUS_PERMERROR;
	r->s->result.reason = reason;
	return false;
}

static struct slice without_fws(struct arena *a, struct slice s)
{
	char *out = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			out[n++] = c;
	}
	return (struct slice){out, n};
}

/* RFC 6376 3.5 has no final dot in d= and s=, and DNS would ignore it. */
static const char *read_domain(struct reading *r, struct slice s)
{
	if (s.n == 0 || s.p[s.n - 1] == '.')
		return NULL;
	return domain_canon(r->arena, s);
}

/* What is reported of a signature, be it good or not: bounded, because all of
 * it is wire text. */
static void read_labels(struct reading *r)
{
	struct dkim_result *ret = &r->s->result;
	struct slice v;

	if (tagvalue_get(&r->tags, "d", &v))
		ret->domain = read_domain(r, v);
	if (tagvalue_get(&r->tags, "s", &v))
		ret->selector = read_domain(r, v);
	if (tagvalue_get(&r->tags, "b", &v))
		ret->b = slice_first(without_fws(r->arena, v), B_MAX);
	if (tagvalue_get(&r->tags, "a", &v) && v.n <= ALGORITHM_MAX)
		ret->algorithm = v;
	if (tagvalue_get(&r->tags, "i", &v) && v.n <= IDENTITY_MAX)
		ret->identity = v;
}

static bool check_required(struct reading *r)
{
	static const struct {
		const char *tag, *reason;
	} required[] = {
		{"v", "v= is missing"}, {"a", "a= is missing"},
		{"b", "b= is missing"}, {"bh", "bh= is missing"},
		{"d", "d= is missing"}, {"h", "h= is missing"},
		{"s", "s= is missing"},
	};
	struct slice v;

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (!tagvalue_get(&r->tags, required[i].tag, &v))
			return bad(r, required[i].reason);
	if (!tagvalue_get(&r->tags, "v", &v) || !slice_is(v, "1"))
		return bad(r, "unknown version");
	return true;
}

static bool read_algorithm(struct reading *r)
{
	struct slice a = r->s->result.algorithm;

	if (slice_is(a, "rsa-sha256"))
		r->s->type = CRYPTO_RSA;
	else if (slice_is(a, "ed25519-sha256"))
		r->s->type = CRYPTO_ED25519;
	else if (slice_is(a, "rsa-sha1")) /* RFC 8301 3.1 */
		return bad(r, "rsa-sha1 is not accepted");
	else
		return bad(r, "unknown algorithm");
	return true;
}

static bool read_mode(struct slice s, enum canon_mode *ret)
{
	if (!slice_is(s, "simple") && !slice_is(s, "relaxed"))
		return false;
	*ret = slice_is(s, "relaxed") ? CANON_RELAXED : CANON_SIMPLE;
	return true;
}

static bool read_canon(struct reading *r)
{
	struct slice body, header;

	r->s->header = CANON_SIMPLE;
	r->s->body = CANON_SIMPLE;
	if (!tagvalue_get(&r->tags, "c", &body))
		return true;
	header = slice_cut(&body, '/');
	if (!read_mode(header, &r->s->header) ||
	    (body.p != NULL && !read_mode(body, &r->s->body)))
		return bad(r, "unknown canonicalization");
	return true;
}

static bool read_query(struct reading *r)
{
	struct slice q;

	if (!tagvalue_get(&r->tags, "q", &q))
		return true;
	/* RFC 6376 3.5: unknown methods are ignored, one must remain */
	while (q.p != NULL)
		if (slice_is(slice_trim(slice_cut(&q, ':')), "dns/txt"))
			return true;
	return bad(r, "unknown query method");
}

static bool read_names(struct reading *r)
{
	struct dkim_signature *s = r->s;

	if (s->result.domain == NULL)
		return bad(r, "bad d=");
	if (s->result.selector == NULL)
		return bad(r, "bad s=");
	s->query = arena_printf(r->arena, "%s._domainkey.%s",
				s->result.selector, s->result.domain);
	if (strlen(s->query) > DOMAIN_MAX)
		return bad(r, "key name is too long");
	return true;
}

static bool read_identity(struct reading *r)
{
	struct dkim_signature *s = r->s;
	struct slice i;
	ptrdiff_t at;

	s->identity_domain = s->result.domain;
	if (!tagvalue_get(&r->tags, "i", &i))
		return true;
	at = slice_rchr(i, '@');
	if (i.n > IDENTITY_MAX || at < 0) {
		s->result.identity = (struct slice){NULL, 0};
		return bad(r, "bad i=");
	}
	s->identity_domain = read_domain(r, slice_from(i, (size_t)at + 1));
	if (s->identity_domain == NULL)
		return bad(r, "bad i=");
	if (!domain_is_under(s->identity_domain, s->result.domain))
		return bad(r, "i= is not within d=");
	return true;
}

static bool field_name_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 33 || s.p[i] > 126)
			return false;
	return s.n > 0;
}

size_t dkim_signature_lists(struct slice h, const char *name)
{
	size_t n = 0;

	while (h.p != NULL)
		n += slice_is_ci(slice_trim(slice_cut(&h, ':')), name);
	return n;
}

static bool read_fields(struct reading *r)
{
	struct slice rest;
	size_t n = 0;

	if (!tagvalue_get(&r->tags, "h", &rest))
		return false;
	r->s->h = rest;
	while (rest.p != NULL) {
		if (!field_name_ok(slice_trim(slice_cut(&rest, ':'))))
			return bad(r, "bad h=");
		if (++n > DKIM_NAMES_MAX)
			return bad(r, "too many names in h=");
	}
	/* RFC 6376 5.4, 6.1.1 */
	if (dkim_signature_lists(r->s->h, "from") == 0)
		return bad(r, "From is not signed");
	return true;
}

static bool read_times(struct reading *r)
{
	const uint64_t max = 999999999999;
	struct dkim_signature *s = r->s;
	struct slice v;
	bool has_t = tagvalue_get(&r->tags, "t", &v);

	if (has_t && (v.n > DIGITS_TIME || !slice_u64(v, max, &s->time)))
		return bad(r, "bad t=");
	s->expires = tagvalue_get(&r->tags, "x", &v);
	if (!s->expires)
		return true;
	if (v.n > DIGITS_TIME || !slice_u64(v, max, &s->expiry))
		return bad(r, "bad x=");
	if (has_t && s->expiry <= s->time)
		return bad(r, "x= is not after t=");
	return true;
}

static bool read_length(struct reading *r)
{
	struct dkim_signature *s = r->s;
	struct slice v;

	s->length = UINT64_MAX;
	if (!tagvalue_get(&r->tags, "l", &v))
		return true;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_isdigit(v.p[i]))
			return bad(r, "bad l=");
	if (v.n == 0 || v.n > DIGITS_L)
		return bad(r, "bad l=");
	/* What overflows is larger than any body all the same. */
	if (!slice_u64(v, UINT64_MAX - 1, &s->length))
		s->length = UINT64_MAX - 1;
	return true;
}

static bool read_hashes(struct reading *r)
{
	struct dkim_signature *s = r->s;
	struct slice v;

	if (!tagvalue_get(&r->tags, "bh", &v) ||
	    !base64_decode(r->arena, v, &s->body_hash) ||
	    s->body_hash.n != SHA256_LEN)
		return bad(r, "bad bh=");
	if (s->result.b.n >= B_MAX ||
	    !base64_decode(r->arena, s->result.b, &s->sig) || s->sig.n == 0)
		return bad(r, "bad b=");
	return true;
}

/* ---- what libopendkim hashes right ---- */

static bool text_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if ((c < 32 || c > 126) && c != '\t' && c != '\r' && c != '\n')
			return false;
	}
	return true;
}

static bool tag_plain(const struct tagvalue *t)
{
	static const char *const known[] = {"v", "a", "b", "bh", "c", "d",
					    "h", "i", "q", "s",	 "t", "x"};

	/* It takes "b =" for no b= tag. */
	if (t->value.p == NULL)
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_is(t->name, known[i]))
			return t->name.p[t->name.n] == '=';
	return false;
}

static bool names_plain(struct slice h)
{
	while (h.p != NULL) {
		struct slice name = slice_trim(slice_cut(&h, ':'));
		for (size_t i = 0; i < name.n; i++)
			if (!ascii_isalnum(name.p[i]) && name.p[i] != '-' &&
			    name.p[i] != '_')
				return false;
	}
	return true;
}

static bool is_plain(const struct reading *r)
{
	const struct dkim_signature *s = r->s;
	struct slice v;

	if (!text_plain(s->field->raw) ||
	    slice_eq_ci(s->field->name, SLICE("DKIM-Signature")) == false ||
	    s->field->raw.p[s->field->name.n] != ':')
		return false;
	for (size_t i = 0; i < r->tags.n; i++)
		if (!tag_plain(&r->tags.v[i]))
			return false;
	if (s->h.n > PLAIN_H_MAX || !names_plain(s->h) ||
	    dkim_signature_lists(s->h, "DKIM-Signature") > 0)
		return false;
	if (s->result.identity.n > PLAIN_I_MAX ||
	    slice_chr(s->result.identity, '=') >= 0)
		return false;
	if (tagvalue_get(&r->tags, "q", &v) && !slice_is(v, "dns/txt"))
		return false;
	/* It subtracts from t= without looking. */
	return !tagvalue_get(&r->tags, "t", &v) || s->time > 0;
}

void dkim_signature_parse(struct arena *a, const struct field *f,
			  struct dkim_signature *ret)
{
	struct reading r = {.arena = a, .s = ret};
	const char *reason = "syntax error";

	*ret = (struct dkim_signature){.field = f, .length = UINT64_MAX};
	if (!tagvalue_parse(f->value, &r.tags, &reason)) {
		ret->result.status = DKIM_STATUS_NEUTRAL;
		ret->result.reason = reason;
		return;
	}
	read_labels(&r);
	ret->ok = check_required(&r) && read_algorithm(&r) && read_canon(&r) &&
		  read_query(&r) && read_names(&r) && read_identity(&r) &&
		  read_fields(&r) && read_times(&r) && read_length(&r) &&
		  read_hashes(&r);
	if (ret->ok)
		ret->plain = is_plain(&r);
}
