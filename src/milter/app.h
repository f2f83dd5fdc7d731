/*
 * What all sessions share: configuration, keys and resolver, built at start
 * and immutable from then on.
 */
#ifndef MAILSEAL_MILTER_APP_H
#define MAILSEAL_MILTER_APP_H

#include "config/config.h"
#include "eval/eval.h"
#include "gate/submission.h"
#include "keys/keyd.h"
#include "keys/keyring.h"
#include "milter/tables.h"
#include "milter/tally.h"
#include "store/journal.h"
#include "store/meter.h"

struct app {
	const struct config *config;
	struct keyring *keyring;
	struct tables_place *tables;
	struct rules rules;
	/* Which mail is sealed; its name is the domain whose key seals. */
	struct rules seals;
	struct journal *journal; /* NULL: none is kept */
	struct meter *meter; /* of the limits; NULL: no credentials */
	struct dmarc_psl *suffixes; /* NULL: nothing needs them */
	struct awareness *awareness; /* NULL: readers are told nothing */
	size_t unusable_keys; /* of the configuration, at start */
	struct eval_env env;
	struct field_limits limits;
	struct tally *tally; /* borrowed: outlives every app */
};

/*
 * Reads the key table and loads the keys of the configuration through `keyd`
 * (keys/keyd.h); NULL: by itself, which needs the right to read them.  NULL and
 * one line per mistake in `errors` when the table is wrong; a key that cannot
 * be used, or is weak, is a line in `warnings`.
 * `tally`: NULL for commands, which have no sessions.
 */
struct app *app_new(const struct config *c, struct tally *tally,
		    struct keyd *keyd, struct strbuf *errors,
		    struct strbuf *warnings);
/* The entries of the configuration and of its key table; NULL and one line per
 * mistake.  Nothing is loaded.  The configuration must outlive it, and so must
 * the key process; NULL: there is none. */
struct keyring *app_keyring_new(const struct config *c, struct keyd *keyd,
				struct strbuf *errors);
struct dns_options app_dns_options(const struct config *c);
/* Starts the resolver and the meter (and their threads): after privileges were
 * dropped.  `on_wait`: as in struct dns_options, or NULL.  What they
 * cannot keep is a line in `warnings`. */
bool app_start(struct app *app, void (*on_wait)(void), struct strbuf *errors,
	       struct strbuf *warnings);
/* Reads the tables of the gate again.  False: one is wrong, the old ones stay;
 * lines as of app_new().  Messages in flight keep what they began with. */
bool app_reload(struct app *app, struct strbuf *errors,
		struct strbuf *warnings);
void app_free(struct app *app);

/* The direction that the listener called `name` forces, or -1. */
int app_listener_direction(const struct app *app, struct slice name);

#endif
