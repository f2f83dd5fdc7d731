/*
 * mailseal explain: what became of a message and why, in plain words, or the
 * record itself with --json.  From the journal's file, or from mailseald for
 * who may not read that.
 */
#include <stdio.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "cmd/control_call.h"
#include "cmd/explain_text.h"
#include "cmd/record_read.h"

#define TEXT_MAX (16 << 20)

struct request {
	struct arena *arena;
	const char *id;
	bool json;
};

static int explain(const struct request *q, const struct journal_place *place)
{
	struct journal_file *f;
	const char *record;
	struct strbuf b;
	int status = 0;

	f = journal_place_open(q->arena, "explain", place, false, &status);
	if (f == NULL)
		return status;
	record = journal_place_record(q->arena, "explain", f, q->id, &status);
	strbuf_init(&b, q->arena, TEXT_MAX);
	if (record != NULL &&
	    !explain_write(q->arena, f, record, q->json, &b)) {
		fprintf(stderr, "mailseal explain: the record is too long\n");
		status = EX_DATAERR;
	}
	fwrite(strbuf_cstr(&b), 1, b.n, stdout);
	journal_close(f);
	return status;
}

static int ask(const struct request *q, const char *socket)
{
	const struct control_target t = {.socket = socket};

	if (!control_is_word(q->id))
		return cmd_refuse("explain", "mailseald can be asked for an id "
					     "without spaces alone");
	return control_call("explain", &t,
			    arena_printf(q->arena, "explain %s%s",
					 q->json ? "--json " : "", q->id),
			    CONTROL_CALL_QUICK);
}

/* Of the folder that the configuration names. */
static int explain_configured(const struct request *q,
			      struct journal_place *place)
{
	int status;

	if (!journal_place_find(q->arena, "explain", place))
		return EX_CONFIG;
	if (place->socket[0] == '\0' || !journal_is_denied(place->state))
		return explain(q, place);
	status = ask(q, place->socket);
	if (status == EX_UNAVAILABLE || status == EX_NOPERM)
		fprintf(stderr,
			"mailseal explain: mailseald was asked since the "
			"journal in %s may not be read\n",
			place->state);
	return status;
}

static int run(const struct request *q, struct journal_place *place,
	       const char *socket)
{
	if (socket != NULL && place->state != NULL)
		return cmd_usage("explain", "--socket or --state, not both");
	if (socket != NULL)
		return ask(q, socket);
	if (place->state != NULL)
		return explain(q, place);
	return explain_configured(q, place);
}

int cmd_explain(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
					      JOURNAL_LONG_OPTIONS,
					      CONTROL_LONG_OPTIONS,
					      {0}};
	struct journal_place place = {0};
	struct request q = {0};
	const char *socket = NULL;
	int c, status;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 'j')
			q.json = true;
		else if (c == CONTROL_OPTION_SOCKET)
			socket = optarg;
		else if (!journal_place_take(&place, c, optarg))
			return cmd_usage("explain", "bad option");
	}
	if (optind + 1 != argc)
		return cmd_usage("explain", "one queue id or Message-ID is "
					    "needed");
	q.arena = arena_new();
	q.id = argv[optind];
	status = run(&q, &place, socket);
	arena_free(q.arena);
	return status;
}
