/*
 * The one log sink.  Only the edges (milter/, config/, cmd/, control/) call
 * it; pure layers hand up a reason instead.
 *
 * Wire text goes in escaped (strbuf_add_escaped).  A message is one line.
 * Thread-safe.
 */
#ifndef MAILSEAL_BASE_LOG_H
#define MAILSEAL_BASE_LOG_H

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,  /* one line per message, start, stop */
	LOG_LEVEL_WARN,  /* we went on */
	LOG_LEVEL_ERROR, /* the administrator must act */
};

enum log_target {
	LOG_TARGET_STDERR,
	LOG_TARGET_SYSLOG, /* facility mail */
};

/* Call before threads start.  `ident`: program name, a literal. */
void log_open(const char *ident, enum log_target target, enum log_level min);
void log_at(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
