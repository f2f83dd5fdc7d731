/*
 * The control socket of mailseald: a Unix socket on which `mailseal status`,
 * `mailseal reload` and the like ask, each with the role of who it is.
 *
 * One request, one reply, then the connection ends.  The request is a line of
 * words; the reply is any number of lines "progress TEXT", one line "status N"
 * with N of sysexits(3), then text until the end.  A reply may carry one
 * descriptor (SCM_RIGHTS).
 *
 * A thread of its own polls; it never waits for a peer, nor for a command.
 * Commands run in two more threads, one for each role, one after another: a
 * reload that takes a minute keeps nobody from asking for the status.  What
 * the commands are, whoever makes the server says.  Local only: there is no
 * other socket than this one.
 */
#ifndef MAILSEAL_CONTROL_CONTROL_H
#define MAILSEAL_CONTROL_CONTROL_H

#include <sys/types.h>

#include "base/str.h"

#define CONTROL_REQUEST_MAX 4096 /* bytes, with the line feed */
#define CONTROL_WORDS_MAX   16
#define CONTROL_REPLY_MAX   (1 << 20)	/* bytes of text */
#define CONTROL_NOBODY	    ((gid_t)-1) /* no group has this number */

/* Each may do what those before it may. */
enum control_role {
	CONTROL_NONE,
	CONTROL_READ,  /* look */
	CONTROL_ADMIN, /* change; root, and who we run as, are this always */
	CONTROL_ROLES,
};

struct control_request {
	size_t n; /* at least 1: the command's name */
	const char *const *words;
	enum control_role role;
	uid_t uid;
	pid_t pid;
};

struct control_reply {
	struct strbuf text;
	int fd;	      /* -1; else it goes with the reply and is closed here */
	void *caller; /* of control_progress() */
};

struct control_command {
	const char *name;
	enum control_role role; /* the least that may ask for it */
	/* Returns a status of sysexits(3).  Runs in the thread of its role,
	 * never twice at once; `request` and `reply` are its own until it
	 * returns. */
	int (*run)(void *arg, const struct control_request *request,
		   struct control_reply *reply);
	/* What the log has in place of word i > 0, perhaps in `a`.  NULL: the
	 * word itself. */
	const char *(*shown)(void *arg, struct arena *a,
			     const struct control_request *request, size_t i);
};

struct control_options {
	const char *path;			/* NULL or "": no socket */
	const struct control_command *commands; /* these outlive the server */
	size_t ncommands;
	void *arg; /* of the commands and of tick() */
	/* Called by the polling thread every `tick_ms`; must not wait.  NULL:
	 * nothing is. */
	void (*tick)(void *arg);
	int tick_ms;
	/* How long a peer may take to ask, and to take its reply; 0: 10 s and
	 * 60 s. */
	int request_ms, reply_ms;
};

struct control;

/* Makes the socket; needs the right to, and starts nothing.  NULL and one line
 * in *err (in `a`) on failure: a socket that is in use stays. */
struct control *control_new(struct arena *a, const struct control_options *o,
			    const char **err);
/* The groups of the two roles, CONTROL_NOBODY for none; nobody but root and
 * ourselves until then.  Any thread, any time. */
void control_set_groups(struct control *c, gid_t read, gid_t admin);
/* Starts the threads: after privileges were dropped. */
bool control_start(struct control *c);
/* Has a command without arguments run as if we had asked, and its reply thrown
 * away: what a signal asks for.  Twice before it begins is once.  Any thread,
 * never waits.  False: there is no such command, or nobody to run it. */
bool control_post(struct control *c, const char *command);
/* Nobody new from now on; the path is free when this returns.  Those who are
 * connected are served.  Any thread, a command's too. */
void control_close(struct control *c);
/* Waits for the command that runs, if any; NULL is allowed. */
void control_free(struct control *c);

/* One line for who waits; not more often than somebody can read.  May be
 * called by the thread that runs the command alone. */
void control_progress(struct control_reply *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
