/*
 * The one log.  Only the edges (milter/, config/, cmd/, control/, store/) call
 * it; pure layers hand up a reason instead.
 *
 * Wire text goes in escaped (strbuf_add_escaped), or as a value of log_fields.
 * A message is one line of at most 4096 bytes.  Thread-safe; nobody who logs
 * waits for a reader (base/log_sink.h).
 */
#ifndef MAILSEAL_BASE_LOG_H
#define MAILSEAL_BASE_LOG_H

#include "base/log_fields.h"
#include "base/log_sink.h"

#define LOG_LINE_MAX 4096 /* PIPE_BUF on Linux: such a write is atomic */

enum log_level {
	LOG_LEVEL_DEBUG, /* for developers: nothing that one must read */
	LOG_LEVEL_INFO,	 /* one line per message, start, stop, reload */
	LOG_LEVEL_WARN,	 /* we went on */
	LOG_LEVEL_ERROR, /* the administrator must act */
};

/* What a line is about: "event" of its JSON form. */
enum log_event {
	LOG_EVENT_NOTE, /* none of these */
	LOG_EVENT_MESSAGE,
	LOG_EVENT_START,
	LOG_EVENT_STOP,
	LOG_EVENT_RELOAD,
	LOG_EVENT_DNS,
	LOG_EVENT_STORE,
	LOG_EVENT_LOG,
};

struct log_record {
	enum log_level level;
	enum log_event event;
	int64_t time_ms; /* since 1970 */
	const struct log_fields *fields;
};

struct log_options {
	enum log_target target;
	enum log_level level;
	/* Writes a record as one line, without line end, into a buffer of
	 * LOG_LINE_MAX bytes and returns its length; NULL: lines are text. */
	size_t (*json)(const struct log_record *r, char *buf);
	const char *path; /* of a test's own socket; NULL: the system's */
};

/* Again at any time, also while others log.  `ident`: a literal. */
void log_open(const char *ident, const struct log_options *o);
const char *log_level_name(enum log_level level);
const char *log_event_name(enum log_event event);

void log_at(enum log_level level, enum log_event event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A line that may come in floods: what is repeated is held back, and counted
 * (base/log_limit.h). */
void log_limited(enum log_level level, enum log_event event, const char *fmt,
		 ...) __attribute__((format(printf, 3, 4)));
/* A line about a message, with its own values. */
void log_message(enum log_level level, struct log_fields *f);
/* Tells what is held back now: before the end. */
void log_flush(void);
/* Lines that were not taken, since the start. */
uint64_t log_lost(void);

#define log_debug(...) log_at(LOG_LEVEL_DEBUG, LOG_EVENT_NOTE, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, LOG_EVENT_NOTE, __VA_ARGS__)
#define log_start(...)	log_at(LOG_LEVEL_INFO, LOG_EVENT_START, __VA_ARGS__)
#define log_stop(...)	log_at(LOG_LEVEL_INFO, LOG_EVENT_STOP, __VA_ARGS__)
#define log_reload(...) log_at(LOG_LEVEL_INFO, LOG_EVENT_RELOAD, __VA_ARGS__)
#define log_warn(...)  log_limited(LOG_LEVEL_WARN, LOG_EVENT_NOTE, __VA_ARGS__)
#define log_error(...) log_limited(LOG_LEVEL_ERROR, LOG_EVENT_NOTE, __VA_ARGS__)

#endif
