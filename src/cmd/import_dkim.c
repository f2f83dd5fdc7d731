/*
 * opendkim.conf: the settings that are taken over, but for those about keys
 * (import_keys.c).  Each function gets the line that counts and tells what
 * became of it, in one line of the summary.
 */
#include "cmd/import.h"

#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"

/* ---- settings of ours ---- */

static struct import_setting *setting_of(struct import *im, const char *group,
					 const char *name)
{
	struct import_setting *s = im->settings;

	for (; s < im->settings + im->nsettings; s++)
		if (strcmp(s->group, group) == 0 && strcmp(s->name, name) == 0)
			return s;
	if (im->nsettings == IMPORT_SETTINGS_MAX)
		abort(); /* the tables have fewer options */
	im->nsettings++;
	s->group = group;
	s->name = name;
	return s;
}

void import_set(struct import *im, const struct import_line *l,
		const char *option, const char *value)
{
	const char *dot = strchr(option, '.');
	struct import_setting *s;

	s = dot == NULL ? setting_of(im, "", option)
			: setting_of(im,
				     arena_memdup(im->arena, option,
						  (size_t)(dot - option)),
				     dot + 1);
	s->value = value;
	if (l != NULL && s->nfrom < sizeof(s->from) / sizeof(*s->from) &&
	    (s->nfrom == 0 || s->from[s->nfrom - 1] != l))
		s->from[s->nfrom++] = l;
}

static void take(struct import *im, const struct import_line *l,
		 const char *option, const char *value)
{
	import_set(im, l, option, value);
	import_tell(im, l, IMPORT_TAKEN, "%s = %s", option, value);
}

/* A number, brought between the limits that ours has. */
static void take_number(struct import *im, const struct import_line *l,
			const char *option, long long n, long long min,
			long long max)
{
	long long v = n < min ? min : n > max ? max : n;

	import_set(im, l, option, arena_printf(im->arena, "%lld", v));
	if (v == n)
		import_tell(im, l, IMPORT_TAKEN, "%s = %lld", option, v);
	else
		import_tell(im, l, IMPORT_TAKEN,
			    "%s = %lld, the nearest of %lld to %lld", option, v,
			    min, max);
}

/* ---- names in Authentication-Results ---- */

bool import_alias(struct import *im, struct import_place at, struct slice name)
{
	const char *v = domain_canon(im->arena, name);

	if (v == NULL || v[0] == '\0')
		return false;
	for (size_t i = 0; i < im->aliases.n; i++)
		if (strcmp(im->aliases.v[i], v) == 0)
			return true;
	if (im->aliases.v == NULL)
		im->aliases.v = arena_array(im->arena, IMPORT_NAMES_MAX,
					    sizeof(*im->aliases.v));
	if (im->aliases.n == IMPORT_NAMES_MAX)
		import_refuse(im, at, "more than %d names; give fewer",
			      IMPORT_NAMES_MAX);
	else
		im->aliases.v[im->aliases.n++] = v;
	return true;
}

void import_authserv_id(struct import *im, const struct import_line *l)
{
	const char *v = domain_canon(im->arena, slice_of(l->value));

	if (strcmp(l->value, "HOSTNAME") == 0)
		import_tell(im, l, IMPORT_TAKEN,
			    "the name of the host, as by default");
	else if (v == NULL || v[0] == '\0')
		import_tell(im, l, IMPORT_ABSENT,
			    "no domain name; authserv_id stays the name of the "
			    "host");
	else
		take(im, l, "authserv_id", import_quote(im, v));
}

void import_remove_ar(struct import *im, const struct import_line *l)
{
	struct import_dataset d;
	const char *why;
	size_t n = 0;

	if (!import_dataset(im, l, &d, &why)) {
		if (why != NULL)
			import_tell(im, l, IMPORT_ABSENT, "%s", why);
		return;
	}
	for (size_t i = 0; i < d.n; i++) {
		if (strcmp(d.v[i].key, "HOSTNAME") == 0 ||
		    import_alias(im, d.v[i].at, slice_of(d.v[i].key)))
			n++;
		else
			import_tell_row(im, d.v[i].at,
					"\"%s\" is no name; give each name to "
					"authserv_aliases",
					import_shown(im, d.v[i].key));
	}
	if (im->aliases.n > 0)
		import_set(im, l, "authserv_aliases", NULL);
	import_tell(im, l, IMPORT_TAKEN,
		    "authserv_aliases gets %zu name%s; all fields with it are "
		    "removed",
		    n, n == 1 ? "" : "s");
}

/* ---- verifying ---- */

void import_clock_drift(struct import *im, const struct import_line *l)
{
	take_number(im, l, "dkim.clock_skew", l->number, 0, 86400);
}

void import_min_bits(struct import *im, const struct import_line *l)
{
	take_number(im, l, "dkim.min_rsa_bits", l->number, 1024, 4096);
}

void import_max_signatures(struct import *im, const struct import_line *l)
{
	take_number(im, l, "dkim.max_signatures", l->number, 1, 50);
}

/* There 0 is no limit.  limits.field_size must not be above ours. */
void import_max_header(struct import *im, const struct import_line *l)
{
	take_number(im, l, "limits.header_size",
		    l->number == 0 ? 4194304 : l->number, 65536, 4194304);
}

void import_dns_timeout(struct import *im, const struct import_line *l)
{
	if (l->number == 0)
		import_tell(im, l, IMPORT_ABSENT,
			    "nobody waits for ever; resolver.query_timeout "
			    "stays 6000 milliseconds");
	else
		take_number(im, l, "resolver.query_timeout", l->number * 1000LL,
			    100, 20000);
}

static const char *servers_of(struct import *im, const struct import_line *l)
{
	struct slice rest = slice_of(l->value);
	struct strbuf b;
	struct ip ip;

	strbuf_init(&b, im->arena, IMPORT_CONFIG_MAX);
	while (rest.n > 0) {
		struct slice s = slice_trim(slice_cut(&rest, ','));

		if (s.n == 0)
			continue;
		if (!ip_parse(s, &ip)) {
			import_refuse(
				im, l->at,
				"Nameservers: \"%s\" is no address; give "
				"addresses with commas between",
				import_shown(im, slice_cstr(im->arena, s)));
			return NULL;
		}
		strbuf_printf(&b, "%s\"%.*s\"", b.n > 0 ? ", " : "[ ", (int)s.n,
			      s.p);
	}
	strbuf_adds(&b, b.n > 0 ? " ]" : "[ ]");
	return strbuf_cstr(&b);
}

void import_nameservers(struct import *im, const struct import_line *l)
{
	const char *v = servers_of(im, l);

	if (v != NULL)
		take(im, l, "resolver.servers", v);
}

/* Without servers opendkim begins at the root, as validating needs. */
void import_trust_anchor(struct import *im, const struct import_line *l)
{
	const char *path = import_path(im, l->at, l->option->name, l->value);
	bool root = import_find(&im->dkim, "Nameservers") == NULL;

	if (path == NULL)
		return;
	import_set(im, l, "resolver.dnssec", "true");
	import_set(im, l, "resolver.trust_anchor", import_quote(im, path));
	if (root)
		import_set(im, l, "resolver.recursion", "true");
	import_tell(im, l, IMPORT_TAKEN,
		    "resolver.dnssec = true%s; a bogus answer is a temporary "
		    "error",
		    root ? ", resolver.recursion = true: from the root down, "
			   "as opendkim does"
			 : "");
}

/* ---- what becomes of a message ---- */

static const char *action_of(const struct import_line *l)
{
	static const char *const words[] = {"accept", "discard", "quarantine",
					    "reject", "tempfail"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (slice_is_ci(slice_of(l->value), words[i]) ||
		    (ascii_lower(l->value[0]) == words[i][0] &&
		     l->value[1] == '\0'))
			return words[i];
	return NULL;
}

static void refuse_action(struct import *im, const struct import_line *l)
{
	import_refuse(im, l->at,
		      "%s: \"%s\" is no action; give accept, discard, "
		      "quarantine, reject or tempfail",
		      l->option->name, import_shown(im, l->value));
}

/* On-Default counts where On-InternalError says nothing. */
void import_on_internal(struct import *im, const struct import_line *l)
{
	const char *action = action_of(l);

	if (action == NULL)
		refuse_action(im, l);
	else if (strcmp(l->option->name, "On-Default") == 0 &&
		 import_find(&im->dkim, "On-InternalError") != NULL)
		import_tell(im, l, IMPORT_ABSENT,
			    "On-InternalError counts, and each of the others "
			    "for itself");
	else if (strcmp(action, "accept") == 0 ||
		 strcmp(action, "tempfail") == 0)
		take(im, l, "on_internal_error", import_quote(im, action));
	else
		import_tell(im, l, IMPORT_ABSENT,
			    "no message is lost for a fault of ours; "
			    "on_internal_error stays accept");
}

void import_on_error(struct import *im, const struct import_line *l)
{
	const char *action = action_of(l);

	if (action == NULL)
		refuse_action(im, l);
	else if (strcmp(action, "accept") == 0 ||
		 strcmp(action, "tempfail") == 0)
		take(im, l, "on_signing_error", import_quote(im, action));
	else
		import_tell(im, l, IMPORT_ABSENT,
			    "on_signing_error stays tempfail: the sender tries "
			    "again");
}

/* What a rule calls the result. */
static const char *result_of(const struct import_line *l)
{
	static const char *const names[][2] = {
		{"On-BadSignature", "fail"},
		{"On-DNSError", "temperror"},
		{"On-KeyNotFound", "permerror"},
		{"On-NoSignature", "none"},
	};
	size_t i = 0;

	while (strcmp(names[i][0], l->option->name) != 0)
		i++;
	return names[i][1];
}

void import_on_result(struct import *im, const struct import_line *l)
{
	const char *action = action_of(l), *result = result_of(l);

	if (action == NULL) {
		refuse_action(im, l);
	} else if (strcmp(action, "accept") == 0) {
		import_tell(im, l, IMPORT_UNNEEDED,
			    "a signature alone decides nothing");
	} else {
		strbuf_printf(&im->rules,
			      "%s\t# %s:%u %s\n"
			      "\t{ name = \"opendkim-%s\"; dkim = [ \"%s\" ];\n"
			      "\t  action = \"%s\"; mode = \"enforce\"; }",
			      im->rules.n > 0 ? ",\n" : "",
			      import_shown(im, l->at.file), l->at.line,
			      l->option->name, result, result, action);
		import_tell(im, l, IMPORT_TAKEN,
			    "a rule: dkim = [ \"%s\" ], action = \"%s\"; RFC "
			    "6376 6.3 advises against it",
			    result, action);
	}
}

/* ---- whom to sign for ---- */

/* Of a macro {daemon_name}: mail of these listeners is signed. */
static bool add_listener(struct import *im, const struct import_line *l,
			 struct slice name)
{
	const char *group = arena_printf(
		im->arena, "{ name = %s; direction = \"outbound\"; }",
		import_quote(im, slice_cstr(im->arena, name)));

	if (name.n == 0)
		return false;
	import_set(im, l, "listeners", NULL);
	if (im->listeners.n > 0 && memmem(im->listeners.p, im->listeners.n,
					  group, strlen(group)) != NULL)
		return true;
	if (im->nlisteners++ == IMPORT_NAMES_MAX)
		import_refuse(im, l->at, "%s: more than %d names; give fewer",
			      l->option->name, IMPORT_NAMES_MAX);
	strbuf_printf(&im->listeners, "%s\t%s",
		      im->listeners.n > 0 ? ",\n" : "", group);
	return true;
}

void import_mta(struct import *im, const struct import_line *l)
{
	struct import_dataset d;
	const char *why;

	if (!import_dataset(im, l, &d, &why)) {
		if (why != NULL)
			import_tell(im, l, IMPORT_ABSENT, "%s", why);
		return;
	}
	for (size_t i = 0; i < d.n && im->mistake.text == NULL; i++)
		add_listener(im, l, slice_of(d.v[i].key));
	import_tell(im, l, IMPORT_TAKEN,
		    "listeners: mail of %zu of them is outgoing", d.n);
}

/* "daemon_name", "a|b" */
static size_t add_macro(struct import *im, const struct import_line *l,
			const struct import_item *i)
{
	struct slice rest = slice_of(i->value);
	size_t n = 0;

	if (strcmp(i->key, "daemon_name") == 0 && rest.n > 0) {
		while (rest.n > 0 && im->mistake.text == NULL)
			n += add_listener(im, l, slice_cut(&rest, '|'));
	} else if (strcmp(i->key, "auth_type") != 0 &&
		   strcmp(i->key, "auth_authen") != 0) {
		import_tell_row(im, i->at,
				"the macro \"%s\" does not decide what is "
				"signed; see \"listeners\"",
				import_shown(im, i->key));
	}
	return n;
}

void import_macro_list(struct import *im, const struct import_line *l)
{
	struct import_dataset d;
	const char *why;
	size_t n = 0;

	if (!import_dataset(im, l, &d, &why)) {
		if (why != NULL)
			import_tell(im, l, IMPORT_ABSENT, "%s", why);
		return;
	}
	for (size_t i = 0; i < d.n && im->mistake.text == NULL; i++)
		n += add_macro(im, l, &d.v[i]);
	import_tell(im, l, IMPORT_TAKEN,
		    "listeners: mail of %zu of them is outgoing; so is mail "
		    "with a login",
		    n);
}

static void take_hosts(struct import *im, const struct import_line *l,
		       struct ip_nets *ret, const char *option,
		       const char *note)
{
	struct import_dataset d;
	const char *why;

	if (!import_dataset(im, l, &d, &why)) {
		if (why != NULL)
			import_tell(im, l, IMPORT_ABSENT, "%s", why);
		return;
	}
	*ret = import_nets(im, &d);
	import_tell(im, l, IMPORT_TAKEN, "%s: %zu network%s%s", option, ret->n,
		    ret->n == 1 ? "" : "s", note);
}

void import_internal_hosts(struct import *im, const struct import_line *l)
{
	struct ip_nets nets = {0};

	take_hosts(im, l, &nets, "networks.sign", "");
	import_set(im, l, "networks.sign", import_nets_text(im, &nets));
}

void import_peer_list(struct import *im, const struct import_line *l)
{
	take_hosts(im, l, &im->internal, "networks.internal",
		   ": SPF is not checked and nothing is refused, but results "
		   "are added");
	if (im->internal.n > 0)
		import_set(im, l, "networks.internal", NULL);
}

void import_sender_headers(struct import *im, const struct import_line *l)
{
	if (slice_is_ci(slice_of(l->value), "From"))
		import_tell(im, l, IMPORT_UNNEEDED, "From alone counts");
	else
		import_tell(im, l, IMPORT_ABSENT,
			    "From alone counts, as it does for DMARC");
}

void import_sign_headers(struct import *im, const struct import_line *l)
{
	import_tell(im, l, IMPORT_ABSENT,
		    "the usual fields are signed; \"headers\" of a key in "
		    "outbound.domains names others");
}

void import_signature_ttl(struct import *im, const struct import_line *l)
{
	take_number(im, l, "outbound.signature_lifetime", l->number, 0,
		    31536000);
}

void import_safe_keys(struct import *im, const struct import_line *l)
{
	if (l->number != 0)
		import_tell(im, l, IMPORT_UNNEEDED,
			    "keys that others can read are always refused");
	else
		import_tell(im, l, IMPORT_ABSENT,
			    "keys that others can read are always refused");
}
