/*
 * Records of the journal as `mailseal explain` and `mailseal verify --recorded`
 * read them (cmd/explain_text.c, record_read.c; store/journal_file.c): the file
 * may be anybody's.  The input is the text of one.
 */
#include "fuzz.h"

#include <unistd.h>

#include "cmd/explain_text.h"
#include "cmd/record_read.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_file *f;
	struct arena *a = arena_new();
	const char *record = slice_cstr(a, fuzz_input(data, size));

	if (f == NULL)
		f = start();
	check_words(a, f, record);
	check_answers(a, f, record);
	(void)record_read(a, f, record, "$.client.address");
	(void)record_read_number(a, f, record, "$.time");
	arena_free(a);
	return 0;
}
