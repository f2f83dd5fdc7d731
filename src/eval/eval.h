/*
 * The pipeline of one message: evaluate -> decide -> stamp.
 *
 * eval/ takes plain values and a DNS budget; it knows neither config/ nor
 * libmilter.  An evaluation belongs to one message and one arena.
 */
#ifndef MAILSEAL_EVAL_EVAL_H
#define MAILSEAL_EVAL_EVAL_H

#include "base/log_fields.h"
#include "mail/reply.h"
#include "eval/facts.h"
#include "eval/results.h"
#include "eval/rules.h"

/* What does not change from message to message; filled by cmd/ or milter/. */
struct eval_env {
	const char *authserv_id;	 /* canonical */
	const char *const *authserv_ids; /* own id and aliases, to remove */
	size_t nauthserv_ids;
	const struct ip_net *internal; /* clients without SPF and iprev */
	size_t ninternal;
	const struct ip_net *trusted; /* whose fields in our name stay */
	size_t ntrusted;
	bool iprev;	   /* look for the client's name */
	bool received_spf; /* stamp Received-SPF too */
	struct arc_options arc;
	struct dkim_verify_options dkim;
	struct dmarc_options dmarc;
	unsigned dns_wait_ms;	  /* of one message */
	unsigned dns_max_queries; /* of one message */
	struct dns *dns;
};

/* ---- evaluate.c ---- */
struct evaluation;

/*
 * At end of header: parses From and the signatures, opens the body streams and
 * starts the look-ups.  All arguments must live until evaluation_free().
 */
struct evaluation *evaluation_new(struct arena *a, const struct eval_env *env,
				  const struct client_facts *client,
				  const struct envelope_facts *envelope,
				  const struct field_list *fields);
bool evaluation_wants_body(const struct evaluation *e);
void evaluation_body(struct evaluation *e, struct slice bytes);
/* At end of message.  `now`: seconds since 1970.  Blocks for DNS, at most
 * env->dns_wait_ms.  The results live in the arena, but not longer than the
 * evaluation. */
void evaluation_end(struct evaluation *e, int64_t now, struct results *ret);
/* The DNS answers that it got: dns_budget_record(). */
size_t evaluation_dns(const struct evaluation *e, struct arena *a,
		      struct dns_recorded **ret);
/* What can be said of a message that was not examined: temperror, with the
 * reason (a constant), for every method. */
void evaluation_unexamined(struct arena *a, const char *reason,
			   struct results *ret);
void evaluation_free(struct evaluation *e); /* NULL is allowed */

/* ---- policy.c: pure ---- */
/* What is done with mail that fails DMARC. */
enum dmarc_disposition {
	DISPOSITION_MONITOR,	/* nothing; what would be done is reported */
	DISPOSITION_QUARANTINE, /* p=reject and p=quarantine: quarantine */
	DISPOSITION_HONOR,	/* p=reject: reject */
};

/* How mail is quarantined. */
enum dmarc_quarantine {
	QUARANTINE_TAG,	 /* a header field */
	QUARANTINE_HOLD, /* the MTA's quarantine */
	QUARANTINE_BOTH,
};

enum verdict_action {
	VERDICT_ACCEPT,
	VERDICT_TEMPFAIL,
	VERDICT_REJECT,
	VERDICT_DISCARD, /* by a rule that says so */
};

struct verdict {
	enum verdict_action action;
	struct smtp_reply reply; /* VERDICT_REJECT */
	bool tag;		 /* add X-Mailseal-Quarantine */
	bool hold;		 /* ask the MTA to hold it */
	const char *mark; /* what is said of a quarantined message, one line;
			   * NULL when it is not */
	enum dmarc_policy disposition; /* applied: none while monitoring */
	enum dmarc_policy would_be;    /* what is asked for, after t=y */
	const char *rule; /* what chose the disposition; NULL when nothing was
			   * asked for */
	struct rule_outcome rules; /* the local rules that matched */
	const char *label;	   /* of X-Mailseal-Rule, or NULL */
	const struct awareness_marks *marks; /* for readers, or NULL */
};

/* How a site treats failing mail; the zero value monitors. */
struct policy_options {
	enum dmarc_disposition disposition;
	enum dmarc_quarantine quarantine;
	const char *exempt; /* policy_exempt(): nothing is applied, or NULL */
	bool over_limit;    /* policy_over_limit(): never rejected */
	const char *coaching; /* at the end of a rejection; NULL: nothing */
};

/*
 * Inbound.  What is asked for: the policy of the domain (RFC 9989 4.7, t=y
 * considered) when dmarc=fail; "reject" when no author domain can be told from
 * From (5.3.1), but "quarantine" when that is due to a limit of ours; else
 * nothing, and always nothing for temperror (5.3.6).  What is applied of it
 * depends on the options.
 */
void policy_decide(struct arena *a, const struct policy_options *o,
		   const struct results *r, struct verdict *ret);
/*
 * What the local rule of v->rules does, after policy_decide(); nothing without
 * one.  It decides in place of DMARC: also against p=reject.  `authors`
 * and `queue_id`: for the text of a reply; `r`: for its code, NULL outbound.
 */
void policy_apply_rule(struct arena *a, const struct policy_options *o,
		       const struct addr_authors *authors,
		       const struct results *r, struct slice queue_id,
		       struct verdict *v);
/* Has a rule decided in place of DMARC? */
bool policy_overruled(const struct verdict *v);
const char *verdict_action_name(enum verdict_action action);
/* The sealer on whose word DMARC was not followed (RFC 8617 7.2.2,
 * RFC 9990 3.1.6: local_policy), in at most `max` bytes; NULL when it was not. */
const char *policy_arc_comment(struct arena *a, const struct results *r,
			       const struct verdict *v, size_t max);
/* Does the rule that decided set this aside? */
bool policy_skips(const struct verdict *v, enum rule_skip what);
/* Why mail from this client was or will be judged elsewhere: a constant, or
 * NULL for a client of the outside. */
const char *policy_exempt(const struct eval_env *env,
			  const struct client_facts *client);
/* Is the header too large for us, so that From was not evaluated? */
bool policy_over_limit(const struct field_list *fields);
/* May this client's fields in our name stay (RFC 8601 5)?  Never local
 * submission. */
bool policy_trusted(const struct eval_env *env,
		    const struct client_facts *client);
struct direction_options {
	int forced; /* the listener's direction or -1 */
	const struct ip_net *sign;
	size_t nsign;
	bool sign_reinjected;
};

/* Which way does the message go?  `received`: its header has a Received field,
 * so it came from elsewhere (the MTA's own is not among those that a milter
 * sees).  *why names the rule that decided (a constant). */
enum mail_direction policy_direction(const struct direction_options *o,
				     const struct client_facts *client,
				     const struct envelope_facts *envelope,
				     bool received, const char **why);
/* The domain whose keys sign: the one author domain; NULL and *why when the
 * authors are malformed, none, or of several domains (DK-55). */
const char *policy_signing_domain(const struct addr_authors *authors,
				  const char **why);

/* ---- awareness.c: pure ---- */
/* What readers are told; all text must outlive the awareness. */
struct awareness_options {
	const char *subject_tag; /* printable ASCII; "": none */
	bool external_header;
	bool lookalikes;
	struct string_list domains;	  /* ours, canonical */
	struct string_list names;	  /* ours, UTF-8 */
	struct string_list drill_domains; /* canonical */
	struct string_list untagged;	  /* "a@b" and "@b", canonical */
	const struct dmarc_psl *psl;	  /* with `lookalikes` */
};

#define AWARENESS_SUBJECTS_MAX 4

struct awareness_facts {
	bool untagged; /* awareness_is_untagged() of one recipient */
	size_t nsubjects;
	/* as the MTA gives them, topmost first; more than these stay as they
	 * are */
	struct slice subjects[AWARENESS_SUBJECTS_MAX];
};

struct awareness_marks {
	bool external;	     /* X-Mailseal-External */
	const char *warning; /* of X-Mailseal-Warning, printable ASCII; NULL:
			      * none */
	bool tagged;	     /* a Subject is changed or added */
	size_t nsubjects;
	/* the new value of the (i+1)th Subject, with leading space and folds as
	 * LF; NULL: stays.  Without Subject the first one is to be added. */
	const char *subjects[AWARENESS_SUBJECTS_MAX];
	/* " awareness=tag,header,warning(...)" or " awareness=none" */
	struct log_fields log;
};

struct awareness; /* immutable, for any thread */

/* Before threads start.  NULL and one line in *error (constant): too many of
 * ours, or libicu has no data. */
struct awareness *awareness_new(const struct awareness_options *o,
				const char **error);
void awareness_free(struct awareness *w); /* NULL is allowed */
/* Must the Subject of mail to this path (RCPT TO) stay? */
bool awareness_is_untagged(const struct awareness *w, struct slice rcpt);
/* Of one message from outside, after its signatures were verified. */
void awareness_decide(const struct awareness *w, struct arena *a,
		      const struct awareness_facts *f, const struct results *r,
		      struct awareness_marks *ret);

/* ---- stamp.c ---- */
enum edit_kind {
	EDIT_DELETE, /* the index-th field of that name, 1 = topmost */
	EDIT_CHANGE, /* the same; where there is none it is added */
	EDIT_INSERT, /* at the top (index 0) */
};

struct edit {
	enum edit_kind kind;
	size_t index;
	const char *name;
	const char *value; /* but for EDIT_DELETE: with leading space, folds as
			    * LF */
};

struct edits {
	size_t n;
	struct edit *v; /* in the order in which they must be applied */
};

/* Fields that only we may write, and those in front of us. */
enum own_name {
	OWN_AUTHRES,	/* Authentication-Results, when it claims our id */
	OWN_QUARANTINE, /* X-Mailseal-Quarantine, always */
	OWN_EXTERNAL,	/* X-Mailseal-External, always */
	OWN_WARNING,	/* X-Mailseal-Warning, always */
	OWN_PREFLIGHT,	/* X-Mailseal-Preflight, always */
	OWN_RULE,	/* X-Mailseal-Rule, always */
	OWN_NAMES,
};

/*
 * Which fields of a message claim to be ours.  Noted field by field as they
 * come, so that those beyond the header limits count too: a forger must not
 * hide behind them.
 */
struct own_fields {
	struct own_list {
		size_t seen; /* fields of that name so far */
		size_t n;
		size_t cap;
		size_t *index; /* 1 = topmost, ascending */
	} of[OWN_NAMES];
};

void stamp_note(struct arena *a, const struct eval_env *env,
		struct own_fields *own, struct slice name, struct slice value);
/* Own fields out, of each name the highest index first (AR-4, AR-5, MB-3), and
 * new fields in at the top: Authentication-Results, below it the mark of
 * quarantine, Received-SPF when that is wanted, and what readers are told. */
void stamp_inbound(struct arena *a, const struct eval_env *env,
		   const struct own_fields *own,
		   const struct client_facts *client,
		   const struct envelope_facts *envelope,
		   const struct results *r, const struct verdict *v,
		   struct edits *ret);
/* Forged own fields out and the signatures in, the first key topmost; below
 * them X-Mailseal-Quarantine and X-Mailseal-Rule, when `v` (or NULL) says so. */
void stamp_outbound(struct arena *a, const struct own_fields *own,
		    const struct slice *signatures, size_t n,
		    const struct verdict *v, struct edits *ret);
/* One more field at the top.  `value`: folds as LF; leading space or not. */
void stamp_add(struct arena *a, const char *name, struct slice value,
	       struct edits *e);
/* The same for X-Mailseal-Preflight. */
void stamp_preflight(struct arena *a, const char *value, struct edits *e);
/* The header as it will be after the edits; fields of `l` are shared. */
void stamp_apply(struct arena *a, const struct field_list *l,
		 const struct edits *e, struct field_list *ret);
/* The value of Authentication-Results (RFC 8601 2.2). */
struct slice stamp_authres(struct arena *a, const char *authserv_id,
			   const struct results *r, const struct verdict *v);

/* ---- received_spf.c: pure ---- */
/* The value of Received-SPF (RFC 7208 9.1) for one identity that was checked;
 * without leading space. */
struct slice stamp_received_spf(struct arena *a, const char *receiver,
				const struct client_facts *client,
				const struct envelope_facts *envelope,
				const struct spf_result *s);

/* ---- explain.c ---- */
/* "from=... client=... spf=... dkim=... dmarc=... disposition=...": the log
 * line without the queue id. */
void explain_inbound(struct log_fields *f, const struct client_facts *client,
		     const struct envelope_facts *envelope,
		     const struct results *r, const struct verdict *v);
/* "from=a.example,b.example"; `none`: what the text has when there is none. */
void explain_authors(struct log_fields *f, const struct addr_authors *a,
		     const char *none);
void explain_client(struct log_fields *f, const struct ip *addr, bool local);
/* The same results as one JSON object (RFC 8259). */
const char *explain_json(struct arena *a, const struct results *r,
			 struct slice authres);

#endif
