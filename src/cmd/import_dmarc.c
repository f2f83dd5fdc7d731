/*
 * opendmarc.conf: the settings that are taken over.  See import_dkim.c.
 */
#include "cmd/import.h"

#include <string.h>

#include "mail/domain.h"

/* Lists are "a, b" here, never data sets. */
static struct slice next_of(struct slice *rest)
{
	return slice_trim(slice_cut(rest, ','));
}

/* ---- names in Authentication-Results ---- */

/* The name that is written anyway. */
static bool is_own(const struct import *im, struct slice name)
{
	const struct import_line *l = import_find(&im->dkim, "AuthservID");

	if (l == NULL)
		l = import_find(&im->dmarc, "AuthservID");
	return slice_is(name, "HOSTNAME") ||
	       (l != NULL && slice_is_ci(name, l->value));
}

void import_dmarc_id(struct import *im, const struct import_line *l)
{
	const struct import_line *other = import_find(&im->dkim, "AuthservID");

	if (other == NULL) {
		import_authserv_id(im, l);
	} else if (is_own(im, slice_of(l->value))) {
		import_tell(im, l, IMPORT_TAKEN, "as %s:%u",
			    import_shown(im, other->at.file), other->at.line);
	} else if (import_alias(im, l->at, slice_of(l->value))) {
		import_set(im, l, "authserv_aliases", NULL);
		import_tell(im, l, IMPORT_TAKEN,
			    "authserv_aliases; the name of %s:%u is written",
			    import_shown(im, other->at.file), other->at.line);
	} else {
		import_tell(im, l, IMPORT_ABSENT,
			    "the name of %s:%u is written",
			    import_shown(im, other->at.file), other->at.line);
	}
}

void import_trusted_ids(struct import *im, const struct import_line *l)
{
	struct slice rest = slice_of(l->value);
	size_t n = 0;

	while (rest.n > 0) {
		struct slice s = next_of(&rest);

		if (s.n > 0 && !is_own(im, s))
			n += import_alias(im, l->at, s);
	}
	if (n > 0)
		import_set(im, l, "authserv_aliases", NULL);
	import_tell(im, l, IMPORT_TAKEN,
		    "authserv_aliases gets %zu name%s: no field is read here, "
		    "and those with it are removed unless the client is in "
		    "networks.trusted",
		    n, n == 1 ? "" : "s");
}

/* ---- what becomes of a message ---- */

void import_reject(struct import *im, const struct import_line *l)
{
	if (l->number == 0) {
		import_tell(im, l, IMPORT_UNNEEDED,
			    "nothing is rejected by default");
		return;
	}
	import_set(im, l, "dmarc.disposition", "\"honor\"");
	import_tell(im, l, IMPORT_TAKEN,
		    "dmarc.disposition = \"honor\", as was chosen there: "
		    "p=reject is rejected, p=quarantine quarantined, and what "
		    "the DNS leaves open is delivered");
}

void import_hold(struct import *im, const struct import_line *l)
{
	if (l->number == 0) {
		import_tell(im, l, IMPORT_UNNEEDED,
			    "nothing is held by default");
		return;
	}
	import_set(im, l, "dmarc.quarantine", "\"hold\"");
	if (import_is_true(&im->dmarc, "RejectFailures")) {
		import_tell(im, l, IMPORT_TAKEN, "dmarc.quarantine = \"hold\"");
		return;
	}
	import_set(im, l, "dmarc.disposition", "\"quarantine\"");
	import_tell(im, l, IMPORT_TAKEN,
		    "dmarc.disposition = \"quarantine\", dmarc.quarantine = "
		    "\"hold\"; mail that p=reject is for is held too");
}

/* ---- trust ---- */

static bool read_hosts(struct import *im, const struct import_line *l,
		       struct import_dataset *ret)
{
	struct import_line file = *l;
	const char *why,
		*path = import_path(im, l->at, l->option->name, l->value);

	if (path == NULL)
		return false;
	file.value = path; /* absolute: a flat file */
	if (import_dataset(im, &file, ret, &why))
		return true;
	if (why != NULL)
		import_tell(im, l, IMPORT_ABSENT, "%s", why);
	return false;
}

void import_ignore_hosts(struct import *im, const struct import_line *l)
{
	struct import_dataset d;
	struct ip_nets nets, all;

	if (!read_hosts(im, l, &d))
		return;
	nets = import_nets(im, &d);
	all.n = im->internal.n + nets.n;
	all.v = arena_array(im->arena, all.n, sizeof(*all.v));
	if (im->internal.n > 0)
		memcpy(all.v, im->internal.v, im->internal.n * sizeof(*all.v));
	if (nets.n > 0)
		memcpy(all.v + im->internal.n, nets.v, nets.n * sizeof(*all.v));
	im->internal = all;
	if (all.n > 0)
		import_set(im, l, "networks.internal", NULL);
	import_tell(im, l, IMPORT_TAKEN,
		    "networks.internal: %zu network%s: SPF is not checked and "
		    "nothing is refused, but results are added",
		    nets.n, nets.n == 1 ? "" : "s");
}

void import_ignore_logins(struct import *im, const struct import_line *l)
{
	if (l->number != 0)
		import_tell(im, l, IMPORT_UNNEEDED,
			    "mail with a login is outgoing");
	else
		import_tell(im, l, IMPORT_ABSENT,
			    "mail with a login is outgoing and not judged; see "
			    "preflight.dmarc");
}

static size_t add_sealer(struct strbuf *b, struct import *im, struct slice s)
{
	const char *v = domain_canon(im->arena, s);

	if (v == NULL || v[0] == '\0')
		return 0;
	strbuf_printf(b, "%s%s", b->n > 0 ? ", " : "", import_quote(im, v));
	return 1;
}

/* The domains of a list or of a file, as a list of strings. */
static const char *sealers_of(struct import *im, const struct import_line *l,
			      size_t *n)
{
	struct slice rest = slice_of(l->value);
	struct import_dataset d = {0};
	struct strbuf b;

	*n = 0;
	strbuf_init(&b, im->arena, IMPORT_DATASET_MAX);
	if (strcmp(l->option->name, "DomainWhitelistFile") == 0) {
		if (!read_hosts(im, l, &d))
			return NULL;
		for (size_t i = 0; i < d.n; i++)
			*n += add_sealer(&b, im, slice_of(d.v[i].key));
	} else {
		while (rest.n > 0)
			*n += add_sealer(&b, im, next_of(&rest));
	}
	return strbuf_cstr(&b);
}

void import_arc_domains(struct import *im, const struct import_line *l)
{
	bool file = strcmp(l->option->name, "DomainWhitelistFile") == 0;
	size_t n;
	const char *list = sealers_of(im, l, &n);

	if (list == NULL)
		return;
	if (n == 0) {
		import_tell(im, l, IMPORT_UNNEEDED, "it names no domain");
		return;
	}
	strbuf_printf(&im->rules,
		      "%s\t# %s:%u %s\n"
		      "\t{ name = \"opendmarc-arc%s\"; dmarc = [ \"fail\" ];\n"
		      "\t  arc_sealer = [ %s ];\n"
		      "\t  action = \"accept\"; override = "
		      "\"trusted_forwarder\"; mode = \"enforce\"; }",
		      im->rules.n > 0 ? ",\n" : "",
		      import_shown(im, l->at.file), l->at.line, l->option->name,
		      file ? "-file" : "", list);
	import_tell(im, l, IMPORT_TAKEN,
		    "a rule: arc_sealer, %zu domain%s, accepts what fails "
		    "DMARC",
		    n, n == 1 ? "" : "s");
}

/* ---- the rest ---- */

void import_dmarc_dns_timeout(struct import *im, const struct import_line *l)
{
	const struct import_line *other = import_find(&im->dkim, "DNSTimeout");

	if (other == NULL)
		import_dns_timeout(im, l);
	else
		import_tell(im, l, IMPORT_UNNEEDED, "that of %s:%u counts",
			    import_shown(im, other->at.file), other->at.line);
}

void import_suffixes(struct import *im, const struct import_line *l)
{
	const char *path = import_path(im, l->at, l->option->name, l->value);

	if (path == NULL)
		return;
	import_set(im, l, "dmarc.public_suffix_file", import_quote(im, path));
	import_tell(im, l, IMPORT_TAKEN,
		    "dmarc.public_suffix_file; policies are found by the tree "
		    "walk (RFC 9989), with dmarc.discovery = \"psl\" by the "
		    "list");
}

void import_spf_self(struct import *im, const struct import_line *l)
{
	if (l->number != 0)
		import_tell(im, l, IMPORT_UNNEEDED,
			    "SPF is always checked here");
	else
		import_tell(im, l, IMPORT_ABSENT,
			    "SPF is always checked here; remove the filter "
			    "that did it");
}

void import_dmarc(struct import *im)
{
	import_take_over(im, &im->dmarc);
}
