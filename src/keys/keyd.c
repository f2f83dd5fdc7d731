/*
 * The filter's end of the key process: one question at a time, each with a
 * bounded wait.  After one that was not answered in time nothing is asked any
 * more, since the next answer might be that to the old question.
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

#define ANSWER_MS 10000 /* below an MTA's 30 s; a large table is read in 2 */
#define LOST	  "the key process does not answer; start mailseald anew"

struct keyd {
	pthread_mutex_t lock; /* of the talk */
	int fd;
	pid_t pid;
	bool lost;

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
	free(d);
}

/* ---- the talk ---- */

static bool wait_answer(int fd)
{
	int64_t until = clock_mono_ms() + ANSWER_MS, left = ANSWER_MS;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do {
		n = poll(&p, 1, (int)left);
		left = until - clock_mono_ms();
	} while (n < 0 && errno == EINTR && left > 0);
	return n > 0;
}

/* `text` has room for KEY_TEXT_MAX. */
static bool receive(int fd, struct keyd_answer *ret, char *text)
{
	struct iovec v[2] = {{ret, sizeof(*ret)}, {text, KEY_TEXT_MAX}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n;

	if (!wait_answer(fd))
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

/* False: the key process is lost.  `ret->ok` is what it says. */
static bool ask(struct keyd *d, struct keyd_request q, struct keyd_answer *ret,
		char *text)
{
	bool ok;

	pthread_mutex_lock(&d->lock);
	if (!d->lost &&
	    !(send_request(d->fd, &q) && receive(d->fd, ret, text))) {
		d->lost = true;
		(void)shutdown(d->fd, SHUT_RDWR); /* wakes watch() */
	}
	ok = !d->lost;
	pthread_mutex_unlock(&d->lock);
	return ok;
}

bool keyd_reload(struct keyd *d, uint32_t *generation,
		 unsigned char digest[SHA256_LEN], struct strbuf *errors)
{
	const struct keyd_request q = {.verb = KEYD_RELOAD};
	struct keyd_answer answer = {0};
	char *text = mem_alloc(KEY_TEXT_MAX);
	bool ok = false;

	if (!ask(d, q, &answer, text)) {
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

void keyd_drop(struct keyd *d, uint32_t generation)
{
	const struct keyd_request q = {KEYD_DROP, generation, 0};
	struct keyd_answer answer = {0};
	char *text = mem_alloc(KEY_TEXT_MAX);

	(void)ask(d, q, &answer, text);
	free(text);
}

bool keyd_fetch(struct keyd *d, uint32_t generation, size_t row,
		struct arena *a, struct key_text *ret, const char **err)
{
	const struct keyd_request q = {KEYD_FETCH, generation, row};
	struct keyd_answer answer = {0};

	ret->n = 0;
	ret->since = 0;
	ret->state = KEY_ACTIVE; /* it may be: mail must not leave unsigned */
	if (!ask(d, q, &answer, ret->p)) {
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
