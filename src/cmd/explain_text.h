/*
 * What `mailseal explain` tells of a record of the journal, by the command
 * itself or by mailseald for it.
 */
#ifndef MAILSEAL_CMD_EXPLAIN_TEXT_H
#define MAILSEAL_CMD_EXPLAIN_TEXT_H

#include "store/journal.h"

/* In plain words, or the record itself; everything that the wire or the file
 * says is escaped.  `b` is empty: of words that are more than its maximum the
 * last are cut, and a line says so.  False: a record that does not fit. */
bool explain_write(struct arena *a, struct journal_file *f, const char *record,
		   bool json, struct strbuf *b);

#endif
