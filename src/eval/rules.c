/*
 * Matching of local rules.  Each condition is one small function; what a rule
 * does is policy.c's.
 */
#include "eval/rules.h"

#include <string.h>

#include "crypto/crypto.h"
#include "mail/domain.h"

static const char *const action_names[] = {
	[RULE_ACCEPT] = "accept",     [RULE_NONE] = "none",
	[RULE_TAG] = "tag",	      [RULE_QUARANTINE] = "quarantine",
	[RULE_TEMPFAIL] = "tempfail", [RULE_REJECT] = "reject",
	[RULE_DISCARD] = "discard",
};

const char *rule_action_name(enum rule_action a)
{
	return action_names[a];
}

static void rule_log(struct log_fields *f, const char *lead, const char *name,
		     const struct rule *r)
{
	log_object(f, lead, name);
	log_string(f, "", "name", r->name, "");
	log_string(f, "(", "action",
		   rule_action_name((enum rule_action)r->action), ")");
	log_end(f, "");
}

void rules_log(struct log_fields *f, const struct rule_outcome *o)
{
	if (o->rule != NULL)
		rule_log(f, " rule=", "rule", o->rule);
	if (o->nwould == 0)
		return;
	log_list(f, " would=", "would");
	for (size_t i = 0; i < o->nwould; i++)
		rule_log(f, i == 0 ? "" : ",", NULL, o->would[i]);
	log_end(f, "");
}

/* ---- patterns ---- */

/* `domain`: canonical, or NULL */
static bool domain_matches(const char *pattern, const char *domain)
{
	if (domain == NULL)
		return false;
	if (pattern[0] != '.')
		return strcmp(pattern, domain) == 0;
	return domain_is_under(domain, pattern + 1) &&
	       strcmp(pattern + 1, domain) != 0;
}

static bool domain_in(const struct string_list *l, const char *domain)
{
	for (size_t i = 0; i < l->n; i++)
		if (domain_matches(l->v[i], domain))
			return true;
	return false;
}

static bool path_matches(const char *pattern, const struct addr_path *p)
{
	const char *at;

	if (pattern[0] == '<')
		return p->null;
	at = strrchr(pattern, '@');
	if (p->null || p->malformed || !domain_matches(at + 1, p->domain))
		return false;
	return at == pattern ||
	       slice_eq_ci(p->local,
			   (struct slice){pattern, (size_t)(at - pattern)});
}

static bool path_in(const struct string_list *l, const struct addr_path *p)
{
	for (size_t i = 0; i < l->n; i++)
		if (path_matches(l->v[i], p))
			return true;
	return false;
}

static bool text_in(const struct string_list *l, struct slice text)
{
	for (size_t i = 0; i < l->n; i++)
		if (slice_is_ci(text, l->v[i]))
			return true;
	return false;
}

/* MTAs ignore a source route and deliver to what stands behind it (RFC 5321
 * 4.1.1.3): it is no way around a rule. */
static void read_path(struct arena *a, struct slice path, struct addr_path *ret)
{
	ptrdiff_t colon = slice_starts(path, "<@") ? slice_chr(path, ':') : -1;

	if (colon < 0)
		addr_path_parse(a, path, ret);
	else
		addr_path_parse(
			a,
			slice_of(arena_printf(a, "<%.*s",
					      (int)path.n - (int)colon - 1,
					      path.p + colon + 1)),
			ret);
}

/* ---- conditions ---- */

/* What is read once for all rules. */
struct view {
	const char *client_name; /* canonical, or NULL */
	const char *helo;	 /* the same */
	struct addr_path sender;
};

static void look(struct arena *a, const struct rule_facts *f, struct view *ret)
{
	*ret = (struct view){.helo = domain_canon(a, f->client->helo)};
	if (f->client->name_confirmed)
		ret->client_name = domain_canon(a, f->client->name);
	read_path(a, f->envelope->sender, &ret->sender);
}

static bool client_matches(const struct rule *r, const struct rule_facts *f)
{
	return r->client.n == 0 || ip_nets_have(&r->client, &f->client->addr);
}

static bool name_matches(const struct string_list *l, const char *name)
{
	return l->n == 0 || domain_in(l, name);
}

static bool from_matches(const struct rule *r, const struct rule_facts *f)
{
	if (r->from.n == 0)
		return true;
	for (size_t i = 0; i < f->authors->ndomains; i++)
		if (domain_in(&r->from, f->authors->domains[i]))
			return true;
	return false;
}

static bool recipient_matches(const struct rules *rules, const struct rule *r,
			      const struct rule_facts *f)
{
	const struct rule_recipients *to = f->recipients;
	size_t n;

	if (r->recipient.n == 0)
		return true;
	n = to->matched[r - rules->v];
	return r->action >= RULE_TAG ? n > 0 : n > 0 && n == to->n;
}

static bool login_matches(const struct rule *r, const struct rule_facts *f)
{
	struct slice login = f->envelope->login;

	if (r->login.n == 0)
		return true;
	return login.n > 0 &&
	       (text_in(&r->login, login) || text_in(&r->login, SLICE("*")));
}

static bool in_set(int64_t set, unsigned bit)
{
	return set == 0 || (set & ((int64_t)1 << bit)) != 0;
}

/* One that passes, else the first. */
static unsigned dkim_bit(const struct dkim_results *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].status == DKIM_STATUS_PASS)
			return DKIM_STATUS_PASS;
	return d->n > 0 ? d->v[0].status : RULE_RESULT_ABSENT;
}

static bool has_pass_of(const struct string_list *l,
			const struct dkim_results *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].status == DKIM_STATUS_PASS &&
		    domain_in(l, d->v[i].domain))
			return true;
	return false;
}

/*
 * RFC 8617 7.2.1: a sealer is trusted by name, and each who sealed after it
 * could have written what it likes into the sets before.  Of the sealers named,
 * in a row up to us that only we ourselves may interrupt, the first has seen
 * the least change.  A signature that does not cover From says nothing of an
 * author.
 */
static bool arc_vouches(struct arena *a, const struct rules *rules,
			const struct rule *r, const struct results *x)
{
	const struct arc_result *arc = &x->arc;
	const struct arc_set *first = NULL;

	if (arc->status != ARC_STATUS_PASS || x->authors.ndomains != 1 ||
	    !arc->v[arc->n - 1].signs_from)
		return false;
	for (size_t i = arc->n; i > 0; i--) {
		const char *sealer = arc->v[i - 1].seal_domain;

		if (domain_in(&r->arc_sealer, sealer))
			first = &arc->v[i - 1];
		else if (!domain_in(&rules->own_sealers, sealer))
			break;
	}
	return first != NULL &&
	       arc_set_says_dmarc_pass(a, first, x->authors.domains[0]);
}

static bool asks_results(const struct rule *r)
{
	return (r->spf | r->dkim | r->arc | r->dmarc | r->iprev) != 0 ||
	       r->dkim_domain.n > 0 || r->arc_sealer.n > 0;
}

static bool results_match(struct arena *a, const struct rules *rules,
			  const struct rule *r, const struct results *x)
{
	bool any = !asks_results(r);

	if (any || x == NULL)
		return any;
	return in_set(r->spf, x->spf_mailfrom.checked
				      ? (unsigned)x->spf_mailfrom.status
				      : RULE_RESULT_ABSENT) &&
	       in_set(r->dkim, dkim_bit(&x->dkim)) &&
	       in_set(r->arc, x->arc.status) &&
	       (r->arc_sealer.n == 0 || arc_vouches(a, rules, r, x)) &&
	       in_set(r->dmarc, x->dmarc.status) &&
	       in_set(r->iprev, x->iprev.checked ? (unsigned)x->iprev.status
						 : RULE_RESULT_ABSENT) &&
	       (r->dkim_domain.n == 0 ||
		has_pass_of(&r->dkim_domain, &x->dkim));
}

static bool header_matches(const struct rule *r, const struct rule_facts *f)
{
	if (r->header.n == 0)
		return true;
	for (size_t i = 0; i < r->header.n; i++)
		if (field_count(f->fields, r->header.v[i]) > 0)
			return true;
	return false;
}

static bool matches(struct arena *a, const struct rules *rules,
		    const struct rule *r, const struct rule_facts *f,
		    const struct view *v)
{
	return (enum rule_direction)r->direction == f->direction &&
	       client_matches(r, f) &&
	       name_matches(&r->client_name, v->client_name) &&
	       name_matches(&r->helo, v->helo) &&
	       (r->sender.n == 0 || path_in(&r->sender, &v->sender)) &&
	       from_matches(r, f) && recipient_matches(rules, r, f) &&
	       (r->listener.n == 0 ||
		text_in(&r->listener, f->client->listener)) &&
	       login_matches(r, f) && results_match(a, rules, r, f->results) &&
	       header_matches(r, f) &&
	       (r->size_above == 0 || f->size > (size_t)r->size_above);
}

/* ---- recipients ---- */

struct rule_recipients *rule_recipients_new(struct arena *a,
					    const struct rules *rules)
{
	struct rule_recipients *to = arena_alloc(a, sizeof(*to));

	to->matched = arena_array(a, rules->n, sizeof(*to->matched));
	return to;
}

static bool any_recipients(const struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->v[i].recipient.n > 0)
			return true;
	return false;
}

void rule_recipients_add(const struct rules *rules, struct rule_recipients *to,
			 struct slice path)
{
	struct arena *a;
	struct addr_path p;

	to->n++;
	if (!any_recipients(rules))
		return;
	a = arena_new();
	read_path(a, path, &p);
	for (size_t i = 0; i < rules->n; i++)
		to->matched[i] += path_in(&rules->v[i].recipient, &p);
	arena_free(a);
}

/* ---- the draw ---- */

/* 0 to 99 */
static unsigned draw(struct arena *a, const struct rules *rules,
		     const struct rule_facts *f, struct slice message_id)
{
	unsigned char out[SHA256_LEN];
	const char *domain =
		f->authors->ndomains > 0 ? f->authors->domains[0] : "";
	struct slice text = slice_of(arena_printf(
		a, "%s\n%.*s", domain, (int)message_id.n, message_id.p));

	crypto_hmac_sha256(slice_of(rules->secret), text, out);
	return ((unsigned)out[0] << 16 | (unsigned)out[1] << 8 | out[2]) % 100;
}

static bool is_drawn(struct arena *a, const struct rules *rules,
		     const struct rule *r, const struct rule_facts *f)
{
	struct slice id;

	if (r->percent == 0 || r->percent == 100 ||
	    field_count(f->fields, "Message-ID") != 1)
		return true;
	id = slice_trim(field_nth(f->fields, "Message-ID", 0)->value);
	return id.n == 0 || draw(a, rules, f, id) < (unsigned)r->percent;
}

void rules_run(struct arena *a, const struct rules *rules,
	       const struct rule_facts *f, struct rule_outcome *ret)
{
	struct view v;

	*ret = (struct rule_outcome){0};
	if (rules->n == 0)
		return;
	look(a, f, &v);
	ret->would = arena_array(a, rules->n, sizeof(const struct rule *));
	for (size_t i = 0; i < rules->n && ret->rule == NULL; i++) {
		const struct rule *r = &rules->v[i];

		if (!matches(a, rules, r, f, &v))
			continue;
		if (r->mode == RULE_ENFORCE && is_drawn(a, rules, r, f))
			ret->rule = r;
		else
			ret->would[ret->nwould++] = r;
	}
}

/* ---- the list as a whole ---- */

static bool has_text(const struct string_list *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], text) == 0)
			return true;
	return false;
}

/* Is whatever `b` lets pass also let pass by `a`?  By the texts alone. */
static bool list_covers(const struct string_list *a,
			const struct string_list *b)
{
	if (a->n == 0)
		return true;
	for (size_t i = 0; i < b->n; i++)
		if (!has_text(a, b->v[i]))
			return false;
	return b->n > 0;
}

static bool net_covers(const struct ip_net *a, const struct ip_net *b)
{
	return a->bits <= b->bits && ip_net_has(a, &b->addr);
}

static bool nets_cover(const struct ip_nets *a, const struct ip_nets *b)
{
	if (a->n == 0)
		return true;
	for (size_t i = 0; i < b->n; i++) {
		bool found = false;

		for (size_t j = 0; j < a->n && !found; j++)
			found = net_covers(&a->v[j], &b->v[i]);
		if (!found)
			return false;
	}
	return b->n > 0;
}

static bool set_covers(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && (b & ~a) == 0);
}

/* A milder rule needs all recipients, which says nothing about some. */
static bool recipients_cover(const struct rule *a, const struct rule *b)
{
	if (a->recipient.n == 0)
		return true;
	return list_covers(&a->recipient, &b->recipient) &&
	       (a->action >= RULE_TAG || b->action < RULE_TAG);
}

static bool covers(const struct rule *a, const struct rule *b)
{
	return a->mode == RULE_ENFORCE &&
	       (a->percent == 0 || a->percent == 100) &&
	       a->direction == b->direction &&
	       nets_cover(&a->client, &b->client) &&
	       list_covers(&a->client_name, &b->client_name) &&
	       list_covers(&a->helo, &b->helo) &&
	       list_covers(&a->sender, &b->sender) &&
	       list_covers(&a->from, &b->from) && recipients_cover(a, b) &&
	       list_covers(&a->listener, &b->listener) &&
	       list_covers(&a->login, &b->login) &&
	       set_covers(a->spf, b->spf) && set_covers(a->dkim, b->dkim) &&
	       set_covers(a->dmarc, b->dmarc) &&
	       set_covers(a->iprev, b->iprev) && set_covers(a->arc, b->arc) &&
	       list_covers(&a->arc_sealer, &b->arc_sealer) &&
	       list_covers(&a->dkim_domain, &b->dkim_domain) &&
	       list_covers(&a->header, &b->header) &&
	       a->size_above <= b->size_above;
}

static bool complain(const struct rule *r, struct strbuf *errors,
		     const char *what)
{
	strbuf_printf(errors, "%s: rules: %s\n", r->source, what);
	return false;
}

/* What would be left out of account. */
static bool check_members(const struct rule *r, struct strbuf *errors)
{
	bool ok = true;

	if (r->action != RULE_ACCEPT && (r->override != 0 || r->skip != 0))
		ok = complain(r, errors,
			      "override and skip belong to the action accept; "
			      "remove them");
	else if (r->direction == RULE_OUTBOUND &&
		 (r->override != 0 || r->skip != 0))
		ok = complain(r, errors,
			      "outgoing mail has nothing to skip; remove "
			      "override and skip");
	if (r->text != NULL && r->action != RULE_REJECT &&
	    r->action != RULE_TEMPFAIL)
		ok = complain(r, errors,
			      "text belongs to the actions reject and "
			      "tempfail; remove it");
	/* so are the counts of what DMARC would have done called */
	if (strcmp(r->name, "dmarc") == 0)
		ok = complain(r, errors,
			      "\"dmarc\" cannot be the name of a rule; give "
			      "another one");
	return ok;
}

/* May whoever sends a message make it such that the rule accepts it, whatever
 * DMARC says?  Names in HELO and header, and MAIL FROM without SPF, are what
 * the sender writes. */
static bool accepts_anybody(const struct rule *r)
{
	const int64_t pass = (int64_t)1 << SPF_STATUS_PASS;

	return r->action == RULE_ACCEPT && r->direction == RULE_INBOUND &&
	       (r->skip == 0 || (r->skip & 1 << RULE_SKIP_DMARC) != 0) &&
	       r->client.n == 0 && r->client_name.n == 0 &&
	       r->listener.n == 0 && r->login.n == 0 && r->recipient.n == 0 &&
	       r->dkim_domain.n == 0 && r->arc_sealer.n == 0 &&
	       (r->sender.n == 0 || r->spf == 0 || (r->spf & ~pass) != 0);
}

static bool check_rule(const struct rules *rules, size_t at,
		       struct strbuf *errors)
{
	const struct rule *r = &rules->v[at];
	bool ok = check_members(r, errors);

	for (size_t i = 0; i < at; i++) {
		if (strcmp(rules->v[i].name, r->name) != 0)
			continue;
		strbuf_printf(errors,
			      "%s: rules: \"%s\" stands here twice, first at "
			      "%s; rename one\n",
			      r->source, r->name, rules->v[i].source);
		ok = false;
	}
	if (r->percent > 0 && r->percent < 100 && rules->secret[0] == '\0') {
		strbuf_printf(errors,
			      "%s: rules: percent needs secret; give it "
			      "the same text on every host\n",
			      r->source);
		ok = false;
	}
	if (r->direction == RULE_OUTBOUND && asks_results(r)) {
		strbuf_printf(errors,
			      "%s: rules: outgoing mail has no results; remove "
			      "spf, dkim, arc, dmarc, iprev, dkim_domain and "
			      "arc_sealer\n",
			      r->source);
		ok = false;
	}
	return ok;
}

bool rules_check(const struct rules *rules, struct strbuf *errors,
		 struct strbuf *warnings)
{
	bool ok = true;

	if (rules->n > RULES_MAX) {
		strbuf_printf(errors, "%s: rules: more than %d; remove some\n",
			      rules->v[RULES_MAX].source, RULES_MAX);
		return false;
	}
	for (size_t j = 0; j < rules->n; j++) {
		ok = check_rule(rules, j, errors) && ok;
		if (accepts_anybody(&rules->v[j]))
			strbuf_printf(
				warnings,
				"%s: rules: \"%s\" accepts what any sender can "
				"write; ask for client, client_name, "
				"dkim_domain, or sender with spf pass too\n",
				rules->v[j].source, rules->v[j].name);
		for (size_t i = 0; i < j; i++) {
			if (!covers(&rules->v[i], &rules->v[j]))
				continue;
			strbuf_printf(
				warnings,
				"%s: rules: \"%s\" is never reached: all "
				"that it matches, \"%s\" decides before\n",
				rules->v[j].source, rules->v[j].name,
				rules->v[i].name);
			break;
		}
	}
	return ok;
}
