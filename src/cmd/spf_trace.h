/*
 * The steps of an SPF check as text for a terminal: a line for each record,
 * term, question and result, indented by depth of include.  What came from
 * the wire is escaped.
 */
#ifndef MAILSEAL_CMD_SPF_TRACE_H
#define MAILSEAL_CMD_SPF_TRACE_H

#include "spf/spf.h"

struct spf_trace {
	struct strbuf text;
	const char *term;    /* told, but not yet written; or NULL */
	bool open;	     /* a term was written without its result */
	unsigned term_depth; /* of either */
};

void spf_trace_init(struct spf_trace *t, struct arena *a);
/* For struct spf_query: `arg` is the struct spf_trace. */
void spf_trace_event(void *arg, const struct spf_event *e);
/* Writes what is held back. */
void spf_trace_done(struct spf_trace *t);

#endif
