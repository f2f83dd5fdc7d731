/* Probing, making way and binding. */
#include "base/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

bool unix_socket_address(const char *path, struct sockaddr_un *ret)
{
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(ret->sun_path))
		return false;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, path, n + 1);
	return true;
}

/* Does somebody answer at this path? */
static bool is_alive(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive;

	if (fd < 0)
		return true;
	alive = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
		(errno != ECONNREFUSED && errno != ENOENT);
	close(fd);
	return alive;
}

/* Makes way for the new socket: NULL when the path is free. */
static const char *clear_path(const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) != 0)
		return NULL;
	if (!S_ISSOCK(st.st_mode))
		return "exists and is no socket; remove it or choose another "
		       "path";
	if (is_alive(sun))
		return "is in use: another mailseald runs on it; stop that one "
		       "first";
	return unlink(sun->sun_path) == 0 ? NULL
					  : "is stale and cannot be "
					    "removed";
}

int unix_socket_bind(const char *path, mode_t mode, const char **err)
{
	struct sockaddr_un sun;
	const char *why;
	mode_t old;
	int fd;

	if (!unix_socket_address(path, &sun)) {
		*err = "path is empty or too long (at most 107 bytes)";
		return -1;
	}
	why = clear_path(&sun);
	if (why != NULL) {
		*err = why;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	old = umask(0777 & ~mode);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
		why = strerror(errno);
	umask(old);
	if (why != NULL) {
		*err = why;
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}
