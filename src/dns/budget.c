/*
 * The face of the resolver: making and freeing it, and the budget of one
 * message, which counts its questions and the time that it waited.
 *
 * A budget belongs to one thread at a time.  It remembers each answer that
 * it gave, so that a message sees one answer to one question however long it
 * takes, and holds a reference on it until it is freed.  That a limit ran out
 * is no answer and is not remembered.
 *
 * Limits that run out are temporary failures: they tell nothing about the
 * domain (RFC 7208 4.6.4 on time, RFC 6376 6.1.2).
 */
#include "dns/dns.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "dns/resolver.h"

#define CHAINS 64

struct memo {
	struct memo *chain;
	struct memo *next;
	struct dns_question q;
	const struct dns_answer *answer;
};

struct dns_budget {
	struct dns *dns;
	unsigned max_wait_ms;
	unsigned max_queries;
	unsigned held_ms, held_queries;
	unsigned queries;
	unsigned prefetches;
	int64_t waited_us;
	struct memo *all;
	struct memo *cut; /* answers that are no answers, to be told alone */
	struct dns_hash_key key;
	struct memo *chains[CHAINS];
};

static const struct dns_answer answer_illegal = {.status = DNS_NXDOMAIN};
static const struct dns_answer answer_too_many = {
	.status = DNS_TEMPFAIL,
	.reason = "too many DNS questions for one message",
};
static const struct dns_answer answer_no_time = {
	.status = DNS_TEMPFAIL,
	.reason = "DNS time of the message used up",
};
static const struct dns_answer answer_cut = {
	.status = DNS_TEMPFAIL,
	.reason = "DNS time for such questions used up",
};

/* ---- the resolver ---- */

struct dns *dns_assemble(const struct dns_backend *backend, void *self,
			 struct dns_cache *cache, unsigned query_timeout_ms)
{
	struct dns *d = mem_alloc(sizeof(*d));

	d->backend = backend;
	d->self = self;
	d->cache = cache;
	d->query_timeout_ms =
		query_timeout_ms > 0 ? query_timeout_ms : DNS_QUERY_TIMEOUT_MS;
	return d;
}

struct dns *dns_new(struct arena *a, const struct dns_options *o,
		    const char **err)
{
	struct dns *d;

	if (o->zone_file == NULL)
		d = dns_unbound_new(a, o, err);
	else
		d = dns_zone_open(a, o->zone_file, err);
	if (d == NULL)
		return NULL;
	if (o->query_timeout_ms > 0)
		d->query_timeout_ms = o->query_timeout_ms;
	d->waiters = o->waiters;
	return d;
}

void dns_free(struct dns *d)
{
	if (d == NULL)
		return;
	d->backend->stop(d->self);
	/* Who was answered just now still has to find the way out. */
	while (atomic_load(&d->inside) > 0)
		usleep(1000);
	d->backend->free(d->self);
	dns_cache_free(d->cache);
	free(d);
}

void dns_counters_get(struct dns *d, struct dns_counters *ret)
{
	unsigned i;

	*ret = (struct dns_counters){.outage = false};
	ret->asked = atomic_load(&d->asked);
	ret->cache_hits = atomic_load(&d->cache_hits);
	ret->sent = atomic_load(&d->sent);
	ret->timeouts = atomic_load(&d->timeouts);
	ret->refused = atomic_load(&d->refused);
	for (i = 0; i < 4; i++)
		ret->by_status[i] = atomic_load(&d->by_status[i]);
	if (d->cache != NULL) {
		ret->cache_answers = dns_cache_answers(d->cache);
		ret->cache_bytes = dns_cache_bytes(d->cache);
	}
	if (d->backend->state != NULL)
		d->backend->state(d->self, ret);
}

bool dns_beats(const struct dns *d, uint64_t *ret)
{
	if (d->backend->beats == NULL)
		return false;
	*ret = d->backend->beats(d->self);
	return true;
}

/* ---- one message ---- */

struct dns_budget *dns_budget_new(struct dns *d, unsigned max_wait_ms,
				  unsigned max_queries)
{
	struct dns_budget *b = mem_alloc(sizeof(*b));

	b->dns = d;
	b->max_wait_ms = max_wait_ms;
	b->max_queries = max_queries;
	dns_hash_key_init(&b->key);
	return b;
}

void dns_budget_free(struct dns_budget *b)
{
	struct memo *m, *next;

	if (b == NULL)
		return;
	for (m = b->all; m != NULL; m = next) {
		next = m->next;
		dns_answer_unref(m->answer);
		free(m);
	}
	for (m = b->cut; m != NULL; m = next) {
		next = m->next;
		free(m); /* its answer is a constant */
	}
	free(b);
}

static struct memo **chain_of(struct dns_budget *b,
			      const struct dns_question *q)
{
	return &b->chains[dns_hash(&b->key, q->name, q->type) % CHAINS];
}

static const struct dns_answer *recall(const struct dns_budget *b,
				       const struct dns_question *q)
{
	const struct memo *m = b->chains[dns_hash(&b->key, q->name, q->type) %
					 CHAINS];

	while (m != NULL && !dns_question_eq(&m->q, q))
		m = m->chain;
	return m != NULL ? m->answer : NULL;
}

static void remember(struct dns_budget *b, const struct dns_question *q,
		     const struct dns_answer *answer)
{
	struct memo **chain = chain_of(b, q);
	struct memo *m = mem_alloc(sizeof(*m));

	m->q = *q;
	m->answer = answer;
	m->chain = *chain;
	*chain = m;
	m->next = b->all;
	b->all = m;
}

static void note_cut(struct dns_budget *b, const struct dns_question *q,
		     const struct dns_answer *answer)
{
	struct memo *m = mem_alloc(sizeof(*m));

	m->q = *q;
	m->answer = answer;
	m->next = b->cut;
	b->cut = m;
}

static size_t record(struct arena *a, const struct memo *m,
		     struct dns_recorded *v, size_t n)
{
	v[n] = (struct dns_recorded){
		.name = arena_strdup(a, m->q.name),
		.type = m->q.type,
		.answer = *m->answer,
	};
	return n + 1;
}

/* Is it later in the list, which has the last one first? */
static bool is_superseded(const struct dns_budget *b, const struct memo *m)
{
	for (const struct memo *x = b->cut; x != m; x = x->next)
		if (dns_question_eq(&x->q, &m->q))
			return true;
	return recall(b, &m->q) != NULL;
}

size_t dns_budget_record(const struct dns_budget *b, struct arena *a,
			 struct dns_recorded **ret)
{
	struct dns_recorded *v = arena_array(a, b->queries, sizeof(*v));
	size_t n = 0;

	for (const struct memo *m = b->all; m != NULL; m = m->next)
		n = record(a, m, v, n);
	for (const struct memo *m = b->cut; m != NULL; m = m->next)
		if (!is_superseded(b, m))
			n = record(a, m, v, n);
	*ret = v;
	return n;
}

static const struct dns_answer *
from_cache(struct dns *d, const struct dns_question *q, int64_t now_ms)
{
	const struct dns_answer *a = NULL;

	if (d->cache != NULL)
		a = dns_cache_get(d->cache, q, now_ms);
	if (a != NULL)
		atomic_fetch_add(&d->cache_hits, 1);
	return a;
}

static int64_t left_ms(const struct dns_budget *b)
{
	int64_t left =
		(int64_t)(b->max_wait_ms - b->held_ms) - b->waited_us / 1000;

	return left > 0 ? left : 0;
}

static const struct dns_answer *wait_for(struct dns_budget *b,
					 const struct dns_question *q,
					 unsigned max_ms)
{
	struct dns *d = b->dns;
	bool cut = max_ms < left_ms(b), sent = false;
	int64_t left = cut ? max_ms : left_ms(b);
	int64_t most = d->query_timeout_ms;
	int64_t begin_us = clock_mono_us();
	int64_t begin_ms = (begin_us + 999) / 1000; /* none is given back */
	const struct dns_answer *a;

	if (left == 0)
		return cut ? &answer_cut : &answer_no_time;
	if (d->waiters != NULL && atomic_fetch_add(&d->waiters->n, 1) == 0)
		d->waiters->first();
	a = d->backend->ask(d->self, q, begin_ms + (left < most ? left : most),
			    &sent);
	if (d->waiters != NULL)
		atomic_fetch_sub(&d->waiters->n, 1);
	b->waited_us += clock_mono_us() - begin_us;
	if (sent)
		atomic_fetch_add(&d->sent, 1);
	if (a != NULL)
		return a;
	if (left >= most)
		return dns_answer_fail(dns_reason_timeout);
	return cut ? &answer_cut : &answer_no_time;
}

static bool is_refused(const char *reason)
{
	return reason == dns_reason_outage || reason == dns_reason_waiting ||
	       reason == dns_reason_pending;
}

/* A limit of the message, no answer to the question. */
static bool is_cut_short(const struct dns_answer *a)
{
	return a == &answer_no_time || a == &answer_cut;
}

static void count(struct dns *d, const struct dns_answer *a)
{
	atomic_fetch_add(&d->asked, 1);
	atomic_fetch_add(&d->by_status[a->status], 1);
	if (a->reason == dns_reason_timeout || is_cut_short(a))
		atomic_fetch_add(&d->timeouts, 1);
	if (a->reason != NULL && is_refused(a->reason))
		atomic_fetch_add(&d->refused, 1);
}

static const struct dns_answer *resolve(struct dns_budget *b,
					const struct dns_question *q,
					unsigned max_ms)
{
	struct dns *d = b->dns;
	int64_t now_ms = clock_mono_ms();
	const struct dns_answer *a;

	atomic_fetch_add(&d->inside, 1);
	a = from_cache(d, q, now_ms);
	if (a == NULL)
		a = wait_for(b, q, max_ms);
	count(d, a);
	atomic_fetch_sub(&d->inside, 1);
	return a;
}

const struct dns_answer *dns_ask(struct dns_budget *b, const char *name,
				 enum dns_type type)
{
	return dns_ask_within(b, name, type, UINT_MAX);
}

const struct dns_answer *dns_ask_within(struct dns_budget *b, const char *name,
					enum dns_type type, unsigned max_ms)
{
	struct dns_question q;
	const struct dns_answer *a;

	/* RFC 1035 2.3.4: such a name cannot exist. */
	if (!dns_question_init(&q, slice_of(name), type))
		return &answer_illegal;
	a = recall(b, &q);
	if (a != NULL)
		return a;
	if (b->queries >= b->max_queries - b->held_queries)
		return &answer_too_many;
	b->queries++;
	a = resolve(b, &q, max_ms);
	/* Whom time is kept for may ask it again: else SPF of one sender
	 * could cut short the question for another's policy. */
	if (!is_cut_short(a))
		remember(b, &q, a);
	else
		note_cut(b, &q, a);
	return a;
}

void dns_prefetch(struct dns_budget *b, const char *name, enum dns_type type)
{
	struct dns *d = b->dns;
	struct dns_question q;
	const struct dns_answer *a = NULL;

	/* As many as could be asked, and no more: headers are the sender's. */
	if (b->prefetches >= b->max_queries ||
	    !dns_question_init(&q, slice_of(name), type) ||
	    recall(b, &q) != NULL)
		return;
	b->prefetches++;
	if (d->cache != NULL)
		a = dns_cache_get(d->cache, &q, clock_mono_ms());
	if (a == NULL && d->backend->prefetch(d->self, &q))
		atomic_fetch_add(&d->sent, 1);
	dns_answer_unref(a);
}

static unsigned at_most_half(unsigned n, unsigned of)
{
	return n < of / 2 ? n : of / 2;
}

void dns_budget_hold(struct dns_budget *b, unsigned queries, unsigned ms)
{
	b->held_queries = at_most_half(queries, b->max_queries);
	b->held_ms = at_most_half(ms, b->max_wait_ms);
}

unsigned dns_budget_left_ms(const struct dns_budget *b)
{
	return (unsigned)left_ms(b);
}

unsigned dns_budget_queries(const struct dns_budget *b)
{
	return b->queries;
}

unsigned dns_budget_waited_ms(const struct dns_budget *b)
{
	int64_t ms = b->waited_us / 1000;

	return ms > UINT32_MAX ? UINT32_MAX : (unsigned)ms;
}

int64_t dns_budget_waited_us(const struct dns_budget *b)
{
	return b->waited_us;
}

const char *dns_status_name(enum dns_status s)
{
	switch (s) {
	case DNS_FOUND:
		return "found";
	case DNS_NODATA:
		return "nodata";
	case DNS_NXDOMAIN:
		return "nxdomain";
	case DNS_TEMPFAIL:
		return "tempfail";
	}
	return "?";
}

const char *dns_type_name(enum dns_type t)
{
	switch (t) {
	case DNS_A:
		return "A";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	}
	return "?";
}
