/*
 * The libmilter edge: callbacks (milter.c), edits (apply.c), the listening
 * socket (listen.c).
 */
#ifndef MAILSEAL_MILTER_MILTER_H
#define MAILSEAL_MILTER_MILTER_H

#include <libmilter/mfapi.h>
#include <sys/socket.h>

#include "milter/session.h"

/* Registers with libmilter: call once.  `place` and `tally` must outlive
 * milter_run(). */
bool milter_register(struct app_place *place, struct tally *tally,
		     int listen_fd);
/* smfi_main(): returns when milter_stop() was called.  0 on success. */
int milter_run(void);
/* Asks milter_run() to return.  Sessions that are open then may still be at
 * work, but none begins. */
void milter_stop(void);
/* Those that are open. */
unsigned milter_sessions(void);
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
struct listen_address {
	struct sockaddr_storage sa;
	socklen_t n; /* 0: unknown */
};
/* Where `fd` listens. */
void listen_address(int fd, struct listen_address *ret);
/* Connects to it, and hangs up. */
void listen_knock(const struct listen_address *self);

/* While threads wait for the DNS, sees to it that libmilter has others for
 * other sessions (kick.c).  Once in a process. */
bool kick_start(int listen_fd);
/* Somebody begins to wait, and nobody did. */
void kick_wake(void);
extern struct dns_waiters kick_waiters; /* calls it; for every resolver */
/* After listen_close(), before milter_stop(): which otherwise takes until
 * libmilter looks whether it is to stop, up to 5 seconds. */
void kick_hurry(void);
void kick_stop(void); /* after milter_run() */

/*
 * No new connections from now on: swaps a socket nobody knows into `fd`, wakes
 * whoever polls the old one, and removes the path of a unix socket.
 */
void listen_close(const char *where, int fd);

#endif
