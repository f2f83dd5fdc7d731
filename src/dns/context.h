/*
 * Private to dns/: how a context of libunbound is made.  A setup is what was
 * read from the options and the system once; contexts are made from it as
 * often as needed (unbound.c makes a new one when an outage begins).
 */
#ifndef MAILSEAL_DNS_CONTEXT_H
#define MAILSEAL_DNS_CONTEXT_H

#include "dns/dns.h"

struct dns_setup;
struct event_base;
struct ub_ctx;

/* Checks the addresses and the trust anchors.  Keeps nothing of `o`.  NULL
 * and *err (in `a`) on failure. */
struct dns_setup *dns_setup_new(struct arena *a, const struct dns_options *o,
				const char **err);
void dns_setup_free(struct dns_setup *s); /* NULL is allowed */

/* A context whose events are in `base`, finalized: every file is read.  NULL
 * and *err (in `a`) on failure. */
struct ub_ctx *dns_setup_context(const struct dns_setup *s,
				 struct event_base *base, struct arena *a,
				 const char **err);

#endif
