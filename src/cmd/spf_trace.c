/*
 * The steps of an SPF check as text.
 *
 * A term is written when the next event is known: with its result on the same
 * line when nothing was asked in between, else above what was asked for it.
 */
#include "cmd/spf_trace.h"

#include "cmd/answer_text.h"

#define TRACE_MAX  (16 << 20)
#define TEXT_MAX   65535 /* a TXT record: nothing is cut */
#define NAME_BYTES 1024

void spf_trace_init(struct spf_trace *t, struct arena *a)
{
	*t = (struct spf_trace){0};
	strbuf_init(&t->text, a, TRACE_MAX);
}

static void indent(struct spf_trace *t, unsigned columns)
{
	for (unsigned i = 0; i < columns; i++)
		strbuf_addc(&t->text, ' ');
}

static const char *escaped(struct arena *a, struct slice s, size_t max)
{
	struct strbuf b;

	strbuf_init(&b, a, 4 * max + 8);
	strbuf_add_escaped(&b, s, max);
	return strbuf_cstr(&b);
}

/* ---- events ---- */

/* Where a term stands, and one step inside of it. */
static unsigned term_column(unsigned depth)
{
	return 4 * depth + 2;
}

/* Below its term, if that is of the same record. */
static unsigned column_of(const struct spf_trace *t, unsigned depth)
{
	return t->open && t->term_depth == depth ? 4 * depth + 4 : 4 * depth;
}

static void flush_term(struct spf_trace *t)
{
	if (t->term == NULL)
		return;
	indent(t, term_column(t->term_depth));
	strbuf_printf(&t->text, "%s\n", t->term);
	t->term = NULL;
	t->open = true;
}

/* "a -> example.com" where the name is not in the text as it stands */
static void hold_term(struct spf_trace *t, const struct spf_event *e)
{
	struct arena *a = t->text.arena;

	flush_term(t);
	t->term = escaped(a, e->text, TEXT_MAX);
	t->open = false;
	t->term_depth = e->depth;
	if (e->domain[0] != '\0' && !slice_ends_ci(e->text, e->domain))
		t->term = arena_printf(
			a, "%s -> %s", t->term,
			escaped(a, slice_of(e->domain), NAME_BYTES));
}

static void write_query(struct spf_trace *t, const struct spf_event *e)
{
	flush_term(t);
	indent(t, column_of(t, e->depth));
	strbuf_add_escaped(&t->text, slice_of(e->domain), NAME_BYTES);
	strbuf_printf(&t->text, " %s: ", dns_type_name(e->type));
	answer_text(&t->text, e->answer, e->type);
	strbuf_addc(&t->text, '\n');
}

static void write_record(struct spf_trace *t, const struct spf_event *e)
{
	flush_term(t);
	t->open = false;
	indent(t, 4 * e->depth);
	strbuf_add_escaped(&t->text, slice_of(e->domain), NAME_BYTES);
	strbuf_adds(&t->text, ": ");
	strbuf_add_escaped(&t->text, e->text, TEXT_MAX);
	strbuf_addc(&t->text, '\n');
}

static void write_outcome(struct spf_trace *t, const struct spf_event *e)
{
	bool same_line = t->term != NULL;

	indent(t, same_line ? term_column(e->depth) : 4 * e->depth + 4);
	if (same_line)
		strbuf_printf(&t->text, "%s: ", t->term);
	if (e->kind == SPF_EVENT_MISS)
		strbuf_adds(&t->text, "no match\n");
	else
		strbuf_printf(&t->text, "match: %s\n",
			      spf_status_name(e->status));
	t->term = NULL;
	t->open = false;
}

static void write_error(struct spf_trace *t, const struct spf_event *e)
{
	flush_term(t);
	indent(t, column_of(t, e->depth));
	strbuf_printf(&t->text, "%s: ", spf_status_name(e->status));
	strbuf_add_escaped(&t->text, e->text, TEXT_MAX);
	strbuf_addc(&t->text, '\n');
}

void spf_trace_event(void *arg, const struct spf_event *e)
{
	struct spf_trace *t = arg;

	switch (e->kind) {
	case SPF_EVENT_RECORD:
		write_record(t, e);
		break;
	case SPF_EVENT_TERM:
		hold_term(t, e);
		break;
	case SPF_EVENT_QUERY:
		write_query(t, e);
		break;
	case SPF_EVENT_MATCH:
	case SPF_EVENT_MISS:
		write_outcome(t, e);
		break;
	case SPF_EVENT_ERROR:
		write_error(t, e);
		break;
	}
}

void spf_trace_done(struct spf_trace *t)
{
	flush_term(t);
}
