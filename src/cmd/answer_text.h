/*
 * An answer of the DNS in words, for a terminal.  What came from the wire is
 * escaped.
 */
#ifndef MAILSEAL_CMD_ANSWER_TEXT_H
#define MAILSEAL_CMD_ANSWER_TEXT_H

#include "dns/dns.h"

/* "found 1 record (192.0.2.1), TTL 300, secure", "no such name, TTL 60",
 * "temporary failure: time-out".  Texts (TXT) are counted only. */
void answer_text(struct strbuf *b, const struct dns_answer *r,
		 enum dns_type type);

#endif
