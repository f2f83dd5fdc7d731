/*
 * Names of Unix sockets in the file system: a stale one is replaced, one that
 * somebody answers on never is.
 */
#ifndef MAILSEAL_BASE_UNIX_SOCKET_H
#define MAILSEAL_BASE_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/* False: the path is empty or too long (107 bytes are the most). */
bool unix_socket_address(const char *path, struct sockaddr_un *ret);
/*
 * A stream socket at `path` that does not listen yet, with `mode` from its
 * first moment on.  A path that another process listens on, or that is no
 * socket, stays as it is.  Before threads start: it sets the umask for a
 * moment.  Returns a descriptor, or -1 and a constant or strerror() text in
 * *err.
 */
int unix_socket_bind(const char *path, mode_t mode, const char **err);

#endif
