/* Collects; how it looks is status_write.c's. */
#include "milter/status.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "config.h"

/* The second number of statm(5), which is in pages. */
int64_t status_memory(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128];
	struct slice s, resident;
	uint64_t pages;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text));
	close(fd);
	s = (struct slice){text, n > 0 ? (size_t)n : 0};
	(void)slice_cut(&s, ' ');
	resident = slice_cut(&s, ' ');
	if (!slice_u64(resident, INT64_MAX / 65536, &pages))
		return -1;
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Of a large table nothing but the number of those that are not listed. */
static void add_keys(struct status *s, bool usable)
{
	struct keyring *ring = s->app->keyring;

	for (size_t i = 0; i < keyring_size(ring); i++) {
		bool room = s->nkeys < STATUS_KEYS_MAX;
		struct keyring_standing k;

		keyring_standing_get(ring, i, room ? s->arena : NULL, &k);
		if (!k.known || k.usable != usable)
			continue;
		s->keys_unusable += !usable;
		if (room)
			s->key[s->nkeys++] = (struct status_key){
				keyring_entry(ring, i), k};
	}
}

static void get_stores(struct status *s)
{
	const struct app *app = s->app;

	s->journal_kept = app->journal != NULL;
	if (s->journal_kept) {
		s->journal_working = journal_is_working(app->journal);
		journal_counters_get(app->journal, &s->journal);
	}
	s->limits_kept = app->meter != NULL;
	if (s->limits_kept)
		s->limits_working = meter_is_working(app->meter);
}

void status_get(struct arena *a, struct app_place *place, int64_t started,
		bool stopping, struct status *ret)
{
	struct app *app = app_get(place);
	const struct tally_counters *t = &ret->tally;

	*ret = (struct status){.arena = a, .app = app};
	ret->version = PACKAGE_VERSION;
	ret->pid = getpid();
	ret->now = clock_unix();
	ret->started = started;
	ret->stopping = stopping;
	tally_get(app->tally, &ret->tally);
	/* those that ended since the others were read are not below zero */
	if (t->sessions_begun > t->sessions_ended)
		ret->sessions = t->sessions_begun - t->sessions_ended;
	if (t->messages_begun > t->messages_ended)
		ret->messages = t->messages_begun - t->messages_ended;
	if (app->process->waiters != NULL)
		ret->dns_waiting = app->process->waiters->n;
	dns_counters_get(app->env.dns, &ret->dns);
	keyring_counters_get(app->keyring, &ret->keys);
	ret->key = arena_array(a, STATUS_KEYS_MAX, sizeof(*ret->key));
	add_keys(ret, false);
	add_keys(ret, true);
	reload_state_get(place, &ret->reload);
	get_stores(ret);
	ret->memory = status_memory();
	ret->nwarnings = log_recent_get(a, &ret->warnings);
}

void status_done(struct status *s)
{
	app_unref(s->app);
	s->app = NULL;
}
