/*
 * Private to dns/: the questions that libunbound has, or is about to get.  A
 * table, to find them, and a queue of those that it has not got yet.
 *
 * Nothing here is locked: the owner (unbound.c) calls all of it with its lock
 * held.  A pending has one reference of the table and one of each waiter.
 */
#ifndef MAILSEAL_DNS_PENDING_H
#define MAILSEAL_DNS_PENDING_H

#include <pthread.h>

#include "dns/resolver.h"

#define DNS_PENDING_CHAINS 4096 /* a power of two */

struct dns_pending {
	void *owner;
	struct dns_pending *chain;
	struct dns_pending *queued; /* the next in the queue */
	struct dns_question q;
	unsigned refs;
	int64_t since_ms;
	bool late; /* its time ran out, and the breaker knows */
	const struct dns_answer *answer; /* NULL until it is known */
	pthread_cond_t known;
};

struct dns_pendings {
	struct dns_hash_key key;
	size_t n; /* in the table */
	struct dns_pending *queue, **queue_tail;
	struct dns_pending *chains[DNS_PENDING_CHAINS];
};

void dns_pendings_init(struct dns_pendings *t);
/* One that waits for its answer, or NULL. */
struct dns_pending *dns_pending_find(const struct dns_pendings *t,
				     const struct dns_question *q);
/* Into table and queue; the reference is the table's. */
struct dns_pending *dns_pending_new(struct dns_pendings *t, void *owner,
				    const struct dns_question *q,
				    int64_t now_ms);
/* Out of the table, with its reference. */
void dns_pending_remove(struct dns_pendings *t, struct dns_pending *p);
void dns_pending_unref(struct dns_pending *p);
/* Wakes who waits.  Takes the answer over; the first one stays. */
void dns_pending_answer(struct dns_pending *p, const struct dns_answer *a);
/* The next of the queue, or NULL. */
struct dns_pending *dns_pending_pop(struct dns_pendings *t);
/* Waits for its answer, which the caller then owns; NULL at the deadline. */
const struct dns_answer *dns_pending_wait(struct dns_pending *p,
					  pthread_mutex_t *lock,
					  int64_t deadline_ms);

/* Answers all with temporary failure, and drops the queue.  Those that
 * libunbound has stay in the table, since it has pointers to them. */
void dns_pendings_fail(struct dns_pendings *t, const char *reason);
/* Empties the table. */
void dns_pendings_release(struct dns_pendings *t);

#endif
