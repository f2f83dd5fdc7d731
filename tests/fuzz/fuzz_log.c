/*
 * Lines of the log: their values as text, as JSON (control/json_log.c) and as
 * fields of journald (base/log_fields.c, log_journal.c).  Each line of the
 * input is a value: a letter for what it is, and its text.
 */
#include "fuzz.h"

#include <jansson.h>

#include "base/log_journal.h"
#include "control/json_log.h"

#define VALUES_MAX 2000

/* Wire text comes as anything but LOG_PLAIN. */
static void add_value(struct log_fields *f, struct slice line)
{
	static const char *const names[] = {"from", "client", "reason", NULL};
	char kind = line.n > 0 ? line.p[0] : 'm';
	struct slice text = slice_from(line, 1);
	const char *name = names[text.n % 4];

	switch (kind) {
	case 'e':
		log_wire(f, " ", name, text, LOG_ESCAPED, 100, "");
		break;
	case 'w':
		log_wire(f, " ", name, text, LOG_WORD, text.n, "");
		break;
	case 'q':
		log_wire(f, " \"", name, text, LOG_QUOTED, 1000, "\"");
		break;
	case 'h': /* in JSON alone */
		log_wire(f, NULL, name, text, LOG_WORD, 4000, "");
		break;
	case 'n':
		log_number(f, " n=", name, (int64_t)text.n * -77777777777, "");
		break;
	case 'l':
		log_list(f, "[", name);
		break;
	case 'o':
		log_object(f, "{", name);
		break;
	case '.':
		log_end(f, "]");
		break;
	default:
		log_mark(f, " mark");
		break;
	}
}

static void check_json(const struct log_record *r)
{
	char buf[LOG_LINE_MAX];
	size_t n = json_log_line(r, buf);
	json_error_t error;
	json_t *line;

	FUZZ_CHECK(n > 0 && n < LOG_LINE_MAX);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(buf[i] >= 0x20 && buf[i] < 0x7f);
	line = json_loadb(buf, n, JSON_REJECT_DUPLICATES, &error);
	FUZZ_CHECK(json_is_object(line));
	FUZZ_CHECK(json_is_string(json_object_get(line, "time")));
	FUZZ_CHECK(json_is_string(json_object_get(line, "event")));
	json_decref(line);
}

/* "NAME=value" lines: nothing of the wire begins one. */
static void check_journal(const struct log_record *r)
{
	char buf[LOG_JOURNAL_MAX];
	size_t n = log_journal_fields(r, buf, sizeof(buf));
	struct slice rest = {buf, n};

	FUZZ_CHECK(n <= sizeof(buf));
	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');

		FUZZ_CHECK(rest.p != NULL && slice_starts(line, "MAILSEAL_"));
		FUZZ_CHECK(slice_chr(line, '=') > 0);
		FUZZ_CHECK(slice_chr(line, '\0') < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = fuzz_input(data, size);
	struct arena *a = arena_new();
	struct log_fields f;
	const struct log_record r = {.level = LOG_LEVEL_INFO,
				     .event = LOG_EVENT_MESSAGE,
				     .time_ms = 1795500000123,
				     .fields = &f};

	log_fields_init(&f, a);
	for (int i = 0; i < VALUES_MAX && rest.n > 0; i++)
		add_value(&f, slice_cut(&rest, '\n'));
	FUZZ_CHECK(fuzz_printable(log_fields_text(&f)));
	check_json(&r);
	check_journal(&r);
	arena_free(a);
	return 0;
}
