/* Who has not moved for half an interval is stuck. */
#include "control/watchdog.h"

#include "base/log.h"
#include "control/notify.h"

/* Beats come once a second; a busy machine may delay one. */
#define PATIENCE_MIN_MS 3000

void watchdog_init(struct watchdog *w, int64_t interval_ms)
{
	*w = (struct watchdog){.interval_ms = interval_ms};
}

void watchdog_beat(struct watchdog *w, size_t i, const char *name,
		   uint64_t beats, int64_t now_ms)
{
	struct watchdog_pulse *p = &w->pulses[i];

	if (p->watched && p->beats == beats)
		return;
	*p = (struct watchdog_pulse){name, beats, now_ms, true};
}

void watchdog_forget(struct watchdog *w, size_t i)
{
	w->pulses[i].watched = false;
}

static const struct watchdog_pulse *find_stuck(const struct watchdog *w,
					       int64_t now_ms)
{
	int64_t patience = w->interval_ms / 2 > PATIENCE_MIN_MS
				   ? w->interval_ms / 2
				   : PATIENCE_MIN_MS;

	for (size_t i = 0; i < WATCHDOG_PULSES; i++) {
		const struct watchdog_pulse *p = &w->pulses[i];

		if (p->watched && now_ms - p->moved_ms >= patience)
			return p;
	}
	return NULL;
}

static void log_change(struct watchdog *w, const char *stuck)
{
	if (stuck != NULL && w->stuck == NULL)
		log_error("the %s thread is stuck; the service manager is "
			  "told nothing until it moves",
			  stuck);
	else if (stuck == NULL && w->stuck != NULL)
		log_info("the %s thread moves again", w->stuck);
	w->stuck = stuck;
}

bool watchdog_tick(struct watchdog *w, int64_t now_ms)
{
	const struct watchdog_pulse *stuck;

	if (w->interval_ms == 0)
		return true;
	stuck = find_stuck(w, now_ms);
	log_change(w, stuck != NULL ? stuck->name : NULL);
	if (stuck != NULL)
		return false;
	if (now_ms < w->next_ms)
		return true;
	w->next_ms = now_ms + w->interval_ms / 2;
	notify("WATCHDOG=1");
	return true;
}
