/* One datagram for each state; there is nobody to tell when that fails. */
#include "control/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

static int notify_fd = -1;
static int64_t watchdog_ms;

/* "/path", or "@name" of the abstract namespace. */
static bool connect_to(const char *where)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = strlen(where);

	if (n < 2 || n >= sizeof(sun.sun_path))
		return false;
	memcpy(sun.sun_path, where, n);
	if (where[0] == '@')
		sun.sun_path[0] = '\0';
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return notify_fd >= 0 &&
	       connect(notify_fd, (struct sockaddr *)&sun,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				   n)) == 0;
}

/* sd_watchdog_enabled(3): meant for us alone when the process is named. */
static int64_t read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t n, who = (uint64_t)getpid();

	if (usec == NULL ||
	    !slice_u64(slice_of(usec), (uint64_t)INT64_MAX, &n))
		return 0;
	if (pid != NULL && (!slice_u64(slice_of(pid), INT32_MAX, &who) ||
			    who != (uint64_t)getpid()))
		return 0;
	return (int64_t)(n / 1000);
}

bool notify_open(void)
{
	const char *where = getenv("NOTIFY_SOCKET");
	bool ok = where == NULL || connect_to(where);

	if (!ok && notify_fd >= 0) {
		close(notify_fd);
		notify_fd = -1;
	}
	watchdog_ms = read_watchdog();
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return ok;
}

void notify(const char *state)
{
	if (notify_fd < 0)
		return;
	while (send(notify_fd, state, strlen(state), MSG_NOSIGNAL) < 0 &&
	       errno == EINTR)
		;
}

void notify_reloading(void)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		       (long long)clock_mono_ms() * 1000);
	notify(text);
}

int64_t notify_watchdog_ms(void)
{
	return watchdog_ms;
}
