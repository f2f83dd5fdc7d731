/* What every unit test includes before anything else. */
#ifndef MAILSEAL_TESTS_CHECK_H
#define MAILSEAL_TESTS_CHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"

/* A copy on the heap without a NUL, so that the sanitizer sees over-reads.
 * Free it with free(). */
static inline struct slice check_heap(const char *p, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);
	if (n > 0)
		memcpy(copy, p, n);
	return (struct slice){copy, n};
}

static inline void check_slice_at(struct slice got, const char *want,
				  const char *file, int line)
{
	if (got.n == strlen(want) && memcmp(got.p, want, got.n) == 0)
		return;
	print_error("got \"%.*s\", want \"%s\"\n", (int)got.n,
		    got.p != NULL ? got.p : "", want);
	_fail(file, line);
}
#define check_slice(got, want) check_slice_at(got, want, __FILE__, __LINE__)

#endif
