/* Counters by name, for tally.c: made when first needed, never removed, added
 * to without a lock.  Names are ours: of the configuration. */
#ifndef MAILSEAL_MILTER_TALLY_NAMES_H
#define MAILSEAL_MILTER_TALLY_NAMES_H

#include "milter/tally.h"

struct tally_names;

struct tally_names *tally_names_new(void);
void tally_names_free(struct tally_names *t);
void tally_names_add(struct tally_names *t, const char *name,
		     const char *action, const char *mode);
void tally_names_each(const struct tally_names *t,
		      void (*tell)(void *arg, const struct tally_named *n),
		      void *arg);

#endif
