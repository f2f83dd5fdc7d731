/* Collects the values of a line, and makes its text form. */
#include "base/log_fields.h"

/* More than any line has; base/log.c cuts what it writes. */
#define TEXT_MAX 16384

void log_fields_init(struct log_fields *f, struct arena *a)
{
	*f = (struct log_fields){.arena = a};
}

static struct log_field *add(struct log_fields *f, enum log_type type,
			     const char *lead, const char *name,
			     const char *tail)
{
	struct log_field *x = arena_alloc(f->arena, sizeof(*x));

	x->type = type;
	x->lead = lead;
	x->name = name;
	x->tail = tail;
	if (f->last != NULL)
		f->last->next = x;
	else
		f->first = x;
	f->last = x;
	return x;
}

struct log_field *log_string(struct log_fields *f, const char *lead,
			     const char *name, const char *value,
			     const char *tail)
{
	return log_wire(f, lead, name, slice_of(value), LOG_PLAIN, SIZE_MAX,
			tail);
}

struct log_field *log_wire(struct log_fields *f, const char *lead,
			   const char *name, struct slice value,
			   enum log_form form, size_t max, const char *tail)
{
	struct log_field *x = add(f, LOG_STRING, lead, name, tail);

	x->text = value;
	x->form = form;
	x->max = max;
	return x;
}

struct log_field *log_number(struct log_fields *f, const char *lead,
			     const char *name, int64_t value, const char *tail)
{
	struct log_field *x = add(f, LOG_NUMBER, lead, name, tail);

	x->number = value;
	return x;
}

void log_list(struct log_fields *f, const char *lead, const char *name)
{
	(void)add(f, LOG_LIST, lead, name, "");
}

void log_object(struct log_fields *f, const char *lead, const char *name)
{
	(void)add(f, LOG_OBJECT, lead, name, "");
}

void log_end(struct log_fields *f, const char *tail)
{
	(void)add(f, LOG_END, "", NULL, tail);
}

void log_mark(struct log_fields *f, const char *text)
{
	(void)add(f, LOG_MARK, text, NULL, "");
}

void log_append(struct log_fields *f, const struct log_fields *more)
{
	if (more->first == NULL)
		return;
	if (f->last != NULL)
		f->last->next = more->first;
	else
		f->first = more->first;
	f->last = more->last;
	f->cut = f->cut || more->cut;
}

static void add_number(struct strbuf *b, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

	do
		digits[--at] = (char)('0' + left % 10);
	while ((left /= 10) > 0);
	if (number < 0)
		digits[--at] = '-';
	strbuf_add(b, (struct slice){digits + at, sizeof(digits) - at});
}

void log_field_add_value(struct strbuf *b, const struct log_field *x)
{
	if (x->type == LOG_NUMBER) {
		add_number(b, x->number);
		return;
	}
	switch (x->form) {
	case LOG_PLAIN:
		strbuf_add(b, slice_first(x->text, x->max));
		break;
	case LOG_ESCAPED:
		strbuf_add_escaped(b, x->text, x->max);
		break;
	case LOG_WORD:
		strbuf_add_word(b, x->text, x->max);
		break;
	case LOG_QUOTED:
		strbuf_add_quoted(b, x->text, x->max);
		break;
	}
}

const char *log_fields_text(struct log_fields *f)
{
	struct strbuf b;

	if (f->rendered != NULL)
		return f->rendered;
	strbuf_init(&b, f->arena, TEXT_MAX);
	for (const struct log_field *x = f->first; x != NULL; x = x->next) {
		if (x->lead == NULL)
			continue;
		strbuf_adds(&b, x->lead);
		if (x->type == LOG_STRING || x->type == LOG_NUMBER)
			log_field_add_value(&b, x);
		strbuf_adds(&b, x->tail);
		/* log_append() shares fields: those behind are not ours */
		if (x == f->last)
			break;
	}
	f->rendered = strbuf_cstr(&b);
	return f->rendered;
}
