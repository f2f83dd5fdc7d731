/*
 * What mailseald does when it is asked on the control socket, and what it
 * tells the service manager by itself: wiring of control/ and milter/.
 */
#ifndef MAILSEAL_CMD_DAEMON_COMMANDS_H
#define MAILSEAL_CMD_DAEMON_COMMANDS_H

#include "milter/place.h"

struct daemon_commands;

/* In force when it returns true; lines in `errors`, and in `warnings`, for who
 * asked.  Logs by itself. */
typedef bool daemon_reload(struct app_place *place, struct strbuf *errors,
			   struct strbuf *warnings);

/* Makes the socket, which may need root; starts nothing.  NULL and lines in
 * `errors` on failure. */
struct daemon_commands *daemon_commands_new(const struct config *c,
					    struct strbuf *errors);
struct daemon_hooks {
	struct app_place *place; /* outlives us */
	daemon_reload *reload;
	int listen_fd;	    /* for a mailseald that takes over */
	const char *socket; /* what it is, as configured */
};

/* Starts the threads, after privileges were dropped. */
bool daemon_commands_start(struct daemon_commands *d,
			   const struct daemon_hooks *hooks);
/* Has another mailseald taken over?  Then SIGTERM was sent to us. */
bool daemon_commands_yielded(const struct daemon_commands *d);
/* Below, NULL is allowed: nobody can ask, and SIGHUP does nothing. */

/* Has another mailseald our socket, and is about to serve?  Once we are
 * stopping nobody gets it any more. */
bool daemon_commands_lent(const struct daemon_commands *d);

/* A reload by the thread of the commands, which SIGHUP asks for. */
void daemon_commands_reload(struct daemon_commands *d);
/* Main comes round; once a second, or it counts as stuck. */
void daemon_commands_beat(struct daemon_commands *d);
/* Main waits for the end of messages from now on. */
void daemon_commands_stopping(struct daemon_commands *d);
void daemon_commands_free(struct daemon_commands *d);

#endif
