/*
 * The resolver on libunbound: one thread, one event loop, all questions.
 *
 * A question travels as a `struct pending`: the asking thread puts it into
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
 * Ownership: `lock` guards the table, the queue and all in a pending but its
 * question.  A pending has one reference of the table and one of each waiter.
 * The context and the event base belong to the event thread once it runs.
 */
#include "dns/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <unbound.h>
#include <unbound-event.h>

#include "base/clock.h"
#include "base/ip.h"

#define CHAINS		4096 /* a power of two */
#define PENDING_MAX	4096
#define PREFETCH_MAX	2048 /* the rest is for those who wait */
#define SERVERS_MAX	8
#define RESOLV_CONF	"/etc/resolv.conf"
#define RESOLV_CONF_MAX 65536
#define CLASS_IN	1
#define SEC_BOGUS	1 /* of the event callback */
#define SEC_SECURE	2

struct pending {
	struct unbound *owner;
	struct pending *chain;
	struct pending *queued; /* the next in the queue */
	struct dns_question q;
	unsigned refs;
	const struct dns_answer *answer; /* NULL until it is known */
	pthread_cond_t known;
};

struct unbound {
	pthread_t thread;
	struct event_base *base;
	struct event *wake_event;
	struct ub_ctx *ctx;
	int wake_fd;
	struct dns_cache *cache;
	struct dns_hash_key key;

	pthread_mutex_t lock;
	bool stopping;
	size_t npending;
	struct pending *queue, **queue_tail;
	struct pending *chains[CHAINS];
};

/* ---- the table; all with the lock held ---- */

static struct pending **chain_of(struct unbound *u,
				 const struct dns_question *q)
{
	return &u->chains[dns_hash(&u->key, q->name, q->type) & (CHAINS - 1)];
}

static void pending_unref(struct pending *p)
{
	if (--p->refs > 0)
		return;
	dns_answer_unref(p->answer);
	pthread_cond_destroy(&p->known);
	free(p);
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static struct pending *pending_find(struct unbound *u,
				    const struct dns_question *q)
{
	struct pending *p = *chain_of(u, q);

	while (p != NULL && !dns_question_eq(&p->q, q))
		p = p->chain;
	return p;
}

static void wake(struct unbound *u)
{
	static const uint64_t one = 1;

	/* Fails only when the count is full, and then it is awake. */
	if (write(u->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

/* Into table and queue; the reference is the table's. */
static struct pending *pending_new(struct unbound *u,
				   const struct dns_question *q)
{
	struct pending *p = mem_alloc(sizeof(*p)), **chain = chain_of(u, q);
	bool asleep = u->queue == NULL;

	p->owner = u;
	p->q = *q;
	p->refs = 1;
	cond_init(&p->known);
	p->chain = *chain;
	*chain = p;
	u->npending++;
	*u->queue_tail = p;
	u->queue_tail = &p->queued;
	if (asleep)
		wake(u);
	return p;
}

static void pending_unlink(struct unbound *u, struct pending *p)
{
	struct pending **at = chain_of(u, &p->q);

	while (*at != p)
		at = &(*at)->chain;
	*at = p->chain;
	u->npending--;
}

/* Takes the answer over. */
static void pending_answer(struct pending *p, const struct dns_answer *a)
{
	p->answer = a;
	pthread_cond_broadcast(&p->known);
}

/* ---- the event thread ---- */

static void finish(struct pending *p, const struct dns_answer *a)
{
	struct unbound *u = p->owner;

	/* First the cache, then the table: nobody finds it in neither. */
	dns_cache_put(u->cache, &p->q, a, clock_mono_ms());
	pthread_mutex_lock(&u->lock);
	pending_unlink(u, p);
	pending_answer(p, a);
	pending_unref(p);
	pthread_mutex_unlock(&u->lock);
}

static const struct dns_answer *
interpret(const struct dns_question *q, int rcode, struct slice packet, int sec)
{
	/* Before all else: a bogus answer comes with rcode 0 and data. */
	if (sec == SEC_BOGUS)
		return dns_answer_fail("DNSSEC validation failed");
	if (packet.p == NULL || packet.n == 0)
		return dns_answer_fail(rcode == 5 ? "DNS server refused"
						  : "DNS server failure");
	return dns_wire_answer(q, packet,
			       sec == SEC_SECURE ? DNS_SECURE : DNS_INSECURE);
}

static void on_answer(void *data, int rcode, void *packet, int n, int sec,
		      char *why, int ratelimited)
{
	struct pending *p = data;
	struct slice raw = {packet, n > 0 ? (size_t)n : 0};

	(void)why;
	(void)ratelimited;
	/* The trial question of context_try(), or ub_ctx_delete() dropping
	 * questions that answer_all() has answered. */
	if (p == NULL || p->answer != NULL)
		return;
	finish(p, interpret(&p->q, rcode, raw, sec));
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

static void submit(struct unbound *u, struct pending *p)
{
	char name[DNS_NAME_TEXT_MAX * 2 + 1];

	name_escape(p->q.name, name);
	if (ub_resolve_event(u->ctx, name, (int)p->q.type, CLASS_IN, p,
			     on_answer, NULL) != 0)
		finish(p, dns_answer_fail("resolver cannot ask"));
}

static struct pending *queue_pop(struct unbound *u)
{
	struct pending *p = u->queue;

	if (p == NULL)
		return NULL;
	u->queue = p->queued;
	if (u->queue == NULL)
		u->queue_tail = &u->queue;
	return p;
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
	struct unbound *u = data;
	struct pending *p;
	uint64_t times;
	bool stop;

	(void)what;
	/* Empty when two wake-ups came together. */
	if (read(fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		return;
	for (;;) {
		pthread_mutex_lock(&u->lock);
		stop = u->stopping;
		p = stop ? NULL : queue_pop(u);
		pthread_mutex_unlock(&u->lock);
		if (p == NULL)
			break;
		submit(u, p);
	}
	if (stop)
		event_base_loopbreak(u->base);
}

/* They stay in the table: libunbound still has pointers to them. */
static void answer_all(struct unbound *u)
{
	struct pending *p;
	size_t i;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < CHAINS; i++)
		for (p = u->chains[i]; p != NULL; p = p->chain)
			pending_answer(p, dns_answer_fail("resolver stops"));
	pthread_mutex_unlock(&u->lock);
}

static void release_all(struct unbound *u)
{
	struct pending *p;
	size_t i;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < CHAINS; i++) {
		while ((p = u->chains[i]) != NULL) {
			u->chains[i] = p->chain;
			pending_unref(p);
		}
	}
	u->npending = 0;
	pthread_mutex_unlock(&u->lock);
}

static void context_done(struct unbound *u)
{
	if (u->ctx != NULL)
		ub_ctx_delete(u->ctx);
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
	answer_all(u);
	context_done(u);
	release_all(u);
	return NULL;
}

/* ---- those who ask ---- */

static void deadline_of(int64_t ms, struct timespec *ret)
{
	ret->tv_sec = (time_t)(ms / 1000);
	ret->tv_nsec = (long)(ms % 1000) * 1000000;
}

/* With the lock held.  The answer, or NULL at the deadline. */
static const struct dns_answer *
pending_wait(struct unbound *u, struct pending *p, int64_t deadline_ms)
{
	const struct dns_answer *ret = NULL;
	struct timespec until;
	int r = 0;

	deadline_of(deadline_ms, &until);
	p->refs++;
	while (p->answer == NULL && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&p->known, &u->lock, &until);
	if (p->answer != NULL)
		ret = dns_answer_ref(p->answer);
	pending_unref(p);
	return ret;
}

static const struct dns_answer *ask_locked(struct unbound *u,
					   const struct dns_question *q,
					   int64_t deadline_ms, bool *sent)
{
	struct pending *p = pending_find(u, q);
	const struct dns_answer *ret;

	if (p != NULL)
		return pending_wait(u, p, deadline_ms);
	/* It may have been answered since the caller looked. */
	ret = dns_cache_get(u->cache, q, clock_mono_ms());
	if (ret != NULL)
		return ret;
	if (u->stopping)
		return dns_answer_fail("resolver stops");
	if (u->npending >= PENDING_MAX)
		return dns_answer_fail("too many DNS questions at once");
	*sent = true;
	return pending_wait(u, pending_new(u, q), deadline_ms);
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
	begin = !u->stopping && u->npending < PREFETCH_MAX &&
		pending_find(u, q) == NULL;
	if (begin)
		pending_new(u, q);
	pthread_mutex_unlock(&u->lock);
	return begin;
}

/* ---- beginning and end ---- */

static void unbound_release(struct unbound *u)
{
	if (u->wake_fd >= 0)
		close(u->wake_fd);
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

static const struct dns_backend unbound_backend = {
	.ask = unbound_ask,
	.prefetch = unbound_prefetch,
	.stop = unbound_stop,
	.free = unbound_free,
};

/* "addr" or "addr@port" in the way that libunbound wants it, or NULL. */
static const char *server_canon(struct arena *a, struct slice s)
{
	struct slice addr = slice_cut(&s, '@');
	char text[IP_TEXT_MAX];
	uint64_t port = 53;
	struct ip ip;

	if (!ip_parse(addr, &ip))
		return NULL;
	if (s.p != NULL && (!slice_u64(s, 65535, &port) || port == 0))
		return NULL;
	return arena_printf(a, "%s@%u", ip_format(&ip, text), (unsigned)port);
}

/* The whole file as far as it matters; empty when it cannot be read. */
static struct slice read_resolv_conf(struct arena *a)
{
	int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC);
	char *p = arena_alloc(a, RESOLV_CONF_MAX);
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		return SLICE("");
	while (n < RESOLV_CONF_MAX) {
		got = read(fd, p + n, RESOLV_CONF_MAX - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	return (struct slice){p, n};
}

/* "nameserver ADDR"; other lines and addresses with a scope are left out. */
static const char *resolv_conf_server(struct arena *a, struct slice line)
{
	size_t n = 0;

	if (!slice_starts(line, "nameserver"))
		return NULL;
	line = slice_from(line, strlen("nameserver"));
	if (line.n == 0 || !ascii_iswsp(*line.p))
		return NULL;
	line = slice_trim(line);
	while (n < line.n && !ascii_iswsp(line.p[n]))
		n++;
	return server_canon(a, slice_first(line, n));
}

static size_t servers_of_system(struct arena *a, const char **ret)
{
	struct slice text = read_resolv_conf(a);
	size_t n = 0;

	while (text.n > 0 && n < SERVERS_MAX) {
		const char *s = resolv_conf_server(a, slice_cut(&text, '\n'));
		if (s != NULL)
			ret[n++] = s;
	}
	if (n == 0) /* resolv.conf(5): the name server on this host */
		ret[n++] = "127.0.0.1@53";
	return n;
}

static bool context_forward(struct arena *a, struct ub_ctx *ctx,
			    const struct dns_options *o, const char **err)
{
	const char *system[SERVERS_MAX], *const *v = o->servers;
	size_t n = o->nservers, i;
	bool own = n > 0;

	if (!own) {
		n = servers_of_system(a, system);
		v = system;
	}
	for (i = 0; i < n; i++) {
		const char *s = own ? server_canon(a, slice_of(v[i])) : v[i];
		if (s == NULL) {
			*err = arena_printf(a, "bad server address \"%s\"",
					    v[i]);
			return false;
		}
		/* Unchecked, a failure here would ask the root servers. */
		if (ub_ctx_set_fwd(ctx, s) != 0) {
			*err = arena_printf(a, "cannot forward to %s", s);
			return false;
		}
	}
	return true;
}

static const struct {
	const char *name, *value;
} settings[] = {
	{"use-syslog:", "no"},
	{"verbosity:", "0"},
	/* A name server on this host is the usual one. */
	{"do-not-query-localhost:", "no"},
	/* What libunbound answers by itself, its forwarder knows better:
	 * names of RFC 6761 test zones and addresses of local networks. */
	{"local-zone:", "test. transparent"},
	{"unblock-lan-zones:", "yes"},
	{"outgoing-range:", "256"},
	{"num-queries-per-thread:", "4096"},
	/* Forwarders only: the names are not walked down. */
	{"qname-minimisation:", "no"},
	/* A server that was dead is tried again soon. */
	{"infra-keep-probing:", "yes"},
	{"infra-host-ttl:", "60"},
	{"cache-max-ttl:", "3600"},
	{"cache-max-negative-ttl:", "3600"},
	{"msg-cache-size:", "4m"},
	{"rrset-cache-size:", "8m"},
};

static bool context_set(struct arena *a, struct ub_ctx *ctx,
			const struct dns_options *o, const char **err)
{
	size_t i;
	int r = 0;

	/* Its own messages would go to standard error, names in them raw. */
	ub_ctx_debugout(ctx, NULL);
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (ub_ctx_set_option(ctx, settings[i].name,
				      settings[i].value) == 0)
			continue;
		*err = arena_printf(a, "libunbound refuses \"%s %s\"",
				    settings[i].name, settings[i].value);
		return false;
	}
	if (o->trust_anchor_file != NULL)
		r = ub_ctx_add_ta_file(ctx, o->trust_anchor_file);
	else
		r = ub_ctx_set_option(ctx, "module-config:", "iterator");
	if (r != 0)
		*err = arena_printf(a, "trust anchors: %s", ub_strerror(r));
	return r == 0;
}

/* Finalizes the context while errors can still be reported and files still
 * be opened.  "localhost" is answered by libunbound itself. */
static bool context_try(struct arena *a, struct ub_ctx *ctx, const char **err)
{
	int r = ub_resolve_event(ctx, "localhost", DNS_A, CLASS_IN, NULL,
				 on_answer, NULL);

	if (r != 0)
		*err = arena_printf(a, "libunbound: %s", ub_strerror(r));
	return r == 0;
}

static bool context_init(struct arena *a, struct unbound *u,
			 const struct dns_options *o, const char **err)
{
	*err = "cannot start libunbound";
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->base = event_base_new();
	if (u->wake_fd < 0 || u->base == NULL)
		return false;
	u->wake_event = event_new(u->base, u->wake_fd, EV_READ | EV_PERSIST,
				  on_wake, u);
	u->ctx = ub_ctx_create_event(u->base);
	if (u->wake_event == NULL || u->ctx == NULL ||
	    event_add(u->wake_event, NULL) != 0)
		return false;
	return context_set(a, u->ctx, o, err) &&
	       context_forward(a, u->ctx, o, err) &&
	       context_try(a, u->ctx, err);
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

struct dns *dns_unbound_new(struct arena *a, const struct dns_options *o,
			    const char **err)
{
	struct unbound *u = mem_alloc(sizeof(*u));
	const char *why = NULL;
	bool ok;

	u->queue_tail = &u->queue;
	pthread_mutex_init(&u->lock, NULL);
	dns_hash_key_init(&u->key);
	ok = context_init(a, u, o, &why);
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
