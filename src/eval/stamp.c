/*
 * stamp: results and verdict become edits of the header.
 *
 * One Authentication-Results with every method, at the top, and below it the
 * mark of a quarantined message and the Received-SPF fields when they are
 * wanted (received_spf.c writes them).  Own fields that came from outside go,
 * of each name from the highest index down, which is right with both MTAs' ways
 * of counting.  Reasons are constants (RFC 8601 4: nothing unauthenticated),
 * properties go through authres_prop(), which escapes.
 */
#include "eval/eval.h"

#include <string.h>

#include "base/check.h"
#include "mail/authres.h"

static const char *const own_names[OWN_NAMES] = {
	[OWN_AUTHRES] = "Authentication-Results",
	[OWN_QUARANTINE] = "X-Mailseal-Quarantine",
	[OWN_EXTERNAL] = "X-Mailseal-External",
	[OWN_WARNING] = "X-Mailseal-Warning",
	[OWN_PREFLIGHT] = "X-Mailseal-Preflight",
	[OWN_RULE] = "X-Mailseal-Rule",
};

/* Bytes of b= shown; RFC 6008 4: at least 8, more until unique. */
#define B_MIN 8

/*
 * SPF that was not asked for (a client of our own, local submission) is said
 * once, as "none" with the reason: RFC 8601 2.7.2 has no word for it, "none"
 * is the one that claims nothing, and RFC 7208 App. F lets a receiver treat
 * its own relays so.  Without the field a reader could not tell it from a
 * filter that does not know SPF.  No property: no domain was looked at (AR-6).
 */
static void add_spf_skipped(struct authres_writer *w,
			    const struct spf_result *s)
{
	if (s->identity == SPF_IDENTITY_MAILFROM && s->reason != NULL)
		authres_method(w, "spf", "none", s->reason, NULL);
}

static void add_spf(struct authres_writer *w, const struct spf_result *s)
{
	if (!s->checked) {
		add_spf_skipped(w, s);
		return;
	}
	authres_method(w, "spf", spf_status_name(s->status), s->reason, NULL);
	if (s->domain != NULL)
		authres_prop(w, "smtp",
			     s->identity == SPF_IDENTITY_HELO ? "helo"
							      : "mailfrom",
			     slice_of(s->domain));
}

/* The shortest prefix of b= that no other signature shares. */
static struct slice unique_b(const struct dkim_results *d, size_t at)
{
	struct slice b = d->v[at].b;
	size_t n = B_MIN;

	for (size_t i = 0; i < d->n; i++) {
		struct slice o = d->v[i].b;
		if (i == at || slice_eq(o, b))
			continue;
		while (n < b.n &&
		       slice_eq(slice_first(o, n), slice_first(b, n)))
			n++;
	}
	return slice_first(b, n);
}

static void add_dkim(struct arena *a, struct authres_writer *w,
		     const struct dkim_results *d)
{
	const char *comment = NULL;

	if (d->n == 0) {
		authres_method(w, "dkim", "none", NULL, NULL);
		return;
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct dkim_result *r = &d->v[i];
		if (d->more > 0 && i + 1 == d->n)
			comment = arena_printf(a, "%zu more not evaluated",
					       d->more);
		authres_method(w, "dkim", dkim_status_name(r->status),
			       r->reason, comment);
		if (r->domain != NULL)
			authres_prop(w, "header", "d", slice_of(r->domain));
		authres_prop(w, "header", "i", r->identity);
		if (r->selector != NULL)
			authres_prop(w, "header", "s", slice_of(r->selector));
		authres_prop(w, "header", "a", r->algorithm);
		authres_prop(w, "header", "b", unique_b(d, i));
	}
}

static bool has_dkim_pass(const struct dkim_results *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].status == DKIM_STATUS_PASS)
			return true;
	return false;
}

/* DM-36a: of what passed, whether it speaks for the author. */
static void add_aligned(struct strbuf *b, const struct results *r)
{
	bool spf = r->spf_mailfrom.checked &&
		   r->spf_mailfrom.status == SPF_STATUS_PASS;

	if (r->dmarc.spf_aligned || spf)
		strbuf_printf(b, " spf=%saligned",
			      r->dmarc.spf_aligned ? "" : "un");
	if (r->dmarc.dkim_aligned || has_dkim_pass(&r->dkim))
		strbuf_printf(b, " dkim=%saligned",
			      r->dmarc.dkim_aligned ? "" : "un");
}

/* "(p=reject sp=none dis=none)": what was published and what was done. */
static const char *dmarc_comment(struct arena *a, const struct results *r,
				 const struct verdict *v)
{
	const struct dmarc_result *d = &r->dmarc;
	const char *word;
	struct strbuf b;

	if (d->policy_domain == NULL && v->disposition <= DMARC_P_NONE &&
	    v->rules.rule == NULL)
		return NULL;
	if (d->policy_domain == NULL)
		return arena_printf(
			a, "dis=%s%s%s", dmarc_policy_name(v->disposition),
			v->rules.rule != NULL ? " rule=" : "",
			v->rules.rule != NULL ? v->rules.rule->name : "");
	strbuf_init(&b, a, AUTHRES_MAX_VALUE);
	strbuf_printf(&b, "p=%s", dmarc_policy_name(d->record.p));
	if (d->record.sp != DMARC_P_UNSET)
		strbuf_printf(&b, " sp=%s", dmarc_policy_name(d->record.sp));
	if (d->record.np != DMARC_P_UNSET)
		strbuf_printf(&b, " np=%s", dmarc_policy_name(d->record.np));
	if (d->record.testing)
		strbuf_adds(&b, " t=y");
	strbuf_printf(&b, " dis=%s", dmarc_policy_name(v->disposition));
	if (v->rules.rule != NULL)
		strbuf_printf(&b, " rule=%s", v->rules.rule->name);
	/* an unknown alignment is neither (RFC 9989 5.3.6) */
	if (d->status != DMARC_STATUS_TEMPERROR)
		add_aligned(&b, r);
	word = b.n < AUTHRES_MAX_VALUE
		       ? policy_arc_comment(a, r, v,
					    AUTHRES_MAX_VALUE - 1 - b.n)
		       : NULL;
	if (word != NULL)
		strbuf_printf(&b, " %s", word);
	return strbuf_cstr(&b);
}

static void add_dmarc(struct arena *a, struct authres_writer *w,
		      const struct results *r, const struct verdict *v)
{
	const struct dmarc_result *d = &r->dmarc;

	authres_method(w, "dmarc", dmarc_status_name(d->status), d->reason,
		       dmarc_comment(a, r, v));
	if (d->author_domain != NULL)
		authres_prop(w, "header", "from", slice_of(d->author_domain));
	/* RFC 9989 9.1: the policy to be applied, sp, np and t considered; dis
	 * says what became of it.  Of a pass that is nothing; of a temperror
	 * there is none (5.3.6). */
	if (d->policy_domain != NULL && d->status != DMARC_STATUS_TEMPERROR)
		authres_prop(
			w, "policy", "dmarc",
			slice_of(dmarc_policy_name(
				d->status == DMARC_STATUS_PASS ? DMARC_P_NONE
							       : d->policy)));
}

/* RFC 8617 6 and 10.2.  A message without a chain says so, too: a sealer quotes
 * this field, and whoever reads it there finds in smtp.remote-ip from where the
 * message came (7.2.2). */
static void add_arc(struct arena *a, struct authres_writer *w,
		    const struct results *r)
{
	char text[IP_TEXT_MAX];

	authres_method(
		w, "arc", arc_status_name(r->arc.status), r->arc.reason,
		r->arc.n > 0 ? arena_printf(a, "i=%zu as.d=%s", r->arc.n,
					    r->arc.v[r->arc.n - 1].seal_domain)
			     : NULL);
	if (r->arc_client.family != IP_NONE)
		authres_prop(w, "smtp", "remote-ip",
			     slice_of(ip_format(&r->arc_client, text)));
	if (r->arc.status == ARC_STATUS_PASS)
		authres_prop(
			w, "header", "oldest-pass",
			slice_of(arena_printf(a, "%u", r->arc.oldest_pass)));
}

/* RFC 8601 2.7.3: policy.iprev is the client's address. */
static void add_iprev(struct authres_writer *w, const struct iprev_result *i)
{
	char text[IP_TEXT_MAX];

	if (!i->checked)
		return;
	authres_method(w, "iprev", iprev_status_name(i->status), i->reason,
		       i->name);
	authres_prop(w, "policy", "iprev",
		     slice_of(ip_format(&i->client, text)));
}

struct slice stamp_authres(struct arena *a, const char *authserv_id,
			   const struct results *r, const struct verdict *v)
{
	struct authres_writer w;

	authres_begin(&w, a, authserv_id);
	add_dmarc(a, &w, r, v);
	add_dkim(a, &w, &r->dkim);
	add_arc(a, &w, r);
	add_spf(&w, &r->spf_helo);
	add_spf(&w, &r->spf_mailfrom);
	add_iprev(&w, &r->iprev);
	return authres_end(&w);
}

static bool claims_us(const struct eval_env *env, struct slice value)
{
	struct arena *scratch = arena_new();
	bool ours = authres_claims(scratch, value, env->authserv_ids,
				   env->nauthserv_ids);

	arena_free(scratch);
	return ours;
}

static void note(struct arena *a, struct own_list *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap > 0 ? 2 * l->cap : 16;
		size_t *grown = arena_array(a, cap, sizeof(*grown));

		if (l->n > 0)
			memcpy(grown, l->index, l->n * sizeof(*grown));
		l->index = grown;
		l->cap = cap;
	}
	l->index[l->n++] = l->seen;
}

void stamp_note(struct arena *a, const struct eval_env *env,
		struct own_fields *own, struct slice name, struct slice value)
{
	for (size_t i = 0; i < OWN_NAMES; i++) {
		if (!slice_is_ci(name, own_names[i]))
			continue;
		own->of[i].seen++;
		if (i != OWN_AUTHRES || claims_us(env, value))
			note(a, &own->of[i]);
	}
}

/* The removals, with room for `inserts` more. */
static void remove_own(struct arena *a, const struct own_fields *own,
		       size_t inserts, struct edits *ret)
{
	size_t n = inserts;

	for (size_t i = 0; i < OWN_NAMES; i++)
		n += own->of[i].n;
	ret->v = arena_array(a, n, sizeof(*ret->v));
	ret->n = 0;
	for (size_t i = 0; i < OWN_NAMES; i++)
		for (size_t j = own->of[i].n; j > 0; j--) {
			/* else a field of others goes */
			CHECK(j == 1 || own->of[i].index[j - 1] >
						own->of[i].index[j - 2]);
			ret->v[ret->n++] = (struct edit){
				EDIT_DELETE, own->of[i].index[j - 1],
				own_names[i], NULL};
		}
}

static void insert(struct arena *a, struct edits *e, const char *name,
		   struct slice value)
{
	bool spaced = value.n > 0 && value.p[0] == ' ';

	e->v[e->n++] =
		(struct edit){EDIT_INSERT, 0, name,
			      arena_printf(a, "%s%.*s", spaced ? "" : " ",
					   (int)value.n, value.p)};
}

/* The Subject keeps its place; the fields go below what others insert. */
static void mark(struct arena *a, struct edits *e,
		 const struct awareness_marks *m)
{
	for (size_t i = 0; i < m->nsubjects; i++)
		if (m->subjects[i] != NULL)
			e->v[e->n++] = (struct edit){EDIT_CHANGE, i + 1,
						     "Subject", m->subjects[i]};
	if (m->external)
		insert(a, e, own_names[OWN_EXTERNAL], SLICE("yes"));
	if (m->warning != NULL)
		insert(a, e, own_names[OWN_WARNING], slice_of(m->warning));
}

void stamp_inbound(struct arena *a, const struct eval_env *env,
		   const struct own_fields *own,
		   const struct client_facts *client,
		   const struct envelope_facts *envelope,
		   const struct results *r, const struct verdict *v,
		   struct edits *ret)
{
	/* The last one in is the topmost. */
	const struct spf_result *spf[] = {&r->spf_helo, &r->spf_mailfrom};

	remove_own(a, own, AWARENESS_SUBJECTS_MAX + 7, ret);
	if (v->marks != NULL)
		mark(a, ret, v->marks);
	for (size_t i = 0; i < 2 && env->received_spf; i++)
		if (spf[i]->checked)
			insert(a, ret, "Received-SPF",
			       stamp_received_spf(a, env->authserv_id, client,
						  envelope, spf[i]));
	if (v->label != NULL)
		insert(a, ret, own_names[OWN_RULE], slice_of(v->label));
	if (v->tag)
		insert(a, ret, own_names[OWN_QUARANTINE], slice_of(v->mark));
	insert(a, ret, own_names[OWN_AUTHRES],
	       stamp_authres(a, env->authserv_id, r, v));
}

void stamp_outbound(struct arena *a, const struct own_fields *own,
		    const struct slice *signatures, size_t n,
		    const struct verdict *v, struct edits *ret)
{
	remove_own(a, own, n + 2, ret);
	if (v != NULL && v->label != NULL)
		insert(a, ret, own_names[OWN_RULE], slice_of(v->label));
	if (v != NULL && v->tag)
		insert(a, ret, own_names[OWN_QUARANTINE], slice_of(v->mark));
	for (size_t i = n; i > 0; i--)
		insert(a, ret, "DKIM-Signature", signatures[i - 1]);
}

void stamp_add(struct arena *a, const char *name, struct slice value,
	       struct edits *e)
{
	struct edit *v = arena_array(a, e->n + 1, sizeof(*v));

	if (e->n > 0)
		memcpy(v, e->v, e->n * sizeof(*v));
	e->v = v;
	insert(a, e, name, value);
}

void stamp_preflight(struct arena *a, const char *value, struct edits *e)
{
	stamp_add(a, own_names[OWN_PREFLIGHT], slice_of(value), e);
}

/* ---- the header after the edits ---- */

static struct field field_of(struct arena *a, const struct edit *e)
{
	const struct field_limits any = {1, SIZE_MAX, SIZE_MAX};
	struct field_list one = {0};

	field_list_add(a, &one, &any, slice_of(e->name), slice_of(e->value));
	return one.v[0];
}

/* The place of the index-th field of that name, or the end. */
static size_t place_of(const struct field_list *l, const struct edit *e)
{
	size_t left = e->index, i;

	for (i = 0; i < l->n; i++)
		if (slice_is_ci(l->v[i].name, e->name) && --left == 0)
			break;
	return i;
}

static void apply(struct arena *a, const struct edit *e, struct field_list *l)
{
	size_t at = e->kind == EDIT_INSERT ? 0 : place_of(l, e);

	if (e->kind == EDIT_INSERT)
		memmove(&l->v[1], &l->v[0], l->n * sizeof(*l->v));
	if (e->kind == EDIT_INSERT || at == l->n)
		l->n++;
	l->v[at] = field_of(a, e);
}

/* How many of the edits, from the first on, delete fields of one name from the
 * bottom up: none moves the place of the next. */
static size_t deletions(const struct edit *v, size_t n)
{
	size_t i = 0;

	while (i < n && v[i].kind == EDIT_DELETE &&
	       (i == 0 || (v[i].index > 0 && v[i].index < v[i - 1].index &&
			   slice_is_ci(slice_of(v[i].name), v[0].name))))
		i++;
	return i;
}

/* In one pass: a sender may have forged thousands. */
static void delete_all(const struct edit *v, size_t n, struct field_list *l)
{
	size_t kept = 0, seen = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (n > 0 && slice_is_ci(l->v[i].name, v[0].name) &&
		    ++seen == v[n - 1].index)
			n--;
		else
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

void stamp_apply(struct arena *a, const struct field_list *l,
		 const struct edits *e, struct field_list *ret)
{
	*ret = *l;
	ret->cap = l->n + e->n;
	ret->v = arena_array(a, ret->cap + 1, sizeof(*ret->v));
	if (l->n > 0)
		memcpy(ret->v, l->v, l->n * sizeof(*ret->v));
	for (size_t i = 0; i < e->n;) {
		size_t n = deletions(&e->v[i], e->n - i);

		if (n > 0)
			delete_all(&e->v[i], n, ret);
		else
			apply(a, &e->v[i], ret);
		i += n > 0 ? n : 1;
	}
}
