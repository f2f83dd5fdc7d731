/*
 * Progress of what may take long: whoever does it tells whoever waits for the
 * thread that does it, as often as it likes; who shows it decides how often.
 */
#ifndef MAILSEAL_BASE_PROGRESS_H
#define MAILSEAL_BASE_PROGRESS_H

#include <stddef.h>

struct progress {
	void (*tell)(void *arg, const char *text); /* "keys: 512 of 100,000" */
	void *arg;
};

/* Who waits for this thread from now on; NULL: nobody.  It must live as long.
 */
void progress_set(const struct progress *p);
/* `what`: a word or two; `all` 0: not known.  Every 256th step is told. */
void progress_step(const char *what, size_t done, size_t all);

#endif
