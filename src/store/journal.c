/*
 * The queue, and the thread that empties it.
 *
 * `lock` guards the queue and the counters, and is never held while SQLite is
 * called: the thread takes all that is there, and gives back what it could not
 * write.  What it holds counts as queued until it is written or dropped.
 */
#include "store/journal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/journal_db.h"

#define QUEUE_ENTRIES 1000
#define QUEUE_BYTES   (8 * 1024 * 1024)
#define PERIOD_MS     1000
#define WAIT_MS	      800   /* for a lock, in one round */
#define STOP_MS	      800   /* the same at the end, over all */
#define RETRY_MS      10    /* between two attempts */
#define BUSY_MAX      3	    /* rounds without a lock that nobody is told of */
#define PAUSE_MAX_MS  10000 /* between attempts at a file that fails */
#define TRIM_MS	      60000 /* without a message */

/* One entry in one block: its arrays and texts stand behind it. */
struct item {
	struct item *next;
	size_t bytes;
	struct journal_entry e;
};

struct list {
	struct item *first, **end;
	size_t entries, bytes;
};

struct journal {
	struct journal_options o;
	struct journal_db db; /* of the thread, but for `until` */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list queue;
	size_t entries, bytes; /* queued, and with the thread */
	struct journal_counters counters;
	bool started; /* the first round is over */
	bool stopping;

	pthread_t thread;
	bool running;

	/* of the thread alone */
	int64_t trimmed;   /* clock_mono_ms() of the last time; 0: due */
	bool wrote;	   /* something, in the last round */
	unsigned failures; /* rounds in a row */

	_Atomic bool working; /* as the log was told; the thread sets it */

	char *trouble; /* of the first round, which journal_new() waits for */
};

/* ---- entries ------------------------------------------------------------- */

static size_t length(const char *s)
{
	return s != NULL ? strlen(s) + 1 : 0;
}

static size_t texts_of_record(const struct journal_entry *e)
{
	size_t n = e->queue_id.n + e->message_id.n + e->author.n + e->sender.n +
		   length(e->record);

	for (size_t i = 0; i < e->naddresses; i++)
		n += e->addresses[i].n + sizeof(*e->addresses);
	return n;
}

static size_t texts_of(const struct journal_entry *e)
{
	size_t n = length(e->domain) +
		   (e->record != NULL ? texts_of_record(e) : 0);

	for (size_t i = 0; i < e->nshadows; i++)
		n += length(e->shadows[i].rule) + length(e->shadows[i].action) +
		     sizeof(*e->shadows);
	return n;
}

static void *copy(char **at, const void *p, size_t n)
{
	void *ret = *at;

	if (n == 0)
		return NULL;
	memcpy(ret, p, n);
	*at += n;
	return ret;
}

static const char *copy_text(char **at, const char *s)
{
	return copy(at, s, length(s));
}

static void copy_slice(char **at, struct slice *s)
{
	s->p = copy(at, s->p, s->n);
}

static void copy_record(char **at, struct journal_entry *e,
			struct slice *addresses)
{
	e->addresses = addresses;
	e->record = copy_text(at, e->record);
	copy_slice(at, &e->queue_id);
	copy_slice(at, &e->message_id);
	copy_slice(at, &e->author);
	copy_slice(at, &e->sender);
	for (size_t i = 0; i < e->naddresses; i++)
		copy_slice(at, &addresses[i]);
}

static void copy_shadows(char **at, struct journal_entry *e,
			 struct journal_shadow *shadows)
{
	e->shadows = shadows;
	for (size_t i = 0; i < e->nshadows; i++) {
		shadows[i].rule = copy_text(at, shadows[i].rule);
		shadows[i].action = copy_text(at, shadows[i].action);
	}
}

static struct item *item_new(const struct journal_entry *e, size_t texts)
{
	struct item *ret = mem_alloc(sizeof(*ret) + texts);
	char *at = (char *)(ret + 1);
	struct slice *addresses = NULL;
	struct journal_shadow *shadows;

	ret->bytes = sizeof(*ret) + texts;
	ret->e = *e;
	/* arrays of pointers first, for their alignment */
	shadows = copy(&at, e->shadows, e->nshadows * sizeof(*shadows));
	if (e->record != NULL)
		addresses = copy(&at, e->addresses,
				 e->naddresses * sizeof(*addresses));
	ret->e.domain = copy_text(&at, e->domain);
	copy_shadows(&at, &ret->e, shadows);
	if (e->record != NULL)
		copy_record(&at, &ret->e, addresses);
	return ret;
}

/* ---- the queue ----------------------------------------------------------- */

static void list_init(struct list *l)
{
	*l = (struct list){.end = &l->first};
}

static void list_add(struct list *l, struct item *item)
{
	*l->end = item;
	l->end = &item->next;
	l->entries++;
	l->bytes += item->bytes;
}

static void list_free(struct list *l)
{
	for (struct item *item = l->first, *next; item != NULL; item = next) {
		next = item->next;
		free(item);
	}
	list_init(l);
}

/* Moves all of one to the end of another. */
static void list_move(struct list *from, struct list *to)
{
	if (from->first == NULL)
		return;
	*to->end = from->first;
	to->end = from->end;
	to->entries += from->entries;
	to->bytes += from->bytes;
	list_init(from);
}

/* Is it so full that the thread is not to wait for its second? */
static bool is_pressing(const struct journal *j)
{
	return j->queue.entries >= QUEUE_ENTRIES / 2 ||
	       j->queue.bytes >= QUEUE_BYTES / 2;
}

static bool drop(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->counters.dropped++;
	pthread_mutex_unlock(&j->lock);
	return false;
}

static bool queue_item(struct journal *j, struct item *item)
{
	bool room, pressing;

	pthread_mutex_lock(&j->lock);
	room = j->running && j->entries < QUEUE_ENTRIES &&
	       item->bytes <= QUEUE_BYTES - j->bytes;
	if (room) {
		list_add(&j->queue, item);
		j->entries++;
		j->bytes += item->bytes;
	} else {
		j->counters.dropped++;
	}
	pressing = room && is_pressing(j);
	pthread_mutex_unlock(&j->lock);
	if (pressing)
		pthread_cond_signal(&j->changed);
	return room;
}

bool journal_put(struct journal *j, const struct journal_entry *entry)
{
	struct journal_entry e = *entry;
	struct item *item;
	size_t texts;

	if (!j->o.records)
		e.record = NULL;
	if (e.record == NULL && e.nshadows == 0)
		return true;
	if (e.record == NULL)
		e.queue_id = e.message_id = e.author = e.sender =
			(struct slice){NULL, 0};
	if (e.record == NULL)
		e.naddresses = 0;
	texts = texts_of(&e);
	if (texts > JOURNAL_ENTRY_MAX)
		return drop(j);
	item = item_new(&e, texts);
	if (queue_item(j, item))
		return true;
	free(item);
	return false;
}

void journal_counters_get(struct journal *j, struct journal_counters *ret)
{
	pthread_mutex_lock(&j->lock);
	*ret = j->counters;
	ret->queued = j->entries;
	pthread_mutex_unlock(&j->lock);
}

bool journal_is_working(const struct journal *j)
{
	return atomic_load(&j->working);
}

/* ---- one round ----------------------------------------------------------- */

static void take(struct journal *j, struct list *batch)
{
	list_init(batch);
	pthread_mutex_lock(&j->lock);
	list_move(&j->queue, batch);
	pthread_mutex_unlock(&j->lock);
}

/* Before what has come since. */
static void give_back(struct journal *j, struct list *batch)
{
	pthread_mutex_lock(&j->lock);
	list_move(&j->queue, batch);
	list_move(batch, &j->queue);
	pthread_mutex_unlock(&j->lock);
}

static void finish(struct journal *j, struct list *batch, bool written)
{
	pthread_mutex_lock(&j->lock);
	j->entries -= batch->entries;
	j->bytes -= batch->bytes;
	if (written)
		j->counters.written += batch->entries;
	else
		j->counters.dropped += batch->entries;
	pthread_mutex_unlock(&j->lock);
	list_free(batch);
}

static enum journal_status transaction(struct journal *j,
				       const struct list *batch, bool *more)
{
	struct journal_round r;
	enum journal_status status = journal_write_begin(&j->db, &r);

	if (status == JOURNAL_OK && batch->first == NULL &&
	    !journal_is_working(j))
		status = journal_write_probe(&j->db, &r);
	for (const struct item *i = batch->first;
	     status == JOURNAL_OK && i != NULL; i = i->next)
		status = journal_write(&j->db, &r, &i->e);
	if (status == JOURNAL_OK)
		status = journal_write_trim(&j->db, &r, &j->o, clock_unix(),
					    more);
	if (status == JOURNAL_OK)
		status = journal_db_run(&j->db, SQL_COMMIT);
	return status;
}

/* *more: there is more to do at once. */
static enum journal_status round_of(struct journal *j, bool *more)
{
	const int64_t now = clock_mono_ms();
	enum journal_status status = journal_db_open(&j->db);
	struct list batch;
	bool writes;

	*more = false;
	take(j, &batch);
	writes = batch.first != NULL || !journal_is_working(j);
	if (status == JOURNAL_OK &&
	    (writes || j->trimmed == 0 || now - j->trimmed >= TRIM_MS)) {
		status = transaction(j, &batch, more);
		if (status == JOURNAL_OK)
			j->trimmed = *more ? 0 : now;
	}
	j->wrote = status == JOURNAL_OK && writes;
	if (status == JOURNAL_BUSY)
		give_back(j, &batch);
	else
		finish(j, &batch, status == JOURNAL_OK);
	return status;
}

/* Rounds until all is done, or time is up. */
static enum journal_status rounds(struct journal *j)
{
	const struct timespec pause = {0, RETRY_MS * 1000000L};
	enum journal_status status;
	bool more;

	for (;;) {
		status = round_of(j, &more);
		if (status == JOURNAL_FAILED ||
		    (status == JOURNAL_OK && !more) ||
		    clock_mono_ms() >= atomic_load(&j->db.until))
			return status;
		if (status == JOURNAL_BUSY)
			nanosleep(&pause, NULL);
	}
}

/* ---- the thread ---------------------------------------------------------- */

#define TROUBLE "journal: %s: %s; messages leave no record"

static void tell(struct journal *j, enum journal_status status)
{
	if (status == JOURNAL_OK) {
		j->failures = 0;
		/* not before something is in it: all else may work while that
		 * does not */
		if (j->wrote && !atomic_exchange(&j->working, true))
			log_limited(LOG_LEVEL_INFO, LOG_EVENT_STORE,
				    "journal: %s works again", j->db.path);
		return;
	}
	j->failures++;
	if (!journal_is_working(j) ||
	    (status == JOURNAL_BUSY && j->failures < BUSY_MAX))
		return;
	atomic_store(&j->working, false);
	log_limited(LOG_LEVEL_WARN, LOG_EVENT_STORE, TROUBLE, j->db.path,
		    j->db.error);
}

/* The first round: journal_new() tells. */
static void keep(struct journal *j, enum journal_status status)
{
	struct arena *a = arena_new();

	atomic_store(&j->working, status == JOURNAL_OK);
	j->failures = status == JOURNAL_OK ? 0 : 1;
	if (status != JOURNAL_OK)
		j->trouble = mem_strdup(
			arena_printf(a, TROUBLE, j->db.path, j->db.error));
	arena_free(a);
	pthread_mutex_lock(&j->lock);
	j->started = true;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
}

static int64_t pause_of(const struct journal *j)
{
	int64_t ms = PERIOD_MS * (int64_t)j->failures;

	if (j->failures == 0)
		return PERIOD_MS;
	return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

/* Until it is time, or the queue fills.  True: this is the last round. */
static bool wait_for_turn(struct journal *j)
{
	const int64_t ms = clock_mono_ms() + pause_of(j);
	const struct timespec at = {ms / 1000, ms % 1000 * 1000000};
	bool ret;

	pthread_mutex_lock(&j->lock);
	while (!j->stopping && (j->failures > 0 || !is_pressing(j)))
		if (pthread_cond_timedwait(&j->changed, &j->lock, &at) != 0)
			break;
	ret = j->stopping;
	/* journal_free() has set the time for the last round */
	if (!ret)
		atomic_store(&j->db.until, clock_mono_ms() + WAIT_MS);
	pthread_mutex_unlock(&j->lock);
	return ret;
}

static void *run(void *arg)
{
	struct journal *j = arg;
	bool last = false;

	keep(j, rounds(j));
	while (!last) {
		last = wait_for_turn(j);
		tell(j, rounds(j));
	}
	return NULL;
}

static bool start_thread(struct journal *j)
{
	sigset_t all, old;
	bool ok;

	atomic_store(&j->db.until, clock_mono_ms() + WAIT_MS);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&j->thread, NULL, run, j) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

static void init(struct journal *j, const struct journal_options *o)
{
	pthread_condattr_t attr;

	j->o = *o;
	journal_db_init(&j->db, o->folder, JOURNAL_MAKE);
	j->o.folder = j->db.folder;
	atomic_init(&j->working, false);
	list_init(&j->queue);
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &attr);
	pthread_condattr_destroy(&attr);
}

struct journal *journal_new(struct arena *a, const struct journal_options *o,
			    const char **warning)
{
	struct journal *j = mem_alloc(sizeof(*j));

	*warning = NULL;
	init(j, o);
	j->running = start_thread(j);
	if (!j->running) {
		*warning = "journal: cannot create a thread; messages leave "
			   "no record";
		return j;
	}
	pthread_mutex_lock(&j->lock);
	while (!j->started)
		pthread_cond_wait(&j->changed, &j->lock);
	pthread_mutex_unlock(&j->lock);
	if (j->trouble != NULL)
		*warning = arena_strdup(a, j->trouble);
	return j;
}

static void stop_thread(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	atomic_store(&j->db.until, clock_mono_ms() + STOP_MS);
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->thread, NULL);
}

/* Nothing is taken any more from then on: sessions may still come. */
void journal_stop(struct journal *j)
{
	bool runs;

	if (j == NULL)
		return;
	pthread_mutex_lock(&j->lock);
	runs = j->running;
	j->running = false;
	pthread_mutex_unlock(&j->lock);
	if (runs)
		stop_thread(j);
}

void journal_free(struct journal *j)
{
	if (j == NULL)
		return;
	journal_stop(j);
	list_free(&j->queue);
	journal_db_done(&j->db);
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->lock);
	free(j->trouble);
	free(j);
}
