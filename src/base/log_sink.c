/*
 * The three targets, without syslog(3) and libsystemd: syslog(3) waits while
 * /dev/log is full, and with it every thread of ours.
 *
 * syslog: a datagram as syslog(3) writes it (RFC 3164 4.1, without the host).
 * journald: a datagram of its native protocol; lines are short enough that
 * none needs a file descriptor.  Both sockets are opened again when their
 * reader was.  A stream at /dev/log is not spoken to.
 */
#include "base/log_sink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Milliseconds that all lines of a period together may wait for a reader. */
#define WAIT_MS	  100
#define PERIOD_MS 10000

static struct {
	enum log_target target;
	const char *path;
	int fd;		     /* of a datagram socket, or -1 */
	bool stream;	     /* standard error is a socket */
	int64_t period_from; /* when the budget was full */
	int64_t waited;
} sink = {.target = LOG_TARGET_STDERR, .fd = -1};

static void close_socket(void)
{
	if (sink.fd >= 0)
		close(sink.fd);
	sink.fd = -1;
}

static bool open_socket(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	if (strlen(sink.path) >= sizeof(to.sun_path))
		return false;
	memcpy(to.sun_path, sink.path, strlen(sink.path));
	sink.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sink.fd >= 0 &&
	    connect(sink.fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	close_socket();
	return false;
}

void log_sink_open(enum log_target target, const char *path)
{
	struct stat st;

	close_socket();
	sink.target = target;
	sink.path = path != NULL		  ? path
		    : target == LOG_TARGET_SYSLOG ? "/dev/log"
						  : "/run/systemd/journal/"
						    "socket";
	sink.stream = fstat(STDERR_FILENO, &st) == 0 && S_ISSOCK(st.st_mode);
	sink.waited = 0;
	if (target != LOG_TARGET_STDERR)
		(void)open_socket();
}

/* Waits until the reader has room, as long as the budget allows. */
static bool wait_for_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int64_t now = clock_mono_ms();
	int n;

	if (now - sink.period_from >= PERIOD_MS) {
		sink.period_from = now;
		sink.waited = 0;
	}
	if (sink.waited >= WAIT_MS)
		return false;
	n = poll(&p, 1, (int)(WAIT_MS - sink.waited));
	sink.waited += clock_mono_ms() - now;
	return n > 0;
}

/* ---- standard error ---- */

/* A pipe that is ready has room for one line, since none is over PIPE_BUF.
 * The file description is shared with others, so it is not made
 * non-blocking. */
static bool is_ready(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) > 0 || wait_for_room(STDERR_FILENO);
}

static ssize_t send_stderr(struct iovec *v, size_t n)
{
	struct msghdr m = {.msg_iov = v, .msg_iovlen = n};

	if (sink.stream)
		return sendmsg(STDERR_FILENO, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return is_ready() ? writev(STDERR_FILENO, v, (int)n) : -1;
}

static bool to_stderr(const struct log_line *l)
{
	struct iovec v[] = {
		{unconst(l->ident), l->bare ? 0 : strlen(l->ident)},
		{unconst(": "), l->bare ? 0 : 2},
		{unconst(l->text.p), l->text.n},
		{unconst("\n"), 1},
	};
	size_t n = sizeof(v) / sizeof(*v);
	ssize_t done = send_stderr(v, n);

	if (done < 0 && sink.stream && (errno == EAGAIN || errno == EINTR) &&
	    wait_for_room(STDERR_FILENO))
		done = send_stderr(v, n);
	return done >= 0;
}

/* ---- datagrams ---- */

static ssize_t send_once(struct iovec *v, size_t n)
{
	struct msghdr m = {.msg_iov = v, .msg_iovlen = n};

	return sendmsg(sink.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The reader may have been started anew: then its socket is another. */
static bool to_socket(struct iovec *v, size_t n)
{
	if (sink.fd < 0 && !open_socket())
		return false;
	if (send_once(v, n) >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return wait_for_room(sink.fd) && send_once(v, n) >= 0;
	close_socket();
	return open_socket() && send_once(v, n) >= 0;
}

static bool to_syslog(const struct log_line *l)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)clock_unix();
	char head[128];
	struct iovec v[] = {{head, 0}, {unconst(l->text.p), l->text.n}};
	struct tm t = {0};
	int n;

	localtime_r(&now, &t);
	n = snprintf(head, sizeof(head),
		     "<%d>%.3s %2d %02d:%02d:%02d %.32s[%ld]: ",
		     LOG_MAIL | l->priority, months + 3 * t.tm_mon, t.tm_mday,
		     t.tm_hour, t.tm_min, t.tm_sec, l->ident, (long)getpid());
	v[0].iov_len = (size_t)n;
	return to_socket(v, 2);
}

static bool to_journald(const struct log_line *l)
{
	char head[160];
	struct iovec v[] = {
		{head, 0},
		{unconst(l->fields.p), l->fields.n},
		{unconst("MESSAGE="), 8},
		{unconst(l->text.p), l->text.n},
		{unconst("\n"), 1},
	};
	int n = snprintf(head, sizeof(head),
			 "PRIORITY=%d\nSYSLOG_FACILITY=%d\n"
			 "SYSLOG_IDENTIFIER=%.32s\nSYSLOG_PID=%ld\n",
			 l->priority, LOG_MAIL >> 3, l->ident, (long)getpid());

	v[0].iov_len = (size_t)n;
	return to_socket(v, sizeof(v) / sizeof(*v));
}

bool log_sink_write(const struct log_line *l)
{
	switch (sink.target) {
	case LOG_TARGET_STDERR:
		return to_stderr(l);
	case LOG_TARGET_SYSLOG:
		return to_syslog(l);
	case LOG_TARGET_JOURNALD:
		return to_journald(l);
	}
	return false;
}
