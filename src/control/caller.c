/* One connection: a line in, a bounded reply out. */
#include "control/caller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRESS_MAX 65536 /* bytes that wait for one who does not read */
#define OUT_MAX	     (PROGRESS_MAX + 64 + CONTROL_REPLY_MAX)

struct caller *caller_new(int fd, const struct peer *who, int64_t deadline)
{
	struct caller *c = mem_alloc(sizeof(*c));

	c->fd = fd;
	c->who = *who;
	c->deadline = deadline;
	c->pass = -1;
	c->arena = arena_new();
	strbuf_init(&c->in, c->arena, CONTROL_REQUEST_MAX);
	strbuf_init(&c->out, c->arena, OUT_MAX);
	return c;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void caller_hang_up(struct caller *c)
{
	close_fd(&c->fd);
	close_fd(&c->pass);
}

void caller_free(struct caller *c)
{
	caller_hang_up(c);
	arena_free(c->arena);
	free(c);
}

enum caller_io caller_read(struct caller *c)
{
	char chunk[CONTROL_REQUEST_MAX + 1];
	ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return CALLER_MORE;
	if (n <= 0)
		return CALLER_GONE;
	strbuf_add(&c->in, (struct slice){chunk, (size_t)n});
	if (slice_chr(strbuf_slice(&c->in), '\n') >= 0)
		return CALLER_DONE;
	return c->in.overflow ? CALLER_LONG : CALLER_MORE;
}

static bool is_clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

bool caller_split(struct caller *c)
{
	struct slice rest = strbuf_slice(&c->in);
	struct slice line = slice_cut(&rest, '\n');
	const char **v = arena_array(c->arena, CONTROL_WORDS_MAX, sizeof(*v));
	size_t n = 0;

	if (!is_clean(line))
		return false;
	while (line.p != NULL) {
		struct slice word = slice_cut(&line, ' ');

		if (word.n == 0)
			continue;
		if (n == CONTROL_WORDS_MAX)
			return false;
		v[n++] = slice_cstr(c->arena, word);
	}
	c->request = (struct control_request){.n = n,
					      .words = v,
					      .role = c->who.role,
					      .uid = c->who.uid,
					      .pid = c->who.pid};
	return n > 0;
}

/* With the descriptor, when there is one that was not sent. */
static ssize_t send_some(struct caller *c)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct slice s = slice_from(strbuf_slice(&c->out), c->sent);
	struct iovec iov = {unconst(s.p), s.n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (c->pass >= 0) {
		m.msg_control = memset(&u, 0, sizeof(u));
		m.msg_controllen = sizeof(u.room);
		u.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&u.head), &c->pass, sizeof(int));
	}
	n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		close_fd(&c->pass);
	return n;
}

enum caller_io caller_write(struct caller *c)
{
	while (c->sent < c->out.n) {
		ssize_t n = send_some(c);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return CALLER_MORE;
		if (n <= 0)
			return CALLER_GONE;
		c->sent += (size_t)n;
	}
	c->sent = c->out.n = 0;
	return CALLER_DONE;
}

void caller_tell(struct caller *c, const char *text)
{
	if (c->fd < 0 || c->out.n + strlen(text) + 16 > PROGRESS_MAX)
		return;
	strbuf_adds(&c->out, "progress ");
	strbuf_adds(&c->out, text);
	strbuf_addc(&c->out, '\n');
}

void caller_reply(struct caller *c, int status, struct slice text, int fd)
{
	c->state = CALLER_TAKES;
	c->pass = fd;
	strbuf_printf(&c->out, "status %d\n", status);
	strbuf_add(&c->out, text);
}
