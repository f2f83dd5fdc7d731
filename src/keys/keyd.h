/*
 * The key process: a child that stays root, opens the key files, and hands
 * their text to the process that filters mail, which cannot.
 *
 * It is asked for a row by its number, never by a path: it reads configuration
 * and key table itself, so whoever takes over the filter gets the keys that
 * the administrator named and no other file.  It is forked before privileges
 * are dropped and before any thread exists, and ends when the other end of its
 * socket closes.
 *
 * Reload: build a new keyring beside the old and keyring_attach() it; the key
 * process then reads its rows again, as another generation.  Both keyrings get
 * keys, each by its generation, until keyring_free().  At most
 * KEYD_GENERATIONS that differ are kept; the oldest goes first.
 *
 * keyd.c is the end of the filter, keyd_serve.c the process.  Neither knows
 * how configuration is read (struct keyd_options), and neither logs.
 */
#ifndef MAILSEAL_KEYS_KEYD_H
#define MAILSEAL_KEYS_KEYD_H

#include "keys/keyring.h"

#define KEYD_GENERATIONS 16

struct keyd_options {
	/* In the key process: reads the rows; NULL and lines in `errors`.
	 * `*owner` is what their texts live in. */
	struct keyring *(*read)(void *arg, void **owner, struct strbuf *errors);
	void (*release)(struct keyring *k, void *owner);
	/* In the key process, once: gives up what it does not need.  False: it
	 * must not go on. */
	bool (*confine)(void *arg);
	void *arg;
};

struct keyd; /* thread-safe once started */

/* Forks it; NULL and *err (a constant) when that fails. */
struct keyd *keyd_start(const struct keyd_options *o, const char **err);
/* `lost` is called once, by a thread of its own, when the key process ended or
 * did not answer in time; no more keys come then.  False: no thread. */
bool keyd_watch(struct keyd *d, void (*lost)(void *arg), void *arg);
/* The key process ends.  NULL is allowed. */
void keyd_free(struct keyd *d);

/* ---- for keyring.c ---- */
/* Its rows anew: their generation and digest.  False and lines in `errors`. */
bool keyd_reload(struct keyd *d, uint32_t *generation,
		 unsigned char digest[SHA256_LEN], struct strbuf *errors);
void keyd_drop(struct keyd *d, uint32_t generation);
/* As key_text_read(), of the file that row `row` names. */
bool keyd_fetch(struct keyd *d, uint32_t generation, size_t row,
		struct arena *a, struct key_text *ret, const char **err);

/* ---- between keyd.c and keyd_serve.c ---- */
enum keyd_verb {
	KEYD_RELOAD = 1,
	KEYD_DROP,
	KEYD_FETCH,
};

/* Each request has one answer, each is one packet. */
struct keyd_request {
	uint32_t verb;
	uint32_t generation;
	uint64_t row;
};

struct keyd_answer {
	uint32_t ok;
	uint32_t generation;
	uint32_t state;	 /* enum key_state */
	uint32_t length; /* of the text that follows: key, or what is wrong */
	int64_t since;	 /* of struct key_text */
	unsigned char digest[SHA256_LEN];
};

/* The life of the key process: returns when `fd` closes. */
void keyd_serve(int fd, const struct keyd_options *o);

#endif
