/*
 * floor: what libcrypto alone costs for a message of SIZE bytes, in CPU
 * microseconds: one SHA-256 over it, one RSA-2048 verification, one RSA-2048
 * and one Ed25519 signature, each with the key at hand.
 *
 *     floor SIZE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/crypto.h"

#define ROUNDS 300

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void hash(struct slice body, unsigned char digest[SHA256_LEN])
{
	struct crypto_hash *h = crypto_hash_new();

	crypto_hash_add(h, body);
	crypto_hash_end(h, digest);
	crypto_hash_free(h);
}

/* Microseconds of each: digest, sign, verify. */
static void measure(enum crypto_type type, struct slice body, double ret[3])
{
	struct crypto_privkey *k = crypto_privkey_generate(type, 2048);
	struct arena *a = arena_new();
	const char *why;
	struct crypto_pubkey *p =
		crypto_pubkey_new(type, crypto_privkey_public(a, k), &why);
	unsigned char digest[SHA256_LEN];
	struct slice sig = {0};
	double t0 = cpu_us(), t1, t2;

	for (int i = 0; i < ROUNDS; i++)
		hash(body, digest);
	t1 = cpu_us();
	for (int i = 0; i < ROUNDS; i++)
		if (!crypto_sign(a, k, digest, &sig))
			abort();
	t2 = cpu_us();
	for (int i = 0; i < ROUNDS; i++)
		if (!crypto_verify(p, digest, sig))
			abort();
	ret[0] = (t1 - t0) / ROUNDS;
	ret[1] = (t2 - t1) / ROUNDS;
	ret[2] = (cpu_us() - t2) / ROUNDS;
	crypto_pubkey_free(p);
	crypto_privkey_free(k);
	arena_free(a);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size = (size_t)atol(argv[i]);
		char *body = calloc(1, size + 1);
		double rsa[3], ed[3];

		measure(CRYPTO_RSA, (struct slice){body, size}, rsa);
		measure(CRYPTO_ED25519, (struct slice){body, size}, ed);
		printf("{\"size\": %zu, \"sha256\": %.1f, \"rsa_sign\": %.1f, "
		       "\"rsa_verify\": %.1f, \"ed25519_sign\": %.1f, "
		       "\"ed25519_verify\": %.1f}\n",
		       size, rsa[0], rsa[1], rsa[2], ed[1], ed[2]);
		free(body);
	}
	return 0;
}
