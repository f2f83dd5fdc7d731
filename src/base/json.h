/*
 * Writing JSON (RFC 8259) of wire text: bytes that are no printable ASCII
 * become \u00NN, one for each byte, so that the text can be read back.
 */
#ifndef MAILSEAL_BASE_JSON_H
#define MAILSEAL_BASE_JSON_H

#include "base/str.h"

void json_wire(struct strbuf *b, struct slice s);
/* "NAME": in an object, after a comma where one is needed. */
void json_name(struct strbuf *b, const char *name);
/* ... and a string, a number, true or false; NULL or !present is null. */
void json_text(struct strbuf *b, const char *name, const char *value);
void json_slice(struct strbuf *b, const char *name, struct slice value,
		bool present);
void json_number(struct strbuf *b, const char *name, int64_t value);
void json_bool(struct strbuf *b, const char *name, bool value);
/* The comma before an element of an array, where one is needed. */
void json_next(struct strbuf *b);

#endif
