/* Asks each part for its counters. */
#include "milter/metrics_values.h"

#include <stdatomic.h>

#include "base/log.h"

static void add_up(void *arg, const struct preflight_count *c)
{
	struct preflight_count *sum = arg;

	sum->checked += c->checked;
	sum->unknown += c->unknown;
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		sum->bad[i] += c->bad[i];
}

static void take_dns(struct metrics_values *v)
{
	struct dns *dns = v->app->env.dns;
	const struct app_process *process = v->app->process;

	dns_counters_get(dns, &v->dns);
	v->outage = v->dns.outage;
	v->waiters = process->waiters != NULL
			     ? atomic_load(&process->waiters->n)
			     : 0;
}

static uint64_t unusable_keys(struct keyring *ring)
{
	struct arena *a = arena_new();
	uint64_t n = 0;

	for (size_t i = 0; i < keyring_size(ring); i++) {
		struct keyring_standing s;

		keyring_standing_get(ring, i, a, &s);
		n += s.known && !s.usable;
	}
	arena_free(a);
	return n;
}

static void take_keys(struct metrics_values *v)
{
	keyring_counters_get(v->app->keyring, &v->keys);
	v->keys_named = keyring_size(v->app->keyring);
	v->keys_loaded = v->keys.loaded;
	v->keys_unusable = unusable_keys(v->app->keyring);
}

static void take_store(struct metrics_values *v)
{
	const struct app *app = v->app;
	struct journal_counters n;

	v->journal_working = v->journal_written = v->journal_dropped =
		v->journal_queue = v->limits_working = METRICS_NO_VALUE;
	if (app->meter != NULL)
		v->limits_working = meter_is_working(app->meter);
	if (app->journal == NULL)
		return;
	journal_counters_get(app->journal, &n);
	v->journal_working = journal_is_working(app->journal);
	v->journal_written = n.written;
	v->journal_dropped = n.dropped;
	v->journal_queue = n.queued;
}

/* As long as nothing was reloaded, what was read at the start is in force. */
static void take_facts(struct metrics_values *v)
{
	const struct metrics_facts *f = v->facts;

	v->reload_ok = f->reload_time == 0 || f->reload_ok;
	v->reload_time = (uint64_t)(f->reload_time != 0 ? f->reload_time
							: f->start_time);
	v->start_time = (uint64_t)f->start_time;
	v->resident = f->resident;
	v->log_lost = log_lost();
}

void metrics_values_get(struct metrics_values *v, const struct metrics_facts *f)
{
	const struct app *app = f->app;

	*v = (struct metrics_values){.facts = f, .app = app};
	tally_get(app->tally, &v->n);
	v->sessions = v->n.sessions_begun - v->n.sessions_ended;
	v->in_flight = v->n.messages_begun - v->n.messages_ended;
	preflight_tally_each(tally_preflight(app->tally), add_up,
			     &v->preflight);
	take_dns(v);
	take_keys(v);
	take_store(v);
	take_facts(v);
}
