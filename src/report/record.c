/* Writes the record of a message. */
#include "report/record.h"

#include <string.h>

#include "base/json.h"
#include "report/personal.h"

static struct personal personal_of(const struct record_facts *f)
{
	return (struct personal){.secret = f->secret};
}

struct slice record_address(struct arena *a, const struct record_facts *f,
			    struct slice address)
{
	const struct personal p = personal_of(f);

	return f->hash_local_parts ? personal_address(a, &p, address) : address;
}

static const char *text_value(struct arena *a, const struct record_facts *f,
			      const char *text)
{
	const struct personal p = personal_of(f);

	return text != NULL && f->hash_local_parts
		       ? personal_text(a, &p, slice_of(text))
		       : text;
}

static bool has_part(struct slice name, struct slice part)
{
	for (size_t i = 0; i + part.n <= name.n; i++)
		if (slice_eq_ci(slice_first(slice_from(name, i), part.n), part))
			return true;
	return false;
}

/* Might a macro (RFC 7208 7.3) have put the sender's local-part, or a part of
 * it, into the name?  Rather once too often. */
static bool may_tell_sender(const struct record_facts *f, const char *name)
{
	struct slice path = f->envelope->sender;
	ptrdiff_t at = slice_rchr(path, '@');
	size_t end = at >= 0 ? (size_t)at : path.n, from = 0;

	for (size_t i = 0; i <= end; i++) {
		if (i < end && ascii_isalnum(path.p[i]))
			continue;
		if (i > from &&
		    has_part(slice_of(name),
			     slice_first(slice_from(path, from), i - from)))
			return true;
		from = i + 1;
	}
	return false;
}

/* ---- parts of the record ---- */

static void open_object(struct strbuf *b, const char *name)
{
	json_name(b, name);
	strbuf_adds(b, "{");
}

static void add_client(struct strbuf *b, const struct client_facts *c)
{
	char ip[IP_TEXT_MAX];

	open_object(b, "client");
	json_text(b, "address",
		  c->addr.family == IP_NONE ? NULL : ip_format(&c->addr, ip));
	json_bool(b, "local", c->local);
	json_slice(b, "name", c->name, true);
	json_bool(b, "confirmed", c->name_confirmed);
	json_slice(b, "helo", c->helo, true);
	json_slice(b, "listener", c->listener, true);
	strbuf_adds(b, "}");
}

static void add_envelope(struct arena *a, struct strbuf *b,
			 const struct record_facts *f)
{
	open_object(b, "envelope");
	json_slice(b, "sender", record_address(a, f, f->envelope->sender),
		   true);
	json_slice(b, "login", record_address(a, f, f->envelope->login), true);
	json_number(b, "recipients", (int64_t)f->envelope->nrcpts);
	json_name(b, "to");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < f->nrcpts; i++) {
		json_next(b);
		json_wire(b, record_address(a, f, f->rcpts[i]));
	}
	strbuf_adds(b, "]}");
}

static void add_hex(struct strbuf *b, struct slice s)
{
	static const char digits[] = "0123456789abcdef";
	char *p = arena_alloc(b->arena, 2 * s.n + 1);

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		p[2 * i] = digits[c >> 4];
		p[2 * i + 1] = digits[c & 15];
	}
	strbuf_add(b, (struct slice){p, 2 * s.n});
}

static void add_data(struct strbuf *b, const struct dns_recorded *q,
		     const struct dns_record *r)
{
	json_next(b);
	strbuf_addc(b, '"');
	if (q->type == DNS_MX)
		strbuf_printf(b, "%u ", r->preference);
	add_hex(b, r->data);
	strbuf_addc(b, '"');
}

static void add_answer(struct strbuf *b, const struct dns_recorded *q)
{
	json_next(b);
	strbuf_adds(b, "{");
	json_text(b, "name", q->name);
	json_text(b, "type", dns_type_name(q->type));
	json_text(b, "status", dns_status_name(q->answer.status));
	json_bool(b, "secure", q->answer.security == DNS_SECURE);
	json_number(b, "ttl", q->answer.ttl);
	json_text(b, "reason", q->answer.reason);
	json_name(b, "data");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < q->answer.n; i++)
		add_data(b, q, &q->answer.rr[i]);
	strbuf_adds(b, "]}");
}

static void add_dns(struct strbuf *b, const struct record_facts *f)
{
	json_name(b, "dns");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < f->ndns; i++)
		if (!f->hash_local_parts || !may_tell_sender(f, f->dns[i].name))
			add_answer(b, &f->dns[i]);
	strbuf_adds(b, "]");
}

static void add_edit(struct arena *a, struct strbuf *b,
		     const struct record_facts *f, const struct edit *e)
{
	json_next(b);
	strbuf_adds(b, "{");
	json_text(b, "field", e->name);
	json_text(b, "edit",
		  e->kind == EDIT_DELETE   ? "delete"
		  : e->kind == EDIT_INSERT ? "insert"
					   : "change");
	if (e->kind != EDIT_INSERT)
		json_number(b, "index", (int64_t)e->index);
	if (e->kind != EDIT_DELETE)
		json_text(b, "value", text_value(a, f, e->value));
	strbuf_adds(b, "}");
}

/* A sender may have us remove thousands of fields: the first ones tell. */
static void add_edits(struct arena *a, struct strbuf *b,
		      const struct record_facts *f)
{
	size_t n = f->edits != NULL ? f->edits->n : 0, removed = 0;

	json_name(b, "edits");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < n; i++) {
		const struct edit *e = &f->edits->v[i];

		if (e->kind == EDIT_DELETE && ++removed > RECORD_REMOVED_MAX)
			continue;
		add_edit(a, b, f, e);
	}
	strbuf_adds(b, "]");
	json_number(b, "removed", (int64_t)removed);
}

static void add_rules(struct strbuf *b, const struct rule_outcome *o)
{
	json_text(b, "rule", o->rule != NULL ? o->rule->name : NULL);
	json_name(b, "would");
	strbuf_adds(b, "[");
	for (size_t i = 0; i < o->nwould; i++) {
		json_next(b);
		json_wire(b, slice_of(o->would[i]->name));
	}
	strbuf_adds(b, "]");
}

static void add_verdict(struct arena *a, struct strbuf *b,
			const struct record_facts *f)
{
	open_object(b, "verdict");
	json_text(b, "action", verdict_action_name(f->action));
	if (f->reply != NULL && f->reply->code != NULL) {
		json_text(b, "code", f->reply->code);
		json_text(b, "enhanced", f->reply->enhanced);
		json_text(b, "text", text_value(a, f, f->reply->text));
	}
	if (f->verdict != NULL) {
		json_text(b, "disposition",
			  dmarc_policy_name(f->verdict->disposition));
		json_text(b, "would_be",
			  dmarc_policy_name(f->verdict->would_be));
		json_text(b, "why", f->verdict->rule);
		add_rules(b, &f->verdict->rules);
	}
	add_edits(a, b, f);
	strbuf_adds(b, "}");
}

static void add_results(struct arena *a, struct strbuf *b,
			const struct record_facts *f)
{
	struct results r = *f->results;

	if (f->hash_local_parts) /* the sender's words, with macros */
		r.spf_mailfrom.explanation = r.spf_helo.explanation = NULL;
	json_name(b, "results");
	strbuf_adds(b, explain_json(a, &r,
				    slice_of(text_value(
					    a, f, slice_cstr(a, f->authres)))));
}

static const char *write_record(struct arena *a, const struct record_facts *f,
				bool cut)
{
	struct strbuf b;

	strbuf_init(&b, a, RECORD_MAX);
	strbuf_adds(&b, "{");
	json_number(&b, "version", 1);
	json_number(&b, "time", f->time);
	json_bool(&b, "hashed", f->hash_local_parts);
	json_bool(&b, "cut", cut);
	json_text(&b, "config", f->config);
	json_text(&b, "authserv_id", f->authserv_id);
	json_slice(&b, "queue_id", f->envelope->queue_id, true);
	json_slice(&b, "message_id", record_address(a, f, f->message_id), true);
	json_number(&b, "size", (int64_t)f->size);
	json_text(&b, "direction", f->inbound ? "inbound" : "outbound");
	json_text(&b, "direction_rule", f->direction_rule);
	add_client(&b, f->client);
	add_envelope(a, &b, f);
	if (f->results != NULL)
		add_results(a, &b, f);
	add_verdict(a, &b, f);
	if (!cut)
		add_dns(&b, f);
	/* it has addresses, and all that is in it stands above */
	json_text(&b, "log", f->hash_local_parts || cut ? NULL : f->log);
	strbuf_adds(&b, "}");
	return b.overflow ? NULL : strbuf_cstr(&b);
}

const char *record_json(struct arena *a, const struct record_facts *f)
{
	const char *ret = write_record(a, f, false);

	return ret != NULL ? ret : write_record(a, f, true);
}
