/*
 * The addresses that a message claims.
 *
 * All of From's mailboxes count, since every one of them is shown as an author
 * (RFC 5322 3.6.2), and so does Sender, which says who is responsible for them.
 */
#include "gate/gate.h"

static void add(struct gate_claims *c, const char *field, struct slice local,
		const char *domain, const char *reason)
{
	c->v[c->n++] = (struct gate_claim){field, local, domain, reason};
}

static void add_mail(struct arena *a, const struct gate_facts *f,
		     struct gate_claims *c)
{
	struct addr_path path;

	addr_path_parse(a, f->mail, &path);
	if (path.null)
		return;
	if (path.malformed || path.domain == NULL)
		add(c, "MAIL FROM", SLICE(""), NULL,
		    "no address with a domain");
	else
		add(c, "MAIL FROM", path.local, path.domain, NULL);
}

static void add_list(const struct addr_authors *l, const char *field,
		     struct gate_claims *c)
{
	if (l->malformed || l->n == 0)
		add(c, field, SLICE(""), NULL,
		    l->malformed ? l->reason : "no address");
	for (size_t i = 0; i < l->n && !l->malformed; i++)
		add(c, field, l->v[i].local, l->v[i].domain, NULL);
}

static void add_sender(struct arena *a, const struct gate_facts *f,
		       struct gate_claims *c)
{
	size_t n = field_count(f->fields, "Sender");
	struct addr_authors l;

	if (n == 0)
		return;
	if (n > 1) { /* RFC 5322 3.6 */
		add(c, "Sender", SLICE(""), NULL, "several Sender fields");
		return;
	}
	addr_list_parse(a, field_nth(f->fields, "Sender", 0)->value, &l);
	add_list(&l, "Sender", c);
}

void gate_claims_of(struct arena *a, const struct gate_facts *f,
		    struct gate_claims *ret)
{
	ret->n = 0;
	ret->v = arena_array(a, 1 + 2 * (size_t)ADDR_MAX_MAILBOXES + 2,
			     sizeof(*ret->v));
	add_mail(a, f, ret);
	add_list(f->authors, "From", ret);
	add_sender(a, f, ret);
}

const char *gate_claim_text(struct arena *a, const struct gate_claim *c)
{
	if (c->domain == NULL)
		return arena_printf(a, "%s (%s)", c->field, c->reason);
	/* In the log, "signed=yes@..." by itself would be a field. */
	if (slice_chr(c->local, '=') >= 0)
		return arena_printf(a, "%s <%s>", c->field,
				    reply_address(a, c->local, c->domain));
	return arena_printf(a, "%s %s", c->field,
			    reply_address(a, c->local, c->domain));
}
