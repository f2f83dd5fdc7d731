/*
 * Reads ARC fields strictly: what is not as RFC 8617 4.1 has it ends the chain.
 *
 * First every field is put into the place that its i= says; only when each
 * place is filled once are the tags read.  The newest set alone decides whether
 * the chain has been given up (cv=fail).
 */
#include "arc/set.h"

#include <string.h>

#include "mail/base64.h"
#include "mail/domain.h"
#include "mail/tagvalue.h"

#define B_MAX 4096 /* base64; an RSA key of 16384 bits gives 2732 */

/* The fields of one instance. */
struct place {
	const struct field *results, *signature, *seal;
};

enum kind {
	RESULTS,
	SIGNATURE,
	SEAL,
	KINDS,
};

static const char *const names[KINDS] = {
	[RESULTS] = "ARC-Authentication-Results",
	[SIGNATURE] = "ARC-Message-Signature",
	[SEAL] = "ARC-Seal",
};

static const char too_many[] = "more than 50 ARC sets";

bool arc_is_field(struct slice name)
{
	for (enum kind k = RESULTS; k < KINDS; k++)
		if (slice_is_ci(name, names[k]))
			return true;
	return false;
}

static bool fail(struct arc_chain *c, const char *reason)
{
	if (c->reason == NULL)
		c->reason = reason;
	return false;
}

/* ---- i= ---- */

#define OVER (ARC_SETS_MAX + 1)

/* RFC 8617 4.2.1: 1 to 50, without a zero in front; 0 when it is no number,
 * OVER for all that are higher. */
static unsigned instance_of(struct slice s)
{
	uint64_t n;

	if (s.n == 0 || s.p[0] == '0')
		return 0;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isdigit(s.p[i]))
			return 0;
	return slice_u64(s, ARC_SETS_MAX, &n) ? (unsigned)n : OVER;
}

/* What a comment (RFC 5322 3.2.2) at the beginning takes; 0 when it does not
 * end. */
static size_t comment_length(struct slice s)
{
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		depth += s.p[i] == '(';
		if (s.p[i] == ')' && --depth == 0)
			return i + 1;
		i += s.p[i] == '\\';
	}
	return 0;
}

/* Past [CFWS]; stops at a comment that does not end. */
static struct slice past_cfws(struct slice s)
{
	size_t n = 1;

	while (s.n > 0 && n > 0) {
		char c = s.p[0];

		if (c == '(')
			n = comment_length(s);
		else if (ascii_iswsp(c) || c == '\r' || c == '\n')
			n = 1;
		else
			break;
		s = slice_from(s, n);
	}
	return s;
}

static bool past_char(struct slice *s, char c)
{
	*s = past_cfws(*s);
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

/* [CFWS] "i" [CFWS] "=" [CFWS] N [CFWS] ";" at the beginning (RFC 8617
 * 4.1.1); *rest is what follows. */
static unsigned results_instance(const struct field *f, struct slice *rest)
{
	struct slice s = f->value, number;
	size_t n = 0;

	if ((!past_char(&s, 'i') && !past_char(&s, 'I')) || !past_char(&s, '='))
		return 0;
	number = past_cfws(s);
	while (n < number.n && ascii_isdigit(number.p[n]))
		n++;
	*rest = slice_from(number, n);
	if (!past_char(rest, ';') || slice_trim(*rest).n == 0)
		return 0;
	return instance_of(slice_first(number, n));
}

static unsigned tags_instance(struct arc_chain *c, const struct field *f)
{
	struct tagvalue_list tags;
	const char *reason;
	struct slice i;

	if (!tagvalue_parse(f->value, &tags, &reason)) {
		fail(c, reason);
		return 0;
	}
	return tagvalue_get(&tags, "i", &i) ? instance_of(i) : 0;
}

static bool put(struct arc_chain *c, const struct field **at,
		const struct field *f)
{
	if (*at != NULL)
		return fail(c, "several ARC fields of one kind and instance");
	*at = f;
	return true;
}

static bool place_field(struct arc_chain *c, struct place v[ARC_SETS_MAX],
			enum kind kind, const struct field *f)
{
	struct slice rest;
	unsigned i = kind == RESULTS ? results_instance(f, &rest)
				     : tags_instance(c, f);

	if (i == 0)
		return fail(c, "ARC field without a valid i=");
	if (i == OVER)
		return fail(c, too_many);
	if (i > c->n)
		c->n = i;
	if (kind == RESULTS)
		return put(c, &v[i - 1].results, f);
	return put(c, kind == SEAL ? &v[i - 1].seal : &v[i - 1].signature, f);
}

/* Goes on after a fault: the newest set is wanted all the same. */
static void place_all(struct arc_chain *c, const struct field_list *l,
		      struct place v[ARC_SETS_MAX])
{
	size_t seen = 0;

	for (size_t i = 0; i < l->n; i++) {
		for (enum kind k = RESULTS; k < KINDS; k++) {
			if (!slice_is_ci(l->v[i].name, names[k]))
				continue;
			if (++seen > (size_t)KINDS * ARC_SETS_MAX) {
				fail(c, too_many);
				return;
			}
			(void)place_field(c, v, k, &l->v[i]);
		}
	}
}

static bool is_complete(struct arc_chain *c, const struct place *v)
{
	for (size_t i = 0; i < c->n; i++)
		if (v[i].results == NULL || v[i].signature == NULL ||
		    v[i].seal == NULL)
			return fail(c, "ARC set is incomplete");
	return true;
}

/* ---- tags ---- */

static bool base64_tag(struct arena *a, const struct tagvalue_list *l,
		       const char *name, struct slice *ret)
{
	struct slice v;

	return tagvalue_get(l, name, &v) && v.n <= B_MAX &&
	       base64_decode(a, v, ret) && ret->n > 0;
}

/* RFC 6376 3.5 has no final dot in d= and s=. */
static const char *domain_tag(struct arena *a, const struct tagvalue_list *l,
			      const char *name)
{
	struct slice v;

	if (!tagvalue_get(l, name, &v) || v.n == 0 || v.p[v.n - 1] == '.')
		return NULL;
	return domain_canon(a, v);
}

static const char *read_common(struct arena *a, const struct tagvalue_list *l,
			       struct arc_tags *ret)
{
	struct slice v = {"", 0};

	(void)tagvalue_get(l, "a", &v);
	if (slice_is(v, "rsa-sha256"))
		ret->type = CRYPTO_RSA;
	else if (slice_is(v, "ed25519-sha256"))
		ret->type = CRYPTO_ED25519;
	else
		return "a= is missing or not accepted";
	ret->domain = domain_tag(a, l, "d");
	ret->selector = domain_tag(a, l, "s");
	if (ret->domain == NULL || ret->selector == NULL)
		return "d= or s= is missing or no domain";
	if (!base64_tag(a, l, "b", &ret->sig))
		return "b= is missing or malformed";
	ret->query =
		arena_printf(a, "%s._domainkey.%s", ret->selector, ret->domain);
	return NULL;
}

/* RFC 8617 4.1.3 */
static const char *read_seal(struct arena *a, const struct field *f,
			     struct arc_seal *ret)
{
	static const char *const words[] = {"none", "pass", "fail"};
	struct tagvalue_list l;
	const char *reason;
	struct slice v;

	ret->tags.field = f;
	if (!tagvalue_parse(f->value, &l, &reason))
		return reason;
	if (tagvalue_get(&l, "h", &v))
		return "ARC-Seal with h=";
	reason = read_common(a, &l, &ret->tags);
	if (reason != NULL)
		return reason;
	if (tagvalue_get(&l, "cv", &v))
		for (int i = ARC_CV_NONE; i <= ARC_CV_FAIL; i++)
			if (slice_is_ci(v, words[i])) {
				ret->cv = (enum arc_cv)i;
				return NULL;
			}
	return "cv= is missing or unknown";
}

static bool read_mode(struct slice s, enum canon_mode *ret)
{
	*ret = slice_is(s, "relaxed") ? CANON_RELAXED : CANON_SIMPLE;
	return slice_is(s, "relaxed") || slice_is(s, "simple");
}

static bool read_canon(const struct tagvalue_list *l, struct arc_signature *ret)
{
	struct slice body, header;

	ret->header = CANON_SIMPLE;
	ret->body = CANON_SIMPLE;
	ret->any_canon = !tagvalue_get(l, "c", &body);
	if (ret->any_canon)
		return true;
	header = slice_cut(&body, '/');
	return read_mode(header, &ret->header) &&
	       (body.p == NULL || read_mode(body, &ret->body));
}

static bool lists(struct slice h, const char *name)
{
	while (h.p != NULL)
		if (slice_is_ci(slice_trim(slice_cut(&h, ':')), name))
			return true;
	return false;
}

static const char *read_names(const struct tagvalue_list *l,
			      struct arc_signature *ret)
{
	if (!tagvalue_get(l, "h", &ret->h))
		return "h= is missing";
	ret->from = lists(ret->h, "From");
	/* RFC 8617 4.1.2 */
	return lists(ret->h, "ARC-Seal") ? "h= with ARC-Seal" : NULL;
}

/* RFC 8617 4.1.2: as DKIM-Signature, but for i= and v=. */
static const char *read_signature(struct arena *a, const struct field *f,
				  struct arc_signature *ret)
{
	struct tagvalue_list l;
	const char *reason;
	struct slice v;

	ret->tags.field = f;
	ret->length = UINT64_MAX;
	if (!tagvalue_parse(f->value, &l, &reason))
		return reason;
	reason = read_common(a, &l, &ret->tags);
	if (reason != NULL)
		return reason;
	if (!base64_tag(a, &l, "bh", &ret->body_hash) ||
	    ret->body_hash.n != SHA256_LEN)
		return "bh= is missing or malformed";
	if (!read_canon(&l, ret))
		return "unknown canonicalization";
	if (tagvalue_get(&l, "l", &v) &&
	    !slice_u64(v, UINT64_MAX - 1, &ret->length))
		return "l= is malformed";
	return read_names(&l, ret);
}

/* ---- the chain ---- */

static bool read_link(struct arena *a, struct arc_chain *c, size_t i,
		      const struct place *p)
{
	struct arc_link *link = &c->v[i];
	const char *reason = read_seal(a, p->seal, &link->seal);

	link->results = p->results;
	(void)results_instance(p->results, &link->results_text);
	link->signature.bad = read_signature(a, p->signature, &link->signature);
	if (reason != NULL)
		return fail(c, reason);
	/* RFC 8617 5.2 step 3: only the newest signature must verify */
	if (i + 1 == c->n && link->signature.bad != NULL)
		return fail(c, link->signature.bad);
	return true;
}

static bool read_links(struct arena *a, struct arc_chain *c,
		       const struct place *v)
{
	c->v = arena_array(a, c->n, sizeof(*c->v));
	for (size_t i = 0; i < c->n; i++)
		if (!read_link(a, c, i, &v[i]))
			return false;
	return true;
}

/* Step 2 of RFC 8617 5.2: whatever else is wrong with the chain. */
static bool has_ended(const struct field *seal)
{
	struct tagvalue_list l;
	const char *reason;
	struct slice cv;

	return seal != NULL && tagvalue_parse(seal->value, &l, &reason) &&
	       tagvalue_get(&l, "cv", &cv) && slice_is_ci(cv, "fail");
}

static bool has_order(struct arc_chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].seal.cv != (i == 0 ? ARC_CV_NONE : ARC_CV_PASS))
			return fail(c, "cv= does not fit its place");
	return true;
}

void arc_chain_read(struct arena *a, const struct field_list *fields,
		    struct arc_chain *ret)
{
	struct place *v = arena_array(a, ARC_SETS_MAX, sizeof(*v));

	*ret = (struct arc_chain){0};
	place_all(ret, fields, v);
	if (ret->n > 0 && has_ended(v[ret->n - 1].seal)) {
		ret->ended = true;
		ret->reason = "the newest seal says cv=fail";
	}
	if (ret->reason == NULL && is_complete(ret, v) && read_links(a, ret, v))
		(void)has_order(ret);
}
