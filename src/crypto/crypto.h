/*
 * Digests, keys and signatures over byte spans.  The only code that includes
 * libcrypto.  Keys are immutable once made and may be used by any thread.
 */
#ifndef MAILSEAL_CRYPTO_CRYPTO_H
#define MAILSEAL_CRYPTO_CRYPTO_H

#include "base/str.h"

#define SHA256_LEN 32

enum crypto_type {
	CRYPTO_RSA,
	CRYPTO_ED25519,
};

/* ---- SHA-256 ---- */
struct crypto_hash;
struct crypto_hash *crypto_hash_new(void);
void crypto_hash_add(struct crypto_hash *h, struct slice s);
/* Another one that goes on from here. */
struct crypto_hash *crypto_hash_dup(const struct crypto_hash *h);
void crypto_hash_end(struct crypto_hash *h, unsigned char out[SHA256_LEN]);
void crypto_hash_free(struct crypto_hash *h);

/* RFC 2104 with SHA-256; `key` of any length. */
void crypto_hmac_sha256(struct slice key, struct slice text,
			unsigned char out[SHA256_LEN]);

/* ---- public keys ---- */
struct crypto_pubkey; /* reference-counted */

/*
 * From the bytes of a p= tag: RSA as SubjectPublicKeyInfo or PKCS#1
 * RSAPublicKey, Ed25519 as the 32 raw bytes (RFC 8463 4.2: nothing else).
 * NULL and *reason (a constant) if malformed or the RSA modulus exceeds
 * 16384 bits or the exponent is even or 1.
 */
struct crypto_pubkey *crypto_pubkey_new(enum crypto_type type,
					struct slice bytes,
					const char **reason);
/* One more reference; returns k. */
struct crypto_pubkey *crypto_pubkey_ref(struct crypto_pubkey *k);
void crypto_pubkey_free(struct crypto_pubkey *k);
unsigned crypto_pubkey_bits(const struct crypto_pubkey *k);
/* Is `sig` a valid signature over this SHA-256 digest?  RSA: PKCS#1 v1.5
 * with SHA-256; Ed25519: PureEdDSA over the 32 digest bytes (RFC 8463 3). */
bool crypto_verify(const struct crypto_pubkey *k,
		   const unsigned char digest[SHA256_LEN], struct slice sig);

/*
 * Parsed public keys by record text (keycache.c): bounded, sharded, shared by
 * all threads.  Returns a reference to give back with crypto_pubkey_free().
 */
struct crypto_keycache;
struct crypto_keycache *crypto_keycache_new(size_t max_keys);
void crypto_keycache_free(struct crypto_keycache *c);
struct crypto_pubkey *crypto_keycache_get(struct crypto_keycache *c,
					  enum crypto_type type,
					  struct slice bytes,
					  const char **reason);

/* ---- private keys ---- */
struct crypto_privkey; /* reference-counted */

/*
 * From here on private keys, and all that libcrypto makes while it works with
 * one, are in memory of their own (keymem.h).  Before anything else of this
 * header; without it they are where everything is.  False: the system has no
 * such memory.
 */
bool crypto_protect_keys(void);
/* Again after a fork(): that this memory is not swapped out is not
 * inherited. */
void crypto_lock_keys(void);
/* `n` bytes for the text of a key, in such memory.  Never NULL. */
void *crypto_secret_new(size_t n);
void crypto_secret_free(void *p, size_t n); /* wiped */

/* PEM (PKCS#1 or PKCS#8), unencrypted.  NULL and *reason (a constant that
 * says the cure) when it is no such key, RSA below 1024 bits included. */
struct crypto_privkey *crypto_privkey_parse(struct slice pem,
					    const char **reason);
struct crypto_privkey *crypto_privkey_generate(enum crypto_type type,
					       unsigned bits);
/* One more reference; returns k. */
struct crypto_privkey *crypto_privkey_ref(struct crypto_privkey *k);
void crypto_privkey_free(struct crypto_privkey *k);
enum crypto_type crypto_privkey_type(const struct crypto_privkey *k);
unsigned crypto_privkey_bits(const struct crypto_privkey *k);
/* PKCS#8 PEM text. */
struct slice crypto_privkey_pem(struct arena *a,
				const struct crypto_privkey *k);
/* What p= holds, before base64: SPKI for RSA, raw 32 bytes for Ed25519. */
struct slice crypto_privkey_public(struct arena *a,
				   const struct crypto_privkey *k);
/* Signature over the digest; false on a library failure. */
bool crypto_sign(struct arena *a, const struct crypto_privkey *k,
		 const unsigned char digest[SHA256_LEN], struct slice *ret);

#endif
