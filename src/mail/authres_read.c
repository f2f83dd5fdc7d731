/*
 * The Authentication-Results reader (RFC 8601 2.2, AR-1a) and the test for
 * fields that claim to be ours (AR-4).
 *
 * The reader is strict: a field that another reader might take for something
 * else does not parse.  The test is the other way round: what it cannot tell
 * counts as a claim, since a forged field that stays is worse than a foreign
 * one that goes.  Neither judges methods or results; unknown ones are the
 * caller's to ignore (AR-10).  Pure; slices point into the value or the arena.
 */
#include "mail/authres.h"

#include <limits.h>
#include <string.h>

#include "mail/authres_syntax.h"
#include "mail/domain.h"

struct reader {
	struct arena *arena;
	struct slice s; /* what is left */
	bool failed;	/* a comment or string without end, a stray byte */
};

static bool at_end(const struct reader *r)
{
	return r->s.n == 0;
}

static bool peek(const struct reader *r, char c)
{
	return r->s.n > 0 && r->s.p[0] == c;
}

static bool take(struct reader *r, char c)
{
	if (!peek(r, c))
		return false;
	r->s = slice_from(r->s, 1);
	return true;
}

static bool fail(struct reader *r)
{
	r->failed = true;
	return false;
}

/* Length of the white space that `s` begins with: a blank or a whole fold
 * (RFC 5322 3.2.2), its line end CRLF or LF. */
static size_t space_size(struct slice s)
{
	size_t n = 0;

	if (s.n > 0 && ascii_iswsp(s.p[0]))
		return 1;
	if (s.n > n && s.p[n] == '\r')
		n++;
	if (s.n > n && s.p[n] == '\n')
		n++;
	else
		return 0;
	return s.n > n && ascii_iswsp(s.p[n]) ? n + 1 : 0;
}

/* Text bytes of comments and strings; RFC 6532 adds all above ASCII. */
static bool text_byte(char c)
{
	return authres_graph(c) || (unsigned char)c >= 0x80;
}

static void skip_quoted_pair(struct reader *r)
{
	r->s = slice_from(r->s, 1);
	if (at_end(r) || (!text_byte(r->s.p[0]) && !ascii_iswsp(r->s.p[0])))
		fail(r);
	else
		r->s = slice_from(r->s, 1);
}

/* Comments nest; counting needs no stack.  Begins at the "(". */
static void skip_comment(struct reader *r)
{
	size_t depth = 0;

	do {
		size_t space = space_size(r->s);
		if (at_end(r)) {
			fail(r);
		} else if (space > 0) {
			r->s = slice_from(r->s, space);
		} else if (peek(r, '\\')) {
			skip_quoted_pair(r);
		} else if (take(r, '(')) {
			depth++;
		} else if (take(r, ')')) {
			depth--;
		} else if (text_byte(r->s.p[0])) {
			r->s = slice_from(r->s, 1);
		} else {
			fail(r);
		}
	} while (depth > 0 && !r->failed);
}

/* Optional white space and comments.  True when there was some. */
static bool skip_cfws(struct reader *r)
{
	size_t before = r->s.n;

	while (!r->failed) {
		size_t space = space_size(r->s);
		if (space > 0)
			r->s = slice_from(r->s, space);
		else if (peek(r, '('))
			skip_comment(r);
		else
			break;
	}
	return r->s.n < before;
}

/* The longest start of what is left that `is` allows. */
static struct slice take_run(struct reader *r, bool (*is)(char))
{
	struct slice run;
	size_t n = 0;

	while (n < r->s.n && is(r->s.p[n]))
		n++;
	run = slice_first(r->s, n);
	r->s = slice_from(r->s, n);
	return run;
}

/* Internationalized mail has UTF-8 in tokens and domains (RFC 8616 3). */
static bool token_byte(char c)
{
	return authres_token_byte(c) || (unsigned char)c >= 0x80;
}

static bool atom_byte(char c)
{
	return authres_atom_byte(c) || (unsigned char)c >= 0x80;
}

static bool domain_byte(char c)
{
	return authres_domain_byte(c) || (unsigned char)c >= 0x80;
}

static bool keyword_byte(char c)
{
	return ascii_isalnum(c) || c == '-';
}

/* RFC 5321 4.1.1.1 Keyword. */
static bool take_keyword(struct reader *r, struct slice *ret)
{
	*ret = take_run(r, keyword_byte);
	if (ret->n == 0 || ret->p[ret->n - 1] == '-')
		return fail(r);
	return true;
}

/* Bytes up to the closing quote, an upper bound of those of the content. */
static size_t quoted_size(struct slice s)
{
	size_t i = 1;

	while (i < s.n && s.p[i] != '"')
		i += s.p[i] == '\\' ? 2 : 1;
	return i;
}

/* Begins at the quote.  A fold inside loses its line end only. */
static bool take_quoted(struct reader *r, struct slice *ret)
{
	char *out = arena_alloc(r->arena, quoted_size(r->s)), *at = out;

	take(r, '"');
	while (!take(r, '"')) {
		size_t space = space_size(r->s);
		if (at_end(r))
			return fail(r);
		if (space > 0) {
			*at++ = r->s.p[space - 1];
			r->s = slice_from(r->s, space);
		} else if (peek(r, '\\')) {
			const char *pair = r->s.p;
			skip_quoted_pair(r);
			if (r->failed)
				return false;
			*at++ = pair[1];
		} else if (text_byte(r->s.p[0])) {
			*at++ = r->s.p[0];
			r->s = slice_from(r->s, 1);
		} else {
			return fail(r);
		}
	}
	*ret = (struct slice){out, (size_t)(at - out)};
	return true;
}

/* value: a token or a quoted string. */
static bool take_value(struct reader *r, struct slice *ret)
{
	if (peek(r, '"'))
		return take_quoted(r, ret);
	*ret = take_run(r, token_byte);
	return ret->n > 0 || fail(r);
}

static bool take_number(struct reader *r, uint64_t max, uint64_t *ret)
{
	return slice_u64(take_run(r, ascii_isdigit), max, ret) || fail(r);
}

static bool all_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!token_byte(s.p[i]))
			return false;
	return s.n > 0;
}

/* After the local-part: "@" and the domain. */
static bool take_address(struct reader *r, struct slice local,
			 struct slice *ret)
{
	struct slice domain;
	struct strbuf b;

	take(r, '@');
	domain = take_run(r, domain_byte);
	if (!authres_dotted(domain))
		return fail(r);
	strbuf_init(&b, r->arena, local.n + 1 + domain.n);
	strbuf_add(&b, local);
	strbuf_addc(&b, '@');
	strbuf_add(&b, domain);
	*ret = strbuf_slice(&b);
	return true;
}

/* pvalue: a value or [[local-part] "@"] domain-name. */
static bool take_pvalue(struct reader *r, struct slice *ret)
{
	bool quoted = peek(r, '"');

	if (quoted && !take_quoted(r, ret))
		return false;
	if (!quoted)
		*ret = take_run(r, atom_byte);
	if (peek(r, '@')) {
		/* A dot-atom has no empty parts; no local-part is fine. */
		if (!quoted && ret->n > 0 && !authres_dotted(*ret))
			return fail(r);
		return take_address(r, *ret, ret);
	}
	return quoted || all_token(*ret) || fail(r);
}

/* "=" with white space and comments around it. */
static bool take_equals(struct reader *r)
{
	skip_cfws(r);
	if (r->failed || !take(r, '='))
		return fail(r);
	skip_cfws(r);
	return !r->failed;
}

/* [authserv-id] [CFWS version], and the CFWS after it. */
static bool take_head(struct reader *r, struct authres *ret)
{
	bool space;

	ret->version = 1;
	skip_cfws(r);
	if (r->failed || !take_value(r, &ret->id))
		return false;
	space = skip_cfws(r);
	if (space && !r->failed && !at_end(r) && ascii_isdigit(r->s.p[0])) {
		if (!take_number(r, UINT64_MAX, &ret->version))
			return false;
		skip_cfws(r);
	}
	return !r->failed;
}

static struct authres_property *props_grow(struct arena *a,
					   struct authres_resinfo *info)
{
	size_t n = info->nprops;

	/* Grows at each power of two. */
	if ((n & (n - 1)) == 0) {
		struct authres_property *v =
			arena_array(a, n > 0 ? n * 2 : 1, sizeof(*v));
		if (n > 0)
			memcpy(v, info->props, n * sizeof(*v));
		info->props = v;
	}
	return &info->props[info->nprops++];
}

/* `first`: the ptype, which was read already. */
static bool take_prop(struct reader *r, struct slice first,
		      struct authres_resinfo *info)
{
	struct authres_property *prop = props_grow(r->arena, info);

	prop->ptype = first;
	skip_cfws(r);
	if (r->failed || !take(r, '.'))
		return fail(r);
	skip_cfws(r);
	if (r->failed || !take_keyword(r, &prop->name) || !take_equals(r))
		return false;
	return take_pvalue(r, &prop->value);
}

/* What follows the result: a reason, then properties. */
static bool take_rest(struct reader *r, struct authres_resinfo *info)
{
	bool first = true;

	skip_cfws(r);
	while (!r->failed && !at_end(r) && !peek(r, ';')) {
		struct slice word;
		if (!take_keyword(r, &word))
			return false;
		skip_cfws(r);
		/* The reason comes before the properties (RFC 8601 2.2). */
		if (first && !peek(r, '.') && slice_is_ci(word, "reason")) {
			if (!take_equals(r) || !take_value(r, &info->reason))
				return false;
			/* Between properties it may be missing. */
			if (!skip_cfws(r) && !at_end(r) && !peek(r, ';'))
				return fail(r);
		} else if (!take_prop(r, word, info)) {
			return false;
		}
		first = false;
		skip_cfws(r);
	}
	return !r->failed;
}

/* methodspec: "/" version, "=", result. */
static bool take_result(struct reader *r, struct authres_resinfo *info)
{
	uint64_t version = 1;

	skip_cfws(r);
	if (!r->failed && take(r, '/')) {
		skip_cfws(r);
		if (r->failed || !take_number(r, UINT_MAX, &version))
			return false;
	}
	info->version = (unsigned)version;
	return !r->failed && take_equals(r) && take_keyword(r, &info->result);
}

static size_t count_semicolons(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == ';';
	return n;
}

/* The resinfos, or "none". */
static bool take_results(struct reader *r, struct authres *ret)
{
	size_t max = count_semicolons(r->s);

	if (max > AUTHRES_MAX_RESINFO)
		max = AUTHRES_MAX_RESINFO;
	ret->v = arena_array(r->arena, max, sizeof(*ret->v));
	do {
		struct authres_resinfo *info = &ret->v[ret->n];
		if (!take(r, ';') || ret->n == max)
			return false;
		skip_cfws(r);
		if (r->failed || !take_keyword(r, &info->method))
			return false;
		skip_cfws(r);
		if (ret->n == 0 && at_end(r) && !r->failed)
			return slice_is_ci(info->method, "none");
		if (!take_result(r, info) || !take_rest(r, info))
			return false;
		ret->n++;
	} while (!at_end(r));
	return true;
}

bool authres_parse(struct arena *a, struct slice value, struct authres *ret)
{
	struct reader r = {.arena = a, .s = value};
	struct authres got = {0};

	if (value.n > AUTHRES_MAX_FIELD || !take_head(&r, &got) ||
	    !take_results(&r, &got))
		return false;
	*ret = got;
	return true;
}

/* ---- claims ---- */

/* What an id is when it is no domain, for a comparison of bytes. */
static struct slice plain_id(struct slice id)
{
	id = slice_trim(id);
	while (id.n > 0 && id.p[id.n - 1] == '.')
		id.n--;
	return id;
}

static bool ascii_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!authres_token_byte(s.p[i]))
			return false;
	return s.n > 0;
}

static bool id_matches(struct arena *a, struct slice id, const char *const *ids,
		       size_t nids)
{
	struct slice plain = plain_id(id);
	const char *domain = domain_canon(a, plain);

	/* A name with foreign letters that is no domain may look like any. */
	if (domain == NULL && !ascii_token(plain))
		return true;
	for (size_t i = 0; i < nids; i++)
		if (slice_is_ci(plain, ids[i]) ||
		    (domain != NULL && strcmp(domain, ids[i]) == 0))
			return true;
	return false;
}

bool authres_claims(struct arena *a, struct slice value, const char *const *ids,
		    size_t nids)
{
	struct reader r = {.arena = a, .s = value};
	struct authres head = {0};

	/* Something else than results after the id: other readers may take a
	 * part of that for the id. */
	if (!take_head(&r, &head) || (!at_end(&r) && !peek(&r, ';')))
		return true;
	return head.version != 1 || id_matches(a, head.id, ids, nids);
}
