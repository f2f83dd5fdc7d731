/*
 * What a set says of the message as it came to its sealer (RFC 8617 7.2.1).
 * It is text of somebody else's: it counts only when he is trusted.  Pure.
 */
#include "arc/arc.h"

#include <string.h>

#include "mail/authres.h"
#include "mail/domain.h"

/* With header.from (RFC 9989 9.1) about that author, without it about the
 * message. */
static bool is_about(struct arena *a, const struct authres_resinfo *r,
		     const char *author)
{
	for (size_t i = 0; i < r->nprops; i++) {
		const struct authres_property *p = &r->props[i];
		const char *domain;

		if (!slice_is_ci(p->ptype, "header") ||
		    !slice_is_ci(p->name, "from"))
			continue;
		domain = domain_canon(a, p->value);
		return domain != NULL && strcmp(domain, author) == 0;
	}
	return true;
}

bool arc_set_says_dmarc_pass(struct arena *a, const struct arc_set *s,
			     const char *author)
{
	struct authres r;
	bool pass = false;

	if (!authres_parse(a, s->results, &r))
		return false;
	for (size_t i = 0; i < r.n; i++) {
		if (!slice_is_ci(r.v[i].method, "dmarc"))
			continue;
		/* one that fails is not outvoted by another */
		if (!slice_is_ci(r.v[i].result, "pass") ||
		    !is_about(a, &r.v[i], author))
			return false;
		pass = true;
	}
	return pass;
}

static bool remote_ip(const struct authres_resinfo *r, struct ip *ret)
{
	for (size_t i = 0; i < r->nprops; i++)
		if (slice_is_ci(r->props[i].ptype, "smtp") &&
		    slice_is_ci(r->props[i].name, "remote-ip"))
			return ip_parse(r->props[i].value, ret);
	return false;
}

bool arc_set_client(struct arena *a, const struct arc_set *s, struct ip *ret)
{
	struct authres r;

	if (!authres_parse(a, s->results, &r))
		return false;
	for (size_t i = 0; i < r.n; i++)
		if (slice_is_ci(r.v[i].method, "arc"))
			return remote_ip(&r.v[i], ret);
	return false;
}

/* A whole piece or nothing: half a name is another name. */
static void add_piece(struct strbuf *b, size_t max, const char *piece)
{
	if (b->n + strlen(piece) <= max)
		strbuf_adds(b, piece);
}

static const char *sealer_text(struct arena *a, const struct arc_result *r,
			       size_t i)
{
	return arena_printf(a, " as[%zu].d=%s as[%zu].s=%s", i,
			    r->v[i - 1].seal_domain, i,
			    r->v[i - 1].seal_selector);
}

const char *arc_policy_comment(struct arena *a, const struct arc_result *r,
			       size_t max)
{
	char text[IP_TEXT_MAX];
	struct strbuf b;
	struct ip client;

	strbuf_init(&b, a, max);
	add_piece(&b, max,
		  arena_printf(a, "arc=%s", arc_status_name(r->status)));
	if (r->n > 0)
		add_piece(&b, max, sealer_text(a, r, r->n));
	if (r->n > 1)
		add_piece(&b, max, sealer_text(a, r, 1));
	if (r->n > 0 && arc_set_client(a, &r->v[0], &client))
		add_piece(&b, max,
			  arena_printf(a, " remote-ip[1]=%s",
				       ip_format(&client, text)));
	return strbuf_cstr(&b);
}
