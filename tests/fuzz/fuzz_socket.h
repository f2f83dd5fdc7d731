/*
 * For the targets that are servers: a Unix socket in a folder of its own, and
 * one exchange with it, all bytes out and then all bytes in.
 */
#ifndef MAILSEAL_TESTS_FUZZ_SOCKET_H
#define MAILSEAL_TESTS_FUZZ_SOCKET_H

#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define FUZZ_SOCKET_SECONDS 8 /* of silence: the server hangs */

static char fuzz_socket_folder[] = "/tmp/mailseal-fuzz-XXXXXX";
static char fuzz_socket_path[sizeof(fuzz_socket_folder) + 8];

static inline void fuzz_socket_clean(void)
{
	unlink(fuzz_socket_path);
	rmdir(fuzz_socket_folder);
}

/* Makes the folder, and removes it at exit; the path is for a socket. */
static inline const char *fuzz_socket_new(void)
{
	FUZZ_CHECK(mkdtemp(fuzz_socket_folder) != NULL);
	(void)snprintf(fuzz_socket_path, sizeof(fuzz_socket_path), "%s/socket",
		       fuzz_socket_folder);
	FUZZ_CHECK(atexit(fuzz_socket_clean) == 0);
	return fuzz_socket_path;
}

static inline int fuzz_socket_dial(void)
{
	const struct timeval t = {FUZZ_SOCKET_SECONDS, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memcpy(sun.sun_path, fuzz_socket_path, sizeof(fuzz_socket_path));
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	return fd;
}

/* `bytes` fit into the buffer of a socket.  What the server says until it
 * hangs up, into `ret`. */
static inline void fuzz_socket_exchange(struct slice bytes, struct strbuf *ret)
{
	int fd = fuzz_socket_dial();
	char chunk[65536];
	ssize_t n;

	if (bytes.n > 0)
		(void)!send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	/* libFuzzer's clock is a signal */
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0 ||
	       (n < 0 && errno == EINTR))
		strbuf_add(ret, (struct slice){chunk, n > 0 ? (size_t)n : 0});
	/* it may hang up before it has read everything */
	FUZZ_CHECK(n == 0 || errno == ECONNRESET);
	close(fd);
}

#endif
