/*
 * control/http: pages, refusals, and peers that are many, slow or noisy; and
 * base/endpoint, which says where it may listen.
 */
#include "check.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/unix_socket.h"
#include "control/http.h"

#define REPLY_MAX 20000

static atomic_int_fast64_t skip_ms; /* how far the clock is ahead */

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);

int64_t __wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + atomic_load(&skip_ms);
}

struct world {
	struct arena *a;
	char dir[32], where[64];
	struct http *h;
};

static unsigned write_hello(void *arg, struct strbuf *text)
{
	assert_string_equal(arg, "argument");
	strbuf_adds(text, "hello\n");
	return 200;
}

static unsigned write_sick(void *arg, struct strbuf *text)
{
	(void)arg;
	strbuf_adds(text, "no DNS\n");
	return 503;
}

/* As much as there is room for, and one byte more. */
static unsigned write_endless(void *arg, struct strbuf *text)
{
	(void)arg;
	while (!text->overflow)
		strbuf_adds(text, "0123456789012345678901234567890123456789\n");
	return 200;
}

static const struct http_page pages[] = {
	{"/hello", "text/plain; version=0.0.4", write_hello},
	{"/sick", "text/plain", write_sick},
	{"/endless", "text/plain", write_endless},
};

static int setup(void **state)
{
	static char argument[] = "argument";
	struct world *w = calloc(1, sizeof(*w));
	const char *err = NULL;
	int fd;

	w->a = arena_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/mailseal-http-XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	snprintf(w->where, sizeof(w->where), "unix:%s/s", w->dir);
	fd = http_listen(w->a, w->where, (gid_t)-1, &err);
	if (fd < 0)
		fail_msg("%s", err);
	w->h = http_start(fd, pages, 3, argument);
	assert_non_null(w->h);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct stat st;

	http_stop(w->h);
	http_unlink(w->where);
	assert_int_equal(stat(w->where + 5, &st), -1);
	rmdir(w->dir);
	arena_free(w->a);
	free(w);
	return 0;
}

static int dial(const struct world *w)
{
	struct sockaddr_un sun;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(unix_socket_address(w->where + 5, &sun));
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	size_t n = strlen(text);

	(void)!send(fd, text, n, MSG_NOSIGNAL);
}

static int wait_readable(int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, ms);
}

/* Until it hangs up, for 5 s at most. */
static const char *hear(int fd, char ret[REPLY_MAX])
{
	size_t n = 0;
	ssize_t got = 1;

	while (got > 0 && n < REPLY_MAX - 1) {
		if (wait_readable(fd, 5000) != 1)
			fail_msg("no end after %zu bytes", n);
		got = recv(fd, ret + n, REPLY_MAX - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	ret[n] = '\0';
	close(fd);
	return ret;
}

static void test_pages(void **state)
{
	static const struct {
		const char *request, *status, *parts[3];
	} rows[] = {
		{"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 200 ",
		 {"Content-Type: text/plain; version=0.0.4\r\n",
		  "Connection: close\r\n", "\r\n\r\nhello\n"}},
		{"GET /hello?x=y HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 200 ",
		 {"hello\n", "", ""}},
		{"GET /sick HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 503 ",
		 {"\r\n\r\nno DNS\n", "", ""}},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 404 ",
		 {"there is no such page\n", "", ""}},
		{"GET /hello/ HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 404 ",
		 {"", "", ""}},
		{"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 500 ",
		 {"too much text\n", "", ""}},
		{"DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n",
		 "HTTP/1.1 405 ",
		 {"Allow: GET, HEAD\r\n", "only GET and HEAD", ""}},
		/* the body is not waited for */
		{"POST /hello HTTP/1.1\r\nHost: x\r\n"
		 "Content-Length: 1000000000\r\n\r\nx",
		 "HTTP/1.1 405 ",
		 {"", "", ""}},
	};
	const struct world *w = *state;
	char got[REPLY_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int fd = dial(w);

		say(fd, rows[i].request);
		hear(fd, got);
		if (strncmp(got, rows[i].status, strlen(rows[i].status)) != 0)
			fail_msg("%s: %s", rows[i].request, got);
		for (size_t k = 0; k < 3; k++)
			if (strstr(got, rows[i].parts[k]) == NULL)
				fail_msg("no %s: %s", rows[i].parts[k], got);
	}
}

static void test_head(void **state)
{
	char got[REPLY_MAX];
	int fd = dial(*state);

	say(fd, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(fd, got);
	assert_non_null(strstr(got, "HTTP/1.1 200 "));
	assert_non_null(strstr(got, "Content-Length: 6\r\n"));
	assert_null(strstr(got, "hello"));
}

/* A header that is larger than the limit, and what is no HTTP. */
static void test_noise(void **state)
{
	char got[REPLY_MAX], big[3 * HTTP_REQUEST_MAX];
	int fd = dial(*state);

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\nX: ");
	say(fd, big);
	hear(fd, got);
	assert_null(strstr(got, " 200 "));
	fd = dial(*state);
	say(fd, "\001\002\r\n\r\n");
	hear(fd, got);
	assert_null(strstr(got, " 200 "));
	fd = dial(*state);
	say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_non_null(strstr(hear(fd, got), "hello\n"));
}

/* More than may be connected, who say nothing, and one of them a byte now and
 * then, so that it is not idle: the others wait until these are hung up on. */
static void test_slow(void **state)
{
	const struct world *w = *state;
	int silent[HTTP_PEERS], other;
	char got[REPLY_MAX];

	for (size_t i = 0; i < HTTP_PEERS; i++)
		silent[i] = dial(w);
	other = dial(w);
	say(other, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < 5; i++) {
		say(silent[0], "G");
		assert_int_equal(wait_readable(silent[0], 200), 0);
		assert_int_equal(wait_readable(other, 0), 0);
	}
	atomic_fetch_add(&skip_ms, HTTP_SECONDS * 1000 - 2000);
	assert_int_equal(wait_readable(silent[0], 500), 0);
	atomic_fetch_add(&skip_ms, 2000);
	hear(silent[0], got);
	assert_null(strstr(got, " 200 "));
	assert_non_null(strstr(hear(other, got), "hello\n"));
	for (size_t i = 1; i < HTTP_PEERS; i++)
		close(silent[i]);
}

/* Somebody is connected when it ends. */
static void test_stop(void **state)
{
	struct world *w = *state;
	int fd = dial(w), other = dial(w);
	char got[REPLY_MAX];

	say(fd, "GET /hel");
	http_stop(w->h);
	w->h = NULL;
	assert_string_equal(hear(fd, got), "");
	close(other);
}

static void test_socket(void **state)
{
	const struct world *w = *state;
	const char *err = NULL;
	struct stat st;

	assert_int_equal(stat(w->where + 5, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(http_listen(w->a, w->where, (gid_t)-1, &err), -1);
	assert_non_null(strstr(err, "is in use"));
	assert_int_equal(
		http_listen(w->a, "unix:/nowhere/at/all", (gid_t)-1, &err), -1);
	assert_non_null(strstr(err, "No such file"));
}

static void test_endpoint(void **state)
{
	static const char *const good[] = {"127.0.0.1:9879", "127.8.9.1:1",
					   "[::1]:65535", "unix:/a"};
	static const char *const bad[] = {"",
					  "127.0.0.1",
					  "127.0.0.1:",
					  "127.0.0.1:0",
					  "127.0.0.1:65536",
					  "192.0.2.1:9879",
					  "0.0.0.0:9879",
					  "[::]:9879",
					  "::1:9879",
					  "[127.0.0.1]:9879",
					  "[::1]9879",
					  "[::1]",
					  "[::1",
					  "localhost:9879",
					  ":9879",
					  "9879",
					  "unix:",
					  "unix:/",
					  "unix:a",
					  "[2001:db8::1]:9879",
					  "127.0.0.1:98x",
					  "127.0.0.1:9879 "};
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!endpoint_parse(good[i], &e))
			fail_msg("%s", good[i]);
	assert_string_equal(e.path, "/a");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (endpoint_parse(bad[i], &e))
			fail_msg("%s", bad[i]);
	assert_string_equal(e.path, "/a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoint),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
