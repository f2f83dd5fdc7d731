/*
 * The text of a field that is being written, word by word, in lines that end
 * before column 78 where a word allows it (RFC 5322 2.1.1).  Pure.
 */
#ifndef MAILSEAL_MAIL_FOLDER_H
#define MAILSEAL_MAIL_FOLDER_H

#include "base/str.h"

struct folder {
	struct strbuf text; /* the field: name ":" value, folds as CRLF TAB */
	size_t column;
};

/* `max`: bytes of the whole field; `text.overflow` says when it was too
 * small. */
void folder_init(struct folder *f, struct arena *a, const char *name,
		 size_t max);
void folder_break(struct folder *f);
/* "tag value end" without spaces between, after a space or a fold. */
void folder_word(struct folder *f, const char *tag, struct slice value,
		 const char *end);
/* More of the same word, where a fold is allowed but no space is needed. */
void folder_part(struct folder *f, struct slice value, const char *end);
/* Base64 fills the lines. */
void folder_base64(struct folder *f, struct slice s);
/* "h=" and names with ":" between (RFC 6376 3.5). */
void folder_names(struct folder *f, struct slice names);
/* A tag with a number. */
void folder_number(struct folder *f, const char *tag, int64_t n);
/* The value as the milter protocol wants it: leading space, folds as LF TAB. */
struct slice folder_value(const struct folder *f);

#endif
