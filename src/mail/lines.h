/*
 * A body that is to be signed, with its line ends as the MTA will send them: a
 * bare CR or LF counts as CRLF (RFC 6376 5.3).  Pure.
 */
#ifndef MAILSEAL_MAIL_LINES_H
#define MAILSEAL_MAIL_LINES_H

#include "mail/canon.h"

struct body_lines {
	struct canon_body canon;
	size_t longest; /* line so far, in bytes without its end */
	size_t column;	/* bytes in the line so far */
	bool cr;	/* the last byte was a CR: its LF may follow */
};

void body_lines_init(struct body_lines *l, enum canon_mode mode,
		     canon_sink *sink, void *arg);
/* Bytes may be split anywhere; canon_body_end(&l->canon) at the end. */
void body_lines_feed(struct body_lines *l, struct slice bytes);

#endif
