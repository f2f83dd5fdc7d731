/*
 * Messages and recipients of each service login over the last hour and the
 * last day.  Counted in memory at once; a thread of its own writes the counts
 * of a batch to the store once a second, in one transaction, and reads those of
 * the other instances that share the state folder.  So several instances
 * together may go over a limit by what they accept within that second.
 *
 * Nobody waits for the store.  While it is full, read-only, locked or broken,
 * counting goes on in memory and is written later.
 */
#ifndef MAILSEAL_STORE_METER_H
#define MAILSEAL_STORE_METER_H

#include "gate/credential.h"

struct meter;

/*
 * Opens or makes "FOLDER/meter.sqlite" (mode 0640) and reads the last day;
 * starts the thread.  "" for `folder`: memory alone.  Never NULL: what is
 * wrong with the store is one line in *warning (in `a`), else NULL, and
 * counting is in memory until it can be opened.  `now`: seconds since 1970.
 */
struct meter *meter_new(struct arena *a, const char *folder, int64_t now,
			const char **warning);
/* Writes what is left.  NULL is allowed. */
void meter_free(struct meter *m);

/*
 * Counts one message with `recipients` to `login` (as it is compared: lower
 * case) if it is within all limits.  False: nothing is counted, *what is a
 * constant ("messages per hour"), *limit that limit, and *frees the time
 * (seconds since 1970) from which on a message of one recipient will be
 * counted.  Thread-safe, never blocks on the store.
 */
bool meter_take(struct meter *m, struct slice login,
		const struct credential_limits *limits, int64_t recipients,
		int64_t now, const char **what, int64_t *limit, int64_t *frees);

#endif
