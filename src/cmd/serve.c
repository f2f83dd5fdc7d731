/*
 * From the threads that serve to the end of the process: signals, reload, the
 * wait for what is open.  What is needed to begin is mailseald.c's.
 */
#include "cmd/serve.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/closing.h"
#include "cmd/daemon_metrics.h"
#include "cmd/key_process.h"
#include "cmd/takeover.h"
#include "config.h"
#include "control/json_log.h"
#include "control/notify.h"
#include "milter/milter.h"

#define ERRORS_MAX  65536
#define CLOSE_TICKS 40 /* of 5 ms: an MTA that has hung up */
#define QUIET_TICKS 50 /* of 20 ms: a session that has yet to begin */

static void *run_milter(void *arg)
{
	int *status = arg;

	*status = milter_run();
	/* main waits for a signal: tell it that there is nothing more to
	 * wait for */
	kill(getpid(), SIGTERM);
	return NULL;
}

void serve_open_log(const struct config *c)
{
	const struct log_options o = {
		.target = (enum log_target)c->log.target,
		.level = (enum log_level)c->log.level,
		.json = c->log.format == LOG_FORMAT_JSON ? json_log_line : NULL,
	};

	log_open("mailseald", &o);
}

void serve_log_lines(struct slice text, enum log_level level)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');

		log_at(level, LOG_EVENT_NOTE, "%.*s", (int)line.n, line.p);
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
		serve_open_log(app->config);
		log_reload("reloaded %s", app->config->file);
		app_unref(app);
	} else {
		log_at(LOG_LEVEL_ERROR, LOG_EVENT_RELOAD,
		       "the new configuration is wrong; the old one stays");
	}
	notify("READY=1");
	serve_log_lines(strbuf_slice(errors), LOG_LEVEL_ERROR);
	serve_log_lines(strbuf_slice(warnings), LOG_LEVEL_WARN);
	return ok;
}

/* Until a signal asks for the end. */
static void wait_for_end(const struct daemon *d)
{
	const struct timespec second = {1, 0};
	int sig;

	do {
		sig = sigtimedwait(d->signals, NULL, &second);
		daemon_commands_beat(d->commands);
		if (sig == SIGHUP)
			daemon_commands_reload(d->commands);
	} while (sig != SIGTERM && sig != SIGINT);
	daemon_commands_stopping(d->commands);
}

/* ---- the end ------------------------------------------------------------- */

/* Where others hold the socket, new connections wait for whoever comes next,
 * and so open sessions may be waited for.  Otherwise the MTA finds nobody until
 * we are gone, and what counts is that a message comes to its end. */
static unsigned unfinished(bool sessions)
{
	return sessions ? milter_sessions() : milter_in_flight();
}

/* At most `seconds`; when asked once more, at most `hurry`.  Sessions are
 * counted from their first command on: one that was accepted just before may
 * still be on its way to us. */
static void drain(const struct daemon *d, bool sessions, int64_t seconds,
		  int64_t hurry)
{
	int64_t now = clock_mono_ms(), until = now + seconds * 1000;
	const struct timespec tick = {0, 20 * 1000 * 1000};
	unsigned quiet = sessions ? QUIET_TICKS : 0, left = quiet;

	while (now < until) {
		int sig;

		if (unfinished(sessions) > 0)
			left = quiet;
		else if (left-- == 0)
			break;
		sig = sigtimedwait(d->signals, NULL, &tick);
		now = clock_mono_ms();
		if ((sig == SIGTERM || sig == SIGINT) &&
		    until > now + hurry * 1000)
			until = now + hurry * 1000;
	}
	if (milter_in_flight() > 0)
		log_warn("stopping with %u messages unfinished; the MTA will "
			 "try them again",
			 milter_in_flight());
}

/* Another has our socket: we finish what we have. */
static void yield(const struct daemon *d, const struct config *c)
{
	log_stop("another mailseald has taken over; %u sessions are open",
		 milter_sessions());
	listen_close("", d->fd);
	drain(d, true, c->drain_max, c->shutdown_timeout);
}

/* The path is that of whoever has the socket. */
static void stop(const struct daemon *d, const struct config *c)
{
	notify("STOPPING=1");
	daemon_metrics_stopping();
	listen_close(daemon_commands_lent(d->commands) ? "" : d->socket, d->fd);
	drain(d, slice_starts(slice_of(d->socket), "fd:"), c->shutdown_timeout,
	      c->shutdown_timeout);
}

static void finish(const struct daemon *d)
{
	struct app *app = app_get(d->place);

	if (daemon_commands_yielded(d->commands))
		yield(d, app->config);
	else
		stop(d, app->config);
	app_unref(app);
}

/* Writes what must be kept, and tells what was counted.  Sessions that the MTA
 * keeps open may still run: their memory is left to the end of the process. */
static void close_down(const struct daemon *d, int status)
{
	const struct timespec tick = {0, 5 * 1000 * 1000};
	struct app *app = app_get(d->place);

	for (int i = 0; milter_sessions() > 0 && i < CLOSE_TICKS; i++)
		nanosleep(&tick, NULL);
	app_stop(app);
	app_unref(app);
	closing_log(d->place);
	log_flush();
	if (milter_sessions() == 0) {
		log_stop("stopped");
		return;
	}
	log_stop("stopped, %u sessions were open", milter_sessions());
	fflush(NULL);
	_exit(status);
}

/* ---- from start to end --------------------------------------------------- */

static bool start_commands(struct daemon *d)
{
	const struct daemon_hooks hooks = {
		.place = d->place,
		.reload = reload_now,
		.listen_fd = d->fd,
		.socket = d->socket,
	};

	return daemon_commands_start(d->commands, &hooks);
}

/* What needs the paths that the other one had; mail flows without it, too. */
static void take_over(struct daemon *d, const struct config *c)
{
	struct arena *a = arena_new();
	struct strbuf errors;

	strbuf_init(&errors, a, ERRORS_MAX);
	(void)takeover_end(c, &errors); /* if it is gone, its paths are free */
	(void)daemon_metrics_open(c, &errors);
	if (!daemon_metrics_start(d->place))
		strbuf_adds(&errors, "metrics: cannot create a thread\n");
	d->commands = daemon_commands_new(c, &errors);
	if (d->commands != NULL && !start_commands(d)) {
		strbuf_adds(&errors, "control: cannot create a thread\n");
		daemon_commands_free(d->commands);
		d->commands = NULL;
	}
	serve_log_lines(strbuf_slice(&errors), LOG_LEVEL_ERROR);
	arena_free(a);
}

static bool start(struct daemon *d, const struct config *c, pthread_t *thread,
		  int *status)
{
	if (!key_process_watch(d->process->keyd) || !kick_start(d->fd))
		return false;
	if (!d->takeover &&
	    (!daemon_metrics_start(d->place) || !start_commands(d)))
		return false;
	/* last, as nothing may fail once there are sessions */
	if (pthread_create(thread, NULL, run_milter, status) != 0)
		return false;
	if (d->takeover)
		take_over(d, c);
	return true;
}

static void tell_ready(const struct daemon *d, const struct config *c)
{
	char text[64];

	log_start("version %s listens on %s as %s", PACKAGE_VERSION, d->socket,
		  c->authserv_id);
	(void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld",
		       (long)getpid());
	notify(d->takeover ? text : "READY=1");
}

/* 0, or an exit status; `milter` is what libmilter's thread returns. */
static int begin(struct daemon *d, pthread_t *thread, int *milter)
{
	struct app *app = app_get(d->place);
	int status = 0;

	if (!milter_register(d->place, d->process->tally, d->fd)) {
		log_error("libmilter refused to register");
		status = EX_SOFTWARE;
	} else if (!start(d, app->config, thread, milter)) {
		log_error("cannot create a thread");
		status = EX_OSERR;
	} else {
		tell_ready(d, app->config);
	}
	app_unref(app);
	return status;
}

int serve(struct daemon *d)
{
	pthread_t thread;
	int milter = 0, status = begin(d, &thread, &milter);
	bool served = status == 0;

	if (served) {
		wait_for_end(d);
		finish(d);
		kick_hurry();
		milter_stop();
		pthread_join(thread, NULL);
		kick_stop();
		status = milter == 0 ? 0 : EX_SOFTWARE;
	}
	daemon_metrics_stop();
	daemon_commands_free(d->commands);
	if (key_process_lost())
		status = EX_OSERR;
	if (served)
		close_down(d, status);
	return status;
}
