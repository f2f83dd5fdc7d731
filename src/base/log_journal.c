/*
 * Names are those of the JSON form in upper case, the members of an object
 * after its own; of a list each element is a field of the same name, as
 * journald allows.  Values are escaped as in the text form, so none has a
 * line end.
 */
#include "base/log_journal.h"

#include <string.h>

#define PREFIX	  "MAILSEAL_"
#define DEPTH_MAX 8
#define NAME_MAX  64 /* journald's own limit */

struct writer {
	char *buf;
	size_t room, n;
	char name[NAME_MAX + 1];
	size_t length;		 /* of the name */
	size_t outer[DEPTH_MAX]; /* lengths of the names around it */
	size_t depth;
	struct arena *scratch;
};

static void name_add(struct writer *w, const char *name)
{
	if (name == NULL)
		return;
	if (w->length > strlen(PREFIX) && w->length < NAME_MAX)
		w->name[w->length++] = '_';
	for (; *name != '\0' && w->length < NAME_MAX; name++)
		w->name[w->length++] = *name >= 'a' && *name <= 'z'
					       ? (char)(*name - 32)
					       : *name;
}

static bool put(struct writer *w, const char *p, size_t n)
{
	if (n > w->room - w->n)
		return false;
	memcpy(w->buf + w->n, p, n);
	w->n += n;
	return true;
}

static void field(struct writer *w, const char *name, struct slice value)
{
	size_t before = w->n, outer = w->length;
	bool ok;

	name_add(w, name);
	ok = put(w, w->name, w->length) && put(w, "=", 1) &&
	     put(w, value.p, value.n) && put(w, "\n", 1);
	w->length = outer;
	if (!ok)
		w->n = before;
}

static void leaf(struct writer *w, const struct log_field *x)
{
	struct strbuf b;

	strbuf_init(&b, w->scratch, LOG_JOURNAL_MAX);
	log_field_add_value(&b, x);
	field(w, x->name, strbuf_slice(&b));
}

static void walk(struct writer *w, const struct log_field *x)
{
	switch (x->type) {
	case LOG_STRING:
	case LOG_NUMBER:
		leaf(w, x);
		break;
	case LOG_LIST:
	case LOG_OBJECT:
		if (w->depth < DEPTH_MAX)
			w->outer[w->depth] = w->length;
		w->depth++;
		name_add(w, x->name);
		break;
	case LOG_END:
		if (w->depth > 0 && --w->depth < DEPTH_MAX)
			w->length = w->outer[w->depth];
		break;
	case LOG_MARK:
		break;
	}
}

size_t log_journal_fields(const struct log_record *r, char *buf, size_t room)
{
	struct writer w = {.buf = buf, .room = room, .scratch = arena_new()};

	name_add(&w, PREFIX);
	field(&w, "event", slice_of(log_event_name(r->event)));
	for (const struct log_field *x = r->fields->first; x != NULL;
	     x = x->next) {
		walk(&w, x);
		if (x == r->fields->last)
			break;
	}
	arena_free(w.scratch);
	return w.n;
}
