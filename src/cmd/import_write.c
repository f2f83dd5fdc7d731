/*
 * The text of our configuration and of a key table, with a comment at each
 * setting that names what it came from.
 */
#include "cmd/import.h"

#include <string.h>

const char *import_quote(struct import *im, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, im->arena, IMPORT_TEXT_MAX);
	strbuf_addc(&b, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			strbuf_addc(&b, '\\');
		strbuf_addc(&b, *text);
	}
	strbuf_addc(&b, '"');
	return strbuf_cstr(&b);
}

size_t import_domains(const struct import *im)
{
	size_t n = 0;

	for (size_t i = 0; i < im->nentries; i++)
		if (i == 0 || strcmp(im->entries[i].author,
				     im->entries[i - 1].author) != 0)
			n++;
	return n;
}

/* ---- what several settings give together ---- */

static const char *aliases_text(struct import *im)
{
	struct strbuf b;

	strbuf_init(&b, im->arena, IMPORT_TEXT_MAX);
	strbuf_adds(&b, "[");
	for (size_t i = 0; i < im->aliases.n; i++)
		strbuf_printf(&b, "%s%s", i == 0 ? " " : ", ",
			      import_quote(im, im->aliases.v[i]));
	strbuf_adds(&b, " ]");
	return strbuf_cstr(&b);
}

/* With this host, which is the default. */
static const char *internal_text(struct import *im)
{
	const char *text = import_nets_text(im, &im->internal);

	return arena_printf(im->arena, "[ \"127.0.0.0/8\", \"::1\"%s%s",
			    im->internal.n > 0 ? "," : "", text + 1);
}

static const char *value_of(struct import *im, const struct import_setting *s)
{
	if (s->value != NULL)
		return s->value;
	if (strcmp(s->name, "authserv_aliases") == 0)
		return aliases_text(im);
	if (strcmp(s->name, "internal") == 0)
		return internal_text(im);
	return arena_printf(im->arena, "(\n%s\n)", /* listeners */
			    strbuf_cstr(&im->listeners));
}

/* ---- settings ---- */

static void write_setting(struct import *im, const struct import_setting *s,
			  struct strbuf *out)
{
	const char *tab = s->group[0] != '\0' ? "\t" : "";

	for (size_t i = 0; i < s->nfrom; i++)
		strbuf_printf(out, "%s# %s:%u %s\n", tab,
			      import_shown(im, s->from[i]->at.file),
			      s->from[i]->at.line, s->from[i]->option->name);
	if (s->nfrom == 0)
		strbuf_printf(out, "%s# as there by default\n", tab);
	strbuf_printf(out, "%s%s = %s;\n", tab, s->name, value_of(im, s));
}

static bool has_group(const struct import *im, const char *group)
{
	for (size_t i = 0; i < im->nsettings; i++)
		if (strcmp(im->settings[i].group, group) == 0)
			return true;
	return false;
}

static void write_group(struct import *im, const char *group,
			struct strbuf *out)
{
	for (size_t i = 0; i < im->nsettings; i++)
		if (strcmp(im->settings[i].group, group) == 0)
			write_setting(im, &im->settings[i], out);
}

/* Is it the first of its group? */
static bool begins_group(const struct import *im, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(im->settings[i].group, im->settings[at].group) == 0)
			return false;
	return strcmp(im->settings[at].group, "outbound") != 0 &&
	       im->settings[at].group[0] != '\0';
}

/* ---- keys ---- */

/* Can a line of a key table say it? */
static bool fits_table(const struct import_entry *e)
{
	const char *d = e->author;

	if (d[0] == '*')
		d += 2;
	return e->identity == NULL && strcmp(d, e->domain) == 0 &&
	       strpbrk(e->file, " \t#\r\n") == NULL && strchr(d, '.') != NULL;
}

static void write_key(struct import *im, const struct import_entry *e,
		      struct strbuf *out)
{
	const char *d = e->author[0] == '*' ? e->author + 2 : e->author;

	strbuf_printf(out, "{ selector = %s;\n\t\t\t    file = %s;",
		      import_quote(im, e->selector), import_quote(im, e->file));
	if (strcmp(d, e->domain) != 0)
		strbuf_printf(out, "\n\t\t\t    domain = %s;",
			      import_quote(im, e->domain));
	if (e->identity != NULL)
		strbuf_printf(out, "\n\t\t\t    identity = %s;",
			      import_quote(im, e->identity));
	strbuf_adds(out, " }");
}

/* The entries of one domain, of which `n` stand together. */
static void write_domain(struct import *im, const struct import_entry *e,
			 size_t n, struct strbuf *out)
{
	strbuf_printf(out, "\t\t# %s:%u\n\t\t{ domain = %s;\n\t\t  keys = ( ",
		      import_shown(im, e->at.file), e->at.line,
		      import_quote(im, e->author));
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_adds(out, ",\n\t\t\t   ");
		write_key(im, &e[i], out);
	}
	strbuf_adds(out, " ); }");
}

static void write_table(const struct import_entry *e, size_t n,
			struct strbuf *table)
{
	for (size_t i = 0; i < n; i++)
		strbuf_printf(table, "%s %s %s\n", e[i].author, e[i].selector,
			      e[i].file);
}

/* All keys of a domain stand together, here or there. */
static void write_keys(struct import *im, struct strbuf *out,
		       struct strbuf *table)
{
	bool first = true;

	for (size_t i = 0, n; i < im->nentries; i += n) {
		const struct import_entry *e = &im->entries[i];
		bool fits = table != NULL;

		for (n = 0; i + n < im->nentries &&
			    strcmp(e[n].author, e->author) == 0;
		     n++)
			fits = fits && fits_table(&e[n]);
		if (fits) {
			write_table(e, n, table);
			continue;
		}
		strbuf_adds(out, first ? "\tdomains = (\n" : ",\n");
		write_domain(im, e, n, out);
		first = false;
	}
	if (!first)
		strbuf_adds(out, "\n\t);\n");
}

static void write_outbound(struct import *im, const char *path,
			   struct strbuf *out, struct strbuf *table)
{
	strbuf_adds(out, "\noutbound = {\n");
	write_group(im, "outbound", out);
	if (path != NULL)
		strbuf_printf(out, "\tkey_table = %s;\n",
			      import_quote(im, path));
	write_keys(im, out, table);
	strbuf_adds(out, "};\n");
}

void import_write(struct import *im, const char *table_path,
		  struct strbuf *conf, struct strbuf *table)
{
	strbuf_printf(conf, "# mailseal.conf, written by mailseal import; see "
			    "mailseal.conf(5).\n");
	if (table_path != NULL)
		strbuf_adds(table, "# written by mailseal import: domain "
				   "selector file\n");
	write_group(im, "", conf);
	for (size_t i = 0; i < im->nsettings; i++) {
		if (!begins_group(im, i))
			continue;
		strbuf_printf(conf, "\n%s = {\n", im->settings[i].group);
		write_group(im, im->settings[i].group, conf);
		strbuf_adds(conf, "};\n");
	}
	if (im->rules.n > 0)
		strbuf_printf(conf, "\nrules = (\n%s\n);\n",
			      strbuf_cstr(&im->rules));
	if (im->nentries > 0 || has_group(im, "outbound"))
		write_outbound(im, table_path, conf,
			       table_path != NULL ? table : NULL);
	if (im->absent.n > 0)
		strbuf_printf(conf, "\n# What has no counterpart:\n%s",
			      strbuf_cstr(&im->absent));
}
