/* crypto/: digests, keys, signatures, the key cache. */
#include "check.h"

#include <pthread.h>

#include "crypto/crypto.h"

/* FIPS 180-4, "abc" */
static void test_hash(void **state)
{
	static const unsigned char want[SHA256_LEN] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
		0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
		0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	struct crypto_hash *h = crypto_hash_new();
	unsigned char got[SHA256_LEN];

	(void)state;
	crypto_hash_add(h, SLICE("a"));
	crypto_hash_add(h, (struct slice){NULL, 0});
	crypto_hash_add(h, SLICE("bc"));
	crypto_hash_end(h, got);
	crypto_hash_free(h);
	assert_memory_equal(got, want, SHA256_LEN);
}

static void round_trip(enum crypto_type type, unsigned bits)
{
	struct arena *a = arena_new();
	struct crypto_privkey *k = crypto_privkey_generate(type, bits), *again;
	struct crypto_pubkey *pub;
	struct slice sig, der, pem = crypto_privkey_pem(a, k);
	unsigned char digest[SHA256_LEN] = {1, 2, 3};
	const char *reason = NULL;

	again = crypto_privkey_parse(pem, &reason);
	assert_non_null(again);
	assert_int_equal(crypto_privkey_type(again), type);
	der = crypto_privkey_public(a, k);
	pub = crypto_pubkey_new(type, der, &reason);
	assert_non_null(pub);
	assert_int_equal(crypto_pubkey_bits(pub), crypto_privkey_bits(k));
	assert_true(crypto_sign(a, again, digest, &sig));
	assert_true(crypto_verify(pub, digest, sig));
	assert_false(crypto_verify(pub, digest, slice_first(sig, sig.n - 1)));
	assert_false(crypto_verify(pub, digest, slice_first(sig, 0)));
	digest[31] ^= 1;
	assert_false(crypto_verify(pub, digest, sig));
	crypto_pubkey_free(pub);
	/* RFC 6376 3.6.1, RFC 8463 4.2: no byte less or more, in any length */
	for (size_t n = 0; n < der.n; n++) {
		struct slice cut = check_heap(der.p, n);
		assert_null(crypto_pubkey_new(type, cut, &reason));
		assert_non_null(reason);
		free(unconst(cut.p));
	}
	assert_null(crypto_pubkey_new(
		type, (struct slice){arena_memdup(a, der.p, der.n), der.n + 1},
		&reason));
	crypto_privkey_free(k);
	crypto_privkey_free(again);
	arena_free(a);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip(CRYPTO_RSA, 1024);
	round_trip(CRYPTO_RSA, 2048);
	round_trip(CRYPTO_ED25519, 0);
}

/* The SPKI of an RSA-1024 key holds the PKCS#1 form after 22 bytes. */
static void test_pkcs1_public(void **state)
{
	struct arena *a = arena_new();
	struct crypto_privkey *k = crypto_privkey_generate(CRYPTO_RSA, 1024);
	struct slice der = crypto_privkey_public(a, k);
	const char *reason;
	struct crypto_pubkey *pub =
		crypto_pubkey_new(CRYPTO_RSA, slice_from(der, 22), &reason);

	(void)state;
	assert_non_null(pub);
	assert_int_equal(crypto_pubkey_bits(pub), 1024);
	crypto_pubkey_free(pub);
	crypto_privkey_free(k);
	arena_free(a);
}

static void test_bad_public(void **state)
{
#define BAD(s)                                                                 \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}
	static const struct {
		const char *p;
		size_t n;
	} cases[] = {
		BAD("\x30\x06\x02\x01\x0f\x02\x01\x02"),     /* even exponent */
		BAD("\x30\x06\x02\x01\x0f\x02\x01\x01"),     /* exponent 1 */
		BAD("\x30\x06\x02\x01\x0e\x02\x01\x03"),     /* even modulus */
		BAD("\x30\x06\x02\x01\x8f\x02\x01\x03"),     /* negative */
		BAD("\x30\x06\x02\x01\x00\x02\x01\x03"),     /* zero */
		BAD("\x30\x07\x02\x01\x0f\x02\x02\x01\x01"), /* e > n */
		BAD("\x30\x80\x02\x01\x0f\x02\x01\x03"),     /* BER */
		BAD("\x30\x84\xff\xff\xff\xff\x02\x01"),
		BAD("\x30\x82\xff\xff\x02\x01\x0f"),
		BAD("\x30\x82\xff"),
		BAD("\x30"),
		BAD("\x03\x82\x01"),
	};
	static char huge[9000];
	const char *reason;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice s = check_heap(cases[i].p, cases[i].n);
		reason = NULL;
		print_message("%zu\n", i);
		assert_null(crypto_pubkey_new(CRYPTO_RSA, s, &reason));
		assert_non_null(reason);
		free(unconst(s.p));
	}
	/* 16392 bits */
	memcpy(huge, "\x30\x82\x08\x08\x02\x82\x08\x01", 8);
	memset(huge + 8, 0x7f, 2049);
	memcpy(huge + 8 + 2049, "\x02\x01\x03", 3);
	assert_null(crypto_pubkey_new(
		CRYPTO_RSA, (struct slice){huge, 8 + 2049 + 3}, &reason));
	assert_string_equal(reason, "RSA key too long");
}

static void test_bad_private(void **state)
{
	static const char *const cases[] = {
		"",
		"hello",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n"
		"-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\n",
	};
	const char *reason;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reason = NULL;
		assert_null(crypto_privkey_parse(slice_of(cases[i]), &reason));
		assert_non_null(reason);
	}
	/* RFC 8301 3.2 */
	assert_null(crypto_privkey_generate(CRYPTO_RSA, 512));
}

struct shared {
	struct crypto_keycache *cache;
	struct slice keys[12];
};

static void *use_cache(void *arg)
{
	struct shared *s = arg;
	const char *reason;

	for (size_t i = 0; i < 1200; i++) {
		struct crypto_pubkey *k = crypto_keycache_get(
			s->cache, CRYPTO_ED25519, s->keys[i % 12], &reason);
		if (k == NULL)
			return s;
		crypto_pubkey_free(k);
	}
	return NULL;
}

static void test_cache(void **state)
{
	struct arena *a = arena_new();
	struct shared s = {.cache = crypto_keycache_new(8)};
	struct crypto_pubkey *k1, *k2;
	pthread_t t[3];
	const char *reason;

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		struct crypto_privkey *k =
			crypto_privkey_generate(CRYPTO_ED25519, 0);
		s.keys[i] = crypto_privkey_public(a, k);
		crypto_privkey_free(k);
	}
	k1 = crypto_keycache_get(s.cache, CRYPTO_ED25519, s.keys[0], &reason);
	k2 = crypto_keycache_get(s.cache, CRYPTO_ED25519, s.keys[0], &reason);
	assert_ptr_equal(k1, k2);
	assert_null(
		crypto_keycache_get(s.cache, CRYPTO_RSA, s.keys[0], &reason));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, use_cache, &s), 0);
	for (size_t i = 0; i < 3; i++) {
		void *failed = NULL;
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	/* A reference outlives its place in the cache, and the cache. */
	crypto_keycache_free(s.cache);
	assert_int_equal(crypto_pubkey_bits(k1), crypto_pubkey_bits(k2));
	crypto_pubkey_free(k1);
	crypto_pubkey_free(k2);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_pkcs1_public),
		cmocka_unit_test(test_bad_public),
		cmocka_unit_test(test_bad_private),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
