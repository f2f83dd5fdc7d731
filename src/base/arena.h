/*
 * Region memory: everything that a connection or a message needs is taken
 * from one region and given back in one call.
 *
 * An arena belongs to one thread at a time; nothing in it is locked.
 * A function whose first argument is a `struct arena *` puts its result
 * there, and nobody frees it singly.  Out of memory ends the process (the
 * sizes that the wire drives have limits of their own, so this is never the
 * sender's doing).
 */
#ifndef MAILSEAL_BASE_ARENA_H
#define MAILSEAL_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
/* Frees the arena and all in it; NULL is allowed. */
void arena_free(struct arena *a);

/* `size` bytes, zeroed, aligned for any type.  Never NULL. */
void *arena_alloc(struct arena *a, size_t size);
/* Room for `n` elements of `size` bytes, zeroed; exits on overflow. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A copy of `n` bytes with a NUL after them. */
char *arena_memdup(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Bytes that were handed out, for limits and metrics. */
size_t arena_used(const struct arena *a);

/* malloc and realloc that exit when memory is gone: for objects that
 * outlive a message.  Freed with free(3). */
void *mem_alloc(size_t size);
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);

#endif
