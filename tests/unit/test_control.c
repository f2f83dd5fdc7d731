/*
 * control/control: a request and its reply, roles, and peers that ask too
 * much, too slowly, too often, or do not read.
 *
 * Peers are threads and children of the test.  Those of another user need
 * root; without it these tests are skipped.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unix_socket.h"
#include "control/ask.h"
#include "control/control.h"

#define READERS	   4242 /* groups that nobody is in */
#define ADMINS	   4243
#define STRANGER   12345
#define REQUEST_MS 300
#define REPLY_MS   600

struct world {
	struct arena *a;
	char dir[32], path[64];
	struct control *c;
	sem_t entered, leave; /* of the command "wait" */
	atomic_int running, most, ticks;
	int pipe; /* the writing end of what "pass" gave away */
};

static void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static int run_echo(void *arg, const struct control_request *q,
		    struct control_reply *r)
{
	(void)arg;
	for (size_t i = 1; i < q->n; i++)
		strbuf_printf(&r->text, "[%s]", q->words[i]);
	strbuf_printf(&r->text, " %u %d role %d", q->uid, q->pid, q->role);
	return 0;
}

static int run_wait(void *arg, const struct control_request *q,
		    struct control_reply *r)
{
	struct world *w = arg;
	int now = atomic_fetch_add(&w->running, 1) + 1;

	(void)q;
	if (now > w->most)
		w->most = now;
	sem_post(&w->entered);
	sem_wait(&w->leave);
	atomic_fetch_sub(&w->running, 1);
	strbuf_adds(&r->text, "waited");
	return EX_TEMPFAIL;
}

static int run_large(void *arg, const struct control_request *q,
		     struct control_reply *r)
{
	(void)arg;
	(void)q;
	while (r->text.n < CONTROL_REPLY_MAX - 1000)
		strbuf_printf(&r->text, "%0999d\n", 1);
	return 0;
}

static int run_larger(void *arg, const struct control_request *q,
		      struct control_reply *r)
{
	run_large(arg, q, r);
	strbuf_printf(&r->text, "%02000d\n", 1);
	return 0;
}

static int run_progress(void *arg, const struct control_request *q,
			struct control_reply *r)
{
	(void)arg;
	(void)q;
	for (int i = 1; i <= 120; i++) {
		control_progress(r, "item\n%d of 120", i);
		sleep_ms(10);
	}
	strbuf_adds(&r->text, "done\n");
	return 0;
}

static int run_pass(void *arg, const struct control_request *q,
		    struct control_reply *r)
{
	struct world *w = arg;
	int ends[2];

	(void)q;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "through", 7), 7);
	close(w->pipe);
	w->pipe = ends[1];
	r->fd = ends[0];
	strbuf_adds(&r->text, "here\n");
	return 0;
}

static void tick(void *arg)
{
	struct world *w = arg;

	atomic_fetch_add(&w->ticks, 1);
}

static const struct control_command commands[] = {
	{"echo", CONTROL_READ, run_echo, NULL},
	{"large", CONTROL_READ, run_large, NULL},
	{"larger", CONTROL_READ, run_larger, NULL},
	{"wait", CONTROL_ADMIN, run_wait, NULL},
	{"progress", CONTROL_ADMIN, run_progress, NULL},
	{"pass", CONTROL_ADMIN, run_pass, NULL},
};

static struct control *server(struct world *w, const char **err)
{
	const struct control_options o = {
		.path = w->path,
		.commands = commands,
		.ncommands = sizeof(commands) / sizeof(*commands),
		.arg = w,
		.tick = tick,
		.tick_ms = 20,
		.request_ms = REQUEST_MS,
		.reply_ms = REPLY_MS,
	};

	return control_new(w->a, &o, err);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *err = NULL;

	w->a = arena_new();
	w->pipe = -1;
	(void)signal(SIGPIPE, SIG_IGN);
	strncpy(w->dir, "/tmp/control.XXXXXX", sizeof(w->dir) - 1);
	if (mkdtemp(w->dir) == NULL || chmod(w->dir, 0755) != 0)
		return -1;
	(void)snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	sem_init(&w->entered, 0, 0);
	sem_init(&w->leave, 0, 0);
	w->c = server(w, &err);
	if (w->c == NULL || !control_start(w->c))
		return -1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	control_free(w->c);
	close(w->pipe);
	(void)unlink(w->path);
	(void)rmdir(w->dir);
	sem_destroy(&w->entered);
	sem_destroy(&w->leave);
	arena_free(w->a);
	free(w);
	return 0;
}

static int dial(const struct world *w)
{
	const struct timeval t = {4, 0};
	struct sockaddr_un sun;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(unix_socket_address(w->path, &sun));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

/* All that comes until the end. */
static struct slice read_all(struct world *w, int fd)
{
	struct strbuf b;
	char chunk[65536];
	ssize_t n;

	strbuf_init(&b, w->a, 4 << 20);
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		strbuf_add(&b, (struct slice){chunk, (size_t)n});
	if (n < 0)
		assert_int_equal(errno, ECONNRESET);
	close(fd);
	return strbuf_slice(&b);
}

static struct slice talk(struct world *w, struct slice request)
{
	int fd = dial(w);

	assert_int_equal(send(fd, request.p, request.n, MSG_NOSIGNAL),
			 request.n);
	return read_all(w, fd);
}

static bool ask(struct world *w, const char *request,
		struct control_answer *ret, const char **err)
{
	const struct control_question q = {
		.path = w->path, .request = request, .silence_ms = 4000};

	return control_ask(w->a, &q, ret, err);
}

static void assert_alive(struct world *w)
{
	struct control_answer r;
	const char *err = "";

	if (!ask(w, "echo", &r, &err))
		fail_msg("%s", err);
	assert_int_equal(r.status, 0);
}

/* Who has put the socket there must be one of those. */
static void test_owners(void **state)
{
	struct world *w = *state;
	const uid_t others[] = {geteuid() + 1, geteuid() + 2};
	const uid_t we[] = {geteuid() + 1, geteuid()};
	struct control_question q = {
		.path = w->path,
		.request = "wait", /* would wait */
		.silence_ms = 4000,
		.owners = others,
		.nowners = 2,
	};
	struct control_answer r;
	const char *err = "";

	assert_false(control_ask(w->a, &q, &r, &err));
	assert_string_equal(err, arena_printf(w->a,
					      "%s: it is a socket of user %u, "
					      "who is not trusted",
					      w->path, (unsigned)geteuid()));
	q.owners = we;
	q.request = "echo x";
	assert_true(control_ask(w->a, &q, &r, &err));
	assert_int_equal(r.status, 0);
	assert_int_equal(atomic_load(&w->running), 0); /* no "wait" came */
}

/* ---- requests ------------------------------------------------------------ */

static void test_words(void **state)
{
	struct world *w = *state;
	struct control_answer r;
	const char *err = NULL;

	assert_true(ask(w, "echo one  <two@example.org>", &r, &err));
	assert_int_equal(r.status, 0);
	assert_int_equal(r.fd, -1);
	check_slice(r.text, arena_printf(w->a,
					 "[one][<two@example.org>] %u %d "
					 "role 2",
					 getuid(), getpid()));
	check_slice(slice_first(talk(w, SLICE("echo\nrest")), 9), "status 0\n");
}

static void test_bad_requests(void **state)
{
	struct world *w = *state;
	char much[CONTROL_REQUEST_MAX + 1];
	static const struct slice bad[] = {
		{"\n", 1},
		{"   \n", 4},
		{"echo \0 x\n", 9},
		{"echo \033[2J\n", 10},
		{"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", 41 + 1},
		{"nothing\n", 8},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		check_slice(slice_first(talk(w, bad[i]), 10), "status 64\n");
	check_slice(slice_first(talk(w, SLICE("echo 2 3 4 5 6 7 8 9 10 11 12 "
					      "13 14 15 16\n")),
				9),
		    "status 0\n");
	memset(much, 'e', sizeof(much));
	check_slice(talk(w, (struct slice){much, sizeof(much)}),
		    "status 64\na request has at most 4096 bytes\n");
	memcpy(much, "echo ", 5);
	much[CONTROL_REQUEST_MAX - 1] = '\n';
	check_slice(
		slice_first(talk(w, (struct slice){much, CONTROL_REQUEST_MAX}),
			    9),
		"status 0\n");
	/* what a peer sends does not reach a terminal or a log as it is */
	check_slice(talk(w, SLICE("\xff\xfe\n")),
		    "status 64\n\\xff\\xfe: no such command\n");
}

static void on_progress(void *arg, struct slice text)
{
	struct strbuf *b = arg;

	strbuf_add(b, text);
	strbuf_addc(b, '|');
}

static void test_progress(void **state)
{
	struct world *w = *state;
	struct strbuf seen;
	struct control_question q = {.path = w->path,
				     .request = "progress",
				     .silence_ms = 4000,
				     .progress = on_progress,
				     .arg = &seen};
	struct control_answer r;
	const char *err = NULL;
	size_t lines = 0;

	strbuf_init(&seen, w->a, 65536);
	assert_true(control_ask(w->a, &q, &r, &err));
	check_slice(r.text, "done\n");
	for (size_t i = 0; i < seen.n; i++)
		lines += seen.p[i] == '|';
	/* 1.2 s or more: twice at 0.5 s intervals, not 120 times */
	assert_in_range(lines, 2, 12);
	check_slice(slice_first(strbuf_slice(&seen), 5), "item ");
}

static void test_descriptor(void **state)
{
	struct world *w = *state;
	struct control_answer r;
	const char *err = NULL;
	char text[16];

	assert_true(ask(w, "pass", &r, &err));
	check_slice(r.text, "here\n");
	assert_true(r.fd >= 0);
	assert_int_equal(fcntl(r.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(read(r.fd, text, sizeof(text)), 7);
	close(r.fd);
	/* nobody else has it */
	for (int i = 0; i < 50 && write(w->pipe, "x", 1) == 1; i++)
		sleep_ms(10);
	assert_int_equal(write(w->pipe, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
}

static void test_large(void **state)
{
	struct world *w = *state;
	struct control_answer r;
	const char *err = NULL;

	assert_true(ask(w, "large", &r, &err));
	assert_int_equal(r.status, 0);
	assert_in_range(r.text.n, CONTROL_REPLY_MAX - 1000, CONTROL_REPLY_MAX);
	assert_true(ask(w, "larger", &r, &err));
	assert_int_equal(r.status, EX_DATAERR);
	check_slice(r.text,
		    "larger: the answer is longer than 1048576 bytes\n");
}

/* ---- peers that make trouble -----------------------------------------------
 */

static void test_slow_request(void **state)
{
	struct world *w = *state;
	int64_t before = clock_mono_ms();
	int fd = dial(w);

	assert_int_equal(send(fd, "ech", 3, 0), 3);
	assert_alive(w);
	assert_int_equal(read_all(w, fd).n, 0); /* hung up */
	assert_in_range(clock_mono_ms() - before, REQUEST_MS, 3000);
}

static void test_slow_reader(void **state)
{
	struct world *w = *state;
	int fds[8];
	int64_t before = clock_mono_ms();

	for (size_t i = 0; i < 8; i++) {
		fds[i] = dial(w);
		assert_int_equal(send(fds[i], "large\n", 6, 0), 6);
	}
	for (size_t i = 0; i < 5; i++)
		assert_alive(w);
	assert_in_range(clock_mono_ms() - before, 0, REPLY_MS - 1);
	sleep_ms(2 * REPLY_MS);
	for (size_t i = 0; i < 8; i++)
		assert_in_range(read_all(w, fds[i]).n, 1,
				CONTROL_REPLY_MAX / 2);
	assert_alive(w);
}

/* Who is turned away is told so; the others are served; then all is well. */
static void test_many(void **state)
{
	struct world *w = *state;
	int fds[60], busy = 0;

	for (size_t i = 0; i < 60; i++)
		fds[i] = dial(w);
	sleep_ms(50);
	for (size_t i = 0; i < 60; i++)
		(void)!send(fds[i], "echo\n", 5, MSG_NOSIGNAL);
	for (size_t i = 0; i < 60; i++) {
		struct slice s = read_all(w, fds[i]);

		busy += slice_starts(s, "status 75\n");
		assert_true(slice_starts(s, "status 75\n") ||
			    slice_starts(s, "status 0\n"));
	}
	assert_int_equal(busy, 60 - 16);
	assert_alive(w);
}

static void *ask_wait(void *arg)
{
	struct world *w = arg;
	struct arena *a = arena_new();
	const struct control_question q = {
		.path = w->path, .request = "wait", .silence_ms = 4000};
	struct control_answer r = {0};
	const char *err;
	intptr_t status = control_ask(a, &q, &r, &err) ? r.status : -1;

	arena_free(a);
	return (void *)status;
}

static void test_long_command(void **state)
{
	struct world *w = *state;
	pthread_t t[3];
	void *status;

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_wait, w), 0);
	sem_wait(&w->entered);
	sleep_ms(50);
	assert_alive(w); /* while it runs */
	for (size_t i = 0; i < 3; i++)
		sem_post(&w->leave);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(t[i], &status), 0);
		assert_int_equal((intptr_t)status, EX_TEMPFAIL);
	}
	assert_int_equal(w->most, 1); /* one after another */
}

static void test_gone_while_it_runs(void **state)
{
	struct world *w = *state;
	int fd = dial(w);

	assert_int_equal(send(fd, "wait\n", 5, 0), 5);
	sem_wait(&w->entered);
	close(fd);
	assert_alive(w);
	sem_post(&w->leave);
	assert_alive(w);
	/* one that hangs up its sending side waits for its reply */
	fd = dial(w);
	assert_int_equal(send(fd, "wait\n", 5, 0), 5);
	shutdown(fd, SHUT_WR);
	sem_post(&w->leave);
	check_slice(read_all(w, fd), "status 75\nwaited");
}

static void *leave_late(void *arg)
{
	struct world *w = arg;

	sleep_ms(200);
	sem_post(&w->leave);
	return NULL;
}

static void test_end_while_it_runs(void **state)
{
	struct world *w = *state;
	int fd = dial(w);
	pthread_t t;

	assert_int_equal(send(fd, "wait\n", 5, 0), 5);
	sem_wait(&w->entered);
	assert_int_equal(pthread_create(&t, NULL, leave_late, w), 0);
	control_free(w->c);
	w->c = NULL;
	pthread_join(t, NULL);
	check_slice(read_all(w, fd), "status 75\nwaited");
	assert_int_equal(access(w->path, F_OK), -1);
}

/* ---- roles -----------------------------------------------------------------
 */

/* The answer to `request` of a process with these groups. */
static struct slice talk_as(struct world *w, uid_t uid, gid_t gid, gid_t other,
			    const char *request)
{
	int ends[2], status;
	struct slice ret;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid = fork();
	if (pid == 0) {
		char chunk[512];
		ssize_t n;
		int fd;

		if (setgroups(1, &other) != 0 || setgid(gid) != 0 ||
		    setuid(uid) != 0)
			_exit(1);
		fd = dial(w);
		if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
			_exit(2);
		while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
			if (write(ends[1], chunk, (size_t)n) != n)
				_exit(3);
		_exit(0);
	}
	close(ends[1]);
	ret = read_all(w, ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return ret;
}

static bool allowed(struct world *w, uid_t uid, gid_t gid, gid_t other,
		    const char *request)
{
	struct slice s = talk_as(w, uid, gid, other, request);

	if (slice_starts(s, "status 0\n"))
		return true;
	assert_true(slice_starts(s, "status 77\n"));
	return false;
}

static void test_roles(void **state)
{
	struct world *w = *state;
	const uid_t u = STRANGER;

	if (geteuid() != 0)
		skip();
	assert_false(allowed(w, u, u, READERS, "echo\n"));
	assert_false(allowed(w, u, u, ADMINS, "pass\n"));
	control_set_groups(w->c, READERS, ADMINS);
	assert_false(allowed(w, u, u, u, "echo\n"));
	assert_true(allowed(w, u, u, READERS, "echo\n"));
	assert_true(allowed(w, u, READERS, u, "echo\n"));
	assert_false(allowed(w, u, u, READERS, "pass\n"));
	assert_true(allowed(w, u, u, ADMINS, "pass\n"));
	assert_true(allowed(w, u, ADMINS, u, "echo\n"));
	/* a stranger does not even learn which commands there are */
	check_slice(talk_as(w, u, u, u, "nothing\n"),
		    "status 77\nnothing: permission denied: be root, the user "
		    "of mailseald, or a member of the group that "
		    "control.read_group or control.admin_group names\n");
	control_set_groups(w->c, CONTROL_NOBODY, CONTROL_NOBODY);
	assert_false(allowed(w, u, READERS, ADMINS, "echo\n"));
	assert_true(allowed(w, 0, u, u, "pass\n"));
}

/* Strangers that hold connections keep no administrator out. */
static void test_strangers(void **state)
{
	struct world *w = *state;
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) != 0 || setgid(STRANGER) != 0 ||
		    setuid(STRANGER) != 0)
			_exit(1);
		for (size_t i = 0; i < 50; i++)
			(void)dial(w);
		sleep_ms(REQUEST_MS / 2);
		_exit(0);
	}
	sleep_ms(REQUEST_MS / 4);
	assert_alive(w);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- the path --------------------------------------------------------------
 */

static void test_path(void **state)
{
	struct world *w = *state;
	struct control_answer r;
	const char *err = NULL;
	struct stat st;
	struct control *second;

	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_null(server(w, &err)); /* it is in use */
	assert_non_null(strstr(err, "another mailseald"));
	assert_alive(w);
	/* no sooner is it closed than another may have it */
	control_close(w->c);
	second = server(w, &err);
	assert_non_null(second);
	assert_true(control_start(second));
	control_free(w->c);
	w->c = second;
	assert_alive(w);
	control_free(second);
	w->c = NULL;
	assert_false(ask(w, "echo", &r, &err));
	assert_string_equal(
		err, arena_printf(w->a, "%s: %s", w->path, strerror(ENOENT)));
}

static void test_path_taken(void **state)
{
	struct world *w = *state;
	const char *err = NULL, *sock = w->path;
	int fd;

	control_free(w->c);
	fd = open(sock, O_CREAT | O_WRONLY, 0600);
	close(fd);
	w->c = server(w, &err);
	assert_null(w->c);
	assert_non_null(strstr(err, "is no socket"));
	assert_int_equal(unlink(sock), 0);
	/* a stale one */
	close(unix_socket_bind(sock, 0600, &err));
	assert_int_equal(access(sock, F_OK), 0);
	w->c = server(w, &err);
	assert_non_null(w->c);
	assert_true(control_start(w->c));
	assert_alive(w);
	/* what stands in our place is not ours to remove */
	assert_int_equal(unlink(sock), 0);
	fd = unix_socket_bind(sock, 0600, &err);
	control_free(w->c);
	w->c = NULL;
	assert_int_equal(access(sock, F_OK), 0);
	close(fd);
}

static void test_post(void **state)
{
	struct world *w = *state;

	assert_false(control_post(w->c, "nothing"));
	assert_true(control_post(w->c, "wait"));
	sem_wait(&w->entered);
	for (int i = 0; i < 200; i++) /* while it runs: once more */
		assert_true(control_post(w->c, "wait"));
	assert_alive(w);
	sem_post(&w->leave);
	sem_wait(&w->entered);
	sem_post(&w->leave);
	while (w->running > 0)
		sleep_ms(1);
	sleep_ms(50);
	assert_int_equal(sem_trywait(&w->entered), -1);
	assert_alive(w);
}

static void test_tick(void **state)
{
	struct world *w = *state;

	sleep_ms(300);
	assert_in_range(w->ticks, 2, 25);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_owners),
		TEST(test_words),
		TEST(test_bad_requests),
		TEST(test_progress),
		TEST(test_descriptor),
		TEST(test_large),
		TEST(test_slow_request),
		TEST(test_slow_reader),
		TEST(test_many),
		TEST(test_long_command),
		TEST(test_gone_while_it_runs),
		TEST(test_end_while_it_runs),
		TEST(test_roles),
		TEST(test_strangers),
		TEST(test_path),
		TEST(test_path_taken),
		TEST(test_post),
		TEST(test_tick),
	};

	alarm(240); /* a request that waits for ever is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
