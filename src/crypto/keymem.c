/*
 * One range of addresses, reserved at once so that keymem_owns() is a
 * comparison, and made usable step by step.  A block has a size class in front
 * of it and goes back to the free list of its class; the range never shrinks.
 */
#include "crypto/keymem.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

/* 100,000 RSA keys of 2048 bits in use take about 1.5 GiB. */
#define RANGE (sizeof(void *) > 4 ? (size_t)4 << 30 : (size_t)64 << 20)
#define STEP  ((size_t)1 << 20)

/* Multiples of 64 bytes up to 4096, then powers of two up to STEP. */
#define GRAIN	64
#define SMALL	64
#define CLASSES (SMALL + 8)

struct block {
	_Alignas(16) uint32_t class;
	struct block *next; /* when it is free */
};

#define HEAD sizeof(struct block)

static struct {
	pthread_mutex_t lock;
	char *start; /* NULL: there is none */
	size_t usable, used;
	struct block *free[CLASSES];
} mem = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool keymem_open(void)
{
	void *p = mmap(NULL, RANGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	if (madvise(p, RANGE, MADV_DONTDUMP) != 0) {
		(void)munmap(p, RANGE);
		return false;
	}
	mem.start = p;
	return true;
}

bool keymem_owns(const void *p)
{
	return mem.start != NULL &&
	       (uintptr_t)p - (uintptr_t)mem.start < (uintptr_t)RANGE;
}

static size_t class_size(uint32_t class)
{
	return class < SMALL ? (class + (size_t)1) * GRAIN
			     : (size_t)SMALL * GRAIN << (class - SMALL + 1);
}

/* Of `n` bytes with their head; CLASSES when that is too large. */
static uint32_t class_of(size_t n)
{
	uint32_t class = SMALL;

	if (n <= (size_t)SMALL * GRAIN)
		return n > 0 ? (uint32_t)((n - 1) / GRAIN) : 0;
	while (class < CLASSES && class_size(class) < n)
		class ++;
	return class;
}

void keymem_lock(void)
{
	pthread_mutex_lock(&mem.lock);
	if (mem.usable > 0)
		(void)mlock2(mem.start, mem.usable, MLOCK_ONFAULT);
	pthread_mutex_unlock(&mem.lock);
}

/* With the lock held. */
static bool grow(void)
{
	char *p = mem.start + mem.usable;

	if (mem.usable + STEP > RANGE ||
	    mprotect(p, STEP, PROT_READ | PROT_WRITE) != 0)
		return false;
	/* No fault when there is no right to so much: then it can be swapped
	 * out. */
	(void)mlock2(p, STEP, MLOCK_ONFAULT);
#ifdef __SANITIZE_ADDRESS__
	__lsan_register_root_region(p, STEP);
#endif
	mem.usable += STEP;
	return true;
}

/* With the lock held. */
static struct block *take(uint32_t class)
{
	struct block *b = mem.free[class];
	size_t size = class_size(class);

	if (b != NULL) {
		mem.free[class] = b->next;
		b->next = NULL;
		return b;
	}
	if (mem.used + size > mem.usable && !grow())
		return NULL;
	b = (struct block *)(void *)(mem.start + mem.used);
	mem.used += size;
	b->class = class;
	return b;
}

void *keymem_alloc(size_t n)
{
	uint32_t class = n <= STEP ? class_of(n + HEAD) : CLASSES;
	struct block *b = NULL;

	if (mem.start == NULL || class == CLASSES)
		return NULL;
	pthread_mutex_lock(&mem.lock);
	b = take(class);
	pthread_mutex_unlock(&mem.lock);
	return b != NULL ? (char *)b + HEAD : NULL;
}

static struct block *block_of(void *p)
{
	return (struct block *)(void *)((char *)p - HEAD);
}

void *keymem_realloc(void *p, size_t n)
{
	size_t room = class_size(block_of(p)->class) - HEAD;
	void *q;

	if (n <= room)
		return p;
	q = keymem_alloc(n);
	if (q != NULL) {
		memcpy(q, p, room);
		keymem_free(p);
	}
	return q;
}

void keymem_free(void *p)
{
	struct block *b = block_of(p);

	explicit_bzero(p, class_size(b->class) - HEAD);
	pthread_mutex_lock(&mem.lock);
	b->next = mem.free[b->class];
	mem.free[b->class] = b;
	pthread_mutex_unlock(&mem.lock);
}

#ifdef __x86_64__
void keymem_forget_registers(void)
{
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3",
					   "xmm4", "xmm5", "xmm6", "xmm7",
					   "xmm8", "xmm9", "xmm10", "xmm11",
					   "xmm12", "xmm13", "xmm14", "xmm15");
	/* No code of ours uses these, but memcpy() does. */
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile(".irp n,16,17,18,19,20,21,22,23,24,25,26,27,"
				 "28,29,30,31\n\t"
				 "vpxord %%zmm\\n,%%zmm\\n,%%zmm\\n\n\t"
				 ".endr" ::);
}
#else
void keymem_forget_registers(void)
{
}
#endif
