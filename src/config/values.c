/*
 * Reads the values of options: strings, numbers, words, and plain lists of
 * them.  Lists of groups are read in lists.c.
 *
 * A node in, a member of struct config out; a value that will not do leaves
 * the member as it was, and a message.  Knows neither files nor libconfig.
 */
#include "config/loader.h"

#include <string.h>

#include "mail/domain.h"

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

/* libmilter reads "%"; with what we say before it the line stays short. */
static bool is_reply(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '%')
			return false;
	return s.n <= CONFIG_REPLY_MAX;
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
	else if (o->type == OPTION_REPLY)
		good = is_reply(slice_of(text));
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
		if (strcmp(s->text, words[i]) == 0)
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

static void read_strings(struct loader *l, const struct config_node *s,
			 const struct config_option *o,
			 struct config_strings *ret)
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
		      const struct config_option *o, struct config_nets *ret)
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

void config_read_value(struct loader *l, const struct config_node *s,
		       const struct config_option *o)
{
	void *at = (char *)l->c + o->offset;

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_SOCKET:
	case OPTION_MODE:
	case OPTION_DOMAIN:
	case OPTION_REPLY:
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
		config_read_listeners(l, s, o);
		break;
	case OPTION_SIGNING:
		config_read_domains(l, s, o);
		break;
	}
}
