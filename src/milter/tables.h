/*
 * The tables of the submission gate, which are read again on SIGHUP: the
 * senders with their groups, and the credentials.
 *
 * A set of tables does not change; a message keeps the one that it began with,
 * by a reference.
 */
#ifndef MAILSEAL_MILTER_TABLES_H
#define MAILSEAL_MILTER_TABLES_H

#include "config/config.h"
#include "gate/credential.h"
#include "gate/sender.h"

struct tables {
	struct sender_table *senders;	      /* NULL: none */
	struct credential_table *credentials; /* NULL: none */
};

/* Reads the files that the configuration names.  NULL and lines of "file:line:
 * what, and the cure" in `errors` when one is wrong.  The caller owns a
 * reference. */
struct tables *tables_load(const struct config *c, struct strbuf *errors,
			   struct strbuf *warnings);
void tables_unref(struct tables *t); /* NULL is allowed */

/* Where the tables in force are; any thread may use it. */
struct tables_place;

/* Takes the reference on `t`. */
struct tables_place *tables_place_new(struct tables *t);
void tables_place_free(struct tables_place *p); /* NULL is allowed */
/* The tables in force, with a reference. */
struct tables *tables_get(struct tables_place *p);
/* Others from now on; takes the reference. */
void tables_put(struct tables_place *p, struct tables *t);

#endif
