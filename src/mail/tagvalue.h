/*
 * tag=value lists (RFC 6376 3.2), strict.  Pure.
 */
#ifndef MAILSEAL_MAIL_TAGVALUE_H
#define MAILSEAL_MAIL_TAGVALUE_H

#include "base/str.h"

#define TAGVALUE_MAX 64 /* tags in one list; more is an error */

struct tagvalue {
	struct slice name;
	struct slice value; /* FWS at both ends removed, inner FWS kept */
};

struct tagvalue_list {
	size_t n;
	struct tagvalue v[TAGVALUE_MAX];
};

/*
 * Parses; false (and *reason, a constant; ret->n is 0) on a syntax error, a
 * duplicate tag (the whole list is then invalid), or too many tags.  Bytes >=
 * 0x80 are allowed in values (RFC 8616), controls are not; CRLF only as part
 * of a fold (FWS).
 */
bool tagvalue_parse(struct slice s, struct tagvalue_list *ret,
		    const char **reason);
/* Tag names are case-sensitive.  False when absent. */
bool tagvalue_get(const struct tagvalue_list *l, const char *name,
		  struct slice *ret);

#endif
