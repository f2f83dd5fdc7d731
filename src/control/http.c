/*
 * libmicrohttpd, the one file that includes it.  It parses and answers; the
 * thread that calls it is ours, since it has no time limit for a peer that
 * sends a byte now and then.  All of it but http_start() and http_stop() runs
 * in that thread.
 */
#include "control/http.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define TICK_MS 1000

struct peer {
	int fd; /* libmicrohttpd's; -1: nobody */
	int64_t until_ms;
};

struct http {
	const struct http_page *pages;
	size_t npages;
	void *arg;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	int stop; /* an eventfd: readable when the thread is to end */
	struct peer peers[HTTP_PEERS];
};

/* ---- one request ---- */

/* Takes one request and no more: nobody needs a second one, and so no peer can
 * stay. */
static enum MHD_Result reply(struct MHD_Connection *c, unsigned status,
			     const char *type, struct slice text)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		text.n, unconst(text.p), MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ret = MHD_NO;

	if (r == NULL)
		return MHD_NO;
	if (MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) ==
		    MHD_YES &&
	    MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") ==
		    MHD_YES &&
	    (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") ==
		     MHD_YES))
		ret = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status,
			      struct slice text)
{
	return reply(c, status, "text/plain; charset=utf-8", text);
}

static enum MHD_Result send_page(struct http *h, struct MHD_Connection *c,
				 const struct http_page *page)
{
	struct arena *a = arena_new();
	struct strbuf text;
	enum MHD_Result ret;
	unsigned status;

	strbuf_init(&text, a, HTTP_TEXT_MAX);
	status = page->write(h->arg, &text);
	ret = text.overflow ? refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR,
				     SLICE("too much text\n"))
			    : reply(c, status, page->type, strbuf_slice(&text));
	arena_free(a);
	return ret;
}

static const struct http_page *find_page(const struct http *h, const char *path)
{
	for (size_t i = 0; i < h->npages; i++)
		if (strcmp(h->pages[i].path, path) == 0)
			return &h->pages[i];
	return NULL;
}

/* At the end of the header.  What a body would say is not waited for. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c,
				  const char *path, const char *method,
				  const char *version, const char *data,
				  size_t *ndata, void **state)
{
	struct http *h = arg;
	const struct http_page *page = find_page(h, path);

	(void)version;
	(void)data;
	(void)ndata;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED,
			      SLICE("only GET and HEAD are answered\n"));
	if (page == NULL)
		return refuse(c, MHD_HTTP_NOT_FOUND,
			      SLICE("there is no such page\n"));
	return send_page(h, c, page);
}

/* ---- who is connected ---- */

static int fd_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

	return i != NULL ? i->connect_fd : -1;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *h = arg;
	struct peer *p = *context;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (p != NULL)
			p->fd = -1;
		return;
	}
	for (size_t i = 0; i < HTTP_PEERS; i++) {
		if (h->peers[i].fd >= 0)
			continue;
		h->peers[i].fd = fd_of(c);
		h->peers[i].until_ms = clock_mono_ms() + HTTP_SECONDS * 1000;
		*context = &h->peers[i];
		return;
	}
}

/* libmicrohttpd sees the end of the connection, and closes it. */
static void hang_up_on_late(struct http *h)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < HTTP_PEERS; i++)
		if (h->peers[i].fd >= 0 && h->peers[i].until_ms <= now)
			(void)shutdown(h->peers[i].fd, SHUT_RDWR);
}

/* ---- the thread ---- */

static int wait_ms(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES && ms < TICK_MS)
		return (int)ms;
	return TICK_MS;
}

static void *run(void *arg)
{
	struct http *h = arg;
	struct pollfd fds[2] = {{.fd = h->stop, .events = POLLIN},
				{.events = POLLIN}};

	fds[1].fd = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)
			    ->epoll_fd;
	while (fds[0].revents == 0) {
		(void)poll(fds, 2, wait_ms(h));
		hang_up_on_late(h);
		(void)MHD_run(h->daemon);
	}
	return NULL;
}

static struct MHD_Daemon *make_daemon(struct http *h, int fd)
{
	return MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
		MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_PEERS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(HTTP_SECONDS / 2),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST_MAX,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
}

static void http_free(struct http *h)
{
	if (h->stop >= 0)
		close(h->stop);
	free(h);
}

struct http *http_start(int fd, const struct http_page *pages, size_t npages,
			void *arg)
{
	struct http *h = mem_alloc(sizeof(*h));

	h->pages = pages;
	h->npages = npages;
	h->arg = arg;
	for (size_t i = 0; i < HTTP_PEERS; i++)
		h->peers[i].fd = -1;
	h->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	h->daemon = h->stop >= 0 ? make_daemon(h, fd) : NULL;
	if (h->daemon == NULL) {
		close(fd);
		http_free(h);
		return NULL;
	}
	if (pthread_create(&h->thread, NULL, run, h) != 0) {
		MHD_stop_daemon(h->daemon); /* closes the descriptor */
		http_free(h);
		return NULL;
	}
	return h;
}

void http_stop(struct http *h)
{
	const uint64_t one = 1;

	if (h == NULL)
		return;
	if (write(h->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(h->thread, NULL);
	MHD_stop_daemon(h->daemon);
	http_free(h);
}
