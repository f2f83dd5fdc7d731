/* The one who waits, of each thread; and numbers in groups of three. */
#include "base/progress.h"

#include <stdio.h>
#include <string.h>

#define EVERY 256

static _Thread_local const struct progress *waiting;

void progress_set(const struct progress *p)
{
	waiting = p;
}

static void grouped(char ret[40], size_t n)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%zu", n), k = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			ret[k++] = ',';
		ret[k++] = digits[i];
	}
	ret[k] = '\0';
}

void progress_step(const char *what, size_t done, size_t all)
{
	char left[40], right[40], text[160];

	if (waiting == NULL || done % EVERY != 0)
		return;
	grouped(left, done);
	grouped(right, all);
	(void)snprintf(text, sizeof(text),
		       all > 0 ? "%.40s: %s of %s" : "%.40s: %s", what, left,
		       right);
	waiting->tell(waiting->arg, text);
}
