/*
 * What mailseald answers to "revoke": logins are revoked by hand, for all that
 * share its state_directory (milter/revocations.h).
 *
 * Lines in `text`; a status of sysexits(3).
 */
#ifndef MAILSEAL_CMD_DAEMON_REVOKE_H
#define MAILSEAL_CMD_DAEMON_REVOKE_H

#include "milter/place.h"

/* `undo`: it is not to be revoked any more. */
int daemon_revoke(struct app_place *place, const char *login, bool undo,
		  struct strbuf *text);
int daemon_revoke_list(struct app_place *place, struct strbuf *text);
/* A login as log.personal wants it in the log; perhaps in `a`. */
const char *daemon_revoke_shown(struct app_place *place, struct arena *a,
				const char *login);

#endif
