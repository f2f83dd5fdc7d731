/*
 * One DKIM-Signature field, read strictly (RFC 6376 3.2, 3.5; RFC 8301, 8463,
 * 8616).  Pure.  Internal to dkim/.
 */
#ifndef MAILSEAL_DKIM_SIGNATURE_H
#define MAILSEAL_DKIM_SIGNATURE_H

#include "dkim/dkim.h"
#include "mail/canon.h"

#define DKIM_NAMES_MAX 200 /* names in one h= */

struct dkim_signature {
	const struct field *field;
	struct dkim_result result; /* what is known goes in even if not ok */
	bool ok; /* false: result.status and .reason are final */

	enum crypto_type type;
	enum canon_mode header;
	enum canon_mode body;
	const char *query;	     /* selector._domainkey.domain */
	const char *identity_domain; /* of i=, or d= */
	struct slice h;
	struct slice sig;	/* b= decoded */
	struct slice body_hash; /* bh= decoded, SHA256_LEN bytes */
	uint64_t length;	/* l=; UINT64_MAX: absent */
	uint64_t time;		/* t=; 0: absent */
	bool expires;		/* x= is there */
	uint64_t expiry;
	/* libopendkim hashes this one right (see hash.h) */
	bool plain;
};

void dkim_signature_parse(struct arena *a, const struct field *f,
			  struct dkim_signature *ret);

/* How often an h= value names the field `name`. */
size_t dkim_signature_lists(struct slice h, const char *name);

#endif
