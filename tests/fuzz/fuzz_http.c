/*
 * HTTP for metrics and health (control/http.c over libmicrohttpd).  The input
 * is what a client sends.
 */
#include "fuzz_socket.h"

#include <poll.h>

#include "control/http.h"

#define WAIT_MS 5 /* for an answer to what may be half a request */

static unsigned write_page(void *arg, struct strbuf *text)
{
	strbuf_adds(text, arg);
	return 200;
}

static const struct http_page pages[] = {
	{"/metrics", "text/plain; version=0.0.4", write_page},
	{"/healthz", "text/plain", write_page},
};

static void start(void)
{
	static char argument[] = "the page\n", where[64];
	struct arena *a = arena_new();
	const char *err = NULL;
	int fd;

	(void)snprintf(where, sizeof(where), "unix:%s", fuzz_socket_new());
	fd = http_listen(a, where, (gid_t)-1, &err);
	FUZZ_CHECK(fd >= 0 && http_start(fd, pages, 2, argument) != NULL);
	arena_free(a);
}

/* One answer at most, of a status that we give or libmicrohttpd gives to what
 * is no request; and a page only to who asked for it. */
static void check_answer(struct slice asked, struct slice s)
{
	uint64_t status = 0;
	bool page = false;

	if (s.n == 0)
		return;
	FUZZ_CHECK(slice_starts(s, "HTTP/1."));
	FUZZ_CHECK(s.n > 12 &&
		   slice_u64(slice_first(slice_from(s, 9), 3), 599, &status));
	FUZZ_CHECK(status == 100 || status == 200 ||
		   (status >= 400 && status <= 505));
	for (size_t i = 0; i + 5 <= asked.n; i++)
		page |= memcmp(asked.p + i, "/heal", 5) == 0 ||
			memcmp(asked.p + i, "/metr", 5) == 0 ||
			asked.p[i] == '%';
	FUZZ_CHECK(status != 200 || page);
}

/* libmicrohttpd may see that a peer has hung up only at its time limit, so this
 * one hangs up when nothing comes. */
static size_t exchange(struct slice asked, char *buf, size_t max)
{
	int fd = fuzz_socket_dial();
	struct pollfd p = {fd, POLLIN, 0};
	size_t n = 0;
	ssize_t got = 1;

	(void)!send(fd, asked.p, asked.n, MSG_NOSIGNAL);
	while (got > 0 && n < max && poll(&p, 1, WAIT_MS) == 1) {
		got = recv(fd, buf + n, max - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice asked = fuzz_input(data, size);
	char answer[16384];

	if (fuzz_socket_path[0] == '\0')
		start();
	check_answer(asked, (struct slice){answer, exchange(asked, answer,
							    sizeof(answer))});
	return 0;
}
