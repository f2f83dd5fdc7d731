/*
 * DKIM canonicalization (RFC 6376 3.4; errata 5839, 5252), our own: for ARC,
 * for internationalized DKIM (RFC 8616), and as the check on libopendkim.
 * Pure: the output goes to a function of the caller's.
 */
#ifndef MAILSEAL_MAIL_CANON_H
#define MAILSEAL_MAIL_CANON_H

#include "base/str.h"
#include "mail/field.h"

enum canon_mode {
	CANON_SIMPLE,
	CANON_RELAXED,
};

typedef void canon_sink(void *arg, struct slice bytes);

/* One header field (raw as in mail/field.h); `crlf` adds the final CRLF. */
void canon_field(enum canon_mode mode, struct slice raw, bool crlf,
		 canon_sink *sink, void *arg);

/* A raw DKIM-Signature (or ARC) field with the value of its b= tag emptied,
 * everything else as it was (RFC 6376 3.5, 3.7). */
struct slice canon_without_b(struct arena *a, struct slice raw);

/*
 * Which fields of `l` the names of an h= tag select, bottom-up per name (RFC
 * 6376 5.4.2).  `h`: names separated by ":" (FWS allowed).  Writes one index
 * per name into ret[], or SIZE_MAX for a name with no instance left.  Returns
 * the number of names, at most `max`; SIZE_MAX if there are more.  The work is
 * in the order of max * max + max * fields.
 */
size_t canon_select(const struct field_list *l, struct slice h, size_t max,
		    size_t *ret);

/* Body stream; bytes may be split anywhere. */
struct canon_body {
	enum canon_mode mode;
	uint64_t limit;   /* l= in canonical bytes; UINT64_MAX: none */
	uint64_t total;   /* canonical bytes of the whole body so far */
	uint64_t blank;   /* CRLFs held back (they may be the last) */
	bool line_wsp;    /* WSP held back (relaxed) */
	bool cr;          /* CR held back */
	canon_sink *sink;
	void *arg;
};

void canon_body_init(struct canon_body *b, enum canon_mode mode,
		     uint64_t limit, canon_sink *sink, void *arg);
void canon_body_feed(struct canon_body *b, struct slice bytes);
/* Adds the CRLF that a body without final CRLF gets; `total` is then the
 * length of the whole canonical body. */
void canon_body_end(struct canon_body *b);

#endif
