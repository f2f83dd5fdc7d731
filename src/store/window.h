/*
 * What one login sent in the last day, in slots of five minutes.  Pure: time
 * comes in as the number of a slot (seconds since 1970 / SLOT_SECONDS).
 *
 * A slot counts until the last moment of it is an hour (or a day) old.  So in
 * no hour is a limit exceeded, and what was counted may stay up to five minutes
 * longer than it must.
 *
 * Of each slot there are two counts: what the store is known to have, of all
 * instances, and what it has not yet.  Their sum is what counts.
 */
#ifndef MAILSEAL_STORE_WINDOW_H
#define MAILSEAL_STORE_WINDOW_H

#include "gate/credential.h"

#define SLOT_SECONDS 300
#define HOUR_SLOTS   13	 /* the current one and the 12 before */
#define DAY_SLOTS    289 /* the current one and the 288 before */
/* More is no count of ours, whoever wrote it; so no sum overflows. */
#define COUNT_MAX 1000000000

struct amount {
	int64_t messages, recipients;
};

struct slot {
	int64_t number;
	struct amount known; /* in the store */
	struct amount fresh; /* not yet */
};

struct window {
	size_t n, room;
	struct slot *v; /* oldest first */
};

/* A limit that was reached. */
struct window_over {
	const char *what; /* a constant */
	int64_t limit;
	int64_t frees; /* slot */
};

/* The slot of a time, also of one before 1970. */
int64_t window_slot(int64_t seconds);

void window_done(struct window *w);
/*
 * Forgets what is older than a day at the slot `now`.  What is more than one
 * slot ahead was counted under a wrong clock: it is moved into `now`, so that
 * it neither counts for ever nor is forgotten.
 */
void window_advance(struct window *w, int64_t now);
/*
 * Counts one message with `recipients` at `now`, after window_advance(), if no
 * limit is exceeded.  Else false, and *over is the limit that is the last to
 * let this message pass (or one with a single recipient, if this one never
 * can), and when.
 */
bool window_take(struct window *w, const struct credential_limits *limits,
		 int64_t recipients, int64_t now, struct window_over *over);
/*
 * The store has `total` in the slot `number`, of which `written` was fresh
 * here before.  Never lowers what is known: a store that lost counts does not
 * make them undone.
 */
void window_learn(struct window *w, int64_t number, struct amount total,
		  struct amount written);
bool window_has_fresh(const struct window *w);

#endif
