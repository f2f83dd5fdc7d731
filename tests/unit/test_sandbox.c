/* control/sandbox.h: each case in a child, since it cannot be undone. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "control/sandbox.h"

#define REFUSED 1 /* EPERM, or with MAILSEAL_DEBUG the end */
#define DENIED	2 /* EACCES: Landlock */
#define KILLED	3

static char folder[] = "/tmp/sandbox.XXXXXX", other[] = "/tmp/sandbox.XXXXXX",
	    later[] = "/tmp/sandbox.XXXXXX";

static const char *in(const char *where, const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", where, name);
	return path;
}

/* 0, or the errno. */
static int error_of(long r)
{
	return r < 0 ? errno : 0;
}

static int make_file(const char *where)
{
	int fd = open(in(where, "new"), O_WRONLY | O_CREAT, 0600);

	return fd < 0 ? errno : error_of(write(fd, "x", 1));
}

static int write_inside(void)
{
	return make_file(folder);
}

static int write_later(void)
{
	return make_file(later);
}

static int write_outside(void)
{
	return make_file(other);
}

static int write_there(void)
{
	return error_of(open(in(other, "there"), O_WRONLY));
}

static int truncate_there(void)
{
	return error_of(open(in(other, "there"), O_RDONLY | O_TRUNC));
}

static int read_there(void)
{
	return error_of(open(in(other, "there"), O_RDONLY));
}

static int remove_inside(void)
{
	return error_of(unlink(in(folder, "there")));
}

static int remove_there(void)
{
	return error_of(unlink(in(other, "there")));
}

static int run_program(void)
{
	return error_of(execl("/bin/true", "true", (char *)NULL));
}

static int trace(void)
{
	return error_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int packets(void)
{
	return error_of(socket(AF_PACKET, SOCK_RAW, 0));
}

static int netlink(void)
{
	return error_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int internet(void)
{
	return error_of(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int another_process(void)
{
	return error_of(fork());
}

static int mount_something(void)
{
	return error_of(chroot("/"));
}

static int signal_parent(void)
{
	return error_of(kill(getppid(), 0));
}

static int signal_self(void)
{
	return error_of(kill(getpid(), 0));
}

/* "Seccomp: 2" and "NoNewPrivs: 1" of the thread itself. */
static void *look(void *arg)
{
	char text[8192] = "";
	int fd = open("/proc/thread-self/status", O_RDONLY);
	int *ret = arg;

	*ret = EIO;
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return NULL;
	if (strstr(text, "Seccomp:\t2\n") != NULL &&
	    strstr(text, "NoNewPrivs:\t1\n") != NULL)
		*ret = 0;
	return NULL;
}

static int thread(void)
{
	pthread_t t;
	int seen = EIO, r = pthread_create(&t, NULL, look, &seen);

	if (r != 0)
		return r;
	pthread_join(t, NULL);
	return seen;
}

static int answers_for_folders(void)
{
	char below[64];

	snprintf(below, sizeof(below), "%s/.", folder);
	return sandbox_holds_folders() && sandbox_may_write(folder) &&
			       sandbox_may_write(below) &&
			       !sandbox_may_write(other) &&
			       !sandbox_may_write("/tmp") &&
			       !sandbox_may_write("/nonexistent/x") &&
			       !sandbox_may_write("") &&
			       !sandbox_may_write(in(later, "not/there")) &&
			       sandbox_may_write(in(later, "not"))
		       ? 0
		       : EINVAL;
}

struct row {
	const char *name;
	int (*act)(void);
	int filter, keys; /* 0: works */
};

/* In a build with the sanitizer, LeakSanitizer needs these. */
#ifdef __SANITIZE_ADDRESS__
#define UNLESS_ASAN(how) 0
#else
#define UNLESS_ASAN(how) (how)
#endif

static const struct row rows[] = {
	{"write in our folder", write_inside, 0, REFUSED},
	{"write where a folder of ours is missing", write_later, 0, REFUSED},
	{"write elsewhere", write_outside, DENIED, REFUSED},
	{"write to a file elsewhere", write_there, DENIED, REFUSED},
	{"truncate elsewhere", truncate_there, DENIED, REFUSED},
	{"read elsewhere", read_there, 0, 0},
	{"remove in our folder", remove_inside, 0, REFUSED},
	{"remove elsewhere", remove_there, DENIED, REFUSED},
	{"run a program", run_program, KILLED, KILLED},
	{"ptrace", trace, UNLESS_ASAN(KILLED), KILLED},
	{"AF_PACKET", packets, REFUSED, REFUSED},
	{"AF_NETLINK", netlink, REFUSED, REFUSED},
	{"AF_INET6", internet, 0, REFUSED},
	{"chroot", mount_something, REFUSED, REFUSED},
	{"a thread, which is confined too", thread, 0, REFUSED},
	{"fork", another_process, UNLESS_ASAN(REFUSED), REFUSED},
	{"signal another process", signal_parent, UNLESS_ASAN(REFUSED),
	 REFUSED},
	{"signal ourselves", signal_self, 0, REFUSED},
	{"which folders", answers_for_folders, 0, EINVAL},
};

static bool confine(bool keys)
{
	/* of what is not there, what it would be in */
	const char *const folders[] = {"", folder, in(later, "not"),
				       "/nonexistent/folder"};
	const char *err;

	return keys ? sandbox_keys() : sandbox_filter(folders, 4, &err);
}

static int wait_status(const struct row *r, bool keys)
{
	const struct rlimit no_core = {0, 0};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		_exit(confine(keys) ? r->act() : 255);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void put(const char *where)
{
	int fd = open(in(where, "there"), O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void check(const struct row *r, bool keys)
{
	int want = keys ? r->keys : r->filter, status;
	bool killed, ok;

	put(folder);
	put(other);
	status = wait_status(r, keys);
	killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
#ifdef MAILSEAL_DEBUG
	want = want == REFUSED ? KILLED : want;
#endif
	if (want == KILLED)
		ok = killed;
	else if (want == DENIED)
		ok = WIFEXITED(status) && WEXITSTATUS(status) == EACCES;
	else if (want == REFUSED)
		ok = WIFEXITED(status) && WEXITSTATUS(status) == EPERM;
	else
		ok = WIFEXITED(status) && WEXITSTATUS(status) == want;
	if (!ok)
		fail_msg("%s (%s): status %#x", r->name,
			 keys ? "key process" : "filter", (unsigned)status);
	unlink(in(folder, "new"));
	unlink(in(other, "new"));
	unlink(in(later, "new"));
}

static bool has_landlock(void)
{
	const struct row r = {"which folders", answers_for_folders, 0, 0};

	return wait_status(&r, false) == 0;
}

static void test_filter(void **state)
{
	bool landlock = has_landlock();

	(void)state;
	if (!landlock)
		print_message("no Landlock here: folders are not tested\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (landlock || (rows[i].filter != DENIED &&
				 rows[i].act != answers_for_folders))
			check(&rows[i], false);
}

static void test_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].act != answers_for_folders)
			check(&rows[i], true);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL && mkdtemp(other) != NULL &&
			       mkdtemp(later) != NULL
		       ? 0
		       : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(in(folder, "there"));
	unlink(in(other, "there"));
	return rmdir(folder) == 0 && rmdir(other) == 0 && rmdir(later) == 0
		       ? 0
		       : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
