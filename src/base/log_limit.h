/*
 * Holds back what is repeated: of one text 10 lines in a minute are written,
 * and 60 of one kind; the others are counted, and told once the minute is
 * over.  Bounded: what has not been seen for longest is forgotten first.
 *
 * Only base/log.c calls it, under its lock.
 */
#ifndef MAILSEAL_BASE_LOG_LIMIT_H
#define MAILSEAL_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define LOG_REPEAT_SHOWN 200 /* bytes of a text that is repeated */

/* What was held back and is to be told now. */
struct log_repeat {
	uint64_t held; /* 0: nothing */
	int64_t seconds;
	int level, event; /* as they were given */
	bool kind;	  /* several texts of this kind; this is the last one */
	char text[LOG_REPEAT_SHOWN + 1];
};

struct log_repeatable {
	struct slice text;
	const void *kind; /* the address of what is the same for all of it */
	int level, event;
};

/* May it be written?  What had to be forgotten for it is in `ret`. */
bool log_limit_take(const struct log_repeatable *r, int64_t now_ms,
		    struct log_repeat ret[2]);
/* The next one whose minute is over, or with `all` any: false when there is
 * none.  Cheap when nothing is held back. */
bool log_limit_next(int64_t now_ms, bool all, struct log_repeat *ret);

#endif
