/*
 * mailseal explain: what became of a message and why, in plain words, or the
 * record itself with --json.
 */
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#include "cmd/cmd.h"
#include "cmd/record_read.h"
#include "report/record.h"

#define TEXT_MAX 65536

struct source {
	struct arena *arena;
	struct journal_file *file;
	const char *record;
};

static struct slice get(const struct source *s, const char *path)
{
	return record_read(s->arena, s->file, s->record, path);
}

/* Text for a terminal: it is the wire's, or that of whoever wrote the file. */
static const char *escaped(const struct source *s, struct slice text)
{
	struct strbuf b;

	strbuf_init(&b, s->arena, TEXT_MAX);
	strbuf_add_escaped(&b, text, 4096);
	return strbuf_cstr(&b);
}

static const char *shown(const struct source *s, const char *path)
{
	return escaped(s, get(s, path));
}

static bool has(const struct source *s, const char *path)
{
	return get(s, path).n > 0;
}

static void print_head(const struct source *s)
{
	time_t t = (time_t)record_read_number(s->arena, s->file, s->record,
					      "$.time");
	char text[64] = "";
	struct tm tm;

	if (gmtime_r(&t, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("%s %s\n", shown(s, "$.queue_id"), shown(s, "$.message_id"));
	printf("  %s, %s mail (%s), %s bytes\n", text,
	       slice_is(get(s, "$.direction"), "inbound") ? "incoming"
							  : "outgoing",
	       shown(s, "$.direction_rule"), shown(s, "$.size"));
}

static void print_client(const struct source *s)
{
	if (has(s, "$.client.address"))
		printf("Client: %s, %s%s, HELO %s\n",
		       shown(s, "$.client.address"), shown(s, "$.client.name"),
		       slice_is(get(s, "$.client.confirmed"), "true")
			       ? ""
			       : " (not confirmed)",
		       shown(s, "$.client.helo"));
	else
		puts("Client: local submission");
	if (has(s, "$.envelope.login"))
		printf("Login: %s\n", shown(s, "$.envelope.login"));
}

static void print_envelope(const struct source *s)
{
	const char **to;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.envelope.to", &to);

	printf("MAIL FROM: %s\n", shown(s, "$.envelope.sender"));
	for (size_t i = 0; i < n; i++)
		printf("RCPT TO: %s\n", escaped(s, slice_of(to[i])));
	if ((int64_t)n < record_read_number(s->arena, s->file, s->record,
					    "$.envelope.recipients"))
		printf("RCPT TO: %s recipients in all\n",
		       shown(s, "$.envelope.recipients"));
}

static void print_spf(const struct source *s)
{
	printf("SPF: %s", shown(s, "$.results.spf.result"));
	if (has(s, "$.results.spf.domain"))
		printf(" for %s", shown(s, "$.results.spf.domain"));
	if (has(s, "$.results.spf.mechanism"))
		printf(" by \"%s\"", shown(s, "$.results.spf.mechanism"));
	if (has(s, "$.results.spf.reason"))
		printf(": %s", shown(s, "$.results.spf.reason"));
	putchar('\n');
}

static void print_signature(const struct source *s, const char *json)
{
	const struct source d = {s->arena, s->file, json};

	printf("DKIM: %s", shown(&d, "$.result"));
	if (has(&d, "$.domain"))
		printf(" for %s, selector %s", shown(&d, "$.domain"),
		       shown(&d, "$.selector"));
	if (has(&d, "$.reason"))
		printf(": %s", shown(&d, "$.reason"));
	putchar('\n');
}

static void print_dkim(const struct source *s)
{
	const char **list;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.results.dkim", &list);

	if (n == 0)
		puts("DKIM: no signature");
	for (size_t i = 0; i < n; i++)
		print_signature(s, list[i]);
}

static void print_dmarc(const struct source *s)
{
	printf("DMARC: %s: %s\n", shown(s, "$.results.dmarc.result"),
	       has(s, "$.results.dmarc.explanation")
		       ? shown(s, "$.results.dmarc.explanation")
		       : shown(s, "$.results.dmarc.reason"));
}

static void print_arc(const struct source *s)
{
	const char **list;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.results.arc.sealers", &list);

	if (!has(s, "$.results.arc.result"))
		return;
	printf("ARC: %s", shown(s, "$.results.arc.result"));
	if (has(s, "$.results.arc.reason"))
		printf(": %s", shown(s, "$.results.arc.reason"));
	for (size_t i = 0; i < n; i++)
		printf("%s%s", i == 0 ? ", sealed by " : ", ",
		       escaped(s, slice_of(list[i])));
	putchar('\n');
}

static void print_results(const struct source *s)
{
	if (journal_json(s->file, s->arena, s->record, "$.results") == NULL)
		return;
	print_spf(s);
	print_dkim(s);
	print_arc(s);
	print_dmarc(s);
}

static void print_rules(const struct source *s)
{
	const char **would;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.verdict.would", &would);

	if (has(s, "$.verdict.rule"))
		printf("Rule: %s decided\n", shown(s, "$.verdict.rule"));
	else
		puts("Rule: none decided");
	for (size_t i = 0; i < n; i++)
		printf("Rule: %s matched, in mode monitor or not drawn\n",
		       escaped(s, slice_of(would[i])));
}

static void print_answer(const struct source *s)
{
	printf("Answer: %s", shown(s, "$.verdict.action"));
	if (has(s, "$.verdict.code"))
		printf(", %s %s %s", shown(s, "$.verdict.code"),
		       shown(s, "$.verdict.enhanced"),
		       shown(s, "$.verdict.text"));
	putchar('\n');
	if (has(s, "$.verdict.disposition"))
		printf("Disposition: %s%s%s, the author's domain asked for "
		       "%s\n",
		       shown(s, "$.verdict.disposition"),
		       has(s, "$.verdict.why") ? " by " : "",
		       shown(s, "$.verdict.why"),
		       shown(s, "$.verdict.would_be"));
}

static void print_edits(const struct source *s)
{
	const char **list;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.verdict.edits", &list);

	for (size_t i = 0; i < n; i++) {
		const struct source e = {s->arena, s->file, list[i]};

		printf("Field: %s %s", shown(&e, "$.edit"),
		       shown(&e, "$.field"));
		if (has(&e, "$.index"))
			printf(" (number %s)", shown(&e, "$.index"));
		if (has(&e, "$.value"))
			printf(":%s", shown(&e, "$.value"));
		putchar('\n');
	}
	if (record_read_number(s->arena, s->file, s->record,
			       "$.verdict.removed") > RECORD_REMOVED_MAX)
		printf("Field: %s removed in all\n",
		       shown(s, "$.verdict.removed"));
}

static void add_data(struct strbuf *b, const struct dns_recorded *q,
		     const struct dns_record *r)
{
	char text[IP_TEXT_MAX];
	struct ip ip;

	strbuf_addc(b, ' ');
	if (q->type == DNS_MX)
		strbuf_printf(b, "%u ", r->preference);
	if (q->type == DNS_A || q->type == DNS_AAAA) {
		ip = ip_from_bytes(r->data.p, (unsigned)r->data.n);
		strbuf_adds(b, ip_format(&ip, text));
		return;
	}
	strbuf_addc(b, '"');
	strbuf_add_escaped(b, r->data, 2048);
	strbuf_addc(b, '"');
}

static void print_dns(const struct source *s)
{
	struct dns_recorded *v;
	size_t n = record_read_dns(s->arena, s->file, s->record, &v);

	if (slice_is(get(s, "$.cut"), "true"))
		puts("DNS: not kept, the record would be too large");
	if (slice_is(get(s, "$.hashed"), "true"))
		puts("DNS: what may tell a local-part is not kept");

	for (size_t i = n; i > 0; i--) { /* the first question first */
		const struct dns_recorded *q = &v[i - 1];
		struct strbuf b;

		strbuf_init(&b, s->arena, TEXT_MAX);
		strbuf_add_escaped(&b, slice_of(q->name), 512);
		strbuf_printf(&b, " %s %s", dns_type_name(q->type),
			      dns_status_name(q->answer.status));
		if (q->answer.status == DNS_TEMPFAIL) {
			strbuf_adds(&b, ": ");
			strbuf_add_escaped(&b, slice_of(q->answer.reason), 200);
		}
		for (size_t k = 0; k < q->answer.n; k++)
			add_data(&b, q, &q->answer.rr[k]);
		printf("DNS: %s\n", strbuf_cstr(&b));
	}
}

static void print_words(const struct source *s)
{
	print_head(s);
	print_client(s);
	print_envelope(s);
	print_results(s);
	print_rules(s);
	print_answer(s);
	print_edits(s);
	print_dns(s);
	if (has(s, "$.log"))
		printf("Log: %s\n", shown(s, "$.log"));
}

/* Ours is ASCII; of what somebody else wrote the rest is no terminal's. */
static void print_json(const char *record)
{
	for (const char *p = record; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c >= 0x20 && c < 0x7f)
			putchar(c);
		else if (c >= 0x7f)
			printf("\\u%04x", c);
	}
	putchar('\n');
}

static int explain(struct arena *a, const struct journal_place *place,
		   const char *id, bool json)
{
	int status = 0;
	struct source s = {.arena = a};

	s.file = journal_place_open(a, "explain", place, false, &status);
	if (s.file == NULL)
		return status;
	s.record = journal_place_record(a, "explain", s.file, id, &status);
	if (s.record != NULL && json)
		print_json(s.record);
	else if (s.record != NULL)
		print_words(&s);
	journal_close(s.file);
	return status;
}

int cmd_explain(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, JOURNAL_LONG_OPTIONS, {0}};
	struct journal_place place = {0};
	struct arena *a;
	bool json = false;
	int c, status;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (!journal_place_take(&place, c, optarg))
			return cmd_usage("explain", "bad option");
	}
	if (optind + 1 != argc)
		return cmd_usage("explain", "one queue id or Message-ID is "
					    "needed");
	a = arena_new();
	status = explain(a, &place, argv[optind], json);
	arena_free(a);
	return status;
}
