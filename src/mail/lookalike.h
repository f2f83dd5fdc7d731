/*
 * What a text looks like to the eye, and what it says in UTF-8: libicu's spoof
 * checker (Unicode TS 39) and its converters.
 */
#ifndef MAILSEAL_MAIL_LOOKALIKE_H
#define MAILSEAL_MAIL_LOOKALIKE_H

#include "base/str.h"

#define LOOKALIKE_TEXT_MAX    8192 /* bytes of a text; what follows is cut */
#define LOOKALIKE_CHARSET_MAX 40   /* bytes of a charset's name */

/* Immutable, for any thread. */
struct lookalike;

/* Before threads start: libicu is told to open no files.  NULL and a reason
 * (constant) when libicu has not the data. */
struct lookalike *lookalike_new(const char **error);
void lookalike_free(struct lookalike *l); /* NULL is allowed */

/*
 * The skeleton of a UTF-8 text, in UTF-8: two texts that look alike have the
 * same one.  Case is folded, what nobody sees (zero width, bidi controls) is
 * dropped, and bytes that are no UTF-8 count as U+FFFD.  "" when the text
 * grows out of bounds.
 */
const char *lookalike_skeleton(const struct lookalike *l, struct arena *a,
			       struct slice text);
/* The same without diacritics, and with digits and pairs that are read as a
 * letter (3 as e, vv as w) replaced.  Of a skeleton. */
const char *lookalike_bare(struct arena *a, const char *skeleton);

enum lookalike_edit {
	LOOKALIKE_FAR,	/* equal, or more than one edit */
	LOOKALIKE_SLIP, /* neighbours transposed, or a letter twice or once */
	LOOKALIKE_NEAR, /* one insertion, removal or replacement */
};

/* What makes one text of the other, in code points of UTF-8. */
enum lookalike_edit lookalike_compare(const char *x, const char *y);
/* Code points. */
size_t lookalike_length(const char *text);

/* Bytes in a charset that the wire names, as UTF-8.  False: libicu does not
 * know it. */
bool lookalike_decode(const struct lookalike *l, struct arena *a,
		      struct slice charset, struct slice bytes,
		      struct slice *ret);

#endif
