/*
 * What became of each message, kept for a while: a record for `mailseal
 * explain`, and counts of what local rules and DMARC would have done, for
 * `mailseal shadow`.
 *
 * A thread of its own, which blocks signals, writes them once a second and in
 * one transaction, from a queue of at most 1,000 entries and 8 MB: whoever puts
 * an entry never waits, and what finds no room is dropped and counted.  When
 * the process is killed, the entries of its last second are lost.  Instances
 * that share the folder share the file; the ring is one for all of them.
 *
 * While the file is locked by somebody else entries wait in the queue; while it
 * is full, read-only, broken or gone they are dropped.  The log has one line
 * when that begins and one when it ends.  A broken file is never changed or
 * removed.  At the start, and as long as the file does not work, the thread
 * tries it with a record that it takes out again: so nobody needs a message to
 * find out.
 *
 * Records go by their time and their place in the ring.  What a wrong clock has
 * dated into the future stays until the ring has gone round.  What was deleted
 * is overwritten with zeros in the file; copies that SQLite made when it moved
 * rows may stay in unused parts of it until these are used again.
 * journal_forget() leaves none.
 */
#ifndef MAILSEAL_STORE_JOURNAL_H
#define MAILSEAL_STORE_JOURNAL_H

#include "base/ip.h"
#include "base/str.h"

struct journal;

struct journal_options {
	/* Made in it: journal.sqlite, mode 0640.  Folder or file that others
	 * may write are refused, and so is a file that is a link. */
	const char *folder;
	bool records; /* false: counts alone */
	/* Of the texts of all records, and 100 for each; the oldest go first.
	 * The file is larger by what does not fit on its pages of 16 KB: by a
	 * third at most for records up to 5 KB, twice as large at worst.  It
	 * does not shrink but by journal_forget(). */
	int64_t max_bytes;
	int64_t record_days; /* age at which records go */
	int64_t shadow_days; /* the same for counts */
};

/* What somebody would have done with a message. */
struct journal_shadow {
	const char *rule;   /* name of a local rule, or "dmarc" */
	const char *action; /* "reject", "quarantine" ... */
};

/* One message.  Everything is copied: at most 500,000 bytes, or it is dropped.
 */
struct journal_entry {
	int64_t time;		 /* seconds since 1970 */
	struct slice queue_id;	 /* empty: unknown */
	struct slice message_id; /* with its <>, empty: none */
	const char *domain;	 /* of the first author, canonical; or NULL */
	struct slice author;	 /* its address, empty: none */
	struct slice sender;	 /* address of MAIL FROM without <>, or empty */
	struct ip client;
	/* It came with a reason to fail: by a list or a forwarder. */
	bool reasoned;
	const char *record; /* a JSON object (RFC 8259), or NULL */
	/* Others by which journal_forget() is to find it: recipients, further
	 * authors. */
	size_t naddresses;
	const struct slice *addresses;
	size_t nshadows;
	const struct journal_shadow *shadows;
};

struct journal_counters {
	uint64_t written;
	uint64_t dropped; /* for want of room or of a working file */
	size_t queued;	  /* now, not written yet */
};

/* Starts the thread.  Never NULL: a store that cannot be opened is one line in
 * *warning (in `a`), else NULL, and is tried again later. */
struct journal *journal_new(struct arena *a, const struct journal_options *o,
			    const char **warning);
/* Writes what is in the queue, for a second at most; what comes later is lost.
 * One thread calls it, others may still use the journal.  NULL is allowed. */
void journal_stop(struct journal *j);
void journal_free(struct journal *j);
/* Thread-safe, never blocks on the store.  False: it was dropped. */
bool journal_put(struct journal *j, const struct journal_entry *e);
void journal_counters_get(struct journal *j, struct journal_counters *ret);
/* Can it be written, as the log was told last?  What happens to the file is
 * found out with the next entry, within a second; that it works again, within
 * ten.  Thread-safe, never blocks. */
bool journal_is_working(const struct journal *j);

/* ---- reading, by commands ---- */
struct journal_file;

/* NULL and one line in *error (in `a`).  `write`: to erase.  What is read from
 * the file is whatever somebody put there, but its types and sizes are
 * checked. */
struct journal_file *journal_open(struct arena *a, const char *folder,
				  bool write, const char **error);
/* May this process not open the file of that folder for reading? */
bool journal_is_denied(const char *folder);
void journal_close(struct journal_file *f); /* NULL is allowed */
/* What was wrong with the last call that read, or NULL: "nothing there" and
 * "cannot be read" are not the same.  Borrowed until the next call. */
const char *journal_error(const struct journal_file *f);

/* The records of a queue id or Message-ID (with or without <>), newest first,
 * at most `max`; how many.  The texts live in `a`, and are valid JSON.  An id
 * is compared as it stands, and by its first 1,000 bytes. */
size_t journal_find(struct journal_file *f, struct arena *a, struct slice id,
		    const char **ret, size_t max);
/* The value at a path of SQLite ("$.client.address") of a JSON text, as text:
 * "12", "true", an object or array as JSON.  A string is what base/json.h had
 * been given, byte for byte: U+0080 to U+00FF are bytes; it ends at a NUL.
 * NULL when it is not there or null, and when text or path are malformed. */
const char *journal_json(struct journal_file *f, struct arena *a,
			 const char *json, const char *path);
/* The elements of the array at a path in the same way, null as ""; 10,000 at
 * most, and 0 when it is not there or no array. */
size_t journal_json_array(struct journal_file *f, struct arena *a,
			  const char *json, const char *path,
			  const char ***ret);

/* Counts of one rule, domain and network since a time.  A day (UTC) has at most
 * 10,000 rows of them. */
struct journal_count {
	const char *rule, *action;
	const char *domain; /* "" : none; "other": beyond the bound */
	/* "192.0.2.0/24", "2001:db8::/48", "" : none, "other" */
	const char *network;
	int64_t messages, reasoned;
};
/* Of the whole days from that of `since` on.  Sorted by rule, then messages,
 * most first; not more than `max`. */
size_t journal_shadows(struct journal_file *f, struct arena *a, int64_t since,
		       struct journal_count *ret, size_t max);

/*
 * Erases the records of an address ("user@domain": it is the MAIL FROM, the
 * author or one of the addresses; letter case does not count), or the records
 * and counts of a domain and of all below it; how many rows, or -1 and *error.
 *
 * Then it writes the whole file anew (SQLite's VACUUM, which needs twice its
 * size for a while, in the same folder), and empties the write-ahead log: after
 * a return other than -1 no byte of them is in the files of the journal.  What
 * the disk, its snapshots and backups hold is beyond its reach, and entries
 * that the daemon still has in its queue (a second) come after it.  On -1 rows
 * may have been deleted, but not overwritten: call it again.
 */
int64_t journal_forget(struct journal_file *f, struct arena *a,
		       const char *what, const char **error);

#endif
