/*
 * One connection of the control socket: its bytes, in and out, without ever
 * waiting.  What the request means, and every lock, is control.c's.
 */
#ifndef MAILSEAL_CONTROL_CALLER_H
#define MAILSEAL_CONTROL_CALLER_H

#include "control/peer.h"

enum caller_state {
	CALLER_ASKS,  /* its line is not complete */
	CALLER_WAITS, /* its command runs, or will */
	CALLER_TAKES, /* its reply is complete */
};

struct caller {
	struct control *server;
	struct caller *next; /* in the queue of a worker */
	int fd;		     /* -1: gone, while its command runs */
	struct peer who;
	enum caller_state state;
	int64_t deadline; /* of asking and taking; clock_mono_ms() */
	int64_t told;	  /* when it was last told of progress */
	struct arena *arena;
	struct strbuf in, out;
	size_t sent; /* of `out` */
	int pass;    /* the descriptor that goes with it, or -1 */
	struct control_request request;
	const struct control_command *command;
};

enum caller_io {
	CALLER_MORE, /* nothing more for now */
	CALLER_DONE, /* the line is there; everything is sent */
	CALLER_GONE,
	CALLER_LONG, /* the line is longer than it may be */
};

/* Takes `fd`, which does not block. */
struct caller *caller_new(int fd, const struct peer *who, int64_t deadline);
void caller_free(struct caller *c);
/* The peer is not there any more; the rest lives on. */
void caller_hang_up(struct caller *c);

enum caller_io caller_read(struct caller *c);
enum caller_io caller_write(struct caller *c);
/* Splits the line at spaces.  False: empty, too many words, or control
 * characters. */
bool caller_split(struct caller *c);
/* "progress TEXT"; left out when the peer does not read. */
void caller_tell(struct caller *c, const char *text);
/* "status N" and the text; takes the descriptor, -1 for none. */
void caller_reply(struct caller *c, int status, struct slice text, int fd);

#endif
