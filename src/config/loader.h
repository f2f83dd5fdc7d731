/*
 * What the files that read a configuration share: the loader with its list of
 * mistakes, and the file as a tree of nodes.  Only for config/.
 *
 * tree.c makes the nodes, the one place that knows libconfig; values.c and
 * lists.c read them into a struct config; load.c walks the tree and checks the
 * whole.  A node lives in the loader's `scratch`, until config_load() returns.
 */
#ifndef MAILSEAL_CONFIG_LOADER_H
#define MAILSEAL_CONFIG_LOADER_H

#include "config/options.h"

struct loader {
	struct arena *arena;   /* of the configuration */
	struct arena *scratch; /* of the loading */
	struct config *c;
	struct strbuf *errors;
	const char *file;
	const char *directory; /* of `file` */
	struct crypto_hash *digest; /* of every file that is read; or NULL */
	size_t mistakes;
};

enum config_node_type {
	CONFIG_NODE_GROUP,   /* { name = value; } */
	CONFIG_NODE_LISTING, /* [ ] or ( ) */
	CONFIG_NODE_STRING,
	CONFIG_NODE_INTEGER,
	CONFIG_NODE_BOOLEAN,
	CONFIG_NODE_OTHER, /* no option takes it */
};

struct config_node {
	enum config_node_type type;
	const char *name; /* "" in a listing and for the root */
	const char *file; /* for messages */
	unsigned line;
	const char *text; /* CONFIG_NODE_STRING */
	int64_t number;	  /* CONFIG_NODE_INTEGER, or BOOLEAN as 0 or 1 */
	bool damaged;	  /* libconfig has lost its value, and that was said */
	size_t n;	  /* CONFIG_NODE_GROUP and LISTING */
	struct config_node *v;
};

/* ---- load.c: messages ---- */

/* "file:line: what, and the cure". */
void config_complain_line(struct loader *l, const char *file, unsigned line,
			  const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void config_complain(struct loader *l, const struct config_node *s,
		     const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Is no value of that option: says what would be. */
void config_complain_value(struct loader *l, const struct config_node *s,
			   const struct config_option *o);
/* A value as it may stand in a message. */
const char *config_shown(struct loader *l, const char *text);

/* ---- scan.c ---- */

/* A place where a text holds a number that libconfig damages. */
struct config_damage {
	const char *file;
	unsigned line;
	const char *word; /* its first bytes */
	struct config_damage *next;
};

/* Adds those of `text` at the end of `*list`. */
void config_scan(struct arena *a, const char *file, struct slice text,
		 struct config_damage **list);

/* ---- tree.c ---- */

/* The root of l->file; NULL and a message when it is no configuration. */
const struct config_node *config_tree_file(struct loader *l);
const struct config_node *config_tree_text(struct loader *l, const char *text);
/* The member of a group, or NULL. */
const struct config_node *config_node_member(const struct config_node *g,
					     const char *name);

/* ---- values.c and lists.c: into l->c, or a message ---- */
void config_read_value(struct loader *l, const struct config_node *s,
		       const struct config_option *o);
/* The same into the struct at `base` that the row's offset is meant for. */
void config_read_into(struct loader *l, const struct config_node *s,
		      const struct config_option *o, void *base);
/* members.c: a list of groups. */
void config_read_groups(struct loader *l, const struct config_node *s,
			const struct config_option *o, void *at);
void config_read_listeners(struct loader *l, const struct config_node *s,
			   const struct config_option *o);
void config_read_domains(struct loader *l, const struct config_node *s,
			 const struct config_option *o);
/* keys.c: the keys of a domain; `signing_domain` is their d= unless they say
 * otherwise. */
void config_read_keys(struct loader *l, const struct config_node *s,
		      const struct config_option *o,
		      const char *signing_domain, struct config_domain *d);

/* ---- lists.c: groups ---- */
/* "file:line", to be kept. */
const char *config_source_of(struct loader *l, const struct config_node *s);
/* Is `g` a group with all the members of `names`, perhaps some of `optional`,
 * and no others? */
bool config_check_members(struct loader *l, const struct config_node *g,
			  const struct config_option *o,
			  const char *const *names,
			  const char *const *optional);
/* The text of a member, or NULL and a message when it is no string or empty. */
const char *config_member_text(struct loader *l, const struct config_node *g,
			       const struct config_option *o, const char *name);
/* The same for a domain or selector, canonical. */
const char *config_member_domain(struct loader *l,
				 const struct config_node *g,
				 const struct config_option *o,
				 const char *name);
/* The position of a string node in `words`, which end with NULL; or -1. */
int config_word_index(const struct config_node *s, const char *const *words);

#endif
