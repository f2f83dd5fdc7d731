/*
 * control/watchdog and control/notify, on a stand-in for the socket of the
 * service manager.  Time is a number.  That a real event thread counts, and
 * stops when it is stuck: test_dns_outage.c and test_control.py.
 */
#include "check.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/notify.h"
#include "control/watchdog.h"

#define INTERVAL 20000

enum { FIRST, SECOND };

static int service_manager = -1;
static char dir[] = "/tmp/watchdog.XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify",
		       dir);
	service_manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (bind(service_manager, (struct sockaddr *)&address,
		 sizeof(address)) != 0)
		return -1;
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	setenv("WATCHDOG_USEC", "20000000", 1);
	return notify_open() ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	close(service_manager);
	(void)unlink(address.sun_path);
	return rmdir(dir);
}

/* What was told, "" when nothing was. */
static const char *told(void)
{
	static char text[256];
	ssize_t n = recv(service_manager, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_open(void **state)
{
	(void)state;
	assert_int_equal(notify_watchdog_ms(), INTERVAL);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	notify("STATUS=well");
	assert_string_equal(told(), "STATUS=well");
	notify_reloading();
	assert_memory_equal(told(), "RELOADING=1\nMONOTONIC_USEC=", 27);
}

/* sd_watchdog_enabled(3): another process' variables are not ours. */
static void test_other_process(void **state)
{
	(void)state;
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	assert_true(notify_open());
	assert_int_equal(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	assert_true(notify_open());
	assert_int_equal(notify_watchdog_ms(), INTERVAL);
}

static void test_all_well(void **state)
{
	struct watchdog w;
	unsigned n = 0;

	(void)state;
	watchdog_init(&w, INTERVAL);
	for (int64_t now = 1000; now < 1000 + 5 * INTERVAL; now += 1000) {
		watchdog_beat(&w, FIRST, "first", (uint64_t)now, now);
		watchdog_beat(&w, SECOND, "second", (uint64_t)now, now);
		assert_true(watchdog_tick(&w, now));
		n += strcmp(told(), "WATCHDOG=1") == 0;
	}
	assert_int_equal(n, 10); /* twice in an interval */
}

/* One of two is enough; when it moves again, so do we. */
static void test_stuck(void **state)
{
	struct watchdog w;
	int64_t now, last = 0;

	(void)state;
	watchdog_init(&w, INTERVAL);
	for (now = 0; now < 4 * INTERVAL; now += 1000) {
		uint64_t second = now < INTERVAL ? (uint64_t)now : INTERVAL;

		watchdog_beat(&w, FIRST, "first", (uint64_t)now, now);
		watchdog_beat(&w, SECOND, "second", second, now);
		(void)watchdog_tick(&w, now);
		if (strcmp(told(), "WATCHDOG=1") == 0)
			last = now;
	}
	/* it stood still from INTERVAL on */
	assert_in_range(last, INTERVAL, INTERVAL + INTERVAL / 2);
	assert_false(watchdog_tick(&w, now));
	watchdog_beat(&w, SECOND, "second", INTERVAL + 1, now);
	watchdog_beat(&w, FIRST, "first", (uint64_t)now, now);
	assert_true(watchdog_tick(&w, now));
	assert_string_equal(told(), "WATCHDOG=1");
}

static void test_not_watched(void **state)
{
	struct watchdog w;

	(void)state;
	watchdog_init(&w, INTERVAL);
	watchdog_beat(&w, SECOND, "second", 7, 0);
	assert_false(watchdog_tick(&w, INTERVAL));
	watchdog_forget(&w, SECOND);
	assert_true(watchdog_tick(&w, INTERVAL));
	assert_string_equal(told(), "WATCHDOG=1");
	/* and when it is back, its time begins anew */
	watchdog_beat(&w, SECOND, "second", 7, 2 * INTERVAL);
	assert_true(watchdog_tick(&w, 2 * INTERVAL));
}

/* Without an interval nobody is told, and nobody is stuck. */
static void test_nobody_waits(void **state)
{
	struct watchdog w;

	(void)state;
	while (told()[0] != '\0')
		;
	watchdog_init(&w, 0);
	watchdog_beat(&w, FIRST, "first", 1, 0);
	assert_true(watchdog_tick(&w, 10 * INTERVAL));
	assert_string_equal(told(), "");
}

/* Beats are a second apart: a short interval does not make one stuck. */
static void test_short_interval(void **state)
{
	struct watchdog w;

	(void)state;
	watchdog_init(&w, 1000);
	watchdog_beat(&w, FIRST, "first", 1, 0);
	assert_true(watchdog_tick(&w, 2900));
	assert_false(watchdog_tick(&w, 3000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_other_process),
		cmocka_unit_test(test_all_well),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_not_watched),
		cmocka_unit_test(test_nobody_waits),
		cmocka_unit_test(test_short_interval),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
