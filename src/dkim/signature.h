/*
 * One DKIM-Signature field, read strictly (RFC 6376 3.2, 3.5, RFC 8616).
 * Nothing that this parser refuses reaches a library or a DNS query.  Pure.
 */
#ifndef MAILSEAL_DKIM_SIGNATURE_H
#define MAILSEAL_DKIM_SIGNATURE_H

#include "dkim/dkim.h"
#include "mail/canon.h"

#define SIGNATURE_MAX_NAMES 250 /* of h= */

enum signature_algorithm {
	SIGNATURE_RSA_SHA256,
	SIGNATURE_RSA_SHA1, /* RFC 8301 3.1: never valid */
	SIGNATURE_ED25519_SHA256,
	SIGNATURE_UNKNOWN,
};

struct signature {
	const struct field *field;
	/* For the report, filled as far as they could be read: */
	struct dkim_result result; /* status and reason when !usable */
	bool usable;		   /* may be evaluated */

	enum signature_algorithm algorithm;
	enum canon_mode header_canon, body_canon;
	struct slice body_hash;	     /* 32 bytes */
	struct slice bytes;	     /* decoded b= */
	struct slice names;	     /* h= */
	const char *identity_domain; /* of i=, canonical; default d= */
	bool has_length, has_expiry, has_time;
	uint64_t length; /* l= */
	uint64_t expiry; /* x= */
	uint64_t time;	 /* t= */
};

/* Reads `field` into *ret; check ret->usable. */
void signature_parse(struct arena *a, const struct field *field,
		     struct signature *ret);
/* Is `name` one of the names of h=? (ASCII case folded)  Returns how often. */
size_t signature_names_count(struct slice names, const char *name);

#endif
