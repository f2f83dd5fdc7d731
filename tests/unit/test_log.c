/*
 * The log's targets, with sockets of our own in place of /dev/log and
 * journald's: form, a reader that is started anew, and that nobody waits for a
 * reader.  What is held back when it is repeated.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/log_journal.h"
#include "base/log_limit.h"
#include "check.h"

static char folder[] = "/tmp/mailseal-log-XXXXXX";
static char path[64];
static int saved_stderr;
static int64_t later; /* than what the log itself has seen */

static int listen_at(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, strlen(path));
	(void)unlink(path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void open_target(enum log_target target)
{
	const struct log_options o = {
		.target = target, .level = LOG_LEVEL_INFO, .path = path};

	log_open("mailseald", &o);
}

static ssize_t receive(int fd, char buf[16384])
{
	ssize_t n = recv(fd, buf, 16383, 0);

	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* Every datagram that waits; how many, the last one in `buf`. */
static size_t receive_all(int fd, char buf[16384])
{
	char one[16384];
	size_t n = 0;

	buf[0] = '\0';
	while (receive(fd, one) > 0) {
		memcpy(buf, one, sizeof(one));
		n++;
	}
	return n;
}

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	saved_stderr = dup(STDERR_FILENO);
	later = clock_mono_ms();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_open("mailseald", &(struct log_options){.level = LOG_LEVEL_INFO});
	close(saved_stderr);
	(void)unlink(path);
	return rmdir(folder);
}

/* RFC 3164 4.1: facility mail is 2, so 8 * 2 + 6 for info. */
static void test_syslog_form(void **state)
{
	char buf[16384], pid[32];
	int fd = listen_at();

	(void)state;
	open_target(LOG_TARGET_SYSLOG);
	log_info("a\nb");
	assert_true(receive(fd, buf) > 0);
	(void)snprintf(pid, sizeof(pid), " mailseald[%ld]: a b",
		       (long)getpid());
	assert_memory_equal(buf, "<22>", 4);
	assert_non_null(strstr("JanFebMarAprMayJunJulAugSepOctNovDec",
			       (char[]){buf[4], buf[5], buf[6], '\0'}));
	assert_int_equal(buf[7], ' ');
	assert_int_equal(buf[13], ':');
	assert_string_equal(buf + 19, pid);
	log_error("x");
	assert_true(receive(fd, buf) > 0);
	assert_memory_equal(buf, "<19>", 4);
	assert_string_equal(strstr(buf, "]: "), "]: error: x");
	close(fd);
}

/* systemd.io/JOURNAL_NATIVE_PROTOCOL: a field on each line. */
static void test_journald_form(void **state)
{
	struct arena *a = arena_new();
	struct log_fields f;
	char buf[16384], want[1024];
	int fd = listen_at();

	(void)state;
	open_target(LOG_TARGET_JOURNALD);
	log_fields_init(&f, a);
	log_wire(&f, "", "queue_id", SLICE("Q\n1"), LOG_ESCAPED, 64, ":");
	log_object(&f, " spf=", "spf");
	log_string(&f, "", "result", "pass", "");
	log_string(&f, ":", "domain", "example.org", "");
	log_end(&f, "");
	log_list(&f, " dkim=", "dkim");
	for (int i = 0; i < 2; i++) {
		log_object(&f, i > 0 ? "," : "", NULL);
		log_string(&f, "", "result", i > 0 ? "fail" : "pass", "");
		log_end(&f, "");
	}
	log_end(&f, "");
	log_number(&f, " ms=", "ms", -12, "");
	log_number(&f, NULL, "size", 100, "");
	log_message(LOG_LEVEL_INFO, &f);
	assert_true(receive(fd, buf) > 0);
	(void)snprintf(want, sizeof(want),
		       "PRIORITY=6\nSYSLOG_FACILITY=2\n"
		       "SYSLOG_IDENTIFIER=mailseald\nSYSLOG_PID=%ld\n"
		       "MAILSEAL_EVENT=message\nMAILSEAL_QUEUE_ID=Q\\x0a1\n"
		       "MAILSEAL_SPF_RESULT=pass\n"
		       "MAILSEAL_SPF_DOMAIN=example.org\n"
		       "MAILSEAL_DKIM_RESULT=pass\nMAILSEAL_DKIM_RESULT=fail\n"
		       "MAILSEAL_MS=-12\nMAILSEAL_SIZE=100\n"
		       "MESSAGE=Q\\x0a1: spf=pass:example.org dkim=pass,fail "
		       "ms=-12\n",
		       (long)getpid());
	assert_string_equal(buf, want);
	log_warn("free text");
	assert_true(receive(fd, buf) > 0);
	assert_non_null(strstr(buf, "PRIORITY=4\n"));
	assert_non_null(strstr(buf, "\nMAILSEAL_EVENT=note\n"
				    "MAILSEAL_TEXT=free text\n"
				    "MESSAGE=warning: free text\n"));
	close(fd);
	arena_free(a);
}

/* Fields that do not fit are left out whole. */
static void test_journald_fields_are_bounded(void **state)
{
	struct arena *a = arena_new();
	struct log_fields f;
	const struct log_record r = {LOG_LEVEL_INFO, LOG_EVENT_MESSAGE, 0, &f};
	char buf[64];
	size_t n;

	(void)state;
	log_fields_init(&f, a);
	log_string(&f, "", "long", "12345678901234567890123456789012345678",
		   "");
	log_string(&f, "", "short", "1", "");
	n = log_journal_fields(&r, buf, sizeof(buf));
	assert_int_equal(n, strlen("MAILSEAL_EVENT=message\n"
				   "MAILSEAL_SHORT=1\n"));
	assert_memory_equal(buf, "MAILSEAL_EVENT=message\nMAILSEAL_SHORT=1\n",
			    n);
	arena_free(a);
}

static void test_reader_is_started_anew(void **state)
{
	char buf[16384];
	int fd = listen_at();

	(void)state;
	open_target(LOG_TARGET_SYSLOG);
	log_info("one");
	assert_int_equal(receive_all(fd, buf), 1);
	close(fd);
	fd = listen_at();
	log_info("at once");
	assert_int_equal(receive_all(fd, buf), 1);
	close(fd);
	log_info("lost");
	log_info("lost");
	fd = listen_at();
	log_info("two");
	assert_int_equal(receive_all(fd, buf), 2);
	assert_non_null(strstr(buf, "]: warning: 2 lines of the log were lost, "
				    "since nobody took them"));
	log_info("three");
	assert_int_equal(receive_all(fd, buf), 1);
	assert_non_null(strstr(buf, "]: three"));
	close(fd);
}

/* A full queue costs 100 ms in ten seconds, whoever logs. */
static void test_nobody_waits_for_a_full_socket(void **state)
{
	char buf[16384];
	int fd = listen_at();
	int64_t began;
	size_t n;

	(void)state;
	open_target(LOG_TARGET_JOURNALD);
	began = clock_mono_ms();
	for (int i = 0; i < 20000; i++)
		log_info("line %d", i);
	assert_true(clock_mono_ms() - began < 3000);
	n = receive_all(fd, buf);
	assert_true(n > 0 && n < 20000);
	log_info("again");
	assert_int_equal(receive_all(fd, buf), 2);
	(void)snprintf(buf + 8192, 8192, "\nMESSAGE=warning: %zu lines of ",
		       20000 - n);
	assert_non_null(strstr(buf, buf + 8192));
	close(fd);
}

static void stderr_to(int fd)
{
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	open_target(LOG_TARGET_STDERR);
}

static void fill_stderr(int64_t *took)
{
	int64_t began = clock_mono_ms();

	for (int i = 0; i < 20000; i++)
		log_info("line %d of some length, to fill what is there", i);
	*took = clock_mono_ms() - began;
}

static void test_nobody_waits_for_standard_error(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		char buf[16384] = "", *end;
		int fds[2];
		int64_t took;
		ssize_t n;

		(void)state;
		assert_int_equal(
			kind == 0 ? pipe(fds)
				  : socketpair(AF_UNIX, SOCK_STREAM, 0, fds),
			0);
		stderr_to(fds[1]);
		fill_stderr(&took);
		assert_true(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
		while ((n = read(fds[0], buf, sizeof(buf) - 1)) > 0)
			;
		log_info("again");
		stderr_to(saved_stderr);
		n = read(fds[0], buf, sizeof(buf) - 1);
		assert_true(n > 0);
		buf[n] = '\0';
		close(fds[0]);
		close(fds[1]);
		assert_true(took < 3000);
		end = strstr(buf, "mailseald: again\nmailseald: warning: ");
		assert_ptr_equal(end, buf);
		assert_non_null(strstr(buf, " lines of the log were lost"));
	}
}

/* ---- repeats ---- */

static bool take(const char *text, const void *kind, int64_t now,
		 struct log_repeat told[2])
{
	const struct log_repeatable r = {slice_of(text), kind, LOG_LEVEL_WARN,
					 LOG_EVENT_NOTE};

	return log_limit_take(&r, now, told);
}

static void test_repeats_are_counted(void **state)
{
	static const char kind[] = "k";
	struct log_repeat told[2], r;
	size_t written = 0;

	(void)state;
	while (log_limit_next(0, true, &r))
		;
	for (int i = 0; i < 1244; i++)
		written += take("same", kind, later + 1000000 + i, told);
	assert_int_equal(written, 10);
	assert_false(log_limit_next(later + 1000000 + 59999, false, &r));
	assert_true(log_limit_next(later + 1000000 + 60000, false, &r));
	assert_int_equal(r.held, 1234);
	assert_int_equal(r.seconds, 60);
	assert_int_equal(r.level, LOG_LEVEL_WARN);
	assert_false(r.kind);
	assert_string_equal(r.text, "same");
	assert_false(log_limit_next(later + 1000000 + 60000, true, &r));
	assert_true(take("same", kind, later + 1000000 + 60001, told));
}

/* Sixty of a kind, whatever they say; and the table stays as it is. */
static void test_many_texts_of_one_kind(void **state)
{
	static const char kind[] = "l";
	struct log_repeat told[2], r;
	char text[32];
	size_t written = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(text, sizeof(text), "text %d", i);
		written += take(text, kind, later + 2000000 + i, told);
		assert_int_equal(told[0].held + told[1].held, 0);
	}
	assert_int_equal(written, 60);
	assert_true(take("other", "other kind", later + 2005000, told));
	assert_true(log_limit_next(later + 2000000 + 60000, false, &r));
	assert_int_equal(r.held, 4940);
	assert_true(r.kind);
	assert_string_equal(r.text, "text 4999");
}

/* What is forgotten is told. */
static void test_forgotten_is_told(void **state)
{
	struct log_repeat told[2], r;
	static const char kinds[200];
	uint64_t held = 0;
	char text[32];

	(void)state;
	for (int i = 0; i < 15; i++)
		(void)take("first", "f", later + 3000000, told);
	for (int i = 0; i < 200; i++) {
		(void)snprintf(text, sizeof(text), "text %d", i);
		assert_true(take(text, kinds + i, later + 3000001 + i, told));
		held += told[0].held + told[1].held;
	}
	assert_int_equal(held, 5);
	assert_false(log_limit_next(later + 4000000, true, &r));
}

static void test_floods_in_the_log(void **state)
{
	char buf[16384];
	int fd = listen_at();
	struct arena *a = arena_new();
	struct log_fields f;

	(void)state;
	open_target(LOG_TARGET_SYSLOG);
	for (int i = 0; i < 100; i++) {
		log_warn("the same %d", 1);
		(void)i;
	}
	assert_int_equal(receive_all(fd, buf), 10);
	log_flush();
	assert_int_equal(receive_all(fd, buf), 1);
	assert_non_null(strstr(buf, "]: warning: the same 1: repeated 90 times "
				    "in 0 s"));
	/* the line of a message is never held back, its warnings are */
	for (int i = 0; i < 12; i++) {
		log_fields_init(&f, a);
		log_number(&f, "", "n", i, ": text");
		log_message(LOG_LEVEL_INFO, &f);
		assert_int_equal(receive_all(fd, buf), 1);
		f.repeats = "text";
		log_message(LOG_LEVEL_WARN, &f);
		assert_int_equal(receive_all(fd, buf), i < 10);
	}
	log_flush();
	arena_free(a);
	close(fd);
}

/* ---- opened again while others log ---- */

static void *log_a_while(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3000; i++) {
		log_info("a line");
		log_warn("a warning");
	}
	return NULL;
}

static void test_opened_again_meanwhile(void **state)
{
	char buf[16384];
	int fd = listen_at(), null = open("/dev/null", O_WRONLY);
	pthread_t threads[3];

	(void)state;
	stderr_to(null);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, log_a_while, NULL),
			0);
	for (int i = 0; i < 300; i++) {
		open_target((enum log_target)(i % 3));
		(void)receive_all(fd, buf);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	log_flush();
	stderr_to(saved_stderr);
	open_target(LOG_TARGET_SYSLOG);
	(void)receive_all(fd, buf);
	log_info("whole");
	assert_true(receive_all(fd, buf) >= 1);
	close(null);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syslog_form),
		cmocka_unit_test(test_journald_form),
		cmocka_unit_test(test_journald_fields_are_bounded),
		cmocka_unit_test(test_reader_is_started_anew),
		cmocka_unit_test(test_nobody_waits_for_a_full_socket),
		cmocka_unit_test(test_nobody_waits_for_standard_error),
		cmocka_unit_test(test_floods_in_the_log),
		cmocka_unit_test(test_opened_again_meanwhile),
		/* these are in a time to come */
		cmocka_unit_test(test_repeats_are_counted),
		cmocka_unit_test(test_many_texts_of_one_kind),
		cmocka_unit_test(test_forgotten_is_told),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
