/* A record in words; as JSON it is what the file has. */
#include "cmd/explain_text.h"

#include <string.h>
#include <time.h>

#include "cmd/record_read.h"
#include "report/record.h"

#define TEXT_MAX 65536
#define CUT_NOTE "(cut: there is more than fits into an answer)\n"

struct source {
	struct arena *arena;
	struct strbuf *out;
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

static void write_head(const struct source *s)
{
	time_t t = (time_t)record_read_number(s->arena, s->file, s->record,
					      "$.time");
	char text[64] = "";
	struct tm tm;

	if (gmtime_r(&t, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	strbuf_printf(s->out, "%s %s\n", shown(s, "$.queue_id"),
		      shown(s, "$.message_id"));
	strbuf_printf(s->out, "  %s, %s mail (%s), %s bytes\n", text,
		      slice_is(get(s, "$.direction"), "inbound") ? "incoming"
								 : "outgoing",
		      shown(s, "$.direction_rule"), shown(s, "$.size"));
}

static void write_client(const struct source *s)
{
	if (has(s, "$.client.address"))
		strbuf_printf(s->out, "Client: %s, %s%s, HELO %s\n",
			      shown(s, "$.client.address"),
			      shown(s, "$.client.name"),
			      slice_is(get(s, "$.client.confirmed"), "true")
				      ? ""
				      : " (not confirmed)",
			      shown(s, "$.client.helo"));
	else
		strbuf_adds(s->out, "Client: local submission\n");
	if (has(s, "$.envelope.login"))
		strbuf_printf(s->out, "Login: %s\n",
			      shown(s, "$.envelope.login"));
}

static void write_envelope(const struct source *s)
{
	const char **to;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.envelope.to", &to);

	strbuf_printf(s->out, "MAIL FROM: %s\n", shown(s, "$.envelope.sender"));
	for (size_t i = 0; i < n; i++)
		strbuf_printf(s->out, "RCPT TO: %s\n",
			      escaped(s, slice_of(to[i])));
	if ((int64_t)n < record_read_number(s->arena, s->file, s->record,
					    "$.envelope.recipients"))
		strbuf_printf(s->out, "RCPT TO: %s recipients in all\n",
			      shown(s, "$.envelope.recipients"));
}

static void write_spf(const struct source *s)
{
	strbuf_printf(s->out, "SPF: %s", shown(s, "$.results.spf.result"));
	if (has(s, "$.results.spf.domain"))
		strbuf_printf(s->out, " for %s",
			      shown(s, "$.results.spf.domain"));
	if (has(s, "$.results.spf.mechanism"))
		strbuf_printf(s->out, " by \"%s\"",
			      shown(s, "$.results.spf.mechanism"));
	if (has(s, "$.results.spf.reason"))
		strbuf_printf(s->out, ": %s", shown(s, "$.results.spf.reason"));
	strbuf_addc(s->out, '\n');
}

static void write_signature(const struct source *s, const char *json)
{
	const struct source d = {s->arena, s->out, s->file, json};

	strbuf_printf(s->out, "DKIM: %s", shown(&d, "$.result"));
	if (has(&d, "$.domain"))
		strbuf_printf(s->out, " for %s, selector %s",
			      shown(&d, "$.domain"), shown(&d, "$.selector"));
	if (has(&d, "$.reason"))
		strbuf_printf(s->out, ": %s", shown(&d, "$.reason"));
	strbuf_addc(s->out, '\n');
}

static void write_dkim(const struct source *s)
{
	const char **list;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.results.dkim", &list);

	if (n == 0)
		strbuf_adds(s->out, "DKIM: no signature\n");
	for (size_t i = 0; i < n; i++)
		write_signature(s, list[i]);
}

static void write_dmarc(const struct source *s)
{
	strbuf_printf(s->out, "DMARC: %s: %s\n",
		      shown(s, "$.results.dmarc.result"),
		      has(s, "$.results.dmarc.explanation")
			      ? shown(s, "$.results.dmarc.explanation")
			      : shown(s, "$.results.dmarc.reason"));
}

static void write_arc(const struct source *s)
{
	const char **list;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.results.arc.sealers", &list);

	if (!has(s, "$.results.arc.result"))
		return;
	strbuf_printf(s->out, "ARC: %s", shown(s, "$.results.arc.result"));
	if (has(s, "$.results.arc.reason"))
		strbuf_printf(s->out, ": %s", shown(s, "$.results.arc.reason"));
	for (size_t i = 0; i < n; i++)
		strbuf_printf(s->out, "%s%s", i == 0 ? ", sealed by " : ", ",
			      escaped(s, slice_of(list[i])));
	strbuf_addc(s->out, '\n');
}

static void write_results(const struct source *s)
{
	if (journal_json(s->file, s->arena, s->record, "$.results") == NULL)
		return;
	write_spf(s);
	write_dkim(s);
	write_arc(s);
	write_dmarc(s);
}

static void write_rules(const struct source *s)
{
	const char **would;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.verdict.would", &would);

	if (has(s, "$.verdict.rule"))
		strbuf_printf(s->out, "Rule: %s decided\n",
			      shown(s, "$.verdict.rule"));
	else
		strbuf_adds(s->out, "Rule: none decided\n");
	for (size_t i = 0; i < n; i++)
		strbuf_printf(
			s->out,
			"Rule: %s matched, in mode monitor or not drawn\n",
			escaped(s, slice_of(would[i])));
}

static void write_answer(const struct source *s)
{
	strbuf_printf(s->out, "Answer: %s", shown(s, "$.verdict.action"));
	if (has(s, "$.verdict.code"))
		strbuf_printf(s->out, ", %s %s %s", shown(s, "$.verdict.code"),
			      shown(s, "$.verdict.enhanced"),
			      shown(s, "$.verdict.text"));
	strbuf_addc(s->out, '\n');
	if (has(s, "$.verdict.disposition"))
		strbuf_printf(
			s->out,
			"Disposition: %s%s%s, the author's domain asked for "
			"%s\n",
			shown(s, "$.verdict.disposition"),
			has(s, "$.verdict.why") ? " by " : "",
			shown(s, "$.verdict.why"),
			shown(s, "$.verdict.would_be"));
}

static void write_edits(const struct source *s)
{
	const char **list;
	size_t n = journal_json_array(s->file, s->arena, s->record,
				      "$.verdict.edits", &list);

	for (size_t i = 0; i < n; i++) {
		const struct source e = {s->arena, s->out, s->file, list[i]};

		strbuf_printf(s->out, "Field: %s %s", shown(&e, "$.edit"),
			      shown(&e, "$.field"));
		if (has(&e, "$.index"))
			strbuf_printf(s->out, " (number %s)",
				      shown(&e, "$.index"));
		if (has(&e, "$.value"))
			strbuf_printf(s->out, ":%s", shown(&e, "$.value"));
		strbuf_addc(s->out, '\n');
	}
	if (record_read_number(s->arena, s->file, s->record,
			       "$.verdict.removed") > RECORD_REMOVED_MAX)
		strbuf_printf(s->out, "Field: %s removed in all\n",
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

static void write_dns(const struct source *s)
{
	struct dns_recorded *v;
	size_t n = record_read_dns(s->arena, s->file, s->record, &v);

	if (slice_is(get(s, "$.cut"), "true"))
		strbuf_adds(s->out,
			    "DNS: not kept, the record would be too large\n");
	if (slice_is(get(s, "$.hashed"), "true"))
		strbuf_adds(s->out,
			    "DNS: what may tell a local-part is not kept\n");

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
		strbuf_printf(s->out, "DNS: %s\n", strbuf_cstr(&b));
	}
}

static void write_words(const struct source *s)
{
	write_head(s);
	write_client(s);
	write_envelope(s);
	write_results(s);
	write_rules(s);
	write_answer(s);
	write_edits(s);
	write_dns(s);
	if (has(s, "$.log"))
		strbuf_printf(s->out, "Log: %s\n", shown(s, "$.log"));
}

/* Ours is ASCII; of what somebody else wrote the rest is no terminal's. */
static void write_json(const struct source *s)
{
	for (const char *p = s->record; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c >= 0x20 && c < 0x7f)
			strbuf_addc(s->out, (char)c);
		else if (c >= 0x7f)
			strbuf_printf(s->out, "\\u%04x", c);
	}
	strbuf_addc(s->out, '\n');
}

/* To the end of the last whole line. */
static struct slice whole_lines(struct slice text)
{
	return slice_first(text, (size_t)(slice_rchr(text, '\n') + 1));
}

bool explain_write(struct arena *a, struct journal_file *f, const char *record,
		   bool json, struct strbuf *b)
{
	const size_t note = strlen(CUT_NOTE);
	struct strbuf out;
	const struct source s = {a, &out, f, record};

	strbuf_init(&out, a, b->max > note ? b->max - note : 0);
	if (json)
		write_json(&s);
	else
		write_words(&s);
	if (out.overflow && json)
		return false;
	if (!out.overflow) {
		strbuf_add(b, strbuf_slice(&out));
		return true;
	}
	strbuf_add(b, whole_lines(strbuf_slice(&out)));
	strbuf_adds(b, CUT_NOTE);
	return true;
}
