/* Reading the journal: where it is, for commands, and a record of it. */
#ifndef MAILSEAL_CMD_RECORD_READ_H
#define MAILSEAL_CMD_RECORD_READ_H

#include <getopt.h>

#include "eval/eval.h"
#include "store/journal.h"

/* -c FILE: the configuration that names the folder; --state DIR: the folder. */
struct journal_place {
	const char *config, *state;
	const char *socket; /* once it was found: control.socket, perhaps "" */
};

enum {
	JOURNAL_OPTION_STATE = 500,
};

#define JOURNAL_LONG_OPTIONS                                                   \
	{                                                                      \
		"state", required_argument, NULL, JOURNAL_OPTION_STATE         \
	}

/* Takes -c and --state; false for another. */
bool journal_place_take(struct journal_place *p, int c, const char *arg);
/* Sets `state` and `socket` from the configuration.  False and a message on
 * stderr: it is wrong, or names no folder. */
bool journal_place_find(struct arena *a, const char *command,
			struct journal_place *p);
/* NULL, a message on stderr and the exit status when there is none. */
struct journal_file *journal_place_open(struct arena *a, const char *command,
					const struct journal_place *p,
					bool write, int *status);
/* The newest record of that id; or NULL, one line in *why (in `a`) and the exit
 * status. */
const char *record_find(struct arena *a, struct journal_file *f, const char *id,
			const char **why, int *status);
/* The same with that line on stderr. */
const char *journal_place_record(struct arena *a, const char *command,
				 struct journal_file *f, const char *id,
				 int *status);

/* Of the record the DNS answers; the texts live in `a`. */
size_t record_read_dns(struct arena *a, struct journal_file *f,
		       const char *record, struct dns_recorded **ret);
/* A text of the record, "" when it is not there. */
struct slice record_read(struct arena *a, struct journal_file *f,
			 const char *record, const char *path);
bool record_read_bool(struct arena *a, struct journal_file *f,
		      const char *record, const char *path);
int64_t record_read_number(struct arena *a, struct journal_file *f,
			   const char *record, const char *path);

#endif
