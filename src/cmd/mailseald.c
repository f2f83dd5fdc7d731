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
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
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
#include "cmd/closing.h"
#include "cmd/confine.h"
#include "cmd/daemon_commands.h"
#include "cmd/daemon_metrics.h"
#include "cmd/key_process.h"
#include "config.h"
#include "control/json_log.h"
#include "control/notify.h"
#include "milter/milter.h"

#define ERRORS_MAX 65536
#define CLOSE_TICKS 40 /* of 5 ms: an MTA that has hung up */

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
};

static void usage(FILE *to)
{
	fputs("usage: mailseald [-f] [-c file]\n"
	      "       mailseald -V\n"
	      "  -c file  configuration (default " MAILSEAL_SYSCONFDIR
	      "/mailseal.conf)\n"
	      "  -f       stay in the foreground\n"
	      "  -V       print the version\n",
	      to);
}

/* Returns -1 to go on, or an exit status. */
static int parse_args(int argc, char **argv, struct options *o)
{
	int c;

	*o = (struct options){MAILSEAL_SYSCONFDIR "/mailseal.conf", false};
	while ((c = getopt(argc, argv, "c:fVh")) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'f':
			o->foreground = true;
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

static void *run_milter(void *arg)
{
	int *status = arg;

	*status = milter_run();
	/* main waits for a signal: tell it that there is nothing more to
	 * wait for */
	kill(getpid(), SIGTERM);
	return NULL;
}

static void open_log(const struct config *c)
{
	const struct log_options o = {
		.target = (enum log_target)c->log.target,
		.level = (enum log_level)c->log.level,
		.json = c->log.format == LOG_FORMAT_JSON ? json_log_line : NULL,
	};

	log_open("mailseald", &o);
}

/* Waits until no message is in flight, at most `seconds`. */
static void drain(int64_t seconds)
{
	int64_t until = clock_mono_ms() + seconds * 1000;
	const struct timespec tick = {0, 20 * 1000 * 1000};

	while (milter_in_flight() > 0 && clock_mono_ms() < until)
		nanosleep(&tick, NULL);
	if (milter_in_flight() > 0)
		log_warn("stopping with %u messages unfinished; the MTA will "
			 "try them again",
			 milter_in_flight());
}

static void log_lines(struct slice text, enum log_level level)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');

		log_at(level, LOG_EVENT_NOTE, "%.*s", (int)line.n, line.p);
	}
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

static bool reload_now(struct app_place *place, struct strbuf *errors,
		       struct strbuf *warnings)
{
	struct app *app;
	bool ok;

	notify_reloading();
	ok = reload(place, errors, warnings);
	if (ok) {
		app = app_get(place);
		open_log(app->config);
		log_reload("reloaded %s", app->config->file);
		app_unref(app);
	} else {
		log_at(LOG_LEVEL_ERROR, LOG_EVENT_RELOAD,
		       "the new configuration is wrong; the old one stays");
	}
	notify("READY=1");
	log_lines(strbuf_slice(errors), LOG_LEVEL_ERROR);
	log_lines(strbuf_slice(warnings), LOG_LEVEL_WARN);
	return ok;
}

/* Until a signal asks for the end. */
static void wait_for_end(struct daemon_commands *commands,
			 const sigset_t *signals)
{
	const struct timespec second = {1, 0};
	int sig;

	do {
		sig = sigtimedwait(signals, NULL, &second);
		daemon_commands_beat(commands);
		if (sig == SIGHUP)
			daemon_commands_reload(commands);
	} while (sig != SIGTERM && sig != SIGINT);
	daemon_commands_stopping(commands);
}

/* Sessions that the MTA keeps open may still run: their memory is left to the
 * end of the process, and what must be kept is written now. */
static void end_with_sessions(struct app_place *place)
{
	const struct timespec tick = {0, 5 * 1000 * 1000};
	struct app *app;

	for (int i = 0; milter_sessions() > 0 && i < CLOSE_TICKS; i++)
		nanosleep(&tick, NULL);
	if (milter_sessions() == 0)
		return;
	log_stop("stopped, %u sessions were open", milter_sessions());
	app = app_get(place);
	app_stop(app);
	fflush(NULL);
	_exit(key_process_lost() ? EX_OSERR : 0);
}

static int64_t drain_seconds(struct app_place *place)
{
	struct app *app = app_get(place);
	int64_t seconds = app->config->shutdown_timeout;

	app_unref(app);
	return seconds;
}

static int serve(struct app_place *place, const struct app_process *process,
		 const sigset_t *signals, int fd,
		 struct daemon_commands *commands)
{
	struct app *app = app_get(place);
	const struct config *c = app->config;
	pthread_t thread;
	int status = 0;

	if (!milter_register(place, process->tally, fd)) {
		log_error("libmilter refused to register");
		status = EX_SOFTWARE;
	} else if (!key_process_watch(process->keyd) ||
		   !daemon_metrics_start(place) || !kick_start(fd) ||
		   !daemon_commands_start(commands, place, reload_now) ||
		   pthread_create(&thread, NULL, run_milter, &status) != 0) {
		log_error("cannot create a thread");
		status = EX_OSERR;
	}
	if (status == 0) {
		log_start("version %s listens on %s as %s", PACKAGE_VERSION,
			  c->socket, c->authserv_id);
		notify("READY=1");
		wait_for_end(commands, signals);
		notify("STOPPING=1");
		daemon_metrics_stopping();
		listen_close(c->socket, fd);
		drain(drain_seconds(place));
		kick_hurry();
		milter_stop();
		pthread_join(thread, NULL);
		daemon_metrics_stop();
		kick_stop();
	}
	daemon_commands_free(commands);
	if (status == 0) {
		closing_log(place);
		log_flush();
		end_with_sessions(place);
		log_stop("stopped");
	}
	app_unref(app);
	if (key_process_lost())
		return EX_OSERR;
	return status == 0 ? 0 : EX_SOFTWARE;
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

/* Everything that may need root; -1 and messages on failure. */
static int prepare(struct config *c, const struct app_process *process,
		   struct app **app, struct strbuf *errors,
		   struct strbuf *warnings)
{
	const char *err;
	int fd;

	*app = app_new(c, process, errors, warnings);
	if (*app == NULL) {
		config_free(c);
		return -1;
	}
	fputs(strbuf_cstr(warnings), stderr);
	/* first: whoever finds the other one open may ask here, too */
	if (!daemon_metrics_open(c, errors))
		return -1;
	fd = listen_open(c->arena, c->socket, c->socket_mode, c->socket_group,
			 &err);
	if (fd < 0)
		strbuf_printf(errors, "%s\n", err);
	return fd;
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

/* From here on messages go to the log.  Takes the app and the commands. */
static int run(struct app *app, const sigset_t *signals, int fd,
	       struct daemon_commands *commands, struct slice warnings)
{
	const struct app_process *process = app->process;
	const struct config *c = app->config;
	struct app_place *place = app_place_new(app);
	struct arena *a = arena_new();
	struct strbuf errors, late;
	int status = EX_CONFIG;

	open_log(c);
	if (c->log.target != LOG_TARGET_STDERR)
		log_lines(warnings, LOG_LEVEL_WARN);
	else /* there they are already */
		keep_lines(warnings);
	strbuf_init(&errors, a, ERRORS_MAX);
	strbuf_init(&late, a, ERRORS_MAX);
	crypto_lock_keys();
	bound_stacks();
	raise_descriptors();
	if (!confine(c)) {
		daemon_commands_free(commands);
		listen_close(c->socket, fd);
		status = EX_OSERR;
	} else if (app_start(app, NULL, &errors, &late)) {
		log_lines(strbuf_slice(&late), LOG_LEVEL_WARN);
		status = serve(place, process, signals, fd, commands);
	} else {
		log_error("%s", strbuf_cstr(&errors));
		daemon_commands_free(commands);
		listen_close(c->socket, fd);
	}
	app_place_free(place);
	arena_free(a);
	return status;
}

/* Takes the configuration. */
static int start(const struct options *o, struct config *c,
		 const struct app_process *process, struct strbuf *errors,
		 struct strbuf *warnings)
{
	struct app *app = NULL;
	struct daemon_commands *commands;
	sigset_t signals;
	int fd = prepare(c, process, &app, errors, warnings);

	if (fd < 0) {
		app_unref(app);
		return EX_CONFIG;
	}
	block_signals(&signals);
	commands = daemon_commands_new(c, errors);
	if (commands == NULL || !drop_privileges(c->user, errors)) {
		listen_close(c->socket, fd);
	} else if (!o->foreground && daemon(0, 0) != 0) {
		strbuf_printf(errors, "cannot become a daemon: %s\n",
			      strerror(errno));
		listen_close(c->socket, fd);
	} else {
		return run(app, &signals, fd, commands, strbuf_slice(warnings));
	}
	daemon_commands_free(commands);
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
	struct strbuf errors, warnings;
	struct config *c;
	int status = parse_args(argc, argv, &o);

	if (status >= 0)
		return status;
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
	if (c != NULL &&
	    key_process_start(c, argc, argv, &process.keyd, &errors))
		status = start(&o, c, &process, &errors, &warnings);
	else
		config_free(c);
	keyd_free(process.keyd);
	daemon_metrics_stop();
	tally_free(process.tally);
	fputs(strbuf_cstr(&errors), stderr);
	arena_free(a);
	end(status);
}
