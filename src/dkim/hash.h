/*
 * The hashes that a signature needs: body streams shared by all signatures
 * that agree in canonicalization and length, and the header hash.
 */
#ifndef MAILSEAL_DKIM_HASH_H
#define MAILSEAL_DKIM_HASH_H

#include "crypto/crypto.h"
#include "mail/canon.h"

/* One body stream. */
struct body_hash {
	struct canon_body canon;
	struct crypto_hash *hash;
	uint64_t limit;			  /* l=, or UINT64_MAX */
	unsigned char digest[SHA256_LEN]; /* after body_hash_end() */
};

void body_hash_init(struct body_hash *b, enum canon_mode mode, uint64_t limit);
void body_hash_add(struct body_hash *b, struct slice bytes);
void body_hash_end(struct body_hash *b);
void body_hash_done(struct body_hash *b);

/*
 * RFC 6376 3.7: the fields that h= selects, bottom-up, and then the signature
 * field itself (raw, its b= emptied here) without final CRLF.
 */
bool header_hash(struct arena *a, enum canon_mode mode,
		 const struct field_list *fields, struct slice names,
		 size_t max_names, struct slice signature_raw,
		 unsigned char digest[SHA256_LEN]);

#endif
