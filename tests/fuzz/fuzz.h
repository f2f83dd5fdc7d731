/*
 * What every fuzz target includes: the entry point of libFuzzer, a check that
 * stays in every build, and readers for the lines of an input.
 *
 * A target is one file with one entry point.  libFuzzer calls it in the build
 * of --enable-fuzz; replay.c calls it with the seeds in every other build.
 */
#ifndef MAILSEAL_TESTS_FUZZ_H
#define MAILSEAL_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* `data` has `size` bytes and no NUL after them.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process when `cond` is false, whatever NDEBUG says. */
#define FUZZ_CHECK(cond)                                                       \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__,     \
				__LINE__, #cond);                              \
			abort();                                               \
		}                                                              \
	} while (0)

static inline struct slice fuzz_input(const uint8_t *data, size_t size)
{
	return (struct slice){(const char *)data, size};
}

/* The first line of `*rest`, which becomes what follows; "" at the end. */
static inline struct slice fuzz_line(struct slice *rest)
{
	struct slice line;

	if (rest->p == NULL)
		return (struct slice){"", 0};
	line = slice_cut(rest, '\n');
	return line;
}

static inline bool fuzz_printable(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

/* Does `part` lie inside of `whole`?  The empty slice may lie anywhere. */
static inline bool fuzz_inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.p >= whole.p && part.n <= whole.n &&
			       part.p + part.n <= whole.p + whole.n);
}

#endif
