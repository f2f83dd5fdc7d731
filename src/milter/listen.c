/*
 * The listening socket is ours: made, probed, owned and given its mode here,
 * then handed to libmilter as "fd:N".  (libmilter's own opening removes even a
 * live socket, and does not set TCP_NODELAY, which costs a reply over TCP some
 * 40 ms; accepted sockets inherit it from the listening one.)
 */
#include "milter/milter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/unix_socket.h"

#define BACKLOG 1024

/* Root in a folder that belongs to `user`: what stands at the path may not be
 * our socket any more.  So no symlink is followed, and the mode is that of the
 * bind. */
static const char *unix_grant(const char *path, const char *group)
{
	struct group *g;

	if (group[0] == '\0')
		return NULL;
	g = getgrnam(group);
	if (g == NULL)
		return "socket_group is no group of this host";
	if (lchown(path, (uid_t)-1, g->gr_gid) != 0)
		return "cannot be given to socket_group";
	return NULL;
}

static int open_unix(const char *path, const char *mode, const char *group,
		     const char **err)
{
	int fd = unix_socket_bind(path, (mode_t)strtoul(mode, NULL, 8), err);

	if (fd < 0)
		return -1;
	*err = unix_grant(path, group);
	if (*err == NULL && listen(fd, BACKLOG) != 0)
		*err = strerror(errno);
	if (*err != NULL) {
		close(fd);
		return -1;
	}
	return fd;
}

static int bind_inet(const struct addrinfo *ai, const char **err)
{
	int one = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*err = strerror(errno);
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		*err = strerror(errno);
		close(fd);
		return -1;
	}
	return fd;
}

/* "port@addr" */
static int open_inet(struct arena *a, const char *where, const char **err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV |
					     AI_PASSIVE};
	struct addrinfo *ai = NULL;
	struct slice addr = slice_of(where);
	struct slice port = slice_cut(&addr, '@');
	int fd, rc;

	if (addr.p == NULL || addr.n == 0) {
		*err = "give an address: inet:port@address";
		return -1;
	}
	if (addr.n > 2 && addr.p[0] == '[' && addr.p[addr.n - 1] == ']')
		addr = (struct slice){addr.p + 1, addr.n - 2};
	rc = getaddrinfo(slice_cstr(a, addr), slice_cstr(a, port), &hints, &ai);
	if (rc != 0) {
		*err = gai_strerror(rc);
		return -1;
	}
	fd = bind_inet(ai, err);
	freeaddrinfo(ai);
	return fd;
}

static int open_fd(const char *number, const char **err)
{
	uint64_t n;
	int on;
	socklen_t len = sizeof(on);

	if (!slice_u64(slice_of(number), 65535, &n) ||
	    getsockopt((int)n, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) != 0 ||
	    on == 0) {
		*err = "is no listening socket that we were given";
		return -1;
	}
	return (int)n;
}

int listen_open(struct arena *a, const char *where, const char *mode,
		const char *group, const char **err)
{
	struct slice rest = slice_of(where);
	struct slice kind = slice_cut(&rest, ':');
	int fd = -1;

	*err = NULL;
	if (rest.p == NULL)
		*err = "use unix:/path, inet:port@address or fd:N";
	else if (slice_is(kind, "unix") || slice_is(kind, "local"))
		fd = open_unix(rest.p, mode, group, err);
	else if (slice_is(kind, "inet") || slice_is(kind, "inet6"))
		fd = open_inet(a, rest.p, err);
	else if (slice_is(kind, "fd"))
		fd = open_fd(rest.p, err);
	else
		*err = "use unix:/path, inet:port@address or fd:N";
	if (fd < 0)
		*err = arena_printf(a, "socket %s: %s", where, *err);
	else /* another process may accept what woke us: do not wait for more */
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

void listen_address(int fd, struct listen_address *ret)
{
	*ret = (struct listen_address){.n = sizeof(ret->sa)};
	if (getsockname(fd, (struct sockaddr *)&ret->sa, &ret->n) != 0)
		ret->n = 0;
}

void listen_knock(const struct listen_address *self)
{
	int fd = self->n > 0 ? socket(self->sa.ss_family,
				      SOCK_STREAM | SOCK_CLOEXEC |
					      SOCK_NONBLOCK,
				      0)
			     : -1;

	if (fd < 0)
		return;
	(void)connect(fd, (const struct sockaddr *)&self->sa, self->n);
	close(fd);
}

/* An address of the kernel's choice, which nobody knows. */
static int listen_nowhere(void)
{
	struct sockaddr_un nobody = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && (bind(fd, (struct sockaddr *)&nobody,
			     offsetof(struct sockaddr_un, sun_path)) != 0 ||
			listen(fd, 1) != 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * libmilter sleeps in a poll of the old socket.  When that wakes it, poll(2)
 * looks at what `fd` is by then, and sleeps on if nothing waits there: so the
 * new one is knocked at first.
 */
void listen_close(const char *where, int fd)
{
	struct slice path = slice_of(where), kind = slice_cut(&path, ':');
	struct listen_address old, fresh;
	int other = listen_nowhere();

	listen_address(fd, &old);
	if (other >= 0) {
		listen_address(other, &fresh);
		listen_knock(&fresh);
		if (dup2(other, fd) >= 0)
			listen_knock(&old);
		close(other);
	}
	if (slice_is(kind, "unix") || slice_is(kind, "local"))
		(void)unlink(path.p);
}
