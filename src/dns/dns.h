/*
 * One resolver, one budget.  Every DNS question of a message goes through a
 * `struct dns_budget`, which counts, waits with a deadline, and answers with
 * one of: found, no data, no such name, temporary failure.  A temporary
 * failure is never turned into "none" or "fail" by anybody.
 *
 * The resolver (`struct dns`) is shared by all threads.  Answers are
 * immutable, shared and reference-counted; a budget keeps a reference on every
 * answer that it gave, so an answer is valid until its budget is freed.
 *
 * Two real implementations: libunbound (unbound.c) and a zone file (zone.c).
 * While every server is silent, the first answers at once with temporary
 * failure what its cache does not know (breaker.c).
 */
#ifndef MAILSEAL_DNS_DNS_H
#define MAILSEAL_DNS_DNS_H

#include "base/ip.h"
#include "base/str.h"

enum dns_type {
	DNS_A = 1,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
};

enum dns_status {
	DNS_FOUND,
	DNS_NODATA,   /* the name exists, without records of that type */
	DNS_NXDOMAIN, /* no such name */
	DNS_TEMPFAIL, /* time-out, SERVFAIL, REFUSED, bogus, budget used up */
};

enum dns_security {
	DNS_INSECURE,
	DNS_SECURE, /* validated by DNSSEC */
};

struct dns_record {
	/* A: 4 bytes; AAAA: 16 bytes; TXT: the strings joined without
	 * separator (may hold NULs); MX, PTR: canonical domain, NUL follows
	 * (a name that is no canonical domain is left out of the answer). */
	struct slice data;
	uint16_t preference; /* MX */
};

struct dns_answer {
	enum dns_status status;
	enum dns_security security;
	uint32_t ttl;       /* seconds */
	const char *reason; /* DNS_TEMPFAIL: a constant, else NULL */
	size_t n;           /* 0 unless DNS_FOUND; with it 0 only when no
			     * record has a usable name ("MX 0 .") */
	const struct dns_record *rr;
};

struct dns;

/* Threads that wait for an answer now, of all resolvers that are given it. */
struct dns_waiters {
	_Atomic unsigned n;
	/* One begins to wait, and no other does.  Must not block. */
	void (*first)(void);
};

struct dns_options {
	/* "addr@port" or "addr"; none: the servers of /etc/resolv.conf */
	const char *const *servers;
	size_t nservers;
	/* Ask the authoritative servers, from the root down; `servers` must
	 * then be empty. */
	bool recursion;
	/* NULL: nothing is validated, every answer is DNS_INSECURE */
	const char *trust_anchor_file;
	const char *zone_file;  /* not NULL: answer from this file alone */
	unsigned query_timeout_ms; /* one question, default 6000 */
	size_t cache_bytes;        /* of our answer cache; 0: none */
	/* Threads that may wait at once, default 1000; one more is answered
	 * with temporary failure at once. */
	unsigned max_waiting;
	struct dns_waiters *waiters; /* NULL: nobody wants to know */
	/* Time-outs in a row, without any answer, that make an outage; then
	 * the time between two probes.  Defaults 10 and 1000. */
	unsigned outage_after;
	unsigned probe_ms;
	/* Called by the resolver's thread when an outage begins or ends. */
	void (*on_outage)(void *arg, bool outage);
	void *on_outage_arg;
};

/* Makes a resolver and starts its thread (signals blocked in it).  NULL and a
 * message in *err (in `a`) on failure; for a zone file "file:line: ...". */
struct dns *dns_new(struct arena *a, const struct dns_options *o,
		    const char **err);
/* The same from the text of a zone file, for tests; errors "zone:line: ...".
 * `text` need not outlive the call. */
struct dns *dns_new_zone_text(struct arena *a, struct slice text,
			      const char **err);
/* Every outstanding question is first answered with temporary failure.
 * Budgets may be freed later, but not used any more. */
void dns_free(struct dns *d);

struct dns_counters {
	uint64_t asked;      /* questions of messages, cache hits included */
	uint64_t cache_hits;
	uint64_t sent;       /* handed to the resolver (or read in the zone) */
	uint64_t timeouts;
	uint64_t by_status[4]; /* enum dns_status */
	uint64_t refused; /* temporary failures given without asking: outage,
			   * too many waiting, too many in flight */
	uint64_t outages; /* times that the servers were found silent */
	bool outage;	  /* now */
	uint64_t cache_answers, cache_bytes; /* held now */
};
void dns_counters_get(struct dns *d, struct dns_counters *ret);
/* How often the resolver's thread came round, once a second when all is well:
 * as long as this grows, it answers.  False: there is no such thread. */
bool dns_beats(const struct dns *d, uint64_t *ret);

/* ---- one message's questions ---- */
struct dns_budget;

/*
 * `max_wait_ms`: wall-clock time that all waiting of this message together
 * may take; `max_queries`: distinct questions.  What runs out answers
 * DNS_TEMPFAIL with its own reason.
 */
struct dns_budget *dns_budget_new(struct dns *d, unsigned max_wait_ms,
				  unsigned max_queries);
void dns_budget_free(struct dns_budget *b);

/* Asks and waits; never NULL.  `name`: as mail/domain.h, or any text of legal
 * length for lookups (SPF); names over 253 or with labels over 63 answer
 * DNS_NXDOMAIN without a query.  The same question in one budget is asked
 * once, unless its limits cut it short. */
const struct dns_answer *dns_ask(struct dns_budget *b, const char *name,
				 enum dns_type type);
/* The same, but waits `max_ms` at most: for names that a client chose, so
 * that they do not take the time of others. */
const struct dns_answer *dns_ask_within(struct dns_budget *b, const char *name,
					enum dns_type type, unsigned max_ms);
/* Warms the cache without waiting; counts against max_queries only when the
 * answer is asked for later.  May be dropped under load. */
void dns_prefetch(struct dns_budget *b, const char *name, enum dns_type type);

/*
 * Keeps questions and time back for those who ask later: until the next call
 * only the rest may be used.  At most half of either is kept.  What one sender
 * made expensive (SPF) must not take away what another's policy needs (DMARC).
 */
void dns_budget_hold(struct dns_budget *b, unsigned queries, unsigned ms);

/* A question and what it was answered. */
struct dns_recorded {
	const char *name;
	enum dns_type type;
	struct dns_answer answer;
};

/* What was asked and answered, in no order; of a question that was cut short
 * and asked again, the later answer.  Valid as long as the budget. */
size_t dns_budget_record(const struct dns_budget *b, struct arena *a,
			 struct dns_recorded **ret);
/* A resolver that answers from a record alone: a question that is not in it is
 * a temporary failure.  Everything is copied, but reasons. */
struct dns *dns_new_recorded(const struct dns_recorded *v, size_t n);

/* Distinct questions so far, for logs and tests. */
unsigned dns_budget_queries(const struct dns_budget *b);
/* Milliseconds that may still be spent, without what is kept, and that were
 * spent waiting. */
unsigned dns_budget_left_ms(const struct dns_budget *b);
unsigned dns_budget_waited_ms(const struct dns_budget *b);
int64_t dns_budget_waited_us(const struct dns_budget *b);

/* "1.2.0.192.in-addr.arpa" or "....ip6.arpa" (RFC 1035 3.5, RFC 3596 2.5);
 * not for IP_NONE. */
const char *dns_reverse_name(struct arena *a, const struct ip *ip);

const char *dns_status_name(enum dns_status s);
const char *dns_type_name(enum dns_type t);

#endif
