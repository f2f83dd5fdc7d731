/* What the daemon does in one transaction: rows are added, and old ones go. */
#include "store/journal_db.h"

#include <stdio.h>
#include <string.h>

#define ROW_BYTES  100 /* what a record takes besides its texts, about */
#define ID_LIMIT   (INT64_MAX / 2)
#define TRIM_MAX   10000 /* records in one transaction */
#define ROWS_MAX   10000 /* of counts, in one day */
#define DETAIL_MAX 9000	 /* and of those that name a domain */
#define OTHER	   "other"
#define PROBE	   32768 /* bytes: more than a page, so that new ones are taken */

enum journal_status journal_write_begin(struct journal_db *d,
					struct journal_round *r)
{
	enum journal_status status = journal_db_run(d, SQL_BEGIN);

	*r = (struct journal_round){.rows = -1};
	if (status == JOURNAL_OK)
		status = journal_db_number(d, SQL_END, INT64_MAX, &r->end);
	if (status == JOURNAL_OK && r->end > ID_LIMIT)
		return journal_db_fail(d, "has no usable id left");
	if (r->end < 0)
		r->end = 0;
	return status;
}

/* ---- records ------------------------------------------------------------- */

/* In lines. */
static struct slice join(struct arena *a, const struct journal_entry *e)
{
	struct strbuf b;

	strbuf_init(&b, a, JOURNAL_ENTRY_MAX + e->naddresses);
	for (size_t i = 0; i < e->naddresses; i++) {
		if (i > 0)
			strbuf_addc(&b, '\n');
		strbuf_add(&b, e->addresses[i]);
	}
	return strbuf_slice(&b);
}

static int64_t bind_texts(sqlite3_stmt *st, int first, const struct slice *v,
			  size_t n)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		journal_db_bind(st, first + (int)i, v[i]);
		bytes += (int64_t)v[i].n;
	}
	return bytes;
}

static enum journal_status write_record(struct journal_db *d,
					struct journal_round *r,
					const struct journal_entry *e)
{
	sqlite3_stmt *st = d->st[SQL_PUT_RECORD];
	struct arena *a = arena_new();
	const struct slice queue_id = journal_id(e->queue_id);
	const struct slice message_id = journal_id(e->message_id);
	const struct slice texts[] = {
		queue_id,  message_id, slice_of(e->domain), e->author,
		e->sender, join(a, e), slice_of(e->record)};
	enum journal_status status;
	int64_t bytes;

	sqlite3_bind_int64(st, 3, e->time);
	sqlite3_bind_int64(st, 4, journal_id_hash(queue_id));
	sqlite3_bind_int64(st, 5, journal_id_hash(message_id));
	bytes = ROW_BYTES +
		bind_texts(st, 6, texts, sizeof(texts) / sizeof(texts[0]));
	sqlite3_bind_int64(st, 1, r->end);
	sqlite3_bind_int64(st, 2, bytes);
	r->end += bytes;
	status = journal_db_run(d, SQL_PUT_RECORD);
	arena_free(a);
	return status;
}

/* ---- counts -------------------------------------------------------------- */

struct key {
	int64_t day;
	const char *rule, *action, *domain, *network;
	bool reasoned;
};

/* "192.0.2.0/24", "2001:db8::/48"; "" for no address. */
static void network_of(struct ip ip, char *ret, size_t room)
{
	const size_t bytes = ip.family == IP_V4 ? 3 : 6;
	char text[IP_TEXT_MAX];

	ret[0] = '\0';
	if (ip.family == IP_NONE)
		return;
	memset(ip.b + bytes, 0, sizeof(ip.b) - bytes);
	snprintf(ret, room, "%s/%zu", ip_format(&ip, text), 8 * bytes);
}

static enum journal_status run_key(struct journal_db *d, enum journal_sql i,
				   const struct key *k)
{
	sqlite3_stmt *st = d->st[i];

	sqlite3_bind_int64(st, 1, k->day);
	journal_db_bind(st, 2, slice_of(k->rule));
	journal_db_bind(st, 3, slice_of(k->action));
	journal_db_bind(st, 4, slice_of(k->domain));
	journal_db_bind(st, 5, slice_of(k->network));
	sqlite3_bind_int64(st, 6, k->reasoned ? 1 : 0);
	return journal_db_run(d, i);
}

static enum journal_status count_rows(struct journal_db *d,
				      struct journal_round *r, int64_t day)
{
	if (r->rows >= 0 && r->day == day)
		return JOURNAL_OK;
	sqlite3_bind_int64(d->st[SQL_ROWS_OF_DAY], 1, day);
	r->day = day;
	return journal_db_number(d, SQL_ROWS_OF_DAY, 0, &r->rows);
}

/* *done: there is a row of that key, and it was counted. */
static enum journal_status count_in(struct journal_db *d,
				    struct journal_round *r,
				    const struct key *k, int64_t rows_max,
				    bool *done)
{
	enum journal_status status = run_key(d, SQL_ADD_COUNT, k);

	*done = status == JOURNAL_OK && sqlite3_changes(d->db) > 0;
	if (status != JOURNAL_OK || *done)
		return status;
	status = count_rows(d, r, k->day);
	if (status != JOURNAL_OK || r->rows >= rows_max)
		return status;
	r->rows++;
	*done = true;
	return run_key(d, SQL_PUT_COUNT, k);
}

static enum journal_status write_count(struct journal_db *d,
				       struct journal_round *r,
				       const struct journal_entry *e,
				       const struct journal_shadow *s)
{
	char network[IP_TEXT_MAX + 4];
	struct key k = {
		journal_day(e->time), s->rule, s->action, e->domain, network,
		e->reasoned};
	enum journal_status status;
	bool done;

	network_of(e->client, network, sizeof(network));
	status = count_in(d, r, &k, DETAIL_MAX, &done);
	if (status != JOURNAL_OK || done)
		return status;
	k.domain = k.network = OTHER;
	return count_in(d, r, &k, ROWS_MAX, &done);
}

enum journal_status journal_write(struct journal_db *d, struct journal_round *r,
				  const struct journal_entry *e)
{
	enum journal_status status = JOURNAL_OK;

	if (e->record != NULL)
		status = write_record(d, r, e);
	for (size_t i = 0; status == JOURNAL_OK && i < e->nshadows; i++)
		status = write_count(d, r, e, &e->shadows[i]);
	return status;
}

enum journal_status journal_write_probe(struct journal_db *d,
					const struct journal_round *r)
{
	struct arena *a = arena_new();
	char *text = arena_alloc(a, PROBE + 1);
	const struct journal_entry e = {.record = text};
	struct journal_round after = *r;
	enum journal_status status;

	memset(text, ' ', PROBE);
	text[PROBE] = '\0';
	status = write_record(d, &after, &e);
	arena_free(a);
	if (status != JOURNAL_OK)
		return status;
	sqlite3_bind_int64(d->st[SQL_DROP_RECORD], 1, r->end);
	return journal_db_run(d, SQL_DROP_RECORD);
}

/* ---- what goes ----------------------------------------------------------- */

static enum journal_status trim(struct journal_db *d, enum journal_sql i,
				int64_t limit, bool *more)
{
	enum journal_status status;

	sqlite3_bind_int64(d->st[i], 1, limit);
	if (i != SQL_TRIM_COUNTS)
		sqlite3_bind_int64(d->st[i], 2, TRIM_MAX);
	status = journal_db_run(d, i);
	if (status == JOURNAL_OK) /* counts: one day at a time */
		*more |= sqlite3_changes(d->db) >=
			 (i == SQL_TRIM_COUNTS ? 1 : TRIM_MAX);
	return status;
}

enum journal_status journal_write_trim(struct journal_db *d,
				       const struct journal_round *r,
				       const struct journal_options *o,
				       int64_t now, bool *more)
{
	enum journal_status status;

	status = trim(d, SQL_TRIM_BYTES, r->end - o->max_bytes, more);
	if (status == JOURNAL_OK)
		status = trim(d, SQL_TRIM_AGE,
			      now - o->record_days * JOURNAL_DAY, more);
	if (status == JOURNAL_OK)
		status = trim(d, SQL_TRIM_COUNTS,
			      journal_day(now) - o->shadow_days, more);
	return status;
}
