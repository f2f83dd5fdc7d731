/* Any thread may drop the last reference. */
#include "milter/service.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

struct service {
	void *what;
	service_free *free_it;
	char *options;
	atomic_uint refs;
};

struct service *service_new(void *what, service_free *free_it,
			    const char *options)
{
	struct service *s = mem_alloc(sizeof(*s));

	s->what = what;
	s->free_it = free_it;
	s->options = mem_strdup(options);
	atomic_init(&s->refs, 1);
	return s;
}

struct service *service_keep(struct service *s, const char *options)
{
	if (s == NULL || strcmp(s->options, options) != 0)
		return NULL;
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void *service_get(const struct service *s)
{
	return s != NULL ? s->what : NULL;
}

void service_unref(struct service *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	s->free_it(s->what);
	free(s->options);
	free(s);
}
