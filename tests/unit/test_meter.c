/*
 * store/meter: counts that outlive a restart and hold over all instances; a
 * store that fails in every way that could be thought of.
 *
 * Time is the test's own; what the thread does every second is asked for with
 * meter_sync().  SQLite is used here to look at the file, and to spoil it.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/meter.h"
#include "store/window.h"

#define START (1800000000LL / SLOT_SECONDS * SLOT_SECONDS)
#define DAY   86400

static _Atomic int64_t now;

static int64_t fake_clock(void)
{
	return now;
}

struct world {
	struct arena *a;
	const char *dir, *file;
	const char *warning; /* of the last instance() */
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char dir[] = "/tmp/meter.XXXXXX";

	w->a = arena_new();
	if (mkdtemp(dir) == NULL)
		return -1;
	w->dir = arena_strdup(w->a, dir);
	w->file = arena_printf(w->a, "%s/meter.sqlite", dir);
	now = START;
	*state = w;
	return 0;
}

static void remove_files(struct world *w)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const char *path = arena_printf(w->a, "%s%s", w->file, ends[i]);
		if (unlink(path) != 0 && errno == EISDIR)
			rmdir(path);
	}
}

static int teardown(void **state)
{
	struct world *w = *state;

	chmod(w->dir, 0700);
	remove_files(w);
	assert_int_equal(rmdir(w->dir), 0);
	arena_free(w->a);
	free(w);
	return 0;
}

static struct meter *instance(struct world *w)
{
	return meter_new(w->a, w->dir, fake_clock, &w->warning);
}

/* An instance of which nothing is wrong. */
static struct meter *good_instance(struct world *w)
{
	struct meter *m = instance(w);

	if (w->warning != NULL)
		fail_msg("%s", w->warning);
	return m;
}

static bool take_of(struct meter *m, const char *login, int64_t per_hour,
		    int64_t recipients, int64_t *frees)
{
	const struct credential_limits l = {.messages_per_hour = per_hour};
	const char *what = NULL;
	int64_t limit = 0;

	if (meter_take(m, slice_of(login), &l, recipients, now, &what, &limit,
		       frees))
		return true;
	assert_string_equal(what, "messages per hour");
	assert_int_equal(limit, per_hour);
	return false;
}

static bool take(struct meter *m, const char *login, int64_t per_hour)
{
	int64_t frees;

	return take_of(m, login, per_hour, 1, &frees);
}

/* How many more are taken. */
static int64_t room(struct meter *m, const char *login, int64_t per_hour)
{
	int64_t n = 0;

	while (n <= per_hour && take(m, login, per_hour))
		n++;
	return n;
}

static sqlite3 *open_file(struct world *w)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(w->file, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 2000);
	return db;
}

static void sql_on(sqlite3 *db, const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", text, why);
}

static void sql(struct world *w, const char *text)
{
	sqlite3 *db = open_file(w);

	sql_on(db, text);
	sqlite3_close(db);
}

static int64_t ask(struct world *w, const char *text)
{
	sqlite3 *db = open_file(w);
	sqlite3_stmt *st;
	int64_t ret;

	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return ret;
}

/* ---- what is promised ---------------------------------------------------- */

static void test_memory(void **state)
{
	struct world *w = *state;
	struct meter *m = meter_new(w->a, "", fake_clock, &w->warning);
	int64_t frees = 0;

	assert_null(w->warning);
	assert_int_equal(room(m, "shop", 3), 3);
	assert_false(take_of(m, "shop", 3, 1, &frees));
	assert_int_equal(frees, START + 3900);
	assert_int_equal(room(m, "other", 3), 3);
	assert_false(meter_sync(m));
	assert_true(meter_is_working(m)); /* none is asked for */
	now = START + 3900;
	assert_int_equal(room(m, "shop", 3), 3);
	meter_free(m);
	meter_free(NULL);
}

static void test_restart(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	int64_t frees = 0;

	assert_true(take(m, "shop", 3));
	now += 600;
	assert_true(take(m, "shop", 3));
	meter_free(m);
	now += 600;
	m = good_instance(w);
	assert_int_equal(meter_logins(m), 1);
	assert_int_equal(room(m, "shop", 3), 1);
	assert_false(take_of(m, "shop", 3, 1, &frees));
	assert_int_equal(frees, START + 3900);
	meter_free(m);
	now = START + 3899;
	m = good_instance(w);
	assert_false(take(m, "shop", 3));
	now++;
	assert_int_equal(room(m, "shop", 3), 1);
	meter_free(m);
}

/* Recipients, and the limits of the day. */
static void test_restart_day(void **state)
{
	struct world *w = *state;
	const struct credential_limits l = {.recipients_per_day = 100,
					    .messages_per_day = 3};
	struct meter *m = good_instance(w);
	const char *what = NULL;
	int64_t limit = 0, frees = 0;

	assert_true(
		meter_take(m, SLICE("a"), &l, 60, now, &what, &limit, &frees));
	meter_free(m);
	m = good_instance(w);
	now += DAY;
	assert_false(
		meter_take(m, SLICE("a"), &l, 41, now, &what, &limit, &frees));
	assert_string_equal(what, "recipients per day");
	assert_int_equal(frees, START + DAY + 300);
	assert_true(
		meter_take(m, SLICE("a"), &l, 40, now, &what, &limit, &frees));
	meter_free(m);
	now += 299;
	m = good_instance(w);
	assert_false(
		meter_take(m, SLICE("a"), &l, 1, now, &what, &limit, &frees));
	meter_free(m);
	now++;
	m = good_instance(w);
	assert_true(
		meter_take(m, SLICE("a"), &l, 60, now, &what, &limit, &frees));
	meter_free(m);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 2);
}

/* Two instances: over the limit by what both take before they have met. */
static void test_instances(void **state)
{
	struct world *w = *state;
	struct meter *one = good_instance(w), *two = good_instance(w);

	assert_true(take(one, "shop", 5));
	assert_true(take(one, "shop", 5));
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	assert_int_equal(room(two, "shop", 5), 3);
	assert_int_equal(room(one, "shop", 5), 3); /* the overshoot */
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	assert_true(meter_sync(one));
	assert_int_equal(ask(w, "SELECT messages FROM counts"), 8);
	/* each knows all eight, not more and not less */
	assert_int_equal(room(one, "shop", 9), 1);
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	assert_int_equal(room(two, "shop", 10), 1);
	meter_free(one);
	meter_free(two);
	assert_int_equal(ask(w, "SELECT messages FROM counts"), 10);
	assert_int_equal(ask(w, "SELECT recipients FROM counts"), 10);
}

/* Nobody asks: the thread does it once a second. */
static void test_by_itself(void **state)
{
	struct world *w = *state;
	struct meter *one = good_instance(w), *two = good_instance(w);
	const int64_t until = clock_mono_ms() + 4000;
	const struct timespec tick = {0, 20 * 1000 * 1000};

	assert_int_equal(room(one, "shop", 2), 2);
	while (meter_logins(two) == 0 && clock_mono_ms() < until)
		nanosleep(&tick, NULL);
	assert_false(take(two, "shop", 2));
	meter_free(one);
	meter_free(two);
}

/* What was brought to the store outlives the process, whatever ends it. */
static void test_killed(void **state)
{
	struct world *w = *state;
	int status = 0;
	pid_t child = fork();
	struct meter *m;

	if (child == 0) {
		m = instance(w);
		take(m, "shop", 5);
		take(m, "shop", 5);
		if (!meter_sync(m))
			_exit(1);
		take(m, "shop", 5);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	m = good_instance(w);
	assert_int_equal(room(m, "shop", 5), 3);
	meter_free(m);
}

/* Ends anywhere in a transaction: the file stays whole, has all that was told
 * to be there, and nothing that was not counted. */
static void test_killed_often(void **state)
{
	struct world *w = *state;
	void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic int64_t *n = shared;

	assert_true(shared != MAP_FAILED);
	for (long i = 0; i < 15; i++) {
		const struct timespec some = {0, (8 + i) * 1000000};
		struct meter *m;
		int64_t stored;
		pid_t child = fork();

		if (child == 0) {
			m = instance(w);
			for (;;) {
				for (int j = 0; j < 20; j++) {
					n[1]++; /* counted, perhaps */
					take(m, "shop", COUNT_MAX);
				}
				if (meter_sync(m))
					n[0] = n[1];
			}
		}
		nanosleep(&some, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		m = good_instance(w);
		meter_free(m);
		stored = ask(w, "SELECT ifnull(sum(messages), 0) FROM counts");
		assert_in_range(stored, n[0], n[1]);
		n[0] = n[1] = stored;
	}
	assert_true(n[0] > 500);
	munmap(shared, 4096);
}

/* More than one transaction holds. */
static void test_many(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	char login[32];

	for (int i = 0; i < 10000; i++) {
		snprintf(login, sizeof(login), "login%d", i);
		assert_true(take(m, login, 1));
	}
	assert_true(meter_sync(m));
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 10000);
	meter_free(m);
	m = good_instance(w);
	assert_int_equal(meter_logins(m), 10000);
	for (int i = 0; i < 10000; i += 7) {
		snprintf(login, sizeof(login), "login%d", i);
		assert_false(take(m, login, 1));
	}
	meter_free(m);
}

/* Who sends no more is forgotten, in memory and in the file. */
static void test_forgets(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	char login[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(login, sizeof(login), "login%d", i);
		assert_true(take(m, login, 1));
	}
	assert_true(meter_sync(m));
	now += DAY + 299;
	assert_true(meter_sync(m));
	assert_int_equal(meter_logins(m), 1000);
	now++;
	assert_true(meter_sync(m));
	assert_int_equal(meter_logins(m), 0);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 0);
	meter_free(m);
	/* and without a store */
	m = meter_new(w->a, "/nowhere", fake_clock, &w->warning);
	assert_non_null(w->warning);
	assert_true(take(m, "shop", 1));
	now += 2 * DAY;
	assert_false(meter_sync(m));
	assert_false(meter_sync(m)); /* nothing is owed any more */
	assert_int_equal(meter_logins(m), 0);
	meter_free(m);
}

/* ---- clocks -------------------------------------------------------------- */

static void test_clock_back(void **state)
{
	struct world *w = *state;
	struct meter *one, *two;

	now = START + 9000LL * DAY;
	one = good_instance(w);
	two = good_instance(w);
	assert_true(take(one, "shop", 3));
	assert_true(take(one, "shop", 3));
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	now = START; /* that was wrong */
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	assert_true(meter_sync(one));
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 2);
	assert_int_equal(ask(w, "SELECT max(slot) FROM counts"),
			 START / SLOT_SECONDS);
	assert_int_equal(room(two, "shop", 3), 1);
	assert_true(meter_sync(two));
	assert_true(meter_sync(one));
	assert_false(take(one, "shop", 3));
	now = START + 3900;
	assert_int_equal(room(one, "shop", 3), 3);
	meter_free(one);
	meter_free(two);
}

/* The wrong clock was that of an earlier run. */
static void test_clock_back_restart(void **state)
{
	struct world *w = *state;
	struct meter *m;

	now = START + 9000LL * DAY;
	m = good_instance(w);
	assert_int_equal(room(m, "shop", 3), 3);
	meter_free(m);
	now = START;
	m = good_instance(w);
	assert_false(take(m, "shop", 3));
	now = START + 3899;
	assert_false(take(m, "shop", 3));
	now++;
	assert_int_equal(room(m, "shop", 3), 3);
	meter_free(m);
}

static void test_clock_forward(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);

	assert_int_equal(room(m, "shop", 3), 3);
	assert_true(meter_sync(m));
	now += 9000LL * DAY;
	assert_int_equal(room(m, "shop", 3), 3);
	assert_true(meter_sync(m));
	assert_false(take(m, "shop", 3));
	now = START;
	assert_false(take(m, "shop", 3));
	assert_true(meter_sync(m));
	assert_false(take(m, "shop", 3));
	now = START + 3900;
	assert_int_equal(room(m, "shop", 3), 3);
	meter_free(m);
}

/* ---- a file that is not trusted ------------------------------------------ */

struct value {
	const char *name;
	const char *sql; /* with :slot, the current one */
	int64_t left;	 /* of 5 messages in the hour */
};

static const struct value values[] = {
	{"a count", "INSERT INTO counts VALUES('shop', :slot, 2, 2, 1)", 3},
	{"negative", "INSERT INTO counts VALUES('shop', :slot, -100, 1, 1)", 5},
	{"negative recipients",
	 "INSERT INTO counts VALUES('shop', :slot, 2, -1, 1)", 5},
	{"huge",
	 "INSERT INTO counts VALUES('shop', :slot, 9223372036854775807, 1, 1)",
	 5},
	{"over the bound",
	 "INSERT INTO counts VALUES('shop', :slot, 1000000001, 1, 1)", 5},
	{"at the bound",
	 "INSERT INTO counts VALUES('shop', :slot, 1000000000, 1, 1)", 0},
	{"the last slot of all",
	 "INSERT INTO counts VALUES('shop', 9223372036854775807, 2, 2, 1)", 3},
	{"the first slot of all",
	 "INSERT INTO counts VALUES('shop', -9223372036854775808, 2, 2, 1)", 5},
	{"a slot ahead",
	 "INSERT INTO counts VALUES('shop', :slot + 1, 2, 2, 1)", 3},
	{"slots ahead",
	 "INSERT INTO counts VALUES('shop', :slot + 2, 2, 2, 1),"
	 "('shop', :slot + 300, 1, 1, 1), ('shop', :slot + 9, -1, 1, 1)",
	 2},
	{"an old slot",
	 "INSERT INTO counts VALUES('shop', :slot - 13, 2, 2, 1)", 5},
	{"a slot of this hour",
	 "INSERT INTO counts VALUES('shop', :slot - 12, 2, 2, 1)", 3},
	{"a login of another day",
	 "INSERT INTO counts VALUES('shop', :slot - 289, 2, 2, 1)", 5},
	{"no login", "INSERT INTO counts VALUES('', :slot, 2, 2, 1)", 5},
	{"a login with NUL",
	 "INSERT INTO counts VALUES('shop' || char(0) || 'x', :slot, 2, 2, 1)",
	 5},
	{"a long login",
	 "INSERT INTO counts VALUES(replace(hex(zeroblob(3000)), '0', 'x'), "
	 ":slot, 2, 2, 1)",
	 5},
	{"changed by nobody",
	 "INSERT INTO counts VALUES('shop', :slot, 2, 2, -5)", 5},
	{"changed by the last of all",
	 "INSERT INTO counts VALUES('shop', :slot, 2, 2, 9223372036854775807)",
	 3},
	{"a trigger that removes",
	 "INSERT INTO counts VALUES('shop', :slot, 1, 1, 1);"
	 "CREATE TRIGGER t AFTER INSERT ON counts BEGIN "
	 "DELETE FROM counts; END",
	 4},
};

static void spoil(struct world *w, const char *text)
{
	sqlite3 *db = open_file(w);
	const char *rest = text;
	sqlite3_stmt *st;

	while (*rest != '\0') {
		if (sqlite3_prepare_v2(db, rest, -1, &st, &rest) != SQLITE_OK)
			fail_msg("%s: %s", text, sqlite3_errmsg(db));
		if (st == NULL)
			break;
		sqlite3_bind_int64(st, 1, now / SLOT_SECONDS);
		assert_int_equal(sqlite3_step(st), SQLITE_DONE);
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
}

static void test_values(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct value *v = &values[i];
		struct meter *m;
		int64_t left;

		remove_files(w);
		now = START;
		meter_free(good_instance(w)); /* makes the tables */
		sql(w, "UPDATE state SET generation = 1");
		spoil(w, v->sql);
		m = good_instance(w);
		if (strstr(v->name, "login") != NULL) /* it is none */
			assert_int_equal(meter_logins(m), 0);
		left = room(m, "shop", 5);
		if (left != v->left)
			fail_msg("%s: %lld", v->name, (long long)left);
		if (!meter_sync(m))
			fail_msg("%s: not written", v->name);
		assert_false(take(m, "shop", 5));
		meter_free(m);
		m = good_instance(w);
		if (take(m, "shop", 5))
			fail_msg("%s: not kept", v->name);
		now += 3900; /* nothing locks it for longer than an hour */
		if (room(m, "shop", 5) == 0 && v->left > 0)
			fail_msg("%s: for ever", v->name);
		meter_free(m);
	}
}

/* Text where there are numbers, which a STRICT table would not take. */
static void test_types(void **state)
{
	struct world *w = *state;
	struct meter *m;

	meter_free(good_instance(w));
	sql(w, "CREATE TABLE x AS SELECT sql FROM sqlite_schema "
	       "WHERE name = 'counts';"
	       "PRAGMA writable_schema = ON;"
	       "UPDATE sqlite_schema SET sql = 'CREATE TABLE counts(login, "
	       "slot, messages, recipients, changed, PRIMARY KEY(login, "
	       "slot)) WITHOUT ROWID' WHERE name = 'counts'");
	spoil(w, "INSERT INTO counts VALUES('shop', ?1, 'many', 'more', 1),"
		 "('a', 'now', 1, 1, 1), (x'00ff', ?1, 1, 1, 1),"
		 "(7, ?1, 1, 1, 1), ('b', ?1, 1.5, x'', 1),"
		 "('c', ?1, 2, 2, 'late')");
	sql(w, "UPDATE state SET generation = 7;"
	       "PRAGMA writable_schema = ON;"
	       "UPDATE sqlite_schema SET sql = (SELECT sql FROM x) "
	       "WHERE name = 'counts'");
	sql(w, "DROP TABLE x");
	m = good_instance(w);
	assert_int_equal(room(m, "shop", 5), 5);
	assert_int_equal(room(m, "b", 5), 5);
	assert_int_equal(room(m, "c", 5), 3);
	assert_int_equal(room(m, "a", 5), 5);
	assert_true(meter_sync(m));
	meter_free(m);
	m = good_instance(w);
	assert_false(take(m, "shop", 5));
	meter_free(m);
}

/* The generation: garbage is told, an older one is read again. */
static void test_generation(void **state)
{
	static const char *const bad[] = {
		"UPDATE state SET generation = -1",
		"UPDATE state SET generation = 9223372036854775807",
		"DELETE FROM state"};
	struct world *w = *state;
	struct meter *m = good_instance(w);

	assert_true(take(m, "shop", 9));
	assert_true(meter_sync(m));
	spoil(w, "INSERT INTO counts VALUES('shop', ?1 - 1, 3, 3, 0)");
	sql(w, "UPDATE state SET generation = 0");
	assert_true(meter_sync(m));
	assert_int_equal(room(m, "shop", 9), 5);
	assert_true(meter_sync(m));
	/* a copy from before the first message is put back */
	sql(w, "DELETE FROM counts; UPDATE state SET generation = 0");
	assert_true(meter_sync(m));
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 9);
	meter_free(m);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		sql(w, bad[i]);
		m = instance(w);
		assert_non_null(w->warning);
		assert_non_null(strstr(w->warning, "generation"));
		assert_true(take(m, "shop", 9));
		meter_free(m);
	}
}

static void write_file(const char *path, const char *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	close(fd);
}

static char *read_file(const char *path, size_t *n)
{
	char *p = malloc(1 << 22);
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	*n = (size_t)read(fd, p, 1 << 22);
	close(fd);
	return p;
}

/* It is told, nothing of it is changed, and counting goes on; once it is gone
 * what was counted is written. */
static void check_refused(struct world *w, const char *why)
{
	struct meter *m = instance(w);

	if (w->warning == NULL)
		fail_msg("no warning, but %s", why);
	if (strstr(w->warning, why) == NULL ||
	    strstr(w->warning, w->file) == NULL ||
	    strstr(w->warning, "in memory") == NULL)
		fail_msg("got \"%s\", want \"%s\"", w->warning, why);
	assert_int_equal(room(m, "shop", 3), 3);
	assert_false(meter_sync(m));
	assert_false(take(m, "shop", 3));
	remove_files(w);
	chmod(w->dir, 0700);
	assert_true(meter_sync(m));
	meter_free(m);
	m = good_instance(w);
	assert_false(take(m, "shop", 3));
	meter_free(m);
	remove_files(w);
}

static void test_no_database(void **state)
{
	struct world *w = *state;
	char garbage[9000];
	size_t n;
	char *after;

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char)(i * 31 + i / 7);
	write_file(w->file, garbage, sizeof(garbage));
	meter_free(instance(w));
	after = read_file(w->file, &n);
	assert_int_equal(n, sizeof(garbage));
	assert_memory_equal(after, garbage, n);
	free(after);
	check_refused(w, "file is not a database");
	/* an empty one is as good as none */
	write_file(w->file, "", 0);
	meter_free(good_instance(w));
}

static void test_other_database(void **state)
{
	struct world *w = *state;
	size_t n, m;
	char *before, *after;

	sql(w, "CREATE TABLE counts(a); INSERT INTO counts VALUES(1)");
	before = read_file(w->file, &n);
	meter_free(instance(w));
	after = read_file(w->file, &m);
	assert_int_equal(n, m);
	assert_memory_equal(before, after, n);
	free(before);
	free(after);
	check_refused(w, "is no file of this version");
	meter_free(good_instance(w));
	sql(w, "PRAGMA user_version = 2");
	check_refused(w, "is no file of this version");
}

static uint64_t seed;

static size_t below(size_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (size_t)((seed >> 33) % n);
}

/* Random bytes in a good file: whatever SQLite makes of it, the daemon goes on
 * and counts. */
static void test_damaged(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	size_t n, refused = 0;
	char *good, *bad;
	char login[32];

	for (int i = 0; i < 500; i++) {
		snprintf(login, sizeof(login), "login%d", i);
		take(m, login, 9);
	}
	meter_free(m);
	sql(w, "PRAGMA wal_checkpoint(TRUNCATE)");
	good = read_file(w->file, &n);
	assert_true(n > 20000);
	bad = malloc(n);
	for (seed = 1; seed < 60 * 977; seed += 977) {
		const uint64_t number = seed;
		const size_t from = below(n), many = 1 + below(2000);

		remove_files(w);
		memcpy(bad, good, n);
		for (size_t i = from; i < n && i < from + many; i++)
			bad[i] = (char)below(256);
		/* and some are cut off */
		write_file(w->file, bad, number % 3 == 0 ? from : n);
		m = instance(w);
		refused += w->warning != NULL;
		for (int i = 0; i < 500; i += 50) {
			snprintf(login, sizeof(login), "login%d", i);
			take(m, login, 9);
		}
		take(m, "new", 9);
		meter_sync(m);
		meter_free(m);
		seed = number;
	}
	assert_true(refused > 5);
	free(good);
	free(bad);
}

/* While it runs. */
static void test_damaged_running(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	char garbage[4096];

	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(room(m, "shop", 3), 3);
	assert_true(meter_sync(m));
	sql(w, "PRAGMA wal_checkpoint(TRUNCATE)");
	write_file(w->file, garbage, sizeof(garbage));
	assert_true(take(m, "other", 3));
	assert_false(take(m, "shop", 3));
	meter_sync(m); /* it may not yet see it */
	assert_true(take(m, "other", 3));
	meter_sync(m);
	remove_files(w);
	assert_true(meter_sync(m));
	meter_free(m);
	m = good_instance(w);
	assert_false(take(m, "shop", 3));
	assert_int_equal(room(m, "other", 3), 1);
	meter_free(m);
}

static void test_unsafe(void **state)
{
	struct world *w = *state;
	const char *real = arena_printf(w->a, "%s/real", w->dir);

	write_file(real, "", 0);
	assert_int_equal(symlink(real, w->file), 0);
	check_refused(w, "is no regular file");
	unlink(real);
	assert_int_equal(symlink(real, w->file), 0); /* leads nowhere */
	check_refused(w, "is no regular file");
	assert_int_not_equal(access(real, F_OK), 0);
	assert_int_equal(mkdir(w->file, 0700), 0);
	check_refused(w, "is no regular file");
	assert_int_equal(mkfifo(w->file, 0600), 0);
	check_refused(w, "is no regular file");
	write_file(w->file, "", 0);
	assert_int_equal(chmod(w->file, 0646), 0);
	check_refused(w, "others may write it; chmod o-w");
	assert_int_equal(chmod(w->dir, 01777), 0);
	check_refused(w, "others may write to the folder; chmod o-w");
}

static void test_mode(void **state)
{
	static const mode_t umasks[] = {0, 022, 077};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
		mode_t old = umask(umasks[i]);
		struct meter *m = good_instance(w);
		struct stat st;

		umask(old);
		take(m, "shop", 1);
		assert_true(meter_sync(m));
		assert_int_equal(stat(w->file, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
		assert_int_equal(
			stat(arena_printf(w->a, "%s-wal", w->file), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
		meter_free(m);
		remove_files(w);
	}
}

/* A folder that is a link is the administrator's choice. */
static void test_linked_folder(void **state)
{
	struct world *w = *state;
	const char *link = arena_printf(w->a, "%s.link", w->dir);
	struct meter *m;

	assert_int_equal(symlink(w->dir, link), 0);
	m = meter_new(w->a, link, fake_clock, &w->warning);
	assert_null(w->warning);
	assert_true(take(m, "shop", 1));
	assert_true(meter_sync(m));
	unlink(link);
	meter_free(m);
	m = good_instance(w);
	assert_false(take(m, "shop", 1));
	meter_free(m);
}

/* ---- a store that fails -------------------------------------------------- */

/* Standard error goes to a file, and comes back. */
static int log_begin(struct world *w)
{
	const char *path = arena_printf(w->a, "%s.log", w->dir);
	int old = dup(STDERR_FILENO);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(old >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return old;
}

static char *log_back(struct world *w, int old)
{
	const char *path = arena_printf(w->a, "%s.log", w->dir);
	char *text;
	size_t n;

	dup2(old, STDERR_FILENO);
	close(old);
	text = read_file(path, &n);
	text[n] = '\0';
	unlink(path);
	return text;
}

static int times(const char *text, const char *part)
{
	int n = 0;

	for (text = strstr(text, part); text != NULL;
	     text = strstr(text + 1, part))
		n++;
	return n;
}

/* Folder and file vanish and come back; each is told once. */
static void test_removed(void **state)
{
	struct world *w = *state;
	struct meter *one = good_instance(w), *two = good_instance(w);
	const int old = log_begin(w);
	char *log;

	assert_int_equal(room(one, "shop", 3), 3);
	assert_true(take(two, "two", 3));
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	remove_files(w);
	assert_int_equal(rmdir(w->dir), 0);
	assert_true(meter_is_working(one));
	assert_true(take(one, "gone", 3));
	assert_false(meter_sync(one));
	assert_false(meter_is_working(one));
	assert_false(meter_sync(one));
	assert_false(take(one, "shop", 3));
	assert_int_equal(mkdir(w->dir, 0700), 0);
	/* the first that sees it makes the file; nothing is lost or doubled */
	assert_true(meter_sync(one));
	assert_true(meter_is_working(one));
	assert_true(meter_sync(two));
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	log = log_back(w, old);
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 5);
	assert_false(take(two, "shop", 3));
	assert_int_equal(room(two, "gone", 3), 2);
	assert_int_equal(room(one, "two", 3), 2);
	assert_int_equal(times(log, "No such file or directory; counting goes "
				    "on in memory"),
			 1);
	assert_int_equal(times(log, "meter.sqlite works again"), 1);
	free(log);
	meter_free(one);
	meter_free(two);
}

/* The file alone is removed, or another one is put in its place. */
static void test_replaced(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	struct meter *other;

	assert_int_equal(room(m, "shop", 3), 3);
	assert_true(meter_sync(m));
	remove_files(w);
	other = good_instance(w);
	assert_true(take(other, "else", 3));
	meter_free(other);
	assert_true(meter_sync(m));
	assert_int_equal(room(m, "else", 3), 2);
	meter_free(m);
	m = good_instance(w);
	assert_false(take(m, "shop", 3));
	meter_free(m);
}

/* What the manual says of a broken file: move it away, while it is used. */
static void test_moved(void **state)
{
	struct world *w = *state;
	struct meter *one = good_instance(w), *two = good_instance(w);
	const char *aside = arena_printf(w->a, "%s/aside", w->dir);

	assert_int_equal(room(one, "shop", 3), 3);
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	assert_int_equal(rename(w->file, aside), 0);
	assert_true(take(two, "two", 3));
	assert_true(meter_sync(two));
	assert_true(take(one, "one", 3));
	assert_true(meter_sync(one));
	assert_true(meter_sync(two));
	assert_int_equal(room(two, "one", 3), 2);
	meter_free(one);
	meter_free(two);
	unlink(aside);
	one = good_instance(w);
	assert_false(take(one, "shop", 3));
	assert_int_equal(room(one, "two", 3), 2);
	assert_false(take(one, "one", 3));
	meter_free(one);
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 9);
}

static void test_missing(void **state)
{
	struct world *w = *state;
	struct meter *m;

	assert_int_equal(rmdir(w->dir), 0);
	m = instance(w);
	assert_non_null(w->warning);
	assert_non_null(strstr(w->warning, "No such file or directory"));
	assert_false(meter_is_working(m));
	assert_int_equal(room(m, "shop", 3), 3);
	assert_int_equal(mkdir(w->dir, 0700), 0);
	assert_true(meter_sync(m));
	assert_true(meter_is_working(m));
	meter_free(m);
	m = good_instance(w);
	assert_false(take(m, "shop", 3));
	meter_free(m);
}

/* For those that root's rights would spare. */
static int as_nobody(struct world *w, int (*f)(struct world *w))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		if (geteuid() == 0 &&
		    (setgid(65534) != 0 || setuid(65534) != 0))
			_exit(100);
		_exit(f(w));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define WANT(x)                                                                \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "line %d: %s\n", __LINE__, #x);        \
			return 1;                                              \
		}                                                              \
	} while (0)

static int in_closed_folder(struct world *w)
{
	struct meter *m = instance(w);

	WANT(w->warning != NULL);
	WANT(strstr(w->warning, "Permission denied") != NULL);
	WANT(room(m, "shop", 3) == 3);
	WANT(!meter_sync(m));
	WANT(!take(m, "shop", 3));
	meter_free(m);
	return 0;
}

static int in_read_only_file(struct world *w)
{
	struct meter *m = instance(w);

	WANT(w->warning != NULL);
	WANT(strstr(w->warning, "readonly") != NULL);
	WANT(!meter_is_working(m));
	WANT(room(m, "shop", 5) == 3); /* it was read */
	WANT(!meter_sync(m));
	WANT(!take(m, "shop", 5));
	meter_free(m);
	return 0;
}

static void test_read_only(void **state)
{
	struct world *w = *state;
	struct meter *m;

	assert_int_equal(chmod(w->dir, 0555), 0);
	assert_int_equal(as_nobody(w, in_closed_folder), 0);
	assert_int_equal(chmod(w->dir, 0), 0);
	assert_int_equal(as_nobody(w, in_closed_folder), 0);
	/* a file of another user */
	assert_int_equal(chmod(w->dir, 0755), 0);
	if (geteuid() != 0)
		return;
	m = good_instance(w);
	assert_true(take(m, "shop", 5));
	assert_true(take(m, "shop", 5));
	meter_free(m);
	assert_int_equal(chmod(w->file, 0644), 0);
	chmod(arena_printf(w->a, "%s-wal", w->file), 0644);
	chmod(arena_printf(w->a, "%s-shm", w->file), 0644);
	assert_int_equal(as_nobody(w, in_read_only_file), 0);
}

/* No room: EFBIG, and a signal that would end the process. */
static void test_full(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	const int old = log_begin(w);
	struct rlimit limit, before;
	char login[32];
	char *log;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(take(m, "shop", 2));
	assert_true(meter_sync(m));
	limit = before;
	limit.rlim_cur = 150000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 4000; i++) {
		snprintf(login, sizeof(login), "login%d", i);
		assert_true(take(m, login, 2));
	}
	assert_false(meter_sync(m));
	assert_false(meter_sync(m));
	assert_true(take(m, "shop", 2));
	assert_false(take(m, "shop", 2));
	assert_false(meter_sync(m));
	assert_false(meter_is_working(m));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(meter_sync(m));
	assert_true(meter_is_working(m));
	log = log_back(w, old);
	assert_int_equal(times(log, "counting goes on in memory"), 1);
	assert_int_equal(times(log, "works again"), 1);
	free(log);
	meter_free(m);
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 4002);
	m = good_instance(w);
	assert_false(take(m, "shop", 2));
	assert_int_equal(room(m, "login3999", 2), 1);
	meter_free(m);
}

/* The end comes while there is no room. */
static void test_full_at_end(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w);
	struct rlimit limit, before;
	char login[32];

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(take(m, "shop", 2));
	assert_true(meter_sync(m));
	limit = before;
	limit.rlim_cur = 150000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 4000; i++) {
		snprintf(login, sizeof(login), "login%d", i);
		assert_true(take(m, login, 2));
	}
	meter_free(m);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	m = good_instance(w); /* the file is whole */
	assert_int_equal(room(m, "shop", 2), 1);
	meter_free(m);
}

static void test_locked(void **state)
{
	struct world *w = *state;
	struct meter *m = good_instance(w), *late;
	sqlite3 *db = open_file(w);
	int64_t begin, frees;

	assert_true(take(m, "shop", 5));
	assert_true(meter_sync(m));
	sql_on(db, "BEGIN IMMEDIATE");
	assert_true(take(m, "shop", 5));
	begin = clock_mono_ms();
	assert_false(meter_sync(m));
	assert_true(clock_mono_ms() - begin < 2000);
	/* one that starts reads nothing, or what it can, and goes on */
	begin = clock_mono_ms();
	late = instance(w);
	assert_true(clock_mono_ms() - begin < 2000);
	assert_non_null(w->warning);
	assert_non_null(strstr(w->warning, "locked"));
	assert_true(take(late, "late", 5));
	/* messages do not wait while the thread does */
	for (int64_t i = 0, until = clock_mono_ms() + 250;
	     clock_mono_ms() < until; i++) {
		begin = clock_mono_ms();
		take_of(m, "quick", 10, 1, &frees);
		assert_true(clock_mono_ms() - begin < 200);
	}
	begin = clock_mono_ms();
	meter_free(m);
	assert_true(clock_mono_ms() - begin < 1500);
	sql_on(db, "ROLLBACK");
	sqlite3_close(db);
	assert_true(meter_sync(late));
	assert_int_equal(room(late, "late", 5), 4);
	/* what was not written before the end is lost */
	assert_int_equal(room(late, "shop", 5), 4);
	meter_free(late);
}

/* ---- processes and threads
 * ------------------------------------------------------------- */

#define PROCESSES 6

static int count_all(struct world *w, int number, int start)
{
	char login[16];
	struct meter *m;

	snprintf(login, sizeof(login), "l%d", number);
	if (read(start, &(char){0}, 1) != 0)
		return 1;
	m = instance(w);
	for (int i = 1; i <= 200; i++) {
		take(m, "shop", COUNT_MAX);
		take(m, login, COUNT_MAX);
		if (i % 50 == 0)
			meter_sync(m);
	}
	meter_free(m);
	return w->warning == NULL ? 0 : 1;
}

/* They make the file at the same moment, and write all the time. */
static void run_processes(struct world *w)
{
	pid_t v[PROCESSES];
	int start[2];

	assert_int_equal(pipe(start), 0);
	for (int i = 0; i < PROCESSES; i++) {
		v[i] = fork();
		if (v[i] == 0) {
			close(start[1]);
			_exit(count_all(w, i, start[0]));
		}
	}
	close(start[0]);
	close(start[1]); /* they were waiting for this */
	for (int i = 0; i < PROCESSES; i++) {
		int status = -1;

		assert_int_equal(waitpid(v[i], &status, 0), v[i]);
		assert_int_equal(status, 0);
	}
}

static void test_processes(void **state)
{
	struct world *w = *state;
	struct meter *m;

	for (int i = 0; i < 3; i++) {
		remove_files(w);
		run_processes(w);
		assert_int_equal(ask(w, "SELECT messages FROM counts "
					"WHERE login = 'shop'"),
				 200 * PROCESSES);
		assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"),
				 400 * PROCESSES);
	}
	m = good_instance(w);
	assert_int_equal(meter_logins(m), PROCESSES + 1);
	meter_free(m);
}

#define THREADS 4
#define TAKES	4000
#define NLOGINS 50

struct worker {
	struct meter *m;
	int64_t taken[NLOGINS];
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *k = arg;
	char login[16];

	for (int i = 0; i < TAKES; i++) {
		int64_t frees = 0;
		int n = (i * 7 + i / 3) % NLOGINS;

		snprintf(login, sizeof(login), "l%d", n);
		if (take_of(k->m, login, 50, 1, &frees))
			k->taken[n]++;
		if (i % 500 == 0)
			meter_sync(k->m);
		if (i % 1000 == 999)
			now += 100;
	}
	return NULL;
}

/* Two instances with four threads each: nothing is lost, nothing doubled, and
 * an instance by itself never goes over. */
static void test_threads(void **state)
{
	struct world *w = *state;
	struct meter *m[2] = {good_instance(w), good_instance(w)};
	static struct worker k[2 * THREADS];
	int64_t total = 0;

	for (size_t i = 0; i < 2 * THREADS; i++) {
		k[i] = (struct worker){.m = m[i % 2]};
		assert_int_equal(
			pthread_create(&k[i].thread, NULL, work, &k[i]), 0);
	}
	for (size_t i = 0; i < 2 * THREADS; i++)
		pthread_join(k[i].thread, NULL);
	for (size_t n = 0; n < NLOGINS; n++) {
		int64_t sum[2] = {0};

		for (size_t i = 0; i < 2 * THREADS; i++)
			sum[i % 2] += k[i].taken[n];
		assert_true(sum[0] <= 50 && sum[1] <= 50);
		assert_true(sum[0] + sum[1] >= 50);
		total += sum[0] + sum[1];
	}
	assert_true(meter_sync(m[0]));
	assert_true(meter_sync(m[1]));
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), total);
	for (size_t n = 0; n < NLOGINS; n++) {
		char login[16];

		snprintf(login, sizeof(login), "l%zu", n);
		assert_false(take(m[1], login, 50));
	}
	meter_free(m[0]);
	meter_free(m[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(memory),
		TEST(restart),
		TEST(restart_day),
		TEST(instances),
		TEST(by_itself),
		TEST(killed),
		TEST(killed_often),
		TEST(many),
		TEST(forgets),
		TEST(clock_back),
		TEST(clock_back_restart),
		TEST(clock_forward),
		TEST(values),
		TEST(types),
		TEST(generation),
		TEST(no_database),
		TEST(other_database),
		TEST(damaged),
		TEST(damaged_running),
		TEST(unsafe),
		TEST(mode),
		TEST(linked_folder),
		TEST(removed),
		TEST(replaced),
		TEST(moved),
		TEST(missing),
		TEST(read_only),
		TEST(full),
		TEST(full_at_end),
		TEST(locked),
		TEST(processes),
		TEST(threads),
	};

	return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
