/*
 * SPF (RFC 7208, RFC 8616).  Values and a DNS budget in, a value out; no
 * log, no clock.  Limits of 4.6.4 are counted over the whole evaluation.
 */
#ifndef MAILSEAL_SPF_SPF_H
#define MAILSEAL_SPF_SPF_H

#include "base/ip.h"
#include "dns/dns.h"
#include "mail/addr.h"

/* RFC 7208 4.6.4: one more is a permerror */
#define SPF_TERMS_MAX 10
#define SPF_VOIDS_MAX 2

enum spf_status {
	SPF_STATUS_NONE,
	SPF_STATUS_NEUTRAL,
	SPF_STATUS_PASS,
	SPF_STATUS_FAIL,
	SPF_STATUS_SOFTFAIL,
	SPF_STATUS_TEMPERROR,
	SPF_STATUS_PERMERROR,
};

enum spf_identity {
	SPF_IDENTITY_HELO,
	SPF_IDENTITY_MAILFROM,
};

/* What `mailseal spf --trace` shows, in the order in which it happened. */
enum spf_event_kind {
	SPF_EVENT_RECORD, /* domain, text: the record that is evaluated */
	SPF_EVENT_TERM,	  /* text: a term, domain: its expanded target or "" */
	SPF_EVENT_QUERY,  /* domain, type, answer */
	SPF_EVENT_MATCH,  /* text: the term that matched, status: its result */
	SPF_EVENT_MISS,	  /* text: the term that did not match */
	SPF_EVENT_ERROR,  /* status, text: the reason */
};

struct spf_event {
	enum spf_event_kind kind;
	unsigned depth; /* of include; 0: the domain itself */
	const char *domain;
	struct slice text; /* as published: escape it */
	enum dns_type type;
	const struct dns_answer *answer;
	enum spf_status status;
};

struct spf_query {
	struct ip client;
	struct slice helo;	 /* as given by the client */
	struct addr_path sender; /* MAIL FROM */
	const char *receiver;	 /* %{r}: own host name */
	int64_t now;		 /* %{t}: seconds since 1970 */
	/* Told each step; NULL: nobody is. */
	void (*trace)(void *arg, const struct spf_event *event);
	void *trace_arg;
};

struct spf_result {
	bool checked; /* false: skipped, with a reason unless there is no
		       * client address */
	enum spf_identity identity;
	enum spf_status status;
	const char *domain;    /* canonical domain that was checked, or NULL */
	const char *reason;    /* constant; NULL when there is none */
	const char *mechanism; /* that matched, as published, or "default" */
	const char *explanation; /* exp= text of a fail, sanitized, or NULL */
	const char *explainer;	 /* the domain whose text that is */
	unsigned terms;		 /* DNS terms used, RFC 7208 4.6.4 */
	unsigned voids;
};

/* RFC 7208 2.3: `none` when HELO is no multi-label domain. */
void spf_check_helo(struct arena *a, struct dns_budget *b,
		    const struct spf_query *q, struct spf_result *ret);
/* RFC 7208 2.4: with a null path the identity is postmaster@HELO. */
void spf_check_mailfrom(struct arena *a, struct dns_budget *b,
			const struct spf_query *q, struct spf_result *ret);
/* Warms the cache for both. */
void spf_prefetch(struct arena *a, struct dns_budget *b,
		  const struct spf_query *q);

/* "example.com explains: TEXT" (RFC 7208 11.5.2), or NULL without one. */
const char *spf_explanation(struct arena *a, const struct spf_result *r);

/* "none", "neutral" ... as in RFC 8601 2.7.2. */
const char *spf_status_name(enum spf_status s);

#endif
