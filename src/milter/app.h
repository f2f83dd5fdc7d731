/*
 * What all sessions share: configuration, keys and resolver, built at start
 * and immutable from then on.
 */
#ifndef MAILSEAL_MILTER_APP_H
#define MAILSEAL_MILTER_APP_H

#include "config/config.h"
#include "eval/eval.h"
#include "gate/submission.h"
#include "keys/keyring.h"
#include "milter/preflight_tally.h"
#include "milter/tables.h"
#include "store/journal.h"
#include "store/meter.h"

/* The checks of the submission gate. */
enum app_gate {
	APP_GATE_SENDER,
	APP_GATE_LOGIN,
	APP_GATE_CREDENTIAL,
	APP_GATE_LIMIT,
	APP_GATE_TLS,
	APP_GATES,
};

/* What became of the inbound messages since start. */
struct app_counters {
	uint64_t by_status[DMARC_STATUS_PERMERROR + 1];
	/* asked for, and not done or not to the full */
	uint64_t would_quarantine, would_reject;
	uint64_t quarantined, rejected;
	/* by the gate: without and with a fault */
	uint64_t gate_ok[APP_GATES], gate_fault[APP_GATES];
};

struct app {
	const struct config *config;
	struct keyring *keyring;
	struct tables_place *tables;
	struct preflight_tally *preflight; /* counts of outbound messages */
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
	struct app_tally *tally; /* app_count(), app_counters_get() */
};

/*
 * Reads the key table and loads the keys of the configuration; needs the right
 * to read them.  NULL and one line per mistake in `errors` when the table is
 * wrong; a key that cannot be used, or is weak, is a line in `warnings`.
 */
struct app *app_new(const struct config *c, struct strbuf *errors,
		    struct strbuf *warnings);
/* The entries of the configuration and of its key table; NULL and one line per
 * mistake.  Nothing is loaded.  The configuration must outlive it. */
struct keyring *app_keyring_new(const struct config *c, struct strbuf *errors);
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

/* Counts one inbound message.  Thread-safe. */
void app_count(const struct app *app, enum dmarc_status status,
	       const struct verdict *v);
/* The same for what a check of the gate found. */
void app_count_gate(const struct app *app, enum app_gate what, bool fault);
void app_counters_get(const struct app *app, struct app_counters *ret);

/* The direction that the listener called `name` forces, or -1. */
int app_listener_direction(const struct app *app, struct slice name);

#endif
