/*
 * mailseald: argv, wiring, privileges; no logic.
 *
 * Order of start: configuration, key process, keys and socket (these may need
 * root), block signals, drop privileges, sandbox, then threads (resolver,
 * libmilter).
 * Signals are blocked in every thread, and main waits for them
 * (milter/signals.c).
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#ifdef MAILSEAL_COVERAGE
#include <gcov.h>
#endif

#include "base/clock.h"
#include "base/log.h"
#include "base/log_recent.h"
#include "cmd/confine.h"
#include "cmd/daemon_commands.h"
#include "cmd/daemon_metrics.h"
#include "cmd/key_process.h"
#include "cmd/serve.h"
#include "cmd/takeover.h"
#include "config.h"
#include "control/json_log.h"
#include "control/notify.h"
#include "milter/milter.h"

#define ERRORS_MAX 65536

/*
 * The stack of every thread: libmilter makes one for each session that the MTA
 * has open, and 2,500 of them must stay small.  Measured over all tests, with
 * painted stacks on amd64: a session needs 18 KiB, the resolver's thread with
 * DNSSEC 200 KiB.  With the sanitizers frames are several times as large.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THREAD_STACK (8 << 20)
#else
#define THREAD_STACK (1 << 20)
#endif

struct options {
	const char *config;
	bool foreground;
	bool takeover;
};

enum {
	OPTION_TAKEOVER = 256,
};

static void usage(FILE *to)
{
	fputs("usage: mailseald [-f] [-c file] [--takeover]\n"
	      "       mailseald -V\n"
	      "  -c file  configuration (default " MAILSEAL_SYSCONFDIR
	      "/mailseal.conf)\n"
	      "  -f       stay in the foreground\n"
	      "  -V       print the version\n"
	      "  --takeover  take the socket of the one that runs\n",
	      to);
}

/* Returns -1 to go on, or an exit status. */
static int parse_args(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{"takeover", no_argument, NULL, OPTION_TAKEOVER},
		{0},
	};
	int c;

	*o = (struct options){.config = MAILSEAL_SYSCONFDIR "/mailseal.conf"};
	while ((c = getopt_long(argc, argv, "c:fVh", names, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'f':
			o->foreground = true;
			break;
		case OPTION_TAKEOVER:
			o->takeover = true;
			break;
		case 'V':
			puts("mailseald " PACKAGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return EX_USAGE;
	}
	return -1;
}

/* Becomes `name` when started as root.  False and a message when it cannot. */
static bool drop_privileges(const char *name, struct strbuf *errors)
{
	struct passwd *pw;

	if (geteuid() != 0 || name[0] == '\0')
		return true;
	pw = getpwnam(name);
	if (pw == NULL) {
		strbuf_printf(errors,
			      "user \"%s\" does not exist; create it with "
			      "useradd --system %s, or set user\n",
			      name, name);
		return false;
	}
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
	    setuid(pw->pw_uid) != 0 || setuid(0) == 0) {
		strbuf_printf(errors, "cannot become user \"%s\": %s\n", name,
			      strerror(errno));
		return false;
	}
	return true;
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* The listening socket, and with it those of who looks in; -1 and messages. */
static int open_sockets(const struct config *c, struct strbuf *errors)
{
	const char *err;
	int fd;

	/* first: whoever finds the other one open may ask here, too */
	if (!daemon_metrics_open(c, errors))
		return -1;
	fd = listen_open(c->arena, c->socket, c->socket_mode, c->socket_group,
			 &err);
	if (fd < 0)
		strbuf_printf(errors, "%s\n", err);
	return fd;
}

/* What open_sockets() or takeover_begin() gave. */
static void close_socket(const struct daemon *d)
{
	if (d->takeover)
		close(d->fd);
	else
		listen_close(d->socket, d->fd);
}

/* Everything that may need root: the app; NULL and messages on failure.  Takes
 * the configuration. */
static struct app *prepare(struct config *c, struct daemon *d,
			   struct strbuf *errors, struct strbuf *warnings)
{
	struct app *app = app_new(c, d->process, errors, warnings);

	if (app == NULL) {
		config_free(c);
		return NULL;
	}
	fputs(strbuf_cstr(warnings), stderr);
	d->fd = d->takeover ? takeover_begin(c, errors)
			    : open_sockets(c, errors);
	if (d->fd >= 0)
		return app;
	app_unref(app);
	return NULL;
}

static void bound_stacks(void)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r == 0) {
		r = pthread_attr_setstacksize(&attr, THREAD_STACK);
		if (r == 0)
			r = pthread_setattr_default_np(&attr);
		pthread_attr_destroy(&attr);
	}
	if (r != 0)
		log_warn("cannot bound the stacks of threads: %s", strerror(r));
}

/* A descriptor for each session, and up to 1024 for questions to the DNS
 * (dns/context.c): more than the 1024 that a process has when nobody asks.
 * Nothing here uses select(). */
static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		log_warn("cannot raise the limit of descriptors: %s",
			 strerror(errno));
}

/* For the status alone. */
static void keep_lines(struct slice text)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');
		char s[LOG_RECENT_BYTES + 1];

		(void)snprintf(s, sizeof(s), "%.*s", (int)line.n, line.p);
		log_recent_add(clock_unix_ms(), LOG_LEVEL_WARN, s);
	}
}

/* From here on messages go to the log.  Takes the app. */
static int run(struct app *app, struct daemon *d, struct slice warnings)
{
	const struct config *c = app->config;
	struct arena *a = arena_new();
	struct strbuf errors, late;
	int status = EX_CONFIG;

	d->place = app_place_new(app);
	serve_open_log(c);
	if (c->log.target != LOG_TARGET_STDERR)
		serve_log_lines(warnings, LOG_LEVEL_WARN);
	else /* there they are already */
		keep_lines(warnings);
	strbuf_init(&errors, a, ERRORS_MAX);
	strbuf_init(&late, a, ERRORS_MAX);
	crypto_lock_keys();
	bound_stacks();
	raise_descriptors();
	if (!confine(c)) {
		status = EX_OSERR;
	} else if (app_start(app, NULL, &errors, &late)) {
		serve_log_lines(strbuf_slice(&late), LOG_LEVEL_WARN);
		status = serve(d);
		d->fd = -1;
	} else {
		log_error("%s", strbuf_cstr(&errors));
	}
	if (d->fd >= 0) {
		daemon_commands_free(d->commands);
		close_socket(d);
	}
	app_place_free(d->place);
	arena_free(a);
	return status;
}

/* Takes the configuration. */
static int start(struct config *c, struct daemon *d, bool foreground,
		 struct strbuf *errors, struct strbuf *warnings)
{
	struct app *app = prepare(c, d, errors, warnings);
	sigset_t signals;

	if (app == NULL)
		return EX_CONFIG;
	block_signals(&signals);
	d->signals = &signals;
	if (!d->takeover)
		d->commands = daemon_commands_new(c, errors);
	if ((d->commands == NULL && !d->takeover) ||
	    !drop_privileges(c->user, errors))
		;
	else if (!foreground && daemon(0, 0) != 0)
		strbuf_printf(errors, "cannot become a daemon: %s\n",
			      strerror(errno));
	else
		return run(app, d, strbuf_slice(warnings));
	daemon_commands_free(d->commands);
	close_socket(d);
	app_unref(app);
	return EX_CONFIG;
}

/* A reload must find it from "/" too. */
static const char *absolute(struct arena *a, const char *path)
{
	char *here = path[0] != '/' ? getcwd(NULL, 0) : NULL;

	if (here != NULL)
		path = arena_printf(a, "%s/%s", here, path);
	free(here);
	return path;
}

/*
 * libmilter's threads are still there: what libraries would take down on their
 * way out could be in use, or about to be taken down by a thread that ends.
 */
static void __attribute__((noreturn)) end(int status)
{
	fflush(NULL);
#ifdef __SANITIZE_ADDRESS__
	__lsan_do_leak_check();
#endif
#ifdef MAILSEAL_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

int main(int argc, char **argv)
{
	struct options o;
	struct arena *a;
	struct app_process process = {.waiters = &kick_waiters,
				      .allows = confine_allows};
	struct daemon d = {.process = &process, .fd = -1};
	struct strbuf errors, warnings;
	struct config *c;
	int status = parse_args(argc, argv, &o);

	if (status >= 0)
		return status;
	d.takeover = o.takeover;
	(void)notify_open();
	if (!crypto_protect_keys())
		fputs("mailseald: keys will be in core dumps: no memory that "
		      "is left out of them\n",
		      stderr);
	a = arena_new();
	strbuf_init(&errors, a, ERRORS_MAX);
	strbuf_init(&warnings, a, ERRORS_MAX);
	c = config_load(absolute(a, o.config), &errors);
	process.tally = tally_new();
	status = EX_CONFIG;
	if (c != NULL)
		d.socket = arena_strdup(a, c->socket);
	if (c != NULL &&
	    key_process_start(c, argc, argv, &process.keyd, &errors))
		status = start(c, &d, o.foreground, &errors, &warnings);
	else
		config_free(c);
	keyd_free(process.keyd);
	daemon_metrics_stop();
	tally_free(process.tally);
	fputs(strbuf_cstr(&errors), stderr);
	arena_free(a);
	end(status);
}
