/*
 * Our configuration from that of opendkim and opendmarc: what the files of
 * `mailseal import` share.
 *
 *     import_read.c     a file of theirs becomes lines with known options
 *     import_options.c  what becomes of each option: two tables
 *     import_dkim.c, import_service.c, import_dmarc.c
 *                       the options that are taken over
 *     import_net.c      lists of hosts become networks
 *     import_dataset.c  data sets of opendkim.conf
 *     import_keys.c     KeyTable and SigningTable become entries to sign with
 *     import_write.c    the text of our configuration and key table
 *
 * All text lives in `arena`.  Files are read through `read` alone, so that a
 * test may hold them in memory; key files are not opened here.  Nothing is
 * printed: the summary and the mistake are texts for cmd_import.c.
 */
#ifndef MAILSEAL_CMD_IMPORT_H
#define MAILSEAL_CMD_IMPORT_H

#include "base/ip.h"
#include "base/str.h"

#define IMPORT_CONFIG_MAX  (1024 * 1024)      /* bytes of a configuration */
#define IMPORT_DATASET_MAX (64 * 1024 * 1024) /* of a file of a data set */
#define IMPORT_LINES_MAX   10000	      /* settings, includes and all */
#define IMPORT_ITEMS_MAX   1000000	      /* of one data set */
#define IMPORT_DEPTH_MAX   5   /* Include in Include, as opendkim has it */
#define IMPORT_FILES_MAX   100 /* Include */
#define IMPORT_TEXT_MAX	   (256 * 1024 * 1024) /* of what is written */
#define IMPORT_INLINE_MAX  100	/* domains that need no key table */
#define IMPORT_ROWS_MAX	   1000 /* rows of theirs that are told one by one */
#define IMPORT_NAMES_MAX   1000 /* listeners, and names of ours */
#define IMPORT_PATH_MAX	   4096

struct import_place {
	const char *file;
	unsigned line;
};

enum import_type {
	IMPORT_STRING,
	IMPORT_SECRET, /* a string that is never shown */
	IMPORT_INTEGER,
	IMPORT_BOOLEAN,
	IMPORT_INCLUDE,
};

enum import_fate {
	IMPORT_TAKEN,	 /* `map` takes it over, or tells why not */
	IMPORT_UNNEEDED, /* `text`: why */
	IMPORT_ABSENT,	 /* no counterpart; `text`: what to do instead */
};

struct import;
struct import_line;

struct import_option {
	const char *name;
	enum import_type type;
	enum import_fate fate;
	void (*map)(struct import *im, const struct import_line *l);
	const char *text;
};

/* One setting of theirs. */
struct import_line {
	struct import_place at;
	const struct import_option *option;
	const char *value;
	int number;		      /* IMPORT_INTEGER and _BOOLEAN */
	const struct import_line *by; /* the later one that counts, or NULL */
};

/* A configuration of theirs. */
struct import_source {
	const char *program; /* "opendkim" */
	const struct import_option *options;
	size_t noptions;
	size_t n, room;
	struct import_line *v;
};

/* One setting of ours, with what it came from. */
struct import_setting {
	const char *group; /* "" : none */
	const char *name;
	const char *value; /* as it stands in a configuration */
	size_t nfrom;
	const struct import_line *from[4];
};

#define IMPORT_SETTINGS_MAX 64

/* One signature for the mail of a domain. */
struct import_entry {
	struct import_place at; /* the row that says so */
	const char *author;	/* canonical, or "*.domain" */
	const char *domain;	/* d=, canonical */
	const char *selector;
	const char *file;
	const char *identity; /* i=, or NULL */
};

struct import {
	struct arena *arena;
	/* All of a file, at most `max` bytes; false and a reason. */
	bool (*read)(void *arg, struct arena *a, const char *path, size_t max,
		     struct slice *ret, const char **why);
	void *arg;
	struct import_source dkim, dmarc;
	const struct import_source *source; /* that is being taken over */
	struct strbuf summary;
	struct strbuf absent; /* of the summary what has no counterpart */
	unsigned counts[IMPORT_ABSENT + 1]; /* of settings, by fate */
	unsigned rows;			    /* of theirs without counterpart */
	struct {
		const char *text; /* the first mistake, or NULL */
		bool unreadable;  /* a file could not be read */
	} mistake;
	size_t nsettings;
	struct import_setting settings[IMPORT_SETTINGS_MAX];
	struct string_list aliases; /* authserv_aliases */
	struct ip_nets internal;    /* networks.internal besides the default */
	struct strbuf rules;
	struct strbuf listeners;
	size_t nlisteners;
	size_t nentries, room;
	struct import_entry *entries;
};

/* ---- import_read.c ---- */
/* Nothing is read yet; `read` and `arg` as above. */
struct import *import_new(struct arena *a,
			  bool (*read)(void *arg, struct arena *a,
				       const char *path, size_t max,
				       struct slice *ret, const char **why),
			  void *arg);
/*
 * Reads a configuration with its includes into `s`, as its program does: names
 * in any case, "#" begins a comment, the last of several settings counts.
 * False: the first mistake is in im->mistake.
 */
bool import_read(struct import *im, struct import_source *s, const char *path);
/* The setting that counts, or NULL. */
const struct import_line *import_find(const struct import_source *s,
				      const char *name);
/* Is that boolean setting there, and true? */
bool import_is_true(const struct import_source *s, const char *name);
/* An absolute path: relative ones are below BaseDirectory.  NULL and a mistake
 * when there is none; `what` it is the path of. */
const char *import_path(struct import *im, struct import_place at,
			const char *what, const char *path);
/* No control characters but tabs? */
bool import_is_text(struct slice s);
/* As much of a text as a message shows, escaped. */
const char *import_shown(struct import *im, const char *text);

/* Notes the first mistake: "file:line: what; cure". */
void import_refuse(struct import *im, struct import_place at, const char *fmt,
		   ...) __attribute__((format(printf, 3, 4)));
/* A line of the summary about a setting of theirs. */
void import_tell(struct import *im, const struct import_line *l,
		 enum import_fate fate, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* One about a row of a file, which has no counterpart; after IMPORT_ROWS_MAX
 * they are only counted. */
void import_tell_row(struct import *im, struct import_place at, const char *fmt,
		     ...) __attribute__((format(printf, 3, 4)));

/* ---- import_options.c ---- */
extern const struct import_option import_dkim_options[];
extern const size_t import_ndkim_options;
extern const struct import_option import_dmarc_options[];
extern const size_t import_ndmarc_options;
/* Each line of `s` by its option. */
void import_take_over(struct import *im, const struct import_source *s);

/* ---- import_dataset.c ---- */
struct import_item {
	struct import_place at;
	const char *key;
	const char *value; /* "": none */
};

struct import_dataset {
	bool patterns; /* refile: */
	size_t n;
	struct import_item *v;
};

/* The data set that a setting names, or a constant that says why it cannot be
 * had here, in *why.  False as well after a mistake. */
bool import_dataset(struct import *im, const struct import_line *l,
		    struct import_dataset *ret, const char **why);

/* ---- import_net.c ---- */
/*
 * The networks of a list of hosts, more precise exclusions ("!") taken out.
 * What is no network is a row of the summary.
 */
struct ip_nets import_nets(struct import *im, const struct import_dataset *d);
/* `[ "192.0.2.0/24", ... ]` */
const char *import_nets_text(struct import *im, const struct ip_nets *nets);

/* ---- import_keys.c ---- */
/* All that the settings say about signing, into im->entries. */
void import_keys(struct import *im);

/* ---- import_dkim.c, import_service.c, import_dmarc.c ---- */
/* Take over what import_read() read. */
void import_dkim(struct import *im);
void import_dmarc(struct import *im);
/* authserv_aliases gets a name of theirs; false: no domain name. */
bool import_alias(struct import *im, struct import_place at, struct slice name);
/* The value of a setting, with its name on top of a comment. */
void import_set(struct import *im, const struct import_line *l,
		const char *option, const char *value);

/* The functions of the tables. */
typedef void import_map(struct import *im, const struct import_line *l);
import_map import_authserv_id, import_remove_ar, import_clock_drift,
	import_dns_timeout, import_internal_hosts, import_peer_list,
	import_macro_list, import_mta, import_max_header, import_max_signatures,
	import_min_bits, import_mode, import_multiple, import_nameservers,
	import_on_error, import_on_internal, import_on_result,
	import_signing_part, import_signature_ttl, import_sign_headers,
	import_sender_headers, import_socket, import_subdomains, import_syslog,
	import_facility, import_trust_anchor, import_user, import_umask,
	import_base, import_safe_keys;
import_map import_dmarc_id, import_dmarc_dns_timeout, import_arc_domains,
	import_hold, import_ignore_hosts, import_ignore_logins, import_suffixes,
	import_reject, import_trusted_ids, import_spf_self;

/* ---- import_write.c ---- */
/* A string in double quotes, as a configuration has it. */
const char *import_quote(struct import *im, const char *text);
size_t import_domains(const struct import *im); /* whom we sign for */
/*
 * The configuration.  `table`: the path of a key table, which gets what fits
 * into one; NULL: all keys stand in the configuration.
 */
void import_write(struct import *im, const char *table_path,
		  struct strbuf *conf, struct strbuf *table);

#endif
