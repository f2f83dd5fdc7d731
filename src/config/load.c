/*
 * Reads a configuration file into a struct config: defaults first, then the
 * file, then what no option can tell by itself.
 *
 * Generic over the table of options.c.  All mistakes are collected, each with
 * its place and its cure; the caller starts nothing when there is one.  It
 * asks for the host's name, but does not log.
 */
#include "config/loader.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mail/domain.h"

#define TEXT_MAX_SHOWN 100 /* bytes of a value in a message */

/* ---- messages ---- */

static void complain_at(struct loader *l, const char *file, unsigned line,
			const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	strbuf_printf(l->errors, "%s:%u: %s\n", file, line, text);
	l->mistakes++;
}

void config_complain_line(struct loader *l, const char *file, unsigned line,
			  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_at(l, file, line, fmt, ap);
	va_end(ap);
}

void config_complain(struct loader *l, const struct config_node *s,
		     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_at(l, s->file, s->line, fmt, ap);
	va_end(ap);
}

const char *config_shown(struct loader *l, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, l->arena, 8 * TEXT_MAX_SHOWN);
	strbuf_add_escaped(&b, slice_of(text), TEXT_MAX_SHOWN);
	return strbuf_cstr(&b);
}

void config_complain_value(struct loader *l, const struct config_node *s,
			   const struct config_option *o)
{
	const char *wants = config_option_wants(l->arena, o);

	if (s->type == CONFIG_NODE_STRING)
		config_complain(l, s, "%s: \"%s\" will not do; give %s",
				o->name, config_shown(l, s->text), wants);
	else
		config_complain(l, s, "%s: wrong type of value; give %s",
				o->name, wants);
}

/* ---- the tree ---- */

static void read_unknown(struct loader *l, const struct config_node *s,
			 const char *name)
{
	const char *near = config_option_nearest(name);

	if (near != NULL)
		config_complain(l, s,
				"unknown option \"%s\"; did you mean \"%s\"?",
				config_shown(l, name), near);
	else
		config_complain(l, s,
				"unknown option \"%s\"; remove it (mailseal "
				"check-config --defaults lists all)",
				config_shown(l, name));
}

/* `prefix`: "" or "group."; groups are one deep. */
static void read_group(struct loader *l, const struct config_node *group,
		       const char *prefix)
{
	for (size_t i = 0; i < group->n; i++) {
		const struct config_node *s = &group->v[i];
		const char *name =
			arena_printf(l->arena, "%s%s", prefix, s->name);
		const struct config_option *o = config_option_find(name);

		if (o != NULL)
			config_read_value(l, s, o);
		else if (!config_option_is_group(name))
			read_unknown(l, s, name);
		else if (s->type != CONFIG_NODE_GROUP)
			config_complain(
				l, s, "%s must be a group; write %s = { ... };",
				name, name);
		else
			read_group(l, s, arena_printf(l->arena, "%s.", name));
	}
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
	config_complain_line(
		l, l->file, 0,
		"authserv_id: the host name \"%s\" is no domain name; "
		"set authserv_id",
		config_shown(l, host));
}

/* Of a group in a list: which of its members say what it is about. */
static void check_one_of(struct loader *l, const char *source,
			 const char *option, int given, const char *names)
{
	if (given == 1)
		return;
	strbuf_printf(l->errors, "%s: %s: give one of %s\n", source, option,
		      names);
	l->mistakes++;
}

/* Without the table nobody is in a group, and the demand would say nothing. */
static void check_group(struct loader *l, const struct login_demand *d)
{
	const struct config *c = l->c;

	if (d->group == NULL || (c->submission.sender_table[0] != '\0' &&
				 c->submission.sender_groups[0] != '\0'))
		return;
	strbuf_printf(l->errors,
		      "%s: submission.login_classes: group \"%s\" needs "
		      "submission.sender_table and submission.sender_groups; "
		      "give both\n",
		      d->source, config_shown(l, d->group));
	l->mistakes++;
}

static void check_peer(struct loader *l, const struct transport_peer *p)
{
	check_one_of(l, p->source, "tls.peers",
		     p->domain != NULL || p->networks.n > 0,
		     "domain and networks");
	if (p->version != TLS_NONE || p->bits > 0 || p->certificate != 0 ||
	    p->subject != NULL || p->issuer != NULL)
		return;
	strbuf_printf(l->errors,
		      "%s: tls.peers: nothing is demanded; give version, bits, "
		      "certificate, subject or issuer\n",
		      p->source);
	l->mistakes++;
}

static void check_lists(struct loader *l)
{
	const struct config *c = l->c;

	for (size_t i = 0; i < c->submission.login_classes.n; i++) {
		const struct login_demand *d =
			&c->submission.login_classes.v[i];

		check_one_of(l, d->source, "submission.login_classes",
			     (d->address != NULL) + (d->domain != NULL) +
				     (d->group != NULL),
			     "address, domain and group");
		check_group(l, d);
	}
	for (size_t i = 0; i < c->preflight.bulk.n; i++) {
		const struct preflight_bulk *b = &c->preflight.bulk.v[i];

		check_one_of(l, b->source, "preflight.bulk",
			     (b->header != NULL) + (b->login != NULL) +
				     (b->domain != NULL),
			     "header, login and domain");
	}
	for (size_t i = 0; i < c->tls.peers.n; i++)
		check_peer(l, &c->tls.peers.v[i]);
}

/* preflight.spf asks about each address by itself. */
static void check_egress(struct loader *l)
{
	const struct config *c = l->c;
	const struct ip_nets *v = &c->preflight.egress;
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < v->n; i++)
		if (v->v[i].bits != (v->v[i].addr.family == IP_V4 ? 32 : 128))
			config_complain_line(
				l, l->file, 0,
				"preflight.egress: %s/%u is a network; give "
				"each address from which mail leaves",
				ip_format(&v->v[i].addr, text), v->v[i].bits);
	if (v->n > PREFLIGHT_EGRESS_MAX)
		config_complain_line(l, l->file, 0,
				     "preflight.egress: %zu addresses are too "
				     "many; give at most %d",
				     v->n, PREFLIGHT_EGRESS_MAX);
	if (v->n == 0 && c->preflight.spf != PREFLIGHT_OFF)
		config_complain_line(
			l, l->file, 0,
			"preflight.spf needs preflight.egress; give the "
			"addresses from which mail leaves");
}

/* What no option can tell by itself. */
static void check_whole(struct loader *l)
{
	const struct config *c = l->c;

	/* What could not be read looks as if it were missing. */
	if (l->mistakes == 0) {
		check_lists(l);
		check_egress(l);
	}
	if (c->submission.sender_groups[0] != '\0' &&
	    c->submission.sender_table[0] == '\0')
		config_complain_line(
			l, l->file, 0,
			"submission.sender_groups needs "
			"submission.sender_table; give it, or remove the "
			"groups");
	if (c->dkim.min_rsa_bits > c->dkim.max_rsa_bits)
		config_complain_line(
			l, l->file, 0,
			"dkim.min_rsa_bits is above dkim.max_rsa_bits; "
			"lower it to at most %lld",
			(long long)c->dkim.max_rsa_bits);
	if (c->log.personal == LOG_PERSONAL_HASH && c->secret[0] == '\0')
		config_complain_line(
			l, l->file, 0,
			"log.personal = \"hash\" needs secret; give it a text "
			"that nobody guesses");
	if (c->journal.hash_local_parts && c->secret[0] == '\0')
		config_complain_line(
			l, l->file, 0,
			"journal.hash_local_parts needs secret; give it a "
			"text that nobody guesses");
	if (c->resolver.recursion && c->resolver.servers.n > 0)
		config_complain_line(
			l, l->file, 0,
			"resolver.recursion asks no resolver.servers; "
			"remove one of the two");
	if (c->resolver.dnssec && c->resolver.trust_anchor[0] == '\0')
		config_complain_line(
			l, l->file, 0,
			"resolver.dnssec needs resolver.trust_anchor; "
			"give the file (package dns-root-data)");
	if (c->limits.field_size > c->limits.header_size)
		config_complain_line(
			l, l->file, 0,
			"limits.field_size is above limits.header_size; "
			"lower it to at most %lld",
			(long long)c->limits.header_size);
}

static void read_defaults(struct loader *l)
{
	const struct config_node *root;
	struct strbuf text;

	strbuf_init(&text, l->scratch, 65536);
	config_print_defaults(&text);
	root = config_tree_text(l, strbuf_cstr(&text));
	if (root != NULL)
		read_group(l, root, "");
}

static void read_file(struct loader *l)
{
	const struct config_node *root = config_tree_file(l);

	if (root != NULL)
		read_group(l, root, "");
}

static const char *end_digest(struct loader *l)
{
	unsigned char out[SHA256_LEN];
	struct strbuf b;

	crypto_hash_end(l->digest, out);
	crypto_hash_free(l->digest);
	strbuf_init(&b, l->arena, 2 * SHA256_LEN + 1);
	for (size_t i = 0; i < SHA256_LEN; i++)
		strbuf_printf(&b, "%02x", out[i]);
	return strbuf_cstr(&b);
}

struct config *config_load(const char *path, struct strbuf *errors)
{
	struct arena *a = arena_new();
	struct loader l = {
		.arena = a,
		.scratch = arena_new(),
		.c = arena_alloc(a, sizeof(struct config)),
		.errors = errors,
		.file = path != NULL ? arena_strdup(a, path) : "defaults",
	};

	l.directory = directory_of(a, l.file);
	l.digest = crypto_hash_new();
	l.c->arena = a;
	l.c->file = l.file;
	read_defaults(&l);
	if (path != NULL)
		read_file(&l);
	fill_authserv_id(&l);
	check_whole(&l);
	l.c->digest = end_digest(&l);
	arena_free(l.scratch);
	if (l.mistakes == 0)
		return l.c;
	arena_free(a);
	return NULL;
}

static void read_credentials(struct loader *l, const struct config_node *root,
			     struct config_credentials *ret)
{
	const struct config_option *o = &config_credentials_option;

	/* A file that was cut off must not make every login free. */
	if (config_node_member(root, o->name) == NULL)
		config_complain_line(l, l->file, 0,
				     "no list \"credentials\"; give "
				     "credentials = ( ); when there are none");

	for (size_t i = 0; i < root->n; i++) {
		if (strcmp(root->v[i].name, o->name) == 0)
			config_read_into(l, &root->v[i], o, ret);
		else
			config_complain(l, &root->v[i],
					"unknown option \"%s\"; this file has "
					"one, credentials",
					config_shown(l, root->v[i].name));
	}
}

bool config_load_credentials(struct arena *a, const char *path,
			     struct config_credentials *ret,
			     struct strbuf *errors)
{
	struct loader l = {
		.arena = a,
		.scratch = arena_new(),
		.errors = errors,
		.file = arena_strdup(a, path),
	};
	const struct config_node *root;

	l.directory = directory_of(a, l.file);
	*ret = (struct config_credentials){0};
	root = config_tree_file(&l);
	if (root != NULL)
		read_credentials(&l, root, ret);
	arena_free(l.scratch);
	return root != NULL && l.mistakes == 0;
}

void config_free(struct config *c)
{
	if (c != NULL)
		arena_free(c->arena);
}
