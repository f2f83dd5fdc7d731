/*
 * Which fields are signed, and as whom: the default list, the checks of what
 * an administrator wants instead, and the h= and i= that follow for a message.
 *
 * Not a signer: nothing is hashed here.  Not a judge of addresses either: the
 * list of addresses is read as loosely as an MTA reads it, only to see whether
 * one of them will still be completed.  RFC 6376 2.11, 3.5, 5.4, 8.15.  Pure.
 */
#include "dkim/names.h"

#include <string.h>

#include "dkim/sendmail.h"
#include "dkim/signature.h"
#include "mail/addr.h"
#include "mail/domain.h"

#define NAME_MAX_BYTES	64 /* more would not fit a line of h= */
#define LOCAL_MAX_BYTES 64 /* RFC 5321 4.5.3.1.1 */
#define LIST_MAX_BYTES	(DKIM_NAMES_MAX * (NAME_MAX_BYTES + 1))

/*
 * RFC 6376 5.4.1, DK-50, DK-51.  A message has at most one of the fields that
 * are oversigned (RFC 5322 3.6).  Of these, mailing lists add Sender and
 * List-Unsubscribe, and an MTA adds Date and Message-ID where they are missing,
 * after the milter: an absent one must not be signed.
 */
static const struct dkim_signed_name default_names[] = {
	{"From", DKIM_OVERSIGN},
	{"To", DKIM_OVERSIGN},
	{"Cc", DKIM_OVERSIGN},
	{"Subject", DKIM_OVERSIGN},
	{"Date", DKIM_OVERSIGN_PRESENT},
	{"Reply-To", DKIM_OVERSIGN},
	{"Sender", DKIM_OVERSIGN_PRESENT},
	{"Message-ID", DKIM_OVERSIGN_PRESENT},
	{"In-Reply-To", DKIM_OVERSIGN},
	{"References", DKIM_OVERSIGN},
	{"MIME-Version", DKIM_OVERSIGN},
	{"Content-Type", DKIM_OVERSIGN},
	{"Content-Transfer-Encoding", DKIM_OVERSIGN},
	{"Content-Disposition", DKIM_SIGN_PRESENT},
	{"Content-ID", DKIM_SIGN_PRESENT},
	{"Content-Description", DKIM_SIGN_PRESENT},
	{"Resent-Date", DKIM_SIGN_PRESENT},
	{"Resent-From", DKIM_SIGN_PRESENT},
	{"Resent-Sender", DKIM_SIGN_PRESENT},
	{"Resent-To", DKIM_SIGN_PRESENT},
	{"Resent-Cc", DKIM_SIGN_PRESENT},
	{"Resent-Message-ID", DKIM_SIGN_PRESENT},
	{"List-Id", DKIM_SIGN_PRESENT},
	{"List-Help", DKIM_SIGN_PRESENT},
	{"List-Unsubscribe", DKIM_OVERSIGN_PRESENT},
	{"List-Unsubscribe-Post", DKIM_OVERSIGN_PRESENT},
	{"List-Subscribe", DKIM_SIGN_PRESENT},
	{"List-Post", DKIM_SIGN_PRESENT},
	{"List-Owner", DKIM_SIGN_PRESENT},
	{"List-Archive", DKIM_SIGN_PRESENT},
	{"Autocrypt", DKIM_SIGN_PRESENT},
	{"Feedback-ID", DKIM_SIGN_PRESENT},
};

const struct dkim_signed_name *dkim_default_names(size_t *n)
{
	*n = sizeof(default_names) / sizeof(default_names[0]);
	return default_names;
}

/* ---- what may be signed ---- */

/* RFC 6376 5.4.1: fields that are changed, removed or added on the way. */
static const struct {
	const char *name;
	const char *reason;
} refused_names[] = {
	{"Return-Path", "the delivering MTA replaces it"},
	{"Received", "every MTA adds one"},
	{"Comments", "it may be changed on the way"},
	{"Keywords", "it may be changed on the way"},
	{"Bcc", "the MTA removes or empties it"},
	{"Resent-Bcc", "the MTA removes or empties it"},
	{"Content-Length", "the MTA removes it"},
	{"Full-Name", "the MTA removes it"},
	{"Authentication-Results", "receivers add and remove it"},
	{"Received-SPF", "receivers add it"},
	{"DKIM-Signature", "a signature does not sign another one"},
};

bool dkim_signed_name_ok(const char *name, const char **reason)
{
	struct slice s = slice_of(name);

	*reason = NULL;
	for (size_t i = 0; i < s.n && *reason == NULL; i++)
		/* RFC 5322 3.6.8; a ";" would end h= */
		if (s.p[i] < 33 || s.p[i] > 126 || s.p[i] == ':' ||
		    s.p[i] == ';')
			*reason = "it is no name of a header field";
	if (s.n == 0)
		*reason = "it is no name of a header field";
	else if (s.n > NAME_MAX_BYTES)
		*reason = "it is longer than 64 bytes";
	else if (slice_starts_ci(s, "ARC-"))
		*reason = "it belongs to the forwarders (ARC)";
	for (size_t i = 0; i < sizeof(refused_names) / sizeof(refused_names[0]);
	     i++)
		if (slice_is_ci(s, refused_names[i].name))
			*reason = refused_names[i].reason;
	return *reason == NULL;
}

/* ---- addresses that the MTA will complete ---- */

static const char *const address_names[] = {
	"From",
	"To",
	"Cc",
	"Reply-To",
	"Sender",
	"Resent-From",
	"Resent-Sender",
	"Resent-To",
	"Resent-Cc",
	"Resent-Reply-To",
	"Errors-To",
	"Disposition-Notification-To",
	"Mail-Followup-To",
	"Mail-Reply-To",
};

bool dkim_has_addresses(struct slice name)
{
	size_t n = sizeof(address_names) / sizeof(address_names[0]);

	for (size_t i = 0; i < n; i++)
		if (slice_is_ci(name, address_names[i]))
			return true;
	return false;
}

/* One element of an address list, as far as it was read. */
struct element {
	bool text;   /* something stands there */
	bool at;     /* "@" */
	bool domain; /* and something after it */
	bool angle;  /* in "<...>", which replaces what stood before */
	bool closed; /* after ">" */
};

static bool lacks_domain(const struct element *e)
{
	return (e->text || e->at || e->angle) && !e->domain;
}

size_t dkim_skip_quoted(struct slice s, size_t i, char end)
{
	for (i++; i < s.n && s.p[i] != end; i++)
		i += s.p[i] == '\\';
	return i + 1;
}

size_t dkim_skip_comment(struct slice s, size_t i)
{
	size_t depth = 0;

	for (; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			break;
	}
	return i + 1;
}

static void add_text(struct element *e)
{
	if (e->closed)
		return;
	e->text = true;
	e->domain = e->domain || e->at;
}

/* A character that is no quote, comment or white space. */
static void add_special(struct element *e, char c)
{
	bool open = e->angle && !e->closed;

	if (c == '<')
		*e = (struct element){.angle = true};
	else if (c == '>')
		e->closed = true;
	else if (c == ':') /* the end of a route, or of a group's name */
		*e = (struct element){.angle = open};
	else if (c != '@')
		add_text(e);
	else
		e->at = true;
}

/* Linear in the length; what does not end ends with the value. */
static bool lists_unqualified(struct slice s)
{
	struct element e = {.text = false};
	size_t i = 0;

	while (i < s.n) {
		char c = s.p[i];

		if (c == '(') {
			i = dkim_skip_comment(s, i);
			continue;
		}
		if (c == '"' || c == '[') {
			i = dkim_skip_quoted(s, i, c == '"' ? '"' : ']');
			add_text(&e);
			continue;
		}
		i++;
		if ((c == ',' || c == ';') && (!e.angle || e.closed)) {
			if (lacks_domain(&e))
				return true;
			e = (struct element){.text = false};
		} else if (!ascii_iswsp(c) && c != '\r' && c != '\n') {
			add_special(&e, c);
		}
	}
	return lacks_domain(&e);
}

/* ---- lines that the MTA will break ---- */

size_t dkim_line_max(enum dkim_mta mta)
{
	return mta == DKIM_MTA_KEEPS ? 998 : 990;
}

bool dkim_has_long_line(const struct field *f, enum dkim_mta mta)
{
	size_t max = dkim_line_max(mta);
	struct slice rest = f->raw;

	while (f->raw.n > max && rest.p != NULL) {
		struct slice line = slice_cut(&rest, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > max)
			return true;
	}
	return false;
}

/* ---- h= ---- */

static const char *change_of(struct arena *a, const struct field *f,
			     enum dkim_mta mta, bool addresses)
{
	if (dkim_has_long_line(f, mta))
		return mta == DKIM_MTA_KEEPS
			       ? "a field with a line longer than 998 bytes "
				 "is not signed"
			       : "a field with a line longer than 990 bytes "
				 "is not signed";
	if (addresses && lists_unqualified(f->value))
		return "an address without domain is not signed";
	if (addresses && mta != DKIM_MTA_KEEPS &&
	    !dkim_sendmail_keeps(a, f->value))
		return "a list of addresses that the MTA may rewrite is not "
		       "signed";
	return NULL;
}

/* How the MTA will change a field of this name, or NULL.  Not asked for From:
 * what it holds decides whether and how a message is signed, and it is always
 * signed. */
static const char *will_change(struct arena *a, const struct field_list *l,
			       enum dkim_mta mta, const char *name)
{
	bool addresses = dkim_has_addresses(slice_of(name));
	const char *change = NULL;

	if (slice_is_ci(slice_of(name), "From"))
		return NULL;
	for (size_t i = 0; i < l->n && change == NULL; i++)
		if (slice_is_ci(l->v[i].name, name))
			change = change_of(a, &l->v[i], mta, addresses);
	return change;
}

static bool named_before(const struct dkim_signed_name *v, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (slice_eq_ci(slice_of(v[k].name), slice_of(v[i].name)))
			return true;
	return false;
}

/* How often a name with `n` fields stands in h=. */
static size_t times_listed(enum dkim_signing_mode mode, size_t n)
{
	switch (mode) {
	case DKIM_SIGN_PRESENT:
		return n;
	case DKIM_OVERSIGN_PRESENT:
		return n > 0 ? n + 1 : 0;
	case DKIM_OVERSIGN:
		return n + 1;
	}
	return 0;
}

/* False when there are more than `room`. */
static bool add_name(struct strbuf *b, const char *name, size_t times,
		     size_t *room)
{
	if (times > *room)
		return false;
	*room -= times;
	for (; times > 0; times--) {
		if (b->n > 0)
			strbuf_addc(b, ':');
		strbuf_adds(b, name);
	}
	return true;
}

const char *dkim_names_choose(struct arena *a, const struct field_list *fields,
			      enum dkim_mta mta,
			      const struct dkim_signing_key *key,
			      struct slice *ret_h, const char **ret_left_out)
{
	size_t n = key->nnames, room = DKIM_NAMES_MAX;
	const struct dkim_signed_name *v =
		key->names != NULL ? key->names : dkim_default_names(&n);
	const char *change, *left_out = NULL;
	bool from = false;
	struct strbuf b;

	/* First, because the work grows with the square of it. */
	if (n > DKIM_NAMES_MAX)
		return "too many fields to sign";
	strbuf_init(&b, a, LIST_MAX_BYTES);
	for (size_t i = 0; i < n; i++) {
		size_t times = field_count(fields, v[i].name);

		if (v == key->names && named_before(v, i))
			continue;
		change = will_change(a, fields, mta, v[i].name);
		if (change != NULL) {
			left_out = change;
			continue;
		}
		from = from || slice_is_ci(slice_of(v[i].name), "From");
		times = times_listed(v[i].mode, times);
		if (!add_name(&b, v[i].name, times, &room))
			return "too many fields to sign";
	}
	if (!from) /* RFC 6376 5.4 */
		return "From is not in the list of fields to sign";
	if (b.overflow)
		return "too many fields to sign";
	*ret_h = strbuf_slice(&b);
	if (left_out != NULL)
		*ret_left_out = left_out;
	return NULL;
}

/* ---- i= ---- */

/* RFC 5321 4.1.2: Quoted-string; its characters are not looked at here */
static bool is_quoted_local(struct slice s)
{
	if (s.n < 2 || s.p[0] != '"')
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i == s.n - 1;
		i += s.p[i] == '\\';
	}
	return false;
}

/* RFC 5321 4.1.2: Dot-string; the same */
static bool is_dotted_local(struct slice s)
{
	while (s.p != NULL) {
		struct slice atom = slice_cut(&s, '.');

		if (atom.n == 0 || slice_chr(atom, '"') >= 0)
			return false;
	}
	return true;
}

static bool identity_ok(struct arena *a, struct slice s, const char *domain)
{
	ptrdiff_t at = slice_rchr(s, '@');
	struct slice local;
	struct addr_path path;
	const char *canon;

	if (at < 0)
		return false;
	canon = domain_canon(a, slice_from(s, (size_t)at + 1));
	/* RFC 6376 3.5 */
	if (canon == NULL || !domain_is_under(canon, domain))
		return false;
	local = slice_first(s, (size_t)at);
	if (local.n == 0)
		return true;
	if (local.n > LOCAL_MAX_BYTES ||
	    !(is_quoted_local(local) || is_dotted_local(local)))
		return false;
	/* The characters, UTF-8 among them.  It would take a space off. */
	addr_path_parse(a, s, &path);
	return path.domain != NULL && !ascii_iswsp(s.p[0]);
}

bool dkim_identity_ok(const char *identity, const char *domain)
{
	struct arena *a = arena_new();
	bool ok = identity_ok(a, slice_of(identity), domain);

	arena_free(a);
	return ok;
}

/* RFC 6376 2.11: dkim-safe-char.  An "@" in a quoted string is encoded too:
 * readers look for the domain behind the first or the last one. */
static bool is_safe(char c)
{
	return c > 32 && c < 127 && c != ';' && c != '=' && c != '@';
}

struct slice dkim_identity_text(struct arena *a, const char *identity)
{
	struct slice s = slice_of(identity);
	ptrdiff_t at = slice_rchr(s, '@');
	size_t n = at > 0 ? (size_t)at : 0;
	const char *domain = domain_canon(a, slice_from(s, n + 1));
	struct strbuf b;

	strbuf_init(&b, a, 3 * n + 1 + DOMAIN_MAX);
	for (size_t i = 0; i < n; i++) {
		if (is_safe(s.p[i]))
			strbuf_addc(&b, s.p[i]);
		else
			strbuf_printf(&b, "=%02X", (unsigned char)s.p[i]);
	}
	strbuf_addc(&b, '@');
	strbuf_adds(&b, domain != NULL ? domain : "");
	return strbuf_slice(&b);
}
