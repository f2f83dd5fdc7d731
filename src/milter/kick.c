/*
 * Keeps libmilter from starving sessions.
 *
 * Its worker pool starts a thread only when a connection has something to say
 * while no thread is idle.  In a burst many connections are given to one idle
 * thread, which takes the first and, when that waits for the DNS, leaves the
 * others without any (libmilter's worker.c, tm_nb_idle; the count is lowered
 * by the thread once it runs).  So while threads wait for the DNS we connect
 * to our own socket and hang up: each time libmilter starts a thread, which
 * finds the end of that connection and then takes a session that nobody
 * serves.  While each of them makes one more wait, we double their number;
 * else there is nobody left to serve, and we look less and less often.  Idle
 * threads end by themselves.
 *
 * At the end the same wakes libmilter's listener, which sleeps for 5 seconds
 * while smfi_stop() waits for it.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "milter/milter.h"

#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 500
#define KICKS_MAX    64
#define HURRY_MS     5

static struct {
	pthread_t thread;
	sem_t woken;
	atomic_bool stopping;
	atomic_bool hurry;
	int listen_fd;
	struct listen_address last; /* in a hurry */
} kick;

struct dns_waiters kick_waiters = {.first = kick_wake};

static void sleep_ms(unsigned ms)
{
	const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* Until nobody waits any more. */
static void serve_waiting(void)
{
	unsigned pause = PAUSE_MIN_MS, kicks = 1, before = 0, n;
	struct listen_address self;

	while (!atomic_load(&kick.stopping) && !atomic_load(&kick.hurry)) {
		sleep_ms(pause);
		n = atomic_load(&kick_waiters.n);
		if (n == 0)
			return;
		if (n >= before + kicks) {
			kicks = kicks < KICKS_MAX ? 2 * kicks : KICKS_MAX;
			pause = PAUSE_MIN_MS;
		} else {
			kicks = 1;
			pause = pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS;
		}
		listen_address(kick.listen_fd, &self); /* may be another */
		for (unsigned i = 0; i < kicks; i++)
			listen_knock(&self);
		before = n;
	}
}

static void *kick_thread(void *unused)
{
	(void)unused;
	while (!atomic_load(&kick.stopping)) {
		while (sem_wait(&kick.woken) != 0 && errno == EINTR)
			;
		serve_waiting();
		while (atomic_load(&kick.hurry) &&
		       !atomic_load(&kick.stopping)) {
			listen_knock(&kick.last);
			sleep_ms(HURRY_MS);
		}
	}
	return NULL;
}

bool kick_start(int listen_fd)
{
	kick.listen_fd = listen_fd;
	return sem_init(&kick.woken, 0, 0) == 0 &&
	       pthread_create(&kick.thread, NULL, kick_thread, NULL) == 0;
}

void kick_wake(void)
{
	sem_post(&kick.woken);
}

void kick_hurry(void)
{
	listen_address(kick.listen_fd, &kick.last);
	atomic_store(&kick.hurry, true);
	kick_wake();
}

void kick_stop(void)
{
	atomic_store(&kick.stopping, true);
	kick_wake();
	pthread_join(kick.thread, NULL);
}
