/*
 * iprev (RFC 8601 section 3): does a name of the client lead back to its
 * address?  Values and a DNS budget in, a value out; no log, no clock.
 *
 * A signal and no more: names under PTR are the client's own, and a pass says
 * nothing about a sender (AR-9a).
 */
#ifndef MAILSEAL_IPREV_IPREV_H
#define MAILSEAL_IPREV_IPREV_H

#include "base/ip.h"
#include "dns/dns.h"

enum iprev_status {
	IPREV_STATUS_PASS,
	IPREV_STATUS_FAIL,
	IPREV_STATUS_TEMPERROR,
	IPREV_STATUS_PERMERROR,
};

struct iprev_result {
	bool checked; /* false: not asked for, or no client address */
	enum iprev_status status;
	struct ip client;   /* whose name it is about */
	const char *name;   /* confirmed, canonical; NULL unless pass */
	const char *reason; /* constant; NULL with pass */
};

/*
 * `confirmed`: the client's name when the MTA has confirmed it already, else
 * empty.  With one that is a domain name nothing is looked up.
 */
void iprev_check(struct arena *a, struct dns_budget *b, const struct ip *client,
		 struct slice confirmed, struct iprev_result *ret);
/* Warms the cache for iprev_check() with the same arguments. */
void iprev_prefetch(struct arena *a, struct dns_budget *b,
		    const struct ip *client, struct slice confirmed);

/* "pass", "fail" ... as in RFC 8601 2.7.3. */
const char *iprev_status_name(enum iprev_status s);

#endif
