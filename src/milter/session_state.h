/* The state of a session, for the files that make it up: session.c (events),
 * inbound.c and outbound.c (a message of either direction). */
#ifndef MAILSEAL_MILTER_SESSION_STATE_H
#define MAILSEAL_MILTER_SESSION_STATE_H

#include "dkim/dkim.h"
#include "milter/gatekeeper.h"
#include "milter/session.h"

/* What the journal is told of a message besides its outcome; it lives as long
 * as the message. */
struct remembered {
	const struct addr_authors *authors; /* NULL: nothing is told */
	const struct results *results;	    /* NULL outbound */
	const struct verdict *verdict;
	struct slice authres; /* inbound */
};

/* For the counts: what is known of it while it is dealt with. */
struct measured {
	int64_t began_us; /* its end of message; clock_mono_us() */
	int64_t dns_us, verify_us, sign_us; /* negative: no such stage */
	enum tally_sealing signing;
	size_t nsigned; /* keys of s->keys whose signature it got */
};

struct session {
	struct app_place *place;
	struct arena *conn; /* replaced at each HELO */
	struct arena *msg;  /* NULL between messages */
	struct client_facts client;
	bool maybe_local;
	enum dkim_mta mta;

	/* the message */
	struct app *app; /* in force when it began; NULL between messages */
	int forced;	 /* listener's direction or -1 */
	struct client_facts msg_client;
	struct envelope_facts envelope;
	struct session_login login;
	struct field_list fields;
	struct own_fields own;
	struct awareness_facts awareness; /* noted as they come */
	struct rule_recipients *seal_recipients;
	struct sealing *sealing; /* NULL: it is not sealed */
	bool trusted; /* the client's fields in our name stay */
	bool header_ended;
	size_t size; /* bytes of header and body so far */
	struct rule_recipients *recipients;
	size_t nrcpts; /* of those that are kept */
	struct slice *rcpts;
	const char *failed; /* by a fault of ours: constant, or NULL */
	enum mail_direction direction;
	const char *why; /* rule that decided the direction */
	struct gatekeeper gate;
	struct evaluation *evaluation;
	struct dkim_signer *signer;
	struct addr_authors authors; /* outbound */
	struct key_choice keys;
	struct preflight_run *preflight; /* NULL: no rule is on */
	struct log_fields preflight_log; /* " preflight=ok", or nothing */
	const char *preflight_field;	 /* value to be added, or NULL */
	const char *preflight_warning;	 /* or NULL */
	const char *unsigned_why; /* constant; NULL: will be signed */
	bool must_sign;
	struct remembered remembered;
	struct measured measured;
	int64_t started_ms;
};

/* The line of a message in the log: "QUEUE-ID: ", then what others add to it,
 * and " ms=12" at its end. */
struct log_fields *session_log_begin(struct session *s);
void session_log_end(struct session *s, struct log_fields *f);
/* A line that has no values: a warning. */
struct log_fields *session_log_line(struct session *s, const char *text);
/* At last: what became of it, and what log.personal says is hidden. */
void session_log_finish(struct session *s, const struct session_outcome *o);
/* " direction=inbound(default) login=bob mechanism=PLAIN tls=none" */
void session_log_client(const struct session *s, struct log_fields *f,
			const char *lead, const char *direction,
			const char *rule);
/* The local rules about this message: `results` NULL outbound. */
struct rule_outcome session_rules(struct session *s,
				  const struct addr_authors *authors,
				  const struct results *results);
/* What the gate is asked about. */
struct gatekeeper session_gatekeeper(struct session *s);

/* ---- remember.c ---- */
/* Puts s->remembered into the journal.  `now`: seconds since 1970. */
void session_remember(struct session *s, int64_t now,
		      const struct session_outcome *o);
void session_remember_rcpt(struct session *s, struct slice path);

/* ---- count.c ---- */
/* Around the end of a message. */
void session_measure(struct session *s);
void session_count(struct session *s, const struct session_outcome *o);

/* ---- inbound.c ---- */
void inbound_begin(struct session *s); /* at end of header */
void inbound_end(struct session *s, int64_t now, struct session_outcome *ret);

/* The message is accepted, with results that say why it was not examined. */
void inbound_unexamined(struct session *s, const char *reason,
			struct session_outcome *ret);

/* ---- sealing.c: inbound, by arc.seal ---- */
void sealing_begin(struct session *s); /* at end of header */
void sealing_body(struct session *s, struct slice bytes);
/* Adds the set to the edits of an accepted message, when it is to be sealed:
 * over what these make of it.  Made once; `now`: seconds since 1970. */
void sealing_stamp(struct session *s, int64_t now, const struct results *r,
		   const struct verdict *v, struct edits *e);
/* " arc_seal=2/pass/example.com/s1", " arc_seal=no(why)", or nothing. */
void sealing_log(const struct session *s, struct log_fields *f);
/* What became of the set; `taken`: the message was accepted. */
enum tally_sealing sealing_outcome(const struct session *s, bool taken);
const char *sealing_warning(const struct session *s); /* or NULL */
void sealing_free(struct session *s);

/* ---- outbound.c ---- */
void outbound_begin(struct session *s);
void outbound_end(struct session *s, int64_t now, struct session_outcome *ret);

/* ---- preflight_run.c: outbound, when the gate lets it through ---- */
void preflight_begin(struct session *s); /* when the keys are chosen */
void preflight_body(struct session *s, struct slice bytes);
/* With the signatures by the first `n` keys; may refuse the message. */
void preflight_end(struct session *s, const struct slice *signatures, size_t n);
void preflight_free(struct session *s);

#endif
