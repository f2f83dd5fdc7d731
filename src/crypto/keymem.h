/*
 * Memory for private keys: it is in no core dump, is not swapped out where the
 * limit of locked memory allows it, and is wiped when it is freed.
 *
 * Not a guard against who can read the memory of the process, and not for
 * anything that is large or often made.  Thread-safe.
 */
#ifndef MAILSEAL_CRYPTO_KEYMEM_H
#define MAILSEAL_CRYPTO_KEYMEM_H

#include <stdbool.h>
#include <stddef.h>

/* False: the system does not give it; keymem_alloc() returns NULL then. */
bool keymem_open(void);
/* Aligned for any type; NULL when `n` is too large or there is no more. */
void *keymem_alloc(size_t n);
/* `p` from keymem_alloc(); NULL, and `p` stays, when there is no more. */
void *keymem_realloc(void *p, size_t n);
void keymem_free(void *p); /* not NULL */
/* Is it from here? */
bool keymem_owns(const void *p);
/* After a fork(), which does not inherit that memory stays out of swap. */
void keymem_lock(void);

/* A thread that waits keeps what was last copied in its vector registers, and
 * they are in a core dump.  Empties them, on amd64. */
void keymem_forget_registers(void);

#endif
