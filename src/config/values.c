/*
 * Reads the values of options: strings, numbers, words, and plain lists of
 * them.  Lists of groups are read in lists.c.
 *
 * A node in, a member of struct config out; a value that will not do leaves
 * the member as it was, and a message.  Knows neither files nor libconfig.
 */
#include "config/loader.h"

#include <string.h>
#include <time.h>

#include "base/endpoint.h"
#include "mail/domain.h"
#include "mail/reply.h"

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

static bool is_endpoint(const char *text)
{
	struct endpoint e;

	return text[0] == '\0' || endpoint_parse(text, &e);
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

/* libmilter reads "%"; with what we say before it the line stays short. */
static bool is_reply(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '%')
			return false;
	return s.n <= CONFIG_REPLY_MAX;
}

/* Printable and without what would need quotes (RFC 5321 4.1.2), or UTF-8. */
static bool is_local_part(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == 0x7f || (s.p[i] >= 0 && s.p[i] <= ' ') ||
		    strchr("\"(),:;<>@[\\]", s.p[i]) != NULL)
			return false;
	return true;
}

/* "user@domain", or "@domain" where that is allowed; or NULL. */
static const char *address_value(struct loader *l, const char *text, bool whole)
{
	ptrdiff_t at = slice_rchr(slice_of(text), '@');
	struct slice local = slice_first(slice_of(text), (size_t)at);
	const char *domain;

	if (at < 0 || (at == 0 && !whole) || !is_local_part(local))
		return NULL;
	domain = domain_canon(l->arena, slice_of(text + at + 1));
	if (domain == NULL)
		return NULL;
	return arena_printf(l->arena, "%s@%s", slice_lower(l->scratch, local),
			    domain);
}

/* "example.com" or ".example.com"; or NULL. */
static const char *domain_pattern(struct loader *l, const char *text)
{
	const char *dot = text[0] == '.' ? "." : "";
	const char *v = domain_canon(l->arena, slice_of(text + strlen(dot)));

	return v != NULL ? arena_printf(l->arena, "%s%s", dot, v) : NULL;
}

static const char *address_pattern(struct loader *l, const char *text)
{
	const char *domain;

	if (strcmp(text, "<>") == 0)
		return "<>";
	if (strncmp(text, "@.", 2) != 0)
		return address_value(l, text, true);
	domain = domain_pattern(l, text + 1);
	return domain != NULL ? arena_printf(l->arena, "@%s", domain) : NULL;
}

static bool is_word_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isalnum(s.p[i]) && strchr("-_.", s.p[i]) == NULL)
			return false;
	return s.n > 0 && s.n <= 64;
}

/* The value of a string option in its final form, or NULL. */
static const char *string_value(struct loader *l, const struct config_option *o,
				const char *text)
{
	bool good = true;

	if (o->type == OPTION_ADDRESS || o->type == OPTION_ADDRESSES)
		return address_value(l, text, o->type == OPTION_ADDRESSES);
	if (o->type == OPTION_DOMAIN_PATTERNS)
		return domain_pattern(l, text);
	if (o->type == OPTION_ADDRESS_PATTERNS)
		return address_pattern(l, text);

	if (o->type == OPTION_DOMAIN || o->type == OPTION_DOMAINS)
		return o->type == OPTION_DOMAIN && o->min == 0 &&
				       text[0] == '\0'
			       ? ""
			       : domain_canon(l->arena, slice_of(text));
	if (o->type == OPTION_PATH)
		good = text[0] == '\0' || is_absolute(slice_of(text));
	else if (o->type == OPTION_SOCKET)
		good = is_socket(text);
	else if (o->type == OPTION_ENDPOINT)
		good = is_endpoint(text);
	else if (o->type == OPTION_MODE)
		good = is_mode(text);
	else if (o->type == OPTION_REPLY)
		good = is_reply(slice_of(text));
	else if (o->type == OPTION_WORD_NAME)
		good = is_word_name(slice_of(text));
	else if (o->type == OPTION_TEXT)
		good = reply_template_ok(text);
	else if (o->type == OPTION_NAME || o->type == OPTION_NAMES)
		good = text[0] != '\0';
	else if (o->type == OPTION_SERVERS)
		good = is_server(slice_of(text));
	return good ? arena_strdup(l->arena, text) : NULL;
}

static void read_string(struct loader *l, const struct config_node *s,
			const struct config_option *o, const char **ret)
{
	const char *v = NULL;

	if (s->type == CONFIG_NODE_STRING)
		v = string_value(l, o, s->text);
	if (v == NULL)
		config_complain_value(l, s, o);
	else
		*ret = v;
}

static void read_integer(struct loader *l, const struct config_node *s,
			 const struct config_option *o, int64_t *ret)
{
	if (s->type != CONFIG_NODE_INTEGER) {
		config_complain_value(l, s, o);
		return;
	}
	if (s->damaged)
		return;
	if (s->number < o->min || s->number > o->max)
		config_complain(l, s, "%s: %lld is out of range; give %s",
				o->name, (long long)s->number,
				config_option_wants(l->arena, o));
	else
		*ret = s->number;
}

static void read_boolean(struct loader *l, const struct config_node *s,
			 const struct config_option *o, int64_t *ret)
{
	if (s->type != CONFIG_NODE_BOOLEAN)
		config_complain_value(l, s, o);
	else
		*ret = s->number;
}

int config_word_index(const struct config_node *s, const char *const *words)
{
	if (s->type != CONFIG_NODE_STRING)
		return -1;
	for (int i = 0; words[i] != NULL; i++)
		if (words[i][0] != '\0' && strcmp(s->text, words[i]) == 0)
			return i;
	return -1;
}

static void read_word(struct loader *l, const struct config_node *s,
		      const struct config_option *o, int64_t *ret)
{
	int i = config_word_index(s, o->words);

	if (i < 0)
		config_complain_value(l, s, o);
	else
		*ret = i;
}

static void read_words(struct loader *l, const struct config_node *s,
		       const struct config_option *o, int64_t *ret)
{
	int64_t set = 0;

	if (s->type != CONFIG_NODE_LISTING || s->n == 0) {
		config_complain_value(l, s, o);
		return;
	}
	for (size_t i = 0; i < s->n; i++) {
		int word = config_word_index(&s->v[i], o->words);

		if (word < 0)
			config_complain_value(l, &s->v[i], o);
		else
			set |= (int64_t)1 << word;
	}
	*ret = set;
}

/* RFC 3339, a day or a second of UTC. */
static bool parse_time(const char *text, int64_t *ret)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};

	for (size_t i = 0; i < 2; i++) {
		struct tm tm = {0};
		const char *end = strptime(text, forms[i], &tm);
		int day = tm.tm_mday;
		time_t t;

		if (end == NULL || *end != '\0')
			continue;
		t = timegm(&tm);
		/* timegm() takes February 31 for March 3 */
		if (t <= 0 || tm.tm_mday != day)
			return false;
		*ret = t;
		return true;
	}
	return false;
}

static void read_time(struct loader *l, const struct config_node *s,
		      const struct config_option *o, int64_t *ret)
{
	if (s->type != CONFIG_NODE_STRING || !parse_time(s->text, ret))
		config_complain_value(l, s, o);
}

static void read_strings(struct loader *l, const struct config_node *s,
			 const struct config_option *o, struct string_list *ret)
{
	if (s->type != CONFIG_NODE_LISTING) {
		config_complain_value(l, s, o);
		return;
	}
	ret->n = s->n;
	ret->v = arena_array(l->arena, ret->n, sizeof(*ret->v));
	for (size_t i = 0; i < ret->n; i++)
		read_string(l, &s->v[i], o, &ret->v[i]);
}

static void read_nets(struct loader *l, const struct config_node *s,
		      const struct config_option *o, struct ip_nets *ret)
{
	if (s->type != CONFIG_NODE_LISTING) {
		config_complain_value(l, s, o);
		return;
	}
	ret->n = s->n;
	ret->v = arena_array(l->arena, ret->n, sizeof(*ret->v));
	for (size_t i = 0; i < ret->n; i++) {
		const struct config_node *e = &s->v[i];

		if (e->type != CONFIG_NODE_STRING ||
		    !ip_net_parse(slice_of(e->text), &ret->v[i]))
			config_complain_value(l, e, o);
	}
}

void config_read_into(struct loader *l, const struct config_node *s,
		      const struct config_option *o, void *base)
{
	void *at = (char *)base + o->offset;

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_SOCKET:
	case OPTION_ENDPOINT:
	case OPTION_MODE:
	case OPTION_DOMAIN:
	case OPTION_REPLY:
	case OPTION_ADDRESS:
	case OPTION_NAME:
	case OPTION_WORD_NAME:
	case OPTION_TEXT:
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
	case OPTION_WORDS:
		read_words(l, s, o, at);
		break;
	case OPTION_TIME:
		read_time(l, s, o, at);
		break;
	case OPTION_DOMAINS:
	case OPTION_SERVERS:
	case OPTION_ADDRESSES:
	case OPTION_NAMES:
	case OPTION_DOMAIN_PATTERNS:
	case OPTION_ADDRESS_PATTERNS:
		read_strings(l, s, o, at);
		break;
	case OPTION_NETS:
		read_nets(l, s, o, at);
		break;
	case OPTION_LISTENERS:
		config_read_listeners(l, s, o);
		break;
	case OPTION_SIGNING:
		config_read_domains(l, s, o);
		break;
	case OPTION_DEMANDS:
	case OPTION_CERTIFICATES:
	case OPTION_PEERS:
	case OPTION_BULK:
	case OPTION_CREDENTIALS:
	case OPTION_RULES:
	case OPTION_SEALS:
		config_read_groups(l, s, o, at);
		break;
	}
}

void config_read_value(struct loader *l, const struct config_node *s,
		       const struct config_option *o)
{
	config_read_into(l, s, o, l->c);
}
