/*
 * Writes Received-SPF (RFC 7208 9.1): one identity, from the same result that
 * Authentication-Results shows, so that the two cannot differ.
 *
 * HELO and MAIL FROM are the client's bytes.  A value is a dot-atom or a
 * quoted-string; one that neither can carry as it came (control or non-ASCII
 * bytes, or too long) is left out whole, since what would remain of it could
 * be another identity.  The comment is constant but for canonical domains and
 * addresses.  Folds are LF TAB, as in Authentication-Results.  Pure.
 */
#include "eval/eval.h"

#include <string.h>

#define NAME_COLUMNS (sizeof("Received-SPF: ") - 1)
#define LINE_COLUMNS 78
#define TAB_COLUMNS  8
/* Bytes of one value, as given.  RFC 5321 4.5.3.1 allows a path 256, and every
 * byte may need a backslash: the line stays below 998. */
#define VALUE_MAX 320
#define FIELD_MAX 8192

struct writer {
	struct strbuf out;
	size_t column;
	bool pairs; /* one was written */
};

/* RFC 5322 3.2.3 */
static bool is_atext(char c)
{
	return ascii_isalnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_dot_atom(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool inner = i > 0 && i + 1 < s.n && s.p[i - 1] != '.';

		if (!is_atext(s.p[i]) && !(s.p[i] == '.' && inner))
			return false;
	}
	return s.n > 0;
}

/* RFC 5322 3.2.4: qtext, quoted-pair and single spaces. */
static bool is_quotable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return s.n > 0 && s.n <= VALUE_MAX;
}

/* Adds a word after a space, or on a new line where it, and a ";" after it,
 * do not fit. */
static void put_word(struct writer *w, struct slice word)
{
	if (w->column + 1 + word.n < LINE_COLUMNS) {
		strbuf_addc(&w->out, ' ');
		w->column += 1 + word.n;
	} else {
		strbuf_adds(&w->out, "\n\t");
		w->column = TAB_COLUMNS + word.n;
	}
	strbuf_add(&w->out, word);
}

/* RFC 5322 3.2.2; may be folded at its spaces. */
static void put_comment(struct writer *w, const char *text)
{
	struct strbuf b;
	struct slice rest;

	strbuf_init(&b, w->out.arena, FIELD_MAX / 2);
	strbuf_addc(&b, '(');
	for (; *text != '\0'; text++) {
		if (strchr("()\\", *text) != NULL)
			strbuf_addc(&b, '\\');
		strbuf_addc(&b, *text);
	}
	strbuf_addc(&b, ')');
	rest = strbuf_slice(&b);
	while (rest.p != NULL)
		put_word(w, slice_cut(&rest, ' '));
}

static void put_pair(struct writer *w, const char *key, struct slice value)
{
	struct strbuf b;

	if (!is_quotable(value))
		return;
	if (w->pairs) {
		strbuf_addc(&w->out, ';');
		w->column++;
	}
	w->pairs = true;
	strbuf_init(&b, w->out.arena, 2 * VALUE_MAX + 32);
	strbuf_printf(&b, "%s=", key);
	if (is_dot_atom(value)) {
		strbuf_add(&b, value);
	} else {
		strbuf_addc(&b, '"');
		for (size_t i = 0; i < value.n; i++) {
			if (value.p[i] == '"' || value.p[i] == '\\')
				strbuf_addc(&b, '\\');
			strbuf_addc(&b, value.p[i]);
		}
		strbuf_addc(&b, '"');
	}
	put_word(w, strbuf_slice(&b));
}

/* What happened, in the words of RFC 7208 9.1's examples. */
static const char *sentence(struct arena *a, const struct spf_result *s,
			    const char *ip)
{
	const char *domain = s->domain;

	if (domain == NULL)
		return s->reason != NULL ? s->reason : "no domain to check";
	switch (s->status) {
	case SPF_STATUS_PASS:
		return arena_printf(
			a, "domain of %s designates %s as permitted sender",
			domain, ip);
	case SPF_STATUS_FAIL:
		return arena_printf(a,
				    "domain of %s does not designate %s as "
				    "permitted sender",
				    domain, ip);
	case SPF_STATUS_SOFTFAIL:
		return arena_printf(a,
				    "domain of transitioning %s does not "
				    "designate %s as permitted sender",
				    domain, ip);
	case SPF_STATUS_NEUTRAL:
		return arena_printf(a,
				    "%s is neither permitted nor denied by "
				    "domain of %s",
				    ip, domain);
	case SPF_STATUS_NONE:
		return arena_printf(a,
				    "domain of %s does not designate permitted "
				    "sender hosts",
				    domain);
	case SPF_STATUS_TEMPERROR:
	case SPF_STATUS_PERMERROR:
		break;
	}
	return arena_printf(a, "error in processing during lookup of %s",
			    domain);
}

/* The mailbox of MAIL FROM without its brackets; "<>" for the null path. */
static struct slice mailbox(struct slice path)
{
	if (path.n > 2 && path.p[0] == '<' && path.p[path.n - 1] == '>')
		return slice_first(slice_from(path, 1), path.n - 2);
	return path.n > 0 ? path : SLICE("<>");
}

struct slice stamp_received_spf(struct arena *a, const char *receiver,
				const struct client_facts *client,
				const struct envelope_facts *envelope,
				const struct spf_result *s)
{
	bool helo = s->identity == SPF_IDENTITY_HELO;
	const char *status = spf_status_name(s->status);
	char ip[IP_TEXT_MAX];
	struct writer w = {.column = NAME_COLUMNS + strlen(status)};

	ip_format(&client->addr, ip);
	strbuf_init(&w.out, a, FIELD_MAX);
	strbuf_adds(&w.out, status);
	put_comment(&w,
		    arena_printf(a, "%s: %s", receiver, sentence(a, s, ip)));
	put_pair(&w, "client-ip", slice_of(ip));
	put_pair(&w, "envelope-from", mailbox(envelope->sender));
	put_pair(&w, "helo", client->helo);
	put_pair(&w, "identity", helo ? SLICE("helo") : SLICE("mailfrom"));
	put_pair(&w, "receiver", slice_of(receiver));
	put_pair(&w, "mechanism", slice_of(s->mechanism));
	if (s->status == SPF_STATUS_TEMPERROR ||
	    s->status == SPF_STATUS_PERMERROR)
		put_pair(&w, "problem", slice_of(s->reason));
	return strbuf_slice(&w.out);
}
