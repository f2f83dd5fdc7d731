/*
 * The file of revoked logins, and the list that was read from it.
 *
 * The file that was read stays open: while it is, no other one gets its inode
 * number, so that one that was put in its place is always seen as another.
 * `lock` guards all of it; a change has the lock of the folder, too, which
 * comes first.
 */
#include "milter/revocations.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define FILE_NAME "revoked"
#define TEMP_NAME "revoked.new"
#define FILE_MAX  (REVOKED_MAX * (REVOKED_LOGIN_MAX + 1))
#define LOCK_MS	  3000
#define PAUSE_MS  5

struct revocations {
	char *folder, *path;
	bool strip_realm;
	pthread_mutex_t lock;
	struct revoked_list *list; /* NULL: it cannot be told */
	char *fault;		   /* then: one line */
	struct stat seen;	   /* of what was read; or: */
	bool stale;		   /* to be read anyway */
	int fd;			   /* of what was read, or -1: there is none */
};

struct revocations *revocations_new(const char *folder, bool strip_realm)
{
	struct revocations *r = mem_alloc(sizeof(*r));
	size_t n = strlen(folder) + sizeof("/" FILE_NAME);

	r->folder = mem_strdup(folder);
	r->path = mem_alloc(n);
	(void)snprintf(r->path, n, "%s/" FILE_NAME, folder);
	r->strip_realm = strip_realm;
	r->fd = -1;
	r->stale = true;
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

static void forget(struct revocations *r)
{
	revoked_list_free(r->list);
	free(r->fault);
	if (r->fd >= 0)
		close(r->fd);
	r->list = NULL;
	r->fault = NULL;
	r->fd = -1;
	r->stale = true;
}

void revocations_free(struct revocations *r)
{
	if (r == NULL)
		return;
	forget(r);
	pthread_mutex_destroy(&r->lock);
	free(r->folder);
	free(r->path);
	free(r);
}

/* ---- reading; with the lock held ----------------------------------------- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size &&
	       same_time(&a->st_mtim, &b->st_mtim) &&
	       same_time(&a->st_ctim, &b->st_ctim);
}

/* Who else can write it decides who is revoked. */
static const char *objection(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return "is a symbolic link; put a regular file in its place";
	if (!S_ISREG(st->st_mode))
		return "is no regular file; put one in its place";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "is another user's; chown it to the user of mailseald";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "others may write it; cure: chmod go-w";
	if (st->st_size > FILE_MAX)
		return "is longer than 10000 logins can be; remove some";
	return NULL;
}

static void fail(struct revocations *r, const char *why)
{
	struct arena *a = arena_new();

	r->fault = mem_strdup(arena_printf(a, "%s: %s", r->path, why));
	arena_free(a);
}

/* All of it, up to one byte more than it may have; false with errno. */
static bool read_all(int fd, struct strbuf *b)
{
	char chunk[65536];
	ssize_t n = 1;

	while (n > 0 && !b->overflow) {
		n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			strbuf_add(b, (struct slice){chunk, (size_t)n});
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	return n >= 0;
}

static void parse(struct revocations *r)
{
	struct arena *a = arena_new();
	const char *err = NULL;
	struct strbuf b;

	strbuf_init(&b, a, FILE_MAX);
	if (!read_all(r->fd, &b)) {
		fail(r, strerror(errno));
		r->stale = true;
	} else if (b.overflow) {
		fail(r, "grew while it was read");
		r->stale = true;
	} else {
		r->list = revoked_list_read(a, strbuf_slice(&b), r->path,
					    r->strip_realm, &err);
		if (r->list == NULL)
			r->fault = mem_strdup(err);
	}
	arena_free(a);
}

static void read_file(struct revocations *r)
{
	const char *why = NULL;

	r->fd = open(r->path,
		     O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (r->fd < 0 || fstat(r->fd, &r->seen) != 0) {
		fail(r, strerror(errno));
		return; /* stale: it is tried again */
	}
	r->stale = false;
	why = objection(&r->seen);
	if (why != NULL)
		fail(r, why);
	else
		parse(r);
}

static void read_nothing(struct revocations *r)
{
	const char *err = NULL;

	r->list = revoked_list_read(NULL, SLICE(""), r->path, r->strip_realm,
				    &err);
	r->stale = false;
}

/* Where anybody may write, a file that is not there tells nothing. */
static const char *folder_objection(const struct revocations *r)
{
	struct stat st;

	if (stat(r->folder, &st) != 0 || (st.st_mode & S_IWOTH) == 0)
		return NULL; /* in the first case the file tells */
	return "others may write to the folder; chmod o-w";
}

/* Makes the list that of the file as it is now; NULL, or what is wrong. */
static const char *refresh(struct revocations *r)
{
	const char *why = folder_objection(r);
	struct stat st;
	bool gone;

	if (why != NULL) {
		forget(r);
		fail(r, why);
	} else if (lstat(r->path, &st) != 0) {
		gone = errno == ENOENT;
		why = strerror(errno);
		if (gone && !r->stale && r->fd < 0)
			return NULL;
		forget(r);
		if (gone)
			read_nothing(r);
		else
			fail(r, why);
	} else if (r->stale || r->fd < 0 || !same_file(&st, &r->seen)) {
		forget(r);
		why = objection(&st);
		if (why != NULL)
			fail(r, why); /* a device is not even opened */
		else
			read_file(r);
	}
	return r->fault;
}

/* ---- asking -------------------------------------------------------------- */

enum revoked_answer revocations_ask(struct revocations *r, struct arena *a,
				    struct slice login, const char **why)
{
	enum revoked_answer ret;
	const char *fault;

	pthread_mutex_lock(&r->lock);
	fault = refresh(r);
	if (fault != NULL) {
		*why = arena_strdup(a, fault);
		ret = REVOKED_UNKNOWN;
	} else {
		ret = revoked_list_has(r->list, login) ? REVOKED_YES
						       : REVOKED_NO;
	}
	pthread_mutex_unlock(&r->lock);
	return ret;
}

bool revocations_check(struct revocations *r, struct arena *a, const char **why)
{
	/* nobody has the empty login */
	return revocations_ask(r, a, SLICE(""), why) != REVOKED_UNKNOWN;
}

static void list(const struct revoked_list *l, struct strbuf *ret)
{
	size_t n = revoked_list_size(l), i = 0;

	/* of a login each byte may take four; and there is a last line */
	for (; i < n; i++) {
		struct slice s = revoked_list_login(l, i);

		if (ret->n + 4 * s.n + 200 > ret->max)
			break;
		strbuf_add_escaped(ret, s, REVOKED_LOGIN_MAX);
		strbuf_addc(ret, '\n');
	}
	if (i < n)
		strbuf_printf(ret,
			      "(%zu more, for which an answer has no "
			      "room)\n",
			      n - i);
}

bool revocations_list(struct revocations *r, struct arena *a,
		      struct strbuf *ret, const char **why)
{
	const char *fault;

	pthread_mutex_lock(&r->lock);
	fault = refresh(r);
	if (fault != NULL)
		*why = arena_strdup(a, fault);
	else
		list(r->list, ret);
	pthread_mutex_unlock(&r->lock);
	return fault == NULL;
}

/* ---- changing ------------------------------------------------------------ */

static void pause_ms(long ms)
{
	const struct timespec t = {0, ms * 1000000};

	(void)nanosleep(&t, NULL);
}

/* The folder with its lock, which goes with the descriptor; -1 with errno. */
static int lock_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t end = clock_mono_ms() + LOCK_MS;

	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if ((errno == EWOULDBLOCK || errno == EINTR) &&
		    clock_mono_ms() < end) {
			pause_ms(PAUSE_MS);
			continue;
		}
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = slice_from(s, (size_t)n);
	}
	return true;
}

/* What an end in the midst of this had left is nobody's. */
static bool write_temp(int folder, struct slice text)
{
	bool ok;
	int fd;

	if (unlinkat(folder, TEMP_NAME, 0) != 0 && errno != ENOENT)
		return false;
	fd = openat(folder, TEMP_NAME,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return false;
	ok = fchmod(fd, 0640) == 0 && write_all(fd, text) && fsync(fd) == 0;
	return close(fd) == 0 && ok;
}

/* NULL, or what went wrong; the file is the old one or the new one. */
static const char *replace(int folder, struct slice text)
{
	const char *why;

	if (write_temp(folder, text) &&
	    renameat(folder, TEMP_NAME, folder, FILE_NAME) == 0)
		return fsync(folder) == 0 ? NULL : strerror(errno);
	why = strerror(errno);
	(void)unlinkat(folder, TEMP_NAME, 0);
	return why;
}

/* The text that the file is to have. */
static enum revocations_done change(struct revocations *r, struct arena *a,
				    struct slice login, bool undo,
				    struct strbuf *text, const char **why)
{
	const char *fault = refresh(r);

	if (fault != NULL) {
		*why = arena_strdup(a, fault);
		return REVOCATIONS_FAILED;
	}
	if (revoked_list_has(r->list, login) != undo)
		return REVOCATIONS_SAME;
	if (undo) {
		revoked_list_without(r->list, login, text);
		return REVOCATIONS_DONE;
	}
	if (revoked_list_size(r->list) == REVOKED_MAX) {
		*why = arena_printf(a,
				    "%s: %d logins are revoked, and no more "
				    "can be; undo some, or use revoked = true "
				    "in submission.credentials",
				    r->path, REVOKED_MAX);
		return REVOCATIONS_BAD;
	}
	revoked_list_with(r->list, login, text);
	return REVOCATIONS_DONE;
}

enum revocations_done revocations_change(struct revocations *r, struct arena *a,
					 struct slice login, bool undo,
					 const char **why)
{
	enum revocations_done ret;
	const char *failed;
	struct strbuf text;
	int folder;

	*why = revoked_objection(login, r->strip_realm);
	if (*why != NULL) {
		*why = arena_printf(a, "the login %s", *why);
		return REVOCATIONS_BAD;
	}
	folder = lock_folder(r->folder);
	if (folder < 0) {
		*why = arena_printf(a, "%s: %s", r->folder,
				    errno == EWOULDBLOCK
					    ? "another process has its lock"
					    : strerror(errno));
		return REVOCATIONS_FAILED;
	}
	strbuf_init(&text, a, FILE_MAX);
	pthread_mutex_lock(&r->lock);
	ret = change(r, a, login, undo, &text, why);
	pthread_mutex_unlock(&r->lock);
	failed = ret == REVOCATIONS_DONE ? replace(folder, strbuf_slice(&text))
					 : NULL;
	close(folder);
	if (failed == NULL)
		return ret;
	*why = arena_printf(a, "%s: %s", r->path, failed);
	return REVOCATIONS_FAILED;
}
