/*
 * The members of the groups that stand in lists, in the manner of the option
 * table (options.c), and the one reader for all of them.
 */
#include "config/loader.h"
#include "base/progress.h"

#include <string.h>

#define COUNT(v) (sizeof(v) / sizeof((v)[0]))

const char *const config_tls_words[] = {
	"none", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", NULL};

/* In the order of the bits of enum login_class. */
static const char *const class_words[] = {"password",	 "token", "kerberos",
					  "certificate", "bound", NULL};

/* In the order of the enums of eval/rules.h. */
static const char *const action_words[] = {"accept",	 "none",     "tag",
					   "quarantine", "tempfail", "reject",
					   "discard",	 NULL};
static const char *const mode_words[] = {"monitor", "enforce", NULL};
static const char *const direction_words[] = {"inbound", "outbound", NULL};
static const char *const override_words[] = {
	"local_policy", "trusted_forwarder", "mailing_list", "other", NULL};
static const char *const skip_words[] = {"dmarc", "awareness", "tls", NULL};
/* In the order of the methods' enums; the last is RULE_RESULT_ABSENT. */
static const char *const spf_words[] = {"none",	     "neutral",	  "pass",
					"fail",	     "softfail",  "temperror",
					"permerror", "unchecked", NULL};
static const char *const dkim_words[] = {"pass",    "fail",	 "policy",
					 "neutral", "temperror", "permerror",
					 "",	    "none",	 NULL};
static const char *const arc_words[] = {"none", "pass", "fail", NULL};
static const char *const dmarc_words[] = {"none",      "pass",	    "fail",
					  "temperror", "permerror", NULL};
static const char *const iprev_words[] = {"pass",      "fail",	    "temperror",
					  "permerror", "",	    "",
					  "",	       "unchecked", NULL};

/* clang-format off */
#define AT(member) offsetof(struct login_demand, member)
static const struct config_option demand[] = {
	{"address", OPTION_ADDRESS, AT(address), "", 0, 0, NULL, ""},
	{"domain", OPTION_DOMAIN, AT(domain), "", 1, 0, NULL, ""},
	{"group", OPTION_NAME, AT(group), "", 0, 0, NULL, ""},
	{"classes", OPTION_WORDS, AT(classes), NULL, 0, 0, class_words, ""},
};
#undef AT
#define AT(member) offsetof(struct login_certificate, member)
static const struct config_option certificate[] = {
	{"subject", OPTION_NAME, AT(subject), NULL, 0, 0, NULL, ""},
	{"issuer", OPTION_NAME, AT(issuer), NULL, 0, 0, NULL, ""},
	{"login", OPTION_NAME, AT(login), "", 0, 0, NULL, ""},
};
#undef AT
#define AT(member) offsetof(struct transport_peer, member)
static const struct config_option peer[] = {
	{"domain", OPTION_DOMAIN, AT(domain), "", 1, 0, NULL, ""},
	{"networks", OPTION_NETS, AT(networks), "", 0, 0, NULL, ""},
	{"version", OPTION_WORD, AT(version), "", 0, 0, config_tls_words, ""},
	{"bits", OPTION_INTEGER, AT(bits), "", 0, 512, NULL, ""},
	{"certificate", OPTION_BOOLEAN, AT(certificate), "", 0, 0, NULL, ""},
	{"subject", OPTION_NAME, AT(subject), "", 0, 0, NULL, ""},
	{"issuer", OPTION_NAME, AT(issuer), "", 0, 0, NULL, ""},
};
#undef AT
#define AT(member) offsetof(struct preflight_bulk, member)
static const struct config_option bulk[] = {
	{"header", OPTION_NAME, AT(header), "", 0, 0, NULL, ""},
	{"login", OPTION_NAME, AT(login), "", 0, 0, NULL, ""},
	{"domain", OPTION_DOMAIN, AT(domain), "", 1, 0, NULL, ""},
};
#undef AT
#define AT(member) offsetof(struct credential, member)
#define LIMIT_MAX 1000000000
static const struct config_option credential[] = {
	{"login", OPTION_NAME, AT(login), NULL, 0, 0, NULL, ""},
	{"addresses", OPTION_ADDRESSES, AT(addresses), "", 0, 0, NULL, ""},
	{"networks", OPTION_NETS, AT(networks), "", 0, 0, NULL, ""},
	{"tls_version", OPTION_WORD, AT(tls_version), "", 0, 0,
	 config_tls_words, ""},
	{"recipients", OPTION_INTEGER, AT(recipients), "", 1, LIMIT_MAX, NULL,
	 ""},
	{"messages_per_hour", OPTION_INTEGER, AT(limits.messages_per_hour), "",
	 1, LIMIT_MAX, NULL, ""},
	{"messages_per_day", OPTION_INTEGER, AT(limits.messages_per_day), "",
	 1, LIMIT_MAX, NULL, ""},
	{"recipients_per_hour", OPTION_INTEGER, AT(limits.recipients_per_hour),
	 "", 1, LIMIT_MAX, NULL, ""},
	{"recipients_per_day", OPTION_INTEGER, AT(limits.recipients_per_day),
	 "", 1, LIMIT_MAX, NULL, ""},
	{"expires", OPTION_TIME, AT(expires), "", 0, 0, NULL, ""},
	{"revoked", OPTION_BOOLEAN, AT(revoked), "", 0, 0, NULL, ""},
};
#undef AT
#define AT(member) offsetof(struct rule, member)
static const struct config_option rule[] = {
	{"name", OPTION_WORD_NAME, AT(name), NULL, 0, 0, NULL, ""},
	{"action", OPTION_WORD, AT(action), NULL, 0, 0, action_words, ""},
	{"comment", OPTION_NAME, AT(comment), "", 0, 0, NULL, ""},
	{"mode", OPTION_WORD, AT(mode), "", 0, 0, mode_words, ""},
	{"direction", OPTION_WORD, AT(direction), "", 0, 0, direction_words,
	 ""},
	{"override", OPTION_WORD, AT(override), "", 0, 0, override_words, ""},
	{"skip", OPTION_WORDS, AT(skip), "", 0, 0, skip_words, ""},
	{"percent", OPTION_INTEGER, AT(percent), "", 1, 100, NULL, ""},
	{"text", OPTION_TEXT, AT(text), "", 0, 0, NULL, ""},
	{"client", OPTION_NETS, AT(client), "", 0, 0, NULL, ""},
	{"client_name", OPTION_DOMAIN_PATTERNS, AT(client_name), "", 0, 0,
	 NULL, ""},
	{"helo", OPTION_DOMAIN_PATTERNS, AT(helo), "", 0, 0, NULL, ""},
	{"sender", OPTION_ADDRESS_PATTERNS, AT(sender), "", 0, 0, NULL, ""},
	{"from", OPTION_DOMAIN_PATTERNS, AT(from), "", 0, 0, NULL, ""},
	{"recipient", OPTION_ADDRESS_PATTERNS, AT(recipient), "", 0, 0, NULL,
	 ""},
	{"listener", OPTION_NAMES, AT(listener), "", 0, 0, NULL, ""},
	{"login", OPTION_NAMES, AT(login), "", 0, 0, NULL, ""},
	{"spf", OPTION_WORDS, AT(spf), "", 0, 0, spf_words, ""},
	{"dkim", OPTION_WORDS, AT(dkim), "", 0, 0, dkim_words, ""},
	{"arc", OPTION_WORDS, AT(arc), "", 0, 0, arc_words, ""},
	{"dmarc", OPTION_WORDS, AT(dmarc), "", 0, 0, dmarc_words, ""},
	{"iprev", OPTION_WORDS, AT(iprev), "", 0, 0, iprev_words, ""},
	{"dkim_domain", OPTION_DOMAIN_PATTERNS, AT(dkim_domain), "", 0, 0,
	 NULL, ""},
	{"arc_sealer", OPTION_DOMAIN_PATTERNS, AT(arc_sealer), "", 0, 0, NULL,
	 ""},
	{"header", OPTION_NAMES, AT(header), "", 0, 0, NULL, ""},
	{"size_above", OPTION_INTEGER, AT(size_above), "", 1, 1LL << 40, NULL,
	 ""},
};
static const struct config_option seal[] = {
	{"domain", OPTION_DOMAIN, AT(name), NULL, 1, 0, NULL, ""},
	{"recipient", OPTION_ADDRESS_PATTERNS, AT(recipient), "", 0, 0, NULL,
	 ""},
	{"listener", OPTION_NAMES, AT(listener), "", 0, 0, NULL, ""},
	{"client", OPTION_NETS, AT(client), "", 0, 0, NULL, ""},
};
#undef AT
/* clang-format on */

static const struct config_members seals = {
	sizeof(struct rule), COUNT(seal), seal,
	"a list of groups: ( { domain = \"example.com\"; recipient = [ "
	"\"@lists.example.com\" ]; } )"};
static const struct config_members rules = {
	sizeof(struct rule), COUNT(rule), rule,
	"a list of groups: ( { name = \"...\"; from = [ \"example.com\" ]; "
	"action = \"quarantine\"; mode = \"monitor\"; } )"};
static const struct config_members demands = {
	sizeof(struct login_demand), COUNT(demand), demand,
	"a list of groups: ( { address, domain or group = \"...\"; classes = "
	"[ \"token\", \"certificate\" ]; } )"};
static const struct config_members certificates = {
	sizeof(struct login_certificate), COUNT(certificate), certificate,
	"a list of groups: ( { subject = \"...\"; issuer = \"...\"; login = "
	"\"...\"; } )"};
static const struct config_members peers = {
	sizeof(struct transport_peer), COUNT(peer), peer,
	"a list of groups: ( { domain = \"...\" or networks = [ ]; version = "
	"\"TLSv1.2\"; bits = 128; certificate = true; } )"};
static const struct config_members bulks = {
	sizeof(struct preflight_bulk), COUNT(bulk), bulk,
	"a list of groups: ( { header, login or domain = \"...\"; } )"};
static const struct config_members credentials = {
	sizeof(struct credential), COUNT(credential), credential,
	"a list of groups: ( { login = \"...\"; addresses = [ "
	"\"@example.com\" ]; messages_per_day = 1000; } )"};

const struct config_option config_credentials_option = {
	"credentials", OPTION_CREDENTIALS, 0, "( )", 0, 0, NULL, ""};

const struct config_members *config_members(enum option_type type)
{
	switch ((int)type) {
	case OPTION_DEMANDS:
		return &demands;
	case OPTION_CERTIFICATES:
		return &certificates;
	case OPTION_PEERS:
		return &peers;
	case OPTION_BULK:
		return &bulks;
	case OPTION_CREDENTIALS:
		return &credentials;
	case OPTION_RULES:
		return &rules;
	case OPTION_SEALS:
		return &seals;
	default:
		return NULL;
	}
}

/* ---- reading ---- */

static const struct config_option *find(const struct config_members *m,
					const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i].name, name) == 0)
			return &m->v[i];
	return NULL;
}

/* "None of them" or "no limit"?  Who means the second leaves it out. */
static bool is_doubtful(const struct config_node *s,
			const struct config_option *row)
{
	return s->type == CONFIG_NODE_LISTING && s->n == 0 && row->text != NULL;
}

static void read_member(struct loader *l, const struct config_node *s,
			const struct config_option *o,
			const struct config_members *m, void *ret)
{
	const struct config_option *row = find(m, s->name);

	if (row == NULL)
		config_complain(l, s, "%s: unknown key \"%s\"; give %s",
				o->name, config_shown(l, s->name), m->wants);
	else if (is_doubtful(s, row))
		config_complain(l, s,
				"%s: an empty list; give %s, or leave it "
				"out",
				row->name, config_option_wants(l->arena, row));
	else
		config_read_into(l, s, row, ret);
}

static void read_group(struct loader *l, const struct config_node *g,
		       const struct config_option *o,
		       const struct config_members *m, void *ret)
{
	const char **source = ret;

	*source = config_source_of(l, g);
	if (g->type != CONFIG_NODE_GROUP) {
		config_complain_value(l, g, o);
		return;
	}
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].text == NULL &&
		    config_node_member(g, m->v[i].name) == NULL)
			config_complain(l, g, "%s: \"%s\" is missing; give %s",
					o->name, m->v[i].name, m->wants);
	for (size_t i = 0; i < g->n; i++)
		read_member(l, &g->v[i], o, m, ret);
}

void config_read_groups(struct loader *l, const struct config_node *s,
			const struct config_option *o, void *at)
{
	const struct config_members *m = config_members(o->type);
	struct list {
		size_t n;
		void *v;
	} *list = at;

	if (s->type != CONFIG_NODE_LISTING) {
		config_complain_value(l, s, o);
		return;
	}
	list->n = s->n;
	list->v = arena_array(l->arena, s->n, m->size);
	for (size_t i = 0; i < s->n; i++) {
		progress_step(o->name, i, s->n);
		read_group(l, &s->v[i], o, m, (char *)list->v + i * m->size);
	}
}
