/*
 * Parsed public keys by record bytes.  Sharded; each shard is a small
 * set-associative table under its own mutex: a new key takes the place of the
 * oldest of its set, so that the size is bounded and no look-up is longer
 * than a set.
 */
#include "crypto/crypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define SHARDS 16
#define WAYS   8
/* Longer keys are not worth remembering (16384-bit RSA has 2 KB). */
#define KEY_MAX_BYTES 4096

struct entry {
	uint64_t hash;
	enum crypto_type type;
	size_t n;
	char *bytes;
	struct crypto_pubkey *key; /* NULL: free */
	uint64_t used;
};

struct shard {
	pthread_mutex_t lock;
	uint64_t tick;
	struct entry *v; /* sets * WAYS */
};

struct crypto_keycache {
	uint64_t seed; /* so that nobody can aim at one set */
	size_t sets;   /* of each shard */
	struct shard shard[SHARDS];
};

struct crypto_keycache *crypto_keycache_new(size_t max_keys)
{
	struct crypto_keycache *c = mem_alloc(sizeof(*c));

	c->sets = max_keys / (SHARDS * (size_t)WAYS) + 1;
	random_fill(&c->seed, sizeof(c->seed));
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shard[i].lock, NULL);
		c->shard[i].v =
			mem_alloc(c->sets * WAYS * sizeof(struct entry));
	}
	return c;
}

static void entry_clear(struct entry *e)
{
	crypto_pubkey_free(e->key);
	free(e->bytes);
	*e = (struct entry){0};
}

void crypto_keycache_free(struct crypto_keycache *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		for (size_t j = 0; j < c->sets * WAYS; j++)
			entry_clear(&c->shard[i].v[j]);
		free(c->shard[i].v);
		pthread_mutex_destroy(&c->shard[i].lock);
	}
	free(c);
}

static uint64_t hash_of(const struct crypto_keycache *c, struct slice s)
{
	uint64_t h = c->seed ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return h ^ h >> 29;
}

static bool entry_is(const struct entry *e, uint64_t hash,
		     enum crypto_type type, struct slice bytes)
{
	return e->key != NULL && e->hash == hash && e->type == type &&
	       slice_eq((struct slice){e->bytes, e->n}, bytes);
}

static struct crypto_pubkey *find(struct shard *s, struct entry *set,
				  uint64_t hash, enum crypto_type type,
				  struct slice bytes)
{
	for (size_t i = 0; i < WAYS; i++) {
		if (!entry_is(&set[i], hash, type, bytes))
			continue;
		set[i].used = ++s->tick;
		return crypto_pubkey_ref(set[i].key);
	}
	return NULL;
}

static void store(struct shard *s, struct entry *set, uint64_t hash,
		  enum crypto_type type, struct slice bytes,
		  struct crypto_pubkey *k)
{
	struct entry *oldest = set;

	for (size_t i = 1; i < WAYS; i++)
		if (set[i].used < oldest->used)
			oldest = &set[i];
	entry_clear(oldest);
	*oldest = (struct entry){hash,
				 type,
				 bytes.n,
				 memcpy(mem_alloc(bytes.n), bytes.p, bytes.n),
				 crypto_pubkey_ref(k),
				 ++s->tick};
}

struct crypto_pubkey *crypto_keycache_get(struct crypto_keycache *c,
					  enum crypto_type type,
					  struct slice bytes,
					  const char **reason)
{
	uint64_t hash = hash_of(c, bytes);
	struct shard *s = &c->shard[hash % SHARDS];
	struct entry *set = &s->v[hash / SHARDS % c->sets * WAYS];
	struct crypto_pubkey *k;

	if (bytes.n == 0 || bytes.n > KEY_MAX_BYTES)
		return crypto_pubkey_new(type, bytes, reason);
	pthread_mutex_lock(&s->lock);
	k = find(s, set, hash, type, bytes);
	pthread_mutex_unlock(&s->lock);
	if (k != NULL)
		return k;
	k = crypto_pubkey_new(type, bytes, reason);
	if (k == NULL)
		return NULL;
	pthread_mutex_lock(&s->lock);
	store(s, set, hash, type, bytes, k);
	pthread_mutex_unlock(&s->lock);
	return k;
}
