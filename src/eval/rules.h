/*
 * Local rules: the administrator's ordered list of conditions and actions.
 *
 * A rule matches when each of its conditions does; a condition that is not
 * given always does, and one that is a list does when one of its values does.
 * The first rule in mode enforce that matches decides.  A rule in mode monitor
 * decides nothing: what it would have done is told, and the next one is asked.
 *
 * Pure.
 */
#ifndef MAILSEAL_EVAL_RULES_H
#define MAILSEAL_EVAL_RULES_H

#include "base/log_fields.h"
#include "eval/facts.h"
#include "eval/results.h"

#define RULES_MAX 500

enum rule_mode {
	RULE_MONITOR,
	RULE_ENFORCE,
};

enum rule_direction {
	RULE_INBOUND,
	RULE_OUTBOUND,
};

/* From the mildest on. */
enum rule_action {
	RULE_ACCEPT,	 /* whatever DMARC asks for */
	RULE_NONE,	 /* as without rules; no later rule is asked */
	RULE_TAG,	 /* add X-Mailseal-Rule */
	RULE_QUARANTINE, /* as dmarc.quarantine says */
	RULE_TEMPFAIL,
	RULE_REJECT,
	RULE_DISCARD, /* the client is told that it was taken */
};

/* What RULE_ACCEPT sets aside, as bits of a set; 0: DMARC alone. */
enum rule_skip {
	RULE_SKIP_DMARC,     /* its policy */
	RULE_SKIP_AWARENESS, /* tags and warnings */
	RULE_SKIP_TLS,	     /* demands of tls.peers */
};

/* Why a policy of DMARC was not followed (RFC 9990 3.1.1.9). */
enum rule_override {
	RULE_LOCAL_POLICY,
	RULE_TRUSTED_FORWARDER,
	RULE_MAILING_LIST,
	RULE_OTHER,
};

/* Results as bits of a set: 1 << status of each method's enum, and this one
 * for SPF and iprev that were not checked, and for DKIM without a signature. */
#define RULE_RESULT_ABSENT 7

/*
 * Patterns of domains are canonical: "example.com", or ".example.com" for each
 * domain below it.  Patterns of addresses are "user@example.com",
 * "@example.com", "@.example.com" or "<>" (the null path); local-parts are
 * compared without regard to ASCII case.
 */
struct rule {
	const char *source; /* "file:line" */
	const char *name;
	const char *comment; /* or NULL */
	int64_t mode;	     /* enum rule_mode */
	int64_t direction;   /* enum rule_direction */
	int64_t action;	     /* enum rule_action */
	int64_t override;    /* enum rule_override, with RULE_ACCEPT */
	int64_t skip;	     /* set of enum rule_skip, with RULE_ACCEPT */
	int64_t percent;     /* of the messages that match, 1 to 100; 0: 100 */
	const char *text;    /* of the reply; NULL: ours */

	struct ip_nets client;
	struct string_list client_name; /* domains; the confirmed name */
	struct string_list helo;	/* domains */
	struct string_list sender;	/* addresses: MAIL FROM */
	struct string_list from;	/* domains: an author */
	struct string_list recipient;	/* addresses */
	struct string_list listener;	/* {daemon_name} */
	struct string_list login;	/* names; "*": any */
	/* sets; 0: any */
	int64_t spf, dkim, dmarc, iprev;
	struct string_list dkim_domain; /* domains: d= of one that passed */
	/* domains: the chain passes, and from a set of one of these on, which
	 * says dmarc=pass of the author, was sealed by these and us alone */
	struct string_list arc_sealer;
	int64_t arc;		   /* a set, of enum arc_status */
	struct string_list header; /* names: a field of it is there */
	int64_t size_above;	   /* bytes; 0: any */
};

struct rules {
	size_t n;
	const struct rule *v;
	/* Key of the draw, so that a message gets the same answer on every
	 * host; not empty when a rule has a percent. */
	const char *secret;
	/* Domains by which we seal, canonical. */
	struct string_list own_sealers;
};

/* How many recipients of a message matched each rule. */
struct rule_recipients {
	size_t n;	   /* recipients */
	unsigned *matched; /* by the number of the rule */
};

struct rule_recipients *rule_recipients_new(struct arena *a,
					    const struct rules *rules);
/* `path`: of RCPT TO.  Nothing is kept of it. */
void rule_recipients_add(const struct rules *rules, struct rule_recipients *to,
			 struct slice path);

struct rule_facts {
	enum rule_direction direction;
	const struct client_facts *client;
	const struct envelope_facts *envelope;
	const struct rule_recipients *recipients;
	const struct field_list *fields;
	const struct addr_authors *authors;
	const struct results *results; /* NULL outbound: of no result a set
					* matches */
	size_t size;		       /* bytes of header and body */
};

struct rule_outcome {
	const struct rule *rule; /* that decides, or NULL */
	/* In mode monitor, or not drawn, before it: */
	size_t nwould;
	const struct rule **would;
};

/*
 * Which rule decides?
 *
 * A condition on recipients when only some of them match: a rule with an action
 * of RULE_TAG or stricter matches then, one that is milder does not: among
 * recipients of one message the strictest common treatment counts.
 *
 * `percent`: drawn by HMAC-SHA256 over the first author's domain and the
 * Message-ID, so that no sender can try again until it is lucky; a message
 * without exactly one Message-ID, or with an empty one, is always drawn.
 */
void rules_run(struct arena *a, const struct rules *rules,
	       const struct rule_facts *f, struct rule_outcome *ret);

/* Lines "file:line: ..." in `errors` for what cannot be (false then), in
 * `warnings` for each rule that an earlier one leaves nothing to, and for one
 * that accepts what any sender can write. */
bool rules_check(const struct rules *rules, struct strbuf *errors,
		 struct strbuf *warnings);

const char *rule_action_name(enum rule_action a);
/* " rule=NAME(reject) would=NAME(tag),NAME(accept)" for the log, or nothing. */
void rules_log(struct log_fields *f, const struct rule_outcome *o);

#endif
