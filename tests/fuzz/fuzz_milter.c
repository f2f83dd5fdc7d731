/*
 * The bytes that an MTA sends, from the negotiation on, through libmilter, its
 * threads and our callbacks (milter/milter.c, apply.c) on a socket, and the
 * bytes that it is answered.  fuzz_session.c is faster, and goes deeper into
 * what comes after the callbacks.
 *
 * One thing is kept from libmilter: a list of macros with a name that has no
 * value, which no MTA sends.  smfi_getsymval(3) reads past its end.
 */
#include "fuzz_app.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>

#include "base/log.h"
#include "base/unix_socket.h"
#include "fuzz_socket.h"
#include "milter/milter.h"

#define ANSWER_MAX (16 << 20)
#define PACKET_MAX (1 << 20)

/* For LeakSanitizer.  What libcrypto keeps for each thread, it frees while the
 * thread ends; libmilter ends threads when it likes.  Leaks of ours would show
 * in fuzz_session.c, which has no thread. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:CRYPTO_zalloc\n";
}

static void *run(void *unused)
{
	FUZZ_CHECK(milter_run() == 0);
	return unused;
}

static void start(void)
{
	const struct log_options quiet = {.target = LOG_TARGET_STDERR,
					  .level = LOG_LEVEL_ERROR};
	static struct app_process process;
	struct app_place *place = fuzz_app_start(&process);
	const char *err = NULL;
	pthread_t thread;
	int fd;

	log_open("fuzz_milter", &quiet);
	fd = unix_socket_bind(fuzz_socket_new(), 0600, &err);
	FUZZ_CHECK(fd >= 0 && listen(fd, 16) == 0);
	FUZZ_CHECK(milter_register(place, process.tally, fd));
	FUZZ_CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
}

/* ---- what the MTA says ----------------------------------------------------
 */

/* Up to the first list of macros that libmilter cannot read. */
static struct slice without_bad_macros(struct slice all)
{
	struct slice rest = all;

	while (rest.n > 4) {
		size_t nuls = 0;
		uint32_t n;

		memcpy(&n, rest.p, 4);
		n = ntohl(n);
		if (n > rest.n - 4)
			break;
		for (size_t i = 2; rest.p[4] == 'D' && i < n; i++)
			nuls += rest.p[4 + i] == '\0';
		if (nuls % 2 != 0)
			return slice_first(all, all.n - rest.n);
		rest = slice_from(rest, n + 4);
	}
	return all;
}

/* ---- what the MTA is told ------------------------------------------------ */

static struct slice cut_string(struct slice *rest)
{
	ptrdiff_t end = slice_chr(*rest, '\0');
	struct slice ret;

	FUZZ_CHECK(end >= 0);
	ret = slice_first(*rest, (size_t)end);
	*rest = slice_from(*rest, (size_t)end + 1);
	return ret;
}

/* Nothing that would end a field, or the header. */
static void check_field(struct slice data)
{
	struct slice name = cut_string(&data), value = cut_string(&data);

	FUZZ_CHECK(name.n > 0 && data.n == 0);
	for (size_t i = 0; i < name.n; i++)
		FUZZ_CHECK(name.p[i] > ' ' && name.p[i] <= '~' &&
			   name.p[i] != ':');
	for (size_t i = 0; i < value.n; i++)
		FUZZ_CHECK(value.p[i] != '\n' ||
			   (i + 1 < value.n && ascii_iswsp(value.p[i + 1])));
}

/* RFC 5321 4.2: lines of one code. */
static void check_reply(struct slice data)
{
	struct slice text = cut_string(&data), first = text;

	FUZZ_CHECK(data.n == 0 && text.n >= 4);
	FUZZ_CHECK(text.p[0] == '4' || text.p[0] == '5');
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');

		FUZZ_CHECK(memcmp(line.p, first.p, 3) == 0);
		FUZZ_CHECK(line.n <= 512);
		for (size_t i = 0; i < line.n; i++)
			FUZZ_CHECK((line.p[i] >= ' ' && line.p[i] <= '~') ||
				   (line.p[i] == '\r' && i + 1 == line.n));
	}
}

static void check_packet(char command, struct slice data, bool first)
{
	FUZZ_CHECK(command != 'O' || first);
	switch (command) {
	case 'O':
		FUZZ_CHECK(data.n >= 12);
		break;
	case 'h':
		check_field(data);
		break;
	case 'i':
	case 'm':
		FUZZ_CHECK(data.n > 4);
		check_field(slice_from(data, 4));
		break;
	case 'y':
		check_reply(data);
		break;
	case 'q':
		FUZZ_CHECK(fuzz_printable(cut_string(&data).p));
		break;
	default: /* accept, continue, tempfail, reject, discard, progress */
		FUZZ_CHECK(strchr("actrdp", command) != NULL && data.n == 0);
	}
}

/* The negotiation may be refused, with one packet or none. */
static void check_answer(struct slice rest)
{
	bool first = true;

	while (rest.n > 0) {
		uint32_t n;

		FUZZ_CHECK(rest.n > 4);
		memcpy(&n, rest.p, 4);
		n = ntohl(n);
		FUZZ_CHECK(n > 0 && n <= PACKET_MAX && n <= rest.n - 4);
		if (!first || rest.p[4] != 'r')
			check_packet(rest.p[4],
				     slice_first(slice_from(rest, 5), n - 1),
				     first);
		first = false;
		rest = slice_from(rest, n + 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	struct arena *a = arena_new();
	struct strbuf answer;

	if (!started)
		start();
	started = true;
	strbuf_init(&answer, a, ANSWER_MAX);
	fuzz_socket_exchange(without_bad_macros(fuzz_input(data, size)),
			     &answer);
	check_answer(strbuf_slice(&answer));
	/* what it has is this input's, not the next one's */
	while (milter_sessions() > 0 || milter_in_flight() > 0)
		sched_yield();
	arena_free(a);
	return 0;
}
