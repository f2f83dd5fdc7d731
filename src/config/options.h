/*
 * The option table, shared by options.c (which holds it) and the files of
 * loader.h (which read by it).  Only for these; others see config/config.h.
 *
 * Read-only, so any thread may use it.
 */
#ifndef MAILSEAL_CONFIG_OPTIONS_H
#define MAILSEAL_CONFIG_OPTIONS_H

#include "config/config.h"

enum option_type {
	/* one string: const char * */
	OPTION_STRING,
	OPTION_PATH,   /* absolute, or "" for none */
	OPTION_SOCKET, /* listen_open() takes it */
	OPTION_ENDPOINT, /* base/endpoint.h, or "" */
	OPTION_MODE,   /* octal digits */
	OPTION_DOMAIN, /* made canonical; "" allowed, unless `min` is 1 */
	OPTION_REPLY,  /* text of an SMTP reply, or "" */
	OPTION_ADDRESS, /* "user@domain", local-part in lower case */
	OPTION_NAME,	/* a string that is not empty */
	OPTION_WORD_NAME, /* letters, digits, "-", "_", "." */
	OPTION_TEXT,	/* as OPTION_REPLY, of up to 5 lines, with the fields
			 * of reply_fill() */
	/* int64_t */
	OPTION_INTEGER, /* min to max */
	OPTION_BOOLEAN, /* 0 or 1 */
	OPTION_WORD,	/* the position of the word in `words` */
	OPTION_WORDS,	/* a list of them: the set of their positions as bits */
	OPTION_TIME,	/* "2027-01-31" or "2027-01-31T12:00:00Z": seconds
			 * since 1970 */
	/* lists */
	OPTION_DOMAINS,	  /* struct string_list, canonical */
	OPTION_SERVERS,	  /* struct string_list, "addr" or "addr@port" */
	OPTION_ADDRESSES, /* struct string_list, "user@domain" or "@domain" */
	OPTION_NAMES,	  /* struct string_list, of OPTION_NAME */
	OPTION_DOMAIN_PATTERNS,	 /* "example.com", ".example.com" (below) */
	OPTION_ADDRESS_PATTERNS, /* "a@b", "@b", "@.b" or "<>" */
	OPTION_NETS,	  /* struct ip_nets */
	OPTION_LISTENERS, /* listeners and nlisteners */
	OPTION_SIGNING,	  /* outbound.domains and outbound.ndomains */
	/* lists of groups with the members of config_members() */
	OPTION_DEMANDS,
	OPTION_CERTIFICATES,
	OPTION_PEERS,
	OPTION_BULK,
	OPTION_CREDENTIALS,
	OPTION_RULES,
	OPTION_SEALS,
};

struct config_option {
	const char *name; /* at most one dot: "group.member" */
	enum option_type type;
	size_t offset;	  /* in struct config; unused for the last two types */
	const char *text; /* the default as it would stand in a file */
	int64_t min, max; /* OPTION_INTEGER */
	const char *const *words; /* OPTION_WORD, NULL at the end */
	const char *help;	  /* one line */
};

/* Members of one group stand together. */
extern const struct config_option config_options[];
extern const size_t config_noptions;
/* The names of enum tls_version. */
extern const char *const config_tls_words[];

/* Of a list of groups, the members: their places are in the struct of `size`
 * bytes that a group becomes, which begins with its "file:line".  `text` NULL:
 * must be there. */
struct config_members {
	size_t size;
	size_t n;
	const struct config_option *v;
	const char *wants; /* how it is written, for messages */
};

/* NULL for a type that is no list of groups, and OPTION_LISTENERS, _SIGNING. */
const struct config_members *config_members(enum option_type type);
/* The row of the list that a file of credentials is. */
extern const struct config_option config_credentials_option;

/* The option of that full name, or NULL. */
const struct config_option *config_option_find(const char *name);
/* Is there an option "name.something"? */
bool config_option_is_group(const char *name);
/* The full name that was probably meant, or NULL. */
const char *config_option_nearest(const char *name);
/* What a value must be, for messages: "a number from 1 to 300". */
const char *config_option_wants(struct arena *a, const struct config_option *o);

#endif
