/* What commands do with the file: read it, and erase from it. */
#include "store/journal_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "mail/domain.h"

#define READ_MS	     5000  /* for a lock */
#define ERASE_MS     60000 /* the same, over all */
#define ELEMENTS_MAX 10000
#define NAME_BYTES   1000 /* bytes of a name in a count */

struct journal_file {
	struct journal_db d;
};

static void wait_for(struct journal_file *f, int64_t ms)
{
	atomic_store(&f->d.until, clock_mono_ms() + ms);
}

static void begin_reading(struct journal_file *f)
{
	f->d.error[0] = '\0';
	wait_for(f, READ_MS);
}

/* `r`: what the last sqlite3_step() returned. */
static void end_reading(struct journal_file *f, enum journal_sql i, int r)
{
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		journal_db_give_up(&f->d);
	sqlite3_reset(f->d.st[i]);
	sqlite3_clear_bindings(f->d.st[i]);
}

const char *journal_error(const struct journal_file *f)
{
	return f->d.error[0] != '\0' ? f->d.error : NULL;
}

struct journal_file *journal_open(struct arena *a, const char *folder,
				  bool write, const char **error)
{
	struct journal_file *f = mem_alloc(sizeof(*f));

	*error = NULL;
	journal_db_init(&f->d, folder, write ? JOURNAL_ERASE : JOURNAL_READ);
	begin_reading(f);
	if (journal_db_open(&f->d) == JOURNAL_OK)
		return f;
	*error = arena_printf(a, "%s: %s", f->d.path, f->d.error);
	journal_close(f);
	return NULL;
}

bool journal_is_denied(const char *folder)
{
	struct journal_db d;
	bool ret;

	journal_db_init(&d, folder, JOURNAL_READ);
	ret = access(d.path, R_OK) != 0 && errno == EACCES;
	journal_db_done(&d);
	return ret;
}

void journal_close(struct journal_file *f)
{
	if (f == NULL)
		return;
	journal_db_done(&f->d);
	free(f);
}

/* ---- records ------------------------------------------------------------- */

/* A copy of a column, or NULL for what is no text. */
static const char *text_of(sqlite3_stmt *st, int column, struct arena *a)
{
	const void *p;

	if (sqlite3_column_type(st, column) != SQLITE_TEXT)
		return NULL;
	p = sqlite3_column_text(st, column);
	return p != NULL
		       ? arena_memdup(a, p,
				      (size_t)sqlite3_column_bytes(st, column))
		       : NULL;
}

static struct slice in_angles(struct arena *a, struct slice id)
{
	char *p = arena_alloc(a, id.n + 2);

	p[0] = '<';
	memcpy(p + 1, id.p, id.n);
	p[id.n + 1] = '>';
	return (struct slice){p, id.n + 2};
}

size_t journal_find(struct journal_file *f, struct arena *a, struct slice id,
		    const char **ret, size_t max)
{
	sqlite3_stmt *st = f->d.st[SQL_FIND];
	struct slice angled;
	size_t n = 0;
	int r = SQLITE_DONE;

	if (id.n == 0 || max == 0)
		return 0;
	begin_reading(f);
	angled = id.p[0] == '<' ? journal_id(id) : journal_id(in_angles(a, id));
	id = journal_id(id);
	sqlite3_bind_int64(st, 1, journal_id_hash(id));
	sqlite3_bind_int64(st, 2, journal_id_hash(angled));
	journal_db_bind(st, 3, id);
	journal_db_bind(st, 4, angled);
	sqlite3_bind_int64(st, 5, max < INT32_MAX ? (int64_t)max : INT32_MAX);
	while (n < max && (r = sqlite3_step(st)) == SQLITE_ROW) {
		const char *text = text_of(st, 0, a);

		if (text != NULL)
			ret[n++] = text;
	}
	end_reading(f, SQL_FIND, r);
	return n;
}

/* ---- values of a record -------------------------------------------------- */

/* One character of UTF-8 at *at as the byte that it stands for, or as it is. */
static void add_character(struct strbuf *b, struct slice s, size_t *at)
{
	const unsigned char c = (unsigned char)s.p[*at];
	const unsigned char d = *at + 1 < s.n ? (unsigned char)s.p[*at + 1] : 0;

	if ((c == 0xc2 || c == 0xc3) && (d & 0xc0) == 0x80) {
		strbuf_addc(b, (char)((c & 3) << 6 | (d & 0x3f)));
		*at += 2;
	} else {
		strbuf_addc(b, (char)c);
		*at += 1;
	}
}

/* What json_wire() (base/json.h) was given. */
static const char *original(struct arena *a, const char *text, size_t n)
{
	const struct slice s = {text, n};
	struct strbuf b;

	strbuf_init(&b, a, n + 1);
	for (size_t at = 0; at < n;)
		add_character(&b, s, &at);
	return strbuf_cstr(&b);
}

/* The value in `column` of the type in `type`; NULL for null. */
static const char *value_of(sqlite3_stmt *st, int column, int type,
			    struct arena *a)
{
	const char *word = (const char *)sqlite3_column_text(st, type);
	const char *text;

	if (word == NULL || strcmp(word, "null") == 0)
		return NULL;
	if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
		return arena_strdup(a, word);
	text = (const char *)sqlite3_column_text(st, column);
	if (text == NULL)
		return NULL;
	if (strcmp(word, "text") != 0)
		return arena_strdup(a, text);
	return original(a, text, (size_t)sqlite3_column_bytes(st, column));
}

static sqlite3_stmt *begin_json(struct journal_file *f, enum journal_sql i,
				const char *json, const char *path)
{
	sqlite3_stmt *st = f->d.st[i];

	begin_reading(f);
	journal_db_bind(st, 1, slice_of(json));
	journal_db_bind(st, 2, slice_of(path));
	return st;
}

const char *journal_json(struct journal_file *f, struct arena *a,
			 const char *json, const char *path)
{
	sqlite3_stmt *st = begin_json(f, SQL_JSON, json, path);
	const char *ret = NULL;
	int r = sqlite3_step(st);

	if (r == SQLITE_ROW)
		ret = value_of(st, 0, 1, a);
	end_reading(f, SQL_JSON, r);
	return ret;
}

size_t journal_json_array(struct journal_file *f, struct arena *a,
			  const char *json, const char *path, const char ***ret)
{
	sqlite3_stmt *st = begin_json(f, SQL_JSON_ARRAY, json, path);
	const char **v = NULL;
	size_t n = 0, room = 0;
	int r;

	sqlite3_bind_int64(st, 3, ELEMENTS_MAX);
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		const char *value = value_of(st, 0, 1, a);

		if (n == room) {
			room = room > 0 ? 2 * room : 16;
			v = mem_realloc(v, room * sizeof(*v));
		}
		v[n++] = value != NULL ? value : "";
	}
	end_reading(f, SQL_JSON_ARRAY, r);
	*ret = arena_array(a, n, sizeof(*v));
	if (n > 0)
		memcpy(*ret, v, n * sizeof(*v));
	free(v);
	return n;
}

/* ---- counts -------------------------------------------------------------- */

/* False for what we would not have written. */
static bool read_count(sqlite3_stmt *st, struct arena *a,
		       struct journal_count *ret)
{
	for (int i = 0; i < 4; i++)
		if (sqlite3_column_type(st, i) != SQLITE_TEXT ||
		    sqlite3_column_bytes(st, i) > NAME_BYTES)
			return false;
	ret->rule = text_of(st, 0, a);
	ret->action = text_of(st, 1, a);
	ret->domain = text_of(st, 2, a);
	ret->network = text_of(st, 3, a);
	ret->messages = sqlite3_column_int64(st, 4);
	ret->reasoned = sqlite3_column_int64(st, 5);
	return ret->rule != NULL && ret->action != NULL &&
	       ret->domain != NULL && ret->network != NULL &&
	       ret->reasoned <= ret->messages;
}

size_t journal_shadows(struct journal_file *f, struct arena *a, int64_t since,
		       struct journal_count *ret, size_t max)
{
	sqlite3_stmt *st = f->d.st[SQL_SHADOWS];
	size_t n = 0;
	int r = SQLITE_DONE;

	begin_reading(f);
	sqlite3_bind_int64(st, 1, journal_day(since));
	sqlite3_bind_int64(st, 2, max < INT32_MAX ? (int64_t)max : INT32_MAX);
	while (n < max && (r = sqlite3_step(st)) == SQLITE_ROW)
		if (read_count(st, a, &ret[n]))
			n++;
	end_reading(f, SQL_SHADOWS, r);
	return n;
}

/* ---- erasing ------------------------------------------------------------- */

#define FORGETS "mailseal_forgets"

/* Whom to forget. */
struct subject {
	struct slice local;  /* p == NULL: all of the domain, and below */
	struct slice domain; /* canonical, or as it was given */
	bool canonical;
};

/* Where the local part ends, or -1 (RFC 5321 4.1.2: a quoted one may have an
 * @ in it, a domain never). */
static ptrdiff_t at_sign(struct slice address)
{
	return slice_rchr(address, '@');
}

static void set_domain(struct subject *s, struct arena *a, struct slice domain)
{
	const char *canonical = domain_canon(a, domain);

	s->canonical = canonical != NULL;
	s->domain = s->canonical ? slice_of(canonical) : slice_dup(a, domain);
}

static struct subject subject_of(struct arena *a, struct slice text)
{
	const ptrdiff_t at = at_sign(text);
	struct subject ret = {0};

	if (at >= 0)
		ret.local = slice_first(text, (size_t)at);
	set_domain(&ret, a, slice_from(text, (size_t)(at + 1)));
	return ret;
}

static bool is_in(const struct subject *of, const struct subject *domain)
{
	if (of->canonical && domain->canonical)
		return domain_is_under(of->domain.p, domain->domain.p);
	return slice_eq_ci(of->domain, domain->domain);
}

static bool is_same(const struct subject *of, const struct subject *address)
{
	if (of->canonical != address->canonical)
		return false;
	return of->local.p != NULL && slice_eq_ci(of->local, address->local) &&
	       slice_eq_ci(of->domain, address->domain);
}

/* `lines`: addresses or domains. */
static bool forgets(const struct subject *s, struct slice lines)
{
	struct arena *a = arena_new();
	bool ret = false;

	while (!ret && lines.p != NULL) {
		struct slice line = slice_cut(&lines, '\n');
		struct subject of = subject_of(a, line);

		ret = line.n > 0 &&
		      (s->local.p != NULL ? is_same(&of, s) : is_in(&of, s));
	}
	arena_free(a);
	return ret;
}

/* The function of SQL: is one of its arguments to be forgotten? */
static void sql_forgets(sqlite3_context *c, int n, sqlite3_value **v)
{
	const struct subject *s = sqlite3_user_data(c);
	bool ret = false;

	for (int i = 0; !ret && i < n; i++) {
		struct slice text;

		text.p = (const char *)sqlite3_value_text(v[i]);
		text.n = (size_t)sqlite3_value_bytes(v[i]);
		ret = text.p != NULL && forgets(s, text);
	}
	sqlite3_result_int(c, ret ? 1 : 0);
}

static bool run(struct journal_file *f, const char *sql)
{
	return sqlite3_exec(f->d.db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* How many rows, or -1. */
static int64_t erase_rows(struct journal_file *f, struct subject *s)
{
	sqlite3 *db = f->d.db;
	const int64_t before = sqlite3_total_changes64(db);
	const int flags = SQLITE_UTF8 | SQLITE_DIRECTONLY;

	/* `s` ends with journal_forget(), which defines it anew */
	if (sqlite3_create_function_v2(db, FORGETS, -1, flags, s, sql_forgets,
				       NULL, NULL, NULL) == SQLITE_OK &&
	    run(f, "BEGIN IMMEDIATE;"
		   "DELETE FROM records WHERE " FORGETS
		   "(domain, author, sender, addresses);"
		   "DELETE FROM counts WHERE " FORGETS "(domain);"
		   "COMMIT"))
		return sqlite3_total_changes64(db) - before;
	journal_db_give_up(&f->d);
	return -1;
}

/* Rows that moved have left copies in the pages where they were: only a new
 * file has none.  SQLite makes it next to the old one. */
static bool scrub(struct journal_file *f)
{
	bool ok;

	sqlite3_temp_directory = sqlite3_mprintf("%s", f->d.folder);
	ok = run(f, "VACUUM");
	sqlite3_free(sqlite3_temp_directory);
	sqlite3_temp_directory = NULL;
	ok = ok && sqlite3_wal_checkpoint_v2(f->d.db, "main",
					     SQLITE_CHECKPOINT_TRUNCATE, NULL,
					     NULL) == SQLITE_OK;
	if (!ok)
		journal_db_give_up(&f->d);
	return ok;
}

int64_t journal_forget(struct journal_file *f, struct arena *a,
		       const char *what, const char **error)
{
	struct subject s = subject_of(a, slice_of(what));
	int64_t ret;

	*error = NULL;
	if (s.domain.n == 0 || (s.local.p != NULL && s.local.n == 0)) {
		*error = "no address and no domain";
		return -1;
	}
	f->d.error[0] = '\0';
	wait_for(f, ERASE_MS);
	ret = erase_rows(f, &s);
	if (ret >= 0 && scrub(f))
		return ret;
	*error = arena_printf(a, "%s: %s%s", f->d.path, f->d.error,
			      ret < 0 ? "" : "; deleted, but not overwritten");
	return -1;
}
