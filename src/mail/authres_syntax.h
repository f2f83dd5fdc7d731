/*
 * Character classes that the Authentication-Results writer and reader share
 * (RFC 8601 2.2, RFC 2045 5.1, RFC 5322 3.2.3).  Only for these two.
 */
#ifndef MAILSEAL_MAIL_AUTHRES_SYNTAX_H
#define MAILSEAL_MAIL_AUTHRES_SYNTAX_H

#include <string.h>

#include "base/str.h"

/* Printable, without space. */
static inline bool authres_graph(char c)
{
	return c > ' ' && c < 0x7f;
}

/* An ASCII byte of a MIME token (AR-1b). */
static inline bool authres_token_byte(char c)
{
	return authres_graph(c) && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* atext or the dot of a dot-atom. */
static inline bool authres_atom_byte(char c)
{
	return authres_graph(c) && strchr("()<>@,;:\\\"[]", c) == NULL;
}

static inline bool authres_domain_byte(char c)
{
	return ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
}

/* Are there parts between all dots? */
static inline bool authres_dotted(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' &&
		    (i == 0 || i + 1 == s.n || s.p[i + 1] == '.'))
			return false;
	return s.n > 0;
}

#endif
