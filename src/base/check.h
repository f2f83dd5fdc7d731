/*
 * CHECK(condition): what must hold, tested in builds with --enable-debug or
 * --enable-sanitize alone.  When it does not hold, that is logged, the work
 * goes on as it would without the test, and whoever is in charge of the work
 * asks check_failed() at its end: what a bug has touched is not trusted.
 */
#ifndef MAILSEAL_BASE_CHECK_H
#define MAILSEAL_BASE_CHECK_H

#include <stdbool.h>

#include "config.h"

/* Has a CHECK failed in this thread since the last call? */
bool check_failed(void);
void check_fail(const char *file, int line, const char *condition);

#ifdef MAILSEAL_DEBUG
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			check_fail(__FILE__, __LINE__, #condition);            \
	} while (0)
#else
#define CHECK(condition) ((void)0)
#endif

#endif
