/*
 * Header fields as they came, and messages as bytes.  Pure.
 *
 * Raw bytes are kept for hashing: `name ":" value` with every fold as CRLF
 * and without the final CRLF (RFC 6376 3.4).
 */
#ifndef MAILSEAL_MAIL_FIELD_H
#define MAILSEAL_MAIL_FIELD_H

#include "base/str.h"

struct field {
	struct slice name;  /* as written, without white space before ":" */
	struct slice value; /* after ":", leading space and CRLF folds kept */
	struct slice raw;   /* name ":" value; name and value point into it.
			       From field_list_parse(): with the white space
			       that the file has before ":" */
};

struct field_limits {
	size_t max_fields;
	size_t max_field_bytes; /* of raw */
	size_t max_bytes;       /* of all raw together */
};

/* What is wrong with a header block as a whole. */
enum field_trouble {
	FIELD_OK,
	FIELD_TOO_MANY,  /* over max_fields */
	FIELD_TOO_LONG,  /* one field over max_field_bytes */
	FIELD_TOO_LARGE, /* over max_bytes together */
	FIELD_BAD_BYTES, /* NUL, bare CR or other control (HP-7), or a name
			    outside printable ASCII */
};

/* Fields in order of appearance, topmost first. */
struct field_list {
	struct field *v;
	size_t n;
	size_t cap;
	size_t bytes;
	enum field_trouble trouble; /* the first one found; stays */
};

/*
 * Adds a copy of a field.  `value` may have folds as LF or CRLF; it is stored
 * with CRLF.  A field over a limit is not stored but counted: `trouble` is set
 * and stays set.  Header names are needed even then, so `name` of a too long
 * field is kept with an empty value when the limits allow that much.  A field
 * with bad bytes is stored as it is.  One line end at the end of `value` is
 * dropped.
 */
void field_list_add(struct arena *a, struct field_list *l,
		    const struct field_limits *limits, struct slice name,
		    struct slice value);

/* A constant sentence for an A-R reason, NULL for FIELD_OK. */
const char *field_trouble_text(enum field_trouble t);

/* Number of fields called `name` (ASCII case folded). */
size_t field_count(const struct field_list *l, const char *name);
/* The `i`th (0 = topmost) field called `name`, or NULL. */
const struct field *field_nth(const struct field_list *l, const char *name,
			      size_t i);
/* The value unfolded (each CRLF removed), trimmed. */
struct slice field_unfold(struct arena *a, struct slice value);

/*
 * Splits a whole message (LF or CRLF line ends, also mixed) into fields and
 * body, as Postfix does: the first line that is no header begins the body
 * (an empty line is dropped).  The body is returned as it stands.  A leading
 * mbox "From " line is skipped.
 */
void field_list_parse(struct arena *a, struct field_list *l,
		      const struct field_limits *limits, struct slice message,
		      struct slice *ret_body);

#endif
