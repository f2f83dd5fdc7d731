/*
 * Header hashes of signatures (RFC 6376 3.7).  Internal to dkim/.
 */
#ifndef MAILSEAL_DKIM_HASH_H
#define MAILSEAL_DKIM_HASH_H

#include "dkim/signature.h"

struct dkim_header_hash {
	const struct field *field; /* the signature */
	struct slice h;
	enum canon_mode mode;
	bool plain; /* libopendkim hashes it right */
	/* out */
	bool by_library;
	unsigned char digest[SHA256_LEN];
};

/*
 * Fills the digests of `n` signatures over `fields`.  A signature may be one
 * of the fields (it does not sign itself) or not (it is being made).
 */
void dkim_hash_headers(struct arena *a, const struct field_list *fields,
		       struct dkim_header_hash *v, size_t n);

#endif
