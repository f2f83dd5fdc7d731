/*
 * Records of the journal as `mailseal explain` and `mailseal verify --recorded`
 * read them (cmd/explain_text.c, record_read.c; store/journal_file.c): the file
 * may be anybody's.  The input is the text of one; after a "w" what a session
 * said, a line each, which is written (report/record.c) and read again.
 */
#include "fuzz.h"

#include <unistd.h>

#include "cmd/explain_text.h"
#include "cmd/record_read.h"
#include "report/record.h"
#include "store/journal.h"

#define TEXT_MAX (1 << 20)

static char folder[] = "/tmp/mailseal-fuzz-XXXXXX";

static void clean(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[sizeof(folder) + 32];

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/journal.sqlite%s",
			       folder, suffixes[i]);
		unlink(path);
	}
	rmdir(folder);
}

/* An empty one: only its functions for JSON are needed. */
static struct journal_file *start(void)
{
	struct journal_options o = {.folder = folder,
				    .records = true,
				    .max_bytes = 1 << 20,
				    .record_days = 1,
				    .shadow_days = 1};
	struct arena *a = arena_new();
	const char *why = NULL;
	struct journal *j;
	struct journal_file *f;

	FUZZ_CHECK(mkdtemp(folder) != NULL && atexit(clean) == 0);
	j = journal_new(a, &o, &why);
	journal_stop(j);
	journal_free(j);
	FUZZ_CHECK(why == NULL);
	f = journal_open(a, folder, false, &why);
	FUZZ_CHECK(f != NULL);
	arena_free(a);
	return f;
}

static void check_words(struct arena *a, struct journal_file *f,
			const char *record)
{
	struct strbuf b;

	strbuf_init(&b, a, TEXT_MAX);
	FUZZ_CHECK(explain_write(a, f, record, false, &b) && b.n > 0);
	for (const char *p = strbuf_cstr(&b); *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	strbuf_init(&b, a, 300); /* cut where there is no room */
	(void)explain_write(a, f, record, false, &b);
	FUZZ_CHECK(b.n <= 300);
	strbuf_init(&b, a, TEXT_MAX);
	(void)explain_write(a, f, record, true, &b);
}

/* The answers are asked for again, as the evaluation would. */
static void check_answers(struct arena *a, struct journal_file *f,
			  const char *record)
{
	struct dns_recorded *v;
	size_t n = record_read_dns(a, f, record, &v);
	struct dns *dns = dns_new_recorded(v, n);
	struct dns_budget *b = dns_budget_new(dns, 5000, 1000);

	for (size_t i = 0; i < n && i < 100; i++) {
		const struct dns_answer *r = dns_ask(b, v[i].name, v[i].type);

		FUZZ_CHECK((r->status == DNS_TEMPFAIL) == (r->reason != NULL));
		for (size_t k = 0; k < r->n; k++) {
			FUZZ_CHECK(v[i].type != DNS_A || r->rr[k].data.n == 4);
			FUZZ_CHECK(v[i].type != DNS_AAAA ||
				   r->rr[k].data.n == 16);
		}
	}
	dns_budget_free(b);
	dns_free(dns);
}

/* ---- written by us ------------------------------------------------------- */

static void check_text(struct arena *a, struct journal_file *f,
		       const char *record, const char *path, struct slice want)
{
	FUZZ_CHECK(slice_eq(record_read(a, f, record, path), want));
}

/* Byte for byte; and with persons hidden it is a record, too. */
static void check_written(struct arena *a, struct journal_file *f,
			  const struct client_facts *client,
			  const struct envelope_facts *envelope,
			  struct slice message_id, const char *log)
{
	struct record_facts facts = {
		.time = 1795500000,
		.config = "ab",
		.authserv_id = "mx.test",
		.direction_rule = "default",
		.client = client,
		.envelope = envelope,
		.message_id = message_id,
		.nrcpts = 1,
		.rcpts = &envelope->sender,
		.log = log,
		.secret = "of the fuzzer",
	};
	const char *record = record_json(a, &facts);
	const char **to;

	FUZZ_CHECK(record != NULL);
	check_text(a, f, record, "$.client.helo", client->helo);
	check_text(a, f, record, "$.client.name", client->name);
	check_text(a, f, record, "$.envelope.sender", envelope->sender);
	check_text(a, f, record, "$.envelope.login", envelope->login);
	check_text(a, f, record, "$.queue_id", envelope->queue_id);
	check_text(a, f, record, "$.message_id", message_id);
	check_text(a, f, record, "$.log", slice_of(log));
	FUZZ_CHECK(journal_json_array(f, a, record, "$.envelope.to", &to) == 1);
	FUZZ_CHECK(slice_is(envelope->sender, to[0]));
	check_words(a, f, record);
	facts.hash_local_parts = true;
	record = record_json(a, &facts);
	FUZZ_CHECK(record_read_bool(a, f, record, "$.hashed"));
	check_text(a, f, record, "$.client.helo", client->helo);
	FUZZ_CHECK(record_read(a, f, record, "$.log").n == 0);
}

/* A session gives strings: they end at a NUL. */
static struct slice cut_text(struct arena *a, struct slice *rest)
{
	return slice_of(slice_cstr(a, fuzz_line(rest)));
}

static void write_record(struct arena *a, struct journal_file *f,
			 struct slice rest)
{
	struct client_facts client = {0};
	struct envelope_facts envelope = {.nrcpts = 1};
	struct slice message_id;

	client.name = cut_text(a, &rest);
	client.helo = cut_text(a, &rest);
	envelope.sender = cut_text(a, &rest);
	envelope.login = cut_text(a, &rest);
	envelope.queue_id = cut_text(a, &rest);
	message_id = cut_text(a, &rest);
	if (rest.n < 65536)
		check_written(a, f, &client, &envelope, message_id,
			      slice_cstr(a, rest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_file *f;
	struct arena *a = arena_new();
	const char *record = slice_cstr(a, fuzz_input(data, size));

	if (f == NULL)
		f = start();
	if (size > 0 && data[0] == 'w') {
		write_record(a, f, slice_from(fuzz_input(data, size), 1));
	} else {
		check_words(a, f, record);
		check_answers(a, f, record);
		(void)record_read_number(a, f, record, "$.time");
	}
	arena_free(a);
	return 0;
}
