/*
 * The answer to the end of DATA, and the text of it.  Pure.
 */
#ifndef MAILSEAL_MAIL_REPLY_H
#define MAILSEAL_MAIL_REPLY_H

#include "base/str.h"

/* RFC 5321 4.5.3.1.5: a reply line has 512 octets, codes and CRLF too. */
#define SMTP_REPLY_MAX 400

/* NULL members when the MTA may choose. */
struct smtp_reply {
	const char *code;     /* "550" */
	const char *enhanced; /* "5.7.1" (RFC 3463); its class is the code's */
	const char *text;     /* one line, printable ASCII without "%", at most
			       * SMTP_REPLY_MAX bytes */
};

/* May it stand in a reply, and look like nothing else there (RFC 5321 4.2)?
 * Printable ASCII without space, "%" (libmilter reads it), quote, backslash. */
bool reply_is_plain(struct slice s);
/* "bob@example.com"; a local-part that is long or not plain is "...". */
const char *reply_address(struct arena *a, struct slice local,
			  const char *domain);
/* "login bob", "login <a=b>", or "this login" when its name may not stand in a
 * reply. */
const char *reply_login(struct arena *a, struct slice login);
#define REPLY_LINES_MAX 5
#define REPLY_LINE_MAX	200 /* bytes of a line of a template */

/* What the fields {domain}, {rule} and {queue_id} of a template stand for. */
struct reply_fields {
	const char *domain; /* canonical, or NULL */
	const char *rule;
	struct slice queue_id;
};

/* Lines (LF between them) of printable ASCII without "%", and of "{...}" only
 * those fields? */
bool reply_template_ok(const char *text);
/* The text of a reply, lines with LF between them; each is cut to
 * SMTP_REPLY_MAX. */
const char *reply_fill(struct arena *a, const char *text,
		       const struct reply_fields *f);

/* "WHAT. COACHING", cut to SMTP_REPLY_MAX; `coaching` of the administrator may
 * be "". */
const char *reply_text(struct arena *a, const char *what, const char *coaching);

#endif
