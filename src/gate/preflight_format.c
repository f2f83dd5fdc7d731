/*
 * Is the header such as a receiver may ask for (RFC 5322 3.6, 2.1.1)?  Not a
 * full parser of it: what is looked at is what receivers are known to refuse.
 */
#include "gate/preflight.h"

#include "dkim/names.h"
#include "mail/domain.h"

#define HEADER_MAX 32768 /* Sendmail's MaxHeadersLength; it refuses more */
#define NAME_SHOWN 40	 /* bytes of a field's name in a reason */

static struct slice skip_blanks(struct slice s)
{
	while (s.n > 0 && ascii_iswsp(s.p[0]))
		s = slice_from(s, 1);
	return s;
}

/* ---- From, and how often a field may be there ---- */

static const char *check_from(struct arena *a,
			      const struct preflight_message *m)
{
	const struct field_list *l = m->facts->fields;
	const struct addr_authors *from = m->facts->authors;
	size_t n = field_count(l, "From");

	if (l->trouble != FIELD_OK)
		return field_trouble_text(l->trouble);
	if (n != 1)
		return n == 0 ? "no From" : "several From fields";
	if (from->malformed)
		return arena_printf(a, "From: %s", from->reason);
	if (from->n != 1)
		return from->n == 0 ? "no address in From"
				    : "several addresses in From";
	if (domain_labels(from->v[0].domain) < 2)
		return "the domain of From has one label";
	return NULL;
}

/* RFC 5322 3.6: at most one of each. */
static const char *const single_names[] = {
	"Date", "Message-ID", "Subject", "To",		"Cc",
	"Bcc",	"Reply-To",   "Sender",	 "In-Reply-To", "References",
};

static const char *check_single(struct arena *a, const struct field_list *l)
{
	for (size_t i = 0; i < sizeof(single_names) / sizeof(*single_names);
	     i++)
		if (field_count(l, single_names[i]) > 1)
			return arena_printf(a, "several %s fields",
					    single_names[i]);
	return NULL;
}

/* ---- Date ---- */

/* A number of `least` to `most` digits, not above `max`. */
static bool take_number(struct slice *s, size_t least, size_t most,
			uint64_t max)
{
	size_t n = 0;
	uint64_t v;

	while (n < s->n && n < most && ascii_isdigit(s->p[n]))
		n++;
	if (n < least || !slice_u64(slice_first(*s, n), max, &v))
		return false;
	*s = slice_from(*s, n);
	return true;
}

static bool take_char(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool take_blanks(struct slice *s)
{
	struct slice rest = skip_blanks(*s);
	bool any = rest.n < s->n;

	*s = rest;
	return any;
}

/* One of the names of 3 letters that stand in `names` without separator. */
static bool take_name(struct slice *s, const char *names)
{
	for (; *names != '\0'; names += 3) {
		if (!slice_eq_ci(slice_first(*s, 3), (struct slice){names, 3}))
			continue;
		*s = slice_from(*s, 3);
		return true;
	}
	return false;
}

/* "+0100", or a name of RFC 5322 4.3 ("GMT"), which many still write. */
static bool take_zone(struct slice *s)
{
	size_t n = 0;

	if (take_char(s, '+') || take_char(s, '-'))
		return take_number(s, 4, 4, 9959);
	while (n < s->n && n < 5 && ascii_isalpha(s->p[n]))
		n++;
	*s = slice_from(*s, n);
	return n > 0;
}

static bool take_time(struct slice *s)
{
	return take_number(s, 2, 2, 23) && take_char(s, ':') &&
	       take_number(s, 2, 2, 59) &&
	       (!take_char(s, ':') || take_number(s, 2, 2, 60));
}

/* RFC 5322 3.3: date-time, with a comment at its end. */
static bool is_date(struct slice s)
{
	if (s.n > 0 && ascii_isalpha(s.p[0])) {
		if (!take_name(&s, "MonTueWedThuFriSatSun") ||
		    !take_char(&s, ','))
			return false;
		(void)take_blanks(&s);
	}
	if (!take_number(&s, 1, 2, 31) || !take_blanks(&s) ||
	    !take_name(&s, "JanFebMarAprMayJunJulAugSepOctNovDec") ||
	    !take_blanks(&s) || !take_number(&s, 4, 4, 9999) ||
	    !take_blanks(&s) || !take_time(&s) || !take_blanks(&s) ||
	    !take_zone(&s))
		return false;
	s = skip_blanks(s);
	return s.n == 0 || s.p[0] == '(';
}

/* ---- Message-ID ---- */

/* RFC 5322 3.6.4: "<left@right>", with a comment at its end. */
static bool is_message_id(struct slice s)
{
	ptrdiff_t end = slice_chr(s, '>'), at;
	struct slice id, rest;

	if (!take_char(&s, '<') || end < 1)
		return false;
	id = slice_first(s, (size_t)end - 1);
	rest = skip_blanks(slice_from(s, (size_t)end));
	if (rest.n > 0 && rest.p[0] != '(')
		return false;
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.p[i] <= ' ' || id.p[i] == '<')
			return false;
	at = slice_chr(id, '@');
	return at > 0 && (size_t)at + 1 < id.n && slice_rchr(id, '@') == at;
}

/* What is missing may be added after us (RFC 6409 8.2, 8.3). */
static const char *check_identity(struct arena *a,
				  const struct preflight_message *m)
{
	const struct field *date = field_nth(m->facts->fields, "Date", 0);
	const struct field *id = field_nth(m->facts->fields, "Message-ID", 0);

	if (date == NULL && !m->completed)
		return "no Date";
	if (date != NULL && !is_date(field_unfold(a, date->value)))
		return "Date is malformed";
	if (id == NULL && !m->completed)
		return "no Message-ID";
	if (id != NULL && !is_message_id(field_unfold(a, id->value)))
		return "Message-ID is malformed";
	return NULL;
}

/* ---- bytes and lines ---- */

static bool has_8bit(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

/* Of names that the sender made up, none that could be read as a word of the
 * log. */
static const char *name_of(struct arena *a, const struct field *f)
{
	for (size_t i = 0; i < f->name.n; i++)
		if (!ascii_isalnum(f->name.p[i]) && f->name.p[i] != '-')
			return "a field";
	return f->name.n <= NAME_SHOWN ? slice_cstr(a, f->name) : "a field";
}

/* RFC 6532 3: only with SMTPUTF8.  sendmail(1) has no such parameter; there the
 * MTA finds out by itself. */
static const char *check_bytes(struct arena *a,
			       const struct preflight_message *m)
{
	const struct field_list *l = m->facts->fields;

	for (size_t i = 0; i < l->n && !m->smtputf8 && !m->facts->local; i++)
		if (has_8bit(l->v[i].raw))
			return arena_printf(
				a, "8-bit characters in %s without SMTPUTF8",
				name_of(a, &l->v[i]));
	return NULL;
}

static const char *check_lines(struct arena *a,
			       const struct preflight_message *m)
{
	const struct field_list *l = m->facts->fields;

	for (size_t i = 0; i < l->n; i++)
		if (dkim_has_long_line(&l->v[i], DKIM_MTA_KEEPS))
			return arena_printf(
				a, "a line of %s is longer than 998 bytes",
				name_of(a, &l->v[i]));
	if (m->body_line > dkim_line_max(DKIM_MTA_KEEPS))
		return "a line of the body is longer than 998 bytes";
	if (l->bytes + 2 * l->n > HEADER_MAX)
		return "the header is larger than 32 KiB";
	return NULL;
}

/* ---- encoded-words ---- */

/* An element of an address list, as far as it was read. */
struct element {
	bool word;  /* an encoded-word that is no display name so far */
	bool angle; /* inside of "<...>" */
	bool done;  /* after it */
};

static bool is_encoded(const struct element *e)
{
	return e->word && !e->done;
}

/*
 * RFC 2047 5: an encoded-word must not stand in an address, nor instead of one.
 * Read as loosely as an MTA reads it; linear in the length.
 */
static bool has_encoded_address(struct slice s)
{
	struct element e = {.word = false};
	size_t i = 0;

	while (i < s.n) {
		char c = s.p[i];

		if (c == '"' || c == '(') {
			i = c == '"' ? dkim_skip_quoted(s, i, '"')
				     : dkim_skip_comment(s, i);
			continue;
		}
		i++;
		if (c == '<') {
			e.angle = true;
		} else if (c == '>') {
			e.angle = false;
			e.done = true;
		} else if (c == '=' && i < s.n && s.p[i] == '?') {
			if (e.angle)
				return true;
			e.word = true;
		} else if (!e.angle && (c == ',' || c == ';')) {
			if (is_encoded(&e))
				return true;
			e = (struct element){.word = false};
		} else if (!e.angle && c == ':') { /* the name of a group */
			e = (struct element){.word = false};
		}
	}
	return is_encoded(&e);
}

static const char *const address_names[] = {
	"From", "To", "Cc", "Bcc", "Reply-To", "Sender",
};

static const char *check_addresses(struct arena *a, const struct field_list *l)
{
	for (size_t i = 0; i < sizeof(address_names) / sizeof(*address_names);
	     i++) {
		const struct field *f = field_nth(l, address_names[i], 0);

		if (f != NULL && has_encoded_address(f->value))
			return arena_printf(
				a, "encoded-word instead of an address in %s",
				address_names[i]);
	}
	return NULL;
}

struct preflight_result preflight_format(struct arena *a,
					 const struct preflight_message *m)
{
	const struct field_list *l = m->facts->fields;
	const char *why = check_from(a, m);

	if (why == NULL)
		why = check_single(a, l);
	if (why == NULL)
		why = check_identity(a, m);
	if (why == NULL)
		why = check_bytes(a, m);
	if (why == NULL)
		why = check_lines(a, m);
	if (why == NULL)
		why = check_addresses(a, l);
	return why == NULL ? preflight_good() : preflight_bad(why);
}
