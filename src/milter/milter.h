/*
 * The libmilter edge: callbacks (milter.c), edits (apply.c), the listening
 * socket (listen.c).
 */
#ifndef MAILSEAL_MILTER_MILTER_H
#define MAILSEAL_MILTER_MILTER_H

#include <libmilter/mfapi.h>

#include "milter/session.h"

/* Registers with libmilter: call once.  `app` must outlive milter_run(). */
bool milter_register(const struct app *app, int listen_fd);
/* smfi_main(): returns when milter_stop() was called.  0 on success. */
int milter_run(void);
/* Asks milter_run() to return. */
void milter_stop(void);
/* Messages between MAIL and their end, for draining. */
unsigned milter_in_flight(void);

/* Applies the edits of an outcome; false when the MTA refused one. */
bool apply_edits(SMFICTX *ctx, const struct edits *edits);

/*
 * Makes the listening socket that `where` names ("unix:/path",
 * "inet:port@addr", "inet6:port@addr", "fd:N").  A stale unix socket is
 * replaced; one that answers is refused.  Returns a descriptor, or -1 and one
 * line in *err (in `a`).
 */
int listen_open(struct arena *a, const char *where, const char *mode,
		const char *group, const char **err);
/* Connects to the socket that `fd` listens on, and hangs up. */
void listen_knock(int fd);

/* While threads wait for the DNS, sees to it that libmilter has others for
 * other sessions (kick.c).  Once in a process. */
bool kick_start(const struct dns *dns, int listen_fd);
/* Somebody begins to wait, and nobody did. */
void kick_wake(void);
void kick_stop(void);

/*
 * No new connections from now on: swaps a socket nobody knows into `fd`, wakes
 * whoever polls the old one, and removes the path of a unix socket.
 */
void listen_close(const char *where, int fd);

#endif
