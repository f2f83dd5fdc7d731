/*
 * What a line of the log says, as values: each with its name, its type and
 * what stands around it in the text.  The text form is made of the leads,
 * values and tails in their order; the JSON form (control/json_log.c) and the
 * fields of journald are made of the names and values.  So both tell the same.
 *
 * Lives in an arena; values are borrowed and must live as long.  Wire text
 * comes as it is and is escaped by whoever renders it.  One thread at a time.
 */
#ifndef MAILSEAL_BASE_LOG_FIELDS_H
#define MAILSEAL_BASE_LOG_FIELDS_H

#include "base/str.h"

enum log_type {
	LOG_STRING,
	LOG_NUMBER,
	LOG_LIST,   /* until its LOG_END; its elements have no names */
	LOG_OBJECT, /* until its LOG_END */
	LOG_END,
	LOG_MARK, /* of the text form alone */
};

/* How a string is escaped in the text form; see strbuf_add_escaped(). */
enum log_form {
	LOG_PLAIN, /* it is ours, or escaped already */
	LOG_ESCAPED,
	LOG_WORD,
	LOG_QUOTED,
};

/* What a string tells of a person. */
enum log_person {
	LOG_NOBODY,
	LOG_ADDRESS, /* "user@example.org", "<user@example.org>" */
	LOG_LOGIN,
	LOG_SUBJECT, /* a name, as a whole */
	LOG_REASON,  /* words of ours, in which a login or address may be */
};

struct log_field {
	struct log_field *next;
	enum log_type type;
	enum log_form form;
	enum log_person person;
	const char *name;	 /* NULL: an element of a list */
	const char *lead, *tail; /* `lead` NULL: not in the text form */
	struct slice text;	 /* LOG_STRING */
	size_t max;		 /* bytes of `text` that are shown */
	int64_t number;		 /* LOG_NUMBER */
};

struct log_fields {
	struct arena *arena;
	struct log_field *first, *last;
	bool cut; /* a list was too long: something was left out */
	/* Of a warning: what is the same when it is repeated, so that floods
	 * are held back; NULL: each line is written. */
	const char *repeats;
	const char *rendered; /* the text form, once it was asked for */
};

void log_fields_init(struct log_fields *f, struct arena *a);
/* Each adds one value and returns it, so that its `person` can be set. */
struct log_field *log_string(struct log_fields *f, const char *lead,
			     const char *name, const char *value,
			     const char *tail);
struct log_field *log_wire(struct log_fields *f, const char *lead,
			   const char *name, struct slice value,
			   enum log_form form, size_t max, const char *tail);
struct log_field *log_number(struct log_fields *f, const char *lead,
			     const char *name, int64_t value, const char *tail);
void log_list(struct log_fields *f, const char *lead, const char *name);
void log_object(struct log_fields *f, const char *lead, const char *name);
void log_end(struct log_fields *f, const char *tail);
void log_mark(struct log_fields *f, const char *text);
/* The fields of `more` follow those of `f`; nothing may be added to `more`
 * after that. */
void log_append(struct log_fields *f, const struct log_fields *more);
/* The text form, made once. */
const char *log_fields_text(struct log_fields *f);
/* The value of a string or number as the text form has it. */
void log_field_add_value(struct strbuf *b, const struct log_field *x);

#endif
