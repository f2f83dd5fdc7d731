/*
 * Allocations that fail on order, for LD_PRELOAD: tests/soak/faults.py builds
 * and uses it.  The file that FAIL_ALLOC names holds two numbers of 32 bits:
 * fail every n-th call (0: none), and how many failed.  mailseald has a
 * malloc() of its own, which calls glibc by the names that are replaced here;
 * so do the libraries, through it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct order {
	_Atomic uint32_t every;
	_Atomic uint32_t failed;
} * order;
static _Atomic uint32_t calls;

__attribute__((constructor)) static void take_order(void)
{
	const char *path = getenv("FAIL_ALLOC");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	close(fd);
	if (p != MAP_FAILED)
		order = p;
}

static int fails(void)
{
	uint32_t every = order != NULL ? order->every : 0;

	if (every == 0 || ++calls % every != 0)
		return 0;
	order->failed++;
	errno = ENOMEM;
	return 1;
}

/* The function that `name` would be without this file. */
static void *real(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		abort();
	return f;
}

#define REAL(name, type)                                                       \
	({                                                                     \
		static _Atomic(void *) f;                                      \
		if (f == NULL)                                                 \
			f = real(name);                                        \
		(type)(void *) f;                                              \
	})

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *__libc_malloc(size_t size)
{
	if (fails())
		return NULL;
	return REAL("__libc_malloc", void *(*)(size_t))(size);
}

void *__libc_calloc(size_t n, size_t size)
{
	if (fails())
		return NULL;
	return REAL("__libc_calloc", void *(*)(size_t, size_t))(n, size);
}

void *__libc_realloc(void *p, size_t size)
{
	if (fails())
		return NULL;
	return REAL("__libc_realloc", void *(*)(void *, size_t))(p, size);
}

void *__libc_memalign(size_t align, size_t size)
{
	if (fails())
		return NULL;
	return REAL("__libc_memalign", void *(*)(size_t, size_t))(align, size);
}
