/*
 * Files of the MTA that setup edits: read whole, copied beside themselves
 * first, and put back or replaced by rename(2), so that the MTA sees the old
 * one or the new one.  Owner and mode stay.
 */
#include "cmd/mta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define FILE_MAX (1024 * 1024)

static const char *read_all(struct arena *a, int fd, struct stat *st,
			    const char **err)
{
	struct strbuf b;
	char chunk[65536];
	ssize_t n;

	strbuf_init(&b, a, FILE_MAX);
	if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode)) {
		*err = "is no file";
		return NULL;
	}
	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && !b.overflow)
		strbuf_add(&b, (struct slice){chunk, (size_t)n});
	if (n < 0 || b.overflow) {
		*err = n < 0 ? strerror(errno) : "is larger than 1 MB";
		return NULL;
	}
	if (b.n > 0 && memchr(b.p, '\0', b.n) != NULL) {
		*err = "is no text";
		return NULL;
	}
	return strbuf_cstr(&b);
}

static const char *read_with_stat(struct arena *a, const char *path,
				  struct stat *st, const char **err)
{
	const char *reason = NULL, *text = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		reason = strerror(errno);
	else
		text = read_all(a, fd, st, &reason);
	if (fd >= 0)
		close(fd);
	if (text == NULL)
		*err = arena_printf(a, "%s: %s", path, reason);
	return text;
}

const char *mta_file_real(struct arena *a, const char *path)
{
	char *real = realpath(path, NULL);
	const char *ret = arena_strdup(a, real != NULL ? real : path);

	free(real);
	return ret;
}

const char *mta_file_read(struct arena *a, const char *path, const char **err)
{
	struct stat st;

	return read_with_stat(a, path, &st, err);
}

/* A new file with owner and mode of `st`, on the disk when this returns. */
static bool write_new(struct arena *a, const char *path, const char *text,
		      const struct stat *st, const char **err)
{
	size_t n = strlen(text);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0) {
		*err = arena_printf(a, "%s: %s", path, strerror(errno));
		return false;
	}
	ok = write(fd, text, n) == (ssize_t)n &&
	     fchown(fd, st->st_uid, st->st_gid) == 0 &&
	     fchmod(fd, st->st_mode & 07777) == 0 && fsync(fd) == 0;
	if (!ok)
		*err = arena_printf(a, "%s: %s", path, strerror(errno));
	close(fd);
	if (!ok)
		(void)unlink(path);
	return ok;
}

const char *mta_file_backup(struct arena *a, const char *path, const char **err)
{
	time_t now = (time_t)clock_unix();
	const char *text, *copy;
	char stamp[32] = "";
	struct stat st;
	struct tm tm;

	text = read_with_stat(a, path, &st, err);
	if (text == NULL)
		return NULL;
	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
	copy = arena_printf(a, "%s.mailseal-%s", path, stamp);
	return write_new(a, copy, text, &st, err) ? copy : NULL;
}

bool mta_file_replace(struct arena *a, const char *path, const char *text,
		      const char **err)
{
	const char *fresh = arena_printf(a, "%s.mailseal-new", path);
	struct stat st;

	if (stat(path, &st) != 0) {
		*err = arena_printf(a, "%s: %s", path, strerror(errno));
		return false;
	}
	(void)unlink(fresh); /* of a run that was killed */
	if (!write_new(a, fresh, text, &st, err))
		return false;
	if (rename(fresh, path) == 0)
		return true;
	*err = arena_printf(a, "%s: %s", path, strerror(errno));
	(void)unlink(fresh);
	return false;
}
