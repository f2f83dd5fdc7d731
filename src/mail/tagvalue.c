/*
 * tag=value lists (RFC 6376 3.2), strict: DKIM signatures, key records, ARC
 * sets and DMARC records.
 *
 * This does not know any tag: which are required and what their values mean
 * is the caller's.  Unknown tags are kept.  Names and values point into the
 * input; a list holds at most TAGVALUE_MAX tags.  Pure.
 */
#include "mail/tagvalue.h"

/* ALPHA *(ALPHA / DIGIT / "_") */
static bool name_ok(struct slice s)
{
	if (s.n == 0 || !ascii_isalpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_isalnum(s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

/* FWS, VALCHAR, and UTF-8 (RFC 8616); no other control, and no line end that
 * does not fold. */
static bool text_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char next = i + 1 < s.n ? s.p[i + 1] : '\0';
		if (c == '\r' && next == '\n')
			continue;
		if (c == '\n' && ascii_iswsp(next))
			continue;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool add(struct slice tag, struct tagvalue_list *l, const char **reason)
{
	struct slice value = tag;
	struct slice name = slice_trim(slice_cut(&value, '='));

	if (value.p == NULL || !name_ok(name)) {
		*reason = "syntax error in tag list";
		return false;
	}
	for (size_t i = 0; i < l->n; i++) {
		/* RFC 6376 3.2: tags MUST NOT be duplicated */
		if (slice_eq(l->v[i].name, name)) {
			*reason = "duplicate tag";
			return false;
		}
	}
	if (l->n == TAGVALUE_MAX) {
		*reason = "too many tags";
		return false;
	}
	l->v[l->n++] = (struct tagvalue){name, slice_trim(value)};
	return true;
}

bool tagvalue_parse(struct slice s, struct tagvalue_list *ret,
		    const char **reason)
{
	struct slice rest = s;

	ret->n = 0;
	if (!text_ok(s)) {
		*reason = "control character in tag list";
		return false;
	}
	do {
		struct slice tag = slice_cut(&rest, ';');

		/* RFC 6376 3.2: one ";" may end the list */
		if (rest.p == NULL && ret->n > 0 && slice_trim(tag).n == 0)
			return true;
		if (!add(tag, ret, reason)) {
			ret->n = 0;
			return false;
		}
	} while (rest.p != NULL);
	return true;
}

bool tagvalue_get(const struct tagvalue_list *l, const char *name,
		  struct slice *ret)
{
	for (size_t i = 0; i < l->n; i++) {
		if (slice_is(l->v[i].name, name)) {
			*ret = l->v[i].value;
			return true;
		}
	}
	return false;
}
