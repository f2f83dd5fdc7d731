/*
 * The filter's end of the key process: one question at a time, each with a
 * bounded wait; only who reads tables anew may wait for long.  After one that
 * was not answered in time nothing is asked any more, since the next answer
 * might be that to the old question.
 */
#include "keys/keyd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "config.h"

#define ANSWER_MS 10000	 /* below an MTA's 30 s */
#define RELOAD_MS 120000 /* a table of 100,000 rows is read in 2 s */
#define BUSY_MS	  5000	 /* how long a message waits for a reload */
#define LOST	  "the key process does not answer; start mailseald anew"
#define BUSY	  "the key process is reading tables; try again later"

struct keyd {
	pthread_mutex_t lock; /* of the talk */
	int fd;
	pid_t pid;
	bool lost;

	pthread_mutex_t drops_lock; /* taken last */
	uint32_t *drops; /* generations to drop when there is time for it */
	size_t ndrops, drops_room;

	bool watched;
	pthread_t watcher;
	atomic_bool closing;
	void (*tell)(void *arg);
	void *tell_arg;
};

/* ---- start and end ---- */

/* No descriptor but the socket leads anywhere.  A sanitizer may speak. */
static bool close_others(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool ok = null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1;

#ifndef MAILSEAL_DEBUG
	ok = ok && dup2(null, 2) == 2;
#endif
	return ok && (fd == 3 || close_range(3, (unsigned)fd - 1, 0) == 0) &&
	       close_range((unsigned)fd + 1, ~0U, 0) == 0;
}

static void child(int fd, const struct keyd_options *o, pid_t parent)
{
	/* A service manager signals all processes of a service, a terminal all
	 * of a job: keys are needed until the last message is done. */
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM,
				      SIGPIPE};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	if (getppid() == parent && close_others(fd) && o->confine(o->arg))
		keyd_serve(fd, o);
	_exit(0);
}

struct keyd *keyd_start(const struct keyd_options *o, const char **err)
{
	pid_t self = getpid(), pid;
	struct keyd *d;
	int ends[2];

	*err = "cannot start the key process: no descriptor";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return NULL;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child(ends[1], o, self);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		*err = "cannot start the key process: no process";
		return NULL;
	}
	d = mem_alloc(sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->drops_lock, NULL);
	atomic_init(&d->closing, false);
	d->fd = ends[0];
	d->pid = pid;
	return d;
}

/* Nothing is to be read here outside of a talk: only the end can come. */
static void *watch(void *arg)
{
	struct keyd *d = arg;
	struct pollfd p = {.fd = d->fd};

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	if (!atomic_load(&d->closing))
		d->tell(d->tell_arg);
	return NULL;
}

bool keyd_watch(struct keyd *d, void (*lost)(void *arg), void *arg)
{
	d->tell = lost;
	d->tell_arg = arg;
	d->watched = pthread_create(&d->watcher, NULL, watch, d) == 0;
	return d->watched;
}

/* It is our child unless we became a daemon since. */
static void reap(pid_t pid)
{
	const struct timespec tick = {0, 10 * 1000 * 1000};

	for (int i = 0; i < 100 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&tick, NULL);
}

void keyd_free(struct keyd *d)
{
	if (d == NULL)
		return;
	atomic_store(&d->closing, true);
	(void)shutdown(d->fd, SHUT_RDWR);
	if (d->watched)
		pthread_join(d->watcher, NULL);
	close(d->fd);
	reap(d->pid);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->drops_lock);
	free(d->drops);
	free(d);
}

/* ---- the talk ---- */

static bool wait_answer(int fd, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms, left = ms;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do {
		n = poll(&p, 1, (int)left);
		left = until - clock_mono_ms();
	} while (n < 0 && errno == EINTR && left > 0);
	return n > 0;
}

/* `text` has room for KEY_TEXT_MAX. */
static bool receive(int fd, struct keyd_answer *ret, char *text, int64_t ms)
{
	struct iovec v[2] = {{ret, sizeof(*ret)}, {text, KEY_TEXT_MAX}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n;

	if (!wait_answer(fd, ms))
		return false;
	do {
		n = recvmsg(fd, &m, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n >= (ssize_t)sizeof(*ret) && (m.msg_flags & MSG_TRUNC) == 0 &&
	       (size_t)n == sizeof(*ret) + ret->length &&
	       ret->state <= KEY_REVOKED;
}

static bool send_request(int fd, const struct keyd_request *q)
{
	ssize_t n;

	do {
		n = send(fd, q, sizeof(*q), MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*q);
}

/* With the lock held.  False: the key process is lost. */
static bool talk(struct keyd *d, struct keyd_request q, struct keyd_answer *ret,
		 char *text)
{
	int64_t ms = q.verb == KEYD_RELOAD ? RELOAD_MS : ANSWER_MS;

	if (!d->lost &&
	    !(send_request(d->fd, &q) && receive(d->fd, ret, text, ms))) {
		d->lost = true;
		(void)shutdown(d->fd, SHUT_RDWR); /* wakes watch() */
	}
	return !d->lost;
}

static bool next_drop(struct keyd *d, uint32_t *ret)
{
	bool ok;

	pthread_mutex_lock(&d->drops_lock);
	ok = d->ndrops > 0;
	if (ok)
		*ret = d->drops[--d->ndrops];
	pthread_mutex_unlock(&d->drops_lock);
	return ok;
}

/* With the lock held. */
static void drop_all(struct keyd *d)
{
	struct keyd_answer answer = {0};
	uint32_t generation;
	char *text = NULL;

	while (next_drop(d, &generation)) {
		if (text == NULL)
			text = mem_alloc(KEY_TEXT_MAX);
		(void)talk(d, (struct keyd_request){KEYD_DROP, generation, 0},
			   &answer, text);
	}
	free(text);
}

static bool lock_within(struct keyd *d, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;
	const struct timespec t = {end / 1000, end % 1000 * 1000000};

	return pthread_mutex_clocklock(&d->lock, CLOCK_MONOTONIC, &t) == 0;
}

static void unlock(struct keyd *d)
{
	drop_all(d);
	pthread_mutex_unlock(&d->lock);
}

bool keyd_reload(struct keyd *d, uint32_t *generation,
		 unsigned char digest[SHA256_LEN], struct strbuf *errors)
{
	const struct keyd_request q = {.verb = KEYD_RELOAD};
	struct keyd_answer answer = {0};
	char *text = mem_alloc(KEY_TEXT_MAX);
	bool ok = false, answered;

	pthread_mutex_lock(&d->lock);
	answered = talk(d, q, &answer, text);
	unlock(d);
	if (!answered) {
		strbuf_adds(errors, LOST "\n");
	} else if (!answer.ok) {
		strbuf_add(errors, (struct slice){text, answer.length});
	} else {
		*generation = answer.generation;
		memcpy(digest, answer.digest, SHA256_LEN);
		ok = true;
	}
	free(text);
	return ok;
}

/* Whoever lets go of a configuration, perhaps the end of a message, does not
 * wait for a talk of others: the next one drops it. */
void keyd_drop(struct keyd *d, uint32_t generation)
{
	pthread_mutex_lock(&d->drops_lock);
	if (d->ndrops == d->drops_room) {
		d->drops_room = d->drops_room > 0 ? 2 * d->drops_room : 8;
		d->drops = mem_realloc(d->drops,
				       d->drops_room * sizeof(*d->drops));
	}
	d->drops[d->ndrops++] = generation;
	pthread_mutex_unlock(&d->drops_lock);
	if (pthread_mutex_trylock(&d->lock) == 0)
		unlock(d);
}

bool keyd_fetch(struct keyd *d, uint32_t generation, size_t row,
		struct arena *a, struct key_text *ret, const char **err)
{
	const struct keyd_request q = {KEYD_FETCH, generation, row};
	struct keyd_answer answer = {0};
	bool answered;

	ret->n = 0;
	ret->since = 0;
	ret->state = KEY_ACTIVE; /* it may be: mail must not leave unsigned */
	if (!lock_within(d, BUSY_MS)) {
		*err = BUSY;
		return false;
	}
	answered = talk(d, q, &answer, ret->p);
	unlock(d);
	if (!answered) {
		*err = LOST;
		return false;
	}
	ret->state = (enum key_state)answer.state;
	ret->since = answer.since;
	if (!answer.ok) {
		*err = arena_printf(a, "%.*s", (int)answer.length, ret->p);
		return false;
	}
	ret->n = answer.length;
	return true;
}
