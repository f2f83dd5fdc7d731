/*
 * Renders lines and hands each over in one call, so lines of several threads
 * never mix.
 *
 * A line is rendered without the lock, and handed over under it: the target,
 * what is held back and what was lost are behind it.  Level and form are read
 * without: who logs during log_open() has the old or the new ones.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/clock.h"
#include "base/log_journal.h"
#include "base/log_limit.h"
#include "base/log_recent.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t lost;
static atomic_uint_fast64_t lost_ever;
static const char *_Atomic log_ident = "mailseal";
static atomic_int log_min = LOG_LEVEL_INFO, log_target = LOG_TARGET_STDERR;
static size_t (*_Atomic log_json)(const struct log_record *r, char *buf);

static const struct {
	const char *name, *label;
	int priority;
} levels[] = {
	[LOG_LEVEL_DEBUG] = {"debug", "debug: ", LOG_DEBUG},
	[LOG_LEVEL_INFO] = {"info", "", LOG_INFO},
	[LOG_LEVEL_WARN] = {"warn", "warning: ", LOG_WARNING},
	[LOG_LEVEL_ERROR] = {"error", "error: ", LOG_ERR},
};

static const char *const events[] = {
	[LOG_EVENT_NOTE] = "note",     [LOG_EVENT_MESSAGE] = "message",
	[LOG_EVENT_START] = "start",   [LOG_EVENT_STOP] = "stop",
	[LOG_EVENT_RELOAD] = "reload", [LOG_EVENT_DNS] = "dns",
	[LOG_EVENT_STORE] = "store",   [LOG_EVENT_LOG] = "log",
};

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

const char *log_event_name(enum log_event event)
{
	return events[event];
}

void log_open(const char *ident, const struct log_options *o)
{
	pthread_mutex_lock(&lock);
	atomic_store(&log_ident, ident);
	atomic_store(&log_min, (int)o->level);
	atomic_store(&log_target, (int)o->target);
	atomic_store(&log_json, o->json);
	log_sink_open(o->target, o->path);
	pthread_mutex_unlock(&lock);
}

/* A stray line end in a message would forge a second line. */
static void flatten(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = ' ';
}

/* How much snprintf() left in a buffer of `room` bytes. */
static size_t stored(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

/* `room` has the ident and a line end besides. */
static size_t render_text(const struct log_record *r, const char *text,
			  char *line)
{
	size_t head = strlen(atomic_load(&log_ident)) + strlen(": \n");
	size_t room = LOG_LINE_MAX + 1 - head;
	int wanted = snprintf(line, room, "%s%s", levels[r->level].label, text);
	size_t n = stored(wanted, room);

	if (wanted > 0 && (size_t)wanted >= room)
		memcpy(line + n - 3, "...", 3);
	flatten(line, n);
	return n;
}

/* False when it is lost. */
static bool write_record(const struct log_record *r, const char *text)
{
	char line[LOG_LINE_MAX], fields[LOG_JOURNAL_MAX];
	size_t (*json)(const struct log_record *, char *) =
		atomic_load(&log_json);
	bool ok;
	struct log_line l = {
		.priority = levels[r->level].priority,
		.ident = atomic_load(&log_ident),
		.bare = json != NULL,
		.text = {line, 0},
		.fields = {fields, 0},
	};

	l.text.n = json != NULL ? json(r, line) : render_text(r, text, line);
	if (atomic_load(&log_target) == LOG_TARGET_JOURNALD)
		l.fields.n = log_journal_fields(r, fields, sizeof(fields));
	pthread_mutex_lock(&lock);
	ok = log_sink_write(&l);
	lost += !ok;
	atomic_fetch_add(&lost_ever, !ok);
	pthread_mutex_unlock(&lock);
	return ok;
}

/* A line that is text alone. */
static bool write_text(enum log_level level, enum log_event event,
		       const char *text)
{
	struct log_field x = {
		.type = LOG_STRING,
		.name = "text",
		.text = slice_of(text),
		.max = SIZE_MAX,
	};
	struct log_fields f = {.first = &x, .last = &x};
	const struct log_record r = {level, event, clock_unix_ms(), &f};

	if (level >= LOG_LEVEL_WARN)
		log_recent_add(r.time_ms, (int)level, text);
	return write_record(&r, text);
}

/* ---- what was not written ---- */

static void tell_repeat(const struct log_repeat *held)
{
	struct arena *a;
	struct log_fields f;
	struct log_record r = {(enum log_level)held->level,
			       (enum log_event)held->event, clock_unix_ms(),
			       &f};

	if (held->held == 0)
		return;
	a = arena_new();
	log_fields_init(&f, a);
	log_string(&f, held->kind ? "lines like this: " : "", "text",
		   held->text, ": ");
	log_number(&f, "repeated ", "repeated", (int64_t)held->held, " times");
	log_number(&f, " in ", "seconds", held->seconds, " s");
	(void)write_record(&r, log_fields_text(&f));
	arena_free(a);
}

static void tell_repeats(bool all)
{
	int64_t now = clock_mono_ms();
	struct log_repeat held;
	bool more;

	do {
		pthread_mutex_lock(&lock);
		more = log_limit_next(now, all, &held);
		pthread_mutex_unlock(&lock);
		if (more)
			tell_repeat(&held);
	} while (more);
}

/* Somebody reads again. */
static void tell_lost(void)
{
	struct arena *a;
	uint64_t n;

	pthread_mutex_lock(&lock);
	n = lost;
	lost = 0;
	pthread_mutex_unlock(&lock);
	if (n == 0)
		return;
	a = arena_new();
	if (!write_text(LOG_LEVEL_WARN, LOG_EVENT_LOG,
			arena_printf(a,
				     "%llu lines of the log were lost, since "
				     "nobody took them",
				     (unsigned long long)n))) {
		pthread_mutex_lock(&lock);
		lost += n - 1; /* this line was none of them */
		pthread_mutex_unlock(&lock);
	}
	arena_free(a);
}

static void after(bool written)
{
	tell_repeats(false);
	if (written)
		tell_lost();
}

void log_flush(void)
{
	tell_repeats(true);
}

/* ---- lines ---- */

static bool is_held_back(const struct log_repeatable *r)
{
	struct log_repeat forgotten[2];
	bool ok;

	pthread_mutex_lock(&lock);
	ok = log_limit_take(r, clock_mono_ms(), forgotten);
	pthread_mutex_unlock(&lock);
	tell_repeat(&forgotten[0]);
	tell_repeat(&forgotten[1]);
	return !ok;
}

static void format_line(char text[LOG_LINE_MAX], const char *fmt, va_list ap)
{
	int n = vsnprintf(text, LOG_LINE_MAX, fmt, ap);

	text[stored(n, LOG_LINE_MAX)] = '\0';
}

void log_at(enum log_level level, enum log_event event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	int saved = errno;
	va_list ap;

	if ((int)level < atomic_load(&log_min))
		return;
	va_start(ap, fmt);
	format_line(text, fmt, ap);
	va_end(ap);
	after(write_text(level, event, text));
	errno = saved;
}

void log_limited(enum log_level level, enum log_event event, const char *fmt,
		 ...)
{
	char text[LOG_LINE_MAX];
	struct log_repeatable what = {{text, 0}, fmt, (int)level, (int)event};
	int saved = errno;
	va_list ap;

	if ((int)level < atomic_load(&log_min))
		return;
	va_start(ap, fmt);
	format_line(text, fmt, ap);
	va_end(ap);
	what.text.n = strlen(text);
	if (is_held_back(&what))
		tell_repeats(false);
	else
		after(write_text(level, event, text));
	errno = saved;
}

void log_message(enum log_level level, struct log_fields *f)
{
	static const char kind[] = "message";
	const struct log_record r = {level, LOG_EVENT_MESSAGE, clock_unix_ms(),
				     f};
	const struct log_repeatable what = {slice_of(f->repeats), kind,
					    (int)level, LOG_EVENT_MESSAGE};

	if ((int)level < atomic_load(&log_min))
		return;
	if (f->repeats != NULL && is_held_back(&what))
		tell_repeats(false);
	else
		after(write_record(&r, log_fields_text(f)));
}

uint64_t log_lost(void)
{
	return atomic_load(&lost_ever);
}
