/*
 * floor: what the cryptography of a message costs alone, in CPU microseconds,
 * each with the key at hand: SHA-256 over the message, the same after a plain
 * relaxed canonicalization (RFC 6376 3.4.4, a byte at a time), the RSA-2048 and
 * the Ed25519 operations.
 *
 *     floor FILE...
 *
 * A FILE is a message of load's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/crypto.h"

#define LEAST_US 200000.0 /* for each figure */
#define TURN	 4

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Lines with LF in, with CRLF out; blanks as one, none at the end of a line, no
 * empty lines at the end. */
static size_t relax(char *out, const char *p, size_t n)
{
	char *q = out;
	size_t lines = 0;
	bool blank = false;

	for (const char *stop = p + n; p < stop; p++) {
		if (*p == '\n') {
			lines++;
			blank = false;
			continue;
		}
		if (*p == ' ' || *p == '\t' || *p == '\r') {
			blank = true;
			continue;
		}
		for (; lines > 0; lines--) {
			*q++ = '\r';
			*q++ = '\n';
		}
		if (blank)
			*q++ = ' ';
		blank = false;
		*q++ = *p;
	}
	*q++ = '\r';
	*q++ = '\n';
	return (size_t)(q - out);
}

struct work {
	struct slice text;
	char *room;
	struct crypto_privkey *private;
	struct crypto_pubkey *public;
	unsigned char digest[SHA256_LEN];
	struct slice signature;
	struct arena *arena;
};

static void hash(struct work *w, struct slice text)
{
	struct crypto_hash *h = crypto_hash_new();

	crypto_hash_add(h, text);
	crypto_hash_end(h, w->digest);
	crypto_hash_free(h);
}

static void do_sha256(struct work *w)
{
	hash(w, w->text);
}

static void do_relaxed(struct work *w)
{
	hash(w, (struct slice){w->room, relax(w->room, w->text.p, w->text.n)});
}

static void do_sign(struct work *w)
{
	struct arena *a = arena_new();
	struct slice s;

	if (!crypto_sign(a, w->private, w->digest, &s))
		abort();
	arena_free(a);
}

static void do_verify(struct work *w)
{
	if (!crypto_verify(w->public, w->digest, w->signature))
		abort();
}

/* Microseconds of one: the least of several turns, since others use the machine
 * too. */
static double measure(void (*f)(struct work *), struct work *w)
{
	double begin = cpu_us(), least = 1e18;

	while (cpu_us() - begin < LEAST_US) {
		double t = cpu_us();

		for (int i = 0; i < TURN; i++)
			f(w);
		t = (cpu_us() - t) / TURN;
		if (t < least)
			least = t;
	}
	return least;
}

static void use_key(struct work *w, enum crypto_type type)
{
	const char *why;

	w->private = crypto_privkey_generate(type, 2048);
	w->public = crypto_pubkey_new(
		type, crypto_privkey_public(w->arena, w->private), &why);
	if (!crypto_sign(w->arena, w->private, w->digest, &w->signature))
		abort();
}

static void drop_key(struct work *w)
{
	crypto_pubkey_free(w->public);
	crypto_privkey_free(w->private);
}

/* The caller frees its bytes. */
static struct slice read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *p = NULL;
	size_t n = 0;

	if (f == NULL || getdelim(&p, &n, '\0', f) < 0) {
		perror(path);
		exit(2);
	}
	n = (size_t)ftell(f);
	fclose(f);
	return (struct slice){p, n};
}

int main(int argc, char **argv)
{
	static const struct {
		enum crypto_type type;
		const char *name;
	} keys[] = {{CRYPTO_RSA, "rsa"}, {CRYPTO_ED25519, "ed25519"}};

	for (int i = 1; i < argc; i++) {
		struct work w = {.text = read_file(argv[i]),
				 .arena = arena_new()};

		w.room = malloc(2 * w.text.n + 2);
		if (w.room == NULL)
			abort();
		printf("{\"sha256\": %.1f", measure(do_sha256, &w));
		printf(", \"relaxed\": %.1f", measure(do_relaxed, &w));
		for (int k = 0; k < 2; k++) {
			use_key(&w, keys[k].type);
			printf(", \"%s_sign\": %.1f, \"%s_verify\": %.1f",
			       keys[k].name, measure(do_sign, &w), keys[k].name,
			       measure(do_verify, &w));
			drop_key(&w);
		}
		puts("}");
		free(w.room);
		free(unconst(w.text.p));
		arena_free(w.arena);
	}
	return 0;
}
