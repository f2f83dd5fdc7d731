/*
 * The life of a key, in a small file beside it that belongs to the
 * administrator: written by `mailseal key`, read when the key is loaded, never
 * written by the daemon.
 */
#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 256

static const char *const names[] = {
	[KEY_NEW] = "new",
	[KEY_PUBLISHED] = "published",
	[KEY_ACTIVE] = "active",
	[KEY_RETIRING] = "retiring",
	[KEY_REVOKED] = "revoked",
};

const char *key_state_name(enum key_state s)
{
	return names[s];
}

static const char *path_of(struct arena *a, const char *file)
{
	return arena_printf(a, "%s.state", file);
}

static bool state_of(struct slice word, enum key_state *ret)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!slice_is(word, names[i]))
			continue;
		*ret = (enum key_state)i;
		return true;
	}
	return false;
}

/* "2026-11-24T08:00:00Z" */
static bool time_of(struct arena *a, struct slice text, int64_t *ret)
{
	struct tm tm = {0};
	const char *end = strptime(slice_cstr(a, text), "%Y-%m-%dT%H:%M:%SZ",
				   &tm);

	if (end == NULL || *end != '\0')
		return false;
	*ret = timegm(&tm);
	return true;
}

/* Whoever writes the file decides whether we sign. */
static const char *objection(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "no regular file; cure: remove it";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "owner is neither root nor we; cure: chown root";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "others may write it; cure: chmod 0644";
	return NULL;
}

/* The text of the file; an empty slice without one; false when unusable. */
static bool read_text(struct arena *a, const char *path, struct slice *ret,
		      const char **err)
{
	char *buf = arena_alloc(a, TEXT_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why = NULL;
	struct stat st;
	ssize_t n = -1;

	*ret = (struct slice){"", 0};
	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd >= 0 && fstat(fd, &st) == 0)
		why = objection(&st);
	if (fd >= 0 && why == NULL)
		n = read(fd, buf, TEXT_MAX);
	if (n < 0 && why == NULL)
		why = strerror(errno);
	if (fd >= 0)
		close(fd);
	if (why != NULL) {
		*err = arena_printf(a, "%s: %s", path, why);
		return false;
	}
	*ret = (struct slice){buf, (size_t)n};
	return true;
}

bool key_state_read(struct arena *a, const char *file, enum key_state *state,
		    int64_t *since, const char **err)
{
	const char *path = path_of(a, file);
	struct slice text, word;

	*state = KEY_ACTIVE;
	*since = 0;
	if (!read_text(a, path, &text, err))
		return false;
	if (text.p[0] == '\0' && text.n == 0)
		return true;
	text = slice_cut(&text, '\n');
	word = slice_cut(&text, ' ');
	if (state_of(word, state) && slice_is(slice_cut(&text, ' '), "since") &&
	    text.p != NULL && time_of(a, text, since))
		return true;
	*err = arena_printf(a,
			    "%s: must be \"STATE since YYYY-MM-DDTHH:MM:SSZ\" "
			    "with new, published, active, retiring or revoked",
			    path);
	return false;
}

static bool write_text(const char *path, struct slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok;

	if (fd < 0)
		return false;
	ok = fchmod(fd, 0644) == 0 &&
	     write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
	return close(fd) == 0 && ok;
}

bool key_state_write(struct arena *a, const char *file, enum key_state state,
		     int64_t since, const char **err)
{
	const char *path = path_of(a, file);
	const char *fresh = arena_printf(a, "%s.tmp", path);
	time_t t = (time_t)since;
	char stamp[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (write_text(fresh, slice_of(arena_printf(a, "%s since %s\n",
						    names[state], stamp))) &&
	    rename(fresh, path) == 0)
		return true;
	*err = arena_printf(a, "%s: %s", path, strerror(errno));
	unlink(fresh);
	return false;
}
