/*
 * One SMTP session: events in, edits and a verdict out.  Knows no libmilter
 * type, so that it can be tested and fuzzed by itself.
 *
 * Order: new, connect, helo*, (mail, rcpt*, header*, end of header, body*,
 * end of message | abort)*, free.  A stage may be missing; nothing may come
 * twice without the state being reset.  One thread at a time.
 */
#ifndef MAILSEAL_MILTER_SESSION_H
#define MAILSEAL_MILTER_SESSION_H

#include "milter/place.h"

struct session;

/* What the MTA says about the client at MAIL; empty what it does not say. */
struct session_login {
	struct slice name;	/* {auth_authen} */
	struct slice mechanism; /* {auth_type} */
	struct transport_facts transport;
	bool smtputf8; /* the parameter of MAIL (RFC 6531 3.4) */
};

/* What is to be done with a message. */
struct session_outcome {
	enum verdict_action action;
	struct smtp_reply reply; /* of VERDICT_TEMPFAIL and VERDICT_REJECT */
	struct edits edits;  /* also for a rejected message: what must go if it
			      * is accepted after all */
	const char *hold;    /* why the MTA is to hold it, or NULL */
	struct edits unheld; /* with `hold`: the edits if the MTA will not */
	struct log_fields *log;	 /* one line, or NULL */
	struct log_fields *warn; /* another line at level warning, or NULL */
};

struct session *session_new(struct app_place *place);
void session_free(struct session *s); /* NULL is allowed */

/* `maybe_local`: the client looks like Postfix's local submission (loopback,
 * port 0); session_mail() has the last word. */
void session_connect(struct session *s, struct ip addr, bool maybe_local,
		     struct slice name, struct slice listener);
/* What the MTA says about the client's name, after session_connect(): the
 * macros {client_resolve} and v, empty when unknown.  May be left out: then the
 * name counts as not confirmed. */
void session_resolved(struct session *s, struct slice resolve,
		      struct slice version);
void session_helo(struct session *s, struct slice helo);
/* `sender`: as given; `queue_id`: empty when unknown. */
void session_mail(struct session *s, struct slice sender,
		  const struct session_login *login, struct slice queue_id);
void session_rcpt(struct session *s, struct slice rcpt); /* as given */
void session_header(struct session *s, struct slice name, struct slice value);
void session_end_of_header(struct session *s);
void session_body(struct session *s, struct slice bytes);
/* The outcome lives until the next session_mail(), _abort() or _free(). */
void session_end_of_message(struct session *s, struct slice queue_id,
			    int64_t now, struct session_outcome *ret);
/* The message is over, finished or not; the connection goes on. */
void session_abort(struct session *s);

/* For errors of our own (something that the MTA refused): what to answer;
 * VERDICT_ACCEPT or VERDICT_TEMPFAIL, with its reply. */
enum verdict_action session_on_error(const struct session *s,
				     struct smtp_reply *reply);

#endif
