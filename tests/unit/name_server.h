/*
 * A name server in a thread of the test program, on a loopback port, with one
 * behaviour for each first label; and a resolver that asks it.
 */
#ifndef MAILSEAL_TESTS_NAME_SERVER_H
#define MAILSEAL_TESTS_NAME_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "dns/dns.h"

#define SEEN_MAX 512
#define BIG_TXT	 3000

static struct server {
	int udp, tcp, stop[2];
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	char seen[SEEN_MAX][64]; /* first labels of the questions */
	size_t nseen;
	atomic_bool mute; /* answers nothing at all */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct reply {
	unsigned char b[8192];
	size_t n;
};

static void put(struct reply *r, const void *p, size_t n)
{
	memcpy(r->b + r->n, p, n);
	r->n += n;
}
#define PUT(r, literal) put((r), (literal), sizeof(literal) - 1)

#define OWNER "\xc0\x0c"
#define TTL60 "\0\0\0\x3c"

static void put_big(struct reply *r)
{
	unsigned char one[256];
	size_t left = BIG_TXT, rdata = BIG_TXT + (BIG_TXT + 249) / 250;

	r->b[7] = 1;
	PUT(r, OWNER "\0\x10\0\1" TTL60);
	put(r,
	    (unsigned char[]){(unsigned char)(rdata >> 8),
			      (unsigned char)rdata},
	    2);
	memset(one, 'x', sizeof(one));
	one[0] = 250;
	for (; left > 0; left -= 250)
		put(r, one, 251);
}

static void note(const char *label, size_t n)
{
	pthread_mutex_lock(&server.lock);
	if (server.nseen < SEEN_MAX) {
		memcpy(server.seen[server.nseen], label, n);
		server.seen[server.nseen++][n] = '\0';
	}
	pthread_mutex_unlock(&server.lock);
}

static bool is(const char *label, const char *what)
{
	return strncmp(label, what, strlen(what)) == 0;
}

/* What stands behind the question section; false: say nothing. */
static bool answer(struct reply *r, const char *label, bool tcp)
{
	if (is(label, "silent") || atomic_load(&server.mute))
		return false;
	if (is(label, "slow"))
		usleep(200000);
	if (is(label, "ok") || is(label, "slow") || is(label, "a\\b")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\1\0\1" TTL60 "\0\4\xc0\0\2\1");
	} else if (is(label, "txt")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\x10\0\1" TTL60 "\0\x8\3a\0b\3 cd");
	} else if (is(label, "mx")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\x0f\0\1" TTL60 "\0\6\0\x0a\1M\xc0\x0f");
	} else if (is(label, "cname")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\5\0\1" TTL60 "\0\x09\2ok\4test\0");
	} else if (is(label, "nx")) {
		r->b[3] |= 3;
	} else if (is(label, "servfail")) {
		r->b[3] |= 2;
	} else if (is(label, "refused")) {
		r->b[3] |= 5;
	} else if (is(label, "trunc") || (is(label, "big") && !tcp)) {
		if (tcp)
			return false;
		r->b[2] |= 2;
	} else if (is(label, "big")) {
		put_big(r);
	} else if (is(label, "badname")) {
		/* a pointer to itself */
		r->b[7] = 1;
		PUT(r, "\xc0\x1e\0\1\0\1" TTL60 "\0\4\xc0\0\2\1");
	} else if (is(label, "short")) {
		r->b[7] = 1;
		PUT(r, OWNER "\0\1\0\1" TTL60 "\0\4\xc0\0");
	} else if (is(label, "junk")) {
		r->n = 3;
	}
	return true;
}

/* Makes the reply to a question; false: none. */
static bool reply_to(const unsigned char *q, size_t n, struct reply *r,
		     bool tcp)
{
	size_t at = 12, label = n > 12 ? q[12] : 0;
	char first[64];

	if (n < 17 || label > 63 || 13 + label > n)
		return false;
	while (at < n && q[at] != 0)
		at += (size_t)q[at] + 1;
	at += 5;
	if (at > n)
		return false;
	memcpy(first, q + 13, label);
	first[label] = '\0';
	note(first, label);
	r->n = 0;
	put(r, q, at);
	memset(r->b + 6, 0, 6);
	r->b[2] = 0x81;
	r->b[3] = 0x80;
	return answer(r, first, tcp);
}

static void serve_udp(void)
{
	unsigned char q[2048];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct reply r;
	ssize_t n = recvfrom(server.udp, q, sizeof(q), 0,
			     (struct sockaddr *)&from, &len);

	if (n > 0 && reply_to(q, (size_t)n, &r, false))
		sendto(server.udp, r.b, r.n, 0, (struct sockaddr *)&from, len);
}

static void serve_tcp(void)
{
	int fd = accept(server.tcp, NULL, NULL);
	unsigned char q[2048], len[2];
	struct reply r;
	ssize_t n;

	if (fd < 0)
		return;
	n = recv(fd, len, 2, MSG_WAITALL);
	if (n == 2 && (size_t)len[0] * 256 + len[1] <= sizeof(q)) {
		n = recv(fd, q, (size_t)len[0] * 256 + len[1], MSG_WAITALL);
		if (n > 0 && reply_to(q, (size_t)n, &r, true)) {
			len[0] = (unsigned char)(r.n >> 8);
			len[1] = (unsigned char)r.n;
			if (send(fd, len, 2, MSG_NOSIGNAL) == 2)
				send(fd, r.b, r.n, MSG_NOSIGNAL);
		}
	}
	close(fd);
}

static void *serve(void *data)
{
	struct pollfd p[3] = {
		{.fd = server.udp, .events = POLLIN},
		{.fd = server.tcp, .events = POLLIN},
		{.fd = server.stop[0], .events = POLLIN},
	};

	(void)data;
	while (poll(p, 3, -1) >= 0 && p[2].revents == 0) {
		if (p[0].revents != 0)
			serve_udp();
		if (p[1].revents != 0)
			serve_tcp();
	}
	return NULL;
}

/* One port for UDP and TCP. */
static inline int server_start(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.tcp = socket(AF_INET, SOCK_STREAM, 0);
	server.udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(server.tcp, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    getsockname(server.tcp, (struct sockaddr *)&a, &len) != 0 ||
	    bind(server.udp, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(server.tcp, 16) != 0 || pipe(server.stop) != 0)
		return -1;
	server.port = ntohs(a.sin_port);
	return pthread_create(&server.thread, NULL, serve, NULL);
}

static inline int server_stop(void **state)
{
	(void)state;
	if (write(server.stop[1], "", 1) != 1)
		return -1;
	pthread_join(server.thread, NULL);
	close(server.udp);
	close(server.tcp);
	close(server.stop[0]);
	close(server.stop[1]);
	return 0;
}

static inline unsigned seen(const char *label)
{
	unsigned n = 0;
	size_t i;

	pthread_mutex_lock(&server.lock);
	for (i = 0; i < server.nseen; i++)
		n += strcmp(server.seen[i], label) == 0;
	pthread_mutex_unlock(&server.lock);
	return n;
}

static inline struct dns *open_with(struct arena *a, struct dns_options o)
{
	const char *servers[] = {arena_printf(a, "127.0.0.1@%u", server.port)};
	const char *err = "";
	struct dns *d;

	o.servers = servers;
	o.nservers = 1;
	o.cache_bytes = 1 << 20;
	d = dns_new(a, &o, &err);
	if (d == NULL)
		fail_msg("%s", err);
	return d;
}

static inline struct dns *open_resolver(struct arena *a,
					unsigned query_timeout_ms)
{
	return open_with(
		a, (struct dns_options){.query_timeout_ms = query_timeout_ms});
}

/* One question, in a thread of its own. */
struct asker {
	struct dns *d;
	const char *name;
	enum dns_status status;
	const char *reason;
};

static inline void *ask_one(void *data)
{
	struct asker *k = data;
	struct dns_budget *b = dns_budget_new(k->d, 5000, 10);
	const struct dns_answer *ans = dns_ask(b, k->name, DNS_A);

	k->status = ans->status;
	k->reason = ans->reason;
	dns_budget_free(b);
	return NULL;
}

#endif
