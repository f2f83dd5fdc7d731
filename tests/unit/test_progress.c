/*
 * cmd/progress: when a line is shown, on a terminal and elsewhere.  Time is a
 * number here; standard error is a pseudo-terminal or a pipe.
 */
#include "check.h"

#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/progress.h"

static int64_t now;

int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
	return now;
}

/* What is written to `to` as standard error in 12 s, ten times a second; what
 * can be read at `from`. */
static const char *shown(int from, int to, bool end)
{
	static char text[8192];
	struct pollfd p = {.fd = from, .events = POLLIN};
	struct progress_view v = {0};
	int saved = dup(STDERR_FILENO);
	size_t n = 0;
	ssize_t got;

	now = 1000000;
	assert_true(dup2(to, STDERR_FILENO) >= 0);
	for (int i = 0; i <= 120; i++, now += 100) {
		char line[64];

		(void)snprintf(line, sizeof(line), "keys:\t%d", i);
		progress_show_text(&v, line);
	}
	if (end)
		progress_end(&v);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	while (poll(&p, 1, 300) > 0 && n < sizeof(text) - 1) {
		got = read(from, text + n, sizeof(text) - 1 - n);
		assert_true(got > 0);
		n += (size_t)got;
	}
	text[n] = '\0';
	return text;
}

static void test_pipe(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	/* one after ten seconds; escaped, as what comes over a socket is */
	assert_string_equal(shown(ends[0], ends[1], true), "keys:\\x09100\n");
	close(ends[0]);
	close(ends[1]);
}

static void test_terminal(void **state)
{
	int leader, follower;
	const char *text, *p;
	unsigned lines = 0;

	(void)state;
	assert_int_equal(openpty(&leader, &follower, NULL, NULL, NULL), 0);
	text = shown(leader, follower, true);
	/* nothing in the first second, then each half */
	assert_memory_equal(text, "\rkeys:\\x0910 ", 12);
	for (p = text; (p = strstr(p, "\rkeys")) != NULL; p++)
		lines++;
	assert_int_equal(lines, 23);
	assert_null(strchr(text, '\n'));
	/* and is gone at the end */
	p = text + strlen(text) - 80;
	assert_int_equal(p[0], '\r');
	assert_int_equal(strspn(p + 1, " "), 78);
	assert_int_equal(p[79], '\r');
	close(leader);
	close(follower);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
