/* Wiring, and what is asked of the kernel. */
#include "cmd/daemon_metrics.h"

#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/http.h"
#include "milter/metrics.h"
#include "milter/status.h"

static struct {
	char *where; /* NULL: there is none */
	int fd;	     /* -1: the server has it */
	int64_t start_time;
	struct app_place *place;
	atomic_bool stopping;
	struct http *http;
} self;

/* Root's own group would let nobody else ask. */
static gid_t group_of(const struct config *c)
{
	const struct passwd *pw = NULL;

	if (geteuid() == 0 && c->user[0] != '\0')
		pw = getpwnam(c->user);
	return pw != NULL ? pw->pw_gid : (gid_t)-1;
}

bool daemon_metrics_open(const struct config *c, struct strbuf *errors)
{
	const char *where = c->metrics.listen, *err = NULL;

	if (where[0] == '\0')
		return true;
	self.fd = http_listen(c->arena, where, group_of(c), &err);
	if (self.fd < 0) {
		strbuf_printf(errors, "metrics.listen: %s\n", err);
		return false;
	}
	self.where = mem_strdup(where);
	return true;
}

/* ---- what the kernel knows ---- */

static uint64_t us_of(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static uint64_t cpu_us(void)
{
	struct rusage r = {0};

	(void)getrusage(RUSAGE_SELF, &r);
	return us_of(&r.ru_utime) + us_of(&r.ru_stime);
}

/* ---- the pages ---- */

/* The caller gives the app back. */
static struct metrics_facts facts_now(void)
{
	int64_t memory = status_memory();
	struct reload_state r;

	reload_state_get(self.place, &r);
	return (struct metrics_facts){
		.app = app_get(self.place),
		.stopping = atomic_load(&self.stopping),
		.reloads = r.done,
		.failed_reloads = r.failed,
		.reload_time = r.time,
		.reload_ok = r.ok,
		.start_time = self.start_time,
		.resident = memory > 0 ? (uint64_t)memory : 0,
		.cpu_us = cpu_us(),
	};
}

void daemon_metrics_write(struct strbuf *text)
{
	struct metrics_facts f = facts_now();

	metrics_write(text, &f);
	app_unref(f.app);
}

static unsigned write_metrics(void *arg, struct strbuf *text)
{
	(void)arg;
	daemon_metrics_write(text);
	return 200;
}

static unsigned write_health(void *arg, struct strbuf *text)
{
	struct metrics_facts f = facts_now();
	bool ok = metrics_health(text, &f);

	(void)arg;
	app_unref(f.app);
	return ok ? 200 : 503;
}

bool daemon_metrics_start(struct app_place *place)
{
	static const struct http_page pages[] = {
		{"/metrics", "text/plain; version=0.0.4; charset=utf-8",
		 write_metrics},
		{"/healthz", "text/plain; charset=utf-8", write_health},
	};

	self.place = place;
	self.start_time = clock_unix();
	if (self.where == NULL)
		return true;
	self.http = http_start(self.fd, pages, sizeof(pages) / sizeof(*pages),
			       NULL);
	self.fd = -1;
	return self.http != NULL;
}

void daemon_metrics_stopping(void)
{
	atomic_store(&self.stopping, true);
}

static void stop(void)
{
	if (self.where == NULL)
		return;
	http_stop(self.http);
	self.http = NULL;
	http_unlink(self.where);
	if (self.fd >= 0)
		close(self.fd);
	free(self.where);
	self.where = NULL;
}

/* By main at the end, and by a command that has us yield. */
void daemon_metrics_stop(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	stop();
	pthread_mutex_unlock(&lock);
}
