/*
 * The tags of a DMARC record in words.
 *
 * The record is cut here as dmarc/record.c cuts it, since that keeps no word
 * of what it passes over.
 */
#include "cmd/dmarc_text.h"

#define TAGS_MAX  50
#define SHOWN_MAX 60 /* bytes of a value: the whole record stands above */

struct meaning {
	const char *value, *text;
};

static const struct meaning policies[] = {
	{"none", "nothing is asked about mail that fails"},
	{"quarantine", "mail that fails is to be treated as suspicious"},
	{"reject", "mail that fails is to be rejected"},
	{NULL, NULL},
};
static const struct meaning psd_values[] = {
	{"y", "a public suffix domain: each name directly below is an "
	      "organization of its own"},
	{"n", "an organizational domain, for all names below too"},
	{"u", "the tree walk tells the organizational domain (the default)"},
	{NULL, NULL},
};
static const struct meaning test_values[] = {
	{"y", "a test: receivers apply one step less than the policy"},
	{"n", "no test (the default)"},
	{NULL, NULL},
};
static const struct meaning dkim_values[] = {
	{"r", "relaxed (the default): d= of a signature has the same "
	      "organizational domain"},
	{"s", "strict: d= of a signature is the domain of From itself"},
	{NULL, NULL},
};
static const struct meaning spf_values[] = {
	{"r", "relaxed (the default): MAIL FROM has the same organizational "
	      "domain"},
	{"s", "strict: MAIL FROM is at the domain of From itself"},
	{NULL, NULL},
};
static const struct meaning fo_values[] = {
	{"0", "when nothing passed and is aligned"},
	{"1", "when SPF or DKIM did not pass or is not aligned"},
	{"d", "when a DKIM signature failed"},
	{"s", "when SPF failed"},
	{NULL, NULL},
};

#define NO_POLICY "not none, quarantine or reject: no valid policy"

static const struct tag_row {
	const char *name;
	const char *scope;	      /* stands before the meaning */
	const struct meaning *values; /* NULL: a list */
	const char *otherwise;	      /* for any other value */
} rows[] = {
	{"p", "from this domain, ", policies, NO_POLICY},
	{"sp", "from names below, ", policies, NO_POLICY},
	{"np", "from names below that do not exist, ", policies, NO_POLICY},
	{"psd", "", psd_values, "ignored: not y, n or u; u is taken"},
	{"t", "", test_values, "ignored: not y or n; n is taken"},
	{"adkim", "", dkim_values, "ignored: not r or s; r is taken"},
	{"aspf", "", spf_values, "ignored: not r or s; r is taken"},
	{"rua", "aggregate reports: ", NULL, NULL},
	{"ruf", "failure reports: ", NULL, NULL},
	{"fo", "failure reports ", NULL, NULL},
};

#define NROWS (sizeof(rows) / sizeof(*rows))

static const char *const historic[] = {"pct", "rf", "ri"};

/* RFC 9989 4.7: WSP, no CR and LF. */
static struct slice trim_wsp(struct slice s)
{
	while (s.n > 0 && ascii_iswsp(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && ascii_iswsp(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Cuts a tag off; value->p is NULL when it has no "=". */
static struct slice cut_tag(struct slice *rest, struct slice *value)
{
	struct slice name;

	*value = slice_cut(rest, ';');
	name = trim_wsp(slice_cut(value, '='));
	if (value->p != NULL)
		*value = trim_wsp(*value);
	return name;
}

bool dmarc_text_tag(struct slice record, const char *name, struct slice *ret)
{
	struct slice rest = record;

	while (rest.p != NULL)
		if (slice_is(cut_tag(&rest, ret), name) && ret->p != NULL)
			return true;
	return false;
}

/* ---- URIs ---- */

bool dmarc_text_uri(struct slice *list, struct slice *ret)
{
	while (list->p != NULL) {
		*ret = trim_wsp(slice_cut(list, ','));
		if (ret->n > 0)
			return true;
	}
	return false;
}

bool dmarc_text_uri_ok(struct arena *a, struct slice uri)
{
	struct dmarc_record r;
	struct strbuf b;

	strbuf_init(&b, a, uri.n + 32);
	strbuf_adds(&b, "v=DMARC1;rua=");
	strbuf_add(&b, uri);
	return dmarc_record_parse(strbuf_slice(&b), &r) && r.has_rua;
}

static void add_uris(struct strbuf *b, struct slice list)
{
	unsigned n = 0, bad = 0;
	struct slice uri;

	while (dmarc_text_uri(&list, &uri)) {
		n++;
		bad += !dmarc_text_uri_ok(b->arena, uri);
	}
	strbuf_printf(b, "%u URI%s", n, n == 1 ? "" : "s");
	if (bad > 0)
		strbuf_printf(b, ", %u of them malformed", bad);
}

/* ---- tags ---- */

static const char *meaning_of(const struct meaning *m, struct slice value)
{
	for (; m->value != NULL; m++)
		if (slice_is_ci(value, m->value))
			return m->text;
	return NULL;
}

static void add_fo(struct strbuf *b, struct slice list, bool has_ruf)
{
	const char *separator = "";

	if (!has_ruf) {
		strbuf_adds(b, "are not sent: there is no ruf");
		return;
	}
	while (list.p != NULL) {
		struct slice option = trim_wsp(slice_cut(&list, ':'));
		const char *text = meaning_of(fo_values, option);

		strbuf_adds(b, separator);
		if (text != NULL) {
			strbuf_adds(b, text);
		} else {
			strbuf_adds(b, "(ignored: ");
			strbuf_add_escaped(b, option, SHOWN_MAX);
			strbuf_addc(b, ')');
		}
		separator = ", ";
	}
}

static void add_known(struct strbuf *b, const struct tag_row *row,
		      struct slice value, bool has_ruf)
{
	const char *text;

	if (row->values == NULL) {
		strbuf_adds(b, row->scope);
		if (slice_is(slice_of(row->name), "fo"))
			add_fo(b, value, has_ruf);
		else
			add_uris(b, value);
		return;
	}
	text = meaning_of(row->values, value);
	if (text != NULL)
		strbuf_printf(b, "%s%s", row->scope, text);
	else
		strbuf_adds(b, row->otherwise);
}

/* Why a tag that is none of the rows is ignored. */
static const char *ignored(struct slice name)
{
	for (size_t i = 0; i < sizeof(historic) / sizeof(*historic); i++)
		if (slice_is(name, historic[i]))
			return "ignored: historic (RFC 9989 9.3)";
	for (size_t i = 0; i < NROWS; i++)
		if (slice_is_ci(name, rows[i].name))
			return "ignored: tags are written in lower case";
	return "ignored: unknown tag";
}

static void add_tag(struct strbuf *b, struct slice name, struct slice value,
		    unsigned *seen, bool has_ruf)
{
	size_t i = 0;

	strbuf_adds(b, "  ");
	strbuf_add_escaped(b, name, SHOWN_MAX);
	if (value.p == NULL) {
		strbuf_adds(b, ": ignored: no \"=\"\n");
		return;
	}
	strbuf_addc(b, '=');
	strbuf_add_escaped(b, value, SHOWN_MAX);
	strbuf_adds(b, ": ");
	while (i < NROWS && !slice_is(name, rows[i].name))
		i++;
	if (i == NROWS)
		strbuf_adds(b, ignored(name));
	else if ((*seen & (1U << i)) != 0)
		strbuf_printf(b, "ignored: the first %s counts", rows[i].name);
	else
		add_known(b, &rows[i], value, has_ruf);
	if (i < NROWS)
		*seen |= 1U << i;
	strbuf_addc(b, '\n');
}

void dmarc_text_tags(struct strbuf *b, struct slice record)
{
	struct slice rest = record, ruf = {NULL, 0}, value;
	bool has_ruf = dmarc_text_tag(record, "ruf", &ruf) && ruf.n > 0;
	unsigned seen = 0, n = 0;

	slice_cut(&rest, ';'); /* the version */
	while (rest.p != NULL) {
		struct slice name = cut_tag(&rest, &value);
		if (name.n == 0 && value.p == NULL)
			continue;
		if (n < TAGS_MAX)
			add_tag(b, name, value, &seen, has_ruf);
		n++;
	}
	if (n > TAGS_MAX)
		strbuf_printf(b, "  ... and %u more\n", n - TAGS_MAX);
}

/* ---- texts that are no record ---- */

static bool contains_ci(struct slice s, const char *part)
{
	for (; s.n > 0; s = slice_from(s, 1))
		if (slice_starts_ci(s, part))
			return true;
	return false;
}

const char *dmarc_text_mistake(struct slice txt)
{
	struct slice rest = txt;
	struct slice first = slice_trim(slice_cut(&rest, ';'));

	if (!contains_ci(txt, "dmarc1"))
		return slice_starts_ci(slice_trim(txt), "p=")
			       ? "it does not begin with v=DMARC1"
			       : NULL;
	if (first.n > 0 && (first.p[0] == '"' || first.p[0] == '\''))
		return "it begins with a quotation mark";
	if (!contains_ci(first, "dmarc1"))
		return "v=DMARC1 is not its first tag";
	if (first.p != txt.p)
		return "it begins with a space";
	if (slice_is_ci(first, "v=dmarc1"))
		return "upper and lower case count in v=DMARC1";
	if (slice_starts(first, "v=DMARC1"))
		return "there is no semicolon after v=DMARC1";
	return "it does not begin with v=DMARC1";
}
