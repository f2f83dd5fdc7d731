/*
 * Signals are for main() alone.
 *
 * libmilter starts a thread that waits for SIGHUP, SIGTERM and SIGINT and ends
 * the filter on each.  While main() waits for them too, the kernel prefers it;
 * while main() is busy, as with a reload, libmilter would have the next one.
 * It waits with sigwait(3), which nobody else here uses: this is the one that
 * it finds, and it never returns.  main() uses sigwaitinfo(2).
 */
#include <semaphore.h>
#include <signal.h>

int sigwait(const sigset_t *set, int *sig)
{
	static sem_t never; /* a static one is a semaphore of value 0 */

	(void)set;
	(void)sig;
	for (;;)
		(void)sem_wait(&never);
}
