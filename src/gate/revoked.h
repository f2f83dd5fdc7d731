/*
 * Logins that are revoked by hand (`mailseal revoke`): a text of one login a
 * line, and what their mail is answered.  A list does not change once made.
 * Pure; the file is milter/revocations.h's.
 */
#ifndef MAILSEAL_GATE_REVOKED_H
#define MAILSEAL_GATE_REVOKED_H

#include "gate/gate.h"

#define REVOKED_MAX	  10000 /* logins */
#define REVOKED_LOGIN_MAX 1024	/* bytes, as much as is kept of a login */

struct revoked_list;

/* NULL, or why that cannot stand in a list (a constant): it is empty, longer
 * than REVOKED_LOGIN_MAX, or has spaces or control characters; or nothing is
 * left of it without its realm. */
const char *revoked_objection(struct slice login, bool strip_realm);
/*
 * Lines that are empty count for nothing.  `name`: of the file.  `strip_realm`:
 * as in struct sender_options.  NULL and one line "name:line: what, and the
 * cure" in *err (in `a`) when a line has an objection, or is one too many.
 */
struct revoked_list *revoked_list_read(struct arena *a, struct slice text,
				       const char *name, bool strip_realm,
				       const char **err);
void revoked_list_free(struct revoked_list *l); /* NULL is allowed */
/* How many lines; i < revoked_list_size(), in their order. */
size_t revoked_list_size(const struct revoked_list *l);
struct slice revoked_list_login(const struct revoked_list *l, size_t i);
/* Without regard to ASCII case, as everywhere in gate/. */
bool revoked_list_has(const struct revoked_list *l, struct slice login);
/* The text of the list with one more, or without all that are this login. */
void revoked_list_with(const struct revoked_list *l, struct slice login,
		       struct strbuf *ret);
void revoked_list_without(const struct revoked_list *l, struct slice login,
			  struct strbuf *ret);

/* The login of `f` is revoked, here or in its entry (credential.h): 550 5.7.8
 * (RFC 4954 6). */
void revoked_refuse(struct arena *a, const struct gate_facts *f,
		    const char *coaching, struct gate_fault *ret);
/* Whether it is cannot be told: 451 4.3.0. */
void revoked_unknown(struct arena *a, const struct gate_facts *f,
		     struct gate_fault *ret);

#endif
