/* What the files of the sender table share: sender_lines.c (text to entries),
 * sender_names.c (names to numbers, and relations of numbers), sender_key.c
 * (keys), sender_table.c (entries to a table), sender.c (look-ups). */
#ifndef MAILSEAL_GATE_SENDER_TABLE_H
#define MAILSEAL_GATE_SENDER_TABLE_H

#include <stdint.h>

#include "gate/sender.h"

#define SENDER_NONE UINT32_MAX

/* What is said of a file; of any number of faults the first 20. */
struct sender_report {
	struct strbuf *out;
	size_t n; /* all that there were */
};

/* "file:line: before"shown"after"; without the line when it is 0. */
void sender_report_add(struct sender_report *r, const char *file, unsigned line,
		       const char *before, struct slice shown,
		       const char *after);
void sender_report_end(struct sender_report *r);

/* White space as isspace(3) has it in the C locale: postmap's. */
static inline bool sender_isspace(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Logical lines: postmap(1), "INPUT FILE FORMAT". */
struct sender_lines {
	struct slice rest;
	const char *file;
	struct sender_report *errors;
	unsigned read; /* lines up to here */
	unsigned line; /* where the logical line began */
	char *joined;  /* the logical line, if it is several lines */
	size_t n, room;
};

/* The next one without its end, valid until the next call; false at the end.
 * It is not empty, and begins with no white space. */
bool sender_lines_next(struct sender_lines *l, struct slice *ret);
void sender_lines_free(struct sender_lines *l);
/* Cuts a logical line into key (quotes are kept) and value, both trimmed.
 * False: a quote is not closed. */
bool sender_line_cut(struct slice line, struct slice *key, struct slice *value);

/* Names and their numbers: 0, 1, ... in the order in which they came.  ASCII
 * case does not matter. */
struct sender_names {
	struct arena *arena; /* where the texts live */
	struct slice *v;     /* in lower case */
	size_t n, room;
	uint32_t *slots; /* number + 1, or 0: a hash table */
	size_t nslots;	 /* a power of two */
};

/* A name in up to three pieces, so that nobody has to join them. */
struct sender_name {
	struct slice part[3];
};

uint32_t sender_names_find(const struct sender_names *t,
			   const struct sender_name *name); /* or NONE */
uint32_t sender_names_add(struct sender_names *t,
			  const struct sender_name *name);
void sender_names_free(struct sender_names *t);

struct sender_pair {
	uint32_t from, to;
	unsigned line;
};

/* For each number below n the numbers that it is related to. */
struct sender_relation {
	size_t n;
	uint32_t *start; /* n + 1 */
	uint32_t *v;
};

struct sender_list {
	const uint32_t *v;
	size_t n;
};

/* From pairs whose `from` is below `n`. */
struct sender_relation sender_relate(const struct sender_pair *pairs,
				     size_t npairs, size_t n);
/* The inverse: whose lists are in ascending order.  `n`: above all numbers
 * in r's lists. */
struct sender_relation sender_invert(const struct sender_relation *r, size_t n);
void sender_relation_free(struct sender_relation *r);
struct sender_list sender_related(const struct sender_relation *r, uint32_t i);

struct sender_table {
	struct arena *arena;
	bool strip_realm;
	const char *delimiter;
	struct sender_names local_domains;
	struct sender_names keys;	  /* "user@domain", "user", "@domain" */
	struct sender_names logins;	  /* and groups */
	struct sender_relation keys_of;	  /* of a login, ascending */
	struct sender_relation owners_of; /* of a key, ascending */
	struct sender_relation groups_of; /* of a login, ascending */
};

/* While the files are read. */
struct sender_pairs {
	struct sender_pair *v;
	size_t n, room;
};

struct sender_reader {
	struct sender_table *t;
	const char *file;
	unsigned line;
	struct sender_report errors, warnings;
	struct arena *scratch;
	struct sender_pairs owners; /* key, login */
	struct sender_pairs groups; /* group, member */
	unsigned *lines;	    /* of the keys in this file, by number */
	size_t nlines;
};

/* An error at the line that is read; false. */
bool sender_complain(struct sender_reader *r, const char *before,
		     struct slice shown, const char *after);
void sender_warn(struct sender_reader *r, const char *before,
		 struct slice shown, const char *after);

/* RFC 5321 4.1.2: Atoms, with dots anywhere, and UTF-8 (RFC 6531 3.3). */
bool sender_is_plain(struct slice local);
/* The pieces of a key as the table has it, or an error. */
bool sender_key_name(struct sender_reader *r, struct slice key,
		     struct sender_name *ret);
/* The name of a group: what a value can have. */
bool sender_group_name(struct sender_reader *r, struct slice key,
		       struct sender_name *ret);

#endif
