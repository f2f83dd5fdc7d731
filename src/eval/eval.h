/*
 * The pipeline of one message: evaluate -> decide -> stamp.
 *
 * eval/ takes plain values and a DNS budget; it knows neither config/ nor
 * libmilter.  An evaluation belongs to one message and one arena.
 */
#ifndef MAILSEAL_EVAL_EVAL_H
#define MAILSEAL_EVAL_EVAL_H

#include "eval/facts.h"
#include "eval/results.h"

/* What does not change from message to message; filled by cmd/ or milter/. */
struct eval_env {
	const char *authserv_id;	 /* canonical */
	const char *const *authserv_ids; /* own id and aliases, to remove */
	size_t nauthserv_ids;
	const struct ip_net *internal; /* clients without SPF and iprev */
	size_t ninternal;
	bool iprev;	   /* look for the client's name */
	bool received_spf; /* stamp Received-SPF too */
	struct dkim_verify_options dkim;
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
};

struct verdict {
	enum verdict_action action;
	const char *reply; /* VERDICT_TEMPFAIL: text of the 451 4.7.1 reply */
	enum dmarc_policy disposition; /* applied: none while monitoring */
	enum dmarc_policy would_be;    /* what DMARC asks for */
};

/* Inbound: monitoring, nothing is rejected or held (safe default). */
void policy_decide(const struct results *r, struct verdict *ret);
/* Which way does the message go?  `forced`: the listener's direction or -1;
 * *why names the rule that decided (a constant). */
enum mail_direction policy_direction(int forced, const struct ip_net *sign,
				     size_t nsign,
				     const struct client_facts *client,
				     const struct envelope_facts *envelope,
				     const char **why);
/* The domain whose keys sign: the one author domain; NULL and *why when the
 * authors are malformed, none, or of several domains (DK-55). */
const char *policy_signing_domain(const struct addr_authors *authors,
				  const char **why);

/* ---- stamp.c ---- */
enum edit_kind {
	EDIT_DELETE, /* the index-th field of that name, 1 = topmost */
	EDIT_INSERT, /* at the top (index 0) */
};

struct edit {
	enum edit_kind kind;
	size_t index;
	const char *name;
	const char *value; /* EDIT_INSERT: with leading space, folds as LF */
};

struct edits {
	size_t n;
	struct edit *v; /* in the order in which they must be applied */
};

/*
 * Which Authentication-Results fields of a message claim to be ours.  Noted
 * field by field as they come, so that those beyond the header limits count
 * too: a forger must not hide behind them.
 */
struct own_fields {
	size_t seen; /* Authentication-Results fields so far */
	size_t n;
	size_t cap;
	size_t *index; /* 1 = topmost, ascending */
};

void stamp_note(struct arena *a, const struct eval_env *env,
		struct own_fields *own, struct slice name, struct slice value);
/* Own-id Authentication-Results out, highest index first (AR-4, MB-3), and
 * new fields in at the top: Authentication-Results, and below it Received-SPF
 * when that is wanted. */
void stamp_inbound(struct arena *a, const struct eval_env *env,
		   const struct own_fields *own,
		   const struct client_facts *client,
		   const struct envelope_facts *envelope,
		   const struct results *r, const struct verdict *v,
		   struct edits *ret);
/* Forged own-id fields out and the signatures in, the first key topmost. */
void stamp_outbound(struct arena *a, const struct own_fields *own,
		    const struct slice *signatures, size_t n,
		    struct edits *ret);
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
 * line without the queue id.  Wire text is escaped. */
const char *explain_inbound(struct arena *a, const struct client_facts *client,
			    const struct envelope_facts *envelope,
			    const struct results *r, const struct verdict *v);
/* "dkim=pass:dom/sel,dom/sel2", or the constant "dkim=none". */
const char *explain_dkim(struct arena *a, const struct dkim_results *d);
/* The same results as one JSON object (RFC 8259). */
const char *explain_json(struct arena *a, const struct results *r,
			 struct slice authres);

#endif
