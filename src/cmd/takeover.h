/*
 * A new mailseald in place of one that runs, without a moment in which nobody
 * answers: it takes the listening socket of the other over the control socket,
 * and when it serves tells it to take no more.  The other serves its sessions
 * to their end, up to drain_max.
 */
#ifndef MAILSEAL_CMD_TAKEOVER_H
#define MAILSEAL_CMD_TAKEOVER_H

#include "config/config.h"

/* The listening socket of the mailseald that runs with this control.socket,
 * which goes on meanwhile; -1 and a line in `errors`. */
int takeover_begin(const struct config *c, struct strbuf *errors);
/* We serve: it takes no more connections, and the paths of its control socket
 * and of its metrics are free.  False and a line in `errors`. */
bool takeover_end(const struct config *c, struct strbuf *errors);

#endif
