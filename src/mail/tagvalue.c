/* tag=value lists (RFC 6376 3.2), strict.  Pure. */
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

/* FWS, VALCHAR, and UTF-8 (RFC 8616); no other control. */
static bool value_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r' || c == '\n' || c == '\t')
			continue;
		if (c < 0x20 || c == 0x7f || c == ';')
			return false;
	}
	return true;
}

static bool add(struct slice tag, struct tagvalue_list *l, const char **reason)
{
	struct slice value = tag;
	struct slice name = slice_trim(slice_cut(&value, '='));
	struct slice seen;

	if (value.p == NULL || !name_ok(name) || !value_ok(value)) {
		*reason = "syntax error in tag list";
		return false;
	}
	for (size_t i = 0; i < l->n; i++) {
		seen = l->v[i].name;
		/* RFC 6376 3.2: tags MUST NOT be duplicated */
		if (slice_eq(seen, name)) {
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
	while (rest.p != NULL) {
		struct slice tag = slice_cut(&rest, ';');

		/* one ";" may end the list */
		if (slice_trim(tag).n == 0 && rest.p == NULL && ret->n > 0)
			return true;
		if (!add(tag, ret, reason))
			return false;
	}
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
