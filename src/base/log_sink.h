/*
 * Where lines of the log go: standard error, the socket of syslog, or that of
 * journald.  Nothing here waits for a reader: a line that is not taken is
 * lost and counted.  A burst may wait for 100 ms in each ten seconds.
 *
 * Only base/log.c calls it, under its lock.
 */
#ifndef MAILSEAL_BASE_LOG_SINK_H
#define MAILSEAL_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum log_target {
	LOG_TARGET_STDERR,
	LOG_TARGET_SYSLOG, /* facility mail */
	LOG_TARGET_JOURNALD,
};

struct log_line {
	int priority; /* LOG_INFO ... of syslog.h */
	const char *ident;
	bool bare;	     /* JSON: nothing stands before it */
	struct slice text;   /* without line end */
	struct slice fields; /* "NAME=value\n"...: for journald */
};

/* Again at any time, to change it.  `path`: of a test's own socket, or NULL
 * for the one of the system. */
void log_sink_open(enum log_target target, const char *path);
/* False when the line is lost. */
bool log_sink_write(const struct log_line *line);

#endif
