/* The other side of the control socket: one question, for `mailseal` and for a
 * mailseald that takes over. */
#ifndef MAILSEAL_CONTROL_ASK_H
#define MAILSEAL_CONTROL_ASK_H

#include <sys/types.h>

#include "base/str.h"

struct control_answer {
	int status;	   /* of sysexits(3) */
	struct slice text; /* in the arena */
	int fd;		   /* that came with it, the caller's now; or -1 */
};

struct control_question {
	const char *path;
	const char *request; /* words with single spaces between */
	int silence_ms;	     /* as long nothing may come; 0: for ever */
	/* Each line of progress, as it comes; or NULL. */
	void (*progress)(void *arg, struct slice text);
	void *arg;
	/* Who may answer, as the kernel tells; none: anybody. */
	const uid_t *owners;
	size_t nowners;
};

/* False and one line in *err (in `a`) when nobody answers in full. */
bool control_ask(struct arena *a, const struct control_question *q,
		 struct control_answer *ret, const char **err);

#endif
