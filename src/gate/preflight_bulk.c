/*
 * What bulk mail needs: one click to unsubscribe (RFC 8058), and a Feedback-ID,
 * by which Gmail tells a sender of complaints (support.google.com/mail,
 * "Feedback loop").  Both count only when a signature covers them.
 */
#include "gate/preflight.h"

#include "dkim/names.h"
#include "gate/sender.h"
#include "mail/domain.h"
#include "mail/tagvalue.h"

#define SENDER_ID_MIN 5
#define SENDER_ID_MAX 15

/* ---- which mail is bulk ---- */

static bool says_so(const struct field_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct slice v = slice_trim(l->v[i].value);

		if (slice_is_ci(l->v[i].name, "Precedence") &&
		    (slice_is_ci(v, "bulk") || slice_is_ci(v, "list")))
			return true;
	}
	return field_count(l, "List-Id") > 0 ||
	       field_count(l, "Feedback-ID") > 0;
}

static bool has_author_under(const struct addr_authors *l, const char *domain)
{
	for (size_t i = 0; i < l->ndomains; i++)
		if (domain_is_under(l->domains[i], domain))
			return true;
	return false;
}

static bool is_listed(const struct preflight_bulk *r, bool strip_realm,
		      const struct gate_facts *f)
{
	if (r->header != NULL)
		return field_count(f->fields, r->header) > 0;
	if (r->login != NULL)
		return f->login.n > 0 &&
		       slice_eq_ci(
			       sender_login(strip_realm, f->login),
			       sender_login(strip_realm, slice_of(r->login)));
	return r->domain != NULL && has_author_under(f->authors, r->domain);
}

bool preflight_is_bulk(const struct preflight_options *o,
		       const struct preflight_message *m)
{
	for (size_t i = 0; i < o->nbulk; i++)
		if (is_listed(&o->bulk[i], o->strip_realm, m->facts))
			return true;
	return says_so(m->facts->fields);
}

/* ---- what is signed ---- */

/* Does h= have the name? */
static bool has_name(struct slice h, const char *name)
{
	while (h.p != NULL)
		if (slice_is_ci(slice_trim(slice_cut(&h, ':')), name))
			return true;
	return false;
}

/* h= of a signature as the signer gives it, its folds as LF. */
static struct slice signed_names(struct arena *a, struct slice signature)
{
	struct strbuf b;
	struct tagvalue_list tags;
	struct slice h = SLICE("");
	const char *why;

	strbuf_init(&b, a, signature.n + 1);
	while (signature.p != NULL)
		strbuf_add(&b, slice_cut(&signature, '\n'));
	if (tagvalue_parse(strbuf_slice(&b), &tags, &why))
		(void)tagvalue_get(&tags, "h", &h);
	return h;
}

/* Does one signature cover both names (RFC 8058 4)? */
static bool are_signed(struct arena *a, const struct preflight_message *m,
		       const char *one, const char *other)
{
	for (size_t i = 0; i < m->nkeys && m->signatures != NULL; i++) {
		struct slice h = signed_names(a, m->signatures[i]);

		if (has_name(h, one) && has_name(h, other))
			return true;
	}
	return false;
}

/* ---- List-Unsubscribe ---- */

struct uris {
	size_t https;
	bool http;
	bool no_host; /* "https:///x" */
};

/* A URI without the white space in it, which RFC 2369 2 has readers ignore.
 * False: it is none. */
static bool add_uri(struct arena *a, struct slice s, struct uris *ret)
{
	struct strbuf b;
	struct slice uri, host;

	strbuf_init(&b, a, s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (ascii_iswsp(c) || c == '\r' || c == '\n')
			continue;
		if (c <= ' ' || c > '~' || c == '<' ||
		    c == '"') /* RFC 3986 2 */
			return false;
		strbuf_addc(&b, c);
	}
	uri = strbuf_slice(&b);
	if (slice_chr(uri, ':') < 1)
		return false;
	if (slice_starts_ci(uri, "http:"))
		ret->http = true;
	if (!slice_starts_ci(uri, "https:"))
		return true;
	ret->https++;
	host = slice_from(uri, sizeof("https://") - 1);
	ret->no_host = ret->no_host || !slice_starts_ci(uri, "https://") ||
		       host.n == 0 ||
		       !(ascii_isalnum(host.p[0]) || host.p[0] == '[');
	return true;
}

/* RFC 2369 2: "<URI>" with "," between, and comments.  Linear in the length. */
static bool read_uris(struct arena *a, struct slice s, struct uris *ret)
{
	bool after = false; /* a URI: a "," must come */
	size_t i = 0;

	*ret = (struct uris){.https = 0};
	while (i < s.n) {
		char c = s.p[i];
		ptrdiff_t end;

		if (ascii_iswsp(c) || c == '\r' || c == '\n') {
			i++;
		} else if (c == '(') {
			i = dkim_skip_comment(s, i);
		} else if (c == ',') {
			after = false;
			i++;
		} else {
			end = slice_chr(slice_from(s, i), '>');
			if (c != '<' || after || end < 0 ||
			    !add_uri(a,
				     slice_first(slice_from(s, i + 1),
						 (size_t)end - 1),
				     ret))
				return false;
			after = true;
			i += (size_t)end + 1;
		}
	}
	return true;
}

static const char *check_uris(struct arena *a, struct slice value)
{
	struct uris u;

	if (!read_uris(a, value, &u))
		return "List-Unsubscribe is malformed";
	if (u.http)
		return "http URI in List-Unsubscribe";
	if (u.https != 1)
		return u.https == 0 ? "no https URI in List-Unsubscribe"
				    : "several https URIs in List-Unsubscribe";
	if (u.no_host)
		return "https URI without a host in List-Unsubscribe";
	return NULL;
}

/* RFC 8058 3.1 */
static const char *check_unsubscribe(struct arena *a,
				     const struct field_list *l)
{
	const struct field *f = field_nth(l, "List-Unsubscribe", 0);
	const struct field *post = field_nth(l, "List-Unsubscribe-Post", 0);
	const char *why;

	if (f == NULL)
		return "no List-Unsubscribe";
	if (field_count(l, "List-Unsubscribe") > 1)
		return "several List-Unsubscribe fields";
	why = check_uris(a, f->value);
	if (why != NULL)
		return why;
	if (post == NULL)
		return "no List-Unsubscribe-Post";
	if (field_count(l, "List-Unsubscribe-Post") > 1)
		return "several List-Unsubscribe-Post fields";
	if (!slice_is(field_unfold(a, post->value),
		      "List-Unsubscribe=One-Click"))
		return "List-Unsubscribe-Post is not "
		       "List-Unsubscribe=One-Click";
	return NULL;
}

struct preflight_result preflight_unsubscribe(struct arena *a,
					      const struct preflight_message *m)
{
	const char *why = check_unsubscribe(a, m->facts->fields);

	if (why == NULL &&
	    !are_signed(a, m, "List-Unsubscribe", "List-Unsubscribe-Post"))
		why = "no signature covers List-Unsubscribe and "
		      "List-Unsubscribe-Post";
	return why == NULL ? preflight_good() : preflight_bad(why);
}

/* ---- Feedback-ID ---- */

/* "CAMPAIGN:CUSTOMER:KIND:SENDER", all but the last of them as one likes. */
static const char *check_feedback_id(struct arena *a,
				     const struct field_list *l)
{
	const struct field *f = field_nth(l, "Feedback-ID", 0);
	struct slice v, sender;

	if (f == NULL)
		return "no Feedback-ID";
	if (field_count(l, "Feedback-ID") > 1)
		return "several Feedback-ID fields";
	v = field_unfold(a, f->value);
	sender = slice_trim(slice_from(v, (size_t)(slice_rchr(v, ':') + 1)));
	if (sender.n < SENDER_ID_MIN || sender.n > SENDER_ID_MAX)
		return "the last part of Feedback-ID has not 5 to 15 "
		       "characters";
	return NULL;
}

struct preflight_result preflight_feedback_id(struct arena *a,
					      const struct preflight_message *m)
{
	const char *why = check_feedback_id(a, m->facts->fields);

	if (why == NULL && !are_signed(a, m, "Feedback-ID", "Feedback-ID"))
		why = "no signature covers Feedback-ID";
	return why == NULL ? preflight_good() : preflight_bad(why);
}
