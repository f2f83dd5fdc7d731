/*
 * A DMARC record (RFC 9989 4.7) in words, for its owner.  Whether a policy
 * value or a URI is valid is asked of the reader that decides about mail.
 * What came from the wire is escaped.
 */
#ifndef MAILSEAL_CMD_DMARC_TEXT_H
#define MAILSEAL_CMD_DMARC_TEXT_H

#include "dmarc/dmarc.h"

/* One line for each tag, in order: what it says, or why it is ignored. */
void dmarc_text_tags(struct strbuf *b, struct slice record);
/* Why a text that is no record was perhaps meant as one; a constant, or
 * NULL. */
const char *dmarc_text_mistake(struct slice txt);
/* The value of a tag by its name, historic ones too; false: not there. */
bool dmarc_text_tag(struct slice record, const char *name, struct slice *ret);
/* Cuts the next URI off the value of rua or ruf; false after the last. */
bool dmarc_text_uri(struct slice *list, struct slice *ret);
bool dmarc_text_uri_ok(struct arena *a, struct slice uri);

#endif
