/*
 * Which folders mailseald may write to: what the sandbox
 * (control/sandbox.h) cannot know.
 */
#ifndef MAILSEAL_CMD_CONFINE_H
#define MAILSEAL_CMD_CONFINE_H

#include "config/config.h"

/* After privileges were dropped, before threads.  False and a line in the log:
 * it must not go on. */
bool confine(const struct config *c);
/* With another configuration: may all of its folders be written to?  False and
 * a line in `errors` for each that needs a restart. */
bool confine_allows(const struct config *c, struct strbuf *errors);

#endif
