/* One question, to the end of its answer. */
#include "control/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "control/control.h"

/* Progress is thrown away as it is read. */
#define ANSWER_MAX (CONTROL_REPLY_MAX + 2 * CONTROL_REQUEST_MAX)

struct answer {
	const struct control_question *q;
	struct strbuf in;
	size_t at;   /* what was read of it */
	bool status; /* its line was seen */
	struct control_answer *ret;
};

static int dial(const struct control_question *q)
{
	const struct timeval t = {q->silence_ms / 1000,
				  q->silence_ms % 1000 * 1000};
	struct sockaddr_un sun;
	int fd;

	if (!unix_socket_address(q->path, &sun)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* NULL, or why nothing is asked: who has put a socket there is nobody that we
 * believe. */
static const char *distrust(struct arena *a, const struct control_question *q,
			    int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	if (q->nowners == 0)
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
		return strerror(errno);
	for (size_t i = 0; i < q->nowners; i++)
		if (who.uid == q->owners[i])
			return NULL;
	return arena_printf(a, "it is a socket of user %lu, who is not trusted",
			    (unsigned long)who.uid);
}

static bool send_request(int fd, const char *request)
{
	struct iovec v[2] = {{unconst(request), strlen(request)},
			     {unconst("\n"), 1}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	size_t n = v[0].iov_len + 1;

	/* it fits into the buffer of a socket; who refuses us at once has not
	 * read it and says why */
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)n || errno == EPIPE;
}

static void take_fd(struct control_answer *ret, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		    c->cmsg_len != CMSG_LEN(sizeof(int)))
			continue;
		if (ret->fd >= 0)
			close(ret->fd);
		memcpy(&ret->fd, CMSG_DATA(c), sizeof(int));
	}
}

static ssize_t receive(int fd, struct answer *r)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char chunk[65536];
	struct iovec iov = {chunk, sizeof(chunk)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		take_fd(r->ret, &m);
		strbuf_add(&r->in, (struct slice){chunk, (size_t)n});
	}
	return n;
}

/* The lines before the text.  False: that is no answer of ours. */
static bool read_lines(struct answer *r)
{
	struct slice rest = slice_from(strbuf_slice(&r->in), r->at), line;
	uint64_t status;

	while (!r->status && slice_chr(rest, '\n') >= 0) {
		line = slice_cut(&rest, '\n');
		r->at += line.n + 1;
		if (slice_starts(line, "progress ")) {
			if (r->q->progress != NULL)
				r->q->progress(r->q->arg, slice_from(line, 9));
		} else if (slice_starts(line, "status ") &&
			   slice_u64(slice_from(line, 7), 255, &status)) {
			r->ret->status = (int)status;
			r->status = true;
		} else {
			return false;
		}
	}
	if (!r->status && r->at == r->in.n)
		r->at = r->in.n = 0;
	return true;
}

/* NULL, or what is wrong. */
static const char *read_answer(int fd, struct answer *r)
{
	ssize_t n;

	while ((n = receive(fd, r)) > 0)
		if (r->in.overflow || !read_lines(r))
			return "this is no answer of mailseald";
	if (n < 0 && errno == EAGAIN)
		return "it does not answer; see its log";
	if (!r->status)
		return "it ended before it had answered; see its log";
	r->ret->text = slice_from(strbuf_slice(&r->in), r->at);
	return NULL;
}

bool control_ask(struct arena *a, const struct control_question *q,
		 struct control_answer *ret, const char **err)
{
	struct control_answer answer = {.fd = -1};
	struct answer r = {.q = q, .ret = &answer};
	const char *why = NULL;
	int fd = dial(q);

	strbuf_init(&r.in, a, ANSWER_MAX);
	if (fd >= 0)
		why = distrust(a, q, fd);
	if (fd < 0 || (why == NULL && !send_request(fd, q->request)))
		why = strerror(errno);
	if (why == NULL)
		why = read_answer(fd, &r);
	if (fd >= 0)
		close(fd);
	if (why == NULL) {
		*ret = answer;
		return true;
	}
	if (answer.fd >= 0)
		close(answer.fd);
	*err = arena_printf(a, "%s: %s", q->path, why);
	return false;
}
