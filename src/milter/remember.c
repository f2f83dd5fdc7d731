/*
 * Tells the journal what became of a message.
 */
#include "milter/session_state.h"

#include "report/record.h"

/* A field that says that the message was handed on. */
static bool has_any(const struct field_list *l, const char *const *names)
{
	for (; *names != NULL; names++)
		if (field_count(l, *names) > 0)
			return true;
	return false;
}

/* Something passes, though not for the author: a list signs anew, and both send
 * with a MAIL FROM of their own or by a server that signs. */
static bool is_reasoned(const struct session *s, const struct results *r)
{
	static const char *const names[] = {"List-Id", "List-Post",
					    "Resent-From", "ARC-Seal", NULL};

	if (r == NULL || !has_any(&s->fields, names))
		return false;
	if (r->spf_mailfrom.checked &&
	    r->spf_mailfrom.status == SPF_STATUS_PASS)
		return true;
	for (size_t i = 0; i < r->dkim.n; i++)
		if (r->dkim.v[i].status == DKIM_STATUS_PASS)
			return true;
	return false;
}

static size_t shadows_of(struct session *s, const struct verdict *v,
			 struct journal_shadow **ret)
{
	struct journal_shadow *list =
		arena_array(s->msg, v->rules.nwould + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < v->rules.nwould; i++) {
		const struct rule *r = v->rules.would[i];

		list[n++] = (struct journal_shadow){
			r->name, rule_action_name((enum rule_action)r->action)};
	}
	/* from clients that DMARC does not touch nothing would be done */
	if (v->would_be > v->disposition && !policy_overruled(v) &&
	    policy_exempt(&s->app->env, &s->msg_client) == NULL)
		list[n++] = (struct journal_shadow){
			"dmarc", dmarc_policy_name(v->would_be)};
	*ret = list;
	return n;
}

static struct slice message_id(const struct session *s)
{
	const struct field *f = field_nth(&s->fields, "Message-ID", 0);

	return f != NULL ? slice_first(slice_trim(f->value), 998) : SLICE("");
}

static struct slice address_of(struct session *s, const struct addr_mailbox *m)
{
	return slice_of(arena_printf(s->msg, "%.*s@%s", (int)m->local.n,
				     m->local.p, m->domain));
}

static struct slice path_of(struct slice path)
{
	if (slice_starts(path, "<") && slice_ends_ci(path, ">"))
		return slice_from(slice_first(path, path.n - 1), 1);
	return path;
}

/* By which it can be found to be erased: recipients and further authors. */
static size_t addresses_of(struct session *s, const struct record_facts *f,
			   const struct addr_authors *authors,
			   struct slice **ret)
{
	size_t more = authors->n > 1 ? authors->n - 1 : 0, n = 0;
	struct slice *v = arena_array(s->msg, s->nrcpts + more, sizeof(*v));

	for (size_t i = 0; i < s->nrcpts; i++)
		v[n++] = record_address(s->msg, f, path_of(s->rcpts[i]));
	for (size_t i = 1; i < authors->n; i++)
		v[n++] = record_address(s->msg, f,
					address_of(s, &authors->v[i]));
	*ret = v;
	return n;
}

static struct record_facts facts_of(struct session *s, int64_t now,
				    const struct session_outcome *o)
{
	const struct remembered *m = &s->remembered;
	const struct config *c = s->app->config;

	return (struct record_facts){
		.time = now,
		.config = c->digest,
		.authserv_id = s->app->env.authserv_id,
		.inbound = m->results != NULL,
		.direction_rule = s->why,
		.client = &s->msg_client,
		.envelope = &s->envelope,
		.message_id = message_id(s),
		.size = s->size,
		.nrcpts = s->nrcpts,
		.rcpts = s->rcpts,
		.results = m->results,
		.verdict = m->verdict,
		.authres = m->authres,
		.action = o->action,
		.reply = o->action != VERDICT_ACCEPT ? &o->reply : NULL,
		.edits = &o->edits,
		.log = log_fields_text(o->log != NULL ? o->log : o->warn),
		.hash_local_parts = c->journal.hash_local_parts != 0,
		.secret = c->secret,
	};
}

void session_remember(struct session *s, int64_t now,
		      const struct session_outcome *o)
{
	const struct remembered *m = &s->remembered;
	struct record_facts f;
	struct journal_shadow *shadows;
	struct dns_recorded *dns = NULL;
	struct slice *addresses;
	size_t nshadows, naddresses;

	if (s->app->journal == NULL || m->authors == NULL)
		return;
	f = facts_of(s, now, o);
	nshadows = shadows_of(s, m->verdict, &shadows);
	if (nshadows == 0 && !s->app->config->journal.records)
		return;
	if (s->evaluation != NULL)
		f.ndns = evaluation_dns(s->evaluation, s->msg, &dns);
	f.dns = dns;
	naddresses = addresses_of(s, &f, m->authors, &addresses);
	(void)journal_put(
		s->app->journal,
		&(struct journal_entry){
			.time = now,
			.queue_id = s->envelope.queue_id,
			.message_id = record_address(s->msg, &f, f.message_id),
			.domain = m->authors->ndomains > 0
					  ? m->authors->domains[0]
					  : NULL,
			.author =
				m->authors->n > 0
					? record_address(
						  s->msg, &f,
						  address_of(s,
							     &m->authors->v[0]))
					: SLICE(""),
			.naddresses = naddresses,
			.addresses = addresses,
			.sender = record_address(s->msg, &f,
						 path_of(s->envelope.sender)),
			.client = s->msg_client.addr,
			.reasoned = is_reasoned(s, m->results),
			.record = s->app->config->journal.records
					  ? record_json(s->msg, &f)
					  : NULL,
			.nshadows = nshadows,
			.shadows = shadows,
		});
}

void session_remember_rcpt(struct session *s, struct slice path)
{
	if (s->app->journal == NULL || !s->app->config->journal.records ||
	    s->nrcpts == RECORD_RCPTS_MAX)
		return;
	if (s->rcpts == NULL)
		s->rcpts = arena_array(s->msg, RECORD_RCPTS_MAX,
				       sizeof(*s->rcpts));
	s->rcpts[s->nrcpts++] = slice_dup(s->msg, slice_first(path, 1024));
}
