/*
 * The configuration file: libconfig syntax, one table row per option.
 *
 * options.c holds the table (name, type, place in struct config, default,
 * range, one line of help): the only place where an option is described.  The
 * sample file, the man page and `mailseal check-config --defaults` are checked
 * against it.  load.c reads a file into a struct config; loader.h names its
 * helpers.  Only tree.c includes libconfig.
 */
#ifndef MAILSEAL_CONFIG_CONFIG_H
#define MAILSEAL_CONFIG_CONFIG_H

#include "base/ip.h"
#include "base/log.h"
#include "base/str.h"
#include "dkim/dkim.h"
#include "gate/credential.h"
#include "gate/login.h"
#include "gate/preflight.h"
#include "gate/transport.h"
#include "eval/rules.h"

enum direction {
	DIRECTION_AUTO, /* not given: login, then networks.sign decide */
	DIRECTION_INBOUND,
	DIRECTION_OUTBOUND,
	DIRECTION_NONE, /* neither verify nor sign */
};

#define CONFIG_REPLY_MAX 200 /* bytes of an OPTION_REPLY */

/* Is "alice@example.com" the login "alice"? */
enum login_realm {
	LOGIN_REALM_KEEP,
	LOGIN_REALM_STRIP,
};

enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
};

enum log_personal {
	LOG_PERSONAL_KEEP,
	LOG_PERSONAL_HASH,
	LOG_PERSONAL_OMIT,
};

enum on_error {
	ON_ERROR_ACCEPT,
	ON_ERROR_TEMPFAIL,
};

/* listeners = ( { name = "submission"; direction = "outbound"; } ) */
struct config_listener {
	const char *name; /* the MTA's {daemon_name} */
	enum direction direction;
};

enum key_algorithm {
	KEY_ALGORITHM_ANY, /* what the key file holds */
	KEY_ALGORITHM_RSA,
	KEY_ALGORITHM_ED25519,
};

/* keys = ( { selector = "s1"; file = "/etc/..."; } ) */
struct config_key {
	const char *selector; /* canonical */
	const char *domain;   /* d=, canonical */
	const char *file;
	const char *source; /* "file:line" for messages */
	enum key_algorithm algorithm;
	int64_t lifetime;     /* seconds; -1: outbound.signature_lifetime */
	const char *identity; /* i=, or NULL */
	const struct dkim_signed_name *names; /* NULL: the default list */
	size_t nnames;
};

/* outbound.domains = ( { domain = "example.com"; keys = ( ... ); } ) */
struct config_domain {
	const char *domain; /* canonical */
	const char *source;
	size_t nkeys;
	struct config_key *keys;
};

/* Lists of groups: config/members.c has their members. */
struct config_demands {
	size_t n;
	struct login_demand *v;
};

struct config_certificates {
	size_t n;
	struct login_certificate *v;
};

struct config_peers {
	size_t n;
	struct transport_peer *v;
};

struct config_credentials {
	size_t n;
	struct credential *v;
};

/* preflight.bulk = ( { login = "news"; } ) */
struct config_bulks {
	size_t n;
	struct preflight_bulk *v;
};

struct config_rules {
	size_t n;
	struct rule *v;
};

enum tls_mode {
	TLS_MODE_MONITOR,
	TLS_MODE_REJECT,
};

/* Immutable once loaded; lives in `arena`. */
struct config {
	struct arena *arena;
	const char *file;

	const char *socket;	  /* "unix:/p", "inet:port@addr", "fd:N" */
	const char *socket_mode;  /* octal text, "0660" */
	const char *socket_group; /* "" : unchanged */
	const char *authserv_id;  /* canonical; default: the host's name */
	struct string_list authserv_aliases;
	const char *user;	   /* "" : stay who we are */
	int64_t sandbox;	   /* boolean */
	int64_t shutdown_timeout;  /* seconds */
	int64_t drain_max;	   /* seconds */
	int64_t on_internal_error; /* enum on_error */
	int64_t on_signing_error;  /* enum on_error */
	int64_t on_store_error;	   /* enum on_error */
	const char *state_directory; /* "": nothing is kept */
	const char *secret;
	const char *digest; /* of the files, SHA-256 in hexadecimal */

	struct {
		const char *socket;	 /* "": none */
		const char *read_group;	 /* "": nobody but admins */
		const char *admin_group; /* "": root and ourselves */
	} control;
	struct {
		int64_t target; /* enum log_target */
		int64_t level;	/* enum log_level */
		int64_t format; /* enum log_format */
		int64_t personal; /* enum log_personal */
	} log;
	struct {
		const char *listen; /* base/endpoint.h; "": nobody may ask */
	} metrics;
	struct {
		struct string_list servers;
		int64_t recursion;	  /* boolean */
		int64_t dnssec;		  /* boolean */
		const char *trust_anchor; /* file, read with dnssec */
		const char *zone_file;	 /* "" : none */
		int64_t message_timeout; /* seconds */
		int64_t query_timeout;	 /* milliseconds */
		int64_t max_queries;
		int64_t max_waiting;
		int64_t cache_size; /* bytes */
	} resolver;
	struct {
		struct ip_nets internal;
		struct ip_nets sign;
		struct ip_nets trusted;
	} networks;
	struct {
		int64_t max_signatures;
		int64_t min_rsa_bits;
		int64_t max_rsa_bits;
		int64_t clock_skew; /* seconds */
	} dkim;
	struct {
		int64_t disposition; /* enum dmarc_disposition */
		int64_t quarantine;  /* enum dmarc_quarantine */
		int64_t discovery;   /* enum dmarc_discovery */
		const char *public_suffix_file; /* "": libpsl's own */
	} dmarc;
	struct {
		int64_t header_fields;
		int64_t field_size;  /* bytes of one field */
		int64_t header_size; /* bytes of all fields */
		int64_t message_memory; /* bytes */
	} limits;
	struct {
		int64_t iprev;	      /* boolean */
		int64_t received_spf; /* boolean */
	} inbound;
	struct config_rules rules;
	struct {
		/* of struct rule alone its conditions; its name is the domain
		 * whose key seals */
		struct config_rules seal;
	} arc;
	struct {
		int64_t records;  /* boolean */
		int64_t max_size; /* bytes */
		int64_t record_days;
		int64_t shadow_days;
		int64_t hash_local_parts; /* boolean */
	} journal;
	struct {
		const char *sender_table;  /* "": senders are not checked */
		const char *sender_groups; /* "" : none */
		int64_t sender_check;	   /* enum gate_mode */
		int64_t login_realm;	   /* enum login_realm */
		const char *recipient_delimiter;
		struct string_list local_domains;
		int64_t login_check; /* enum gate_mode */
		struct config_demands login_classes;
		struct config_certificates certificates;
		const char *credentials;  /* "": none */
		int64_t credential_check; /* enum gate_mode */
	} submission;
	struct {
		int64_t mode;	       /* enum tls_mode */
		int64_t login_version; /* enum tls_version */
		int64_t login_bits;
		struct config_peers peers;
	} tls;
	struct {
		/* enum preflight_mode */
		int64_t dkim, spf, dmarc, format, unsubscribe, feedback_id;
		struct ip_nets egress;
		struct config_bulks bulk;
	} preflight;
	struct {
		const char *subject_tag; /* "": none */
		int64_t external_header; /* boolean */
		int64_t lookalikes;	 /* boolean */
		struct string_list domains; /* canonical */
		struct string_list names;   /* UTF-8 */
		struct string_list drill_domains;
		struct string_list untagged; /* "a@b" or "@b" */
	} awareness;
	/* One line of printable ASCII each, or "". */
	struct {
		const char *dmarc, *sender, *login, *credential, *limit, *tls,
			*preflight;
	} coaching;
	size_t nlisteners;
	struct config_listener *listeners;
	struct {
		int64_t signature_lifetime; /* seconds, x=; 0: none */
		int64_t sign_reinjected;    /* boolean */
		const char *key_table;	    /* file, or "" */
		int64_t key_cache;	    /* keys of the table in memory */
		size_t ndomains;
		struct config_domain *domains;
	} outbound;
};

/*
 * Reads `path`; NULL path: the defaults alone.  NULL on error: then `errors`
 * holds one line per mistake, each "file:line: what, and the cure".  Key files
 * must exist; they are not opened here.
 */
struct config *config_load(const char *path, struct strbuf *errors);
/*
 * Reads the file of submission.credentials, which has one list of groups:
 * credentials = ( { login = "..."; ... } ).  All is in `a`.  False: mistakes as
 * above.
 */
bool config_load_credentials(struct arena *a, const char *path,
			     struct config_credentials *ret,
			     struct strbuf *errors);
void config_free(struct config *c);

/* Every option with its default as a valid configuration text, each with its
 * help as comment. */
void config_print_defaults(struct strbuf *out);
/* "name type default" per line, tab-separated: for the tests of documents. */
void config_print_table(struct strbuf *out);

#endif
