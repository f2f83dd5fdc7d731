/*
 * Where the configuration in force is: a message takes it when it begins, and
 * keeps it by a reference; a reload builds another beside it and swaps.
 */
#ifndef MAILSEAL_MILTER_PLACE_H
#define MAILSEAL_MILTER_PLACE_H

#include "milter/app.h"

struct app_place;

/* Takes the reference on `app`. */
struct app_place *app_place_new(struct app *app);
/* NULL is allowed. */
void app_place_free(struct app_place *p);

/* ---- by any thread ---- */

/* What is in force, with a reference: app_unref(). */
struct app *app_get(struct app_place *p);

struct reload_state {
	int64_t time; /* of the last try, seconds since 1970; 0: none */
	bool ok;      /* its outcome */
	uint64_t done, failed; /* since start */
};
void reload_state_get(struct app_place *p, struct reload_state *ret);

/* ---- by one thread at a time ---- */

/*
 * Reads the configuration file again, with its tables and keys, and puts it in
 * force.  False: something is wrong with it, and all stays as it was; lines as
 * of app_new() in `errors`.  What takes effect at a restart alone, and what is
 * no mistake, is a line in `warnings`.
 */
bool reload(struct app_place *p, struct strbuf *errors,
	    struct strbuf *warnings);

#endif
