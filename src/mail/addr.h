/*
 * RFC 5322 3.4 / RFC 6854 mailbox-list and group parser for From, and the
 * envelope path parser.  Pure.  It never guesses: what is not well formed is
 * malformed, with a reason (HP-1 to HP-13).
 */
#ifndef MAILSEAL_MAIL_ADDR_H
#define MAILSEAL_MAIL_ADDR_H

#include "base/str.h"
#include "mail/field.h"

#define ADDR_MAX_MAILBOXES 64   /* HP-12 */
#define ADDR_MAX_VALUE     8192 /* HP-12: bytes of a From value */

struct addr_mailbox {
	struct slice local;  /* unquoted local-part */
	const char *domain;  /* canonical (mail/domain.h) */
	struct slice display; /* raw display-name or empty; points into the
				 value that was parsed */
};

/* The authors of a message. */
struct addr_authors {
	bool malformed;     /* then reason says why, and n == 0 */
	const char *reason; /* a constant; NULL when well formed */
	size_t n;           /* mailboxes; 0 is possible (empty group) */
	struct addr_mailbox *v;
	size_t ndomains;     /* distinct author domains, in order */
	const char **domains;
};

/*
 * Parses one address-list value (From, Sender), folds as CRLF.  The obsolete
 * forms of RFC 5322 4.4 are accepted, except for CFWS inside of a domain and
 * commas at the ends of a route.  An address literal is malformed: it names no
 * author domain.  So is any text with characters that reorder what is shown
 * (U+202A to U+202E, U+2066 to U+2069), in display names and comments too.
 */
void addr_list_parse(struct arena *a, struct slice value,
		     struct addr_authors *ret);

/* The authors by the From fields of a message: none or several From fields
 * are malformed (HP-1), as are header blocks whose trouble hides a From. */
void addr_authors_of(struct arena *a, const struct field_list *fields,
		     struct addr_authors *ret);

/* The path of MAIL FROM or RCPT TO. */
struct addr_path {
	bool null;          /* "<>" */
	bool malformed;     /* source route, quote in the domain ... (HP-10);
			       then the rest is empty */
	struct slice local; /* unquoted; empty when there was none */
	const char *domain; /* canonical, or NULL (none or an IP literal) */
};

/* With or without "<>" (sendmail(1) submission gives none).  Dots may stand
 * anywhere in the local-part; otherwise it is that of RFC 5321 4.1.2. */
void addr_path_parse(struct arena *a, struct slice path,
		     struct addr_path *ret);

#endif
