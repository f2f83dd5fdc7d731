/* The table and the queue of questions in flight: see pending.h. */
#include "dns/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void dns_pendings_init(struct dns_pendings *t)
{
	dns_hash_key_init(&t->key);
	t->queue_tail = &t->queue;
}

static size_t chain_index(const struct dns_pendings *t,
			  const struct dns_question *q)
{
	return dns_hash(&t->key, q->name, q->type) & (DNS_PENDING_CHAINS - 1);
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

struct dns_pending *dns_pending_find(const struct dns_pendings *t,
				     const struct dns_question *q)
{
	struct dns_pending *p = t->chains[chain_index(t, q)];

	while (p != NULL && (p->answer != NULL || !dns_question_eq(&p->q, q)))
		p = p->chain;
	return p;
}

struct dns_pending *dns_pending_new(struct dns_pendings *t, void *owner,
				    const struct dns_question *q,
				    int64_t now_ms)
{
	struct dns_pending **chain = &t->chains[chain_index(t, q)];
	struct dns_pending *p = mem_alloc(sizeof(*p));

	p->owner = owner;
	p->q = *q;
	p->refs = 1;
	p->since_ms = now_ms;
	cond_init(&p->known);
	p->chain = *chain;
	*chain = p;
	t->n++;
	*t->queue_tail = p;
	t->queue_tail = &p->queued;
	return p;
}

void dns_pending_unref(struct dns_pending *p)
{
	if (--p->refs > 0)
		return;
	dns_answer_unref(p->answer);
	pthread_cond_destroy(&p->known);
	free(p);
}

void dns_pending_remove(struct dns_pendings *t, struct dns_pending *p)
{
	struct dns_pending **at = &t->chains[chain_index(t, &p->q)];

	while (*at != p)
		at = &(*at)->chain;
	*at = p->chain;
	t->n--;
	dns_pending_unref(p);
}

void dns_pending_answer(struct dns_pending *p, const struct dns_answer *a)
{
	if (p->answer != NULL) {
		dns_answer_unref(a);
		return;
	}
	p->answer = a;
	pthread_cond_broadcast(&p->known);
}

struct dns_pending *dns_pending_pop(struct dns_pendings *t)
{
	struct dns_pending *p = t->queue;

	if (p == NULL)
		return NULL;
	t->queue = p->queued;
	if (t->queue == NULL)
		t->queue_tail = &t->queue;
	return p;
}

const struct dns_answer *dns_pending_wait(struct dns_pending *p,
					  pthread_mutex_t *lock,
					  int64_t deadline_ms)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
	int r = 0;

	while (p->answer == NULL && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&p->known, lock, &until);
	return p->answer != NULL ? dns_answer_ref(p->answer) : NULL;
}

void dns_pendings_fail(struct dns_pendings *t, const char *reason)
{
	struct dns_pending *p;
	size_t i;

	for (i = 0; i < DNS_PENDING_CHAINS; i++)
		for (p = t->chains[i]; p != NULL; p = p->chain)
			dns_pending_answer(p, dns_answer_fail(reason));
	while ((p = dns_pending_pop(t)) != NULL)
		dns_pending_remove(t, p);
}

void dns_pendings_release(struct dns_pendings *t)
{
	struct dns_pending *p;
	size_t i;

	for (i = 0; i < DNS_PENDING_CHAINS; i++) {
		while ((p = t->chains[i]) != NULL) {
			t->chains[i] = p->chain;
			dns_pending_unref(p);
		}
	}
	t->n = 0;
}
