/*
 * Digests, keys and signatures by libcrypto: the only file that includes it.
 *
 * RSA public keys are read by a small DER reader of our own and made from
 * modulus and exponent: that costs a thirtieth of d2i_PUBKEY(), and only the
 * two shapes that RFC 6376 3.6.1 allows are accepted.  Private keys go through
 * libcrypto's PEM reader: they come from the administrator.
 *
 * Keys are immutable once made; public keys are counted references, so that a
 * cache and many threads can share them.  libcrypto's error queue is cleared
 * after each failure.  RFC 8017, 8032, 8301, 8463.
 */
#include "crypto/crypto.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/keymem.h"

#define RSA_BITS_MAX	 16384
#define RSA_BITS_SIGN	 1024 /* RFC 8301 3.2 */
#define ED25519_KEY_LEN	 32
#define PUBKEY_BYTES_MAX 8192
#define PEM_BYTES_MAX	 65536

/* ---- memory ---- */

/* How deep this thread is in work with a private key.  libcrypto's own secure
 * heap holds the numbers of a key, but not the copies that it makes of them,
 * such as the primes in a Montgomery context. */
static _Thread_local unsigned key_work;

static void key_work_begin(void)
{
	key_work++;
}

static void key_work_end(void)
{
	key_work--;
	keymem_forget_registers();
}

static void *lib_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return key_work > 0 ? keymem_alloc(n) : malloc(n);
}

static void lib_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (keymem_owns(p))
		keymem_free(p);
	else
		free(p);
}

static void *lib_realloc(void *p, size_t n, const char *file, int line)
{
	if (p == NULL)
		return lib_malloc(n, file, line);
	return keymem_owns(p) ? keymem_realloc(p, n) : realloc(p, n);
}

bool crypto_protect_keys(void)
{
	return keymem_open() &&
	       CRYPTO_set_mem_functions(lib_malloc, lib_realloc, lib_free) == 1;
}

void crypto_lock_keys(void)
{
	keymem_lock();
}

void *crypto_secret_new(size_t n)
{
	void *p = keymem_alloc(n);

	return p != NULL ? p : mem_alloc(n);
}

void crypto_secret_free(void *p, size_t n)
{
	explicit_bzero(p, n);
	lib_free(p, NULL, 0);
}

/* ---- SHA-256 ---- */

struct crypto_hash {
	EVP_MD_CTX *ctx;
};

struct crypto_hash *crypto_hash_new(void)
{
	struct crypto_hash *h = mem_alloc(sizeof(*h));

	h->ctx = EVP_MD_CTX_new();
	if (h->ctx == NULL ||
	    EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1)
		abort(); /* no memory, or a libcrypto without SHA-256 */
	return h;
}

void crypto_hash_add(struct crypto_hash *h, struct slice s)
{
	if (s.n > 0 && EVP_DigestUpdate(h->ctx, s.p, s.n) != 1)
		abort();
}

struct crypto_hash *crypto_hash_dup(const struct crypto_hash *h)
{
	struct crypto_hash *copy = crypto_hash_new();

	if (EVP_MD_CTX_copy_ex(copy->ctx, h->ctx) != 1)
		abort();
	return copy;
}

void crypto_hash_end(struct crypto_hash *h, unsigned char out[SHA256_LEN])
{
	if (EVP_DigestFinal_ex(h->ctx, out, NULL) != 1)
		abort();
}

void crypto_hash_free(struct crypto_hash *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void crypto_hmac_sha256(struct slice key, struct slice text,
			unsigned char out[SHA256_LEN])
{
	if (key.n > INT_MAX ||
	    HMAC(EVP_sha256(), key.p, (int)key.n,
		 (const unsigned char *)text.p, text.n, out, NULL) == NULL)
		abort();
}

/* ---- DER, as much as an RSA public key needs ---- */

#define DER_INTEGER    0x02
#define DER_BIT_STRING 0x03
#define DER_SEQUENCE   0x30

/* Cuts one element off `*s`; false unless it has this tag and fits. */
static bool der_cut(struct slice *s, unsigned char tag, struct slice *ret)
{
	const unsigned char *u = (const unsigned char *)s->p;
	size_t head = 2, len;

	if (s->n < 2 || u[0] != tag)
		return false;
	len = u[1];
	if (len > 0x80) {
		size_t more = len - 0x80;
		if (more > 2 || s->n < 2 + more)
			return false;
		len = u[2];
		if (more == 2)
			len = len << 8 | u[3];
		head += more;
	} else if (len == 0x80) {
		return false; /* indefinite length is BER */
	}
	if (s->n - head < len)
		return false;
	*ret = (struct slice){s->p + head, len};
	*s = slice_from(*s, head + len);
	return true;
}

/* A positive INTEGER, without the sign byte. */
static bool der_cut_number(struct slice *s, struct slice *ret)
{
	if (!der_cut(s, DER_INTEGER, ret) || ret->n == 0 ||
	    ((unsigned char)ret->p[0] & 0x80) != 0)
		return false;
	while (ret->n > 0 && ret->p[0] == 0)
		*ret = slice_from(*ret, 1);
	return ret->n > 0;
}

/* rsaEncryption with NULL parameters (RFC 3279 2.3.1) */
static const char RSA_OID[] = {0x06,	   0x09,       0x2a, (char)0x86, 0x48,
			       (char)0x86, (char)0xf7, 0x0d, 0x01,	 0x01,
			       0x01,	   0x05,       0x00};

/* Leaves in `*s` what the BIT STRING of a SubjectPublicKeyInfo holds. */
static bool der_open_spki(struct slice *s)
{
	struct slice algorithm, bits;

	if (!der_cut(s, DER_SEQUENCE, &algorithm) ||
	    !der_cut(s, DER_BIT_STRING, &bits) || s->n != 0)
		return false;
	/* Some generators leave the NULL out. */
	if (algorithm.n != sizeof(RSA_OID) &&
	    algorithm.n != sizeof(RSA_OID) - 2)
		return false;
	if (memcmp(algorithm.p, RSA_OID, algorithm.n) != 0 || bits.n < 1 ||
	    bits.p[0] != 0)
		return false;
	bits = slice_from(bits, 1);
	return der_cut(&bits, DER_SEQUENCE, s) && bits.n == 0;
}

/* RFC 6376 3.6.1 says RSAPublicKey and shows SubjectPublicKeyInfo (erratum
 * 3017): both are in use. */
static bool der_read_rsa(struct slice bytes, struct slice *n, struct slice *e)
{
	struct slice s;

	if (!der_cut(&bytes, DER_SEQUENCE, &s) || bytes.n != 0)
		return false;
	if (s.n > 0 && s.p[0] == DER_SEQUENCE && !der_open_spki(&s))
		return false;
	return der_cut_number(&s, n) && der_cut_number(&s, e) && s.n == 0;
}

/* ---- public keys ---- */

struct crypto_pubkey {
	atomic_uint refs;
	enum crypto_type type;
	unsigned bits;
	EVP_PKEY *pkey;
};

static EVP_PKEY *pkey_from_params(OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *pkey_from_numbers(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (build != NULL &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(build);
	if (params != NULL)
		pkey = pkey_from_params(params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	return pkey;
}

static EVP_PKEY *rsa_from_bytes(struct slice bytes, const char **reason)
{
	struct slice ns, es;
	BIGNUM *n, *e;
	EVP_PKEY *pkey = NULL;

	*reason = "key is no RSA public key";
	if (!der_read_rsa(bytes, &ns, &es))
		return NULL;
	if (ns.n > RSA_BITS_MAX / 8 || es.n > ns.n) {
		*reason = "RSA key too long";
		return NULL;
	}
	n = BN_bin2bn((const unsigned char *)ns.p, (int)ns.n, NULL);
	e = BN_bin2bn((const unsigned char *)es.p, (int)es.n, NULL);
	if (n == NULL || e == NULL)
		*reason = "no memory for the key";
	else if (!BN_is_odd(e) || BN_is_one(e) || !BN_is_odd(n))
		*reason = "RSA key with an unusable modulus or exponent";
	else
		pkey = pkey_from_numbers(n, e);
	BN_free(n);
	BN_free(e);
	return pkey;
}

static EVP_PKEY *ed25519_from_bytes(struct slice bytes, const char **reason)
{
	/* RFC 8463 4.2: the 32 bytes and nothing around them */
	*reason = "key is no Ed25519 public key";
	if (bytes.n != ED25519_KEY_LEN)
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
					   (const unsigned char *)bytes.p,
					   bytes.n);
}

struct crypto_pubkey *crypto_pubkey_new(enum crypto_type type,
					struct slice bytes, const char **reason)
{
	struct crypto_pubkey *k;
	EVP_PKEY *pkey;

	*reason = "key too long";
	if (bytes.n > PUBKEY_BYTES_MAX)
		return NULL;
	pkey = type == CRYPTO_RSA ? rsa_from_bytes(bytes, reason)
				  : ed25519_from_bytes(bytes, reason);
	if (pkey == NULL) {
		ERR_clear_error();
		return NULL;
	}
	*reason = NULL;
	k = mem_alloc(sizeof(*k));
	atomic_init(&k->refs, 1);
	k->type = type;
	k->bits = (unsigned)EVP_PKEY_get_bits(pkey);
	k->pkey = pkey;
	return k;
}

struct crypto_pubkey *crypto_pubkey_ref(struct crypto_pubkey *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
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

static bool verify_rsa(EVP_PKEY *pkey, const unsigned char *digest,
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

static bool verify_ed25519(EVP_PKEY *pkey, const unsigned char *digest,
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
	bool ok;

	if (sig.n == 0)
		return false;
	ok = k->type == CRYPTO_RSA ? verify_rsa(k->pkey, digest, sig)
				   : verify_ed25519(k->pkey, digest, sig);
	if (!ok)
		ERR_clear_error();
	return ok;
}

/* ---- private keys ---- */

struct crypto_privkey {
	atomic_uint refs;
	enum crypto_type type;
	unsigned bits;
	EVP_PKEY *pkey;
};

/* Asked for only when the key is encrypted: nobody is there to answer. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1;
}

/* Takes over `pkey`. */
static struct crypto_privkey *privkey_wrap(EVP_PKEY *pkey, const char **reason)
{
	struct crypto_privkey *k;
	int id = EVP_PKEY_get_base_id(pkey);
	int bits = EVP_PKEY_get_bits(pkey);

	*reason = NULL;
	if (id != EVP_PKEY_RSA && id != EVP_PKEY_ED25519)
		*reason = "key is neither RSA nor Ed25519; "
			  "make one with: mailseal key new";
	else if (id == EVP_PKEY_RSA && bits < RSA_BITS_SIGN)
		*reason = "RSA key below 1024 bits (RFC 8301 3.2); "
			  "make one with: mailseal key new";
	else if (id == EVP_PKEY_RSA && bits > RSA_BITS_MAX)
		*reason = "RSA key above 16384 bits; "
			  "make one with: mailseal key new";
	if (*reason != NULL) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	k = mem_alloc(sizeof(*k));
	atomic_init(&k->refs, 1);
	k->type = id == EVP_PKEY_RSA ? CRYPTO_RSA : CRYPTO_ED25519;
	k->bits = (unsigned)bits;
	k->pkey = pkey;
	return k;
}

struct crypto_privkey *crypto_privkey_parse(struct slice pem,
					    const char **reason)
{
	bool encrypted = false;
	EVP_PKEY *pkey = NULL;
	BIO *bio;

	*reason = "no PEM private key; make one with: mailseal key new";
	if (pem.n == 0 || pem.n > PEM_BYTES_MAX)
		return NULL;
	key_work_begin();
	bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (bio != NULL)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password,
					       &encrypted);
	BIO_free(bio);
	ERR_clear_error();
	key_work_end();
	if (encrypted)
		*reason = "key is encrypted; decrypt it with: openssl pkey";
	if (pkey == NULL)
		return NULL;
	return privkey_wrap(pkey, reason);
}

struct crypto_privkey *crypto_privkey_generate(enum crypto_type type,
					       unsigned bits)
{
	const char *reason;
	EVP_PKEY *pkey;

	key_work_begin();
	if (type == CRYPTO_RSA)
		pkey = bits > RSA_BITS_MAX ? NULL : EVP_RSA_gen(bits);
	else
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	ERR_clear_error();
	key_work_end();
	return pkey != NULL ? privkey_wrap(pkey, &reason) : NULL;
}

struct crypto_privkey *crypto_privkey_ref(struct crypto_privkey *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void crypto_privkey_free(struct crypto_privkey *k)
{
	if (k == NULL || atomic_fetch_sub(&k->refs, 1) != 1)
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
	return k->bits;
}

struct slice crypto_privkey_pem(struct arena *a, const struct crypto_privkey *k)
{
	struct slice ret = {"", 0};
	BIO *bio = BIO_new(BIO_s_secmem());
	char *p = NULL;
	long n;

	if (bio != NULL &&
	    PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL,
					  NULL) == 1) {
		n = BIO_get_mem_data(bio, &p);
		if (n > 0 && p != NULL)
			ret = (struct slice){arena_memdup(a, p, (size_t)n),
					     (size_t)n};
	}
	BIO_free(bio);
	ERR_clear_error();
	return ret;
}

static struct slice public_rsa(struct arena *a, EVP_PKEY *pkey)
{
	struct slice ret = {"", 0};
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(pkey, &der);

	if (n > 0)
		ret = (struct slice){arena_memdup(a, der, (size_t)n),
				     (size_t)n};
	OPENSSL_free(der);
	return ret;
}

struct slice crypto_privkey_public(struct arena *a,
				   const struct crypto_privkey *k)
{
	unsigned char raw[ED25519_KEY_LEN];
	size_t n = sizeof(raw);

	if (k->type == CRYPTO_RSA)
		return public_rsa(a, k->pkey);
	if (EVP_PKEY_get_raw_public_key(k->pkey, raw, &n) != 1)
		return (struct slice){"", 0};
	return (struct slice){arena_memdup(a, raw, n), n};
}

static bool sign_rsa(EVP_PKEY *pkey, const unsigned char *digest,
		     unsigned char *out, size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		  EVP_PKEY_sign(ctx, out, n, digest, SHA256_LEN) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool sign_ed25519(EVP_PKEY *pkey, const unsigned char *digest,
			 unsigned char *out, size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL &&
		  EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestSign(ctx, out, n, digest, SHA256_LEN) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool crypto_sign(struct arena *a, const struct crypto_privkey *k,
		 const unsigned char digest[SHA256_LEN], struct slice *ret)
{
	size_t n = (size_t)EVP_PKEY_get_size(k->pkey);
	unsigned char *out = arena_alloc(a, n);
	bool ok;

	key_work_begin();
	ok = k->type == CRYPTO_RSA ? sign_rsa(k->pkey, digest, out, &n)
				   : sign_ed25519(k->pkey, digest, out, &n);
	key_work_end();
	if (!ok) {
		ERR_clear_error();
		return false;
	}
	*ret = (struct slice){(const char *)out, n};
	return true;
}
