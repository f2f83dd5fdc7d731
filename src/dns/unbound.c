/*
 * The resolver on libunbound: one thread, one event loop, all questions.
 *
 * A question travels as a `struct dns_pending`: the asking thread puts it into
 * the table (or finds an equal one there and joins it) and into the queue,
 * wakes the event thread and sleeps on the question's condition.  The event
 * thread hands it to ub_resolve_event(), whose callback parses the message,
 * fills the cache, and wakes all who wait.  libunbound forwards, retries,
 * uses TCP when needed, and shares the cache of partial answers.
 *
 * libunbound has no time limit of one question and takes 12-17 s to give up
 * on a silent server.  So who waits has a deadline of its own and leaves; the
 * question stays in the table until libunbound reports, and a late callback
 * touches only that.
 *
 * When all servers are silent (breaker.c), all questions are answered, and
 * new ones at once.  The event thread then makes a new context, with which
 * whatever was in flight is gone and no server counts as dead, and probes
 * with it.
 *
 * Ownership: `lock` guards the table, the queue, the breaker, and all in a
 * pending but its question.  A pending has one reference of the table and one
 * of each waiter.  The context, the event base and what follows them in
 * `struct unbound` belong to the event thread once it runs.
 */
#include "dns/resolver.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <unbound.h>
#include <unbound-event.h>

#include "base/clock.h"
#include "dns/breaker.h"
#include "dns/context.h"
#include "dns/pending.h"

#define PENDING_MAX    4096
#define PREFETCH_MAX   256 /* the rest is for those who wait: context.c */
#define WAITING_MAX    1000
#define CLASS_IN       1
#define RCODE_NOERROR  0
#define RCODE_NXDOMAIN 3
#define SEC_BOGUS      1 /* of the event callback */
#define SEC_SECURE     2

struct unbound {
	pthread_t thread;
	int wake_fd;
	struct dns_cache *cache;
	unsigned max_waiting;
	int64_t patience_ms; /* the time of one question */
	void (*on_outage)(void *arg, bool outage);
	void *on_outage_arg;

	struct event_base *base;
	struct event *wake_event, *probe_event, *beat_event;
	struct dns_setup *setup;
	struct ub_ctx *ctx;
	const void *asking; /* what is handed to libunbound right now */
	bool deleting;	    /* a context */
	bool told;	    /* the state that on_outage() knows */
	atomic_uint_fast64_t beats;

	pthread_mutex_t lock;
	bool stopping;
	struct dns_breaker breaker;
	unsigned nwaiting;
	struct dns_pendings table;
};

static void wake(struct unbound *u)
{
	static const uint64_t one = 1;

	/* Fails only when the count is full, and then it is awake. */
	if (write(u->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

/* With the lock held. */
static struct dns_pending *enqueue(struct unbound *u,
				   const struct dns_question *q)
{
	bool asleep = u->table.queue == NULL;
	struct dns_pending *p =
		dns_pending_new(&u->table, u, q, clock_mono_ms());

	if (asleep)
		wake(u);
	return p;
}

/* With the lock held. */
static void note(struct unbound *u, enum dns_sign sign)
{
	if (dns_breaker_note(&u->breaker, sign, clock_mono_ms()))
		wake(u);
}

/* ---- the event thread: answers ---- */

static void finish(struct dns_pending *p, const struct dns_answer *a,
		   enum dns_sign sign)
{
	struct unbound *u = p->owner;

	/* First the cache, then the table: nobody finds it in neither.  That
	 * nobody answers is no property of the name, and soon over. */
	if (sign != DNS_SIGN_SILENT)
		dns_cache_put(u->cache, &p->q, a, clock_mono_ms());
	pthread_mutex_lock(&u->lock);
	dns_pending_answer(p, a);
	if (!p->late || sign != DNS_SIGN_SILENT)
		note(u, sign);
	dns_pending_remove(&u->table, p);
	pthread_mutex_unlock(&u->lock);
}

static bool is_failure(int rcode)
{
	return rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN;
}

static const struct dns_answer *
interpret(const struct dns_question *q, int rcode, struct slice packet, int sec)
{
	/* Before all else: a bogus answer comes with rcode 0 and data. */
	if (sec == SEC_BOGUS)
		return dns_answer_fail("DNSSEC validation failed");
	/* With another rcode `packet` is what libunbound's buffer last held,
	 * the answer to another question, say. */
	if (is_failure(rcode) || packet.p == NULL || packet.n == 0)
		return dns_answer_fail("DNS server failure");
	return dns_wire_answer(q, packet,
			       sec == SEC_SECURE ? DNS_SECURE : DNS_INSECURE);
}

static void on_answer(void *data, int rcode, void *packet, int n, int sec,
		      char *why, int ratelimited)
{
	struct dns_pending *p = data;
	struct unbound *u = p->owner;
	struct slice raw = {packet, n > 0 ? (size_t)n : 0};

	(void)why;
	(void)ratelimited;
	/* Dropped by ub_ctx_delete(); dns_pendings_release() follows. */
	if (u->deleting)
		return;
	finish(p, interpret(&p->q, rcode, raw, sec),
	       dns_breaker_sign(is_failure(rcode), u->asking == p,
				clock_mono_ms() - p->since_ms, u->patience_ms));
}

/* As libunbound reads names: a backslash begins an escape. */
static void name_escape(const char *name, char ret[DNS_NAME_TEXT_MAX * 2 + 1])
{
	for (; *name != '\0'; name++) {
		if (*name == '\\')
			*ret++ = '\\';
		*ret++ = *name;
	}
	*ret = '\0';
}

static void submit(struct unbound *u, struct dns_pending *p)
{
	char name[DNS_NAME_TEXT_MAX * 2 + 1];
	int r;

	name_escape(p->q.name, name);
	u->asking = p;
	r = ub_resolve_event(u->ctx, name, (int)p->q.type, CLASS_IN, p,
			     on_answer, NULL);
	u->asking = NULL;
	if (r != 0)
		finish(p, dns_answer_fail("resolver cannot ask"),
		       DNS_SIGN_NONE);
}

/* ---- the event thread: outages ---- */

static void tell(struct unbound *u, bool outage)
{
	if (outage != u->told && u->on_outage != NULL)
		u->on_outage(u->on_outage_arg, outage);
	u->told = outage;
}

static void on_probe(void *data, int rcode, void *packet, int n, int sec,
		     char *why, int ratelimited)
{
	struct unbound *u = data;

	(void)rcode;
	(void)packet;
	(void)n;
	(void)sec;
	(void)why;
	(void)ratelimited;
	/* At once: nothing was sent. */
	if (u->deleting || u->asking == u)
		return;
	pthread_mutex_lock(&u->lock);
	dns_breaker_probed(&u->breaker);
	pthread_mutex_unlock(&u->lock);
	tell(u, false);
}

/* A name that no cache knows, in a zone that is empty (RFC 6761 6.4). */
static void probe(struct unbound *u)
{
	char name[64];
	struct dns_hash_key label;

	dns_hash_key_init(&label);
	snprintf(name, sizeof(name), "%016" PRIx64 ".invalid", label.k[0]);
	u->asking = u;
	/* What cannot be asked has no answer. */
	(void)ub_resolve_event(u->ctx, name, DNS_A, CLASS_IN, u, on_probe,
			       NULL);
	u->asking = NULL;
}

static void context_delete(struct unbound *u)
{
	u->deleting = true;
	ub_ctx_delete(u->ctx);
	u->deleting = false;
	u->ctx = NULL;
}

/* Only in an outage, in which every question was answered. */
static void renew(struct unbound *u)
{
	struct arena *a = arena_new();
	const char *err;
	struct ub_ctx *ctx = dns_setup_context(u->setup, u->base, a, &err);

	arena_free(a);
	if (ctx == NULL)
		return; /* out of descriptors, say: go on with the old one */
	context_delete(u);
	u->ctx = ctx;
	pthread_mutex_lock(&u->lock);
	dns_pendings_release(&u->table);
	pthread_mutex_unlock(&u->lock);
}

static void watch(struct unbound *u)
{
	struct timeval tv;
	enum dns_step step;
	int64_t wait_ms;
	bool outage;

	pthread_mutex_lock(&u->lock);
	step = dns_breaker_step(&u->breaker, clock_mono_ms());
	wait_ms = dns_breaker_wait_ms(&u->breaker, clock_mono_ms());
	outage = u->breaker.outage;
	/* Not `dns_reason_outage`: that is of questions never asked. */
	if (step == DNS_STEP_RENEW)
		dns_pendings_fail(&u->table, "DNS servers do not answer");
	pthread_mutex_unlock(&u->lock);
	tell(u, outage);
	if (step == DNS_STEP_RENEW)
		renew(u);
	if (step != DNS_STEP_WAIT)
		probe(u);
	if (wait_ms < 0)
		return;
	tv.tv_sec = wait_ms / 1000;
	tv.tv_usec = wait_ms % 1000 * 1000;
	event_add(u->probe_event, &tv);
}

static void on_time(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	watch(data);
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
	struct unbound *u = data;
	struct dns_pending *p;
	uint64_t times;
	bool stop;

	(void)what;
	/* Empty when two wake-ups came together. */
	if (read(fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		return;
	for (;;) {
		pthread_mutex_lock(&u->lock);
		stop = u->stopping;
		p = stop ? NULL : dns_pending_pop(&u->table);
		pthread_mutex_unlock(&u->lock);
		if (p == NULL)
			break;
		submit(u, p);
	}
	if (stop)
		event_base_loopbreak(u->base);
	else
		watch(u);
}

static void on_beat(evutil_socket_t fd, short what, void *data)
{
	struct unbound *u = data;

	(void)fd;
	(void)what;
	atomic_fetch_add(&u->beats, 1);
}

static void context_done(struct unbound *u)
{
	if (u->ctx != NULL)
		context_delete(u);
	if (u->beat_event != NULL)
		event_free(u->beat_event);
	if (u->probe_event != NULL)
		event_free(u->probe_event);
	if (u->wake_event != NULL)
		event_free(u->wake_event);
	if (u->base != NULL)
		event_base_free(u->base);
}

static void *event_thread(void *data)
{
	struct unbound *u = data;

	pthread_setname_np(pthread_self(), "dns");
	event_base_dispatch(u->base);
	pthread_mutex_lock(&u->lock);
	dns_pendings_fail(&u->table, "resolver stops");
	pthread_mutex_unlock(&u->lock);
	context_done(u);
	pthread_mutex_lock(&u->lock);
	dns_pendings_release(&u->table);
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* ---- those who ask ---- */

/* Did the question have its time?  (The budget's clock started a little
 * before it, and a message may have less time left.) */
static bool is_late(const struct unbound *u, const struct dns_pending *p)
{
	return clock_mono_ms() - p->since_ms >= u->patience_ms * 9 / 10;
}

/* With the lock held.  The answer, or NULL at the deadline. */
static const struct dns_answer *
wait_for(struct unbound *u, struct dns_pending *p, int64_t deadline_ms)
{
	const struct dns_answer *ret;

	p->refs++;
	u->nwaiting++;
	ret = dns_pending_wait(p, &u->lock, deadline_ms);
	u->nwaiting--;
	if (ret == NULL && !p->late && is_late(u, p)) {
		p->late = true;
		note(u, DNS_SIGN_SILENT);
	}
	dns_pending_unref(p);
	return ret;
}

static const struct dns_answer *ask_locked(struct unbound *u,
					   const struct dns_question *q,
					   int64_t deadline_ms, bool *sent)
{
	struct dns_pending *p = dns_pending_find(&u->table, q);
	const struct dns_answer *ret = NULL;

	/* It may have been answered since the caller looked. */
	if (p == NULL)
		ret = dns_cache_get(u->cache, q, clock_mono_ms());
	if (ret != NULL)
		return ret;
	if (u->stopping)
		return dns_answer_fail("resolver stops");
	if (u->breaker.outage)
		return dns_answer_fail(dns_reason_outage);
	if (u->nwaiting >= u->max_waiting)
		return dns_answer_fail(dns_reason_waiting);
	if (p == NULL && u->table.n >= PENDING_MAX)
		return dns_answer_fail(dns_reason_pending);
	if (p == NULL) {
		*sent = true;
		p = enqueue(u, q);
	}
	return wait_for(u, p, deadline_ms);
}

static const struct dns_answer *unbound_ask(void *self,
					    const struct dns_question *q,
					    int64_t deadline_ms, bool *sent)
{
	struct unbound *u = self;
	const struct dns_answer *ret;

	pthread_mutex_lock(&u->lock);
	ret = ask_locked(u, q, deadline_ms, sent);
	pthread_mutex_unlock(&u->lock);
	return ret;
}

static bool unbound_prefetch(void *self, const struct dns_question *q)
{
	struct unbound *u = self;
	bool begin;

	pthread_mutex_lock(&u->lock);
	begin = !u->stopping && !u->breaker.outage &&
		u->table.n < PREFETCH_MAX &&
		dns_pending_find(&u->table, q) == NULL;
	if (begin)
		enqueue(u, q);
	pthread_mutex_unlock(&u->lock);
	return begin;
}

/* ---- beginning and end ---- */

static void unbound_release(struct unbound *u)
{
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	dns_setup_free(u->setup);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static void unbound_stop(void *self)
{
	struct unbound *u = self;

	pthread_mutex_lock(&u->lock);
	u->stopping = true;
	pthread_mutex_unlock(&u->lock);
	wake(u);
	pthread_join(u->thread, NULL);
}

static void unbound_free(void *self)
{
	unbound_release(self);
}

static void unbound_state(void *self, struct dns_counters *ret)
{
	struct unbound *u = self;

	pthread_mutex_lock(&u->lock);
	ret->outage = u->breaker.outage;
	ret->outages = u->breaker.outages;
	pthread_mutex_unlock(&u->lock);
}

static uint64_t unbound_beats(void *self)
{
	return atomic_load(&((struct unbound *)self)->beats);
}

static const struct dns_backend unbound_backend = {
	.ask = unbound_ask,
	.prefetch = unbound_prefetch,
	.state = unbound_state,
	.beats = unbound_beats,
	.stop = unbound_stop,
	.free = unbound_free,
};

static bool events_init(struct arena *a, struct unbound *u,
			const struct dns_options *o, const char **err)
{
	static const struct timeval second = {1, 0};

	*err = "cannot make the resolver's events";
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->base = event_base_new();
	if (u->wake_fd < 0 || u->base == NULL)
		return false;
	u->wake_event = event_new(u->base, u->wake_fd, EV_READ | EV_PERSIST,
				  on_wake, u);
	u->probe_event = evtimer_new(u->base, on_time, u);
	u->beat_event = event_new(u->base, -1, EV_PERSIST, on_beat, u);
	if (u->wake_event == NULL || u->probe_event == NULL ||
	    u->beat_event == NULL || event_add(u->wake_event, NULL) != 0 ||
	    event_add(u->beat_event, &second) != 0)
		return false;
	u->setup = dns_setup_new(a, o, err);
	if (u->setup != NULL)
		u->ctx = dns_setup_context(u->setup, u->base, a, err);
	return u->ctx != NULL;
}

static int thread_start(struct unbound *u)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&u->thread, NULL, event_thread, u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static struct unbound *unbound_new(const struct dns_options *o)
{
	struct unbound *u = mem_alloc(sizeof(*u));

	u->patience_ms = o->query_timeout_ms > 0 ? o->query_timeout_ms
						 : DNS_QUERY_TIMEOUT_MS;
	u->max_waiting = o->max_waiting > 0 ? o->max_waiting : WAITING_MAX;
	u->on_outage = o->on_outage;
	u->on_outage_arg = o->on_outage_arg;
	dns_breaker_init(&u->breaker, o->outage_after, o->probe_ms);
	pthread_mutex_init(&u->lock, NULL);
	dns_pendings_init(&u->table);
	return u;
}

struct dns *dns_unbound_new(struct arena *a, const struct dns_options *o,
			    const char **err)
{
	struct unbound *u = unbound_new(o);
	const char *why = NULL;
	bool ok = events_init(a, u, o, &why);

	if (ok) {
		u->cache = dns_cache_new(o->cache_bytes);
		ok = thread_start(u) == 0;
		why = "cannot start the resolver thread";
	}
	if (!ok) {
		*err = why;
		context_done(u);
		dns_cache_free(u->cache);
		unbound_release(u);
		return NULL;
	}
	return dns_assemble(&unbound_backend, u, u->cache, o->query_timeout_ms);
}
