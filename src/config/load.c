/*
 * Reads a configuration file into a struct config.  The only file that
 * includes libconfig.
 *
 * Generic over the table of options.c; lists of groups have readers of their
 * own.  All mistakes are collected, each with its place and its cure; the
 * caller starts nothing when there is one.  It reads files and asks for the
 * host's name, but does not log and opens no key.
 *
 * libconfig damages integers silently: 5000000000 is read as 705032704.  So
 * the text is read a second time, for numbers alone.
 */
#include "config/options.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mail/domain.h"

#define FILE_MAX_BYTES (16 * 1024 * 1024)
#define TEXT_MAX_SHOWN 100 /* bytes of a value in a message */

/* A place where the text holds a number that libconfig damaged. */
struct damage {
	const char *file;
	unsigned line;
	struct damage *next;
};

struct loader {
	struct arena *arena;
	struct config *c;
	struct strbuf *errors;
	const char *file;
	const char *directory; /* of `file` */
	struct damage *damages;
	size_t mistakes;
};

/* ---- messages ---- */

static void complain_at(struct loader *l, const char *file, unsigned line,
			const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	strbuf_printf(l->errors, "%s:%u: %s\n", file != NULL ? file : l->file,
		      line, text);
	l->mistakes++;
}

static void __attribute__((format(printf, 4, 5)))
complain_line(struct loader *l, const char *file, unsigned line,
	      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_at(l, file, line, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 3, 4)))
complain(struct loader *l, const config_setting_t *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_at(l, config_setting_source_file(s),
		    config_setting_source_line(s), fmt, ap);
	va_end(ap);
}

/* A value as it may stand in a message. */
static const char *shown(struct loader *l, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, l->arena, 8 * TEXT_MAX_SHOWN);
	strbuf_add_escaped(&b, slice_of(text), TEXT_MAX_SHOWN);
	return strbuf_cstr(&b);
}

static void complain_value(struct loader *l, const config_setting_t *s,
			   const struct config_option *o)
{
	const char *wants = config_option_wants(l->arena, o);

	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		complain(l, s, "%s: \"%s\" will not do; give %s", o->name,
			 shown(l, config_setting_get_string(s)), wants);
	else
		complain(l, s, "%s: wrong type of value; give %s", o->name,
			 wants);
}

static const char *source_of(struct loader *l, const config_setting_t *s)
{
	const char *file = config_setting_source_file(s);

	return arena_printf(l->arena, "%s:%u", file != NULL ? file : l->file,
			    config_setting_source_line(s));
}

/* ---- numbers that libconfig damages ---- */

struct scan {
	struct loader *l;
	const char *file;
	struct slice rest;
	unsigned line;
};

static char scan_peek(const struct scan *s, size_t at)
{
	return at < s->rest.n ? s->rest.p[at] : '\0';
}

static void scan_skip(struct scan *s, size_t n)
{
	struct slice gone = slice_first(s->rest, n);

	for (size_t i = 0; i < gone.n; i++)
		s->line += gone.p[i] == '\n';
	s->rest = slice_from(s->rest, gone.n);
}

/* Bytes up to and with the end of a comment. */
static size_t comment_length(const struct scan *s)
{
	const char *end = scan_peek(s, 1) == '*' ? "*/" : "\n";
	size_t from = *end == '*' ? 2 : 1;
	const char *hit = s->rest.n > from
				  ? memmem(s->rest.p + from, s->rest.n - from,
					   end, strlen(end))
				  : NULL;

	return hit != NULL ? (size_t)(hit - s->rest.p) + strlen(end)
			   : s->rest.n;
}

static size_t string_length(const struct scan *s)
{
	size_t i = 1;

	while (i < s->rest.n && s->rest.p[i] != '"')
		i += s->rest.p[i] == '\\' ? 2 : 1;
	return i + 1;
}

/* Does it fit an int, or with the suffix L an int64_t?  Hexadecimal as well;
 * what is neither (a float) is not our concern. */
static bool number_fits(struct slice digits, bool negative)
{
	bool hex = slice_starts_ci(digits, "0x");
	bool wide = slice_ends_ci(digits, "L");
	uint64_t max = (wide ? (uint64_t)INT64_MAX : INT_MAX) + negative;
	uint64_t v = 0;

	for (size_t i = hex ? 2 : 0; i < digits.n; i++) {
		char c = ascii_lower(digits.p[i]);
		unsigned base = hex ? 16 : 10;
		unsigned d;

		if (c == 'l')
			break;
		if (ascii_isdigit(c))
			d = (unsigned)(c - '0');
		else if (hex && c >= 'a' && c <= 'f')
			d = (unsigned)(c - 'a') + 10;
		else
			return true;
		if (v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	return true;
}

static void scan_word(struct scan *s)
{
	struct slice word;
	size_t n = 1;
	bool negative = s->rest.p[0] == '-';
	bool sign = negative || s->rest.p[0] == '+';
	struct damage *d;

	while (ascii_isalnum(scan_peek(s, n)) || scan_peek(s, n) == '.' ||
	       scan_peek(s, n) == '_' || scan_peek(s, n) == '-' ||
	       scan_peek(s, n) == '*')
		n++;
	word = slice_first(s->rest, n);
	if (ascii_isdigit(scan_peek(s, sign)) &&
	    !number_fits(slice_from(word, sign), negative)) {
		d = arena_alloc(s->l->arena, sizeof(*d));
		*d = (struct damage){s->file, s->line, s->l->damages};
		s->l->damages = d;
		complain_line(s->l, s->file, s->line,
			      "%.*s is too large for any option; see "
			      "mailseal.conf(5) for the ranges",
			      (int)(n < 40 ? n : 40), word.p);
	}
	scan_skip(s, n);
}

static void scan_numbers(struct scan *s)
{
	while (s->rest.n > 0) {
		char c = s->rest.p[0];

		if (c == '#' || (c == '/' && (scan_peek(s, 1) == '/' ||
					      scan_peek(s, 1) == '*')))
			scan_skip(s, comment_length(s));
		else if (c == '"')
			scan_skip(s, string_length(s));
		else if (ascii_isalnum(c) || c == '-' || c == '+' || c == '*')
			scan_word(s);
		else
			scan_skip(s, 1);
	}
}

static bool is_damaged(const struct loader *l, const config_setting_t *s)
{
	const char *file = config_setting_source_file(s);

	for (const struct damage *d = l->damages; d != NULL; d = d->next)
		if (file != NULL && strcmp(d->file, file) == 0 &&
		    d->line == config_setting_source_line(s))
			return true;
	return false;
}

/* ---- files ---- */

/* False and a message when it cannot be read, or is no plain file. */
static bool read_file(struct loader *l, const char *path, struct strbuf *b)
{
	/* O_NONBLOCK: the open of a FIFO would wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char chunk[16384];
	struct stat st;
	ssize_t n = 0;
	const char *what = NULL;

	if (fd < 0 || fstat(fd, &st) != 0)
		what = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		what = "is no regular file";
	while (what == NULL && (n = read(fd, chunk, sizeof(chunk))) > 0)
		strbuf_add(b, (struct slice){chunk, (size_t)n});
	if (what == NULL && n < 0)
		what = strerror(errno);
	if (what == NULL && b->overflow)
		what = "is too large";
	if (fd >= 0)
		close(fd);
	if (what != NULL)
		complain_line(l, path, 0,
			      "%s; give a readable configuration file with -c",
			      what);
	return what == NULL;
}

/* libconfig alone would wait on a FIFO, and says little about the rest. */
static bool is_readable(struct loader *l, const char *path)
{
	struct arena *a = arena_new();
	struct strbuf b;
	bool good;

	strbuf_init(&b, a, FILE_MAX_BYTES);
	good = read_file(l, path, &b);
	arena_free(a);
	return good;
}

/* Scans a file for damaged numbers.  `name` is libconfig's: the main file as
 * it was given, others as they stand behind "@include". */
static void scan_file(struct loader *l, const char *name)
{
	struct scan s = {.l = l, .file = name, .line = 1};
	const char *path = name;
	struct arena *a = arena_new();
	struct strbuf b;

	if (strcmp(name, l->file) != 0)
		path = arena_printf(a, "%s/%s", l->directory, name);
	strbuf_init(&b, a, FILE_MAX_BYTES);
	if (read_file(l, path, &b)) {
		s.rest = strbuf_slice(&b);
		scan_numbers(&s);
	}
	arena_free(a);
}

/* ---- values ---- */

static bool is_mode(const char *text)
{
	size_t n = strspn(text, "01234567");

	return n >= 3 && n <= 4 && text[n] == '\0';
}

static bool is_absolute(struct slice s)
{
	return s.n > 1 && s.p[0] == '/';
}

/* "port@address" */
static bool is_inet(struct slice s)
{
	uint64_t port;
	struct slice number = slice_cut(&s, '@');

	return slice_u64(number, 65535, &port) && s.p != NULL && s.n > 0;
}

/* The same words as listen_open() knows. */
static bool is_socket(const char *text)
{
	struct slice rest = slice_of(text);
	struct slice kind = slice_cut(&rest, ':');
	uint64_t fd;

	if (rest.p == NULL)
		return false;
	if (slice_is(kind, "unix") || slice_is(kind, "local"))
		return is_absolute(rest);
	if (slice_is(kind, "inet") || slice_is(kind, "inet6"))
		return is_inet(rest);
	return slice_is(kind, "fd") && slice_u64(rest, 65535, &fd);
}

/* "addr" or "addr@port" */
static bool is_server(struct slice s)
{
	struct slice addr = slice_cut(&s, '@');
	struct ip ip;
	uint64_t port;

	return ip_parse(addr, &ip) &&
	       (s.p == NULL || (slice_u64(s, 65535, &port) && port > 0));
}

/* The value of a string option in its final form, or NULL. */
static const char *string_value(struct loader *l, const struct config_option *o,
				const char *text)
{
	bool good = true;

	if (o->type == OPTION_DOMAIN || o->type == OPTION_DOMAINS)
		return o->type == OPTION_DOMAIN && text[0] == '\0'
			       ? ""
			       : domain_canon(l->arena, slice_of(text));
	if (o->type == OPTION_PATH)
		good = text[0] == '\0' || is_absolute(slice_of(text));
	else if (o->type == OPTION_SOCKET)
		good = is_socket(text);
	else if (o->type == OPTION_MODE)
		good = is_mode(text);
	else if (o->type == OPTION_SERVERS)
		good = is_server(slice_of(text));
	return good ? arena_strdup(l->arena, text) : NULL;
}

static void read_string(struct loader *l, const config_setting_t *s,
			const struct config_option *o, const char **ret)
{
	const char *v = NULL;

	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		v = string_value(l, o, config_setting_get_string(s));
	if (v == NULL)
		complain_value(l, s, o);
	else
		*ret = v;
}

static void read_integer(struct loader *l, const config_setting_t *s,
			 const struct config_option *o, int64_t *ret)
{
	int type = config_setting_type(s);
	int64_t v;

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
		complain_value(l, s, o);
		return;
	}
	if (is_damaged(l, s))
		return;
	/* _get_int() would truncate the value of an INT64. */
	v = type == CONFIG_TYPE_INT64 ? config_setting_get_int64(s)
				      : config_setting_get_int(s);
	if (v < o->min || v > o->max)
		complain(l, s, "%s: %lld is out of range; give %s", o->name,
			 (long long)v, config_option_wants(l->arena, o));
	else
		*ret = v;
}

static void read_boolean(struct loader *l, const config_setting_t *s,
			 const struct config_option *o, int64_t *ret)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		complain_value(l, s, o);
	else
		*ret = config_setting_get_bool(s) != 0;
}

static int word_index(const config_setting_t *s, const char *const *words)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return -1;
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(config_setting_get_string(s), words[i]) == 0)
			return i;
	return -1;
}

static void read_word(struct loader *l, const config_setting_t *s,
		      const struct config_option *o, int64_t *ret)
{
	int i = word_index(s, o->words);

	if (i < 0)
		complain_value(l, s, o);
	else
		*ret = i;
}

static bool is_listing(const config_setting_t *s)
{
	return config_setting_is_array(s) || config_setting_is_list(s);
}

static size_t listing_length(const config_setting_t *s)
{
	int n = config_setting_length(s);

	return n > 0 ? (size_t)n : 0;
}

static void read_strings(struct loader *l, const config_setting_t *s,
			 const struct config_option *o,
			 struct config_strings *ret)
{
	if (!is_listing(s)) {
		complain_value(l, s, o);
		return;
	}
	ret->n = listing_length(s);
	ret->v = arena_array(l->arena, ret->n, sizeof(*ret->v));
	for (size_t i = 0; i < ret->n; i++)
		read_string(l, config_setting_get_elem(s, (unsigned)i), o,
			    &ret->v[i]);
}

static void read_nets(struct loader *l, const config_setting_t *s,
		      const struct config_option *o, struct config_nets *ret)
{
	if (!is_listing(s)) {
		complain_value(l, s, o);
		return;
	}
	ret->n = listing_length(s);
	ret->v = arena_array(l->arena, ret->n, sizeof(*ret->v));
	for (size_t i = 0; i < ret->n; i++) {
		config_setting_t *e = config_setting_get_elem(s, (unsigned)i);

		if (config_setting_type(e) != CONFIG_TYPE_STRING ||
		    !ip_net_parse(slice_of(config_setting_get_string(e)),
				  &ret->v[i]))
			complain_value(l, e, o);
	}
}

/* ---- lists of groups ---- */

/* Is `g` a group with all the members of `names` and no others? */
static bool check_members(struct loader *l, const config_setting_t *g,
			  const struct config_option *o,
			  const char *const *names)
{
	size_t before = l->mistakes;

	if (!config_setting_is_group(g)) {
		complain_value(l, g, o);
		return false;
	}
	for (size_t i = 0; names[i] != NULL; i++)
		if (config_setting_get_member(g, names[i]) == NULL)
			complain(l, g, "%s: \"%s\" is missing; give %s",
				 o->name, names[i],
				 config_option_wants(l->arena, o));
	for (size_t i = 0; i < listing_length(g); i++) {
		config_setting_t *m = config_setting_get_elem(g, (unsigned)i);
		size_t j = 0;

		while (names[j] != NULL &&
		       strcmp(names[j], config_setting_name(m)) != 0)
			j++;
		if (names[j] == NULL)
			complain(l, m, "%s: unknown key \"%s\"; give %s",
				 o->name, shown(l, config_setting_name(m)),
				 config_option_wants(l->arena, o));
	}
	return l->mistakes == before;
}

/* The text of a member, or NULL and a message when it is no string or empty. */
static const char *member_text(struct loader *l, const config_setting_t *g,
			       const struct config_option *o, const char *name)
{
	config_setting_t *m = config_setting_get_member(g, name);
	const char *v = config_setting_get_string(m);

	if (v != NULL && v[0] != '\0')
		return arena_strdup(l->arena, v);
	complain(l, m, "%s: %s must be a string that is not empty; give %s",
		 o->name, name, config_option_wants(l->arena, o));
	return NULL;
}

/* The same for a domain or selector, canonical. */
static const char *member_domain(struct loader *l, const config_setting_t *g,
				 const struct config_option *o,
				 const char *name)
{
	const char *text = member_text(l, g, o, name);
	const char *v;

	if (text == NULL)
		return NULL;
	v = domain_canon(l->arena, slice_of(text));
	if (v == NULL)
		complain(l, config_setting_get_member(g, name),
			 "%s: %s \"%s\" is no domain name; give labels of "
			 "letters, digits and \"-\" with dots between",
			 o->name, name, shown(l, text));
	return v;
}

static void read_listener(struct loader *l, const config_setting_t *g,
			  const struct config_option *o,
			  struct config_listener *ret)
{
	static const char *const members[] = {"name", "direction", NULL};
	/* In the order of enum direction. */
	static const char *const words[] = {"auto", "inbound", "outbound",
					    "none", NULL};
	config_setting_t *m;
	int i;

	if (!check_members(l, g, o, members))
		return;
	ret->name = member_text(l, g, o, "name");
	m = config_setting_get_member(g, "direction");
	i = word_index(m, words);
	if (i < 0)
		complain(l, m,
			 "%s: wrong direction; give \"auto\", \"inbound\", "
			 "\"outbound\" or \"none\"",
			 o->name);
	else
		ret->direction = (enum direction)i;
	for (const struct config_listener *p = l->c->listeners; p < ret; p++)
		if (ret->name != NULL && p->name != NULL &&
		    strcmp(p->name, ret->name) == 0)
			complain(l, g,
				 "%s: \"%s\" stands here twice; remove one",
				 o->name, shown(l, ret->name));
}

static void read_listeners(struct loader *l, const config_setting_t *s,
			   const struct config_option *o)
{
	struct config *c = l->c;

	if (!is_listing(s)) {
		complain_value(l, s, o);
		return;
	}
	c->nlisteners = listing_length(s);
	c->listeners =
		arena_array(l->arena, c->nlisteners, sizeof(*c->listeners));
	for (size_t i = 0; i < c->nlisteners; i++)
		read_listener(l, config_setting_get_elem(s, (unsigned)i), o,
			      &c->listeners[i]);
}

static void check_key_file(struct loader *l, const config_setting_t *s,
			   const struct config_option *o, const char *file)
{
	struct stat st;

	if (file[0] != '/')
		complain(l, s,
			 "%s: key file \"%s\" must be an absolute path; put "
			 "its directory in front",
			 o->name, shown(l, file));
	else if (stat(file, &st) != 0)
		complain(l, s,
			 "%s: key file %s: %s; make it with mailseal key new, "
			 "or correct the path",
			 o->name, shown(l, file), strerror(errno));
	else if (!S_ISREG(st.st_mode))
		complain(l, s,
			 "%s: key file %s is no regular file; give the path "
			 "of a private key",
			 o->name, shown(l, file));
}

static void read_key(struct loader *l, const config_setting_t *g,
		     const struct config_option *o, struct config_key *ret)
{
	static const char *const members[] = {"selector", "file", NULL};

	ret->source = source_of(l, g);
	if (!check_members(l, g, o, members))
		return;
	ret->selector = member_domain(l, g, o, "selector");
	ret->file = member_text(l, g, o, "file");
	if (ret->file != NULL)
		check_key_file(l, config_setting_get_member(g, "file"), o,
			       ret->file);
}

static void read_keys(struct loader *l, const config_setting_t *s,
		      const struct config_option *o, struct config_domain *d)
{
	if (!is_listing(s) || listing_length(s) == 0) {
		complain(l, s, "%s: keys must name a key; give %s", o->name,
			 config_option_wants(l->arena, o));
		return;
	}
	d->nkeys = listing_length(s);
	d->keys = arena_array(l->arena, d->nkeys, sizeof(*d->keys));
	for (size_t i = 0; i < d->nkeys; i++) {
		config_setting_t *g = config_setting_get_elem(s, (unsigned)i);
		struct config_key *k = &d->keys[i];

		read_key(l, g, o, k);
		for (size_t j = 0; j < i; j++)
			if (k->selector != NULL &&
			    d->keys[j].selector != NULL &&
			    strcmp(d->keys[j].selector, k->selector) == 0)
				complain(l, g,
					 "%s: selector %s stands here twice; "
					 "remove one",
					 o->name, k->selector);
	}
}

static void read_domain(struct loader *l, const config_setting_t *g,
			const struct config_option *o,
			struct config_domain *ret)
{
	static const char *const members[] = {"domain", "keys", NULL};

	ret->source = source_of(l, g);
	if (!check_members(l, g, o, members))
		return;
	ret->domain = member_domain(l, g, o, "domain");
	read_keys(l, config_setting_get_member(g, "keys"), o, ret);
}

static int by_domain(const void *a, const void *b)
{
	const struct config_domain *x = a, *y = b;
	int order;

	if (x->domain == NULL || y->domain == NULL)
		return (x->domain != NULL) - (y->domain != NULL);
	order = strcmp(x->domain, y->domain);
	return order != 0 ? order : strcmp(x->source, y->source);
}

/* Sorted, so that a site with 100,000 domains does not wait. */
static void check_twice(struct loader *l, const struct config_option *o)
{
	size_t n = l->c->outbound.ndomains;
	struct config_domain *v = arena_array(l->arena, n, sizeof(*v));

	if (n > 0)
		memcpy(v, l->c->outbound.domains, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_domain);
	for (size_t i = 1; i < n; i++) {
		if (v[i - 1].domain == NULL ||
		    strcmp(v[i - 1].domain, v[i].domain) != 0)
			continue;
		strbuf_printf(l->errors,
			      "%s: %s: %s stands here twice; put all its keys "
			      "in one group\n",
			      v[i].source, o->name, v[i].domain);
		l->mistakes++;
	}
}

static void read_domains(struct loader *l, const config_setting_t *s,
			 const struct config_option *o)
{
	struct config *c = l->c;

	if (!is_listing(s)) {
		complain_value(l, s, o);
		return;
	}
	c->outbound.ndomains = listing_length(s);
	c->outbound.domains = arena_array(l->arena, c->outbound.ndomains,
					  sizeof(*c->outbound.domains));
	for (size_t i = 0; i < c->outbound.ndomains; i++)
		read_domain(l, config_setting_get_elem(s, (unsigned)i), o,
			    &c->outbound.domains[i]);
	check_twice(l, o);
}

/* ---- the tree ---- */

static void read_option(struct loader *l, const config_setting_t *s,
			const struct config_option *o)
{
	void *at = (char *)l->c + o->offset;

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_SOCKET:
	case OPTION_MODE:
	case OPTION_DOMAIN:
		read_string(l, s, o, at);
		break;
	case OPTION_INTEGER:
		read_integer(l, s, o, at);
		break;
	case OPTION_BOOLEAN:
		read_boolean(l, s, o, at);
		break;
	case OPTION_WORD:
		read_word(l, s, o, at);
		break;
	case OPTION_DOMAINS:
	case OPTION_SERVERS:
		read_strings(l, s, o, at);
		break;
	case OPTION_NETS:
		read_nets(l, s, o, at);
		break;
	case OPTION_LISTENERS:
		read_listeners(l, s, o);
		break;
	case OPTION_SIGNING:
		read_domains(l, s, o);
		break;
	}
}

static void read_unknown(struct loader *l, const config_setting_t *s,
			 const char *name)
{
	const char *near = config_option_nearest(name);

	if (near != NULL)
		complain(l, s, "unknown option \"%s\"; did you mean \"%s\"?",
			 shown(l, name), near);
	else
		complain(l, s,
			 "unknown option \"%s\"; remove it (mailseal "
			 "check-config --defaults lists all)",
			 shown(l, name));
}

/* `prefix`: "" or "group."; groups are one deep. */
static void read_group(struct loader *l, const config_setting_t *group,
		       const char *prefix)
{
	for (size_t i = 0; i < listing_length(group); i++) {
		config_setting_t *s =
			config_setting_get_elem(group, (unsigned)i);
		const char *name = arena_printf(l->arena, "%s%s", prefix,
						config_setting_name(s));
		const struct config_option *o = config_option_find(name);

		if (o != NULL)
			read_option(l, s, o);
		else if (!config_option_is_group(name))
			read_unknown(l, s, name);
		else if (!config_setting_is_group(s))
			complain(l, s,
				 "%s must be a group; write %s = { ... };",
				 name, name);
		else
			read_group(l, s, arena_printf(l->arena, "%s.", name));
	}
}

static void read_defaults(struct loader *l)
{
	struct strbuf text;
	config_t cfg;

	strbuf_init(&text, l->arena, 65536);
	config_print_defaults(&text);
	config_init(&cfg);
	if (config_read_string(&cfg, strbuf_cstr(&text)) == CONFIG_TRUE)
		read_group(l, config_root_setting(&cfg), "");
	else
		complain_line(l, "defaults", (unsigned)config_error_line(&cfg),
			      "%s", config_error_text(&cfg));
	config_destroy(&cfg);
}

/* The directory of `path`: where "@include" looks. */
static const char *directory_of(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return ".";
	return slash == path ? "/"
			     : arena_memdup(a, path, (size_t)(slash - path));
}

/* What may cure an error of libconfig's reader. */
static const char *syntax_cure(const char *what)
{
	if (strstr(what, "include") != NULL)
		return "give a path below the directory of the main file";
	if (strstr(what, "duplicate") != NULL)
		return "give each option once";
	return "look for a missing quote, bracket, comma or line end here or "
	       "just before";
}

static void read_path(struct loader *l, const char *path)
{
	const char *file;
	config_t cfg;

	if (!is_readable(l, path))
		return;
	config_init(&cfg);
	config_set_include_dir(&cfg, l->directory);
	if (config_read_file(&cfg, path) != CONFIG_TRUE) {
		file = config_error_file(&cfg);
		complain_line(l, file != NULL ? file : path,
			      (unsigned)config_error_line(&cfg), "%s; %s",
			      config_error_text(&cfg),
			      syntax_cure(config_error_text(&cfg)));
	} else {
		for (unsigned i = 0; i < cfg.num_filenames; i++)
			scan_file(l, arena_strdup(l->arena, cfg.filenames[i]));
		read_group(l, config_root_setting(&cfg), "");
	}
	config_destroy(&cfg);
}

/* ---- the whole ---- */

static void fill_authserv_id(struct loader *l)
{
	char host[HOST_NAME_MAX + 1] = "";

	if (l->c->authserv_id[0] != '\0')
		return;
	if (gethostname(host, sizeof(host) - 1) == 0)
		l->c->authserv_id = domain_canon(l->arena, slice_of(host));
	if (l->c->authserv_id != NULL && l->c->authserv_id[0] != '\0')
		return;
	l->c->authserv_id = "";
	complain_line(l, l->file, 0,
		      "authserv_id: the host name \"%s\" is no domain name; "
		      "set authserv_id",
		      shown(l, host));
}

/* What no option can tell by itself. */
static void check_whole(struct loader *l)
{
	const struct config *c = l->c;

	if (c->dkim.min_rsa_bits > c->dkim.max_rsa_bits)
		complain_line(l, l->file, 0,
			      "dkim.min_rsa_bits is above dkim.max_rsa_bits; "
			      "lower it to at most %lld",
			      (long long)c->dkim.max_rsa_bits);
	if (c->resolver.recursion && c->resolver.servers.n > 0)
		complain_line(l, l->file, 0,
			      "resolver.recursion asks no resolver.servers; "
			      "remove one of the two");
	if (c->resolver.dnssec && c->resolver.trust_anchor[0] == '\0')
		complain_line(l, l->file, 0,
			      "resolver.dnssec needs resolver.trust_anchor; "
			      "give the file (package dns-root-data)");
	if (c->limits.field_size > c->limits.header_size)
		complain_line(l, l->file, 0,
			      "limits.field_size is above limits.header_size; "
			      "lower it to at most %lld",
			      (long long)c->limits.header_size);
}

struct config *config_load(const char *path, struct strbuf *errors)
{
	struct arena *a = arena_new();
	struct loader l = {
		.arena = a,
		.c = arena_alloc(a, sizeof(struct config)),
		.errors = errors,
		.file = path != NULL ? arena_strdup(a, path) : "defaults",
	};

	l.directory = directory_of(a, l.file);
	l.c->arena = a;
	l.c->file = l.file;
	read_defaults(&l);
	if (path != NULL)
		read_path(&l, l.file);
	fill_authserv_id(&l);
	check_whole(&l);
	if (l.mistakes == 0)
		return l.c;
	arena_free(a);
	return NULL;
}

void config_free(struct config *c)
{
	if (c != NULL)
		arena_free(c->arena);
}
