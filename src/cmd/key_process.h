/*
 * The key process of mailseald: keys/keyd.h with what it cannot know, namely
 * how the configuration is read and what the process may do.
 */
#ifndef MAILSEAL_CMD_KEY_PROCESS_H
#define MAILSEAL_CMD_KEY_PROCESS_H

#include "config/config.h"
#include "keys/keyd.h"

/*
 * Starts it when we are root and will not stay so; before privileges are
 * dropped and before any thread.  True with NULL in *ret when there is nothing
 * to separate; false and a line in `errors` when it cannot be started.
 * `argc`, `argv`: of main(), to give the process its name.
 */
bool key_process_start(const struct config *c, int argc, char **argv,
		       struct keyd **ret, struct strbuf *errors);
/* Sends us SIGTERM, and a line to the log, when it ends before we do; NULL is
 * allowed.  False: no thread. */
bool key_process_watch(struct keyd *d);
/* Did it? */
bool key_process_lost(void);

#endif
