/*
 * The file of the journal, FOLDER/journal.sqlite: opening it, and the
 * statements that journal_write.c and journal_file.c run.
 *
 * Every call may wait for the disk, and until d->until for another process; so
 * a journal_db belongs to one thread, which holds no mutex that a message
 * needs, and blocks signals (SIGXFSZ among them).
 *
 * The file is not trusted, as that of the counts of logins is not
 * (store/sqlite.h): a folder or file that others (S_IWOTH) may write is
 * refused, and so is a file that is a symbolic link.  Nothing in a file that
 * is not ours is changed.
 */
#ifndef MAILSEAL_STORE_JOURNAL_DB_H
#define MAILSEAL_STORE_JOURNAL_DB_H

#include <limits.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store/journal.h"

#define JOURNAL_VALUE_MAX 1000000 /* bytes; larger is an error of SQLite */
#define JOURNAL_ENTRY_MAX 500000  /* of all texts of one message */
#define JOURNAL_ID_MAX	  1000	  /* of an id; what follows is cut off */
#define JOURNAL_COUNT_MAX 1000000000000
#define JOURNAL_DAY	  86400

enum journal_mode {
	JOURNAL_READ,
	JOURNAL_ERASE, /* writes, but makes no file */
	JOURNAL_MAKE,
};

enum journal_status {
	JOURNAL_OK,
	JOURNAL_BUSY,	/* another process has the lock; try again */
	JOURNAL_FAILED, /* with JOURNAL_MAKE the file is closed */
};

enum journal_sql {
	SQL_BEGIN, /* to write */
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_END,
	SQL_PUT_RECORD,
	SQL_DROP_RECORD,
	SQL_ADD_COUNT,
	SQL_PUT_COUNT,
	SQL_ROWS_OF_DAY,
	SQL_TRIM_BYTES,
	SQL_TRIM_AGE,
	SQL_TRIM_COUNTS,
	SQL_FIND,
	SQL_JSON,
	SQL_JSON_ARRAY,
	SQL_SHADOWS,
	JOURNAL_SQL, /* how many */
};

struct journal_db {
	enum journal_mode mode;
	char *folder;
	char *path;	       /* as it is told */
	_Atomic int64_t until; /* how long calls wait (clock_mono_ms()) */
	sqlite3 *db;	       /* NULL: not open */
	sqlite3_stmt *st[JOURNAL_SQL];
	dev_t dev; /* of the file that is open */
	ino_t ino;
	char error[PATH_MAX + 256]; /* of the last call that failed */
};

/* Touches no file.  `folder` is copied. */
void journal_db_init(struct journal_db *d, const char *folder,
		     enum journal_mode mode);
void journal_db_done(struct journal_db *d);
/* Opens the file (JOURNAL_MAKE: or makes it, mode 0640) unless it is open and
 * still the one that the path leads to. */
enum journal_status journal_db_open(struct journal_db *d);
/* After an error of SQLite's: keeps its words and undoes the transaction. */
enum journal_status journal_db_give_up(struct journal_db *d);
/* The same for an error of ours, and closes the file. */
enum journal_status journal_db_fail(struct journal_db *d, const char *why);
/* Runs a statement to its end, without its rows. */
enum journal_status journal_db_run(struct journal_db *d, enum journal_sql i);
/* The first column of the first row as a number, or `none`. */
enum journal_status journal_db_number(struct journal_db *d, enum journal_sql i,
				      int64_t none, int64_t *ret);
/* `s` is borrowed until the statement has run. */
void journal_db_bind(sqlite3_stmt *st, int i, struct slice s);

/* ---- ids (the index has hashes: half the size, and one write in the place of
 * three) ---- */
struct slice journal_id(struct slice id); /* cut to what is kept */
int64_t journal_id_hash(struct slice id);
/* The number of a day (UTC). */
int64_t journal_day(int64_t time);

/* ---- writing, by the daemon (journal_write.c) ---- */

/* What is known within one transaction. */
struct journal_round {
	int64_t end;  /* of the last record: id of the next */
	int64_t day;  /* whose rows of counts were counted: */
	int64_t rows; /* -1: not yet */
};

enum journal_status journal_write_begin(struct journal_db *d,
					struct journal_round *r);
enum journal_status journal_write(struct journal_db *d, struct journal_round *r,
				  const struct journal_entry *e);
/* Puts a record that is larger than most, and takes it out again: what it took
 * is written all the same, so that a full or read-only disk is found out. */
enum journal_status journal_write_probe(struct journal_db *d,
					const struct journal_round *r);
/* Deletes what is too old or too much, some of it.  *more: call it again. */
enum journal_status journal_write_trim(struct journal_db *d,
				       const struct journal_round *r,
				       const struct journal_options *o,
				       int64_t now, bool *more);

#endif
