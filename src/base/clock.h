/*
 * Time and random bytes.  Pure layers take `now` as a value; only edges and
 * dns/ call these.
 */
#ifndef MAILSEAL_BASE_CLOCK_H
#define MAILSEAL_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_unix(void);    /* seconds since 1970 UTC */
int64_t clock_unix_ms(void); /* the same in milliseconds */
int64_t clock_mono_ms(void); /* milliseconds, never goes back */
int64_t clock_mono_us(void); /* the same in microseconds */

/* Fills `p` with random bytes from the kernel; exits if there are none. */
void random_fill(void *p, size_t n);

#endif
