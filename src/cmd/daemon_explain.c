/* A reader of the journal beside its writer. */
#include "cmd/daemon_explain.h"

#include <sysexits.h>

#include "cmd/explain_text.h"
#include "cmd/record_read.h"

static int explain(struct arena *a, struct journal_file *f, const char *id,
		   bool json, struct strbuf *text)
{
	const char *record, *why;
	int status;

	record = record_find(a, f, id, &why, &status);
	if (record == NULL) {
		strbuf_printf(text, "%s\n", why);
		return status;
	}
	if (!explain_write(a, f, record, json, text)) {
		strbuf_adds(text, "the record is too long for an answer\n");
		return EX_DATAERR;
	}
	return 0;
}

int daemon_explain(struct app_place *place, const char *id, bool json,
		   struct strbuf *text)
{
	struct app *app = app_get(place);
	const char *folder = app->config->state_directory, *error;
	struct arena *a = arena_new();
	struct journal_file *f;
	int status = EX_NOINPUT;

	if (folder[0] == '\0') {
		strbuf_adds(text, "state_directory is empty, so no journal is "
				  "kept; set it\n");
		status = EX_CONFIG;
	} else if ((f = journal_open(a, folder, false, &error)) == NULL) {
		strbuf_printf(text, "%s\n", error);
	} else {
		status = explain(a, f, id, json, text);
		journal_close(f);
	}
	arena_free(a);
	app_unref(app);
	return status;
}
