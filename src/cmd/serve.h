/*
 * mailseald at work: from its threads to its end.
 */
#ifndef MAILSEAL_CMD_SERVE_H
#define MAILSEAL_CMD_SERVE_H

#include <signal.h>

#include "base/log.h"
#include "cmd/daemon_commands.h"
#include "milter/place.h"

struct daemon {
	const struct app_process *process;
	struct app_place *place;
	struct daemon_commands *commands; /* NULL: with takeover, made later */
	const sigset_t *signals;	  /* blocked, for us alone */
	int fd;				  /* the listening socket */
	const char *socket; /* what it was made from: a reload changes none */
	bool takeover;	    /* another mailseald is to yield once we serve */
};

/* Serves until a signal asks for the end, or another mailseald takes over.
 * Frees the commands.  An exit status; does not return when sessions are open
 * that do not end. */
int serve(struct daemon *d);

void serve_open_log(const struct config *c);
void serve_log_lines(struct slice text, enum log_level level);

#endif
