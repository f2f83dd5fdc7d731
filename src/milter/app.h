/*
 * What all sessions share: a configuration with its keys and tables, and the
 * services that it needs (service.h).  Immutable once it was started, and
 * counted by references: a message keeps the one that it began with.
 */
#ifndef MAILSEAL_MILTER_APP_H
#define MAILSEAL_MILTER_APP_H

#include "config/config.h"
#include "eval/eval.h"
#include "gate/submission.h"
#include "keys/keyd.h"
#include "keys/keyring.h"
#include "milter/revocations.h"
#include "milter/service.h"
#include "milter/tables.h"
#include "milter/tally.h"
#include "store/journal.h"
#include "store/meter.h"

enum app_service {
	APP_KEYCACHE,
	APP_DNS,
	APP_METER,
	APP_JOURNAL,
	APP_REVOCATIONS,
	APP_SERVICES,
};

/* What there is once in a process, and outlives every app. */
struct app_process {
	struct tally *tally;
	struct keyd *keyd;	     /* NULL: keys are read by ourselves */
	struct dns_waiters *waiters; /* or NULL */
	/* Can this process use that configuration?  False and lines in
	 * `errors`: what needs a restart.  NULL: any. */
	bool (*allows)(const struct config *c, struct strbuf *errors);
};

/* Members that point into a service are borrowed from it. */
struct app {
	const struct app_process *process; /* NULL in commands */
	const struct config *config; /* its own */
	struct keyring *keyring;
	struct tables *tables;
	struct rules rules;
	/* Which mail is sealed; its name is the domain whose key seals. */
	struct rules seals;
	struct journal *journal; /* NULL: none is kept */
	struct meter *meter; /* of the limits; NULL: no credentials */
	struct revocations *revocations; /* NULL: state is not kept */
	struct dmarc_psl *suffixes; /* NULL: nothing needs them */
	struct awareness *awareness; /* NULL: readers are told nothing */
	size_t unusable_keys; /* of the configuration, when it was read */
	struct eval_env env;
	struct field_limits limits;
	_Atomic unsigned refs;
	struct tally *tally; /* of the process */
	struct service *services[APP_SERVICES];
};

/*
 * Reads the key table and loads the keys of the configuration through
 * process->keyd; without one by itself, which needs the right to read them.
 * NULL and one line per mistake in `errors` when the table is wrong; a key that
 * cannot be used, or is weak, is a line in `warnings`.
 * The app owns `c`, unless NULL is returned, and one reference is the caller's.
 * `process`: NULL for commands, which have no sessions.
 */
struct app *app_new(struct config *c, const struct app_process *process,
		    struct strbuf *errors, struct strbuf *warnings);
/* The entries of the configuration and of its key table; NULL and one line per
 * mistake.  Nothing is loaded.  The configuration must outlive it, and so must
 * the key process; NULL: there is none. */
struct keyring *app_keyring_new(const struct config *c, struct keyd *keyd,
				struct strbuf *errors);
struct dns_options app_dns_options(const struct config *c);
/* Takes the services of `before` (or NULL) whose options are the same, and
 * starts the others and their threads: after privileges were dropped.  What
 * they cannot keep is a line in `warnings`. */
bool app_start(struct app *app, const struct app *before,
	       struct strbuf *errors, struct strbuf *warnings);
/* For start.c: takes the reference. */
void app_set_keycache(struct app *app, struct service *s);
/* Writes what its stores have, and ends their threads; sessions may still use
 * it. */
void app_stop(struct app *app);
struct app *app_ref(struct app *app);
void app_unref(struct app *app); /* NULL is allowed */

/* The direction that the listener called `name` forces, or -1. */
int app_listener_direction(const struct app *app, struct slice name);

#endif
