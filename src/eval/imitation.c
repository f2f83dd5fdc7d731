/*
 * Names that look like ours (RFC 5890 4.4, Unicode TS 39).
 *
 * A domain is compared by its registrable label, which the public suffix list
 * tells, and as a whole.  What reads the same letter for letter is told at any
 * length; the rules that would meet honest names too speak only of names long
 * enough to be ours alone.  Of people's names only equality counts: of their
 * skeletons, in any order of the words.
 *
 * What is ours is prepared once.  For one author the work grows with the number
 * of our domains; names are searched by halves.
 */
#include "eval/imitation.h"

#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"
#include "mail/words.h"

#define NAME_WORDS_MAX 16
#define NAME_KEY_MAX   512
#define NAME_SHOWN     100

/* A domain as it looks. */
struct sight {
	const char *domain;   /* canonical */
	const char *org;      /* registrable; points into `domain` */
	const char *suffix;   /* of `org`: without its first label */
	const char *skeleton; /* of `domain` */
	const char *org_skeleton;
	const char *label; /* the first of `org`, as shown */
	size_t length;	   /* of `label` */
	const char *label_skeleton;
	const char *label_bare;	  /* and without hyphens */
	const char *label_bare_i; /* the same with 1 read as i, not l */
	const char *label_parts;  /* "-a-b-": of the skeleton */
	const char *domain_parts; /* the same, dots as hyphens */
	const char *org_parts;
	const char *org_joined; /* without dots and hyphens */
};

struct name {
	const char *key;
	const char *text;
};

struct imitation {
	struct arena *arena;
	const struct lookalike *look;
	const struct dmarc_psl *psl;
	size_t ndomains;
	struct sight *domains;
	size_t nnames;
	struct name *names; /* by key */
};

/* ---- domains ---- */

static const char *skeleton(const struct imitation *m, struct arena *a,
			    const char *text)
{
	return lookalike_skeleton(m->look, a, slice_of(text));
}

static const char *parts(struct arena *a, const char *text)
{
	char *ret = arena_printf(a, "-%s-", text);

	for (char *p = ret; *p != '\0'; p++)
		if (*p == '.')
			*p = '-';
	return ret;
}

static const char *joined(struct arena *a, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, a, strlen(text) + 1);
	for (; *text != '\0'; text++)
		if (*text != '.' && *text != '-')
			strbuf_addc(&b, *text);
	return strbuf_cstr(&b);
}

static const char *first_label(struct arena *a, const char *domain)
{
	struct slice rest = slice_of(domain);

	return slice_cstr(a, slice_cut(&rest, '.'));
}

/* A skeleton cannot tell 1 from l any more. */
static const char *one_as_i(struct arena *a, const char *label)
{
	char *ret = arena_strdup(a, label);

	for (char *p = ret; *p != '\0'; p++)
		if (*p == '1')
			*p = 'i';
	return ret;
}

static const char *bare(const struct imitation *m, struct arena *a,
			const char *label)
{
	return joined(a, lookalike_bare(a, skeleton(m, a, label)));
}

static struct sight sight_of(const struct imitation *m, struct arena *a,
			     const char *domain)
{
	struct sight s = {.domain = domain};
	const char *shown;

	s.org = dmarc_psl_org(m->psl, domain);
	s.suffix = domain_parent(s.org);
	shown = domain_unicode(a, s.org);
	s.skeleton = skeleton(m, a, domain_unicode(a, domain));
	s.org_skeleton = skeleton(m, a, shown);
	s.label = first_label(a, shown);
	s.length = lookalike_length(s.label);
	s.label_skeleton = skeleton(m, a, s.label);
	s.label_bare = bare(m, a, s.label);
	s.label_bare_i = bare(m, a, one_as_i(a, s.label));
	s.label_parts = parts(a, s.label_skeleton);
	s.domain_parts = parts(a, s.skeleton);
	s.org_parts = parts(a, s.org_skeleton);
	s.org_joined = joined(a, s.org_skeleton);
	return s;
}

static bool ends_with_labels(const char *text, const char *end)
{
	return end[0] != '\0' && domain_is_under(text, end);
}

/* All letters look alike: they were chosen for that. */
static bool same_letters(const struct sight *x, const struct sight *ours)
{
	return strcmp(x->label, ours->label) != 0 && x->label_bare[0] != '\0' &&
	       (strcmp(x->label_bare, ours->label_bare) == 0 ||
		strcmp(x->label_bare_i, ours->label_bare) == 0);
}

static bool is_ascii_byte(char c)
{
	return (unsigned char)c < 0x80;
}

static bool is_ascii(const char *s)
{
	while (*s != '\0' && is_ascii_byte(*s))
		s++;
	return *s == '\0';
}

/* Honest names rhyme: but for a slip, the first letter must be ours, or one of
 * another script. */
static enum lookalike_edit edit_of(const char *x, const char *ours)
{
	enum lookalike_edit e = lookalike_compare(x, ours);

	return e == LOOKALIKE_NEAR && is_ascii_byte(x[0]) && x[0] != ours[0]
		       ? LOOKALIKE_FAR
		       : e;
}

/* The shortest label of ours of which this edit says something. */
static size_t least_length(const struct sight *x, const struct sight *ours,
			   enum lookalike_edit e)
{
	/* a letter of another script that is not needed for a word */
	if (!is_ascii(x->label_bare) && is_ascii(ours->label_bare))
		return IMITATION_GLYPH_MIN;
	if (strcmp(x->suffix, ours->suffix) != 0)
		return IMITATION_SUFFIX_MIN;
	return e == LOOKALIKE_SLIP ? IMITATION_SLIP_MIN : IMITATION_NEAR_MIN;
}

/* The label of ours, or nearly, where the label of the other is. */
static bool is_like_label(const struct sight *x, const struct sight *ours)
{
	enum lookalike_edit e;

	if (same_letters(x, ours))
		return ours->length >= IMITATION_GLYPH_MIN;
	if (strcmp(x->label, ours->label) == 0)
		return ours->length >= IMITATION_SUFFIX_MIN;
	e = edit_of(x->label, ours->label);
	if (e == LOOKALIKE_FAR && x->label_bare[0] != '\0')
		e = edit_of(x->label_bare, ours->label_bare);
	return e != LOOKALIKE_FAR && ours->length >= least_length(x, ours, e);
}

/* Our domain at the beginning of a label ("example.com.login.test",
 * "example-com.test"), or our label between hyphens. */
static bool has_inside(const struct sight *x, const struct sight *ours)
{
	size_t n = strlen(ours->org_parts);

	for (const char *p = x->domain_parts;
	     (p = strstr(p, ours->org_parts)) != NULL; p += n - 1) {
		size_t at = (size_t)(p - x->domain_parts);
		/* parts() has one byte more before the text */
		if (at == 0 || x->skeleton[at - 1] == '.')
			return true;
	}
	return ours->length >= IMITATION_PART_MIN &&
	       (strcmp(x->label_bare, ours->org_joined) == 0 ||
		strstr(x->label_parts, ours->label_parts) != NULL);
}

static bool is_like(const struct sight *x, const struct sight *ours)
{
	return ends_with_labels(x->skeleton, ours->org_skeleton) ||
	       is_like_label(x, ours) || has_inside(x, ours);
}

/* Of ours, or of the same registrant. */
static bool is_ours(const struct imitation *m, const char *domain)
{
	const char *org = dmarc_psl_org(m->psl, domain);

	for (size_t i = 0; i < m->ndomains; i++)
		if (domain_is_under(domain, m->domains[i].domain) ||
		    strcmp(org, m->domains[i].org) == 0)
			return true;
	return false;
}

static const char *like_domain(const struct imitation *m, struct arena *a,
			       const char *domain)
{
	struct arena *scratch = arena_new();
	struct sight x = sight_of(m, scratch, domain);
	const char *ret = NULL;

	for (size_t i = 0; i < m->ndomains && ret == NULL; i++)
		if (is_like(&x, &m->domains[i]))
			ret = arena_printf(a, "lookalike %s of %s", domain,
					   m->domains[i].domain);
	arena_free(scratch);
	return ret;
}

/* ---- display-names ---- */

static bool is_domain_byte(char c)
{
	return ascii_isalnum(c) || c == '-' || c == '.' ||
	       (unsigned char)c >= 0x80;
}

/* Our domain after "@" in what is shown. */
static const struct sight *shown_address(const struct imitation *m,
					 struct arena *a, const char *shown)
{
	while ((shown = strchr(shown, '@')) != NULL) {
		size_t n = 0;
		const char *domain;
		shown++;
		while (is_domain_byte(shown[n]))
			n++;
		while (n > 0 && shown[n - 1] == '.')
			n--;
		domain = slice_cstr(a, (struct slice){shown, n});
		for (size_t i = 0; i < m->ndomains && n > 0; i++)
			if (ends_with_labels(domain, m->domains[i].skeleton))
				return &m->domains[i];
	}
	return NULL;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* One word, of which the apostrophes go: "O'Brien" is "OBrien".  An i and an l
 * are told apart by their case alone when one of them is upper case. */
static const char *take_word(struct arena *a, const char **text)
{
	struct strbuf b;
	const char *p = *text;

	strbuf_init(&b, a, NAME_KEY_MAX);
	for (; *p == '\'' || ascii_isalnum(*p) || (unsigned char)*p >= 0x80;
	     p++)
		if (*p != '\'')
			strbuf_addc(&b, *p == 'i' ? 'l' : *p);
	*text = p;
	return strbuf_cstr(&b);
}

/* The words of a name in the order of the alphabet: "Doe, Jane" is "Jane Doe".
 * "" when there are none, or too many for a name. */
static const char *name_key(const struct imitation *m, struct arena *a,
			    struct slice name)
{
	const char *text = lookalike_bare(
		a, lookalike_skeleton(m->look, a,
				      slice_first(name, NAME_KEY_MAX)));
	const char *words[NAME_WORDS_MAX];
	size_t n = 0;
	struct strbuf b;

	while (*text != '\0') {
		const char *word = take_word(a, &text);
		if (word[0] == '\0') {
			text += *text != '\0';
			continue;
		}
		if (n == NAME_WORDS_MAX)
			return "";
		words[n++] = word;
	}
	qsort(words, n, sizeof(*words), by_text);
	strbuf_init(&b, a, 4 * NAME_KEY_MAX);
	for (size_t i = 0; i < n; i++)
		strbuf_printf(&b, "%s%s", i > 0 ? " " : "", words[i]);
	return strbuf_cstr(&b);
}

static int by_key(const void *x, const void *y)
{
	return strcmp(((const struct name *)x)->key,
		      ((const struct name *)y)->key);
}

static const struct name *like_name(const struct imitation *m, struct arena *a,
				    struct slice shown)
{
	struct name want = {.key = name_key(m, a, shown)};

	if (want.key[0] == '\0' || m->nnames == 0)
		return NULL;
	return bsearch(&want, m->names, m->nnames, sizeof(want), by_key);
}

static const char *warn_of_name(struct arena *a, const struct name *name,
				const char *domain)
{
	struct strbuf b;

	strbuf_init(&b, a, 8 * NAME_SHOWN + DOMAIN_MAX);
	strbuf_adds(&b, "name ");
	strbuf_add_escaped(&b, slice_of(name->text), NAME_SHOWN);
	strbuf_printf(&b, " on an address of %s", domain);
	return strbuf_cstr(&b);
}

static const char *like_display(const struct imitation *m, struct arena *a,
				const struct addr_mailbox *box, bool own_author)
{
	struct arena *scratch = arena_new();
	struct slice shown = words_display(m->look, scratch, box->display);
	const struct sight *address = NULL;
	const struct name *name = NULL;
	const char *ret = NULL;

	if (!is_ours(m, box->domain))
		address = shown_address(
			m, scratch,
			lookalike_skeleton(m->look, scratch, shown));
	if (address == NULL && !own_author)
		name = like_name(m, scratch, shown);
	if (address != NULL)
		ret = arena_printf(a, "address of %s shown for one of %s",
				   address->domain, box->domain);
	else if (name != NULL)
		ret = warn_of_name(a, name, box->domain);
	arena_free(scratch);
	return ret;
}

/* ---- all of it ---- */

const char *imitation_find(const struct imitation *m, struct arena *a,
			   const struct addr_authors *authors)
{
	size_t n = authors->n < IMITATION_AUTHORS_MAX ? authors->n
						      : IMITATION_AUTHORS_MAX;
	bool own_author = false;
	const char *ret = NULL;

	for (size_t i = 0; i < authors->ndomains && i < n && ret == NULL; i++) {
		if (is_ours(m, authors->domains[i]))
			own_author = true;
		else
			ret = like_domain(m, a, authors->domains[i]);
	}
	for (size_t i = 0; i < n && ret == NULL; i++)
		if (authors->v[i].display.n > 0)
			ret = like_display(m, a, &authors->v[i], own_author);
	return ret;
}

static void prepare_names(struct imitation *m, const struct string_list *names)
{
	m->names = arena_array(m->arena, names->n + 1, sizeof(*m->names));
	for (size_t i = 0; i < names->n; i++) {
		struct name *n = &m->names[m->nnames];
		n->text = names->v[i];
		n->key = name_key(m, m->arena, slice_of(n->text));
		m->nnames += n->key[0] != '\0';
	}
	qsort(m->names, m->nnames, sizeof(*m->names), by_key);
}

struct imitation *imitation_new(const struct lookalike *l,
				const struct dmarc_psl *psl,
				const struct string_list *domains,
				const struct string_list *names)
{
	struct imitation *m = mem_alloc(sizeof(*m));

	m->arena = arena_new();
	m->look = l;
	m->psl = psl;
	m->domains = arena_array(m->arena, domains->n + 1, sizeof(*m->domains));
	for (size_t i = 0; i < domains->n; i++)
		m->domains[i] = sight_of(m, m->arena, domains->v[i]);
	m->ndomains = domains->n;
	prepare_names(m, names);
	return m;
}

void imitation_free(struct imitation *m)
{
	if (m == NULL)
		return;
	arena_free(m->arena);
	free(m);
}
