/*
 * The KeyTable and the SigningTable of opendkim, read and indexed.  Only for
 * import_table.c and import_keys.c.
 */
#ifndef MAILSEAL_CMD_IMPORT_TABLE_H
#define MAILSEAL_CMD_IMPORT_TABLE_H

#include "cmd/import.h"

/* A row of the KeyTable. */
struct import_key {
	struct import_place at;
	size_t order;
	const char *name;
	const char *domain; /* d=; "%": that of the author */
	const char *selector;
	const char *file; /* absolute; "%" stands for the author's domain */
};

struct import_keytable {
	size_t n;
	struct import_key *v; /* by name */
};

enum import_scope {
	IMPORT_HOST,  /* of one domain */
	IMPORT_BELOW, /* of each domain below it */
	IMPORT_ANY,
};

/* A row of the SigningTable. */
struct import_row {
	struct import_place at;
	size_t order; /* in the file */
	enum import_scope scope;
	const char *target;   /* canonical; "" with IMPORT_ANY */
	const char *key;      /* of the KeyTable */
	const char *identity; /* i=, or NULL */
};

struct import_signtable {
	bool patterns; /* the first row that matches counts, not the nearest */
	size_t n, room;
	unsigned named;	      /* rows with "%" that are for many domains */
	struct import_row *v; /* by scope, target and order */
};

/* Empty when the data set cannot be had, which is told. */
void import_keytable_read(struct import *im, const struct import_line *l,
			  struct import_keytable *ret);
const struct import_key *import_keytable_find(const struct import_keytable *t,
					      const char *name);
/* What no row of ours can say is told. */
void import_signtable_read(struct import *im, const struct import_line *l,
			   const struct import_keytable *keys,
			   struct import_signtable *ret);
/* The rows for one target: their number. */
size_t import_signtable_find(const struct import_signtable *t,
			     enum import_scope scope, const char *target,
			     const struct import_row **ret);

#endif
