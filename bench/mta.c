/*
 * mta: sessions of the milter protocol (version 6, as Postfix speaks it), many
 * side by side in one thread.  What they send is message.c's.
 */
#include "mta.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define REPLY_MAX  (1 << 20)
#define IOV_MOST   64
#define SILENCE_MS 60000

/* What is sent of a command: not at all, or without waiting (milter(7)). */
static const struct {
	char command;
	uint32_t skip, no_reply;
} flags[] = {
	{'C', 0x1, 0x1000},   {'H', 0x2, 0x2000},    {'M', 0x4, 0x4000},
	{'R', 0x8, 0x8000},   {'T', 0x200, 0x10000}, {'L', 0x20, 0x80},
	{'N', 0x40, 0x40000}, {'B', 0x10, 0x80000},
};

struct session {
	int fd;
	const struct message *m;
	struct message added; /* fields that filters added */
	struct packet *v;     /* what this filter gets */
	size_t n, cap;
	size_t next;  /* packet to be sent */
	size_t until; /* end of the stretch that is on its way */
	size_t sent;  /* bytes of that stretch */
	size_t filter;
	bool negotiating;
	unsigned found; /* a bit for each WANT */
	uint32_t protocol;
	uint64_t started;
	char *in;
	size_t nin, incap;
};

static const struct load *load;
static struct outcome outcome;
static int epoll_fd;
static uint64_t deadline;
static size_t started, open_now;

uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		die("clock");
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- sending ---- */

static bool is_wanted(const struct session *s, char command)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].command == command)
			return (s->protocol & flags[i].skip) == 0;
	return true;
}

static bool has_reply(const struct session *s, char command)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].command == command)
			return (s->protocol & flags[i].no_reply) == 0;
	return command == 'E';
}

/* The next stretch: packets up to and with the one that has a reply. */
static void plan(struct session *s)
{
	while (s->next < s->n && !is_wanted(s, s->v[s->next].command))
		s->next++;
	s->until = s->next;
	while (s->until < s->n && is_wanted(s, s->v[s->until].command))
		if (has_reply(s, s->v[s->until++].command))
			break;
	s->sent = 0;
}

static void watch(struct session *s, uint32_t events, int how)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (epoll_ctl(epoll_fd, how, s->fd, &e) != 0)
		die("epoll_ctl");
}

/* What is left of the stretch; packets that lie side by side as one. */
static int gather(const struct session *s, struct iovec iov[IOV_MOST])
{
	size_t skip = s->sent;
	int n = 0;

	for (size_t i = s->next; i < s->until; i++) {
		const struct packet *p = &s->v[i];

		if (skip >= p->n) {
			skip -= p->n;
			continue;
		}
		if (n > 0 && skip == 0 &&
		    (char *)iov[n - 1].iov_base + iov[n - 1].iov_len == p->p) {
			iov[n - 1].iov_len += p->n;
			continue;
		}
		if (n == IOV_MOST)
			break;
		iov[n].iov_base = p->p + skip;
		iov[n++].iov_len = p->n - skip;
		skip = 0;
	}
	return n;
}

/* Sends what can be sent; true when the whole stretch is out. */
static bool push(struct session *s)
{
	struct iovec iov[IOV_MOST];
	int n;

	while ((n = gather(s, iov)) > 0) {
		struct msghdr h = {.msg_iov = iov, .msg_iovlen = (size_t)n};
		ssize_t r = sendmsg(s->fd, &h, MSG_NOSIGNAL);

		if (r < 0 && errno == EAGAIN)
			return false;
		if (r < 0)
			die("send");
		s->sent += (size_t)r;
	}
	s->next = s->until;
	return true;
}

/* Goes on until a reply must be waited for, or the socket is full. */
static void go_on(struct session *s)
{
	for (;;) {
		char last;

		if (s->sent == 0)
			plan(s);
		if (!push(s)) {
			watch(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		s->sent = 0;
		last = s->v[s->next - 1].command;
		if (last == 'Q' || has_reply(s, last))
			break;
	}
	watch(s, EPOLLIN, EPOLL_CTL_MOD);
}

/* ---- sessions ---- */

static void add_packets(struct session *s, const struct packet *v, size_t n)
{
	if (s->n + n > s->cap) {
		s->cap = 2 * (s->n + n);
		s->v = take(s->v, s->cap * sizeof(*s->v));
	}
	memcpy(s->v + s->n, v, n * sizeof(*v));
	s->n += n;
}

/* What the next filter gets: the message, what was added in front. */
static void collect(struct session *s)
{
	size_t i = 0;

	while (s->m->v[i].command != 'L' && s->m->v[i].command != 'N')
		i++;
	message_seal(&s->added);
	s->n = 0;
	add_packets(s, s->m->v, i);
	for (size_t k = s->added.npackets; k > 0; k--)
		add_packets(s, &s->added.v[k - 1], 1);
	add_packets(s, s->m->v + i, s->m->npackets - i);
}

static void dial(struct session *s)
{
	static const unsigned char offer[] = {0,    0,	  0,	13,   'O', 0,
					      0,    0,	  6,	0,    0,   0x01,
					      0xff, 0x00, 0x1f, 0xff, 0xff};
	const struct sockaddr_un *a = &load->filters[s->filter].address;

	collect(s);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 ||
	    connect(s->fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
		die("connect");
	if (fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0)
		die("fcntl");
	s->next = s->sent = s->nin = 0;
	s->negotiating = true;
	if (send(s->fd, offer, sizeof(offer), MSG_NOSIGNAL) != sizeof(offer))
		die("send");
	watch(s, EPOLLIN, EPOLL_CTL_ADD);
}

static void start(struct session *s)
{
	if (started == load->total || now_ns(CLOCK_MONOTONIC) >= deadline)
		return;
	s->m = &load->messages[started++ % load->nmessages];
	s->added.n = s->added.npackets = 0;
	s->filter = 0;
	s->found = 0;
	s->started = now_ns(CLOCK_MONOTONIC);
	open_now++;
	dial(s);
}

static void finish(struct session *s)
{
	close(s->fd);
	if (++s->filter < load->nfilters) {
		dial(s);
		return;
	}
	outcome.latency[outcome.finished++] =
		now_ns(CLOCK_MONOTONIC) - s->started;
	outcome.matched += s->found == (1U << load->nwants) - 1;
	open_now--;
	start(s);
}

/* ---- replies ---- */

static uint32_t number(const char *p)
{
	uint32_t n;

	memcpy(&n, p, 4);
	return ntohl(n);
}

/* A field that the filter added: name and value, each with a NUL. */
static void on_field(struct session *s, const char *p, size_t n)
{
	const char *value = memchr(p, '\0', n);

	if (value == NULL ||
	    memchr(value + 1, '\0', n - (size_t)(value - p) - 1) == NULL)
		die("added field");
	for (size_t i = 0; i < load->nwants; i++)
		if (strstr(value + 1, load->wants[i]) != NULL)
			s->found |= 1U << i;
	if (s->filter + 1 < load->nfilters)
		message_put_field(&s->added, p, value + 1);
}

static void on_negotiation(struct session *s, const char *p, size_t n)
{
	if (p[0] != 'O' || n < 13)
		die("negotiation");
	s->negotiating = false;
	s->protocol = number(p + 9);
	go_on(s);
}

/* One packet from the filter; false: the session is over. */
static bool on_packet(struct session *s, const char *p, size_t n)
{
	if (s->negotiating) {
		on_negotiation(s, p, n);
		return true;
	}
	switch (p[0]) {
	case 'i': /* inserted, with its place in front */
		if (n > 5)
			on_field(s, p + 5, n - 5);
		return true;
	case 'h': /* added */
		on_field(s, p + 1, n - 1);
		return true;
	case 'm': /* changed */
	case 'p': /* progress */
		return true;
	case 's': /* no more body */
		while (s->v[s->next].command == 'B')
			s->next++;
		go_on(s);
		return true;
	case 'c':
		if (s->v[s->next - 1].command != 'E') {
			go_on(s);
			return true;
		}
		break;
	default: /* accept, reject, tempfail ... */
		break;
	}
	/* QUIT is the last packet */
	s->next = s->n - 1;
	s->sent = 0;
	go_on(s);
	return false;
}

static void on_input(struct session *s)
{
	size_t at = 0;
	ssize_t r;

	if (s->nin == s->incap) {
		s->incap = s->incap > 0 ? 2 * s->incap : 65536;
		s->in = take(s->in, s->incap);
	}
	r = recv(s->fd, s->in + s->nin, s->incap - s->nin, 0);
	if (r < 0 && errno == EAGAIN)
		return;
	if (r <= 0)
		die("the filter closed the connection");
	s->nin += (size_t)r;
	while (s->nin - at >= 5) {
		size_t n = number(s->in + at);

		if (n == 0 || n > REPLY_MAX)
			die("reply");
		if (s->nin - at < 4 + n)
			break;
		if (!on_packet(s, s->in + at + 4, n)) {
			finish(s);
			return;
		}
		at += 4 + n;
	}
	memmove(s->in, s->in + at, s->nin - at);
	s->nin -= at;
}

struct outcome mta_run(const struct load *l)
{
	struct session *v = take(NULL, l->conns * sizeof(*v));
	struct epoll_event e[64];

	load = l;
	outcome.latency = take(NULL, l->total * sizeof(*outcome.latency));
	deadline = l->seconds > 0 ? now_ns(CLOCK_MONOTONIC) +
					    (uint64_t)(l->seconds * 1e9)
				  : UINT64_MAX;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	memset(v, 0, l->conns * sizeof(*v));
	for (size_t i = 0; i < load->conns; i++)
		start(&v[i]);
	while (open_now > 0) {
		int n = epoll_wait(epoll_fd, e, 64, SILENCE_MS);

		if (n <= 0)
			die("no answer");
		for (int i = 0; i < n; i++) {
			struct session *s = e[i].data.ptr;

			if ((e[i].events & EPOLLOUT) != 0)
				go_on(s);
			if ((e[i].events & ~(uint32_t)EPOLLOUT) != 0)
				on_input(s);
		}
	}
	for (size_t i = 0; i < l->conns; i++) {
		message_free(&v[i].added);
		free(v[i].v);
		free(v[i].in);
	}
	free(v);
	close(epoll_fd);
	return outcome;
}
