/*
 * The file of logins that are revoked by hand: `revoked` in state_directory
 * (gate/revoked.h says what stands in it).
 *
 * The file is what counts: it is looked at for each message with a login, and
 * read again when it is another one, so that all processes that share the
 * folder have the same list at once.  It is replaced as a whole, under a lock
 * (flock(2)) on the folder.  Without the file nobody is revoked; a file that
 * cannot be read or trusted tells nothing: REVOKED_UNKNOWN.
 */
#ifndef MAILSEAL_MILTER_REVOCATIONS_H
#define MAILSEAL_MILTER_REVOCATIONS_H

#include "gate/revoked.h"

struct revocations;

/* Reads nothing yet. */
struct revocations *revocations_new(const char *folder, bool strip_realm);
void revocations_free(struct revocations *r); /* NULL is allowed */

/* ---- by any thread ---- */

enum revoked_answer {
	REVOKED_NO,
	REVOKED_YES,
	REVOKED_UNKNOWN,
};
/* *why (in `a`): one line, when it cannot be told. */
enum revoked_answer revocations_ask(struct revocations *r, struct arena *a,
				    struct slice login, const char **why);
/* False and one line in *why (in `a`): the file cannot be read or trusted. */
bool revocations_check(struct revocations *r, struct arena *a,
		       const char **why);
/* The logins, each a line of wire text that was escaped, and at last how many
 * had no room.  False as above. */
bool revocations_list(struct revocations *r, struct arena *a,
		      struct strbuf *ret, const char **why);

enum revocations_done {
	REVOCATIONS_DONE,
	REVOCATIONS_SAME, /* nothing to do */
	REVOCATIONS_BAD,  /* such a login, or one more, cannot be added */
	REVOCATIONS_FAILED,
};
/* Adds a login, or takes it out with `undo`; on disk when it is done.  *why:
 * one line when it is bad or failed. */
enum revocations_done revocations_change(struct revocations *r, struct arena *a,
					 struct slice login, bool undo,
					 const char **why);

#endif
