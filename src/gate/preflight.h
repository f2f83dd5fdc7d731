/*
 * Will a message of ours pass at its receiver?  What the large receivers ask
 * of senders, as far as it can be told before the mail leaves.
 *
 * Each rule has a result of its own and knows of no other.  A look-up that
 * failed makes a rule unknown, which never refuses a message.  Values and a
 * DNS budget in, a value out; no log, no clock.
 */
#ifndef MAILSEAL_GATE_PREFLIGHT_H
#define MAILSEAL_GATE_PREFLIGHT_H

#include "dmarc/dmarc.h"
#include "gate/gate.h"

enum preflight_rule {
	PREFLIGHT_DKIM,
	PREFLIGHT_SPF,
	PREFLIGHT_DMARC,
	PREFLIGHT_FORMAT,
	PREFLIGHT_UNSUBSCRIBE,
	PREFLIGHT_FEEDBACK_ID,
	PREFLIGHT_RULES,
};

/* What is done about a fault: each with those before it. */
enum preflight_mode {
	PREFLIGHT_OFF,
	PREFLIGHT_LOG,
	PREFLIGHT_HEADER, /* the message gets a field that tells */
	PREFLIGHT_REJECT,
};

/* What is bulk mail besides what says so itself: one of the three is not
 * NULL. */
struct preflight_bulk {
	const char *source; /* "file:line" */
	const char *header; /* a field of that name */
	const char *login;
	const char *domain; /* of an author, canonical: it or one below */
};

#define PREFLIGHT_EGRESS_MAX 16

struct preflight_options {
	enum preflight_mode mode[PREFLIGHT_RULES];
	struct ip_nets egress; /* single addresses from which mail leaves */
	size_t nbulk;
	const struct preflight_bulk *bulk;
	bool strip_realm; /* logins are compared without it */
	const char *helo; /* the name that our MTA gives: canonical */
	struct dmarc_options dmarc;
};

/* A message as it will leave. */
struct preflight_message {
	/* login, mail, local, authors and fields are read */
	const struct gate_facts *facts;
	bool smtputf8;	  /* MAIL had that parameter (RFC 6531 3.4) */
	bool completed;	  /* the MTA adds a Date and a Message-ID */
	size_t body_line; /* longest line of the body, without its end */
	size_t nkeys;	  /* that sign, or will */
	const struct dkim_signing_key *keys;
	/* The values of the signatures, one for each key; NULL before they are
	 * made. */
	const struct slice *signatures;
	const char *unsigned_why; /* without keys: a constant */
	bool foreign;		  /* we have no key for the author domain */
	int64_t now;		  /* seconds since 1970 */
};

enum preflight_status {
	PREFLIGHT_NONE, /* the rule is off, or says nothing of this message */
	PREFLIGHT_OK,
	PREFLIGHT_UNKNOWN, /* a look-up failed */
	PREFLIGHT_BAD,
};

struct preflight_result {
	enum preflight_status status;
	/* Of UNKNOWN and BAD: short, printable ASCII without "%" and quotes;
	 * of the message nothing but canonical domains and names of fields. */
	const char *reason;
};

struct preflight_report {
	struct preflight_result v[PREFLIGHT_RULES];
};

/* ---- preflight.c ---- */
/* Is any rule on?  Does any ask the DNS? */
bool preflight_wanted(const struct preflight_options *o);
bool preflight_asks(const struct preflight_options *o);
/* Starts the look-ups; the signatures need not be made. */
void preflight_prefetch(struct arena *a, struct dns_budget *b,
			const struct preflight_options *o,
			const struct preflight_message *m);
/* Blocks for DNS as long as the budget allows; it may be NULL when no rule
 * asks. */
void preflight_check(struct arena *a, struct dns_budget *b,
		     const struct preflight_options *o,
		     const struct preflight_message *m,
		     struct preflight_report *ret);
/* "ok", or "bad(spf: REASON; dmarc: REASON), unknown(dkim: REASON)"; `fold`, a
 * blank or a line end and a blank, stands after each ";" and ",". */
const char *preflight_text(struct arena *a, const struct preflight_report *r,
			   const char *fold);
/* " preflight=bad(...), unknown(...)": the same for the log. */
void preflight_log(struct log_fields *f, const struct preflight_report *r);
/* The answer, if a rule refuses the message: the first of them. */
bool preflight_refuses(struct arena *a, const struct preflight_options *o,
		       const struct preflight_report *r, const char *coaching,
		       struct smtp_reply *ret);
/* "dkim", "feedback_id" ... */
const char *preflight_rule_name(enum preflight_rule r);

/* ---- preflight_dns.c: what the DNS says of us ---- */
/* A key of ours signs; the DNS shows each that does (RFC 6376 3.6); one is
 * aligned with the author (RFC 9989 4.4.1). */
struct preflight_result preflight_dkim(struct arena *a, struct dns_budget *b,
				       const struct preflight_options *o,
				       const struct preflight_message *m);
/* RFC 7208 for every address from which mail may leave; the worst in *ret, for
 * preflight_dmarc().  A null path is judged by its HELO, at the receiver. */
struct preflight_result preflight_spf(struct arena *a, struct dns_budget *b,
				      const struct preflight_options *o,
				      const struct preflight_message *m,
				      struct spf_result *ret);
/* RFC 9989 5.3, as if our signatures pass. */
struct preflight_result preflight_dmarc(struct arena *a, struct dns_budget *b,
					const struct preflight_options *o,
					const struct preflight_message *m,
					const struct spf_result *spf);

/* ---- preflight_format.c: RFC 5322, pure ---- */
struct preflight_result preflight_format(struct arena *a,
					 const struct preflight_message *m);

/* ---- preflight_bulk.c: what bulk mail needs, pure ---- */
bool preflight_is_bulk(const struct preflight_options *o,
		       const struct preflight_message *m);
/* RFC 8058 3.1, 4. */
struct preflight_result
preflight_unsubscribe(struct arena *a, const struct preflight_message *m);
/* One Feedback-ID, which is signed; its last part names the sender. */
struct preflight_result
preflight_feedback_id(struct arena *a, const struct preflight_message *m);

static inline struct preflight_result preflight_good(void)
{
	return (struct preflight_result){PREFLIGHT_OK, NULL};
}

static inline struct preflight_result preflight_bad(const char *reason)
{
	return (struct preflight_result){PREFLIGHT_BAD, reason};
}

static inline struct preflight_result preflight_unknown(const char *reason)
{
	return (struct preflight_result){PREFLIGHT_UNKNOWN, reason};
}

#endif
