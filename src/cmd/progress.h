/*
 * How far a long command is, on standard error: on a terminal one line that is
 * written anew each half second, else a line each ten seconds.  What takes
 * less than a second shows nothing.
 */
#ifndef MAILSEAL_CMD_PROGRESS_H
#define MAILSEAL_CMD_PROGRESS_H

#include "base/str.h"

/* Starts zeroed. */
struct progress_view {
	int64_t started, shown; /* clock_mono_ms() */
	bool open;		/* a line on the terminal is to be removed */
};

/* Shows the text, if it is time. */
void progress_show(struct progress_view *v, struct slice text);
/* The same, as the callback of struct progress: `view` is one. */
void progress_show_text(void *view, const char *text);
/* Before anything else is written. */
void progress_end(struct progress_view *v);

#endif
