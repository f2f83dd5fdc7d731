/*
 * Two tables: the counts, each with the generation (number of the transaction)
 * that changed it last, and the generation itself.  So an instance reads only
 * what changed, whoever changed it.  Transactions that write begin with BEGIN
 * IMMEDIATE: generations grow in the order of the commits.
 *
 * WAL with synchronous=NORMAL: a commit does not wait for the disk.  What was
 * committed survives the end of the process at any point; when the host fails,
 * the last commits may be lost, but the file is whole.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME	"meter.sqlite"
#define FILE_MODE	0640
#define FORMAT		1 /* user_version */
#define ROWS_MAX	1000000
#define REDATE_MAX	10000 /* in one transaction */
#define LOGIN_MAX	4096
#define VALUE_MAX_BYTES 1000000 /* larger in a file is an error of SQLite */
#define GENERATION_MAX	(INT64_MAX / 2)
/* a text of SQLite's or of the system's, after a path */
#define ERROR_MAX (PATH_MAX + 256)

#define TABLE_COUNTS                                                           \
	"CREATE TABLE counts(login TEXT NOT NULL, slot INTEGER NOT NULL, "     \
	"messages INTEGER NOT NULL, recipients INTEGER NOT NULL, "             \
	"changed INTEGER NOT NULL, PRIMARY KEY(login, slot)) "                 \
	"STRICT, WITHOUT ROWID"
#define INDEX_COUNTS "CREATE INDEX counts_changed ON counts(changed)"
#define TABLE_STATE                                                            \
	"CREATE TABLE state(id INTEGER PRIMARY KEY, "                          \
	"generation INTEGER NOT NULL) STRICT"

enum statement {
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	ROLLBACK,
	GENERATION,
	SET_GENERATION,
	CHANGED,
	GET,
	PUT,
	FUTURE,
	DELETE_FUTURE,
	DELETE_OLD,
	STATEMENTS,
};

static const char *const texts[STATEMENTS] = {
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[GENERATION] = "SELECT generation FROM state WHERE id = 1",
	[SET_GENERATION] = "UPDATE state SET generation = ?1 WHERE id = 1",
	[CHANGED] = "SELECT login, slot, messages, recipients FROM counts "
		    "WHERE changed > ?1 ORDER BY changed DESC LIMIT ?2",
	[GET] = "SELECT login, slot, messages, recipients FROM counts "
		"WHERE login = ?1 AND slot = ?2",
	[PUT] = "REPLACE INTO counts(login, slot, messages, recipients, "
		"changed) VALUES(?1, ?2, ?3, ?4, ?5)",
	[FUTURE] = "SELECT login, slot, messages, recipients FROM counts "
		   "WHERE slot > ?1 LIMIT ?2",
	[DELETE_FUTURE] = "DELETE FROM counts WHERE slot > ?1",
	[DELETE_OLD] = "DELETE FROM counts WHERE slot <= ?1",
};

struct store {
	char *folder;
	char *path;  /* as it is told */
	sqlite3 *db; /* NULL: not open */
	sqlite3_stmt *st[STATEMENTS];
	dev_t dev; /* of the file that is open */
	ino_t ino;
	int64_t generation; /* of the transaction */
	int64_t seen;	    /* as of the last commit; -1: none */
	bool writing;
	char error[ERROR_MAX];
};

struct store *store_new(const char *folder)
{
	struct store *s = mem_alloc(sizeof(*s));
	size_t n = strlen(folder) + sizeof("/" FILE_NAME);

	s->folder = mem_strdup(folder);
	s->path = mem_alloc(n);
	snprintf(s->path, n, "%s/" FILE_NAME, folder);
	return s;
}

static void store_close(struct store *s)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(s->st[i]);
		s->st[i] = NULL;
	}
	sqlite3_close_v2(s->db);
	s->db = NULL;
}

void store_free(struct store *s)
{
	if (s == NULL)
		return;
	store_close(s);
	free(s->folder);
	free(s->path);
	free(s);
}

const char *store_path(const struct store *s)
{
	return s->path;
}

const char *store_error(const struct store *s)
{
	return s->error;
}

static enum store_status fail(struct store *s, const char *why)
{
	snprintf(s->error, sizeof(s->error), "%s", why);
	store_close(s);
	return STORE_FAILED;
}

/* SQLite's words, and the system's where they say more. */
static void keep_error(struct store *s)
{
	int code = sqlite3_errcode(s->db) & 0xff;
	int system = sqlite3_system_errno(s->db);
	bool told = system != 0 &&
		    (code == SQLITE_CANTOPEN || code == SQLITE_IOERR ||
		     code == SQLITE_FULL || code == SQLITE_READONLY);

	snprintf(s->error, sizeof(s->error), "%s%s%s", sqlite3_errmsg(s->db),
		 told ? ": " : "", told ? strerror(system) : "");
}

/* After an error of the open connection. */
static enum store_status give_up(struct store *s)
{
	int code = sqlite3_errcode(s->db) & 0xff;

	keep_error(s);
	if (code != SQLITE_BUSY && code != SQLITE_LOCKED) {
		store_close(s); /* and so rolls back */
		return STORE_FAILED;
	}
	for (size_t i = 0; i < STATEMENTS; i++)
		if (s->st[i] != NULL)
			sqlite3_reset(s->st[i]);
	if (sqlite3_get_autocommit(s->db) == 0 && s->st[ROLLBACK] != NULL) {
		sqlite3_step(s->st[ROLLBACK]);
		sqlite3_reset(s->st[ROLLBACK]);
	}
	return STORE_BUSY;
}

/* ---- opening ------------------------------------------------------------- */

static bool safe(const struct stat *st)
{
	return (st->st_mode & S_IWOTH) == 0;
}

/* The file itself, made if it is not there.  NULL, or what is wrong.  Never
 * opens one that is there: to close it again would end the locks that SQLite
 * has on it in this process (fcntl(2), F_SETLK). */
static const char *prepare_file(const char *path, struct stat *st)
{
	int fd, r;

	if (lstat(path, st) != 0) {
		if (errno != ENOENT)
			return strerror(errno);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			  FILE_MODE);
		if (fd >= 0) {
			r = fchmod(fd, FILE_MODE); /* whatever the umask */
			close(fd);
			if (r != 0)
				return strerror(errno);
		} else if (errno != EEXIST) {
			return strerror(errno);
		}
		if (lstat(path, st) != 0)
			return strerror(errno);
	}
	if (!S_ISREG(st->st_mode))
		return "is no regular file";
	if (!safe(st))
		return "others may write it; chmod o-w";
	return NULL;
}

static const char *prepare(const char *folder, struct stat *st)
{
	char path[PATH_MAX];
	int n;

	if (stat(folder, st) != 0)
		return strerror(errno);
	if (!S_ISDIR(st->st_mode))
		return "is in no folder";
	if (!safe(st))
		return "others may write to the folder; chmod o-w";
	n = snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return strerror(ENAMETOOLONG);
	return prepare_file(path, st);
}

static bool run(struct store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The first column of the first row as a number, or `none`.  False: error. */
static bool ask(struct store *s, const char *sql, int64_t none, int64_t *ret)
{
	sqlite3_stmt *st;
	int r;

	*ret = none;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return false;
	r = sqlite3_step(st);
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return r == SQLITE_ROW || r == SQLITE_DONE;
}

/* A file of unknown origin: its schema does nothing by itself. */
static bool distrust(struct store *s)
{
	static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER,
				  SQLITE_DBCONFIG_ENABLE_VIEW,
				  SQLITE_DBCONFIG_TRUSTED_SCHEMA,
				  SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION};
	bool ok = sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
				    NULL) == SQLITE_OK;

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		ok = ok &&
		     sqlite3_db_config(s->db, off[i], 0, NULL) == SQLITE_OK;
	sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES);
	return ok && run(s, "PRAGMA cell_size_check = ON");
}

static bool make_tables(struct store *s)
{
	int64_t n;

	if (!run(s, "BEGIN IMMEDIATE"))
		return false;
	/* another instance may have been faster */
	if (!ask(s, "SELECT count(*) FROM sqlite_schema", 0, &n))
		return false;
	if (n == 0 &&
	    !run(s, TABLE_COUNTS
		 ";" INDEX_COUNTS ";" TABLE_STATE
		 ";INSERT INTO state VALUES(1, 0);PRAGMA user_version=1"))
		return false;
	return run(s, "COMMIT");
}

/* STORE_FAILED for a file of somebody else, which stays as it is. */
static enum store_status check_tables(struct store *s)
{
	int64_t objects, ours, version;

	_Static_assert(FORMAT == 1, "make_tables() says 1");
	if (!ask(s, "SELECT count(*) FROM sqlite_schema", 0, &objects))
		return give_up(s);
	if (objects == 0 && !make_tables(s))
		return give_up(s);
	if (!ask(s,
		 "SELECT count(*) FROM sqlite_schema WHERE sql IN "
		 "('" TABLE_COUNTS "', '" INDEX_COUNTS "', '" TABLE_STATE "')",
		 0, &ours) ||
	    !ask(s, "PRAGMA user_version", 0, &version))
		return give_up(s);
	if (ours != 3 || version != FORMAT)
		return fail(s, "is no file of this version");
	return STORE_OK;
}

static bool prepare_statements(struct store *s)
{
	for (size_t i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(s->db, texts[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &s->st[i],
				       NULL) != SQLITE_OK)
			return false;
	return true;
}

static enum store_status set_up(struct store *s)
{
	int persist = 1;
	enum store_status r;

	/* at close no file is deleted by its name, which may be another's
	 * by then */
	sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
	if (!distrust(s))
		return give_up(s);
	r = check_tables(s);
	if (r != STORE_OK)
		return r;
	/* where there is no shared memory it stays another mode, which works
	 * too */
	if (!run(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		    "PRAGMA journal_size_limit = 1048576;"
		    "PRAGMA temp_store = MEMORY") ||
	    !prepare_statements(s))
		return give_up(s);
	return STORE_OK;
}

static enum store_status open_file(struct store *s)
{
	char folder[PATH_MAX], path[PATH_MAX + sizeof(FILE_NAME) + 1];
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW |
			  SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	struct stat st;
	const char *why;
	enum store_status r;

	/* SQLite refuses a link anywhere in the path */
	if (realpath(s->folder, folder) == NULL)
		return fail(s, strerror(errno));
	why = prepare(folder, &st);
	if (why != NULL)
		return fail(s, why);
	snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->seen = -1;
	if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
		return give_up(s);
	sqlite3_extended_result_codes(s->db, 1);
	r = set_up(s);
	if (r == STORE_BUSY) /* half open is of no use */
		store_close(s);
	return r;
}

/* Has somebody removed or replaced the file? */
static bool is_current(const struct store *s)
{
	struct stat st;

	return stat(s->path, &st) == 0 && st.st_dev == s->dev &&
	       st.st_ino == s->ino;
}

enum store_status store_open(struct store *s, bool *fresh)
{
	enum store_status r;

	if (s->db != NULL && is_current(s)) {
		*fresh = false;
		return STORE_OK;
	}
	store_close(s);
	r = open_file(s);
	if (r == STORE_OK)
		*fresh = true;
	return r;
}

/* ---- transactions -------------------------------------------------------- */

/* Runs to the end a statement that has no rows. */
static enum store_status step(struct store *s, enum statement i)
{
	int r = sqlite3_step(s->st[i]);

	if (r != SQLITE_DONE && r != SQLITE_ROW)
		return give_up(s);
	sqlite3_reset(s->st[i]);
	return STORE_OK;
}

static enum store_status read_generation(struct store *s)
{
	sqlite3_stmt *st = s->st[GENERATION];
	int r = sqlite3_step(st);

	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return give_up(s);
	s->generation = r == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
	sqlite3_reset(st);
	if (s->generation < 0 || s->generation > GENERATION_MAX)
		return fail(s, "has no usable generation");
	return STORE_OK;
}

enum store_status store_begin(struct store *s, bool write)
{
	enum store_status r = step(s, write ? BEGIN_WRITE : BEGIN_READ);

	if (r == STORE_OK)
		r = read_generation(s);
	s->writing = r == STORE_OK && write;
	return r;
}

enum store_status store_commit(struct store *s)
{
	int64_t generation = s->generation + (s->writing ? 1 : 0);
	enum store_status r = STORE_OK;

	if (s->writing) {
		sqlite3_bind_int64(s->st[SET_GENERATION], 1, generation);
		r = step(s, SET_GENERATION);
	}
	if (r == STORE_OK)
		r = step(s, COMMIT);
	if (r == STORE_OK)
		s->seen = generation;
	return r;
}

/* ---- rows ---------------------------------------------------------------- */

static bool read_count(sqlite3_stmt *st, int column, int64_t *ret)
{
	if (sqlite3_column_type(st, column) != SQLITE_INTEGER)
		return false;
	*ret = sqlite3_column_int64(st, column);
	return *ret >= 0 && *ret <= COUNT_MAX;
}

/* False for what we would not have written. */
static bool read_row(sqlite3_stmt *st, struct store_row *ret)
{
	if (sqlite3_column_type(st, 0) != SQLITE_TEXT ||
	    sqlite3_column_type(st, 1) != SQLITE_INTEGER)
		return false;
	ret->login.p = (const char *)sqlite3_column_text(st, 0);
	ret->login.n = (size_t)sqlite3_column_bytes(st, 0);
	ret->slot = sqlite3_column_int64(st, 1);
	return ret->login.p != NULL && ret->login.n > 0 &&
	       ret->login.n <= LOGIN_MAX && slice_chr(ret->login, '\0') < 0 &&
	       read_count(st, 2, &ret->amount.messages) &&
	       read_count(st, 3, &ret->amount.recipients);
}

enum store_status store_read(struct store *s, int64_t after,
			     store_reader *reader, void *arg, bool *lost)
{
	sqlite3_stmt *st = s->st[CHANGED];
	struct store_row row;
	int r;

	*lost = s->generation < s->seen;
	if (s->generation == s->seen)
		return STORE_OK;
	sqlite3_bind_int64(st, 1, *lost ? -1 : s->seen);
	sqlite3_bind_int64(st, 2, ROWS_MAX);
	while ((r = sqlite3_step(st)) == SQLITE_ROW)
		if (read_row(st, &row) && row.slot > after)
			reader(arg, &row);
	if (r != SQLITE_DONE)
		return give_up(s);
	sqlite3_reset(st);
	return STORE_OK;
}

static void bind_key(sqlite3_stmt *st, const struct store_row *row)
{
	sqlite3_bind_text(st, 1, row->login.p, (int)row->login.n,
			  SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, row->slot);
}

/* Zero when it is not there, or no count. */
static enum store_status get(struct store *s, const struct store_row *key,
			     struct amount *ret)
{
	sqlite3_stmt *st = s->st[GET];
	struct store_row row;
	int r;

	*ret = (struct amount){0};
	bind_key(st, key);
	r = sqlite3_step(st);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return give_up(s);
	if (r == SQLITE_ROW && read_row(st, &row))
		*ret = row.amount;
	sqlite3_reset(st);
	return STORE_OK;
}

static int64_t merged(int64_t stored, int64_t known, int64_t fresh)
{
	int64_t n = (stored > known ? stored : known) + fresh;

	return n < COUNT_MAX ? n : COUNT_MAX;
}

enum store_status store_merge(struct store *s, const struct store_row *known,
			      struct amount fresh, struct amount *total)
{
	sqlite3_stmt *st = s->st[PUT];
	struct amount old, new;
	enum store_status r = get(s, known, &old);

	if (r != STORE_OK)
		return r;
	new.messages =
		merged(old.messages, known->amount.messages, fresh.messages);
	new.recipients = merged(old.recipients, known->amount.recipients,
				fresh.recipients);
	*total = new;
	if (new.messages == old.messages &&new.recipients == old.recipients)
		return STORE_OK;
	bind_key(st, known);
	sqlite3_bind_int64(st, 3, new.messages);
	sqlite3_bind_int64(st, 4, new.recipients);
	sqlite3_bind_int64(st, 5, s->generation + 1);
	return step(s, PUT);
}

struct rows {
	struct arena *a;
	size_t n;
	struct store_row v[REDATE_MAX];
};

static enum store_status read_future(struct store *s, int64_t last,
				     struct rows *ret)
{
	sqlite3_stmt *st = s->st[FUTURE];
	struct store_row row;
	int r;

	sqlite3_bind_int64(st, 1, last);
	sqlite3_bind_int64(st, 2, REDATE_MAX);
	while ((r = sqlite3_step(st)) == SQLITE_ROW && ret->n < REDATE_MAX)
		if (read_row(st, &row)) {
			row.login = slice_dup(ret->a, row.login);
			ret->v[ret->n++] = row;
		}
	if (r != SQLITE_DONE)
		return give_up(s);
	sqlite3_reset(st);
	return STORE_OK;
}

enum store_status store_redate(struct store *s, int64_t now, int64_t last,
			       store_reader *reader, void *arg)
{
	struct arena *a = arena_new();
	struct rows *rows = arena_alloc(a, sizeof(*rows));
	enum store_status r;

	rows->a = a;
	r = read_future(s, last, rows);
	if (r == STORE_OK) {
		/* also what is beyond REDATE_MAX, or is no count */
		sqlite3_bind_int64(s->st[DELETE_FUTURE], 1, last);
		r = step(s, DELETE_FUTURE);
	}
	for (size_t i = 0; r == STORE_OK && i < rows->n; i++) {
		struct store_row *row = &rows->v[i];
		struct amount moved = row->amount;

		row->slot = now;
		row->amount = (struct amount){0};
		r = store_merge(s, row, moved, &row->amount);
		if (r == STORE_OK)
			reader(arg, row);
	}
	arena_free(a);
	return r;
}

enum store_status store_purge(struct store *s, int64_t last)
{
	sqlite3_bind_int64(s->st[DELETE_OLD], 1, last);
	return step(s, DELETE_OLD);
}
