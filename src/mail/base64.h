/*
 * Base64 (RFC 4648 4).  Pure.
 */
#ifndef MAILSEAL_MAIL_BASE64_H
#define MAILSEAL_MAIL_BASE64_H

#include "base/str.h"

/* Decodes; space, tab, CR and LF anywhere are skipped (RFC 6376 3.2: FWS in
 * base64string).  False on any other foreign byte, bad padding, or data
 * after it. */
bool base64_decode(struct arena *a, struct slice s, struct slice *ret);
/* Encodes without line breaks, with padding. */
struct slice base64_encode(struct arena *a, struct slice s);

#endif
