/*
 * Digests, keys and signatures by libcrypto, and nothing else of it.
 *
 * Public RSA keys are made from modulus and exponent (EVP_PKEY_fromdata): the
 * general decoders of OpenSSL 3.0 cost many times the verification itself.
 * The DER around them is read by a bounded reader of our own that takes just
 * the two forms which p= may have (RFC 6376 3.6.1: SubjectPublicKeyInfo is in
 * the wild as often as RSAPublicKey).
 */
#include "crypto/crypto.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define RSA_MAX_BITS 16384
#define RSA_MIN_SIGN 1024 /* RFC 8301 3.2 */
#define ED25519_LEN  32

/* ---- SHA-256 ---- */
struct crypto_hash {
	EVP_MD_CTX *ctx;
};

static void need(bool ok)
{
	/* Only out of memory makes a digest fail. */
	if (!ok)
		abort();
}

struct crypto_hash *crypto_hash_new(void)
{
	struct crypto_hash *h = mem_alloc(sizeof(*h));

	h->ctx = EVP_MD_CTX_new();
	need(h->ctx != NULL);
	need(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1);
	return h;
}

void crypto_hash_add(struct crypto_hash *h, struct slice s)
{
	if (s.n > 0)
		need(EVP_DigestUpdate(h->ctx, s.p, s.n) == 1);
}

void crypto_hash_end(struct crypto_hash *h, unsigned char out[SHA256_LEN])
{
	need(EVP_DigestFinal_ex(h->ctx, out, NULL) == 1);
}

void crypto_hash_free(struct crypto_hash *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

/* ---- DER, as far as a p= needs it ---- */

/* Takes one element of `tag` off `in`; its content goes to *ret. */
static bool der_take(struct slice *in, unsigned char tag, struct slice *ret)
{
	size_t len, at = 2;

	if (in->n < 2 || (unsigned char)in->p[0] != tag)
		return false;
	len = (unsigned char)in->p[1];
	if (len >= 0x80) {
		size_t bytes = len & 0x7f;

		if (bytes == 0 || bytes > 3 || in->n < 2 + bytes)
			return false;
		len = 0;
		for (size_t i = 0; i < bytes; i++)
			len = len << 8 | (unsigned char)in->p[at++];
	}
	if (len > in->n - at)
		return false;
	*ret = (struct slice){in->p + at, len};
	*in = slice_from(*in, at + len);
	return true;
}

#define DER_INTEGER   0x02
#define DER_BITSTRING 0x03
#define DER_OID	      0x06
#define DER_SEQUENCE  0x30

/* 1.2.840.113549.1.1.1 */
static const struct slice rsa_oid = {"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9};

/* SubjectPublicKeyInfo: leaves the RSAPublicKey in *ret. */
static bool der_spki(struct slice bytes, struct slice *ret)
{
	struct slice seq, alg, oid, bits;

	if (!der_take(&bytes, DER_SEQUENCE, &seq) ||
	    !der_take(&seq, DER_SEQUENCE, &alg) ||
	    !der_take(&alg, DER_OID, &oid) || !slice_eq(oid, rsa_oid) ||
	    !der_take(&seq, DER_BITSTRING, &bits) || bits.n < 1 ||
	    bits.p[0] != 0)
		return false;
	*ret = slice_from(bits, 1);
	return true;
}

static bool der_rsa(struct slice bytes, struct slice *n, struct slice *e)
{
	struct slice seq, inner = bytes;

	(void)der_spki(bytes, &inner);
	return der_take(&inner, DER_SEQUENCE, &seq) &&
	       der_take(&seq, DER_INTEGER, n) &&
	       der_take(&seq, DER_INTEGER, e) && n->n > 0 && e->n > 0;
}

/* ---- public keys ---- */
struct crypto_pubkey {
	atomic_uint refs;
	EVP_PKEY *pkey;
	enum crypto_type type;
	unsigned bits;
};

static struct crypto_pubkey *pubkey_of(enum crypto_type type, EVP_PKEY *pkey)
{
	struct crypto_pubkey *k;

	if (pkey == NULL)
		return NULL;
	k = mem_alloc(sizeof(*k));
	atomic_init(&k->refs, 1);
	k->pkey = pkey;
	k->type = type;
	k->bits = (unsigned)EVP_PKEY_get_bits(pkey);
	return k;
}

static EVP_PKEY *pkey_from(OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx != NULL && params != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *rsa_pkey(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (bld != NULL &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
		params = OSSL_PARAM_BLD_to_param(bld);
		pkey = pkey_from(params);
	}
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

static BIGNUM *integer(struct slice s)
{
	/* DER: negative numbers have the top bit set */
	if (((unsigned char)s.p[0] & 0x80) != 0)
		return NULL;
	return BN_bin2bn((const unsigned char *)s.p, (int)s.n, NULL);
}

static struct crypto_pubkey *rsa_new(struct slice bytes, const char **reason)
{
	struct slice ns, es;
	BIGNUM *n = NULL, *e = NULL;
	struct crypto_pubkey *k = NULL;

	*reason = "key is no RSA public key";
	if (!der_rsa(bytes, &ns, &es))
		return NULL;
	if (ns.n > RSA_MAX_BITS / 8 + 1 || es.n > 8) {
		*reason = "RSA key is too large";
		return NULL;
	}
	n = integer(ns);
	e = integer(es);
	if (n != NULL && e != NULL && BN_is_odd(n) && BN_is_odd(e) &&
	    !BN_is_one(e))
		k = pubkey_of(CRYPTO_RSA, rsa_pkey(n, e));
	BN_free(n);
	BN_free(e);
	return k;
}

struct crypto_pubkey *crypto_pubkey_new(enum crypto_type type,
					struct slice bytes, const char **reason)
{
	struct crypto_pubkey *k;

	if (type == CRYPTO_RSA)
		return rsa_new(bytes, reason);
	/* RFC 8463 4.2: the raw key, no SubjectPublicKeyInfo */
	*reason = "key is no Ed25519 public key of 32 bytes";
	if (bytes.n != ED25519_LEN)
		return NULL;
	k = pubkey_of(CRYPTO_ED25519,
		      EVP_PKEY_new_raw_public_key(
			      EVP_PKEY_ED25519, NULL,
			      (const unsigned char *)bytes.p, bytes.n));
	return k;
}

struct crypto_pubkey *crypto_pubkey_ref(struct crypto_pubkey *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void crypto_pubkey_free(struct crypto_pubkey *k)
{
	if (k == NULL || atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

unsigned crypto_pubkey_bits(const struct crypto_pubkey *k)
{
	return k->bits;
}

static bool rsa_verify(EVP_PKEY *pkey, const unsigned char *digest,
		       struct slice sig)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		  EVP_PKEY_verify(ctx, (const unsigned char *)sig.p, sig.n,
				  digest, SHA256_LEN) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool ed25519_verify(EVP_PKEY *pkey, const unsigned char *digest,
			   struct slice sig)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL &&
		  EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n,
				   digest, SHA256_LEN) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool crypto_verify(const struct crypto_pubkey *k,
		   const unsigned char digest[SHA256_LEN], struct slice sig)
{
	return k->type == CRYPTO_RSA ? rsa_verify(k->pkey, digest, sig)
				     : ed25519_verify(k->pkey, digest, sig);
}

/* ---- private keys ---- */
struct crypto_privkey {
	EVP_PKEY *pkey;
	enum crypto_type type;
};

static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static struct crypto_privkey *privkey_of(EVP_PKEY *pkey, const char **reason)
{
	int id = pkey != NULL ? EVP_PKEY_get_base_id(pkey) : EVP_PKEY_NONE;
	struct crypto_privkey *k;

	*reason = NULL;
	if (pkey == NULL)
		*reason = "is no unencrypted PEM private key";
	else if (id != EVP_PKEY_RSA && id != EVP_PKEY_ED25519)
		*reason = "is neither an RSA nor an Ed25519 key";
	else if (id == EVP_PKEY_RSA && EVP_PKEY_get_bits(pkey) < RSA_MIN_SIGN)
		*reason = "is an RSA key below 1024 bits; make one of 2048";
	if (*reason != NULL) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	k = mem_alloc(sizeof(*k));
	k->pkey = pkey;
	k->type = id == EVP_PKEY_RSA ? CRYPTO_RSA : CRYPTO_ED25519;
	return k;
}

struct crypto_privkey *crypto_privkey_parse(struct slice pem,
					    const char **reason)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)(pem.n < 1 << 20 ? pem.n : 0));
	EVP_PKEY *pkey;

	need(bio != NULL);
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	return privkey_of(pkey, reason);
}

struct crypto_privkey *crypto_privkey_generate(enum crypto_type type,
					       unsigned bits)
{
	const char *reason;

	if (type == CRYPTO_RSA)
		return privkey_of(
			EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits),
			&reason);
	return privkey_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), &reason);
}

void crypto_privkey_free(struct crypto_privkey *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

enum crypto_type crypto_privkey_type(const struct crypto_privkey *k)
{
	return k->type;
}

unsigned crypto_privkey_bits(const struct crypto_privkey *k)
{
	return (unsigned)EVP_PKEY_get_bits(k->pkey);
}

struct slice crypto_privkey_pem(struct arena *a, const struct crypto_privkey *k)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n;
	struct slice ret;

	need(bio != NULL &&
	     PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL,
					   NULL) == 1);
	n = BIO_get_mem_data(bio, &p);
	ret = slice_dup(a, (struct slice){p, (size_t)n});
	BIO_free(bio);
	return ret;
}

struct slice crypto_privkey_public(struct arena *a,
				   const struct crypto_privkey *k)
{
	unsigned char raw[ED25519_LEN], *der = NULL;
	size_t n = sizeof(raw);
	struct slice ret;
	int len;

	if (k->type == CRYPTO_ED25519) {
		need(EVP_PKEY_get_raw_public_key(k->pkey, raw, &n) == 1);
		return slice_dup(a, (struct slice){(const char *)raw, n});
	}
	len = i2d_PUBKEY(k->pkey, &der);
	need(len > 0);
	ret = slice_dup(a, (struct slice){(const char *)der, (size_t)len});
	OPENSSL_free(der);
	return ret;
}

static bool rsa_sign(EVP_PKEY *pkey, const unsigned char *digest,
		     unsigned char *sig, size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		  EVP_PKEY_sign(ctx, sig, n, digest, SHA256_LEN) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool ed25519_sign(EVP_PKEY *pkey, const unsigned char *digest,
			 unsigned char *sig, size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL &&
		  EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestSign(ctx, sig, n, digest, SHA256_LEN) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool crypto_sign(struct arena *a, const struct crypto_privkey *k,
		 const unsigned char digest[SHA256_LEN], struct slice *ret)
{
	size_t n = (size_t)EVP_PKEY_get_size(k->pkey);
	char *sig = arena_alloc(a, n);
	bool ok = k->type == CRYPTO_RSA
			  ? rsa_sign(k->pkey, digest, (unsigned char *)sig, &n)
			  : ed25519_sign(k->pkey, digest, (unsigned char *)sig,
					 &n);

	if (ok)
		*ret = (struct slice){sig, n};
	return ok;
}
