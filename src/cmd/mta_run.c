/*
 * Runs a program of the MTA and collects what it writes: without a shell,
 * with an environment of three variables, for a limited time and output.  A
 * program that outlives its time is killed with all that it has started.
 */
#include "cmd/mta.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define OUTPUT_MAX (1024 * 1024)
#define PLACES	   "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"

struct running {
	pid_t pid;
	int out, err;
	int64_t deadline; /* of clock_mono_ms() */
};

static const char *find(struct arena *a, const char *name)
{
	const char *path = getenv("PATH");
	struct slice rest, place;

	if (strchr(name, '/') != NULL)
		return name;
	rest = slice_of(arena_printf(a, "%s:" PLACES, path ? path : ""));
	while (rest.p != NULL) {
		place = slice_cut(&rest, ':');
		if (place.n == 0 || place.p[0] != '/')
			continue;
		path = arena_printf(a, "%.*s/%s", (int)place.n, place.p, name);
		if (access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

/* What a program of the MTA needs of ours: MAIL_CONFIG is Postfix's. */
static char **environment(struct arena *a)
{
	const char *path = getenv("PATH"), *mail = getenv("MAIL_CONFIG");
	char **env = arena_array(a, 4, sizeof(*env));
	size_t n = 0;

	env[n++] = arena_printf(a, "PATH=%s:" PLACES, path ? path : "");
	env[n++] = arena_strdup(a, "LC_ALL=C");
	if (mail != NULL)
		env[n++] = arena_printf(a, "MAIL_CONFIG=%s", mail);
	return env;
}

/* After fork(): no memory is taken, nothing returns. */
static void become(const char *path, char **argv, char **env,
		   const struct passwd *user, const int out[2],
		   const int err[2])
{
	int null = open("/dev/null", O_RDONLY);

	(void)setpgid(0, 0);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 ||
	    dup2(err[1], 2) < 0)
		_exit(126);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	if (user != NULL &&
	    (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 ||
	     setuid(user->pw_uid) != 0))
		_exit(126);
	execve(path, argv, env);
	_exit(126);
}

static bool start(struct arena *a, const char *path, const char *const *argv,
		  const struct passwd *user, struct running *r)
{
	char **env = environment(a);
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) != 0)
		return false;
	if (pipe2(err, O_CLOEXEC) != 0) {
		close(out[0]);
		close(out[1]);
		return false;
	}
	r->pid = fork();
	if (r->pid == 0)
		become(path, unconst(argv), env, user, out, err);
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
	if (r->pid > 0)
		(void)setpgid(r->pid, r->pid);
	return r->pid > 0;
}

/* False at the end of the file. */
static bool take(int fd, struct strbuf *b)
{
	char chunk[4096];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n > 0)
		strbuf_add(b, (struct slice){chunk, (size_t)n});
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Both outputs to their end; NULL or what kept us from it. */
static const char *collect(struct running *r, struct strbuf *out,
			   struct strbuf *err)
{
	struct pollfd p[2] = {{.fd = r->out, .events = POLLIN},
			      {.fd = r->err, .events = POLLIN}};
	int64_t left;

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		left = r->deadline - clock_mono_ms();
		if (left <= 0)
			return "does not answer";
		if (poll(p, 2, (int)left) < 0 && errno != EINTR)
			return "cannot be listened to";
		if (p[0].revents != 0 && !take(r->out, out))
			p[0].fd = -1;
		if (p[1].revents != 0 && !take(r->err, err))
			p[1].fd = -1;
		if (out->overflow || err->overflow)
			return "writes too much";
	}
	return NULL;
}

/* The exit status, or -1 when it did not end in time or by itself. */
static int reap(struct running *r)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	int status = 0;
	pid_t done;

	while ((done = waitpid(r->pid, &status, WNOHANG)) != r->pid) {
		if ((done < 0 && errno != EINTR) ||
		    clock_mono_ms() > r->deadline) {
			(void)kill(-r->pid, SIGKILL);
			(void)waitpid(r->pid, NULL, 0);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run(struct arena *a, const char *const *argv, unsigned seconds,
		const struct passwd *user, struct mta_result *ret)
{
	const char *path = find(a, argv[0]);
	struct strbuf out, err;
	struct running r = {.deadline =
				    clock_mono_ms() + (int64_t)seconds * 1000};

	*ret = (struct mta_result){.status = -1};
	strbuf_init(&out, a, OUTPUT_MAX);
	strbuf_init(&err, a, OUTPUT_MAX);
	if (path == NULL || !start(a, path, argv, user, &r)) {
		ret->problem = arena_printf(a, "%s %s", argv[0],
					    path == NULL ? "is not there"
							 : "does not start");
		return;
	}
	ret->problem = collect(&r, &out, &err);
	if (ret->problem != NULL)
		(void)kill(-r.pid, SIGKILL);
	close(r.out);
	close(r.err);
	ret->status = reap(&r);
	if (ret->problem == NULL && ret->status < 0)
		ret->problem = "did not end as it should";
	if (ret->problem != NULL)
		ret->problem = arena_printf(a, "%s %s", argv[0], ret->problem);
	ret->out = strbuf_slice(&out);
	ret->err = strbuf_slice(&err);
}

void mta_run(struct arena *a, const char *const *argv, unsigned seconds,
	     struct mta_result *ret)
{
	run(a, argv, seconds, NULL, ret);
}

void mta_run_reader(struct arena *a, const char *const *argv, unsigned seconds,
		    struct mta_result *ret)
{
	const struct passwd *nobody =
		geteuid() == 0 ? getpwnam("nobody") : NULL;

	if (nobody != NULL)
		run(a, argv, seconds, nobody, ret);
	/* it ran, and could not read something */
	if (nobody == NULL || (ret->problem == NULL && ret->status != 0))
		run(a, argv, seconds, NULL, ret);
}

const char *mta_complaint(struct arena *a, const struct mta_result *r)
{
	struct slice rest = slice_trim(r->err);
	struct strbuf b;

	if (r->problem != NULL)
		return r->problem;
	strbuf_init(&b, a, 4096);
	strbuf_add_escaped(&b, slice_cut(&rest, '\n'), 1000);
	return b.n > 0 ? strbuf_cstr(&b)
		       : arena_printf(a, "exit status %d; its log says why",
				      r->status);
}

const char *mta_quoted(struct arena *a, const char *text)
{
	struct strbuf b;
	size_t plain = strspn(text, "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-");

	if (plain > 0 && text[plain] == '\0')
		return text;
	strbuf_init(&b, a, 65536);
	strbuf_addc(&b, '\'');
	for (; *text != '\0'; text++)
		if (*text == '\'')
			strbuf_adds(&b, "'\\''");
		else
			strbuf_addc(&b, *text);
	strbuf_addc(&b, '\'');
	return strbuf_cstr(&b);
}
