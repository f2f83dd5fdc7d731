/*
 * Which login may send as which address: the table of senders and owners.
 *
 * The table is a text file in the syntax of the source files of postmap(1),
 * with the keys and values of Postfix's smtpd_sender_login_maps, so that one
 * file serves both:
 *
 *     # address            logins, separated by commas or white space
 *     alice@example.com    alice
 *     info@example.com     alice, bob,
 *                          sales
 *     @example.org         carol
 *     "john smith"@example.com  john
 *
 * A key is an address, `user` (that user at each local domain) or `@domain`
 * (each address there).  The first key that exists decides, in this order:
 * user+ext@domain, user@domain, user+ext, user, @domain.  So who owns @domain
 * does not own an address there that has a line of its own.
 *
 * Keys: local-parts without regard to ASCII case, domains in canonical form
 * (mail/domain.h).  Logins: without regard to ASCII case.
 *
 * A login in a value that is the name of a group stands for the members of the
 * group, and for a login of that very name.  Groups come from a second file of
 * the same syntax: name, members.  They do not nest.
 *
 * A table does not change after it was loaded: any number of threads may read
 * it.  Look-ups cost the same whatever the size of the table (hash tables; and
 * a binary search among the owners of the key).
 */
#ifndef MAILSEAL_GATE_SENDER_H
#define MAILSEAL_GATE_SENDER_H

#include "base/str.h"

#define SENDER_ENTRIES_MAX 1000000 /* keys in a file */
#define SENDER_LINE_MAX	   65536   /* bytes of a line; it may be continued */

struct sender_options {
	/* Logins are compared without their realm: everything from the last
	 * "@" is dropped, from the login of the session and from those in
	 * the files, group names too. */
	bool strip_realm;
	/* A set of characters, the first of which in a local-part begins an
	 * extension (Postfix: recipient_delimiter); "" or NULL: none */
	const char *delimiter;
	/* Canonical; where a key without "@" counts (Postfix: $myorigin,
	 * $mydestination) */
	const char *const *local_domains;
	size_t nlocal_domains;
};

struct sender_table;

/*
 * Reads the table, and the groups unless `groups` is "".  NULL when anything
 * is wrong: `errors` then has lines "file:line: what, and the cure" (20 at
 * most, then how many more).  `warnings` has lines of the same form of what
 * was read, but is hardly meant: a key for the second time (the first counts,
 * as with postmap), a key that never matches, files that others may write.
 */
struct sender_table *sender_table_load(const char *file, const char *groups,
				       const struct sender_options *o,
				       struct strbuf *errors,
				       struct strbuf *warnings);
/* A text and its name in messages. */
struct sender_text {
	struct slice text;
	const char *name;
};
/* The same from memory.  Nothing of the texts is needed afterwards. */
struct sender_table *sender_table_read(struct sender_text senders,
				       struct sender_text groups,
				       const struct sender_options *o,
				       struct strbuf *errors,
				       struct strbuf *warnings);
/* NULL is allowed. */
void sender_table_free(struct sender_table *t);
/* How many keys. */
size_t sender_table_size(const struct sender_table *t);

/* The login as it is compared: without its realm where that is wanted. */
struct slice sender_login(bool strip_realm, struct slice login);
/* "bob" of "bob+news"; empty when there is no extension.  `delimiter` as in
 * struct sender_options, not NULL. */
struct slice sender_without_extension(struct slice local,
				      const char *delimiter);

/* Does `login` own local@domain?  `login`: as the MTA gives it
 * ({auth_authen}), the empty one owns nothing.  `local`: unquoted.
 * `domain`: canonical; NULL has no owner. */
bool sender_owns(const struct sender_table *t, struct slice login,
		 struct slice local, const char *domain);
/* Is the login a member of that group?  Of one that is not there, nobody is. */
bool sender_in_group(const struct sender_table *t, struct slice login,
		     const char *group);
/* Is there that group?  Goes through all of them. */
bool sender_has_group(const struct sender_table *t, const char *group);

/* The table turned round: puts up to `max` of the keys that a login owns, by
 * itself or as a member of a group, into `ret`, in the order of the file.
 * Returns how many.  The texts live in the arena; local-parts that need it are
 * quoted (RFC 5321 4.1.2). */
size_t sender_keys_of(const struct sender_table *t, struct arena *a,
		      struct slice login, const char **ret, size_t max);

#endif
