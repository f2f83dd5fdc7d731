/*
 * What mailseald answers to "keys": every key that it has, how it stands, and
 * when it last signed.  Never a byte of one, and none is loaded for it.
 *
 * Lines, or one JSON object whose names are documented in mailseal(1) and stay,
 * in `text`; a status of sysexits(3).
 */
#ifndef MAILSEAL_CMD_DAEMON_KEYS_H
#define MAILSEAL_CMD_DAEMON_KEYS_H

#include "milter/place.h"

/* `domain`: of the author, or d=; NULL: all. */
int daemon_keys(struct app_place *place, const char *domain, bool json,
		struct strbuf *text);

#endif
