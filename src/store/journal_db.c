/*
 * Three objects: the records with one index, and the counts.
 *
 * The id of a record is where it begins in the row of all bytes that were ever
 * recorded, so the ring is one comparison: what begins more than max_bytes
 * before the end of the last one goes.
 *
 * Records are only added behind the last one, and the index begins with their
 * time: so each page is written about once.  An index that is ordered by ids,
 * which are random, would have pages of its own written for each record, which
 * costs five times as much; who looks for an id reads the whole index instead
 * (30 bytes a record: a tenth of a second for a million).
 *
 * WAL with synchronous=NORMAL: a commit does not wait for the disk.  What was
 * committed survives the end of the process at any point; when the host fails,
 * the last commits may be lost, but the file is whole.
 */
#include "store/journal_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define FILE_NAME "journal.sqlite"
#define FILE_MODE 0640
#define OBJECTS	  3
#define RETRY_MS  5

#define TABLE_RECORDS                                                          \
	"CREATE TABLE records(id INTEGER PRIMARY KEY, bytes INTEGER NOT "      \
	"NULL, "                                                               \
	"time INTEGER NOT NULL, "                                              \
	"queue_hash INTEGER NOT NULL, message_hash INTEGER NOT NULL, "         \
	"queue_id TEXT NOT NULL, message_id TEXT NOT NULL, "                   \
	"domain TEXT NOT NULL, author TEXT NOT NULL, sender TEXT NOT NULL, "   \
	"addresses TEXT NOT NULL, record TEXT NOT NULL) STRICT"
#define INDEX_RECORDS                                                          \
	"CREATE INDEX records_ids ON records(time, queue_hash, message_hash)"
#define TABLE_COUNTS                                                           \
	"CREATE TABLE counts(day INTEGER NOT NULL, rule TEXT NOT NULL, "       \
	"action TEXT NOT NULL, domain TEXT NOT NULL, network TEXT NOT NULL, "  \
	"messages INTEGER NOT NULL, reasoned INTEGER NOT NULL, "               \
	"PRIMARY KEY(day, rule, action, domain, network)) "                    \
	"STRICT, WITHOUT ROWID"

/* A count as it is taken from the file. */
#define BOUNDED(column) "min(max(" column ", 0), 1000000000000)"
_Static_assert(JOURNAL_COUNT_MAX == 1000000000000, "BOUNDED() says it");

static const char *const texts[JOURNAL_SQL] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_END] = "SELECT coalesce((SELECT id + bytes FROM records "
		    "ORDER BY id DESC LIMIT 1), 0)",
	[SQL_PUT_RECORD] = "INSERT INTO records VALUES(?1, ?2, ?3, ?4, ?5, ?6, "
			   "?7, ?8, ?9, ?10, ?11, ?12)",
	[SQL_DROP_RECORD] = "DELETE FROM records WHERE id = ?1",
	[SQL_ADD_COUNT] = "UPDATE counts SET messages = " BOUNDED(
		"messages") " + 1, "
			    "reasoned = " BOUNDED(
				    "reasoned") " + ?6 WHERE day = ?1 AND "
						"rule = ?2 AND action = ?3 AND "
						"domain = ?4 AND network = ?5",
	[SQL_PUT_COUNT] =
		"INSERT INTO counts VALUES(?1, ?2, ?3, ?4, ?5, 1, ?6)",
	[SQL_ROWS_OF_DAY] = "SELECT count(*) FROM counts WHERE day = ?1",
	[SQL_TRIM_BYTES] = "DELETE FROM records WHERE id IN (SELECT id FROM "
			   "records WHERE id < ?1 ORDER BY id LIMIT ?2)",
	[SQL_TRIM_AGE] = "DELETE FROM records WHERE id IN (SELECT id FROM "
			 "records WHERE time < ?1 ORDER BY time LIMIT ?2)",
	[SQL_TRIM_COUNTS] = "DELETE FROM counts WHERE day = (SELECT min(day) "
			    "FROM counts) AND day < ?1",
	[SQL_FIND] =
		"SELECT record FROM records WHERE id IN (SELECT id FROM "
		"records INDEXED BY records_ids WHERE queue_hash = ?1 OR "
		"message_hash = ?1 OR message_hash = ?2) AND (queue_id = ?3 "
		"OR message_id = ?3 OR message_id = ?4) AND json_valid(record) "
		"ORDER BY id DESC LIMIT ?5",
	[SQL_JSON] = "SELECT json_extract(?1, ?2), json_type(?1, ?2)",
	[SQL_JSON_ARRAY] = "SELECT value, type FROM json_each(?1, ?2) "
			   "WHERE json_type(?1, ?2) = 'array' LIMIT ?3",
	[SQL_SHADOWS] =
		"SELECT rule, action, domain, network, "
		"sum(" BOUNDED(
			"messages") ") AS n, "
				    "sum(" BOUNDED(
					    "reasoned") ") FROM counts WHERE "
							"day >= ?1 "
							"GROUP BY rule, "
							"action, domain, "
							"network "
							"ORDER BY rule, n "
							"DESC, action, domain, "
							"network LIMIT ?2",
};

void journal_db_init(struct journal_db *d, const char *folder,
		     enum journal_mode mode)
{
	size_t n = strlen(folder) + sizeof("/" FILE_NAME);

	memset(d, 0, sizeof(*d));
	d->mode = mode;
	d->folder = mem_strdup(folder);
	d->path = mem_alloc(n);
	snprintf(d->path, n, "%s/" FILE_NAME, folder);
	atomic_init(&d->until, 0);
}

static void close_file(struct journal_db *d)
{
	for (size_t i = 0; i < JOURNAL_SQL; i++) {
		sqlite3_finalize(d->st[i]);
		d->st[i] = NULL;
	}
	sqlite3_close_v2(d->db);
	d->db = NULL;
}

void journal_db_done(struct journal_db *d)
{
	close_file(d);
	free(d->folder);
	free(d->path);
}

/* ---- errors -------------------------------------------------------------- */

enum journal_status journal_db_fail(struct journal_db *d, const char *why)
{
	snprintf(d->error, sizeof(d->error), "%s", why);
	close_file(d);
	return JOURNAL_FAILED;
}

/* SQLite's words, and the system's where these say why. */
static void keep_error(struct journal_db *d)
{
	const char *words = sqlite3_errmsg(d->db);
	int system = sqlite3_system_errno(d->db);

	switch (sqlite3_errcode(d->db) & 0xff) {
	case SQLITE_CANTOPEN:
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
		if (system == 0)
			break;
		snprintf(d->error, sizeof(d->error), "%s: %s", words,
			 strerror(system));
		return;
	default:
		break;
	}
	snprintf(d->error, sizeof(d->error), "%s", words);
}

static void undo(struct journal_db *d)
{
	for (size_t i = 0; i < JOURNAL_SQL; i++)
		sqlite3_reset(d->st[i]);
	if (sqlite3_get_autocommit(d->db) == 0 && d->st[SQL_ROLLBACK] != NULL) {
		sqlite3_step(d->st[SQL_ROLLBACK]);
		sqlite3_reset(d->st[SQL_ROLLBACK]);
	}
}

enum journal_status journal_db_give_up(struct journal_db *d)
{
	int code = sqlite3_errcode(d->db) & 0xff;
	bool busy = code == SQLITE_BUSY || code == SQLITE_LOCKED;

	keep_error(d);
	if (busy || d->mode != JOURNAL_MAKE)
		undo(d);
	else
		close_file(d); /* which undoes it too */
	return busy ? JOURNAL_BUSY : JOURNAL_FAILED;
}

static int wait_busy(void *arg, int times)
{
	struct journal_db *d = arg;
	const struct timespec pause = {0, RETRY_MS * 1000000L};

	(void)times;
	if (clock_mono_ms() >= atomic_load(&d->until))
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

/* ---- opening ------------------------------------------------------------- */

static bool others_write(const struct stat *st)
{
	return (st->st_mode & S_IWOTH) != 0;
}

/* NULL, or what is wrong. */
static const char *make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	int r;

	if (fd < 0) /* another instance may have been faster */
		return errno == EEXIST ? NULL : strerror(errno);
	r = fchmod(fd, FILE_MODE); /* whatever the umask */
	close(fd);
	return r == 0 ? NULL : strerror(errno);
}

/* A file that is there is not opened here: to close it again would end the
 * locks that SQLite has on it in this process (fcntl(2), F_SETLK). */
static const char *check_file(const struct journal_db *d, const char *path,
			      struct stat *st)
{
	const char *why = NULL;

	if (lstat(path, st) != 0) {
		if (errno != ENOENT || d->mode != JOURNAL_MAKE)
			return strerror(errno);
		why = make_file(path);
		if (why == NULL && lstat(path, st) != 0)
			why = strerror(errno);
		if (why != NULL)
			return why;
	}
	if (!S_ISREG(st->st_mode))
		return "is no regular file";
	return others_write(st) ? "others may write it; chmod o-w" : NULL;
}

static const char *check_folder(const char *folder)
{
	struct stat st;

	if (stat(folder, &st) != 0)
		return strerror(errno);
	if (!S_ISDIR(st.st_mode))
		return "is in no folder";
	return others_write(&st) ? "others may write to the folder; chmod o-w"
				 : NULL;
}

static bool run_text(struct journal_db *d, const char *sql)
{
	return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The number that a query gives.  False: error. */
static bool ask(struct journal_db *d, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st;
	bool ok;

	if (sqlite3_prepare_v2(d->db, sql, -1, &st, NULL) != SQLITE_OK)
		return false;
	ok = sqlite3_step(st) == SQLITE_ROW;
	if (ok)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return ok;
}

/* A file of unknown origin: its schema does nothing by itself. */
static bool distrust(struct journal_db *d)
{
	static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER,
				  SQLITE_DBCONFIG_ENABLE_VIEW,
				  SQLITE_DBCONFIG_TRUSTED_SCHEMA,
				  SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION};
	bool ok = sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
				    NULL) == SQLITE_OK;

	for (size_t i = 0; ok && i < sizeof(off) / sizeof(off[0]); i++)
		ok = sqlite3_db_config(d->db, off[i], 0, NULL) == SQLITE_OK;
	sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, JOURNAL_VALUE_MAX);
	return ok && run_text(d, "PRAGMA cell_size_check = ON");
}

static bool make_tables(struct journal_db *d)
{
	int64_t n;

	if (!run_text(d, "BEGIN IMMEDIATE") ||
	    !ask(d, "SELECT count(*) FROM sqlite_schema", &n))
		return false;
	/* else another instance was faster */
	if (n == 0 &&
	    !run_text(d, TABLE_RECORDS ";" INDEX_RECORDS ";" TABLE_COUNTS
				       ";PRAGMA user_version = 1"))
		return false;
	return run_text(d, "COMMIT");
}

/* A file of somebody else, or of another version, stays as it is. */
static enum journal_status check_tables(struct journal_db *d)
{
	int64_t objects, ours, version;

	if (!ask(d, "SELECT count(*) FROM sqlite_schema", &objects))
		return journal_db_give_up(d);
	if (objects == 0 && d->mode == JOURNAL_MAKE && !make_tables(d))
		return journal_db_give_up(d);
	if (!ask(d,
		 "SELECT count(*) FROM sqlite_schema WHERE sql IN "
		 "('" TABLE_RECORDS "', '" INDEX_RECORDS "', '" TABLE_COUNTS
		 "')",
		 &ours) ||
	    !ask(d, "PRAGMA user_version", &version))
		return journal_db_give_up(d);
	if (ours != OBJECTS || version != 1)
		return journal_db_fail(d, "is no file of this version");
	return JOURNAL_OK;
}

static bool prepare(struct journal_db *d)
{
	for (size_t i = 0; i < JOURNAL_SQL; i++)
		if (sqlite3_prepare_v3(d->db, texts[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &d->st[i],
				       NULL) != SQLITE_OK)
			return false;
	return true;
}

/* Large pages, since few records go on one of 4096 bytes.  WAL, or where there
 * is no shared memory another mode, which works too. */
static bool set_up_writer(struct journal_db *d)
{
	return run_text(d, "PRAGMA secure_delete = ON;"
			   "PRAGMA journal_mode = WAL;"
			   "PRAGMA synchronous = NORMAL;"
			   "PRAGMA journal_size_limit = 1048576;"
			   "PRAGMA temp_store = MEMORY");
}

static enum journal_status set_up(struct journal_db *d)
{
	int persist = 1;
	enum journal_status r;

	sqlite3_extended_result_codes(d->db, 1);
	sqlite3_busy_handler(d->db, wait_busy, d);
	/* at close no file is deleted by its name, which may be another's
	 * by then */
	sqlite3_file_control(d->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
	if (!distrust(d) || (d->mode == JOURNAL_MAKE &&
			     !run_text(d, "PRAGMA page_size = 16384")))
		return journal_db_give_up(d);
	r = check_tables(d);
	if (r != JOURNAL_OK)
		return r;
	if ((d->mode != JOURNAL_READ && !set_up_writer(d)) || !prepare(d))
		return journal_db_give_up(d);
	return JOURNAL_OK;
}

static enum journal_status open_file(struct journal_db *d)
{
	char folder[PATH_MAX], path[PATH_MAX + sizeof("/" FILE_NAME)];
	const int flags = SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX |
			  SQLITE_OPEN_PRIVATECACHE |
			  (d->mode == JOURNAL_READ ? SQLITE_OPEN_READONLY
						   : SQLITE_OPEN_READWRITE);
	struct stat st;
	const char *why;
	enum journal_status r;

	/* SQLite refuses a link anywhere in the path */
	if (realpath(d->folder, folder) == NULL)
		return journal_db_fail(d, strerror(errno));
	snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	why = check_folder(folder);
	if (why == NULL)
		why = check_file(d, path, &st);
	if (why != NULL)
		return journal_db_fail(d, why);
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	if (sqlite3_open_v2(path, &d->db, flags, NULL) != SQLITE_OK)
		r = journal_db_give_up(d);
	else
		r = set_up(d);
	if (r != JOURNAL_OK) /* half open is of no use */
		close_file(d);
	return r;
}

/* Has nobody removed or replaced the file? */
static bool is_current(const struct journal_db *d)
{
	struct stat st;

	return stat(d->path, &st) == 0 && st.st_dev == d->dev &&
	       st.st_ino == d->ino;
}

enum journal_status journal_db_open(struct journal_db *d)
{
	if (d->db != NULL && is_current(d))
		return JOURNAL_OK;
	close_file(d);
	return open_file(d);
}

/* ---- statements ---------------------------------------------------------- */

enum journal_status journal_db_number(struct journal_db *d, enum journal_sql i,
				      int64_t none, int64_t *ret)
{
	int r = sqlite3_step(d->st[i]);

	if (r != SQLITE_DONE && r != SQLITE_ROW)
		return journal_db_give_up(d);
	*ret = none;
	if (r == SQLITE_ROW &&
	    sqlite3_column_type(d->st[i], 0) == SQLITE_INTEGER)
		*ret = sqlite3_column_int64(d->st[i], 0);
	sqlite3_reset(d->st[i]);
	return JOURNAL_OK;
}

enum journal_status journal_db_run(struct journal_db *d, enum journal_sql i)
{
	int64_t ignored;

	return journal_db_number(d, i, 0, &ignored);
}

void journal_db_bind(sqlite3_stmt *st, int i, struct slice s)
{
	sqlite3_bind_text(st, i, s.n > 0 ? s.p : "", (int)s.n, SQLITE_STATIC);
}

struct slice journal_id(struct slice id)
{
	return slice_first(id, JOURNAL_ID_MAX);
}

/* FNV-1a: who makes his ids collide has those read that collide. */
int64_t journal_id_hash(struct slice id)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ (unsigned char)id.p[i]) * 16777619u;
	return h;
}

int64_t journal_day(int64_t time)
{
	return time / JOURNAL_DAY - (time % JOURNAL_DAY < 0 ? 1 : 0);
}
