/*
 * Text as readers of mail see it: encoded-words (RFC 2047) decoded, quotes and
 * comments gone.  For looking at, never for deciding who an author is (HP-5).
 * Pure.
 */
#ifndef MAILSEAL_MAIL_WORDS_H
#define MAILSEAL_MAIL_WORDS_H

#include "mail/lookalike.h"

#define WORDS_CHARSETS_MAX 64 /* conversions for one text */

/*
 * An unstructured value (Subject) in UTF-8; at most LOOKALIKE_TEXT_MAX bytes of
 * it are read, and about as many given back.  As lenient as mail programs are:
 * encoded-words may be of any length, need no space between them, and may have
 * a character in two halves.  What is no encoded-word stays, folds without
 * their line end.
 */
struct slice words_decode(const struct lookalike *l, struct arena *a,
			  struct slice value);
/* The same of a display-name (RFC 5322 3.4) as addr_list_parse() has it. */
struct slice words_display(const struct lookalike *l, struct arena *a,
			   struct slice phrase);

#endif
