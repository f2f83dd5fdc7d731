/*
 * The parts of the server: control.c polls, request.c understands what is
 * asked and has it done.  Only for these two.
 *
 * The polling thread owns the socket and the descriptors of all callers; a
 * worker gets a caller while its command runs.  One mutex guards the list of
 * callers, their replies and the queues; nothing under it waits.
 */
#ifndef MAILSEAL_CONTROL_SERVER_H
#define MAILSEAL_CONTROL_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "control/caller.h"

#define CALLERS_MAX	 40 /* with those of control_post() */
#define CONTROL_PAUSE_MS 1000 /* of what went wrong, and may again at once */

struct worker {
	struct control *server;
	struct caller *first, *last;
	pthread_t thread;
	bool runs;
};

struct control {
	struct control_options o;
	int listen_fd, wake_fd;
	dev_t dev; /* of the path, so that another's is not removed */
	ino_t ino;
	atomic_uint_fast64_t groups[CONTROL_ROLES];
	atomic_bool closing, stopping;
	pthread_t thread;
	bool runs;
	int64_t accept_after, next_tick;
	int64_t refused_at; /* of the last that was logged */
	uint64_t refused;   /* since, and not logged */

	pthread_mutex_t mutex;
	pthread_cond_t queued;
	size_t ncallers;
	struct caller *callers[CALLERS_MAX];
	struct worker workers[CONTROL_ROLES]; /* of CONTROL_NONE: none */
};

/* Any thread, without the mutex. */
void server_wake(struct control *c);
/* What came of a caller that asks; under the mutex. */
void server_take_request(struct control *c, struct caller *k);
/* The thread of a struct worker. */
void *server_work(void *worker);

#endif
