/*
 * When there is no memory left, or no thread can be made, mailseald ends, and
 * says so: the MTA's milter_default_action decides, and a supervisor starts it
 * anew.  That holds for what libraries ask for, too.  Left to themselves they
 * crash, or report an error that looks like a result: libcrypto, that a good
 * signature did not verify.  libmilter forgets a session for which it can make
 * no thread, and neither answers nor closes it.
 *
 * These take the place of glibc's functions of that name in the whole process.
 * They call glibc by its other names for them, so free() stays as it is.  Not
 * for the sanitizers, which have such functions of their own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#if defined(HAVE___LIBC_MALLOC) && !defined(SANITIZED)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

/* stdio may allocate. */
static void say(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

static void *checked(void *p)
{
	if (p == NULL) {
		say("mailseal: out of memory\n");
		abort();
	}
	return p;
}

void *malloc(size_t size)
{
	return checked(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return checked(__libc_calloc(n, size));
}

/* With 0 glibc frees, and NULL is no failure. */
void *realloc(void *p, size_t size)
{
	void *q = __libc_realloc(p, size);

	return size == 0 && p != NULL ? q : checked(q);
}

void *aligned_alloc(size_t align, size_t size)
{
	return checked(__libc_memalign(align, size));
}

int posix_memalign(void **out, size_t align, size_t size)
{
	if (align < sizeof(void *) || (align & (align - 1)) != 0)
		return EINVAL;
	*out = checked(__libc_memalign(align, size));
	return 0;
}

int pthread_create(pthread_t *restrict thread,
		   const pthread_attr_t *restrict attr, void *(*start)(void *),
		   void *restrict arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
		    void *) = NULL;
	void *symbol = dlsym(RTLD_NEXT, "pthread_create");
	int r = EAGAIN;

	memcpy(&real, &symbol, sizeof(real));
	if (real != NULL)
		r = real(thread, attr, start, arg);
	if (r != 0) {
		say("mailseal: no thread can be made\n");
		_exit(EX_OSERR);
	}
	return r;
}
#else
typedef int glibc_is_left_as_it_is;
#endif
