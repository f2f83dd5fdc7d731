/*
 * What is asked, who may ask it, and the threads that do it, one for each
 * role.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/server.h"

#define PROGRESS_MS    500
#define PROGRESS_BYTES 200

/* ---- requests ------------------------------------------------------------ */

static void __attribute__((format(printf, 3, 4)))
refuse(struct caller *k, int status, const char *fmt, ...)
{
	struct arena *a = arena_new();
	struct strbuf b;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	strbuf_init(&b, a, sizeof(text) * 4);
	strbuf_add_escaped(&b, slice_of(text), sizeof(text));
	strbuf_addc(&b, '\n');
	caller_reply(k, status, strbuf_slice(&b), -1);
	arena_free(a);
}

static const char *shown(const struct caller *k, struct arena *a, size_t i)
{
	if (i == 0 || k->command == NULL || k->command->shown == NULL)
		return k->request.words[i];
	return k->command->shown(k->server->o.arg, a, &k->request, i);
}

static void log_request(const struct caller *k, const char *what)
{
	struct arena *a = arena_new();
	struct strbuf b;

	strbuf_init(&b, a, 1024);
	for (size_t i = 0; i < k->request.n; i++) {
		strbuf_addc(&b, ' ');
		strbuf_add_word(&b, slice_of(shown(k, a, i)), 200);
	}
	log_info("control: %s uid=%u pid=%d:%s", what, (unsigned)k->who.uid,
		 (int)k->who.pid, strbuf_cstr(&b));
	arena_free(a);
}

/* Whoever has no role cannot fill the log. */
static void log_refusal(struct control *c, const struct caller *k)
{
	int64_t now = clock_mono_ms();

	if (c->refused_at != 0 && now - c->refused_at < CONTROL_PAUSE_MS) {
		c->refused++;
		return;
	}
	if (c->refused > 0)
		log_info("control: %llu more were refused",
			 (unsigned long long)c->refused);
	c->refused = 0;
	c->refused_at = now;
	log_request(k, "refused to");
}

static const struct control_command *find(const struct control *c,
					  const char *name)
{
	for (size_t i = 0; i < c->o.ncommands; i++)
		if (strcmp(c->o.commands[i].name, name) == 0)
			return &c->o.commands[i];
	return NULL;
}

static void enqueue(struct control *c, struct caller *k)
{
	struct worker *w = &c->workers[k->command->role];

	k->state = CALLER_WAITS;
	if (w->last != NULL)
		w->last->next = k;
	else
		w->first = k;
	w->last = k;
	pthread_cond_broadcast(&c->queued);
}

static void start_command(struct control *c, struct caller *k)
{
	static const char *const option[] = {
		[CONTROL_READ] = "control.read_group or control.admin_group",
		[CONTROL_ADMIN] = "control.admin_group"};
	enum control_role need = CONTROL_READ;

	if (!caller_split(k)) {
		refuse(k, EX_USAGE, "a request is a line of 1 to %d words",
		       CONTROL_WORDS_MAX);
		return;
	}
	k->command = find(c, k->request.words[0]);
	if (k->command != NULL)
		need = k->command->role;
	if (k->who.role < need) {
		log_refusal(c, k);
		refuse(k, EX_NOPERM,
		       "%s: permission denied: be root, the user of "
		       "mailseald, or a member of the group that %s names",
		       k->request.words[0], option[need]);
	} else if (k->command == NULL) {
		refuse(k, EX_USAGE, "%s: no such command", k->request.words[0]);
	} else {
		if (need == CONTROL_ADMIN)
			log_request(k, "asked by");
		enqueue(c, k);
	}
}

void server_take_request(struct control *c, struct caller *k)
{
	switch (caller_read(k)) {
	case CALLER_MORE:
		break;
	case CALLER_DONE:
		start_command(c, k);
		break;
	case CALLER_LONG:
		refuse(k, EX_USAGE, "a request has at most %d bytes",
		       CONTROL_REQUEST_MAX);
		break;
	case CALLER_GONE:
		caller_hang_up(k);
		break;
	}
	if (k->state == CALLER_TAKES)
		k->deadline = clock_mono_ms() + c->o.reply_ms;
}

/* ---- commands ------------------------------------------------------------ */

void control_progress(struct control_reply *r, const char *fmt, ...)
{
	struct caller *k = r->caller;
	int64_t now = clock_mono_ms();
	char text[PROGRESS_BYTES];
	va_list ap;

	if (k == NULL || now - k->told < PROGRESS_MS)
		return;
	k->told = now;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	pthread_mutex_lock(&k->server->mutex);
	caller_tell(k, text);
	pthread_mutex_unlock(&k->server->mutex);
	server_wake(k->server);
}

static void run_command(struct control *c, struct caller *k)
{
	struct arena *a = arena_new();
	struct control_reply reply = {.fd = -1, .caller = k};
	char done[64];
	int status;

	strbuf_init(&reply.text, a, CONTROL_REPLY_MAX);
	k->told = clock_mono_ms();
	status = k->command->run(c->o.arg, &k->request, &reply);
	if (reply.text.overflow) {
		status = EX_DATAERR;
		reply.text.n = 0;
		reply.text.overflow = false;
		strbuf_printf(&reply.text,
			      "%s: the answer is longer than %d "
			      "bytes\n",
			      k->command->name, CONTROL_REPLY_MAX);
	}
	if (k->command->role == CONTROL_ADMIN) {
		(void)snprintf(done, sizeof(done), "status %d for", status);
		log_request(k, done);
	}
	pthread_mutex_lock(&c->mutex);
	caller_reply(k, status, strbuf_slice(&reply.text), reply.fd);
	k->deadline = clock_mono_ms() + c->o.reply_ms;
	pthread_mutex_unlock(&c->mutex);
	arena_free(a);
	server_wake(c);
}

/* The next one, or NULL at the end. */
static struct caller *dequeue(struct control *c, struct worker *w)
{
	struct caller *k;

	pthread_mutex_lock(&c->mutex);
	while (w->first == NULL && !atomic_load(&c->stopping))
		pthread_cond_wait(&c->queued, &c->mutex);
	k = atomic_load(&c->stopping) ? NULL : w->first;
	if (k != NULL) {
		w->first = k->next;
		k->next = NULL;
		if (w->first == NULL)
			w->last = NULL;
	}
	pthread_mutex_unlock(&c->mutex);
	return k;
}

void *server_work(void *arg)
{
	struct worker *w = arg;
	struct caller *k;

	while ((k = dequeue(w->server, w)) != NULL)
		run_command(w->server, k);
	return NULL;
}

/* ---- ourselves ----------------------------------------------------------- */

static bool is_queued(const struct control *c,
		      const struct control_command *command)
{
	const struct caller *k = c->workers[command->role].first;

	while (k != NULL && (k->command != command || k->request.n != 1))
		k = k->next;
	return k != NULL;
}

bool control_post(struct control *c, const char *command)
{
	const struct control_command *found = find(c, command);
	const struct peer self = {geteuid(), getpid(), CONTROL_ADMIN};
	const char **words;
	struct caller *k;
	bool ok;

	if (found == NULL)
		return false;
	pthread_mutex_lock(&c->mutex);
	ok = is_queued(c, found);
	if (!ok && c->ncallers < CALLERS_MAX) {
		k = caller_new(-1, &self, 0);
		words = arena_array(k->arena, 1, sizeof(*words));
		words[0] = found->name;
		k->server = c;
		k->command = found;
		k->request = (struct control_request){
			1, words, self.role, self.uid, self.pid};
		c->callers[c->ncallers++] = k;
		enqueue(c, k);
		ok = true;
	}
	pthread_mutex_unlock(&c->mutex);
	return ok;
}
