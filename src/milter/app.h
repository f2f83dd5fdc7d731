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

/* What became of the inbound messages since start. */
struct app_counters {
	uint64_t by_status[DMARC_STATUS_PERMERROR + 1];
	/* asked for, and not done or not to the full */
	uint64_t would_quarantine, would_reject;
	uint64_t quarantined, rejected;
	/* outbound, of those whose sender was checked */
	uint64_t owned, not_owned;
};

struct app {
	const struct config *config;
	struct keyring *keyring;
	struct sender_table *senders; /* NULL: senders are not checked */
	struct dmarc_psl *suffixes; /* NULL: the tree walk needs none */
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
/* Starts the resolver (and its thread): after privileges were dropped.
 * `on_wait`: as in struct dns_options, or NULL. */
bool app_start(struct app *app, void (*on_wait)(void), struct strbuf *errors);
void app_free(struct app *app);

/* Counts one inbound message.  Thread-safe. */
void app_count(const struct app *app, enum dmarc_status status,
	       const struct verdict *v);
/* The same for an outbound one whose sender was checked. */
void app_count_sender(const struct app *app, bool owned);
void app_counters_get(const struct app *app, struct app_counters *ret);

/* The direction that the listener called `name` forces, or -1. */
int app_listener_direction(const struct app *app, struct slice name);

#endif
