/*
 * The option table: every option that mailseal has, once.
 *
 * Defaults are written as they would stand in a file.  load.c reads them with
 * the code that reads a file, so the texts printed here and the values in
 * force cannot differ.  Pure: no files, no log.
 */
#include "config/options.h"

#include <string.h>

#define AT(member) offsetof(struct config, member)

static const char *const on_error_words[] = {"accept", "tempfail", NULL};
static const char *const target_words[] = {"stderr", "syslog", "journald",
					   NULL};
static const char *const format_words[] = {"text", "json", NULL};
static const char *const personal_words[] = {"keep", "hash", "omit", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error",
					  NULL};

/* In the order of the enums of gate/, config.h, dmarc/dmarc.h and
 * eval/eval.h. */
static const char *const check_words[] = {"monitor", "sign", "reject", NULL};
static const char *const tls_mode_words[] = {"monitor", "reject", NULL};
static const char *const preflight_words[] = {"off", "log", "header", "reject",
					      NULL};
static const char *const realm_words[] = {"keep", "strip", NULL};
static const char *const disposition_words[] = {"monitor", "quarantine",
						"honor", NULL};
static const char *const quarantine_words[] = {"tag", "hold", "both", NULL};
static const char *const discovery_words[] = {"walk", "psl", "compare", NULL};

/* clang-format off */
const struct config_option config_options[] = {
	{"socket", OPTION_SOCKET, AT(socket),
	 "\"unix:/run/mailseal/mailseal.sock\"", 0, 0, NULL,
	 "where the MTA finds us: unix:/path, inet:port@address or fd:N"},
	{"socket_mode", OPTION_MODE, AT(socket_mode), "\"0660\"", 0, 0, NULL,
	 "permissions of a unix socket, octal"},
	{"socket_group", OPTION_STRING, AT(socket_group), "\"\"", 0, 0, NULL,
	 "group of a unix socket; empty: unchanged"},
	{"authserv_id", OPTION_DOMAIN, AT(authserv_id), "\"\"", 0, 0, NULL,
	 "our name in Authentication-Results; empty: the host name"},
	{"authserv_aliases", OPTION_DOMAINS, AT(authserv_aliases), "[ ]", 0, 0,
	 NULL, "names whose incoming Authentication-Results are removed too"},
	{"user", OPTION_STRING, AT(user), "\"mailseal\"", 0, 0, NULL,
	 "user to become when started as root; empty: none"},
	{"sandbox", OPTION_BOOLEAN, AT(sandbox), "true", 0, 0, NULL,
	 "give up system calls and writable folders that we do not need"},
	{"shutdown_timeout", OPTION_INTEGER, AT(shutdown_timeout), "20", 1,
	 300, NULL, "seconds that messages in flight may take after SIGTERM"},
	{"drain_max", OPTION_INTEGER, AT(drain_max), "600", 1, 86400, NULL,
	 "seconds that open sessions may take after a --takeover"},
	{"on_internal_error", OPTION_WORD, AT(on_internal_error),
	 "\"accept\"", 0, 0, on_error_words,
	 "incoming mail that could not be examined: accept or tempfail"},
	{"on_signing_error", OPTION_WORD, AT(on_signing_error),
	 "\"tempfail\"", 0, 0, on_error_words,
	 "outgoing mail that could not be signed: accept or tempfail"},
	{"on_store_error", OPTION_WORD, AT(on_store_error), "\"accept\"", 0, 0,
	 on_error_words,
	 "all mail while state_directory cannot be written: accept or tempfail"},
	{"state_directory", OPTION_PATH, AT(state_directory),
	 "\"/var/lib/mailseal\"", 0, 0, NULL,
	 "folder of what outlives a restart; empty: nothing does"},
	{"secret", OPTION_STRING, AT(secret), "\"\"", 0, 0, NULL,
	 "key of draws and digests, the same on every host"},

	{"control.socket", OPTION_PATH, AT(control.socket),
	 "\"/run/mailseal/control.sock\"", 0, 0, NULL,
	 "where mailseal status and reload find us; empty: nowhere"},
	{"control.read_group", OPTION_STRING, AT(control.read_group), "\"\"",
	 0, 0, NULL, "group that may ask for status and records; empty: none"},
	{"control.admin_group", OPTION_STRING, AT(control.admin_group),
	 "\"\"", 0, 0, NULL,
	 "group that may reload; empty: root and user alone"},

	{"log.target", OPTION_WORD, AT(log.target), "\"syslog\"", 0, 0,
	 target_words, "stderr, syslog with facility mail, or journald"},
	{"log.level", OPTION_WORD, AT(log.level), "\"info\"", 0, 0,
	 level_words, "the least that is logged: debug, info, warn or error"},
	{"log.format", OPTION_WORD, AT(log.format), "\"text\"", 0, 0,
	 format_words, "text, or json: an object on each line"},
	{"log.personal", OPTION_WORD, AT(log.personal), "\"keep\"", 0, 0,
	 personal_words, "logins and local-parts: keep, hash or omit them"},

	{"metrics.listen", OPTION_ENDPOINT, AT(metrics.listen), "\"\"", 0, 0,
	 NULL, "HTTP for Prometheus: unix:/path or 127.0.0.1:port; empty: none"},

	{"resolver.servers", OPTION_SERVERS, AT(resolver.servers), "[ ]", 0, 0,
	 NULL, "DNS servers, addr or addr@port; none: /etc/resolv.conf"},
	{"resolver.recursion", OPTION_BOOLEAN, AT(resolver.recursion), "false",
	 0, 0, NULL, "ask the authoritative servers, from the root down"},
	{"resolver.dnssec", OPTION_BOOLEAN, AT(resolver.dnssec), "false", 0, 0,
	 NULL, "validate answers; what is bogus is a temporary failure"},
	{"resolver.trust_anchor", OPTION_PATH, AT(resolver.trust_anchor),
	 "\"/usr/share/dns/root.key\"", 0, 0, NULL,
	 "DS or DNSKEY records that dnssec trusts"},
	{"resolver.zone_file", OPTION_PATH, AT(resolver.zone_file), "\"\"", 0,
	 0, NULL, "answer from this file instead of the DNS, for tests"},
	/* Below the 30 s of Postfix's milter_command_timeout (MB-5). */
	{"resolver.message_timeout", OPTION_INTEGER,
	 AT(resolver.message_timeout), "20", 1, 25, NULL,
	 "seconds that one message may wait for the DNS"},
	{"resolver.query_timeout", OPTION_INTEGER, AT(resolver.query_timeout),
	 "6000", 100, 20000, NULL, "milliseconds for one question"},
	{"resolver.max_queries", OPTION_INTEGER, AT(resolver.max_queries),
	 "150", 10, 1000, NULL, "questions that one message may cause"},
	{"resolver.max_waiting", OPTION_INTEGER, AT(resolver.max_waiting),
	 "1000", 10, 10000, NULL, "sessions that may wait for the DNS at once"},
	{"resolver.cache_size", OPTION_INTEGER, AT(resolver.cache_size),
	 "33554432", 0, 1073741824, NULL,
	 "bytes of the answer cache; 0: none"},

	{"networks.internal", OPTION_NETS, AT(networks.internal),
	 "[ \"127.0.0.0/8\", \"::1\" ]", 0, 0, NULL,
	 "clients whose mail is not checked with SPF"},
	{"networks.sign", OPTION_NETS, AT(networks.sign), "[ ]", 0, 0, NULL,
	 "clients whose mail is outgoing without a login"},
	{"networks.trusted", OPTION_NETS, AT(networks.trusted), "[ ]", 0, 0,
	 NULL, "clients whose Authentication-Results in our name are kept"},

	{"dkim.max_signatures", OPTION_INTEGER, AT(dkim.max_signatures), "10",
	 1, 50, NULL, "signatures of one message that are verified"},
	/* RFC 8301 3.2: shorter keys are not valid. */
	{"dkim.min_rsa_bits", OPTION_INTEGER, AT(dkim.min_rsa_bits), "1024",
	 1024, 4096, NULL, "shortest RSA key that is accepted"},
	{"dkim.max_rsa_bits", OPTION_INTEGER, AT(dkim.max_rsa_bits), "4096",
	 2048, 16384, NULL, "longest RSA key that is accepted"},
	{"dkim.clock_skew", OPTION_INTEGER, AT(dkim.clock_skew), "300", 0,
	 86400, NULL, "seconds that a signer's clock may differ from ours"},

	{"dmarc.disposition", OPTION_WORD, AT(dmarc.disposition),
	 "\"monitor\"", 0, 0, disposition_words,
	 "failing mail: monitor, quarantine, or honor p=reject"},
	{"dmarc.quarantine", OPTION_WORD, AT(dmarc.quarantine), "\"tag\"", 0,
	 0, quarantine_words, "how: tag (a header field), hold or both"},
	{"dmarc.discovery", OPTION_WORD, AT(dmarc.discovery), "\"walk\"", 0, 0,
	 discovery_words, "of policies: tree walk, psl, or compare both"},
	{"dmarc.public_suffix_file", OPTION_PATH,
	 AT(dmarc.public_suffix_file), "\"\"", 0, 0, NULL,
	 "public suffix list for psl and compare; empty: libpsl's own"},

	{"limits.header_fields", OPTION_INTEGER, AT(limits.header_fields),
	 "1000", 50, 10000, NULL, "header fields of a message"},
	{"limits.field_size", OPTION_INTEGER, AT(limits.field_size), "65536",
	 1000, 1048576, NULL, "bytes of one header field"},
	{"limits.header_size", OPTION_INTEGER, AT(limits.header_size),
	 "262144", 10000, 4194304, NULL, "bytes of all header fields"},
	{"limits.message_memory", OPTION_INTEGER, AT(limits.message_memory),
	 "67108864", 1048576, 4294967296, NULL,
	 "bytes of memory for one message"},

	{"inbound.iprev", OPTION_BOOLEAN, AT(inbound.iprev), "false", 0, 0,
	 NULL, "look the client's name up, and that name's addresses"},
	{"inbound.received_spf", OPTION_BOOLEAN, AT(inbound.received_spf),
	 "false", 0, 0, NULL, "add Received-SPF fields too"},

	{"listeners", OPTION_LISTENERS, 0, "( )", 0, 0, NULL,
	 "direction by {daemon_name}: ( { name; direction; }, ... )"},

	{"rules", OPTION_RULES, AT(rules), "( )", 0, 0, NULL,
	 "local rules, in order: ( { name; ...; action; }, ... )"},

	{"arc.seal", OPTION_SEALS, AT(arc.seal), "( )", 0, 0, NULL,
	 "mail that goes on is sealed: ( { domain; recipient; }, ... )"},

	{"journal.records", OPTION_BOOLEAN, AT(journal.records), "true", 0, 0,
	 NULL, "keep a record of each message for mailseal explain"},
	{"journal.max_size", OPTION_INTEGER, AT(journal.max_size),
	 "268435456", 1048576, 68719476736, NULL,
	 "bytes of all records; the oldest go first"},
	{"journal.record_days", OPTION_INTEGER, AT(journal.record_days), "14",
	 1, 3650, NULL, "days that a record is kept"},
	{"journal.shadow_days", OPTION_INTEGER, AT(journal.shadow_days), "90",
	 1, 3650, NULL, "days that counts for mailseal shadow are kept"},
	{"journal.hash_local_parts", OPTION_BOOLEAN,
	 AT(journal.hash_local_parts), "false", 0, 0, NULL,
	 "keep digests in place of the local-parts of addresses"},

	{"submission.sender_table", OPTION_PATH, AT(submission.sender_table),
	 "\"\"", 0, 0, NULL,
	 "file of \"address logins\" lines: who may send as whom"},
	{"submission.sender_groups", OPTION_PATH,
	 AT(submission.sender_groups), "\"\"", 0, 0, NULL,
	 "file of \"group logins\" lines, for the sender table"},
	{"submission.sender_check", OPTION_WORD, AT(submission.sender_check),
	 "\"monitor\"", 0, 0, check_words,
	 "address of others: monitor, sign (do not sign), or reject"},
	{"submission.login_realm", OPTION_WORD, AT(submission.login_realm),
	 "\"keep\"", 0, 0, realm_words,
	 "logins as given (keep), or without what follows the last @"},
	{"submission.recipient_delimiter", OPTION_STRING,
	 AT(submission.recipient_delimiter), "\"\"", 0, 0, NULL,
	 "characters before an address extension, as in Postfix: \"+\""},
	{"submission.local_domains", OPTION_DOMAINS,
	 AT(submission.local_domains), "[ ]", 0, 0, NULL,
	 "domains for which a user without domain in the table stands"},
	{"submission.login_check", OPTION_WORD, AT(submission.login_check),
	 "\"monitor\"", 0, 0, check_words,
	 "login too weak for an address: monitor, sign or reject"},
	{"submission.login_classes", OPTION_DEMANDS,
	 AT(submission.login_classes), "( )", 0, 0, NULL,
	 "what an address must be sent with: ( { domain; classes; }, ... )"},
	{"submission.certificates", OPTION_CERTIFICATES,
	 AT(submission.certificates), "( )", 0, 0, NULL,
	 "client certificates: ( { subject; issuer; login; }, ... )"},
	{"submission.credentials", OPTION_PATH, AT(submission.credentials),
	 "\"\"", 0, 0, NULL,
	 "file of what service logins (API keys) may do"},
	{"submission.credential_check", OPTION_WORD,
	 AT(submission.credential_check), "\"reject\"", 0, 0, check_words,
	 "service login outside of its scope: monitor, sign or reject"},

	{"tls.mode", OPTION_WORD, AT(tls.mode), "\"monitor\"", 0, 0,
	 tls_mode_words, "connections that are weaker: monitor or reject"},
	{"tls.login_version", OPTION_WORD, AT(tls.login_version), "\"none\"",
	 0, 0, config_tls_words, "the least that a login must come over"},
	{"tls.login_bits", OPTION_INTEGER, AT(tls.login_bits), "0", 0, 512,
	 NULL, "bits of the cipher that a login must come over"},
	{"tls.peers", OPTION_PEERS, AT(tls.peers), "( )", 0, 0, NULL,
	 "the same for peers: ( { domain; networks; version; }, ... )"},

	{"preflight.dkim", OPTION_WORD, AT(preflight.dkim), "\"off\"", 0, 0,
	 preflight_words, "the DNS shows the keys, and they are aligned"},
	{"preflight.spf", OPTION_WORD, AT(preflight.spf), "\"off\"", 0, 0,
	 preflight_words, "SPF of MAIL FROM passes for preflight.egress"},
	{"preflight.dmarc", OPTION_WORD, AT(preflight.dmarc), "\"off\"", 0, 0,
	 preflight_words, "the author domain has a DMARC record, and passes"},
	{"preflight.format", OPTION_WORD, AT(preflight.format), "\"off\"", 0,
	 0, preflight_words, "one From, Date, Message-ID; line lengths"},
	{"preflight.unsubscribe", OPTION_WORD, AT(preflight.unsubscribe),
	 "\"off\"", 0, 0, preflight_words,
	 "bulk mail has a one-click List-Unsubscribe, signed"},
	{"preflight.feedback_id", OPTION_WORD, AT(preflight.feedback_id),
	 "\"off\"", 0, 0, preflight_words, "bulk mail has a Feedback-ID"},
	{"preflight.egress", OPTION_NETS, AT(preflight.egress), "[ ]", 0, 0,
	 NULL, "addresses from which our mail leaves, for preflight.spf"},
	{"preflight.bulk", OPTION_BULK, AT(preflight.bulk), "( )", 0, 0, NULL,
	 "what is bulk mail besides: ( { login; }, { header; }, ... )"},

	{"awareness.subject_tag", OPTION_REPLY, AT(awareness.subject_tag),
	 "\"\"", 0, 0, NULL, "before the Subject of mail from outside"},
	{"awareness.external_header", OPTION_BOOLEAN,
	 AT(awareness.external_header), "false", 0, 0, NULL,
	 "add X-Mailseal-External to mail from outside"},
	{"awareness.lookalikes", OPTION_BOOLEAN, AT(awareness.lookalikes),
	 "false", 0, 0, NULL,
	 "add X-Mailseal-Warning where our name or domain is imitated"},
	{"awareness.domains", OPTION_DOMAINS, AT(awareness.domains), "[ ]", 0,
	 0, NULL, "our domains, that others may imitate"},
	{"awareness.names", OPTION_NAMES, AT(awareness.names), "[ ]", 0, 0,
	 NULL, "names of our people, that others may imitate"},
	{"awareness.drill_domains", OPTION_DOMAINS,
	 AT(awareness.drill_domains), "[ ]", 0, 0, NULL,
	 "signed by one of these is a drill, neither tagged nor warned of"},
	{"awareness.untagged", OPTION_ADDRESSES, AT(awareness.untagged), "[ ]",
	 0, 0, NULL,
	 "recipients whose mail is forwarded: its Subject stays"},

	{"coaching.dmarc", OPTION_REPLY, AT(coaching.dmarc), "\"\"", 0, 0,
	 NULL, "what to do or whom to ask, at the end of a rejection by DMARC"},
	{"coaching.sender", OPTION_REPLY, AT(coaching.sender), "\"\"", 0, 0,
	 NULL, "the same for submission.sender_check"},
	{"coaching.login", OPTION_REPLY, AT(coaching.login), "\"\"", 0, 0,
	 NULL, "the same for submission.login_check"},
	{"coaching.credential", OPTION_REPLY, AT(coaching.credential), "\"\"",
	 0, 0, NULL, "the same for submission.credential_check"},
	{"coaching.limit", OPTION_REPLY, AT(coaching.limit), "\"\"", 0, 0,
	 NULL, "the same for the limits of a service login"},
	{"coaching.tls", OPTION_REPLY, AT(coaching.tls), "\"\"", 0, 0, NULL,
	 "the same for tls.mode"},
	{"coaching.preflight", OPTION_REPLY, AT(coaching.preflight), "\"\"",
	 0, 0, NULL, "the same for preflight"},

	{"outbound.sign_reinjected", OPTION_BOOLEAN,
	 AT(outbound.sign_reinjected), "false", 0, 0, NULL,
	 "sign mail of this host that has a Received field"},
	{"outbound.signature_lifetime", OPTION_INTEGER,
	 AT(outbound.signature_lifetime), "1209600", 0, 31536000, NULL,
	 "seconds after which our signatures expire (x=); 0: never"},
	{"outbound.key_table", OPTION_PATH, AT(outbound.key_table), "\"\"", 0,
	 0, NULL, "file of \"domain selector file\" lines, for many domains"},
	{"outbound.key_cache", OPTION_INTEGER, AT(outbound.key_cache), "1000",
	 10, 100000, NULL, "keys of the key table that stay in memory"},
	{"outbound.domains", OPTION_SIGNING, 0, "( )", 0, 0, NULL,
	 "whom we sign for: ( { domain; keys = ( { selector; file; } ); } )"},
};
/* clang-format on */

const size_t config_noptions =
	sizeof(config_options) / sizeof(config_options[0]);

const struct config_option *config_option_find(const char *name)
{
	for (size_t i = 0; i < config_noptions; i++)
		if (strcmp(config_options[i].name, name) == 0)
			return &config_options[i];
	return NULL;
}

/* "log" of "log.level"; empty for an option without group. */
static struct slice group_of(const struct config_option *o)
{
	const char *dot = strchr(o->name, '.');

	return dot != NULL ? (struct slice){o->name, (size_t)(dot - o->name)}
			   : (struct slice){"", 0};
}

static const char *member_of(const struct config_option *o)
{
	const char *dot = strchr(o->name, '.');

	return dot != NULL ? dot + 1 : o->name;
}

bool config_option_is_group(const char *name)
{
	for (size_t i = 0; i < config_noptions; i++)
		if (name[0] != '\0' &&
		    slice_is(group_of(&config_options[i]), name))
			return true;
	return false;
}

#define NAME_MAX_COMPARED 40
#define DISTANCE_MAX	  3

/* Levenshtein's edit distance; names too long to be ours are far away. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_COMPARED + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > NAME_MAX_COMPARED || nb > NAME_MAX_COMPARED)
		return NAME_MAX_COMPARED;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

const char *config_option_nearest(const char *name)
{
	const char *dot = strchr(name, '.');
	const char *member = dot != NULL ? dot + 1 : name;
	const char *found = NULL;
	unsigned best = DISTANCE_MAX + 1;

	for (size_t i = 0; i < config_noptions; i++) {
		const struct config_option *o = &config_options[i];
		unsigned d = distance(name, o->name);

		/* The right name in the wrong group. */
		if (d > 1 && strcmp(member, member_of(o)) == 0)
			d = 1;
		if (d < best && d < strlen(name)) {
			best = d;
			found = o->name;
		}
	}
	return found;
}

static const char *words_text(struct arena *a, const char *const *words)
{
	struct strbuf b;

	strbuf_init(&b, a, 1024);
	for (size_t i = 0; words[i] != NULL; i++) {
		if (words[i][0] == '\0') /* no word for this number */
			continue;
		strbuf_printf(&b, "%s\"%s\"",
			      i == 0		     ? ""
			      : words[i + 1] != NULL ? ", "
						     : " or ",
			      words[i]);
	}
	return strbuf_cstr(&b);
}

const char *config_option_wants(struct arena *a, const struct config_option *o)
{
	switch (o->type) {
	case OPTION_STRING:
		return "a string in double quotes";
	case OPTION_PATH:
		return "an absolute path in double quotes, or \"\"";
	case OPTION_SOCKET:
		return "\"unix:/path\", \"inet:port@address\" or \"fd:N\"";
	case OPTION_ENDPOINT:
		return "\"unix:/path\", or a loopback address: "
		       "\"127.0.0.1:9879\", \"[::1]:9879\"; whoever is "
		       "elsewhere comes by SSH or a reverse proxy";
	case OPTION_REPLY:
		return "at most 200 printable ASCII characters without \"%\", "
		       "in double quotes";
	case OPTION_ADDRESS:
		return "an address in double quotes: \"user@example.com\"";
	case OPTION_NAME:
		return "a string in double quotes that is not empty";
	case OPTION_WORDS:
		return arena_printf(a, "a list of %s", words_text(a, o->words));
	case OPTION_TIME:
		return "a time in double quotes: \"2027-01-31\" or "
		       "\"2027-01-31T12:00:00Z\"";
	case OPTION_ADDRESSES:
		return "a list of addresses: [ \"user@example.com\", "
		       "\"@example.com\" ]";
	case OPTION_NAMES:
		return "a list of strings: [ \"...\", \"...\" ]";
	case OPTION_WORD_NAME:
		return "a word of letters, digits, \"-\", \"_\" and \".\"";
	case OPTION_TEXT:
		return "up to 5 lines of at most 200 printable ASCII "
		       "characters without \"%\", in double quotes; of "
		       "{...} only {domain}, {rule} and {queue_id}";
	case OPTION_DOMAIN_PATTERNS:
		return "a list of domains: [ \"example.com\", "
		       "\".example.com\" ]";
	case OPTION_ADDRESS_PATTERNS:
		return "a list of addresses: [ \"user@example.com\", "
		       "\"@example.com\", \"@.example.com\", \"<>\" ]";
	case OPTION_DEMANDS:
	case OPTION_CERTIFICATES:
	case OPTION_PEERS:
	case OPTION_BULK:
	case OPTION_CREDENTIALS:
	case OPTION_RULES:
	case OPTION_SEALS:
		return config_members(o->type)->wants;
	case OPTION_MODE:
		return "octal digits in double quotes, like \"0660\"";
	case OPTION_DOMAIN:
		return "a domain name in double quotes";
	case OPTION_INTEGER:
		return arena_printf(a, "a number from %lld to %lld",
				    (long long)o->min, (long long)o->max);
	case OPTION_BOOLEAN:
		return "true or false";
	case OPTION_WORD:
		return words_text(a, o->words);
	case OPTION_DOMAINS:
		return "a list of domain names: [ \"a.example\", ... ]";
	case OPTION_SERVERS:
		return "a list of addresses: [ \"192.0.2.1\", "
		       "\"192.0.2.2@5353\" ]";
	case OPTION_NETS:
		return "a list of networks: [ \"192.0.2.0/24\", "
		       "\"2001:db8::/32\" ], no bits set after the prefix";
	case OPTION_LISTENERS:
		return "a list of groups: ( { name = \"submission\"; "
		       "direction = \"outbound\"; } )";
	case OPTION_SIGNING:
		return "a list of groups: ( { domain = \"example.com\"; keys "
		       "= ( { selector = \"s1\"; file = \"/path\"; } ); } )";
	}
	return "something else";
}

static const char *type_name(enum option_type type)
{
	switch (type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_ENDPOINT:
	case OPTION_SOCKET:
	case OPTION_MODE:
	case OPTION_DOMAIN:
	case OPTION_REPLY:
	case OPTION_ADDRESS:
	case OPTION_NAME:
	case OPTION_TIME:
	case OPTION_WORD_NAME:
	case OPTION_TEXT:
		return "string";
	case OPTION_INTEGER:
		return "integer";
	case OPTION_BOOLEAN:
		return "boolean";
	case OPTION_WORD:
		return "word";
	case OPTION_DOMAINS:
	case OPTION_SERVERS:
	case OPTION_NETS:
	case OPTION_LISTENERS:
	case OPTION_SIGNING:
	case OPTION_WORDS:
	case OPTION_ADDRESSES:
	case OPTION_NAMES:
	case OPTION_DEMANDS:
	case OPTION_CERTIFICATES:
	case OPTION_PEERS:
	case OPTION_BULK:
	case OPTION_CREDENTIALS:
	case OPTION_DOMAIN_PATTERNS:
	case OPTION_ADDRESS_PATTERNS:
	case OPTION_RULES:
	case OPTION_SEALS:
		return "list";
	}
	return "unknown";
}

void config_print_defaults(struct strbuf *out)
{
	struct slice group = {"", 0};

	for (size_t i = 0; i < config_noptions; i++) {
		const struct config_option *o = &config_options[i];
		struct slice g = group_of(o);

		if (!slice_eq(g, group)) {
			if (group.n > 0)
				strbuf_adds(out, "};\n\n");
			if (g.n > 0)
				strbuf_printf(out, "%.*s = {\n", (int)g.n, g.p);
			group = g;
		}
		strbuf_printf(out, "%s# %s\n", g.n > 0 ? "\t" : "", o->help);
		strbuf_printf(out, "%s%s = %s;\n%s", g.n > 0 ? "\t" : "",
			      member_of(o), o->text, g.n > 0 ? "" : "\n");
	}
	if (group.n > 0)
		strbuf_adds(out, "};\n");
}

void config_print_table(struct strbuf *out)
{
	for (size_t i = 0; i < config_noptions; i++)
		strbuf_printf(out, "%s\t%s\t%s\n", config_options[i].name,
			      type_name(config_options[i].type),
			      config_options[i].text);
}
