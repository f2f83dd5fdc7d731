/* A line, and when. */
#include "cmd/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define FIRST_MS    1000
#define TERMINAL_MS 500
#define OTHER_MS    10000
#define WIDTH	    78

static bool is_due(struct progress_view *v, bool terminal)
{
	int64_t now = clock_mono_ms();

	if (v->started == 0) {
		v->started = v->shown = now;
		return false;
	}
	if (now - v->started < FIRST_MS ||
	    now - v->shown < (terminal ? TERMINAL_MS : OTHER_MS))
		return false;
	v->shown = now;
	return true;
}

static void show(struct progress_view *v, bool terminal, struct slice text)
{
	struct arena *a = arena_new();
	struct strbuf b;

	strbuf_init(&b, a, 1024);
	strbuf_add_escaped(&b, text, 200);
	if (terminal)
		fprintf(stderr, "\r%-*.*s", WIDTH, WIDTH, strbuf_cstr(&b));
	else
		fprintf(stderr, "%s\n", strbuf_cstr(&b));
	v->open = terminal;
	arena_free(a);
}

void progress_show(struct progress_view *v, struct slice text)
{
	bool terminal = isatty(STDERR_FILENO) == 1;

	if (is_due(v, terminal))
		show(v, terminal, text);
}

void progress_show_text(void *view, const char *text)
{
	progress_show(view, slice_of(text));
}

void progress_end(struct progress_view *v)
{
	if (v->open)
		fprintf(stderr, "\r%*s\r", WIDTH, "");
	v->open = false;
}
