/* The socket that the HTTP server listens on. */
#include "control/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/unix_socket.h"

#define BACKLOG 16

static socklen_t address_of(const struct endpoint *e,
			    struct sockaddr_storage *ret)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(e->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(e->port)};

	memcpy(&in.sin_addr, e->addr.b, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, e->addr.b, sizeof(in6.sin6_addr));
	if (e->addr.family == IP_V4)
		memcpy(ret, &in, sizeof(in));
	else
		memcpy(ret, &in6, sizeof(in6));
	return e->addr.family == IP_V4 ? sizeof(in) : sizeof(in6);
}

static int bind_port(const struct endpoint *e, const char **err)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = address_of(e, &sa);
	int one = 1;
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*err = strerror(errno);
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	*err = errno == EADDRINUSE ? "is in use by another program; choose "
				     "another port"
				   : strerror(errno);
	close(fd);
	return -1;
}

/* Root in a folder that may belong to another: no symlink is followed. */
static int bind_path(const char *path, gid_t group, const char **err)
{
	int fd = unix_socket_bind(path, 0660, err);

	if (fd < 0 || group == (gid_t)-1 || lchown(path, (uid_t)-1, group) == 0)
		return fd;
	*err = "cannot be given to its group; start as root, or as a member "
	       "of that group";
	(void)unlink(path);
	close(fd);
	return -1;
}

int http_listen(struct arena *a, const char *where, gid_t group,
		const char **err)
{
	struct endpoint e;
	const char *why = "is no address of this host";
	int fd = -1;

	if (endpoint_parse(where, &e))
		fd = e.path != NULL ? bind_path(e.path, group, &why)
				    : bind_port(&e, &why);
	if (fd >= 0 && listen(fd, BACKLOG) != 0) {
		why = strerror(errno);
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		*err = arena_printf(a, "%s %s", where, why);
	return fd;
}

void http_unlink(const char *where)
{
	struct endpoint e;

	if (endpoint_parse(where, &e) && e.path != NULL)
		(void)unlink(e.path);
}
