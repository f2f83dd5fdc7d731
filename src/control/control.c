/*
 * The server of the control socket: the thread that polls, and its start and
 * end.
 */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unix_socket.h"
#include "control/server.h"

#define BACKLOG	   64
#define REQUEST_MS 10000
#define REPLY_MS   60000

/* So that who may not do anything keeps nobody else out. */
enum { STRANGERS_MAX = 4, READERS_MAX = 16, ADMINS_MAX = 16 };
static const unsigned callers_of[CONTROL_ROLES] = {STRANGERS_MAX, READERS_MAX,
						   ADMINS_MAX};
_Static_assert(STRANGERS_MAX + READERS_MAX + ADMINS_MAX <= CALLERS_MAX,
	       "each of them has a place");

void server_wake(struct control *c)
{
	const uint64_t one = 1;

	(void)!write(c->wake_fd, &one, sizeof(one));
}

/* ---- the polling thread -------------------------------------------------- */

static unsigned count_role(const struct control *c, enum control_role role)
{
	unsigned n = 0;

	for (size_t i = 0; i < c->ncallers; i++)
		n += c->callers[i]->who.role == role;
	return n;
}

static void accept_all(struct control *c)
{
	static const char busy[] = "status 75\ntoo many ask at once; try "
				   "again\n";
	struct peer who;

	for (;;) {
		int fd = accept4(c->listen_fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno != EAGAIN && errno != EINTR &&
			    errno != ECONNABORTED)
				c->accept_after =
					clock_mono_ms() + CONTROL_PAUSE_MS;
			return;
		}
		if (peer_get(fd, (gid_t)c->groups[CONTROL_READ],
			     (gid_t)c->groups[CONTROL_ADMIN], &who) &&
		    count_role(c, who.role) < callers_of[who.role]) {
			c->callers[c->ncallers] = caller_new(
				fd, &who, clock_mono_ms() + c->o.request_ms);
			c->callers[c->ncallers++]->server = c;
			continue;
		}
		(void)!send(fd, busy, sizeof(busy) - 1,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
	}
}

static short events_of(const struct caller *k)
{
	if (k->state == CALLER_ASKS)
		return POLLIN;
	return k->sent < k->out.n ? POLLOUT : 0;
}

static void serve_caller(struct control *c, struct caller *k, short revents)
{
	if (k->fd < 0)
		return;
	if (k->state == CALLER_ASKS && (revents & (POLLIN | POLLHUP)) != 0)
		server_take_request(c, k);
	else if ((revents & (POLLERR | POLLHUP)) != 0)
		caller_hang_up(k);
	if (k->fd >= 0 && k->sent < k->out.n && caller_write(k) == CALLER_GONE)
		caller_hang_up(k);
	if (k->state != CALLER_WAITS && clock_mono_ms() > k->deadline)
		caller_hang_up(k);
	if (k->state == CALLER_TAKES && k->sent == k->out.n)
		caller_hang_up(k);
}

/* Those that are gone, but for those whose command runs. */
static void sweep(struct control *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->ncallers; i++) {
		struct caller *k = c->callers[i];

		if (k->fd < 0 && k->state != CALLER_WAITS)
			caller_free(k);
		else
			c->callers[kept++] = k;
	}
	c->ncallers = kept;
}

/* Milliseconds until something is due, or -1. */
static int next_wait(const struct control *c)
{
	int64_t now = clock_mono_ms(), at = INT64_MAX;

	if (c->o.tick != NULL)
		at = c->next_tick;
	if (c->listen_fd >= 0 && c->accept_after > now && c->accept_after < at)
		at = c->accept_after;
	for (size_t i = 0; i < c->ncallers; i++)
		if (c->callers[i]->state != CALLER_WAITS &&
		    c->callers[i]->deadline < at)
			at = c->callers[i]->deadline;
	if (at == INT64_MAX)
		return -1;
	return at <= now ? 0 : (int)(at - now) + 1;
}

/* [0] the socket, [1] wake_fd, then the callers in their order. */
static size_t fill(const struct control *c, struct pollfd *v)
{
	bool listening =
		c->listen_fd >= 0 && c->accept_after <= clock_mono_ms();

	v[0] = (struct pollfd){listening ? c->listen_fd : -1, POLLIN, 0};
	v[1] = (struct pollfd){c->wake_fd, POLLIN, 0};
	for (size_t i = 0; i < c->ncallers; i++)
		v[i + 2] = (struct pollfd){c->callers[i]->fd,
					   events_of(c->callers[i]), 0};
	return c->ncallers;
}

static void serve_all(struct control *c, const struct pollfd *v, size_t n)
{
	uint64_t ignored;

	if (v[1].revents != 0)
		(void)!read(c->wake_fd, &ignored, sizeof(ignored));
	if (atomic_load(&c->closing) && c->listen_fd >= 0) {
		close(c->listen_fd);
		c->listen_fd = -1;
	}
	for (size_t i = 0; i < n; i++)
		serve_caller(c, c->callers[i], v[i + 2].revents);
	sweep(c);
	if (v[0].revents != 0 && c->listen_fd >= 0)
		accept_all(c);
}

static void maybe_tick(struct control *c)
{
	int64_t now = clock_mono_ms();

	if (c->o.tick == NULL || now < c->next_tick)
		return;
	c->o.tick(c->o.arg);
	c->next_tick = now + c->o.tick_ms;
}

static void *poll_loop(void *arg)
{
	struct pollfd v[2 + CALLERS_MAX];
	struct control *c = arg;
	size_t n;
	int wait;

	while (!atomic_load(&c->stopping)) {
		maybe_tick(c);
		pthread_mutex_lock(&c->mutex);
		n = fill(c, v);
		wait = next_wait(c);
		pthread_mutex_unlock(&c->mutex);
		if (poll(v, n + 2, wait) < 0)
			continue; /* EINTR; memory may be short for a while */
		pthread_mutex_lock(&c->mutex);
		serve_all(c, v, n);
		pthread_mutex_unlock(&c->mutex);
	}
	return NULL;
}

/* ---- from start to end --------------------------------------------------- */

/* Everybody may connect: what one may do, peer.c finds out. */
static int open_path(struct control *c, const char *path, const char **err)
{
	struct stat st;
	int fd = unix_socket_bind(path, 0666, err);

	if (fd < 0)
		return -1;
	if (lstat(path, &st) == 0) {
		c->dev = st.st_dev;
		c->ino = st.st_ino;
	}
	if (c->ino == 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		*err = strerror(errno);
		close(fd);
		return -1;
	}
	return fd;
}

struct control *control_new(struct arena *a, const struct control_options *o,
			    const char **err)
{
	struct control *c = mem_alloc(sizeof(*c));
	const char *why = NULL;

	c->o = *o;
	c->o.request_ms = o->request_ms > 0 ? o->request_ms : REQUEST_MS;
	c->o.reply_ms = o->reply_ms > 0 ? o->reply_ms : REPLY_MS;
	c->o.path = o->path != NULL ? mem_strdup(o->path) : NULL;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->queued, NULL);
	control_set_groups(c, CONTROL_NOBODY, CONTROL_NOBODY);
	c->listen_fd = -1;
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0)
		why = strerror(errno);
	else if (o->path != NULL && o->path[0] != '\0')
		c->listen_fd = open_path(c, o->path, &why);
	if (why == NULL)
		return c;
	*err = arena_printf(a, "control.socket %s: %s", o->path, why);
	control_free(c);
	return NULL;
}

void control_set_groups(struct control *c, gid_t read, gid_t admin)
{
	atomic_store(&c->groups[CONTROL_READ], read);
	atomic_store(&c->groups[CONTROL_ADMIN], admin);
}

bool control_start(struct control *c)
{
	for (int role = CONTROL_READ; role <= CONTROL_ADMIN; role++) {
		struct worker *w = &c->workers[role];

		w->server = c;
		w->runs = pthread_create(&w->thread, NULL, server_work, w) == 0;
		if (!w->runs)
			return false;
	}
	c->runs = pthread_create(&c->thread, NULL, poll_loop, c) == 0;
	return c->runs;
}

static void remove_path(const struct control *c)
{
	struct stat st;

	if (c->ino != 0 && lstat(c->o.path, &st) == 0 && st.st_dev == c->dev &&
	    st.st_ino == c->ino)
		(void)unlink(c->o.path);
}

void control_close(struct control *c)
{
	if (atomic_exchange(&c->closing, true))
		return;
	remove_path(c);
	server_wake(c);
}

/* What is complete is offered once more; nobody waits for who does not
 * read. */
static void end_callers(struct control *c)
{
	for (size_t i = 0; i < c->ncallers; i++) {
		if (c->callers[i]->fd >= 0)
			(void)caller_write(c->callers[i]);
		caller_free(c->callers[i]);
	}
}

void control_free(struct control *c)
{
	if (c == NULL)
		return;
	control_close(c);
	pthread_mutex_lock(&c->mutex);
	atomic_store(&c->stopping, true);
	pthread_cond_broadcast(&c->queued);
	pthread_mutex_unlock(&c->mutex);
	server_wake(c);
	if (c->runs)
		pthread_join(c->thread, NULL);
	for (int role = CONTROL_READ; role <= CONTROL_ADMIN; role++)
		if (c->workers[role].runs)
			pthread_join(c->workers[role].thread, NULL);
	end_callers(c);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	pthread_cond_destroy(&c->queued);
	pthread_mutex_destroy(&c->mutex);
	free(unconst(c->o.path));
	free(c);
}
