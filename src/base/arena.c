/* Region memory: a chain of chunks, freed together. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 16384
#define ALIGN	   16

struct chunk {
	struct chunk *next;
	size_t size;
	size_t used;
	_Alignas(ALIGN) char bytes[];
};

struct arena {
	struct chunk *head; /* the one being filled */
	size_t used;
};

static void out_of_memory(void)
{
	fputs("mailseal: out of memory\n", stderr);
	abort();
}

void *mem_alloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}

void *mem_realloc(void *p, size_t size)
{
	void *q = realloc(p, size > 0 ? size : 1);
	if (q == NULL)
		out_of_memory();
	return q;
}

char *mem_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(mem_alloc(n), s, n);
}

struct arena *arena_new(void)
{
	return mem_alloc(sizeof(struct arena));
}

void arena_free(struct arena *a)
{
	struct chunk *c, *next;

	if (a == NULL)
		return;
	for (c = a->head; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

static struct chunk *chunk_new(size_t room)
{
	struct chunk *c;

	if (room > SIZE_MAX - sizeof(*c))
		out_of_memory();
	c = malloc(sizeof(*c) + room);
	if (c == NULL)
		out_of_memory();
	c->size = room;
	c->used = 0;
	c->next = NULL;
	return c;
}

/* Large pieces get a chunk of their own behind the head, so that the head's
 * free room is not lost. */
static void *alloc_large(struct arena *a, size_t size)
{
	struct chunk *c = chunk_new(size);

	c->used = size;
	if (a->head == NULL) {
		a->head = c;
	} else {
		c->next = a->head->next;
		a->head->next = c;
	}
	return c->bytes;
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p;

	if (size > SIZE_MAX - ALIGN)
		out_of_memory();
	size = size == 0 ? ALIGN : (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	a->used += size;
	if (size > CHUNK_SIZE / 4) {
		p = alloc_large(a, size);
	} else {
		if (a->head == NULL || a->head->size - a->head->used < size) {
			struct chunk *c = chunk_new(CHUNK_SIZE);
			c->next = a->head;
			a->head = c;
		}
		p = a->head->bytes + a->head->used;
		a->head->used += size;
	}
	return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		out_of_memory();
	return arena_alloc(a, total);
}

char *arena_memdup(struct arena *a, const void *p, size_t n)
{
	char *copy;

	if (n == SIZE_MAX)
		out_of_memory();
	copy = arena_alloc(a, n + 1);
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char text[256]; /* mostly enough: then it is formatted once */
	va_list ap;
	int n;
	char *p;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	if ((size_t)n < sizeof(text))
		return arena_memdup(a, text, (size_t)n);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
