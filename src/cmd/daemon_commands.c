/* The commands of the control socket, and the watchdog of the daemon. */
#include "cmd/daemon_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "cmd/control_groups.h"
#include "cmd/daemon_explain.h"
#include "cmd/daemon_keys.h"
#include "cmd/daemon_metrics.h"
#include "cmd/daemon_revoke.h"
#include "control/control.h"
#include "control/notify.h"
#include "control/watchdog.h"
#include "milter/status.h"

#define TICK_MS	   1000
#define STATUS_MS  10000
#define LINES_MAX  65536
#define STATUS_MAX 256
#define LENT_MS	   60000 /* a start that takes longer has failed */

enum { PULSE_MAIN, PULSE_DNS };

struct daemon_commands {
	struct control *control;
	struct daemon_hooks hooks;
	char *socket; /* hooks.socket */
	int64_t started;
	atomic_bool yielded;
	atomic_bool stopping;
	_Atomic int64_t lent_until; /* clock_mono_ms(); 0: to nobody */
	atomic_uint_fast64_t beats; /* of main */

	/* ---- of the thread that ticks ---- */
	struct watchdog watchdog;
	int64_t next_status;
	char status[STATUS_MAX]; /* that was told last */
};

/* ---- commands ------------------------------------------------------------ */

static int run_status(void *arg, const struct control_request *q,
		      struct control_reply *r)
{
	struct daemon_commands *d = arg;
	bool json = q->n == 2 && strcmp(q->words[1], "--json") == 0;
	struct arena *a;
	struct status s;

	if (q->n > 1 && !json) {
		strbuf_adds(&r->text, "usage: status [--json]\n");
		return EX_USAGE;
	}
	a = arena_new();
	status_get(a, d->hooks.place, d->started, atomic_load(&d->stopping), &s);
	if (json)
		status_json(&s, &r->text);
	else
		status_text(&s, &r->text);
	status_done(&s);
	arena_free(a);
	return 0;
}

static int run_metrics(void *arg, const struct control_request *q,
		       struct control_reply *r)
{
	(void)arg;
	if (q->n > 1) {
		strbuf_adds(&r->text, "usage: metrics\n");
		return EX_USAGE;
	}
	daemon_metrics_write(&r->text);
	return 0;
}

static int run_explain(void *arg, const struct control_request *q,
		       struct control_reply *r)
{
	struct daemon_commands *d = arg;
	bool json = q->n == 3 && strcmp(q->words[1], "--json") == 0;

	if (q->n != (json ? 3 : 2)) {
		strbuf_adds(&r->text, "usage: explain [--json] ID\n");
		return EX_USAGE;
	}
	return daemon_explain(d->hooks.place, q->words[q->n - 1], json,
			      &r->text);
}

static int run_keys(void *arg, const struct control_request *q,
		    struct control_reply *r)
{
	struct daemon_commands *d = arg;
	bool json = q->n > 1 && strcmp(q->words[1], "--json") == 0;
	size_t given = json ? 2 : 1;

	if (q->n > given + 1) {
		strbuf_adds(&r->text, "usage: keys [--json] [DOMAIN]\n");
		return EX_USAGE;
	}
	return daemon_keys(d->hooks.place,
			   q->n > given ? q->words[given] : NULL, json,
			   &r->text);
}

/* What a new configuration changes for us. */
static void follow(struct daemon_commands *d, struct strbuf *told,
		   struct strbuf *warnings)
{
	struct app *app = app_get(d->hooks.place);
	struct control_groups g;

	strbuf_printf(told, "reloaded %s\n", app->config->file);
	if (!control_groups_find(app->config, &g, warnings))
		strbuf_adds(warnings, "until then the roles of that group are "
				      "nobody's\n");
	control_set_groups(d->control, g.read, g.admin);
	app_unref(app);
}

static void tell_progress(void *reply, const char *text)
{
	control_progress(reply, "%s", text);
}

static int run_reload(void *arg, const struct control_request *q,
		      struct control_reply *r)
{
	struct daemon_commands *d = arg;
	const struct progress progress = {tell_progress, r};
	struct strbuf warnings;
	struct arena *a;
	bool ok;

	if (q->n > 1) {
		strbuf_adds(&r->text, "usage: reload\n");
		return EX_USAGE;
	}
	if (atomic_load(&d->stopping)) {
		strbuf_adds(&r->text, "mailseald is stopping\n");
		return EX_UNAVAILABLE;
	}
	a = arena_new();
	strbuf_init(&warnings, a, LINES_MAX);
	progress_set(&progress);
	ok = d->hooks.reload(d->hooks.place, &r->text, &warnings);
	progress_set(NULL);
	if (ok)
		follow(d, &r->text, &warnings);
	strbuf_add(&r->text, strbuf_slice(&warnings));
	arena_free(a);
	return ok ? 0 : EX_CONFIG;
}

static int run_revoke(void *arg, const struct control_request *q,
		      struct control_reply *r)
{
	struct daemon_commands *d = arg;
	struct slice what = slice_of(q->n > 1 ? q->words[1] : NULL);

	if (slice_is(what, "list") && q->n == 2)
		return daemon_revoke_list(d->hooks.place, &r->text);
	if ((slice_is(what, "add") || slice_is(what, "undo")) && q->n == 3)
		return daemon_revoke(d->hooks.place, q->words[2],
				     slice_is(what, "undo"), &r->text);
	strbuf_adds(&r->text, "usage: revoke add LOGIN | undo LOGIN | list\n");
	return EX_USAGE;
}

static const char *show_revoke(void *arg, struct arena *a,
			       const struct control_request *q, size_t i)
{
	struct daemon_commands *d = arg;

	return i == 1 ? q->words[i]
		      : daemon_revoke_shown(d->hooks.place, a, q->words[i]);
}

/* To a mailseald that is about to serve in our place; we go on. */
static int run_takeover(void *arg, const struct control_request *q,
			struct control_reply *r)
{
	struct daemon_commands *d = arg;

	(void)q;
	/* first: main looks at it after it said that it is stopping */
	atomic_store(&d->lent_until, clock_mono_ms() + LENT_MS);
	if (atomic_load(&d->stopping)) {
		atomic_store(&d->lent_until, 0);
		strbuf_adds(&r->text, "mailseald is stopping\n");
		return EX_UNAVAILABLE;
	}
	r->fd = fcntl(d->hooks.listen_fd, F_DUPFD_CLOEXEC, 0);
	if (r->fd < 0) {
		strbuf_printf(&r->text, "cannot give the socket: %s\n",
			      strerror(errno));
		return EX_OSERR;
	}
	strbuf_printf(&r->text, "%s\n", d->socket);
	return 0;
}

/* It serves; whether we are stopping or not, it gets our paths. */
static int run_yield(void *arg, const struct control_request *q,
		     struct control_reply *r)
{
	struct daemon_commands *d = arg;

	(void)q;
	(void)r;
	control_close(d->control);
	daemon_metrics_stop();
	atomic_store(&d->yielded, true);
	kill(getpid(), SIGTERM);
	return 0;
}

static const struct control_command commands[] = {
	{"status", CONTROL_READ, run_status, NULL},
	{"metrics", CONTROL_READ, run_metrics, NULL},
	{"explain", CONTROL_READ, run_explain, NULL},
	{"reload", CONTROL_ADMIN, run_reload, NULL},
	{"revoke", CONTROL_ADMIN, run_revoke, show_revoke},
	{"keys", CONTROL_ADMIN, run_keys, NULL},
	{"takeover", CONTROL_ADMIN, run_takeover, NULL},
	{"yield", CONTROL_ADMIN, run_yield, NULL},
};

/* ---- the service manager ------------------------------------------------- */

static void tell_status(struct daemon_commands *d)
{
	struct arena *a = arena_new();
	struct strbuf b;
	struct status s;

	strbuf_init(&b, a, STATUS_MAX);
	strbuf_adds(&b, "STATUS=");
	status_get(a, d->hooks.place, d->started, false, &s);
	status_line(&s, &b);
	status_done(&s);
	if (strcmp(d->status, strbuf_cstr(&b)) != 0) {
		memcpy(d->status, b.p, b.n + 1);
		notify(d->status);
	}
	arena_free(a);
}

static void look_at_threads(struct daemon_commands *d, int64_t now)
{
	struct app *app = app_get(d->hooks.place);
	uint64_t beats;

	if (atomic_load(&d->stopping))
		watchdog_forget(&d->watchdog, PULSE_MAIN);
	else
		watchdog_beat(&d->watchdog, PULSE_MAIN, "main",
			      atomic_load(&d->beats), now);
	if (dns_beats(app->env.dns, &beats))
		watchdog_beat(&d->watchdog, PULSE_DNS, "resolver's", beats,
			      now);
	else
		watchdog_forget(&d->watchdog, PULSE_DNS);
	app_unref(app);
	(void)watchdog_tick(&d->watchdog, now);
}

static void tick(void *arg)
{
	struct daemon_commands *d = arg;
	int64_t now = clock_mono_ms();

	look_at_threads(d, now);
	/* main waits: it has said READY, which comes first */
	if (atomic_load(&d->beats) == 0 || atomic_load(&d->stopping) ||
	    now < d->next_status)
		return;
	d->next_status = now + STATUS_MS;
	tell_status(d);
}

static int tick_ms(void)
{
	int64_t quarter = notify_watchdog_ms() / 4;

	return quarter > 0 && quarter < TICK_MS ? (int)quarter : TICK_MS;
}

/* ---- from start to end --------------------------------------------------- */

struct daemon_commands *daemon_commands_new(const struct config *c,
					    struct strbuf *errors)
{
	struct daemon_commands *d = mem_alloc(sizeof(*d));
	const struct control_options o = {
		.path = c->control.socket,
		.commands = commands,
		.ncommands = sizeof(commands) / sizeof(*commands),
		.arg = d,
		.tick = tick,
		.tick_ms = tick_ms(),
	};
	struct control_groups g;
	const char *err;

	if (control_groups_find(c, &g, errors)) {
		d->control = control_new(c->arena, &o, &err);
		if (d->control == NULL)
			strbuf_printf(errors, "%s\n", err);
	}
	if (d->control == NULL) {
		free(d);
		return NULL;
	}
	control_set_groups(d->control, g.read, g.admin);
	watchdog_init(&d->watchdog, notify_watchdog_ms());
	return d;
}

bool daemon_commands_start(struct daemon_commands *d,
			   const struct daemon_hooks *hooks)
{
	d->hooks = *hooks;
	d->socket = mem_strdup(hooks->socket);
	d->started = clock_unix();
	return control_start(d->control);
}

bool daemon_commands_lent(const struct daemon_commands *d)
{
	return d != NULL && atomic_load(&d->lent_until) > clock_mono_ms();
}

bool daemon_commands_yielded(const struct daemon_commands *d)
{
	return d != NULL && atomic_load(&d->yielded);
}

void daemon_commands_reload(struct daemon_commands *d)
{
	if (d == NULL || !control_post(d->control, "reload"))
		log_error("there is nobody to reload the configuration");
}

void daemon_commands_beat(struct daemon_commands *d)
{
	if (d != NULL)
		atomic_fetch_add(&d->beats, 1);
}

void daemon_commands_stopping(struct daemon_commands *d)
{
	if (d != NULL)
		atomic_store(&d->stopping, true);
}

void daemon_commands_free(struct daemon_commands *d)
{
	if (d == NULL)
		return;
	control_free(d->control);
	free(d->socket);
	free(d);
}
