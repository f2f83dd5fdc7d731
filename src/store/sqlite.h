/*
 * The file of the counts, FOLDER/meter.sqlite, and the only user of libsqlite3.
 *
 * Every call may wait for the disk, but never for another process; all belong
 * to one thread, which blocks signals (SIGXFSZ among them) and holds no mutex
 * that a message needs.  A call that returns other than STORE_OK has undone the
 * transaction; after STORE_FAILED the file is closed and the next store_open()
 * opens it again.  store_error() says what was wrong.
 *
 * The file is not trusted.  A folder or a file that others (S_IWOTH) may write
 * is refused, and so is a file that is a symbolic link: who can write there
 * frees himself of his limits, or stops the mail of somebody else.  The folder
 * itself may be a link.  Write access of the group is allowed: instances may
 * run as different users.  Nothing in a file that is not ours is changed.
 */
#ifndef MAILSEAL_STORE_SQLITE_H
#define MAILSEAL_STORE_SQLITE_H

#include "store/window.h"

struct store;

enum store_status {
	STORE_OK,
	STORE_BUSY, /* another process has the lock; try again */
	STORE_FAILED,
};

struct store_row {
	struct slice login;
	int64_t slot;
	struct amount amount;
};

/* Borrowed for the call. */
typedef void store_reader(void *arg, const struct store_row *row);

/* Never NULL; touches no file.  `folder` is copied. */
struct store *store_new(const char *folder);
void store_free(struct store *s);
const char *store_path(const struct store *s);
/* What was wrong with the last call that failed, until the next call. */
const char *store_error(const struct store *s);

/* Opens or makes the file (mode 0640) unless it is open and still the one that
 * the path leads to.  *fresh: it was opened now. */
enum store_status store_open(struct store *s, bool *fresh);
/* Begins a transaction; with `write` no other process writes until its end. */
enum store_status store_begin(struct store *s, bool write);
/*
 * Hands `reader` what any instance wrote since the last transaction that was
 * committed, or all after the file was opened; the latest first, and not more
 * than a million rows.  Only counts as a window has them (0 to COUNT_MAX), of
 * slots after `after`.  *lost: the file is older than what was read from it
 * before (a copy was put back), and everything was handed over.
 */
enum store_status store_read(struct store *s, int64_t after,
			     store_reader *reader, void *arg, bool *lost);
/*
 * Makes the count of a login in a slot max(stored, known) + fresh; adding to
 * what was stored alone would forget, in a new file, what others have counted
 * before.  *total is the result.
 */
enum store_status store_merge(struct store *s, const struct store_row *known,
			      struct amount fresh, struct amount *total);
/* Moves what is later than `last` into the slot `now` (a clock was wrong), and
 * hands over the rows that this makes. */
enum store_status store_redate(struct store *s, int64_t now, int64_t last,
			       store_reader *reader, void *arg);
/* Deletes the slots up to `last`. */
enum store_status store_purge(struct store *s, int64_t last);
enum store_status store_commit(struct store *s);

#endif
