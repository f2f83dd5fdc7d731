/*
 * Makes a tree of jansson from the values of a line, and from that the text.
 * The tree lives as long as the call.
 *
 * Bytes that are no UTF-8, NUL and DEL become U+FFFD; jansson writes what is
 * not ASCII as \uXXXX, so that a line cannot drive a terminal.
 */
#include "control/json_log.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX  8
#define VALUE_MAX  2048 /* bytes of one string at first */
#define VALUE_MIN  8	/* and at last: all that a message has then fits */
#define LIST_MAX   256	/* elements of one list at first */
#define ROOM	   (LOG_LINE_MAX - 1) /* a line end is to follow */
#define MARK	   "\xef\xbf\xbd"     /* U+FFFD */
#define MARK_BYTES 3

struct builder {
	json_t *open[DEPTH_MAX];
	size_t depth;  /* of `open` in use */
	size_t deeper; /* that found no place in it */
	size_t value_max, list_max;
	bool cut;
};

/* ---- strings ---- */

/* Bytes of the UTF-8 character that `s` begins with (RFC 3629 4), or 0. */
static size_t character(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return p[0] != 0 && p[0] != 0x7f;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f; /* no surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static json_t *string(struct builder *b, struct slice s, size_t max)
{
	char out[MARK_BYTES * VALUE_MAX + sizeof("...")];
	size_t n = 0, at = 0;

	if (max > b->value_max)
		max = b->value_max;
	while (at < s.n) {
		struct slice rest = slice_from(s, at);
		size_t bytes = character(rest);

		if (at + (bytes > 0 ? bytes : 1) > max) {
			memcpy(out + n, "...", 3);
			n += 3;
			b->cut = true;
			break;
		}
		memcpy(out + n, bytes > 0 ? rest.p : MARK,
		       bytes > 0 ? bytes : MARK_BYTES);
		n += bytes > 0 ? bytes : MARK_BYTES;
		at += bytes > 0 ? bytes : 1;
	}
	return json_stringn(out, n);
}

/* ---- the tree ---- */

/* Takes `value` over. */
static void put(struct builder *b, const char *name, json_t *value)
{
	json_t *in = b->open[b->depth - 1];

	if (json_is_object(in) && name != NULL) {
		(void)json_object_set_new(in, name, value);
	} else if (json_is_array(in) && json_array_size(in) < b->list_max) {
		(void)json_array_append_new(in, value);
	} else {
		b->cut = true;
		json_decref(value);
	}
}

/* Of what is nested too deep, or left out of a list, the members come to
 * nothing: it is open, but in no tree. */
static void open_in(struct builder *b, const char *name, json_t *value)
{
	if (b->depth == DEPTH_MAX) {
		b->deeper++;
		json_decref(value);
		return;
	}
	put(b, name, json_incref(value));
	b->open[b->depth++] = value;
}

static void close_last(struct builder *b)
{
	if (b->deeper > 0)
		b->deeper--;
	else if (b->depth > 1)
		json_decref(b->open[--b->depth]);
}

static void add(struct builder *b, const struct log_field *x)
{
	switch (x->type) {
	case LOG_STRING:
		put(b, x->name, string(b, x->text, x->max));
		break;
	case LOG_NUMBER:
		put(b, x->name, json_integer((json_int_t)x->number));
		break;
	case LOG_LIST:
		open_in(b, x->name, json_array());
		break;
	case LOG_OBJECT:
		open_in(b, x->name, json_object());
		break;
	case LOG_END:
		close_last(b);
		break;
	case LOG_MARK:
		break;
	}
}

/* RFC 3339 5.6, UTC. */
static void add_time(struct builder *b, int64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	char day[32] = "", text[48];
	struct tm t;

	if (gmtime_r(&seconds, &t) != NULL)
		(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &t);
	(void)snprintf(text, sizeof(text), "%s.%03dZ", day,
		       (int)(time_ms % 1000));
	put(b, "time", json_string(text));
}

static json_t *build(const struct log_record *r, size_t value_max,
		     size_t list_max)
{
	struct builder b = {.depth = 1,
			    .value_max = value_max,
			    .list_max = list_max,
			    .cut = r->fields->cut};
	json_t *root = json_object();

	b.open[0] = root;
	add_time(&b, r->time_ms);
	put(&b, "level", json_string(log_level_name(r->level)));
	put(&b, "event", json_string(log_event_name(r->event)));
	for (const struct log_field *x = r->fields->first; x != NULL;
	     x = x->next) {
		add(&b, x);
		if (x == r->fields->last)
			break;
	}
	while (b.depth > 1 || b.deeper > 0)
		close_last(&b);
	if (b.cut)
		put(&b, "cut", json_true());
	return root;
}

/* ---- the line ---- */

/* Returns 0 when it does not fit. */
static size_t write_line(const struct log_record *r, size_t value_max,
			 size_t list_max, char *buf)
{
	json_t *root = build(r, value_max, list_max);
	size_t n =
		json_dumpb(root, buf, ROOM, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(root);
	return n <= ROOM ? n : 0;
}

size_t json_log_line(const struct log_record *r, char *buf)
{
	const struct log_fields none = {.cut = true};
	const struct log_record bare = {r->level, r->event, r->time_ms, &none};
	size_t value_max = VALUE_MAX, list_max = LIST_MAX;

	for (; value_max >= VALUE_MIN; value_max /= 2) {
		size_t n = write_line(r, value_max, list_max, buf);

		if (n > 0)
			return n;
		list_max = list_max > 1 ? list_max / 2 : 1;
	}
	return write_line(&bare, VALUE_MAX, 1, buf);
}
