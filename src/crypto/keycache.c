/*
 * Parsed public keys by type and bytes: parsing a key and computing its
 * Montgomery values cost more than a verification.
 *
 * A table of sets of WAYS entries; in a full set the entry that was used
 * longest ago makes room.  So the size is fixed, and a flood of keys costs
 * others at most a parse.  The whole bytes are compared: the hash only finds
 * the set.  What cannot be parsed is not kept.
 *
 * Shared by all threads: a lock per group of sets; parsing is done unlocked.
 */
#include "crypto/crypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WAYS  4
#define LOCKS 16

struct entry {
	struct crypto_pubkey *key; /* NULL: free */
	enum crypto_type type;
	char *bytes;
	size_t n;
	uint64_t used;
};

struct crypto_keycache {
	pthread_mutex_t lock[LOCKS];
	uint64_t tick[LOCKS];
	size_t nsets;
	struct entry (*sets)[WAYS];
};

struct crypto_keycache *crypto_keycache_new(size_t max_keys)
{
	struct crypto_keycache *c = mem_alloc(sizeof(*c));

	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&c->lock[i], NULL);
	c->nsets = max_keys / WAYS;
	if (c->nsets > SIZE_MAX / sizeof(*c->sets))
		c->nsets = 0;
	if (c->nsets > 0) {
		c->sets = mem_alloc(c->nsets * sizeof(*c->sets));
		memset(c->sets, 0, c->nsets * sizeof(*c->sets));
	}
	return c;
}

static void entry_clear(struct entry *e)
{
	crypto_pubkey_free(e->key);
	free(e->bytes);
	*e = (struct entry){.key = NULL};
}

void crypto_keycache_free(struct crypto_keycache *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->nsets; i++)
		for (size_t w = 0; w < WAYS; w++)
			entry_clear(&c->sets[i][w]);
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&c->lock[i]);
	free(c->sets);
	free(c);
}

/* FNV-1a: an attacker who makes keys collide only evicts in one set. */
static size_t set_of(const struct crypto_keycache *c, struct slice s)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
	return (size_t)((h ^ h >> 32) % c->nsets);
}

static struct entry *set_find(struct entry *set, enum crypto_type type,
			      struct slice bytes)
{
	for (size_t w = 0; w < WAYS; w++) {
		struct entry *e = &set[w];
		if (e->key != NULL && e->type == type && e->n == bytes.n &&
		    memcmp(e->bytes, bytes.p, bytes.n) == 0)
			return e;
	}
	return NULL;
}

static struct entry *set_victim(struct entry *set)
{
	struct entry *ret = &set[0];

	for (size_t w = 0; w < WAYS; w++) {
		if (set[w].key == NULL)
			return &set[w];
		if (set[w].used < ret->used)
			ret = &set[w];
	}
	return ret;
}

static struct crypto_pubkey *lookup(struct crypto_keycache *c, size_t at,
				    enum crypto_type type, struct slice bytes)
{
	struct crypto_pubkey *ret = NULL;
	struct entry *e;

	pthread_mutex_lock(&c->lock[at % LOCKS]);
	e = set_find(c->sets[at], type, bytes);
	if (e != NULL) {
		e->used = ++c->tick[at % LOCKS];
		ret = crypto_pubkey_ref(e->key);
	}
	pthread_mutex_unlock(&c->lock[at % LOCKS]);
	return ret;
}

static void store(struct crypto_keycache *c, size_t at, enum crypto_type type,
		  struct slice bytes, struct crypto_pubkey *key)
{
	struct entry *e;

	pthread_mutex_lock(&c->lock[at % LOCKS]);
	/* Another thread may have parsed the same key meanwhile. */
	if (set_find(c->sets[at], type, bytes) == NULL) {
		e = set_victim(c->sets[at]);
		entry_clear(e);
		e->key = crypto_pubkey_ref(key);
		e->type = type;
		e->bytes = mem_alloc(bytes.n);
		memcpy(e->bytes, bytes.p, bytes.n);
		e->n = bytes.n;
		e->used = ++c->tick[at % LOCKS];
	}
	pthread_mutex_unlock(&c->lock[at % LOCKS]);
}

struct crypto_pubkey *crypto_keycache_get(struct crypto_keycache *c,
					  enum crypto_type type,
					  struct slice bytes,
					  const char **reason)
{
	struct crypto_pubkey *key;
	size_t at;

	if (c->nsets == 0 || bytes.n == 0)
		return crypto_pubkey_new(type, bytes, reason);
	at = set_of(c, bytes);
	key = lookup(c, at, type, bytes);
	if (key != NULL)
		return key;
	key = crypto_pubkey_new(type, bytes, reason);
	if (key != NULL)
		store(c, at, type, bytes, key);
	return key;
}
