/*
 * The answer cache: shards, each a lock, a hash table and a list in the
 * order of last use.  It is bounded in bytes; what was unused longest goes
 * first.  It stands before libunbound only, to save the two thread switches
 * of a question whose answer is known.
 *
 * An answer lives for its TTL, at least 5 s and at most an hour; a temporary
 * failure for 6 s, so that a broken zone is not asked for each message and is
 * noticed soon when it works again (RFC 2308 7.1 allows five minutes).  That
 * is just longer than libunbound remembers it, so it is then asked anew.
 *
 * Thread-safe.  Owns a reference on each answer that it holds.
 */
#include "dns/resolver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS		16
#define TTL_MAX_MS	(3600 * INT64_C(1000))
#define TTL_MIN_MS	(5 * INT64_C(1000))
#define FAILURE_TTL_MS	(6 * INT64_C(1000))
#define BYTES_PER_CHAIN 512 /* of an entry, about */

struct entry {
	struct entry *chain;
	struct entry *newer, *older;
	uint64_t hash;
	int64_t expires_ms;
	const struct dns_answer *answer;
	size_t bytes;
	enum dns_type type;
	char name[];
};

struct shard {
	pthread_mutex_t lock;
	struct entry **chains;
	struct entry *newest, *oldest;
	size_t bytes, answers;
};

struct dns_cache {
	struct dns_hash_key key;
	size_t shard_max;
	size_t nchains; /* a power of two */
	struct shard shards[SHARDS];
};

struct dns_cache *dns_cache_new(size_t bytes)
{
	struct dns_cache *c = mem_alloc(sizeof(*c));
	unsigned i;

	dns_hash_key_init(&c->key);
	c->shard_max = bytes / SHARDS;
	c->nchains = 16;
	while (c->nchains < c->shard_max / BYTES_PER_CHAIN &&
	       c->nchains < 65536)
		c->nchains *= 2;
	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shards[i].lock, NULL);
		c->shards[i].chains =
			mem_alloc(c->nchains * sizeof(struct entry *));
	}
	return c;
}

static struct entry **chain_of(struct dns_cache *c, struct shard *s,
			       uint64_t hash)
{
	return &s->chains[(hash / SHARDS) & (c->nchains - 1)];
}

static void list_unlink(struct shard *s, struct entry *e)
{
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		s->newest = e->older;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		s->oldest = e->newer;
}

static void list_push(struct shard *s, struct entry *e)
{
	e->newer = NULL;
	e->older = s->newest;
	if (s->newest != NULL)
		s->newest->newer = e;
	else
		s->oldest = e;
	s->newest = e;
}

static void entry_drop(struct dns_cache *c, struct shard *s, struct entry *e)
{
	struct entry **at = chain_of(c, s, e->hash);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	list_unlink(s, e);
	s->bytes -= e->bytes;
	s->answers--;
	dns_answer_unref(e->answer);
	free(e);
}

void dns_cache_free(struct dns_cache *c)
{
	unsigned i;

	if (c == NULL)
		return;
	for (i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];
		while (s->oldest != NULL)
			entry_drop(c, s, s->oldest);
		free(s->chains);
		pthread_mutex_destroy(&s->lock);
	}
	free(c);
}

static struct entry *entry_find(struct dns_cache *c, struct shard *s,
				uint64_t hash, const struct dns_question *q)
{
	struct entry *e = *chain_of(c, s, hash);

	while (e != NULL && (e->hash != hash || e->type != q->type ||
			     strcmp(e->name, q->name) != 0))
		e = e->chain;
	return e;
}

const struct dns_answer *
dns_cache_get(struct dns_cache *c, const struct dns_question *q, int64_t now_ms)
{
	uint64_t hash = dns_hash(&c->key, q->name, q->type);
	struct shard *s = &c->shards[hash % SHARDS];
	const struct dns_answer *ret = NULL;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = entry_find(c, s, hash, q);
	if (e != NULL && e->expires_ms <= now_ms) {
		entry_drop(c, s, e);
		e = NULL;
	}
	if (e != NULL) {
		list_unlink(s, e);
		list_push(s, e);
		ret = dns_answer_ref(e->answer);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static int64_t lifetime_ms(const struct dns_answer *a)
{
	int64_t ms = (int64_t)a->ttl * 1000;

	if (a->status == DNS_TEMPFAIL)
		return FAILURE_TTL_MS;
	if (ms < TTL_MIN_MS)
		return TTL_MIN_MS;
	return ms > TTL_MAX_MS ? TTL_MAX_MS : ms;
}

static struct entry *entry_new(const struct dns_question *q, uint64_t hash,
			       const struct dns_answer *a, int64_t now_ms)
{
	size_t n = strlen(q->name) + 1;
	struct entry *e = mem_alloc(sizeof(*e) + n);

	e->hash = hash;
	e->expires_ms = now_ms + lifetime_ms(a);
	e->answer = dns_answer_ref(a);
	e->bytes = sizeof(*e) + n + dns_answer_size(a);
	e->type = q->type;
	memcpy(e->name, q->name, n);
	return e;
}

void dns_cache_put(struct dns_cache *c, const struct dns_question *q,
		   const struct dns_answer *a, int64_t now_ms)
{
	uint64_t hash = dns_hash(&c->key, q->name, q->type);
	struct shard *s = &c->shards[hash % SHARDS];
	struct entry *e = entry_new(q, hash, a, now_ms), *old;

	pthread_mutex_lock(&s->lock);
	old = entry_find(c, s, hash, q);
	if (old != NULL)
		entry_drop(c, s, old);
	e->chain = *chain_of(c, s, hash);
	*chain_of(c, s, hash) = e;
	list_push(s, e);
	s->bytes += e->bytes;
	s->answers++;
	/* One that is larger than the shard goes out again at once. */
	while (s->bytes > c->shard_max)
		entry_drop(c, s, s->oldest);
	pthread_mutex_unlock(&s->lock);
}

size_t dns_cache_bytes(struct dns_cache *c)
{
	size_t sum = 0;
	unsigned i;

	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&c->shards[i].lock);
		sum += c->shards[i].bytes;
		pthread_mutex_unlock(&c->shards[i].lock);
	}
	return sum;
}

size_t dns_cache_answers(struct dns_cache *c)
{
	size_t sum = 0;
	unsigned i;

	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&c->shards[i].lock);
		sum += c->shards[i].answers;
		pthread_mutex_unlock(&c->shards[i].lock);
	}
	return sum;
}
