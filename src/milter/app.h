/*
 * What all sessions share: configuration, keys and resolver, built at start
 * and immutable from then on.
 */
#ifndef MAILSEAL_MILTER_APP_H
#define MAILSEAL_MILTER_APP_H

#include "config/config.h"
#include "eval/eval.h"
#include "keys/keyring.h"

struct app {
	const struct config *config;
	struct keyring *keyring;
	struct eval_env env;
	struct field_limits limits;
};

/*
 * Loads the keys of the configuration; needs the right to read them.  NULL,
 * and one line per mistake in *errors, when any cannot be used.
 */
struct app *app_new(const struct config *c, struct strbuf *errors);
/* Starts the resolver (and its thread): after privileges were dropped. */
bool app_start(struct app *app, struct strbuf *errors);
void app_free(struct app *app);

/* The direction that the listener called `name` forces, or -1. */
int app_listener_direction(const struct app *app, struct slice name);

#endif
