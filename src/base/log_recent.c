/* A ring. */
#include "base/log_recent.h"

#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_recent ring[LOG_RECENT_MAX];
static size_t added; /* since start */

void log_recent_add(int64_t time_ms, int level, const char *text)
{
	struct log_recent *r;

	pthread_mutex_lock(&lock);
	r = &ring[added++ % LOG_RECENT_MAX];
	r->time_ms = time_ms;
	r->level = level;
	(void)snprintf(r->text, sizeof(r->text), "%.*s", LOG_RECENT_BYTES,
		       text);
	pthread_mutex_unlock(&lock);
}

size_t log_recent_get(struct arena *a, struct log_recent **ret)
{
	size_t n, first;

	*ret = arena_array(a, LOG_RECENT_MAX, sizeof(**ret));
	pthread_mutex_lock(&lock);
	n = added < LOG_RECENT_MAX ? added : LOG_RECENT_MAX;
	first = added - n;
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = ring[(first + i) % LOG_RECENT_MAX];
	pthread_mutex_unlock(&lock);
	return n;
}
