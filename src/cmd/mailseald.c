/*
 * mailseald: argv, wiring, privileges; no logic.
 *
 * Order of start: configuration, key process, keys and socket (these may need
 * root), block signals, drop privileges, sandbox, then threads (resolver,
 * libmilter).
 * libmilter takes SIGHUP, SIGTERM and SIGINT for itself unless they are blocked
 * in every thread before it starts: it runs in a thread of its own, and main
 * waits for signals.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
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

#include "base/clock.h"
#include "base/log.h"
#include "cmd/confine.h"
#include "cmd/key_process.h"
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

static void log_dns(struct app *app)
{
	struct dns_counters n;

	dns_counters_get(app->env.dns, &n);
	log_stop("dns: asked=%" PRIu64 " cached=%" PRIu64 " sent=%" PRIu64
		 " timeouts=%" PRIu64 " found=%" PRIu64 " nodata=%" PRIu64
		 " nxdomain=%" PRIu64 " tempfail=%" PRIu64 " refused=%" PRIu64
		 " outages=%" PRIu64,
		 n.asked, n.cache_hits, n.sent, n.timeouts,
		 n.by_status[DNS_FOUND], n.by_status[DNS_NODATA],
		 n.by_status[DNS_NXDOMAIN], n.by_status[DNS_TEMPFAIL],
		 n.refused, n.outages);
}

static void log_keys(struct app *app)
{
	struct keyring_counters n;

	keyring_counters_get(app->keyring, &n);
	log_stop("keys: loaded=%zu loads=%" PRIu64 " failures=%" PRIu64,
		 n.loaded, n.loads, n.failures);
}

static void log_dmarc(const struct app *app)
{
	struct tally_counters n;

	tally_get(app->tally, &n);
	log_stop("dmarc: pass=%" PRIu64 " fail=%" PRIu64 " none=%" PRIu64
		 " temperror=%" PRIu64 " permerror=%" PRIu64
		 " would-quarantine=%" PRIu64 " would-reject=%" PRIu64
		 " quarantined=%" PRIu64 " rejected=%" PRIu64,
		 n.dmarc[DMARC_STATUS_PASS], n.dmarc[DMARC_STATUS_FAIL],
		 n.dmarc[DMARC_STATUS_NONE], n.dmarc[DMARC_STATUS_TEMPERROR],
		 n.dmarc[DMARC_STATUS_PERMERROR],
		 n.would_be[DMARC_P_QUARANTINE], n.would_be[DMARC_P_REJECT],
		 n.done[DMARC_P_QUARANTINE], n.done[DMARC_P_REJECT]);
}

static void log_submission(const struct app *app)
{
	struct tally_counters n;

	tally_get(app->tally, &n);
	log_stop("submission: owned=%" PRIu64 " not-owned=%" PRIu64
		 " weak-login=%" PRIu64 " refused-credential=%" PRIu64
		 " over-limit=%" PRIu64 " weak-tls=%" PRIu64,
		 n.gate_ok[TALLY_GATE_SENDER], n.gate_fault[TALLY_GATE_SENDER],
		 n.gate_fault[TALLY_GATE_LOGIN],
		 n.gate_fault[TALLY_GATE_CREDENTIAL],
		 n.gate_fault[TALLY_GATE_LIMIT], n.gate_fault[TALLY_GATE_TLS]);
}

static void log_preflight(void *arg, const struct preflight_count *c)
{
	struct arena *a = arena_new();
	struct strbuf b;

	(void)arg;
	strbuf_init(&b, a, 1024);
	for (size_t i = 0; i < PREFLIGHT_RULES; i++)
		strbuf_printf(&b, " %s=%" PRIu64,
			      preflight_rule_name((enum preflight_rule)i),
			      c->bad[i]);
	log_stop("preflight: %s checked=%" PRIu64 " unknown=%" PRIu64 "%s",
		 c->domain, c->checked, c->unknown, strbuf_cstr(&b));
	arena_free(a);
}

static void log_journal(const struct app *app)
{
	struct journal_counters n;

	if (app->journal == NULL)
		return;
	journal_counters_get(app->journal, &n);
	log_stop("journal: written=%" PRIu64 " dropped=%" PRIu64, n.written,
		 n.dropped);
}

static void log_lines(struct slice text, enum log_level level)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');

		log_at(level, LOG_EVENT_NOTE, "%.*s", (int)line.n, line.p);
	}
}

static void reload(struct app *app)
{
	struct arena *a = arena_new();
	struct strbuf errors, warnings;

	strbuf_init(&errors, a, ERRORS_MAX);
	strbuf_init(&warnings, a, ERRORS_MAX);
	if (app_reload(app, &errors, &warnings))
		log_reload("tables of senders and credentials are read again");
	else
		log_at(LOG_LEVEL_ERROR, LOG_EVENT_RELOAD,
		       "the tables stay as they were");
	log_lines(strbuf_slice(&errors), LOG_LEVEL_ERROR);
	log_lines(strbuf_slice(&warnings), LOG_LEVEL_WARN);
	arena_free(a);
}

/* Until a signal asks for the end. */
static void wait_for_end(struct app *app, const sigset_t *signals)
{
	int sig = 0;

	do {
		sigwait(signals, &sig);
		if (sig == SIGHUP)
			reload(app);
	} while (sig == SIGHUP || sig == SIGPIPE);
}

static int serve(struct app *app, struct keyd *keyd, const sigset_t *signals,
		 int fd)
{
	const struct config *c = app->config;
	pthread_t thread;
	int status = 0;

	if (!milter_register(app, fd)) {
		log_error("libmilter refused to register");
		return EX_SOFTWARE;
	}
	if (!key_process_watch(keyd) || !kick_start(app->env.dns, fd) ||
	    pthread_create(&thread, NULL, run_milter, &status) != 0) {
		log_error("cannot create a thread");
		return EX_OSERR;
	}
	log_start("version %s listens on %s as %s", PACKAGE_VERSION, c->socket,
		  c->authserv_id);
	notify("READY=1");
	wait_for_end(app, signals);
	notify("STOPPING=1");
	listen_close(c->socket, fd);
	drain(c->shutdown_timeout);
	kick_stop();
	milter_stop();
	pthread_join(thread, NULL);
	log_dns(app);
	log_keys(app);
	log_dmarc(app);
	log_submission(app);
	preflight_tally_each(tally_preflight(app->tally), log_preflight, NULL);
	log_journal(app);
	log_flush();
	log_stop("stopped");
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
static int prepare(const struct config *c, struct tally *tally,
		   struct keyd *keyd, struct app **app, struct strbuf *errors,
		   struct strbuf *warnings)
{
	const char *err;
	int fd;

	*app = app_new(c, tally, keyd, errors, warnings);
	if (*app == NULL)
		return -1;
	fputs(strbuf_cstr(warnings), stderr);
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

static void open_log(const struct config *c)
{
	const struct log_options o = {
		.target = (enum log_target)c->log.target,
		.level = (enum log_level)c->log.level,
		.json = c->log.format == LOG_FORMAT_JSON ? json_log_line : NULL,
	};

	log_open("mailseald", &o);
}

/* From here on messages go to the log. */
static int run(struct app *app, struct keyd *keyd, const sigset_t *signals,
	       int fd, struct slice warnings)
{
	const struct config *c = app->config;
	struct strbuf errors, late;
	int status = EX_CONFIG;

	open_log(c);
	if (c->log.target != LOG_TARGET_STDERR) /* there they are already */
		log_lines(warnings, LOG_LEVEL_WARN);
	strbuf_init(&errors, c->arena, ERRORS_MAX);
	strbuf_init(&late, c->arena, ERRORS_MAX);
	bound_stacks();
	raise_descriptors();
	if (!confine(c)) {
		listen_close(c->socket, fd);
		return EX_OSERR;
	}
	if (app_start(app, kick_wake, &errors, &late)) {
		log_lines(strbuf_slice(&late), LOG_LEVEL_WARN);
		return serve(app, keyd, signals, fd);
	}
	log_error("%s", strbuf_cstr(&errors));
	listen_close(c->socket, fd);
	return status;
}

static int start(const struct options *o, const struct config *c,
		 struct keyd *keyd, struct strbuf *errors)
{
	struct tally *tally = tally_new();
	struct app *app = NULL;
	struct strbuf warnings;
	sigset_t signals;
	int status = EX_CONFIG, fd;

	strbuf_init(&warnings, c->arena, ERRORS_MAX);
	fd = prepare(c, tally, keyd, &app, errors, &warnings);
	if (fd >= 0) {
		block_signals(&signals);
		if (!drop_privileges(c->user, errors))
			listen_close(c->socket, fd);
		else if (!o->foreground && daemon(0, 0) != 0)
			strbuf_printf(errors, "cannot become a daemon: %s\n",
				      strerror(errno));
		else
			status = run(app, keyd, &signals, fd,
				     strbuf_slice(&warnings));
	}
	app_free(app);
	tally_free(tally);
	return status;
}

int main(int argc, char **argv)
{
	struct options o;
	struct arena *a;
	struct strbuf errors;
	struct config *c;
	struct keyd *keyd = NULL;
	int status = parse_args(argc, argv, &o);

	if (status >= 0)
		return status;
	(void)notify_open();
	a = arena_new();
	strbuf_init(&errors, a, ERRORS_MAX);
	c = config_load(o.config, &errors);
	status = EX_CONFIG;
	if (c != NULL && key_process_start(c, argc, argv, &keyd, &errors))
		status = start(&o, c, keyd, &errors);
	keyd_free(keyd);
	fputs(strbuf_cstr(&errors), stderr);
	config_free(c);
	arena_free(a);
	return status;
}
