/*
 * What outlives a reload: a part with a thread or a memory of its own (the
 * resolver, the journal, the counts), shared by the configurations that follow
 * one another for as long as its own options stay the same.
 */
#ifndef MAILSEAL_MILTER_SERVICE_H
#define MAILSEAL_MILTER_SERVICE_H

struct service;

typedef void service_free(void *what);

/* Owns `what`.  `options`: a text that differs when another `what` would have
 * to be made.  One reference is the caller's. */
struct service *service_new(void *what, service_free *free_it,
			    const char *options);
/* Another reference to `s` when it was made with these options, else NULL. */
struct service *service_keep(struct service *s, const char *options);
void *service_get(const struct service *s); /* NULL: of none */
void service_unref(struct service *s);	    /* NULL is allowed */

#endif
