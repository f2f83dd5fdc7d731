/* `mailseal explain` for those who may not open the journal themselves. */
#ifndef MAILSEAL_CMD_DAEMON_EXPLAIN_H
#define MAILSEAL_CMD_DAEMON_EXPLAIN_H

#include "milter/place.h"

/* Reads the journal of what is in force by a connection of its own, so that
 * mail does not wait.  Returns a status of sysexits(3), with a line in `text`
 * when it is not 0. */
int daemon_explain(struct app_place *place, const char *id, bool json,
		   struct strbuf *text);

#endif
