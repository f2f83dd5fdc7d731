/*
 * opendkim.conf: the settings about the daemon itself, and what follows from
 * those that are not there.  See import_dkim.c.
 */
#include "cmd/import.h"

#include <string.h>

/* ---- the socket ---- */

/* "port@host", the host an address, perhaps in brackets; or "port". */
static const char *inet_of(struct import *im, struct slice s, bool six)
{
	struct slice port = slice_cut(&s, '@');
	char buf[IP_TEXT_MAX];
	const char *text = six ? "::" : "0.0.0.0";
	struct ip ip;
	uint64_t n;

	if (!slice_u64(port, 65535, &n) || n == 0)
		return NULL;
	if (s.p != NULL && s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = (struct slice){s.p + 1, s.n - 2};
	if (s.p != NULL && slice_is_ci(s, "localhost"))
		text = six ? "::1" : "127.0.0.1";
	else if (s.p != NULL && ip_parse(s, &ip))
		text = ip_format(&ip, buf);
	else if (s.p != NULL)
		return NULL;
	return arena_printf(im->arena, "%s:%.*s@%s", six ? "inet6" : "inet",
			    (int)port.n, port.p, text);
}

/* As libmilter has it: without a kind it is a path. */
static const char *socket_of(struct import *im, const char *text)
{
	struct slice rest = slice_of(text);
	struct slice kind = slice_cut(&rest, ':');

	if (text[0] == '/')
		return arena_printf(im->arena, "unix:%s", text);
	if (rest.p == NULL)
		return NULL;
	if (slice_is_ci(kind, "inet"))
		return inet_of(im, rest, false);
	if (slice_is_ci(kind, "inet6"))
		return inet_of(im, rest, true);
	if ((slice_is_ci(kind, "local") || slice_is_ci(kind, "unix")) &&
	    rest.n > 1 && rest.p[0] == '/')
		return arena_printf(im->arena, "unix:%.*s", (int)rest.n,
				    rest.p);
	return NULL;
}

void import_socket(struct import *im, const struct import_line *l)
{
	const char *v = socket_of(im, l->value);

	if (v == NULL) {
		import_tell(im, l, IMPORT_ABSENT,
			    "a socket is unix:/path or inet:port@address here; "
			    "socket stays as by default");
		return;
	}
	import_set(im, l, "socket", import_quote(im, v));
	import_tell(im, l, IMPORT_TAKEN, "socket = \"%s\"%s",
		    import_shown(im, v),
		    slice_starts(slice_of(v), "unix:")
			    ? "; its folder must be there and belong to user "
			      "mailseal"
			    : "");
}

void import_umask(struct import *im, const struct import_line *l)
{
	unsigned mode = 0666 & ~(unsigned)l->number;

	if (l->number < 0 || l->number > 0777) {
		import_refuse(im, l->at,
			      "UMask: \"%s\" is no mask; give octal digits "
			      "after a 0, like 007",
			      import_shown(im, l->value));
		return;
	}
	import_set(im, l, "socket_mode",
		   arena_printf(im->arena, "\"%04o\"", mode));
	import_tell(im, l, IMPORT_TAKEN, "socket_mode = \"%04o\"", mode);
}

void import_user(struct import *im, const struct import_line *l)
{
	const char *group = strchr(l->value, ':');

	if (group != NULL && group[1] != '\0') {
		import_set(im, l, "socket_group", import_quote(im, group + 1));
		import_tell(im, l, IMPORT_TAKEN,
			    "socket_group = \"%s\"; the user stays mailseal, "
			    "and keys must belong to it or to root",
			    import_shown(im, group + 1));
	} else {
		import_tell(im, l, IMPORT_UNNEEDED,
			    "the user is mailseal; keys must belong to it or "
			    "to root, and the user of the MTA to its group");
	}
}

/* ---- the rest ---- */

void import_base(struct import *im, const struct import_line *l)
{
	if (l->value[0] != '/')
		import_refuse(im, l->at,
			      "BaseDirectory \"%s\" depends on where %s is "
			      "started; give an absolute path",
			      import_shown(im, l->value), im->source->program);
	else
		import_tell(im, l, IMPORT_TAKEN, "relative paths are below it");
}

void import_syslog(struct import *im, const struct import_line *l)
{
	if (l->number == 0) {
		import_tell(im, l, IMPORT_ABSENT,
			    "each message is logged; log.level = \"warn\" "
			    "leaves only warnings");
		return;
	}
	import_set(im, l, "log.target", "\"syslog\"");
	import_tell(im, l, IMPORT_TAKEN, "log.target = \"syslog\"");
}

void import_facility(struct import *im, const struct import_line *l)
{
	if (slice_is_ci(slice_of(l->value), "mail"))
		import_tell(im, l, IMPORT_UNNEEDED, "always mail");
	else
		import_tell(im, l, IMPORT_ABSENT, "the facility is mail");
}

void import_mode(struct import *im, const struct import_line *l)
{
	bool sign = strchr(l->value, 's') != NULL;
	bool verify = strchr(l->value, 'v') != NULL;

	if (strspn(l->value, "sv") != strlen(l->value))
		import_refuse(im, l->at,
			      "Mode: \"%s\" will not do; give s, v "
			      "or sv",
			      import_shown(im, l->value));
	else if (!sign)
		import_tell(im, l, IMPORT_TAKEN,
			    "no keys are taken over, so nothing is signed");
	else if (!verify)
		import_tell(im, l, IMPORT_ABSENT,
			    "what arrives is verified too; a listener with "
			    "direction \"none\" is left alone");
	else
		import_tell(im, l, IMPORT_TAKEN, "it signs and verifies");
}

/* ---- keys ---- */

static void tell_entries(struct import *im, const struct import_line *l)
{
	size_t n = import_domains(im);

	import_tell(im, l, IMPORT_TAKEN,
		    "outbound: %zu signature%s for %zu domain%s", im->nentries,
		    im->nentries == 1 ? "" : "s", n, n == 1 ? "" : "s");
}

/* KeyTable and SigningTable, or Domain with KeyFile and Selector. */
void import_signing_part(struct import *im, const struct import_line *l)
{
	bool rows = import_find(&im->dkim, "SigningTable") != NULL;
	bool keys = import_find(&im->dkim, "KeyTable") != NULL;
	const struct import_line *mode = import_find(&im->dkim, "Mode");
	const char *name = l->option->name;
	bool table = strcmp(name, "KeyTable") == 0 ||
		     strcmp(name, "SigningTable") == 0;

	if (mode != NULL && strchr(mode->value, 's') == NULL)
		import_tell(im, l, IMPORT_UNNEEDED, "Mode %s signs nothing",
			    import_shown(im, mode->value));
	else if (table && !(rows && keys))
		import_tell(im, l, IMPORT_ABSENT,
			    "it needs %s; a script decides nothing here",
			    keys ? "SigningTable" : "KeyTable");
	else if (!table && keys)
		import_tell(im, l, IMPORT_UNNEEDED, "KeyTable counts");
	else if (strcmp(name, "SigningTable") == 0 ||
		 strcmp(name, "Domain") == 0)
		tell_entries(im, l);
	else
		import_tell(im, l, IMPORT_TAKEN, "outbound");
}

void import_subdomains(struct import *im, const struct import_line *l)
{
	if (l->number == 0)
		import_tell(im, l, IMPORT_UNNEEDED, "off, and so it is here");
	else if (import_find(&im->dkim, "KeyTable") != NULL)
		import_tell(im, l, IMPORT_UNNEEDED,
			    "it is about Domain, and KeyTable counts");
	else
		import_tell(im, l, IMPORT_TAKEN,
			    "\"*.domain\" in outbound too");
}

void import_multiple(struct import *im, const struct import_line *l)
{
	if (l->number == 0)
		import_tell(im, l, IMPORT_UNNEEDED,
			    "each domain has the key that opendkim takes");
	else
		import_tell(im, l, IMPORT_TAKEN,
			    "each domain has all keys that match; of three or "
			    "more opendkim 2.11 uses the first and the last");
}

/* ---- what is not set ---- */

static void tell_default(struct import *im, const char *text)
{
	if (im->dkim.n > 0)
		strbuf_printf(&im->summary, "%s: %s\n",
			      import_shown(im, im->dkim.v[0].at.file), text);
}

static void fill_signing(struct import *im)
{
	if (import_find(&im->dkim, "InternalHosts") == NULL) {
		import_set(im, NULL, "networks.sign",
			   "[ \"127.0.0.1\", \"::1\" ]");
		tell_default(im, "InternalHosts is not set: networks.sign has "
				 "this host, as there");
	}
	tell_default(im, "mail of this host that has a Received field already "
			 "is not signed here; outbound.sign_reinjected = true "
			 "signs it, forged authors too");
	if (import_find(&im->dkim, "SignatureTTL") == NULL)
		tell_default(im, "SignatureTTL is not set: signatures expire "
				 "after 14 days here; "
				 "outbound.signature_lifetime = 0 lets them "
				 "last");
}

void import_dkim(struct import *im)
{
	im->source = &im->dkim;
	import_keys(im);
	import_take_over(im, &im->dkim);
	if (im->mistake.text != NULL)
		return;
	if (im->nentries > 0)
		fill_signing(im);
	if (import_find(&im->dkim, "Nameservers") == NULL &&
	    import_find(&im->dkim, "TrustAnchorFile") == NULL)
		tell_default(im, "Nameservers is not set: the servers of "
				 "/etc/resolv.conf are asked; "
				 "resolver.recursion = true asks from the root "
				 "down, as opendkim does");
}
