/*
 * The table of logins, and the thread that brings it and the store together.
 *
 * `lock` guards the table and is never held while the store is called: the
 * thread copies what it is to write, and learns row by row what was read.
 * `turn` guards what the thread and the others tell each other.
 */
#include "store/meter.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/sqlite.h"

#define BUCKETS	     4096
#define PERIOD_MS    1000
#define WAIT_MS	     300     /* for a lock, in one round */
#define STOP_MS	     800     /* for all that is left, at the end */
#define RETRY_MS     10	     /* between two attempts */
#define WRITES_MAX   4096    /* rows in one transaction, about */
#define LOGINS_MAX   1000000 /* from the store; a file is not trusted */
#define BUSY_MAX     3	     /* rounds without a lock that nobody is told of */
#define PAUSE_MAX_MS 10000   /* between attempts at a store that fails */
#define LATE_SLOTS   1 /* a clock may be that much ahead (window_advance) */

struct account {
	struct account *next;  /* in its bucket */
	struct account *after; /* in the list of those to write */
	char *login;
	struct window window;
	bool listed;
	bool whole; /* to be written even where nothing is fresh */
};

struct meter {
	meter_clock *clock;
	struct store *store; /* NULL: memory alone */

	pthread_mutex_t lock;
	struct account *buckets[BUCKETS];
	struct account *list; /* with something to write */
	size_t logins;

	pthread_t thread;
	_Atomic int64_t until; /* rounds go on (clock_mono_ms()) */
	pthread_mutex_t turn;
	pthread_cond_t changed;
	bool stopping;
	uint64_t wanted, done; /* rounds asked for and finished */
	bool complete;	       /* did the last one write everything? */

	/* of the thread alone */
	int64_t slot;	   /* of the last round */
	bool purge;	   /* delete what is old */
	bool redate;	   /* there may be slots in the future */
	bool more;	   /* another round is to follow at once */
	unsigned failures; /* in a row */

	_Atomic bool working; /* as the log was told; the thread sets it */

	char *trouble; /* of the first round, which meter_new() waits for */
};

/* ---- the table ----------------------------------------------------------- */

/* FNV-1a: logins come from the administrator's file. */
static size_t bucket_of(struct slice login)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < login.n; i++)
		h = (h ^ (unsigned char)login.p[i]) * 1099511628211u;
	return (size_t)(h % BUCKETS);
}

static struct account *account_find(const struct meter *m, struct slice login)
{
	struct account *k = m->buckets[bucket_of(login)];

	while (k != NULL && !slice_is(login, k->login))
		k = k->next;
	return k;
}

static struct account *account_of(struct meter *m, struct slice login)
{
	struct account *k = account_find(m, login);
	struct account **at;

	if (k != NULL)
		return k;
	at = &m->buckets[bucket_of(login)];
	k = mem_alloc(sizeof(*k));
	k->login = mem_alloc(login.n + 1);
	memcpy(k->login, login.p, login.n);
	k->next = *at;
	*at = k;
	m->logins++;
	return k;
}

static void account_free(struct account *k)
{
	window_done(&k->window);
	free(k->login);
	free(k);
}

static void account_list(struct meter *m, struct account *k)
{
	if (m->store == NULL || k->listed)
		return;
	k->listed = true;
	k->after = m->list;
	m->list = k;
}

static void sweep_bucket(struct meter *m, struct account **at, int64_t slot)
{
	while (*at != NULL) {
		struct account *k = *at;

		window_advance(&k->window, slot);
		if (k->window.n > 0 || k->listed) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		m->logins--;
		account_free(k);
	}
}

/* Nothing is owed of a login of which nothing counts any more. */
static void sweep_list(struct meter *m, int64_t slot)
{
	struct account **at = &m->list;

	while (*at != NULL) {
		struct account *k = *at;

		window_advance(&k->window, slot);
		if (k->window.n > 0) {
			at = &k->after;
			continue;
		}
		k->listed = false;
		*at = k->after;
	}
}

/* Drops what no longer counts.  Messages come in between the buckets. */
static void sweep(struct meter *m, int64_t slot)
{
	pthread_mutex_lock(&m->lock);
	sweep_list(m, slot);
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < BUCKETS; i++) {
		pthread_mutex_lock(&m->lock);
		sweep_bucket(m, &m->buckets[i], slot);
		pthread_mutex_unlock(&m->lock);
	}
}

bool meter_take(struct meter *m, struct slice login,
		const struct credential_limits *limits, int64_t recipients,
		int64_t now, const char **what, int64_t *limit, int64_t *frees)
{
	int64_t slot = window_slot(now);
	struct window_over over;
	struct account *k;
	bool ok;

	pthread_mutex_lock(&m->lock);
	k = account_of(m, login);
	window_advance(&k->window, slot);
	ok = window_take(&k->window, limits, recipients, slot, &over);
	if (ok)
		account_list(m, k);
	pthread_mutex_unlock(&m->lock);
	if (ok)
		return true;
	*what = over.what;
	*limit = over.limit;
	*frees = over.frees * SLOT_SECONDS > now ? over.frees * SLOT_SECONDS
						 : now;
	return false;
}

bool meter_is_working(const struct meter *m)
{
	return atomic_load(&m->working);
}

size_t meter_logins(struct meter *m)
{
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = m->logins;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/* ---- one round: what is written ------------------------------------------ */

struct write {
	struct store_row known; /* total, once it was written */
	struct amount fresh;
};

struct batch {
	struct arena *a;
	struct write *v;
	size_t n, room;
};

static void batch_add(struct batch *b, struct slice login, const struct slot *s)
{
	if (b->n == b->room) {
		b->room = b->room > 0 ? 2 * b->room : 64;
		b->v = mem_realloc(b->v, b->room * sizeof(*b->v));
	}
	b->v[b->n++] = (struct write){{login, s->number, s->known}, s->fresh};
}

static void batch_account(struct batch *b, const struct account *k)
{
	struct slice login = slice_dup(b->a, slice_of(k->login));

	for (size_t i = 0; i < k->window.n; i++)
		if (k->whole || k->window.v[i].fresh.messages > 0)
			batch_add(b, login, &k->window.v[i]);
}

/* Takes accounts from the list until the batch is full. */
static void batch_fill(struct batch *b, struct meter *m, int64_t slot)
{
	struct account *k;

	pthread_mutex_lock(&m->lock);
	while ((k = m->list) != NULL && b->n < WRITES_MAX) {
		m->list = k->after;
		window_advance(&k->window, slot);
		batch_account(b, k);
		k->listed = false;
		k->whole = false;
	}
	pthread_mutex_unlock(&m->lock);
}

static void learn(struct meter *m, const struct store_row *row,
		  struct amount written)
{
	struct account *k;

	pthread_mutex_lock(&m->lock);
	k = account_find(m, row->login);
	if (k == NULL && m->logins < LOGINS_MAX)
		k = account_of(m, row->login);
	if (k != NULL)
		window_learn(&k->window, row->slot, row->amount, written);
	pthread_mutex_unlock(&m->lock);
}

static void batch_learn(const struct batch *b, struct meter *m)
{
	for (size_t i = 0; i < b->n; i++)
		learn(m, &b->v[i].known, b->v[i].fresh);
}

static enum store_status batch_write(struct batch *b, struct store *s)
{
	enum store_status r = STORE_OK;

	for (size_t i = 0; r == STORE_OK && i < b->n; i++) {
		struct write *w = &b->v[i];

		r = store_merge(s, &w->known, w->fresh, &w->known.amount);
	}
	return r;
}

/* ---- one round ----------------------------------------------------------- */

/* Store_reader: what other instances counted. */
static void read_row(void *arg, const struct store_row *row)
{
	struct meter *m = arg;

	if (row->slot > m->slot + LATE_SLOTS)
		m->redate = true;
	else
		learn(m, row, (struct amount){0});
}

/* Everything in memory is to be in the store, which may be another one. */
static void list_all(struct meter *m)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		pthread_mutex_lock(&m->lock);
		for (struct account *k = m->buckets[i]; k != NULL;
		     k = k->next) {
			k->whole = true;
			account_list(m, k);
		}
		pthread_mutex_unlock(&m->lock);
	}
}

static bool has_list(struct meter *m)
{
	bool ret;

	pthread_mutex_lock(&m->lock);
	ret = m->list != NULL;
	pthread_mutex_unlock(&m->lock);
	return ret;
}

static enum store_status tidy_store(struct meter *m)
{
	enum store_status r = STORE_OK;

	if (m->redate)
		r = store_redate(m->store, m->slot, m->slot + LATE_SLOTS,
				 read_row, m);
	if (r == STORE_OK && m->purge)
		r = store_purge(m->store, m->slot - DAY_SLOTS);
	return r;
}

static enum store_status transaction(struct meter *m, struct batch *b)
{
	const bool write = m->purge || m->redate || has_list(m);
	enum store_status r = store_begin(m->store, write);
	bool lost = false;

	if (r == STORE_OK)
		r = store_read(m->store, m->slot - DAY_SLOTS, read_row, m,
			       &lost);
	if (lost)
		list_all(m);
	m->more |= lost;
	if (r == STORE_OK && write) {
		r = tidy_store(m);
		if (r == STORE_OK) {
			batch_fill(b, m, m->slot);
			r = batch_write(b, m->store);
		}
	}
	if (r == STORE_OK)
		r = store_commit(m->store);
	if (r == STORE_OK && write)
		m->purge = m->redate = false;
	m->more |= m->redate || b->n >= WRITES_MAX;
	return r;
}

static enum store_status round_of(struct meter *m)
{
	struct batch b = {.a = arena_new()};
	bool opened = false;
	enum store_status r = store_open(m->store, &opened);

	m->more = false;
	if (opened) {
		m->purge = m->redate = true;
		list_all(m);
	}
	if (r == STORE_OK)
		r = transaction(m, &b);
	if (r == STORE_OK)
		batch_learn(&b, m);
	else if (b.n > 0)
		list_all(m); /* nothing of it was written */
	free(b.v);
	arena_free(b.a);
	return r;
}

/* What time it is, and what follows when it is another than before. */
static void look_at_clock(struct meter *m)
{
	int64_t slot = window_slot(m->clock());

	if (slot == m->slot)
		return;
	if (slot < m->slot)
		m->redate = true;
	m->purge = true;
	m->slot = slot;
	sweep(m, slot);
}

/* ---- the thread ---------------------------------------------------------- */

#define TROUBLE "limits: %s: %s; counting goes on in memory"

static void tell(struct meter *m, enum store_status r)
{
	if (r == STORE_OK) {
		m->failures = 0;
		if (!atomic_exchange(&m->working, true))
			log_limited(LOG_LEVEL_INFO, LOG_EVENT_STORE,
				    "limits: %s works again",
				    store_path(m->store));
		return;
	}
	m->failures++;
	if (!meter_is_working(m) || (r == STORE_BUSY && m->failures < BUSY_MAX))
		return;
	atomic_store(&m->working, false);
	log_limited(LOG_LEVEL_WARN, LOG_EVENT_STORE, TROUBLE,
		    store_path(m->store), store_error(m->store));
}

/* The first round: meter_new() tells. */
static void keep(struct meter *m, enum store_status r)
{
	struct arena *a;

	atomic_store(&m->working, r == STORE_OK);
	m->failures = r == STORE_OK ? 0 : 1;
	if (r == STORE_OK)
		return;
	a = arena_new();
	m->trouble = mem_strdup(arena_printf(a, TROUBLE, store_path(m->store),
					     store_error(m->store)));
	arena_free(a);
}

static bool is_stopping(struct meter *m)
{
	bool ret;

	pthread_mutex_lock(&m->turn);
	ret = m->stopping;
	pthread_mutex_unlock(&m->turn);
	return ret;
}

/* Rounds until all is written, or time is up. */
static enum store_status rounds(struct meter *m)
{
	const struct timespec pause = {0, RETRY_MS * 1000000L};
	enum store_status r;

	for (;;) {
		look_at_clock(m);
		r = round_of(m);
		if (r == STORE_FAILED || (r == STORE_OK && !m->more) ||
		    clock_mono_ms() >= atomic_load(&m->until))
			return r;
		if (r == STORE_BUSY)
			nanosleep(&pause, NULL);
	}
}

static struct timespec time_of(int64_t ms)
{
	return (struct timespec){ms / 1000, ms % 1000 * 1000000};
}

static int64_t pause_of(const struct meter *m)
{
	int64_t ms = PERIOD_MS * (int64_t)(m->failures + 1) / 2;

	if (m->failures < 2)
		return PERIOD_MS;
	return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

/* Until it is time, or somebody asks. */
static void wait_for_turn(struct meter *m)
{
	const struct timespec at = time_of(clock_mono_ms() + pause_of(m));

	pthread_mutex_lock(&m->turn);
	while (!m->stopping && m->wanted == m->done)
		if (pthread_cond_timedwait(&m->changed, &m->turn, &at) != 0)
			break;
	pthread_mutex_unlock(&m->turn);
}

static uint64_t wanted_now(struct meter *m)
{
	uint64_t ret;

	pthread_mutex_lock(&m->turn);
	ret = m->wanted;
	/* meter_free() has set the time for the last one */
	if (!m->stopping)
		atomic_store(&m->until, clock_mono_ms() + WAIT_MS);
	pthread_mutex_unlock(&m->turn);
	return ret;
}

static void finish(struct meter *m, uint64_t wanted, bool complete)
{
	pthread_mutex_lock(&m->turn);
	m->done = wanted;
	m->complete = complete;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->turn);
}

/* As meter_new() asked for the first round, so meter_free() for the last. */
static void *run(void *arg)
{
	struct meter *m = arg;
	uint64_t wanted = wanted_now(m);
	enum store_status r = rounds(m);
	bool last = false;

	keep(m, r);
	finish(m, wanted, r == STORE_OK && !m->more);
	while (!last) {
		wait_for_turn(m);
		last = is_stopping(m);
		wanted = wanted_now(m);
		r = rounds(m);
		tell(m, r);
		finish(m, wanted, r == STORE_OK && !m->more);
	}
	return NULL;
}

bool meter_sync(struct meter *m)
{
	uint64_t mine;
	bool ret;

	if (m->store == NULL)
		return false;
	pthread_mutex_lock(&m->turn);
	mine = ++m->wanted;
	pthread_cond_broadcast(&m->changed);
	while (m->done < mine)
		pthread_cond_wait(&m->changed, &m->turn);
	ret = m->complete;
	pthread_mutex_unlock(&m->turn);
	return ret;
}

static bool start_thread(struct meter *m)
{
	sigset_t all, old;
	bool ok;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&m->thread, NULL, run, m) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

static void init(struct meter *m)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->turn, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->changed, &attr);
	pthread_condattr_destroy(&attr);
}

struct meter *meter_new(struct arena *a, const char *folder, meter_clock *clock,
			const char **warning)
{
	struct meter *m = mem_alloc(sizeof(*m));

	*warning = NULL;
	init(m);
	m->clock = clock;
	m->slot = INT64_MIN;
	atomic_init(&m->working, folder[0] == '\0');
	if (folder[0] == '\0')
		return m;
	m->store = store_new(folder);
	if (start_thread(m)) {
		meter_sync(m);
		if (m->trouble != NULL)
			*warning = arena_strdup(a, m->trouble);
		return m;
	}
	store_free(m->store);
	m->store = NULL;
	*warning = "limits: cannot create a thread; counting is in memory";
	return m;
}

static void stop_thread(struct meter *m)
{
	pthread_mutex_lock(&m->turn);
	m->stopping = true;
	atomic_store(&m->until, clock_mono_ms() + STOP_MS);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->turn);
	pthread_join(m->thread, NULL);
}

void meter_stop(struct meter *m)
{
	if (m != NULL && m->store != NULL && !m->stopping)
		stop_thread(m);
}

void meter_free(struct meter *m)
{
	if (m == NULL)
		return;
	meter_stop(m);
	store_free(m->store);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct account *k = m->buckets[i], *next; k != NULL;
		     k = next) {
			next = k->next;
			account_free(k);
		}
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->turn);
	pthread_mutex_destroy(&m->lock);
	free(m->trouble);
	free(m);
}
