/*
 * The last warnings and errors of this process, for who asks how it is doing.
 * Only base/log.c adds to them.  Thread-safe.
 */
#ifndef MAILSEAL_BASE_LOG_RECENT_H
#define MAILSEAL_BASE_LOG_RECENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define LOG_RECENT_MAX	 10
#define LOG_RECENT_BYTES 400 /* of a line; the rest is left out */

struct log_recent {
	int64_t time_ms; /* since 1970 */
	int level;	 /* enum log_level */
	char text[LOG_RECENT_BYTES + 1];
};

void log_recent_add(int64_t time_ms, int level, const char *text);
/* Copies in `a`, the oldest first; returns how many. */
size_t log_recent_get(struct arena *a, struct log_recent **ret);

#endif
