/*
 * Messages and recipients of each service login over the last hour and the
 * last day (store/window.h).  Counted in memory at once; a thread of its own
 * brings memory and store together once a second, in one transaction: it
 * writes what was counted here, and reads what the other instances that share
 * the state folder have written.  So these together may go over a limit by
 * what they accept within that second, and when the process is killed, the
 * counts of its last second are lost.
 *
 * Nobody waits for the store.  While it is full, read-only, locked, broken or
 * gone, counting goes on in memory, and what was counted is written when it
 * works again.  The log has one line when that begins and one when it ends.
 * Until then other instances do not know of it.
 *
 * Memory: a login is dropped once all that it sent is older than a day.
 */
#ifndef MAILSEAL_STORE_METER_H
#define MAILSEAL_STORE_METER_H

#include "gate/credential.h"

struct meter;

/* Seconds since 1970. */
typedef int64_t meter_clock(void);

/*
 * Starts the thread, which blocks signals, opens or makes
 * "FOLDER/meter.sqlite" (mode 0640) and reads the last day; waits for it, a
 * second at most when another process has the lock.  "" for `folder`: memory
 * alone.  Never NULL: what is wrong with the store is one line in *warning (in
 * `a`), else NULL, and counting is in memory until it can be opened.
 */
struct meter *meter_new(struct arena *a, const char *folder, meter_clock *clock,
			const char **warning);
/* Writes what is left, within a second; what comes later stays in memory.  One
 * thread calls it, others may still use the meter.  NULL is allowed. */
void meter_stop(struct meter *m);
void meter_free(struct meter *m);

/*
 * Counts one message with `recipients` to `login` (as it is compared: lower
 * case) if it is within all limits.  False: nothing is counted, *what is a
 * constant ("messages per hour"), *limit that limit, and *frees the time
 * (seconds since 1970) from which on this message will be counted, if nothing
 * else is until then; for one whose recipients alone are over the limit, the
 * time for a message of one recipient.  Of several limits it is the last to be
 * free.  Thread-safe, never blocks on the store.
 */
bool meter_take(struct meter *m, struct slice login,
		const struct credential_limits *limits, int64_t recipients,
		int64_t now, const char **what, int64_t *limit, int64_t *frees);

/* Brings memory and store together now, and waits for it.  True: all that was
 * counted before the call is in the store. */
bool meter_sync(struct meter *m);
/* Can the store be written, as the log was told last?  True without a folder.
 * What happens to the store is found out with the next message that is counted,
 * within a second; that it works again, within ten.  Thread-safe, never
 * blocks. */
bool meter_is_working(const struct meter *m);
/* Logins that are held in memory. */
size_t meter_logins(struct meter *m);

#endif
