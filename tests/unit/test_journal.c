/*
 * store/journal: records and counts that outlive a restart, from a queue that
 * never waits; a file that fails in every way that could be thought of; what
 * is erased is gone.
 *
 * journal_free() writes what is in the queue, so most tests need not wait for
 * the thread; for others its seconds are short.  SQLite is used here to look at
 * the file, and to spoil it.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "store/journal.h"

#define DAY 86400

/*
 * The clock is slow by so much, and the system's waiting is not: a pause of a
 * second ends after 50 ms.  What is compared with this clock alone takes its
 * time; `leap` makes that pass, too.
 */
#define SHORT 950
static _Atomic int64_t slow = SHORT, leap;

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() - (slow -= leap);
}

struct world {
	struct arena *a;
	const char *dir, *file;
	const char *warning; /* of the last instance() */
	struct journal_options o;
	int64_t now;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char dir[] = "/tmp/journal.XXXXXX";

	w->a = arena_new();
	if (mkdtemp(dir) == NULL)
		return -1;
	w->dir = arena_strdup(w->a, dir);
	w->file = arena_printf(w->a, "%s/journal.sqlite", dir);
	w->now = clock_unix();
	slow = SHORT;
	leap = 0;
	w->o = (struct journal_options){w->dir, true, 100000000, 30, 90};
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
	assert_int_equal(rmdir(w->dir), 0); /* nothing else is left */
	arena_free(w->a);
	free(w);
	return 0;
}

static struct journal *instance(struct world *w)
{
	return journal_new(w->a, &w->o, &w->warning);
}

/* An instance of which nothing is wrong. */
static struct journal *good_instance(struct world *w)
{
	struct journal *j = instance(w);

	if (w->warning != NULL)
		fail_msg("%s", w->warning);
	return j;
}

static struct journal_file *open_journal(struct world *w, bool write)
{
	const char *error = NULL;
	struct journal_file *f = journal_open(w->a, w->dir, write, &error);

	if (f == NULL)
		fail_msg("%s", error);
	assert_null(error);
	return f;
}

/* The counters once every one of `n` entries is written or dropped. */
static struct journal_counters wait_for(struct journal *j, uint64_t n)
{
	const int64_t until = clock_mono_ms() + 4000;
	const struct timespec tick = {0, 5 * 1000 * 1000};
	struct journal_counters c;

	for (;;) {
		journal_counters_get(j, &c);
		if (c.written + c.dropped >= n || clock_mono_ms() >= until)
			return c;
		nanosleep(&tick, NULL);
	}
}

static struct ip ip_of(const char *text)
{
	struct ip ret = {0};

	if (text[0] != '\0')
		assert_true(ip_parse(slice_of(text), &ret));
	return ret;
}

/* A message without shadows. */
static struct journal_entry entry(struct world *w, const char *queue_id,
				  const char *record)
{
	return (struct journal_entry){
		.time = w->now,
		.queue_id = slice_of(queue_id),
		.message_id = SLICE("<m@example.com>"),
		.domain = "example.com",
		.author = SLICE("author@example.com"),
		.sender = SLICE("sender@example.net"),
		.record = record,
	};
}

static bool put(struct world *w, struct journal *j, const char *queue_id,
		const char *record)
{
	struct journal_entry e = entry(w, queue_id, record);

	return journal_put(j, &e);
}

static bool count_at(struct journal *j, int64_t time, const char *rule,
		     const char *domain, const char *client, bool reasoned)
{
	const struct journal_shadow s = {rule, "reject"};
	const struct journal_entry e = {.time = time,
					.domain = domain,
					.client = ip_of(client),
					.reasoned = reasoned,
					.nshadows = 1,
					.shadows = &s};

	return journal_put(j, &e);
}

/* How many records an id has. */
static size_t found(struct world *w, const char *id)
{
	struct journal_file *f = open_journal(w, false);
	const char *v[100];
	size_t n = journal_find(f, w->a, slice_of(id), v, 100);

	if (journal_error(f) != NULL)
		fail_msg("%s", journal_error(f));
	journal_close(f);
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

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return ret;
}

static bool is_whole(struct world *w)
{
	return ask(w, "SELECT integrity_check = 'ok' "
		      "FROM pragma_integrity_check") == 1;
}

static char *read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "r");
	struct stat st;
	char *ret;

	if (f == NULL || fstat(fileno(f), &st) != 0) {
		*n = 0;
		return calloc(1, 1);
	}
	ret = calloc(1, (size_t)st.st_size + 1);
	*n = fread(ret, 1, (size_t)st.st_size, f);
	fclose(f);
	return ret;
}

/* Do the bytes of the file or of its log have it? */
static bool has_bytes(struct world *w, const char *text)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
	bool ret = false;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t n;
		char *p = read_file(
			arena_printf(w->a, "%s%s", w->file, ends[i]), &n);

		ret = ret || memmem(p, n, text, strlen(text)) != NULL;
		free(p);
	}
	return ret;
}

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

static char *log_end(struct world *w, int old)
{
	const char *path = arena_printf(w->a, "%s.log", w->dir);
	char *text;
	size_t n;

	dup2(old, STDERR_FILENO);
	close(old);
	text = read_file(path, &n);
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

/* ---- records ------------------------------------------------------------- */

static void test_round_trip(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	struct journal_file *f;
	const char *v[3] = {NULL};

	assert_true(put(w, j, "Q1", "{\"n\": 1}"));
	assert_true(put(w, j, "Q2", "{\"n\": 2}"));
	assert_true(put(w, j, "Q2", "{\"n\": 3}"));
	journal_free(j);
	journal_free(NULL);
	f = open_journal(w, false);
	assert_int_equal(journal_find(f, w->a, SLICE("Q1"), v, 3), 1);
	assert_string_equal(v[0], "{\"n\": 1}");
	assert_int_equal(journal_find(f, w->a, SLICE("Q2"), v, 3), 2);
	assert_string_equal(v[0], "{\"n\": 3}");
	assert_string_equal(v[1], "{\"n\": 2}");
	assert_int_equal(journal_find(f, w->a, SLICE("<m@example.com>"), v, 3),
			 3);
	assert_int_equal(journal_find(f, w->a, SLICE("m@example.com"), v, 2),
			 2);
	assert_string_equal(v[0], "{\"n\": 3}");
	assert_int_equal(journal_find(f, w->a, SLICE("Q"), v, 3), 0);
	assert_int_equal(journal_find(f, w->a, SLICE("q1"), v, 3), 0);
	assert_int_equal(journal_find(f, w->a, SLICE(""), v, 3), 0);
	assert_int_equal(journal_find(f, w->a, SLICE("Q1"), v, 0), 0);
	assert_int_equal(journal_find(f, w->a, SLICE("<<"), v, 3), 0);
	assert_null(journal_error(f));
	journal_close(f);
	journal_close(NULL);
}

/* Nothing of an entry is borrowed, and slices have no NUL at their end. */
static void test_copied(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	struct slice id = check_heap("QUEUE", 5), of = check_heap("a@b.c", 5);
	struct slice *addresses = malloc(2 * sizeof(*addresses));
	struct journal_shadow *s = malloc(sizeof(*s));
	char *record = strdup("{\"x\": \"y\"}"), *rule = strdup("r");
	struct journal_entry e = {.time = w->now,
				  .queue_id = id,
				  .author = of,
				  .record = record,
				  .naddresses = 2,
				  .addresses = addresses,
				  .nshadows = 1,
				  .shadows = s};

	addresses[0] = addresses[1] = of;
	*s = (struct journal_shadow){rule, "tag"};
	assert_true(journal_put(j, &e));
	memset(record, 'z', strlen(record));
	memset(rule, 'z', strlen(rule));
	free((char *)(uintptr_t)id.p);
	free((char *)(uintptr_t)of.p);
	free(addresses);
	free(record);
	free(rule);
	free(s);
	journal_free(j);
	assert_int_equal(found(w, "QUEUE"), 1);
	assert_int_equal(ask(w, "SELECT count(*) FROM records WHERE "
				"author = 'a@b.c' AND message_id = '' AND "
				"record = '{\"x\": \"y\"}' AND "
				"addresses = 'a@b.c' || char(10) || 'a@b.c'"),
			 1);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts WHERE "
				"rule = 'r' AND action = 'tag'"),
			 1);
}

/* By themselves after a second, and counted. */
static void test_by_itself(void **state)
{
	struct world *w = *state;
	struct journal_counters c;
	struct journal *j;
	int64_t begin;

	slow = 0;
	j = good_instance(w);
	begin = clock_mono_ms();
	assert_true(put(w, j, "Q1", "{}"));
	assert_true(count_at(j, w->now, "r", "example.com", "", false));
	c = wait_for(j, 2);
	assert_true(clock_mono_ms() - begin > 800);
	assert_true(clock_mono_ms() - begin < 1500);
	assert_int_equal(c.written, 2);
	assert_int_equal(c.dropped, 0);
	assert_int_equal(found(w, "Q1"), 1);
	/* and at once when half of the room is taken */
	for (int i = 0; i < 500; i++)
		assert_true(put(w, j, "Q2", "{}"));
	c = wait_for(j, 502);
	assert_int_equal(c.written, 502);
	assert_true(clock_mono_ms() - begin < 1900);
	journal_free(j);
}

static void test_ids(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	struct journal_entry e = entry(w, "", "{}");
	char *id = arena_alloc(w->a, 3001);

	memset(id, 'x', 3000);
	id[0] = '<';
	id[2999] = '>';
	e.message_id = slice_of(id);
	assert_true(journal_put(j, &e));
	e.message_id = (struct slice){"<a\0b>", 5};
	assert_true(journal_put(j, &e));
	e.message_id = SLICE("<\xff\xfe@x>");
	assert_true(journal_put(j, &e));
	journal_free(j);
	assert_int_equal(found(w, id), 1);
	id[2999] = '\0';
	assert_int_equal(found(w, id + 1), 1);
	assert_int_equal(found(w, "\xff\xfe@x"), 1);
	assert_int_equal(found(w, "a"), 0);
	assert_int_equal(found(w, ""), 0);
	assert_int_equal(ask(w, "SELECT max(length(message_id)) FROM records"),
			 1000);
}

static void test_no_records(void **state)
{
	struct world *w = *state;
	struct journal *j;

	w->o.records = false;
	j = good_instance(w);
	assert_true(put(w, j, "Q1", "{}"));
	assert_true(count_at(j, w->now, "r", NULL, "", false));
	journal_free(j);
	assert_int_equal(found(w, "Q1"), 0);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 0);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 1);
}

/* Larger than any entry may be. */
static void test_large(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	struct journal_counters c;
	char *record = arena_alloc(w->a, 600001);

	memset(record, ' ', 600000);
	memcpy(record, "{}", 2);
	assert_false(put(w, j, "Q1", record));
	record[490000] = '\0';
	assert_true(put(w, j, "Q2", record));
	c = wait_for(j, 2);
	assert_int_equal(c.written, 1);
	assert_int_equal(c.dropped, 1);
	journal_free(j);
	assert_int_equal(found(w, "Q1"), 0);
	assert_int_equal(found(w, "Q2"), 1);
}

/* ---- the ring ------------------------------------------------------------ */

static char *json_of_size(struct world *w, size_t n)
{
	char *ret = arena_alloc(w->a, n + 1);

	memset(ret, ' ', n);
	ret[0] = '{';
	ret[n - 1] = '}';
	return ret;
}

/* `n` records of numbered ids, in steps that the queue has room for. */
static void fill(struct world *w, struct journal *j, int from, int to,
		 const char *record)
{
	struct journal_counters c;
	char id[32];

	journal_counters_get(j, &c);
	for (int i = from, n = 0; i < to; i++) {
		snprintf(id, sizeof(id), "Q%d", i);
		assert_true(put(w, j, id, record));
		if (++n % 500 == 0)
			wait_for(j, c.written + (uint64_t)n);
	}
}

static void test_size(void **state)
{
	struct world *w = *state;
	const char *record = json_of_size(w, 1500);
	struct journal *j;
	struct stat st;
	int64_t bytes;

	w->o.max_bytes = 2000000;
	j = good_instance(w);
	fill(w, j, 0, 5000, record);
	journal_free(j);
	bytes = ask(w, "SELECT sum(length(queue_id) + length(message_id) + "
		       "length(domain) + length(author) + length(sender) + "
		       "length(record) + 100) FROM records");
	if (bytes > 2000000 || bytes <= 1990000)
		fail_msg("%lld", (long long)bytes);
	assert_int_equal(stat(w->file, &st), 0);
	/* what is added before what is trimmed takes room, too */
	assert_true(st.st_size < 2000000 * 4 / 3 + 1000000);
	assert_int_equal(found(w, "Q4999"), 1);
	assert_int_equal(found(w, "Q3900"), 1);
	assert_int_equal(found(w, "Q3700"), 0);
	assert_int_equal(found(w, "Q0"), 0);
	/* a smaller ring, in more than one step, without a message */
	w->o.max_bytes = 20000;
	journal_free(good_instance(w));
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 11);
	assert_int_equal(found(w, "Q4999"), 1);
	w->o.max_bytes = 0;
	j = good_instance(w);
	assert_true(put(w, j, "Q", "{}"));
	journal_free(j);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 0);
	assert_true(is_whole(w));
}

static void test_age(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	const int64_t now = w->now;

	w->now = now - 30 * DAY + 3600;
	assert_true(put(w, j, "young", "{}"));
	w->now = now - 30 * DAY - 1;
	assert_true(put(w, j, "old", "{}"));
	w->now = now + 1000LL * DAY;
	assert_true(put(w, j, "future", "{}"));
	w->now = INT64_MIN;
	assert_true(put(w, j, "first", "{}"));
	w->now = now;
	assert_true(count_at(j, now - 90 * DAY, "r", "young", "", false));
	assert_true(count_at(j, now - 91 * DAY, "r", "old", "", false));
	assert_true(count_at(j, now - 95 * DAY, "r", "older", "", false));
	journal_free(j);
	assert_int_equal(found(w, "young"), 1);
	assert_int_equal(found(w, "old"), 0);
	assert_int_equal(found(w, "first"), 0);
	assert_int_equal(found(w, "future"), 1);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 1);
	/* without a message */
	w->o.record_days = 29;
	w->o.shadow_days = 89;
	journal_free(good_instance(w));
	assert_int_equal(found(w, "young"), 0);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 0);
}

/* ---- counts -------------------------------------------------------------- */

static void check_count(const struct journal_count *c, const char *rule,
			const char *domain, const char *network,
			int64_t messages, int64_t reasoned)
{
	assert_string_equal(c->rule, rule);
	assert_string_equal(c->action, "reject");
	assert_string_equal(c->domain, domain);
	assert_string_equal(c->network, network);
	assert_int_equal(c->messages, messages);
	assert_int_equal(c->reasoned, reasoned);
}

static void test_counts(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	const int64_t now = w->now;
	struct journal_file *f;
	struct journal_count c[9];

	count_at(j, now, "b", "example.com", "192.0.2.1", false);
	count_at(j, now, "b", "example.com", "192.0.2.255", true);
	count_at(j, now, "b", "example.com", "192.0.3.1", false);
	count_at(j, now, "a", "example.com", "2001:db8:1:2::3", false);
	count_at(j, now, "a", "example.com", "2001:db8:1:ffff::", true);
	count_at(j, now - 3 * DAY, "a", "example.com", "2001:db8:1::", true);
	count_at(j, now, "a", NULL, "", false);
	journal_free(j);
	f = open_journal(w, false);
	assert_int_equal(journal_shadows(f, w->a, 0, c, 9), 4);
	check_count(&c[0], "a", "example.com", "2001:db8:1::/48", 3, 2);
	check_count(&c[1], "a", "", "", 1, 0);
	check_count(&c[2], "b", "example.com", "192.0.2.0/24", 2, 1);
	check_count(&c[3], "b", "example.com", "192.0.3.0/24", 1, 0);
	assert_int_equal(journal_shadows(f, w->a, now, c, 9), 4);
	assert_int_equal(c[0].messages, 2);
	assert_int_equal(journal_shadows(f, w->a, now + 2 * DAY, c, 9), 0);
	assert_int_equal(journal_shadows(f, w->a, 0, c, 1), 1);
	assert_int_equal(journal_shadows(f, w->a, 0, c, 0), 0);
	assert_null(journal_error(f));
	journal_close(f);
	/* a restart adds */
	j = good_instance(w);
	count_at(j, now, "b", "example.com", "192.0.3.7", false);
	journal_free(j);
	assert_int_equal(ask(w, "SELECT messages FROM counts WHERE "
				"network = '192.0.3.0/24'"),
			 2);
}

/* A day has no more than so many rows, whatever senders invent. */
static void test_counts_bound(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	char domain[32];

	for (int i = 0; i < 11000; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		assert_true(count_at(j, w->now, i % 2 ? "a" : "b", domain,
				     "192.0.2.1", i % 4 == 0));
		if (i % 500 == 499)
			wait_for(j, (uint64_t)i + 1);
	}
	assert_true(count_at(j, w->now, "b", "d0.example", "192.0.2.1", false));
	assert_true(count_at(j, w->now - DAY, "b", "another.example",
			     "192.0.2.1", false));
	journal_free(j);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 9003);
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), 11002);
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts WHERE "
				"domain = 'other' AND network = 'other'"),
			 2000);
	assert_int_equal(ask(w, "SELECT sum(reasoned) FROM counts WHERE "
				"domain = 'other' AND rule = 'b'"),
			 500);
	assert_int_equal(ask(w, "SELECT messages FROM counts WHERE "
				"domain = 'd0.example'"),
			 2);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts WHERE "
				"domain = 'another.example'"),
			 1);
	/* and as many rules as that day could have */
	j = good_instance(w);
	for (int i = 0; i < 1500; i++) {
		snprintf(domain, sizeof(domain), "rule%d", i);
		assert_true(count_at(j, w->now, domain, "x", "", false));
		if (i % 500 == 499)
			wait_for(j, (uint64_t)i + 1);
	}
	journal_free(j);
	assert_int_equal(
		ask(w, "SELECT max(n) FROM (SELECT count(*) AS n FROM counts "
		       "GROUP BY day)"),
		10000);
}

/* ---- the queue ----------------------------------------------------------- */

/* Somebody else has the lock: the queue takes what it has room for. */
static void test_full_queue(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	sqlite3 *db = open_file(w);
	struct journal_counters c;
	int taken = 0;

	sql_on(db, "BEGIN IMMEDIATE");
	for (int i = 0; i < 1500; i++)
		taken += put(w, j, "Q1", "{}") ? 1 : 0;
	assert_int_equal(taken, 1000);
	journal_counters_get(j, &c);
	assert_int_equal(c.written, 0);
	assert_int_equal(c.dropped, 500);
	sql_on(db, "ROLLBACK");
	sqlite3_close(db);
	c = wait_for(j, 1500);
	assert_int_equal(c.written, 1000);
	assert_true(put(w, j, "Q2", "{}"));
	journal_free(j);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 1001);
	assert_int_equal(found(w, "Q2"), 1);
}

static void test_full_bytes(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	const char *record = json_of_size(w, 100000);
	sqlite3 *db = open_file(w);
	int taken = 0;

	sql_on(db, "BEGIN IMMEDIATE");
	for (int i = 0; i < 200; i++)
		taken += put(w, j, "Q1", record) ? 1 : 0;
	assert_int_equal(taken, 8 * 1024 * 1024 / 100500);
	assert_true(put(w, j, "Q2", "{}")); /* a small one has room */
	sql_on(db, "ROLLBACK");
	sqlite3_close(db);
	wait_for(j, 201);
	journal_free(j);
	assert_int_equal(found(w, "Q2"), 1);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), taken + 1);
}

/* Nobody waits for a lock; who stops waits a second. */
static void test_locked(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w), *late;
	sqlite3 *db = open_file(w);
	int64_t begin = clock_mono_ms(), one;
	const int fd = log_begin(w);
	struct journal_file *f;
	const char *v[9];
	char *log;

	sql_on(db, "BEGIN IMMEDIATE");
	while (clock_mono_ms() - begin < 1300) {
		one = clock_mono_ms();
		put(w, j, "Q1", "{}");
		assert_true(clock_mono_ms() - one < 200);
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	begin = clock_mono_ms();
	late = instance(w);
	assert_true(clock_mono_ms() - begin < 1500);
	assert_non_null(w->warning);
	assert_non_null(strstr(w->warning, "locked"));
	assert_true(put(w, late, "Q2", "{\"n\": 2}"));
	nanosleep(&(struct timespec){0, 100000000}, NULL); /* it is taken */
	assert_true(put(w, late, "Q3", "{\"n\": 3}"));
	begin = clock_mono_ms();
	journal_free(j);
	assert_true(clock_mono_ms() - begin < 1500);
	/* Q2 has waited for nothing, and is still before Q3 */
	nanosleep(&(struct timespec){0, 400000000}, NULL);
	assert_false(journal_is_working(late));
	sql_on(db, "ROLLBACK");
	sqlite3_close(db);
	journal_free(late);
	log = log_end(w, fd);
	assert_int_equal(times(log, "works again"), 1);
	assert_int_equal(times(log, "leave no record"), 1); /* of j */
	free(log);
	assert_int_equal(found(w, "Q1"), 0);
	f = open_journal(w, false);
	assert_int_equal(journal_find(f, w->a, SLICE("<m@example.com>"), v, 9),
			 2);
	assert_string_equal(v[0], "{\"n\": 3}");
	assert_string_equal(v[1], "{\"n\": 2}");
	journal_close(f);
}

/* ---- several at once ----------------------------------------------------- */

#define THREADS 4
#define PUTS	1500

struct worker {
	struct world *w;
	struct journal *j;
	int number;
	uint64_t put, dropped;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *k = arg;
	const struct journal_shadow s = {"r", "reject"};
	char id[32];

	for (int i = 0; i < PUTS; i++) {
		struct journal_entry e;
		struct journal_counters c;

		snprintf(id, sizeof(id), "T%d-%d", k->number, i);
		e = entry(k->w, id, "{\"a\": [1, 2]}");
		e.nshadows = 1;
		e.shadows = &s;
		if (journal_put(k->j, &e))
			k->put++;
		else
			k->dropped++;
		if (i % 100 == 0)
			nanosleep(&(struct timespec){0, 2000000}, NULL);
		journal_counters_get(k->j, &c);
	}
	return NULL;
}

/* Two instances of four threads each write, and a command reads. */
static void test_threads(void **state)
{
	struct world *w = *state;
	struct journal *j[2] = {good_instance(w), good_instance(w)};
	struct journal_file *f = open_journal(w, false);
	static struct worker k[2 * THREADS];
	struct journal_count counts[4];
	struct journal_counters c[2];
	uint64_t put = 0, dropped = 0;
	const char *v[2];

	for (int i = 0; i < 2 * THREADS; i++) {
		k[i] = (struct worker){.w = w, .j = j[i % 2], .number = i};
		assert_int_equal(
			pthread_create(&k[i].thread, NULL, work, &k[i]), 0);
	}
	for (int i = 0; i < 50; i++) {
		journal_find(f, w->a, SLICE("T1-7"), v, 2);
		journal_shadows(f, w->a, 0, counts, 4);
		if (journal_error(f) != NULL)
			fail_msg("%s", journal_error(f));
	}
	for (int i = 0; i < 2 * THREADS; i++) {
		pthread_join(k[i].thread, NULL);
		put += k[i].put;
		dropped += k[i].dropped;
	}
	for (int i = 0; i < 2; i++) {
		c[i] = wait_for(j[i], THREADS * PUTS);
		journal_free(j[i]);
	}
	assert_int_equal(c[0].written + c[1].written, put);
	assert_int_equal(c[0].dropped + c[1].dropped, dropped);
	assert_true(put >= 2000);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), put);
	assert_int_equal(ask(w, "SELECT sum(messages) FROM counts"), put);
	assert_int_equal(journal_shadows(f, w->a, 0, counts, 4), 1);
	assert_int_equal(counts[0].messages, put);
	journal_close(f);
	assert_true(is_whole(w));
}

/* Killed at any point: the file is whole, and has what was a second old. */
static void test_killed(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 12; i++) {
		int status = 0;
		pid_t child = fork();

		if (child == 0) {
			struct journal *j = instance(w);
			struct itimerspec at = {.it_value.tv_nsec =
							1000000 * (1 + 7 * i)};
			timer_t timer;
			struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
						 .sigev_signo = SIGKILL};

			put(w, j, "first", "{}");
			wait_for(j, 1); /* a second of this clock */
			timer_create(CLOCK_MONOTONIC, &event, &timer);
			timer_settime(timer, 0, &at, NULL);
			for (;;)
				put(w, j, "Q", "{\"x\": 1}");
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		assert_int_equal(found(w, "first"), i + 1);
		assert_true(is_whole(w));
		if (i >= 3 && i % 2 == 0) /* and one goes on with it */
			journal_free(good_instance(w));
	}
}

/* ---- values of a record -------------------------------------------------- */

#define OBJECT                                                                 \
	"{\"a\": {\"b\": \"text\", \"n\": 12, \"t\": true, \"f\": false, "     \
	"\"z\": null, \"o\": {\"x\": [1]}, \"e\": \"\"}, "                     \
	"\"list\": [\"one\", 2, null, {\"x\": \"y\"}, true], \"none\": []}"

struct value {
	const char *json, *path, *want;
};

static const struct value values[] = {
	{OBJECT, "$.a.b", "text"},
	{OBJECT, "$.a.n", "12"},
	{OBJECT, "$.a.t", "true"},
	{OBJECT, "$.a.f", "false"},
	{OBJECT, "$.a.z", NULL},
	{OBJECT, "$.a.e", ""},
	{OBJECT, "$.a.o", "{\"x\":[1]}"},
	{OBJECT, "$.a.o.x", "[1]"},
	{OBJECT, "$.a.o.x[0]", "1"},
	{OBJECT, "$.list[0]", "one"},
	{OBJECT, "$.list[9]", NULL},
	{OBJECT, "$.a.b.c", NULL},
	{OBJECT, "$.nothing", NULL},
	{OBJECT, "a.b", NULL},
	{OBJECT, "", NULL},
	{OBJECT, "$.a[", NULL},
	{"{\"a\": ", "$.a", NULL},
	{"", "$.a", NULL},
	{"\xff", "$", NULL},
	{"{\"a\": 9223372036854775807}", "$.a", "9223372036854775807"},
	{"{\"a\": \"\\u00c3\\u00a4 \\u00ff\\\\ \\\" \\u000a\"}", "$.a",
	 "\xc3\xa4 \xff\\ \" \n"},
	{"{\"a\": \"\\u20ac\"}", "$.a", "\xe2\x82\xac"},
	{"{\"a\": \"x\\u0000y\"}", "$.a", "x"},
};

static void test_json(void **state)
{
	struct world *w = *state;
	struct journal_file *f;
	const char **v = NULL;

	journal_free(good_instance(w));
	f = open_journal(w, false);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct value *t = &values[i];
		const char *got = journal_json(f, w->a, t->json, t->path);

		if ((got == NULL) != (t->want == NULL) ||
		    (got != NULL && strcmp(got, t->want) != 0))
			fail_msg("%s of %s: %s", t->path, t->json, got);
	}
	assert_int_equal(journal_json_array(f, w->a, OBJECT, "$.list", &v), 5);
	assert_string_equal(v[0], "one");
	assert_string_equal(v[1], "2");
	assert_string_equal(v[2], "");
	assert_string_equal(v[3], "{\"x\":\"y\"}");
	assert_string_equal(v[4], "true");
	assert_int_equal(journal_json_array(f, w->a, OBJECT, "$.none", &v), 0);
	assert_int_equal(journal_json_array(f, w->a, OBJECT, "$.a", &v), 0);
	assert_int_equal(journal_json_array(f, w->a, OBJECT, "$.a.b", &v), 0);
	assert_int_equal(journal_json_array(f, w->a, OBJECT, "$.no", &v), 0);
	assert_int_equal(journal_json_array(f, w->a, "{", "$.a", &v), 0);
	assert_int_equal(journal_json_array(f, w->a, OBJECT, "x", &v), 0);
	journal_close(f);
}

/* Every byte comes back as base/json.h was given it. */
static void test_json_bytes(void **state)
{
	struct world *w = *state;
	struct journal_file *f;
	struct strbuf b;
	char all[256];

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	strbuf_init(&b, w->a, 10000);
	strbuf_adds(&b, "{");
	json_text(&b, "all", all);
	strbuf_adds(&b, "}");
	journal_free(good_instance(w));
	f = open_journal(w, false);
	assert_string_equal(journal_json(f, w->a, strbuf_cstr(&b), "$.all"),
			    all);
	journal_close(f);
}

static void test_json_large(void **state)
{
	struct world *w = *state;
	struct journal_file *f;
	const char **v;
	struct strbuf b;

	strbuf_init(&b, w->a, 400000);
	strbuf_adds(&b, "{\"a\": [0");
	for (int i = 1; i < 20000; i++)
		strbuf_printf(&b, ",%d", i);
	strbuf_adds(&b, "]}");
	journal_free(good_instance(w));
	f = open_journal(w, false);
	assert_int_equal(
		journal_json_array(f, w->a, strbuf_cstr(&b), "$.a", &v), 10000);
	assert_string_equal(v[9999], "9999");
	/* deeper than anybody needs */
	b.n = 0;
	for (int i = 0; i < 100000; i++)
		strbuf_addc(&b, '[');
	assert_null(journal_json(f, w->a, strbuf_cstr(&b), "$"));
	assert_int_equal(journal_json_array(f, w->a, strbuf_cstr(&b), "$", &v),
			 0);
	journal_close(f);
}

/* ---- a file that is not trusted ------------------------------------------ */

/* Values that we would not have written; what the commands make of them. */
static void test_values(void **state)
{
	struct world *w = *state;
	struct journal *j;
	struct journal_file *f;
	struct journal_count c[20];
	const char *v[9];

	journal_free(good_instance(w));
	sql(w, "INSERT INTO records VALUES(-5, 1, 1, 0, 0, '', '', '', '', '', "
	       "'', 'x')");
	j = good_instance(w);
	assert_true(put(w, j, "Q1", "{}"));
	journal_free(j);
	assert_int_equal(found(w, "Q1"), 1);
	/* no JSON; too long a name; counts out of all bounds */
	sql(w, "UPDATE records SET record = 'no JSON' WHERE queue_id = 'Q1';"
	       "INSERT INTO counts VALUES(30000, 'a', 'b', "
	       "hex(zeroblob(600)), '', 5, 5);"
	       "INSERT INTO counts VALUES(30000, 'b', 'b', 'd', 'n', "
	       "9223372036854775807, -9223372036854775808);"
	       "INSERT INTO counts VALUES(30001, 'b', 'b', 'd', 'n', "
	       "9223372036854775807, 1);"
	       "INSERT INTO counts VALUES(30000, 'c', 'b', 'd', 'n', -7, 9);"
	       "INSERT INTO counts VALUES(-9223372036854775807, 'd', 'b', 'd', "
	       "'n', 1, 1)");
	f = open_journal(w, false);
	assert_int_equal(journal_find(f, w->a, SLICE("Q1"), v, 9), 0);
	assert_int_equal(journal_shadows(f, w->a, 0, c, 20), 1);
	assert_string_equal(c[0].rule, "b");
	assert_int_equal(c[0].messages, 2000000000000);
	assert_int_equal(c[0].reasoned, 1);
	assert_null(journal_error(f));
	journal_close(f);
	/* a day of such is counted on */
	sql(w, "INSERT INTO counts SELECT unixepoch() / 86400, 'r', 'reject', "
	       "'big', '', 9223372036854775807, -4");
	j = good_instance(w);
	assert_true(count_at(j, clock_unix(), "r", "big", "", true));
	assert_true(put(w, j, "Q2", "{}"));
	journal_free(j);
	assert_int_equal(found(w, "Q2"), 1);
	assert_int_equal(ask(w, "SELECT messages FROM counts WHERE "
				"domain = 'big' AND reasoned = 1"),
			 1000000000001);
}

/* The last id of all is taken. */
static void test_no_id(void **state)
{
	struct world *w = *state;
	struct journal *j;
	struct journal_counters c;

	journal_free(good_instance(w));
	sql(w,
	    "INSERT INTO records VALUES(9223372036854775807, 1, 1, 0, 0, '', "
	    "'', '', '', '', '', '')");
	j = instance(w);
	assert_non_null(w->warning);
	assert_non_null(strstr(w->warning, "no usable id"));
	assert_true(put(w, j, "Q1", "{}"));
	c = wait_for(j, 1);
	assert_int_equal(c.dropped, 1);
	journal_free(j);
}

/* All but the one thing works that matters: the place of the next record is
 * taken.  That is told once, and does not "work again" in between. */
static void test_no_place(void **state)
{
	struct world *w = *state;
	const int fd = log_begin(w);
	struct journal *j = good_instance(w);
	char *log;

	sql(w, "INSERT INTO records VALUES(5, 0, unixepoch(), 0, 0, '', '', "
	       "'', '', '', '', '')");
	for (uint64_t i = 1; i <= 2; i++) {
		assert_true(put(w, j, "Q1", "{}"));
		assert_int_equal(wait_for(j, i).dropped, i);
		nanosleep(&(struct timespec){0, 150000000}, NULL);
		assert_false(journal_is_working(j));
	}
	/* who starts with it is told at once */
	journal_free(instance(w));
	assert_non_null(w->warning);
	assert_non_null(strstr(w->warning, "UNIQUE"));
	sql(w, "UPDATE records SET bytes = 1");
	assert_true(put(w, j, "Q2", "{}"));
	journal_free(j);
	log = log_end(w, fd);
	assert_int_equal(times(log, "leave no record"), 1);
	assert_int_equal(times(log, "works again"), 1);
	free(log);
	assert_int_equal(found(w, "Q2"), 1);
}

/* A record that is larger than all that is read, and of another type. */
static void test_types(void **state)
{
	struct world *w = *state;
	struct journal_file *f;
	struct journal_count c[4];
	const char *v[4];

	journal_free(good_instance(w));
	sql(w, "CREATE TABLE x AS SELECT name AS n, sql AS text FROM "
	       "sqlite_schema;"
	       "PRAGMA writable_schema = ON;"
	       "UPDATE sqlite_schema SET sql = replace(replace(replace(sql, "
	       "'STRICT, ', ''), ' STRICT', ''), ' NOT NULL', '') "
	       "WHERE type = 'table' AND name <> 'x'");
	sql(w,
	    "INSERT INTO records VALUES(1, 'y', 1, 2166136261, 'x', x'00', 7, "
	    "NULL, 1.5, NULL, NULL, x'7b7d');"
	    "INSERT INTO records VALUES(2, 1, 'x', x'00', NULL, 'Q', 'M', "
	    "NULL, NULL, NULL, NULL, zeroblob(2000000));"
	    "INSERT INTO counts VALUES(30000, x'ff', 1, 2, 3, 'x', 'y');"
	    "INSERT INTO counts VALUES(30000, 'a', 'b', 'c', 'd', 'x', "
	    "x'00')");
	sql(w, "PRAGMA writable_schema = ON;"
	       "UPDATE sqlite_schema SET sql = (SELECT text FROM x WHERE "
	       "n = name) WHERE sql IS NOT NULL;"
	       "DELETE FROM sqlite_schema WHERE name = 'x'");
	f = open_journal(w, true);
	journal_find(f, w->a, SLICE("Q"), v, 4);
	journal_find(f, w->a, SLICE("7"), v, 4);
	journal_shadows(f, w->a, 0, c, 4);
	journal_close(f);
	journal_free(instance(w));
}

static void write_file(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* It is told, it stays as it is, and the daemon goes on. */
static void check_refused(struct world *w, const char *why)
{
	size_t before, after;
	char *old = read_file(w->file, &before), *new;
	const int fd = log_begin(w);
	struct journal *j = instance(w);
	struct journal_counters c;
	const char *error = NULL;
	char *log;

	put(w, j, "Q1", "{}");
	c = wait_for(j, 1);
	put(w, j, "Q1", "{}");
	journal_free(j);
	log = log_end(w, fd);
	new = read_file(w->file, &after);
	if (w->warning == NULL || strstr(w->warning, why) == NULL)
		fail_msg("%s: %s", why, w->warning);
	assert_int_equal(c.dropped, 1);
	assert_string_equal(log, ""); /* the warning was all */
	assert_int_equal(before, after);
	assert_memory_equal(old, new, after);
	free(log);
	free(old);
	free(new);
	assert_null(journal_open(w->a, w->dir, false, &error));
	if (error == NULL || strstr(error, why) == NULL)
		fail_msg("%s: %s", why, error);
	assert_null(journal_open(w->a, w->dir, true, &error));
}

static void test_garbage(void **state)
{
	struct world *w = *state;
	char noise[20000];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * 2654435761u >> 13);
	write_file(w->file, noise, sizeof(noise));
	check_refused(w, "not a database");
	write_file(w->file, "short", 5);
	check_refused(w, "not a database");
	remove_files(w);
	sql(w, "CREATE TABLE counts(x); INSERT INTO counts VALUES(1)");
	check_refused(w, "no file of this version");
	remove_files(w);
	journal_free(good_instance(w));
	sql(w, "PRAGMA user_version = 2; PRAGMA journal_mode = DELETE");
	check_refused(w, "no file of this version");
	remove_files(w);
	journal_free(good_instance(w));
	sql(w, "CREATE TRIGGER t AFTER INSERT ON records BEGIN "
	       "DELETE FROM records; END; PRAGMA journal_mode = DELETE");
	{
		struct journal *j = good_instance(w);

		assert_true(put(w, j, "Q1", "{}"));
		journal_free(j);
		assert_int_equal(found(w, "Q1"), 1); /* it did not run */
	}
}

/* A file that is broken further in, by and by. */
static void test_damaged(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	struct journal_file *f;
	const char *error = NULL;
	const char *v[9];
	struct journal_counters c;
	char *bytes, *log;
	size_t n;
	int fd;

	fill(w, j, 0, 900, "{\"x\": \"y\"}");
	journal_free(j);
	sql(w, "PRAGMA journal_mode = DELETE");
	bytes = read_file(w->file, &n);
	assert_true(n > 10 * 16384);
	memset(bytes + 16384, 0x5a, n - 16384);
	write_file(w->file, bytes, n);
	free(bytes);
	fd = log_begin(w);
	j = instance(w);
	for (int i = 0; i < 2; i++) {
		put(w, j, "Q1", "{}");
		c = wait_for(j, (uint64_t)i + 1);
	}
	assert_int_equal(c.dropped, 2);
	journal_free(j);
	log = log_end(w, fd);
	assert_non_null(w->warning);
	assert_string_equal(log, "");
	free(log);
	f = journal_open(w->a, w->dir, true, &error);
	if (f != NULL) {
		assert_int_equal(journal_find(f, w->a, SLICE("Q1"), v, 9), 0);
		assert_non_null(journal_error(f));
		assert_int_equal(journal_forget(f, w->a, "example.com", &error),
				 -1);
		assert_non_null(strstr(error, "malformed"));
		/* and nothing worse on the second call */
		assert_int_equal(journal_find(f, w->a, SLICE("Q1"), v, 9), 0);
	}
	journal_close(f);
}

static void test_unsafe(void **state)
{
	struct world *w = *state;
	const char *aside = arena_printf(w->a, "%s.aside", w->dir);

	assert_int_equal(chmod(w->dir, 0777), 0);
	check_refused(w, "others may write to the folder");
	assert_int_equal(chmod(w->dir, 01777), 0);
	check_refused(w, "others may write to the folder");
	assert_int_equal(chmod(w->dir, 0770), 0);
	journal_free(good_instance(w));
	assert_int_equal(chmod(w->file, 0646), 0);
	check_refused(w, "others may write it");
	assert_int_equal(chmod(w->file, 0660), 0);
	journal_free(good_instance(w));
	assert_int_equal(rename(w->file, aside), 0);
	assert_int_equal(symlink(aside, w->file), 0);
	check_refused(w, "no regular file");
	assert_int_equal(unlink(w->file), 0);
	assert_int_equal(mkfifo(w->file, 0600), 0);
	assert_int_equal(unlink(aside), 0);
	w->warning = NULL;
	journal_free(instance(w));
	assert_non_null(strstr(w->warning, "no regular file"));
}

static void test_mode(void **state)
{
	struct world *w = *state;
	const mode_t old = umask(0);
	struct stat st;

	journal_free(good_instance(w));
	umask(old);
	assert_int_equal(stat(w->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(stat(arena_printf(w->a, "%s-wal", w->file), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

/* ---- a file that comes and goes ------------------------------------------ */

static void test_missing(void **state)
{
	struct world *w = *state;
	const char *error = NULL;
	struct journal *j;
	struct journal_counters c;
	char *log;
	int fd;

	assert_null(journal_open(w->a, w->dir, true, &error));
	assert_non_null(strstr(error, "journal.sqlite: No such file"));
	assert_int_equal(access(w->file, F_OK), -1);
	assert_int_equal(rmdir(w->dir), 0);
	fd = log_begin(w);
	j = instance(w);
	assert_non_null(w->warning);
	assert_non_null(strstr(w->warning, "No such file or directory"));
	assert_true(put(w, j, "Q1", "{}"));
	c = wait_for(j, 1);
	assert_int_equal(c.dropped, 1);
	assert_int_equal(mkdir(w->dir, 0700), 0);
	for (uint64_t i = 0; i < 4 && c.written == 0; i++) {
		assert_true(put(w, j, "Q2", "{}"));
		c = wait_for(j, i + 2);
	}
	assert_int_equal(c.written, 1);
	/* and gone again while it runs */
	remove_files(w);
	assert_int_equal(rmdir(w->dir), 0);
	assert_true(put(w, j, "Q3", "{}"));
	c = wait_for(j, c.written + c.dropped + 1);
	assert_int_equal(c.written, 1);
	assert_int_equal(mkdir(w->dir, 0700), 0);
	assert_true(put(w, j, "Q4", "{}"));
	journal_free(j);
	log = log_end(w, fd);
	assert_int_equal(found(w, "Q4"), 1);
	assert_int_equal(times(log, "works again"), 2);
	assert_int_equal(times(log, "leave no record"), 1);
	free(log);
}

static void wait_working(const struct journal *j, bool wanted)
{
	const struct timespec tick = {0, 5 * 1000 * 1000};

	for (int i = 0; i < 800 && journal_is_working(j) != wanted; i++)
		nanosleep(&tick, NULL);
	assert_int_equal(journal_is_working(j), wanted);
}

/* That it fails is found out by an entry, that it works by no one's; and what
 * it is tried with is not left there. */
static void test_working(void **state)
{
	struct world *w = *state;
	const int fd = log_begin(w);
	struct journal *j;
	char *log;

	w->o.record_days = 100000; /* and not because it is old */
	assert_int_equal(rmdir(w->dir), 0);
	j = instance(w);
	assert_false(journal_is_working(j));
	assert_int_equal(mkdir(w->dir, 0700), 0);
	wait_working(j, true);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 0);
	assert_true(put(w, j, "Q1", "{}"));
	assert_int_equal(wait_for(j, 1).written, 1);
	assert_true(journal_is_working(j));
	remove_files(w);
	assert_int_equal(rmdir(w->dir), 0);
	assert_true(put(w, j, "Q2", "{}"));
	wait_working(j, false);
	assert_int_equal(mkdir(w->dir, 0700), 0);
	wait_working(j, true);
	journal_free(j);
	log = log_end(w, fd);
	assert_int_equal(times(log, "works again"), 2);
	assert_int_equal(times(log, "leave no record"), 1);
	free(log);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 0);
	assert_true(is_whole(w));
}

/* Where nothing can be written, a file that can be opened and locked is not
 * one that works: neither later nor at the start. */
static void test_working_full(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w), *late;
	struct rlimit limit, before;
	bool worked = false;
	sqlite3 *db;

	assert_true(put(w, j, "Q1", "{}"));
	assert_int_equal(wait_for(j, 1).written, 1);
	db = open_file(w); /* so that to open it takes no room */
	sql_on(db, "SELECT count(*) FROM records");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(put(w, j, "Q2", "{}"));
	wait_working(j, false);
	late = instance(w);
	for (int i = 0; i < 100 && !worked; i++) {
		nanosleep(&(struct timespec){0, 5000000}, NULL);
		worked = journal_is_working(j) || journal_is_working(late);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_false(worked);
	assert_non_null(w->warning);
	wait_working(j, true);
	wait_working(late, true);
	sqlite3_close(db);
	journal_free(late);
	journal_free(j);
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 1);
	assert_true(is_whole(w));
}

/* The file alone is removed, or another one is put in its place. */
static void test_replaced(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);

	assert_true(put(w, j, "Q1", "{}"));
	wait_for(j, 1);
	remove_files(w);
	assert_true(put(w, j, "Q2", "{}"));
	journal_free(j);
	assert_int_equal(found(w, "Q1"), 0);
	assert_int_equal(found(w, "Q2"), 1);
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
	const char *error = NULL;
	struct journal *j = instance(w);

	WANT(w->warning != NULL);
	WANT(strstr(w->warning, "Permission denied") != NULL);
	WANT(put(w, j, "Q", "{}"));
	WANT(wait_for(j, 1).dropped == 1);
	journal_free(j);
	WANT(journal_open(w->a, w->dir, true, &error) == NULL);
	WANT(error != NULL);
	return 0;
}

static int in_read_only_file(struct world *w)
{
	const char *error = NULL, *v[2];
	struct journal_file *f;
	struct journal *j = instance(w);

	WANT(w->warning != NULL);
	WANT(strstr(w->warning, "readonly") != NULL);
	WANT(put(w, j, "Q", "{}"));
	WANT(wait_for(j, 1).dropped == 1);
	journal_free(j);
	/* commands of those who may read it */
	f = journal_open(w->a, w->dir, false, &error);
	WANT(f != NULL);
	WANT(journal_find(f, w->a, SLICE("Q1"), v, 2) == 1);
	WANT(journal_forget(f, w->a, "example.com", &error) == -1);
	WANT(strstr(error, "readonly") != NULL);
	WANT(journal_find(f, w->a, SLICE("Q1"), v, 2) == 1);
	journal_close(f);
	return 0;
}

static void test_read_only(void **state)
{
	struct world *w = *state;
	struct journal *j;

	assert_int_equal(chmod(w->dir, 0555), 0);
	assert_int_equal(as_nobody(w, in_closed_folder), 0);
	assert_int_equal(chmod(w->dir, 0), 0);
	assert_int_equal(as_nobody(w, in_closed_folder), 0);
	assert_int_equal(chmod(w->dir, 0755), 0);
	if (geteuid() != 0)
		return;
	/* a file of another user */
	j = good_instance(w);
	assert_true(put(w, j, "Q1", "{}"));
	journal_free(j);
	assert_int_equal(chmod(w->file, 0644), 0);
	chmod(arena_printf(w->a, "%s-wal", w->file), 0644);
	chmod(arena_printf(w->a, "%s-shm", w->file), 0644);
	assert_int_equal(as_nobody(w, in_read_only_file), 0);
}

/* No room: EFBIG, and a signal that would end the process. */
static void test_full_disk(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	const char *record = json_of_size(w, 5000);
	const int fd = log_begin(w);
	struct rlimit limit, before;
	struct journal_counters c;
	char *log;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(put(w, j, "Q1", "{}"));
	wait_for(j, 1);
	limit = before;
	limit.rlim_cur = 300000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 200; i++)
		assert_true(put(w, j, "Q2", record));
	c = wait_for(j, 201);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(put(w, j, "Q3", "{}"));
	journal_free(j);
	log = log_end(w, fd);
	assert_int_equal(c.written, 1);
	assert_int_equal(c.dropped, 200);
	assert_int_equal(times(log, "leave no record"), 1);
	assert_int_equal(times(log, "works again"), 1);
	free(log);
	assert_int_equal(found(w, "Q1"), 1);
	assert_int_equal(found(w, "Q2"), 0);
	assert_int_equal(found(w, "Q3"), 1);
	assert_true(is_whole(w));
}

/* ---- erasing ------------------------------------------------------------- */

struct oblivion {
	const char *what;
	const char *domain, *author, *sender, *address;
	bool gone;
};

static const struct oblivion oblivions[] = {
	{"a@example.com", "example.com", "a@example.com", "", "", true},
	{"A@EXAMPLE.com.", "example.com", "a@Example.com", "", "", true},
	{"a@example.com", "x", "", "a@example.com", "", true},
	{"a@example.com", "x", "", "", "a@example.com", true},
	{"a@example.com", "example.com", "b@example.com", "", "", false},
	{"a@example.com", "example.com", "a@sub.example.com", "", "", false},
	{"a@example.com", "example.com", "aa@example.com", "", "", false},
	{"a@example.com", "example.com", "@example.com", "", "", false},
	{"a@example.com", "example.com", "", "", "", false},
	{"\"a@b\"@example.com", "x", "", "\"a@b\"@example.com", "", true},
	{"b\"@example.com", "x", "", "\"a@b\"@example.com", "", false},
	{"a@[192.0.2.1]", "x", "", "a@[192.0.2.1]", "", true},
	{"a@[192.0.2.1]", "x", "", "a@[192.0.2.2]", "", false},
	{"a@b\xc3\xbc"
	 "cher.example",
	 "x", "a@xn--bcher-kva.example", "", "", true},
	{"example.com", "example.com", "", "", "", true},
	{"EXAMPLE.COM", "sub.example.com", "", "", "", true},
	{"example.com", "x", "a@example.com", "", "", true},
	{"example.com", "x", "", "a@x.y.example.com", "", true},
	{"example.com", "x", "", "", "a@example.com", true},
	{"example.com", "x", "", "\"a@b\"@example.com", "", true},
	{"sub.example.com", "example.com", "a@example.com", "", "", false},
	{"example.com", "notexample.com", "a@notexample.com", "", "", false},
	{"example.com", "example.com.other", "", "example.com@x", "", false},
	{"xn--bcher-kva.example", "x", "",
	 "a@b\xc3\xbc"
	 "cher.example",
	 "", true},
};

static int64_t forget(struct world *w, const char *what)
{
	struct journal_file *f = open_journal(w, true);
	const char *error = NULL;
	int64_t ret = journal_forget(f, w->a, what, &error);

	if (error != NULL)
		fail_msg("%s: %s", what, error);
	journal_close(f);
	return ret;
}

static void test_forget(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(oblivions) / sizeof(oblivions[0]); i++) {
		const struct oblivion *o = &oblivions[i];
		const struct slice addresses[] = {SLICE("first@host.example"),
						  slice_of(o->address)};
		const struct journal_entry e = {.time = w->now,
						.queue_id = SLICE("Q"),
						.domain = o->domain,
						.author = slice_of(o->author),
						.sender = slice_of(o->sender),
						.record = "{}",
						.naddresses = 2,
						.addresses = addresses};
		struct journal *j = good_instance(w);
		int64_t n;

		assert_true(journal_put(j, &e));
		journal_free(j);
		n = forget(w, o->what);
		if (n != (o->gone ? 1 : 0) ||
		    found(w, "Q") != (o->gone ? 0 : 1))
			fail_msg("%zu: %s: %lld", i, o->what, (long long)n);
		remove_files(w);
	}
}

static void test_forget_counts(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	struct journal_file *f;
	const char *error = NULL;

	count_at(j, w->now, "r", "example.com", "192.0.2.1", false);
	count_at(j, w->now - DAY, "r", "example.com", "192.0.2.1", false);
	count_at(j, w->now, "r", "sub.example.com", "", false);
	count_at(j, w->now, "r", "example.org", "", false);
	count_at(j, w->now, "r", NULL, "", false);
	journal_free(j);
	assert_int_equal(forget(w, "a@example.com"), 0);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 5);
	assert_int_equal(forget(w, "example.com"), 3);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 2);
	assert_int_equal(forget(w, "example.com"), 0);
	f = open_journal(w, true);
	assert_int_equal(journal_forget(f, w->a, "", &error), -1);
	assert_non_null(error);
	assert_int_equal(journal_forget(f, w->a, "@example.org", &error), -1);
	assert_int_equal(journal_forget(f, w->a, "a@", &error), -1);
	journal_close(f);
	assert_int_equal(ask(w, "SELECT count(*) FROM counts"), 2);
}

/* Three of five records go, one by one: what is left moves together. */
static void thin_out(struct world *w)
{
	sqlite3 *db = open_file(w);
	sqlite3_stmt *st;
	int64_t *ids = arena_array(w->a, 4000, sizeof(*ids));
	uint32_t random = 7;
	size_t n = 0;

	assert_int_equal(
		sqlite3_prepare_v2(db, "SELECT id FROM records", -1, &st, NULL),
		SQLITE_OK);
	while (n < 4000 && sqlite3_step(st) == SQLITE_ROW)
		ids[n++] = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sql_on(db, "PRAGMA secure_delete = ON; BEGIN");
	for (size_t i = 0; i < n; i++) {
		random = random * 1664525u + 1013904223u;
		if ((random >> 16) % 5 < 3)
			sql_on(db, arena_printf(w->a,
						"DELETE FROM records WHERE "
						"id = %lld",
						(long long)ids[i]));
	}
	sql_on(db, "COMMIT");
	sqlite3_close(db);
}

/* No byte of it is left, in pages that rows have left for others, too; while a
 * daemon writes. */
static void test_forget_bytes(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	const struct journal_shadow s = {"r", "reject"};
	char id[32], author[64], record[4096];
	int64_t left;
	uint32_t random = 1;

	for (int i = 0; i < 4000; i++) {
		struct journal_entry e;
		size_t n = 0, size = (random >> 8) % 2900;
		bool secret = (random >> 28) % 2;

		random = random * 1664525u + 1013904223u;
		snprintf(id, sizeof(id), "%s%d", secret ? "SECRET" : "OPEN", i);
		snprintf(author, sizeof(author), "u%d@%s.example", i,
			 secret ? "secret" : "open");
		n += (size_t)snprintf(record, sizeof(record), "{\"x\": \"");
		while (n < size)
			n += (size_t)snprintf(record + n, sizeof(record) - n,
					      "%s ", author);
		snprintf(record + n, sizeof(record) - n, "\"}");
		e = entry(w, id, record);
		e.message_id = slice_of(author);
		e.author = slice_of(author);
		e.domain = secret ? "secret.example" : "open.example";
		e.nshadows = 1;
		e.shadows = &s;
		assert_true(journal_put(j, &e));
		if (i % 500 == 499)
			wait_for(j, (uint64_t)i + 1);
	}
	assert_true(has_bytes(w, "secret.example"));
	assert_true(has_bytes(w, "SECRET"));
	thin_out(w);
	left = ask(w, "SELECT count(*) FROM records WHERE "
		      "domain = 'secret.example'");
	assert_true(left > 500);
	assert_int_equal(forget(w, "secret.example"), left + 1);
	assert_false(has_bytes(w, "secret.example"));
	assert_false(has_bytes(w, "SECRET"));
	assert_true(has_bytes(w, "open.example"));
	/* the daemon goes on with the file */
	assert_true(put(w, j, "after", "{}"));
	journal_free(j);
	assert_int_equal(found(w, "after"), 1);
	assert_int_equal(ask(w, "SELECT count(*) FROM records WHERE "
				"domain <> 'open.example'"),
			 1);
	assert_true(is_whole(w));
}

/* What the ring let go of goes, too. */
static void test_forget_ring(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);

	assert_true(put(w, j, "Q1", "{}"));
	journal_free(j);
	w->o.max_bytes = 0;
	journal_free(good_instance(w));
	assert_int_equal(forget(w, "nobody@example.com"), 0);
	assert_false(has_bytes(w, "example.com"));
}

/* What somebody still reads is not overwritten, and that is told. */
static void test_forget_locked(void **state)
{
	struct world *w = *state;
	struct journal *j = good_instance(w);
	const char *error = NULL;
	struct journal_file *f;
	sqlite3 *db;

	assert_true(put(w, j, "Q1", "{}"));
	journal_free(j);
	db = open_file(w);
	sql_on(db, "BEGIN; SELECT count(*) FROM records");
	f = open_journal(w, true);
	leap = 3000;
	assert_int_equal(journal_forget(f, w->a, "example.com", &error), -1);
	assert_non_null(strstr(error, "deleted, but not overwritten"));
	assert_int_equal(ask(w, "SELECT count(*) FROM records"), 0);
	sql_on(db, "ROLLBACK; BEGIN IMMEDIATE");
	assert_int_equal(journal_forget(f, w->a, "example.com", &error), -1);
	assert_non_null(strstr(error, "locked"));
	assert_null(strstr(error, "deleted"));
	sql_on(db, "ROLLBACK");
	sqlite3_close(db);
	leap = 0;
	assert_int_equal(journal_forget(f, w->a, "example.com", &error), 0);
	assert_null(error);
	assert_false(has_bytes(w, "example.com"));
	journal_close(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(round_trip),    TEST(copied),	 TEST(by_itself),
		TEST(ids),	     TEST(no_records),	 TEST(large),
		TEST(size),	     TEST(age),		 TEST(counts),
		TEST(counts_bound),  TEST(full_queue),	 TEST(full_bytes),
		TEST(locked),	     TEST(threads),	 TEST(killed),
		TEST(json),	     TEST(json_bytes),	 TEST(json_large),
		TEST(values),	     TEST(no_id),	 TEST(no_place),
		TEST(types),	     TEST(garbage),	 TEST(damaged),
		TEST(unsafe),	     TEST(mode),	 TEST(missing),
		TEST(working),	     TEST(working_full), TEST(replaced),
		TEST(read_only),     TEST(full_disk),	 TEST(forget),
		TEST(forget_counts), TEST(forget_bytes), TEST(forget_ring),
		TEST(forget_locked),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
