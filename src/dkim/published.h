/*
 * The record of a key of ours, as the DNS shows it (RFC 6376 3.6): will a
 * verifier find the key that signs?  Not a verifier: nothing is signed here.
 */
#ifndef MAILSEAL_DKIM_PUBLISHED_H
#define MAILSEAL_DKIM_PUBLISHED_H

#include "dkim/dkim.h"

enum dkim_published {
	DKIM_PUBLISHED_SAME,
	DKIM_PUBLISHED_MISSING,	  /* no record */
	DKIM_PUBLISHED_DIFFERENT, /* another key, or a record that is no key */
	DKIM_PUBLISHED_REVOKED,
	DKIM_PUBLISHED_TESTING, /* the same, with t=y */
	DKIM_PUBLISHED_UNKNOWN, /* temporary failure */
};

/* "s1._domainkey.example.com" */
const char *dkim_published_name(struct arena *a, const char *domain,
				const char *selector);
/* Compares the record with the key; *what: one constant line for people.  Of
 * the key its names, the key itself and i= count. */
enum dkim_published dkim_published_compare(struct arena *a,
					   struct dns_budget *b,
					   const struct dkim_signing_key *key,
					   const char **what);

#endif
