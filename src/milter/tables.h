/*
 * The tables of the submission gate: the senders with their groups, and the
 * credentials.  They do not change.
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
 * what, and the cure" in `errors` when one is wrong. */
struct tables *tables_load(const struct config *c, struct strbuf *errors,
			   struct strbuf *warnings);
void tables_free(struct tables *t); /* NULL is allowed */

#endif
