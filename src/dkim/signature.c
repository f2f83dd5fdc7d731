/* Reads DKIM-Signature fields.  Pure. */
#include "dkim/signature.h"

#include <string.h>

#include "mail/base64.h"
#include "mail/domain.h"
#include "mail/tagvalue.h"

/* Bytes of b= that are reported and of i= that are read. */
#define TAG_MAX_BYTES 4096

struct reader {
	struct arena *arena;
	struct tagvalue_list tags;
	struct signature *sig;
};

static bool refuse(struct reader *r, enum dkim_status status,
		   const char *reason)
{
	r->sig->result.status = status;
	r->sig->result.reason = reason;
	return false;
}

static bool permerror(struct reader *r, const char *reason)
{
	return refuse(r, DKIM_STATUS_PERMERROR, reason);
}

static struct slice without_fws(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r' &&
		    s.p[i] != '\n')
			p[n++] = s.p[i];
	return (struct slice){p, n};
}

static bool read_version(struct reader *r)
{
	struct slice v;

	if (!tagvalue_get(&r->tags, "v", &v))
		return permerror(r, "no v=");
	return slice_is(v, "1") || permerror(r, "unknown v=");
}

/* d= and s=: as canonical names; DK-7. */
static bool read_names(struct reader *r)
{
	struct dkim_result *res = &r->sig->result;
	struct slice d, s;

	if (!tagvalue_get(&r->tags, "d", &d) ||
	    !tagvalue_get(&r->tags, "s", &s))
		return permerror(r, "no d= or no s=");
	res->domain = domain_canon(r->arena, d);
	res->selector = domain_canon(r->arena, s);
	if (res->domain == NULL)
		return permerror(r, "malformed d=");
	if (res->selector == NULL)
		return permerror(r, "malformed s=");
	if (strlen(res->selector) + strlen("._domainkey.") +
		    strlen(res->domain) >
	    DOMAIN_MAX)
		return permerror(r, "name of the key is too long");
	return true;
}

/* RFC 6376 3.5: the domain of i= is d= or below. */
static bool read_identity(struct reader *r)
{
	struct dkim_result *res = &r->sig->result;
	struct slice i;
	ptrdiff_t at;

	r->sig->identity_domain = res->domain;
	if (!tagvalue_get(&r->tags, "i", &i))
		return true;
	at = slice_rchr(i, '@');
	if (at < 0 || i.n > TAG_MAX_BYTES)
		return permerror(r, "malformed i=");
	r->sig->identity_domain =
		domain_canon(r->arena, slice_from(i, (size_t)at + 1));
	if (r->sig->identity_domain == NULL)
		return permerror(r, "malformed i=");
	if (!domain_is_under(r->sig->identity_domain, res->domain))
		return permerror(r, "i= is not below d=");
	res->identity = i;
	return true;
}

static bool read_algorithm(struct reader *r)
{
	struct slice a;

	if (!tagvalue_get(&r->tags, "a", &a))
		return permerror(r, "no a=");
	r->sig->result.algorithm = slice_first(a, 64);
	if (slice_is(a, "rsa-sha256"))
		r->sig->algorithm = SIGNATURE_RSA_SHA256;
	else if (slice_is(a, "ed25519-sha256"))
		r->sig->algorithm = SIGNATURE_ED25519_SHA256;
	else if (slice_is(a, "rsa-sha1"))
		return permerror(r, "rsa-sha1 is not secure"); /* RFC 8301 */
	else
		return permerror(r, "unknown algorithm");
	return true;
}

static bool canon_mode_of(struct slice s, enum canon_mode *ret)
{
	*ret = slice_is(s, "relaxed") ? CANON_RELAXED : CANON_SIMPLE;
	return slice_is(s, "relaxed") || slice_is(s, "simple");
}

static bool read_canon(struct reader *r)
{
	struct slice body, q;
	struct slice header;

	r->sig->header_canon = CANON_SIMPLE;
	r->sig->body_canon = CANON_SIMPLE;
	if (tagvalue_get(&r->tags, "q", &q) && !slice_is(q, "dns/txt"))
		return permerror(r, "unknown q=");
	if (!tagvalue_get(&r->tags, "c", &body))
		return true;
	header = slice_cut(&body, '/');
	if (!canon_mode_of(header, &r->sig->header_canon) ||
	    (body.p != NULL && !canon_mode_of(body, &r->sig->body_canon)))
		return permerror(r, "unknown canonicalization");
	return true;
}

static bool read_hashes(struct reader *r)
{
	struct signature *s = r->sig;
	struct slice b, bh;

	if (!tagvalue_get(&r->tags, "b", &b) ||
	    !tagvalue_get(&r->tags, "bh", &bh))
		return permerror(r, "no b= or no bh=");
	s->result.b = slice_first(without_fws(r->arena, b), TAG_MAX_BYTES);
	if (b.n > TAG_MAX_BYTES || !base64_decode(r->arena, b, &s->bytes) ||
	    s->bytes.n == 0)
		return permerror(r, "malformed b=");
	if (bh.n > TAG_MAX_BYTES || !base64_decode(r->arena, bh, &s->body_hash))
		return permerror(r, "malformed bh=");
	if (s->body_hash.n != SHA256_LEN)
		return permerror(r, "bh= is no SHA-256 hash");
	return true;
}

/* DK-3, DK-4: decimal, t and x at most 12 digits, l at most 76. */
static bool read_number(struct reader *r, const char *tag, size_t digits,
			bool *has, uint64_t *ret)
{
	struct slice v;

	*has = tagvalue_get(&r->tags, tag, &v);
	if (!*has)
		return true;
	if (v.n > digits || !slice_u64(v, UINT64_MAX, ret))
		return permerror(r, "malformed number in l=, t= or x=");
	return true;
}

static bool read_numbers(struct reader *r)
{
	struct signature *s = r->sig;

	if (!read_number(r, "l", 76, &s->has_length, &s->length) ||
	    !read_number(r, "t", 12, &s->has_time, &s->time) ||
	    !read_number(r, "x", 12, &s->has_expiry, &s->expiry))
		return false;
	if (s->has_time && s->has_expiry && s->expiry <= s->time)
		return permerror(r, "x= is not after t=");
	return true;
}

size_t signature_names_count(struct slice names, const char *name)
{
	size_t n = 0;

	while (names.p != NULL)
		n += slice_is_ci(slice_trim(slice_cut(&names, ':')), name);
	return n;
}

/* RFC 6376 5.4: h= must not be empty and must have From. */
static bool read_header_list(struct reader *r)
{
	struct slice h, rest;
	size_t n = 0;

	if (!tagvalue_get(&r->tags, "h", &h))
		return permerror(r, "no h=");
	rest = h;
	while (rest.p != NULL) {
		if (slice_trim(slice_cut(&rest, ':')).n == 0)
			return permerror(r, "malformed h=");
		if (++n > SIGNATURE_MAX_NAMES)
			return permerror(r, "too many names in h=");
	}
	if (signature_names_count(h, "From") == 0)
		return permerror(r, "From is not signed");
	r->sig->names = h;
	return true;
}

void signature_parse(struct arena *a, const struct field *field,
		     struct signature *ret)
{
	struct reader r = {.arena = a, .sig = ret};
	const char *reason = "syntax error";
	bool ok;

	*ret = (struct signature){.field = field};
	if (!tagvalue_parse(field->value, &r.tags, &reason)) {
		(void)refuse(&r, DKIM_STATUS_PERMERROR, reason);
		return;
	}
	/* every reader runs, so that the report has all it can have; the
	 * first complaint stands */
	ok = read_names(&r) && read_identity(&r) && read_version(&r) &&
	     read_algorithm(&r) && read_canon(&r) && read_hashes(&r) &&
	     read_header_list(&r) && read_numbers(&r);
	ret->usable = ok;
}
