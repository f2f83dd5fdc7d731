/*
 * Both ends of the control socket (control/control.c, request.c, caller.c;
 * ask.c).  After an "a" the input is what mailseald answers to a command of
 * mailseal; else it is what somebody asks mailseald.
 */
#include "fuzz_socket.h"

#include <pthread.h>
#include <semaphore.h>

#include "base/log.h"
#include "control/ask.h"
#include "control/control.h"

#define TEXT_MAX (2 << 20)

/* ---- asked --------------------------------------------------------------- */

static int echo(void *arg, const struct control_request *request,
		struct control_reply *reply)
{
	(void)arg;
	FUZZ_CHECK(request->n >= 1 && request->n <= CONTROL_WORDS_MAX);
	FUZZ_CHECK(request->role == CONTROL_ADMIN);
	for (size_t i = 0; i < request->n; i++) {
		const char *word = request->words[i];

		FUZZ_CHECK(word[0] != '\0' && strpbrk(word, " \n") == NULL);
		strbuf_add_word(&reply->text, slice_of(word), 100);
		strbuf_addc(&reply->text, '\n');
	}
	control_progress(reply, "%s", request->words[request->n - 1]);
	return (int)request->n;
}

static void check_reply(struct slice request, struct strbuf *answer)
{
	struct slice rest = strbuf_slice(answer), line;
	uint64_t status;

	if (answer->n == 0) { /* there was no line */
		FUZZ_CHECK(slice_chr(request, '\n') < 0);
		return;
	}
	do
		line = slice_cut(&rest, '\n');
	while (slice_starts(line, "progress "));
	FUZZ_CHECK(slice_starts(line, "status "));
	FUZZ_CHECK(slice_u64(slice_from(line, 7), 255, &status));
	while (rest.n > 0)
		FUZZ_CHECK(fuzz_printable(
			slice_cstr(answer->arena, slice_cut(&rest, '\n'))));
}

static void serve(struct slice request)
{
	static const struct control_command commands[] = {
		{.name = "echo", .role = CONTROL_READ, .run = echo},
		{.name = "change", .role = CONTROL_ADMIN, .run = echo}};
	static struct control *c;
	struct arena *a = arena_new();
	const char *err = NULL;
	struct strbuf answer;

	if (c == NULL) {
		const struct control_options o = {.path = fuzz_socket_path,
						  .commands = commands,
						  .ncommands = 2,
						  .tick_ms = 1000};
		c = control_new(a, &o, &err);
		FUZZ_CHECK(c != NULL && control_start(c));
	}
	strbuf_init(&answer, a, TEXT_MAX);
	fuzz_socket_exchange(request, &answer);
	check_reply(request, &answer);
	arena_free(a);
}

/* ---- asking -------------------------------------------------------------- */

static char other_path[sizeof(fuzz_socket_path) + 2];
static struct slice other_says;
static sem_t other_done; /* a static one has the value 0 */

static void remove_other(void)
{
	unlink(other_path);
}

/* Somebody else in the place of mailseald: hears a line, and speaks. */
static void *answer(void *arg)
{
	char chunk[100];
	int fd, listener = *(int *)arg;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (recv(fd, chunk, sizeof(chunk), 0) > 0 && other_says.n > 0)
			(void)!send(fd, other_says.p, other_says.n,
				    MSG_NOSIGNAL);
		close(fd);
		sem_post(&other_done);
	}
	return NULL;
}

static void start_other(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	static int fd;
	pthread_t thread;

	(void)snprintf(other_path, sizeof(other_path), "%s2", fuzz_socket_path);
	memcpy(sun.sun_path, other_path, sizeof(other_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	FUZZ_CHECK(listen(fd, 16) == 0 && atexit(remove_other) == 0);
	FUZZ_CHECK(pthread_create(&thread, NULL, answer, &fd) == 0);
}

static void count(void *arg, struct slice text)
{
	FUZZ_CHECK(slice_chr(text, '\n') < 0);
	++*(unsigned *)arg;
}

static void ask(struct slice said)
{
	unsigned told = 0;
	const struct control_question q = {.path = other_path,
					   .request = "status --json",
					   .silence_ms = 5000,
					   .progress = count,
					   .arg = &told};
	struct arena *a = arena_new();
	struct control_answer r = {.fd = -1};
	const char *err = NULL;

	if (other_path[0] == '\0')
		start_other();
	other_says = said;
	if (control_ask(a, &q, &r, &err)) {
		FUZZ_CHECK(r.status >= 0 && r.status <= 255 && r.fd == -1);
		FUZZ_CHECK(r.text.n < said.n);
		FUZZ_CHECK(memcmp(r.text.p, said.p + said.n - r.text.n,
				  r.text.n) == 0);
		FUZZ_CHECK((told > 0) == slice_starts(said, "progress "));
	} else {
		FUZZ_CHECK(err != NULL && fuzz_printable(err));
	}
	sem_wait(&other_done);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct log_options quiet = {.target = LOG_TARGET_STDERR,
					  .level = LOG_LEVEL_ERROR};
	struct slice s = fuzz_input(data, size);

	if (fuzz_socket_path[0] == '\0') {
		(void)fuzz_socket_new();
		log_open("fuzz_control", &quiet);
	}
	if (s.n > 0 && s.p[0] == 'a')
		ask(slice_from(s, 1));
	else
		serve(s);
	return 0;
}
