/*
 * What readers are told about mail from outside: a tag in the Subject, a field,
 * and a warning of who looks like one of ours.
 *
 * A tag changes a field that is signed, so it comes after verification, and
 * recipients whose mail is forwarded can be left out; the fields are new ones,
 * which break no signature.  A drill is to look like an attack, so it gets
 * nothing, provided that its DKIM signature says whose it is.
 *
 * A Subject is shown to people: of a tag that is there already only the first
 * SEEN_CHARACTERS count, since a sender could put one where nobody looks.
 * Each Subject of a message with several is tagged: readers differ on which
 * they show.
 */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

#include "eval/imitation.h"
#include "mail/words.h"

#define SEEN_CHARACTERS 64
/* RFC 2047 2: of a line with encoded-words. */
#define LINE_COLUMNS 76
/* Bytes of an old Subject that are kept: MTAs bound what a milter sends. */
#define SUBJECT_KEPT_MAX 32768

struct awareness {
	struct arena *arena;
	struct awareness_options o;
	const char *tag; /* blanks squeezed; "": none */
	struct lookalike *look;
	struct imitation *imitation; /* NULL: not looked for */
	struct string_list untagged; /* sorted */
};

static struct slice squeeze(struct arena *a, struct slice s)
{
	struct strbuf b;

	strbuf_init(&b, a, s.n + 1);
	s = slice_trim(s);
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_iswsp(s.p[i]))
			strbuf_addc(&b, s.p[i]);
		else if (!ascii_iswsp(s.p[i - 1]))
			strbuf_addc(&b, ' ');
	return strbuf_slice(&b);
}

/* ---- the Subject ---- */

static bool has_tag(const struct awareness *w, struct slice old)
{
	struct arena *scratch = arena_new();
	struct slice s = squeeze(scratch, words_decode(w->look, scratch, old));
	size_t seen = 0;
	bool found = false;

	for (size_t i = 0; i < s.n && seen < SEEN_CHARACTERS && !found; i++) {
		found = slice_starts_ci(slice_from(s, i), w->tag);
		/* bytes that go on a character of UTF-8 do not count */
		seen += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	}
	arena_free(scratch);
	return found;
}

/* With folds as LF; an LF that is none becomes one, as the field would end there
 * (RFC 5322 2.2). */
static void add_folded(struct strbuf *b, struct slice old)
{
	for (size_t i = 0; i < old.n; i++) {
		const char c = old.p[i];

		if (c == '\r' && i + 1 < old.n && old.p[i + 1] == '\n')
			continue;
		if (b->n > 0 && b->p[b->n - 1] == '\n' && !ascii_iswsp(c))
			strbuf_addc(b, ' ');
		strbuf_addc(b, c);
	}
}

/* Of a very long one the last lines go. */
static struct slice old_text(struct arena *a, struct slice old)
{
	struct strbuf b;
	struct slice s;

	strbuf_init(&b, a, 2 * old.n + 1);
	add_folded(&b, old);
	s = strbuf_slice(&b);
	if (s.n > SUBJECT_KEPT_MAX) {
		s = slice_first(s, SUBJECT_KEPT_MAX);
		if (slice_rchr(s, '\n') > 0)
			s = slice_first(s, (size_t)slice_rchr(s, '\n'));
	}
	while (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	return s;
}

/* " TAG old", folded before the old text where the line would get long. */
static const char *tagged(struct arena *a, const char *tag, struct slice old)
{
	struct slice s = old_text(a, old), rest = s, line;
	const char *between = "";

	if (slice_trim(s).n == 0)
		return arena_printf(a, " %s", tag);
	line = slice_cut(&rest, '\n');
	if (!ascii_iswsp(s.p[0]) && s.p[0] != '\n')
		between = " ";
	if (sizeof("Subject: ") + strlen(tag) + line.n > LINE_COLUMNS &&
	    slice_trim(line).n > 0)
		between = between[0] == ' ' ? "\n " : "\n";
	return arena_printf(a, " %s%s%.*s", tag, between, (int)s.n, s.p);
}

static void tag_subjects(const struct awareness *w, struct arena *a,
			 const struct awareness_facts *f,
			 struct awareness_marks *ret)
{
	ret->nsubjects = f->nsubjects;
	for (size_t i = 0; i < f->nsubjects; i++) {
		if (has_tag(w, f->subjects[i]))
			continue;
		ret->subjects[i] = tagged(a, w->tag, f->subjects[i]);
		ret->tagged = true;
	}
	if (f->nsubjects > 0)
		return;
	ret->nsubjects = 1;
	ret->subjects[0] = tagged(a, w->tag, SLICE(""));
	ret->tagged = true;
}

/* ---- all of it ---- */

static const char *drill_of(const struct awareness *w,
			    const struct dkim_results *d)
{
	for (size_t i = 0; i < d->n; i++)
		for (size_t j = 0; j < w->o.drill_domains.n; j++)
			if (d->v[i].status == DKIM_STATUS_PASS &&
			    strcmp(d->v[i].domain, w->o.drill_domains.v[j]) ==
				    0)
				return d->v[i].domain;
	return NULL;
}

static void log_begin(struct log_fields *log, struct arena *a)
{
	log_fields_init(log, a);
	log_list(log, " awareness=", "awareness");
}

static void log_mark_of(struct log_fields *log, size_t *n, const char *word)
{
	log_string(log, (*n)++ > 0 ? "," : "", NULL, word, "");
}

static void log_marks(const struct awareness *w, struct arena *a,
		      const struct awareness_facts *f,
		      struct awareness_marks *m)
{
	struct log_fields *log = &m->log;
	size_t n = 0;

	log_begin(log, a);
	if (w->tag[0] != '\0' && f->untagged)
		log_mark_of(log, &n, "untagged");
	if (m->tagged)
		log_mark_of(log, &n, "tag");
	if (m->external)
		log_mark_of(log, &n, "header");
	if (m->warning != NULL)
		log_mark_of(log, &n, "warning");
	if (n == 0)
		log_mark(log, "none");
	log_end(log, "");
	if (m->warning != NULL)
		log_string(log, "(", "awareness_warning", m->warning, ")")
			->person = LOG_SUBJECT;
}

static void log_drill(struct log_fields *log, struct arena *a,
		      const char *domain)
{
	log_begin(log, a);
	log_string(log, "", NULL, "drill", "");
	log_end(log, "");
	log_string(log, "(", "awareness_drill", domain, ")");
}

void awareness_decide(const struct awareness *w, struct arena *a,
		      const struct awareness_facts *f, const struct results *r,
		      struct awareness_marks *ret)
{
	const char *drill = drill_of(w, &r->dkim);

	*ret = (struct awareness_marks){0};
	if (drill != NULL) {
		log_drill(&ret->log, a, drill);
		return;
	}
	if (w->tag[0] != '\0' && !f->untagged)
		tag_subjects(w, a, f, ret);
	ret->external = w->o.external_header;
	if (w->imitation != NULL)
		ret->warning = imitation_find(w->imitation, a, &r->authors);
	log_marks(w, a, f, ret);
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool is_listed(const struct string_list *sorted, const char *text)
{
	return sorted->n > 0 && bsearch(&text, sorted->v, sorted->n,
					sizeof(*sorted->v), by_text) != NULL;
}

bool awareness_is_untagged(const struct awareness *w, struct slice rcpt)
{
	struct arena *scratch;
	struct addr_path path;
	const char *domain, *address;
	bool ret = false;

	if (w->untagged.n == 0)
		return false;
	scratch = arena_new();
	addr_path_parse(scratch, rcpt, &path);
	if (path.domain != NULL) {
		domain = arena_printf(scratch, "@%s", path.domain);
		address =
			arena_printf(scratch, "%s%s",
				     slice_lower(scratch, path.local), domain);
		ret = is_listed(&w->untagged, domain) ||
		      is_listed(&w->untagged, address);
	}
	arena_free(scratch);
	return ret;
}

static const char *objection(const struct awareness_options *o)
{
	if (o->lookalikes && o->domains.n == 0)
		return "awareness.lookalikes needs awareness.domains; give "
		       "those that are ours";
	if (o->domains.n > IMITATION_DOMAINS_MAX)
		return "awareness.domains: give at most 1000";
	if (o->names.n > IMITATION_NAMES_MAX)
		return "awareness.names: give at most 10000";
	return NULL;
}

static void sort(struct awareness *w)
{
	const struct string_list *from = &w->o.untagged;

	w->untagged.n = from->n;
	w->untagged.v = arena_array(w->arena, from->n + 1, sizeof(*from->v));
	for (size_t i = 0; i < from->n; i++)
		w->untagged.v[i] = from->v[i];
	qsort(w->untagged.v, from->n, sizeof(*from->v), by_text);
}

struct awareness *awareness_new(const struct awareness_options *o,
				const char **error)
{
	struct awareness *w;
	struct lookalike *look;

	*error = objection(o);
	look = *error == NULL ? lookalike_new(error) : NULL;
	if (look == NULL)
		return NULL;
	w = mem_alloc(sizeof(*w));
	w->arena = arena_new();
	w->o = *o;
	w->look = look;
	w->tag = slice_cstr(w->arena,
			    squeeze(w->arena, slice_of(o->subject_tag)));
	sort(w);
	if (o->lookalikes)
		w->imitation =
			imitation_new(look, o->psl, &w->o.domains, &w->o.names);
	return w;
}

void awareness_free(struct awareness *w)
{
	if (w == NULL)
		return;
	imitation_free(w->imitation);
	lookalike_free(w->look);
	arena_free(w->arena);
	free(w);
}
