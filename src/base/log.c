/*
 * The log sink: standard error or syslog (RFC 5424 severities, facility
 * mail).  The first is for a foreground process under a service manager that
 * adds the time itself.
 *
 * Settings are written once, before threads start, and only read after that.
 * A message is built in a buffer on the stack and handed over in one call, so
 * lines of several threads never mix.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096 /* PIPE_BUF on Linux: such a write is atomic */

static const char *log_ident = "mailseal";
static enum log_target log_target = LOG_TARGET_STDERR;
static enum log_level log_min = LOG_LEVEL_INFO;

static const struct {
	const char *label;
	int priority;
} levels[] = {
	[LOG_LEVEL_DEBUG] = {"debug: ", LOG_DEBUG},
	[LOG_LEVEL_INFO] = {"", LOG_INFO},
	[LOG_LEVEL_WARN] = {"warning: ", LOG_WARNING},
	[LOG_LEVEL_ERROR] = {"error: ", LOG_ERR},
};

void log_open(const char *ident, enum log_target target, enum log_level min)
{
	log_ident = ident;
	log_target = target;
	log_min = min;
	if (target == LOG_TARGET_SYSLOG)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
	else
		closelog();
}

/* A stray line end in a message would forge a second line. */
static void flatten(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = ' ';
}

/* One write; what is left of a partial one follows at once.  There is nobody
 * to tell when that fails. */
static void write_line(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

/* How much snprintf() left in a buffer of `room` bytes. */
static size_t stored(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	const size_t room = sizeof(line) - 1; /* the last is for the LF */
	int saved = errno, wanted;
	size_t head, n;
	va_list ap;

	if (level < log_min)
		return;
	head = stored(
		snprintf(line, room, "%s: %s", log_ident, levels[level].label),
		room);
	va_start(ap, fmt);
	errno = saved; /* for %m */
	wanted = vsnprintf(line + head, room - head, fmt, ap);
	va_end(ap);
	n = head + stored(wanted, room - head);
	if (wanted > 0 && (size_t)wanted >= room - head && n >= head + 3)
		memcpy(line + n - 3, "...", 3);
	flatten(line, n);
	if (log_target == LOG_TARGET_SYSLOG) {
		line[n] = '\0';
		syslog(levels[level].priority, "%s%s", levels[level].label,
		       line + head);
	} else {
		line[n++] = '\n';
		write_line(line, n);
	}
	errno = saved;
}
