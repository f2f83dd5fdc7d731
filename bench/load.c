/*
 * load: the MTA's side of the milter protocol (version 6, as Postfix speaks
 * it), many sessions at once, for measuring.
 *
 *     load SOCKET-PATH CONNECTIONS MESSAGES PID WANT FILE...
 *
 * Each session connects, negotiates, sends one message (the FILEs in turn) and
 * quits; CONNECTIONS of them run side by side until MESSAGES are through.  One
 * JSON line says what they cost: CPU of process PID per message (all threads),
 * wall clock, latency, RSS, and in how many messages a header was inserted
 * that holds WANT.
 *
 * A FILE is a message with LF line ends; its first line is "ip helo sender".
 * No library but libc.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	   65535
#define REPLY_MAX  (1 << 20)
#define ACTIONS	   0x1ffu
#define PROTOCOL   0x1fffffu
#define NR_HEADER  0x80u
#define NO_BODY	   0x10u
#define NO_DATA	   0x200u
#define NR_CONNECT 0x1000u
#define NR_HELO	   0x2000u
#define NR_MAIL	   0x4000u
#define NR_RCPT	   0x8000u
#define NR_DATA	   0x10000u
#define NR_EOH	   0x40000u
#define NR_BODY	   0x80000u
#define NO_CONNECT 0x1u
#define NO_HELO	   0x2u
#define NO_MAIL	   0x4u
#define NO_RCPT	   0x8u
#define NO_HEADERS 0x20u
#define NO_EOH	   0x40u

struct packet {
	size_t at, n;
	char command;
};

/* A message as the packets that carry it, from CONNECT to QUIT. */
struct message {
	char *bytes;
	size_t n, cap;
	struct packet *v;
	size_t npackets;
};

struct session {
	int fd;
	const struct message *m;
	size_t next;	  /* packet to be sent */
	size_t sent;	  /* bytes of the stretch that is on its way */
	size_t until;	  /* end of that stretch: packet number */
	bool negotiating;
	bool matched;
	uint32_t protocol;
	uint64_t started;
	unsigned char *in;
	size_t nin, cap;
};

static struct message *messages;
static size_t nmessages;
static const char *want;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int epoll_fd;
static uint64_t *latency;
static size_t started, finished, total, matched;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *take(void *p, size_t n)
{
	p = realloc(p, n);
	if (p == NULL)
		die("memory");
	return p;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		die("clock");
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- messages ---- */

static void put(struct message *m, const void *p, size_t n)
{
	if (m->n + n > m->cap) {
		m->cap = 2 * (m->n + n);
		m->bytes = take(m->bytes, m->cap);
	}
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
}

static void begin(struct message *m, char command)
{
	m->v = take(m->v, (m->npackets + 1) * sizeof(*m->v));
	m->v[m->npackets] = (struct packet){.at = m->n, .command = command};
	put(m, "\0\0\0\0", 4);
	put(m, &command, 1);
}

static void end(struct message *m)
{
	struct packet *p = &m->v[m->npackets++];
	uint32_t n = htonl((uint32_t)(m->n - p->at - 4));

	memcpy(m->bytes + p->at, &n, 4);
	p->n = m->n - p->at;
}

static void put_string(struct message *m, const char *s)
{
	put(m, s, strlen(s) + 1);
}

static void add_envelope(struct message *m, char *line)
{
	const char *ip = strtok(line, " "), *helo = strtok(NULL, " ");
	const char *sender = strtok(NULL, " ");

	begin(m, 'C');
	put_string(m, helo);
	put(m, "4\x30\x39", 3);
	put_string(m, ip);
	end(m);
	begin(m, 'H');
	put_string(m, helo);
	end(m);
	begin(m, 'M');
	put(m, "<", 1);
	put(m, sender, strlen(sender));
	put_string(m, ">");
	end(m);
	begin(m, 'R');
	put_string(m, "<rcpt@receiver.example>");
	end(m);
	begin(m, 'T');
	end(m);
}

/* The header, folds as LF; returns where the body begins. */
static char *add_header(struct message *m, char *p)
{
	while (*p != '\n' && *p != '\0') {
		char *colon = strchr(p, ':'), *stop = p;

		do
			stop = strchr(stop + 1, '\n');
		while (stop[1] == ' ' || stop[1] == '\t');
		*stop = '\0';
		*colon = '\0';
		begin(m, 'L');
		put_string(m, p);
		put_string(m, colon[1] == ' ' ? colon + 2 : colon + 1);
		end(m);
		p = stop + 1;
	}
	begin(m, 'N');
	end(m);
	return *p == '\n' ? p + 1 : p;
}

static void add_body(struct message *m, const char *p, const char *stop)
{
	char *crlf = take(NULL, 2 * (size_t)(stop - p) + 1);
	size_t n = 0;

	for (; p < stop; p++) {
		if (*p == '\n')
			crlf[n++] = '\r';
		crlf[n++] = *p;
	}
	for (size_t at = 0; at < n; at += CHUNK) {
		begin(m, 'B');
		put(m, crlf + at, n - at < CHUNK ? n - at : CHUNK);
		end(m);
	}
	free(crlf);
}

static void read_message(struct message *m, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text, *body, *line;

	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	text = take(NULL, (size_t)st.st_size + 1);
	if (read(fd, text, (size_t)st.st_size) != st.st_size)
		die(path);
	close(fd);
	text[st.st_size] = '\0';
	line = text;
	body = strchr(text, '\n');
	*body++ = '\0';
	*m = (struct message){0};
	add_envelope(m, line);
	body = add_header(m, body);
	add_body(m, body, text + st.st_size);
	begin(m, 'E');
	end(m);
	begin(m, 'Q');
	end(m);
	free(text);
}

/* ---- the protocol ---- */

static bool is_wanted(const struct session *s, char command)
{
	static const struct {
		char command;
		uint32_t flag;
	} no[] = {{'C', NO_CONNECT}, {'H', NO_HELO}, {'M', NO_MAIL},
		  {'R', NO_RCPT},    {'T', NO_DATA}, {'L', NO_HEADERS},
		  {'N', NO_EOH},     {'B', NO_BODY}};

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (no[i].command == command)
			return (s->protocol & no[i].flag) == 0;
	return true;
}

static bool has_reply(const struct session *s, char command)
{
	static const struct {
		char command;
		uint32_t flag;
	} nr[] = {{'C', NR_CONNECT}, {'H', NR_HELO}, {'M', NR_MAIL},
		  {'R', NR_RCPT},    {'T', NR_DATA}, {'L', NR_HEADER},
		  {'N', NR_EOH},     {'B', NR_BODY}};

	for (size_t i = 0; i < sizeof(nr) / sizeof(nr[0]); i++)
		if (nr[i].command == command)
			return (s->protocol & nr[i].flag) == 0;
	return command == 'E';
}

/* The next stretch: packets up to and with the one that has a reply. */
static void plan(struct session *s)
{
	const struct message *m = s->m;

	while (s->next < m->npackets &&
	       !is_wanted(s, m->v[s->next].command))
		s->next++;
	s->until = s->next;
	while (s->until < m->npackets &&
	       is_wanted(s, m->v[s->until].command))
		if (has_reply(s, m->v[s->until++].command))
			break;
	s->sent = 0;
}

static void watch(struct session *s, uint32_t events, int how)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (epoll_ctl(epoll_fd, how, s->fd, &e) != 0)
		die("epoll_ctl");
}

/* Sends what can be sent; true when the whole stretch is out. */
static bool push(struct session *s)
{
	const struct message *m = s->m;
	size_t from = m->v[s->next].at;
	size_t n = m->v[s->until - 1].at + m->v[s->until - 1].n - from;

	while (s->sent < n) {
		ssize_t r = send(s->fd, m->bytes + from + s->sent, n - s->sent,
				 MSG_NOSIGNAL);
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
		if (s->sent == 0)
			plan(s);
		if (!push(s)) {
			watch(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		s->sent = 0;
		if (s->m->v[s->next - 1].command == 'Q' ||
		    has_reply(s, s->m->v[s->next - 1].command))
			break;
	}
	watch(s, EPOLLIN, EPOLL_CTL_MOD);
}

static void start(struct session *s)
{
	static const unsigned char offer[] = {
		0,    0,    0,	  13,	'O',  0, 0, 0, 6, 0, 0,
		0x01, 0xff, 0x00, 0x1f, 0xff, 0xff};

	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 ||
	    connect(s->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("connect");
	if (fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0)
		die("fcntl");
	s->m = &messages[started++ % nmessages];
	s->next = 0;
	s->sent = 0;
	s->nin = 0;
	s->negotiating = true;
	s->matched = false;
	s->started = now_ns(CLOCK_MONOTONIC);
	if (send(s->fd, offer, sizeof(offer), MSG_NOSIGNAL) != sizeof(offer))
		die("send");
	watch(s, EPOLLIN, EPOLL_CTL_ADD);
}

static void finish(struct session *s)
{
	latency[finished++] = now_ns(CLOCK_MONOTONIC) - s->started;
	matched += s->matched;
	close(s->fd);
	s->fd = -1;
	if (started < total)
		start(s);
}

static uint32_t number(const unsigned char *p)
{
	uint32_t n;

	memcpy(&n, p, 4);
	return ntohl(n);
}

/* One packet from the filter; false: the session is over. */
static bool on_packet(struct session *s, const unsigned char *p, size_t n)
{
	if (s->negotiating) {
		if (p[0] != 'O' || n < 13)
			die("negotiation");
		s->negotiating = false;
		s->protocol = number(p + 9);
		go_on(s);
		return true;
	}
	switch (p[0]) {
	case 'i': /* header inserted, changed, added */
	case 'm':
	case 'h':
		if (want[0] != '\0' &&
		    memmem(p, n, want, strlen(want)) != NULL)
			s->matched = true;
		return true;
	case 'p': /* progress */
		return true;
	case 's': /* no more body */
		while (s->m->v[s->next].command == 'B')
			s->next++;
		go_on(s);
		return true;
	case 'c':
		if (s->m->v[s->next - 1].command != 'E') {
			go_on(s);
			return true;
		}
		break;
	default: /* accept, reject, tempfail ... */
		break;
	}
	/* QUIT is the last packet */
	s->next = s->m->npackets - 1;
	s->sent = 0;
	go_on(s);
	return false;
}

static void on_input(struct session *s)
{
	size_t at = 0;
	ssize_t r;

	if (s->nin == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 65536;
		s->in = take(s->in, s->cap);
	}
	r = recv(s->fd, s->in + s->nin, s->cap - s->nin, 0);
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

static void run(size_t conns)
{
	struct session *v = take(NULL, conns * sizeof(*v));
	struct epoll_event e[64];

	memset(v, 0, conns * sizeof(*v));
	for (size_t i = 0; i < conns && started < total; i++)
		start(&v[i]);
	while (finished < total) {
		int n = epoll_wait(epoll_fd, e, 64, 30000);

		if (n <= 0)
			die("no answer for 30 seconds");
		for (int i = 0; i < n; i++) {
			struct session *s = e[i].data.ptr;

			if ((e[i].events & EPOLLOUT) != 0)
				go_on(s);
			if ((e[i].events & ~(uint32_t)EPOLLOUT) != 0)
				on_input(s);
		}
	}
}

/* ---- what it cost ---- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static long rss_kb(long pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb;
}

int main(int argc, char **argv)
{
	uint64_t cpu, wall;
	clockid_t clock;
	long pid;

	if (argc < 7) {
		fputs("usage: load SOCKET-PATH CONNECTIONS MESSAGES PID WANT "
		      "FILE...\n",
		      stderr);
		return 2;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	total = (size_t)atol(argv[3]);
	pid = atol(argv[4]);
	want = argv[5];
	nmessages = (size_t)argc - 6;
	messages = take(NULL, nmessages * sizeof(*messages));
	for (size_t i = 0; i < nmessages; i++)
		read_message(&messages[i], argv[6 + i]);
	latency = take(NULL, total * sizeof(*latency));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (clock_getcpuclockid((pid_t)pid, &clock) != 0)
		die("no such process");
	cpu = now_ns(clock);
	wall = now_ns(CLOCK_MONOTONIC);
	run((size_t)atol(argv[2]));
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	cpu = now_ns(clock) - cpu;
	qsort(latency, total, sizeof(*latency), by_value);
	printf("{\"messages\": %zu, \"matched\": %zu, \"cpu_us\": %.1f, "
	       "\"per_second\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
	       "\"rss_kb\": %ld}\n",
	       total, matched, (double)cpu / 1e3 / (double)total,
	       (double)total * 1e9 / (double)wall,
	       (double)latency[total / 2] / 1e6,
	       (double)latency[total * 99 / 100] / 1e6, rss_kb(pid));
	return 0;
}
