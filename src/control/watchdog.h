/*
 * WATCHDOG=1 for the service manager (sd_watchdog_enabled(3)), as long as each
 * of the threads that matter makes progress: it counts, and the count grows.
 * One that is stuck ends the messages, and the service manager starts us anew.
 *
 * Belongs to one thread.
 */
#ifndef MAILSEAL_CONTROL_WATCHDOG_H
#define MAILSEAL_CONTROL_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCHDOG_PULSES 4

struct watchdog_pulse {
	const char *name; /* of the thread, for the log */
	uint64_t beats;
	int64_t moved_ms; /* when that last changed */
	bool watched;
};

struct watchdog {
	int64_t interval_ms; /* 0: nobody waits for us */
	int64_t next_ms;
	const char *stuck; /* the one that was logged, or NULL */
	struct watchdog_pulse pulses[WATCHDOG_PULSES];
};

/* `interval_ms`: of notify_watchdog_ms(). */
void watchdog_init(struct watchdog *w, int64_t interval_ms);
/* What thread `i` has counted so far, told at least as often as
 * watchdog_tick() is called.  Not yet told: it is not watched. */
void watchdog_beat(struct watchdog *w, size_t i, const char *name,
		   uint64_t beats, int64_t now_ms);
/* Thread `i` is not there any more. */
void watchdog_forget(struct watchdog *w, size_t i);
/* Tells the service manager, twice in an interval; call it four times in one,
 * or more often.  False: a thread is stuck, and nothing is told. */
bool watchdog_tick(struct watchdog *w, int64_t now_ms);

#endif
