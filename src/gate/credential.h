/*
 * Scoped credentials: what a service login (an API key) may do.  config/ reads
 * them; a table does not change once made.  Pure.
 */
#ifndef MAILSEAL_GATE_CREDENTIAL_H
#define MAILSEAL_GATE_CREDENTIAL_H

#include "gate/gate.h"

/* 0: no limit */
struct credential_limits {
	int64_t messages_per_hour;
	int64_t messages_per_day;
	int64_t recipients_per_hour;
	int64_t recipients_per_day;
};

struct credential {
	const char *source; /* "file:line" */
	const char *login;
	/* "local@domain" (local-part in lower case) or "@domain", canonical */
	struct string_list addresses;
	struct ip_nets networks; /* none: any */
	int64_t tls_version;	 /* enum tls_version, at least */
	int64_t recipients;	 /* of one message, at most; 0: any */
	struct credential_limits limits;
	int64_t expires; /* seconds since 1970; 0: never */
	int64_t revoked; /* boolean */
};

struct credential_table;

/* `v` (any order) must outlive the table.  NULL, and one line "file:line: ..."
 * in `errors` for each login that stands there twice.  `strip_realm`: as in
 * struct sender_options. */
struct credential_table *credential_table_new(const struct credential *v,
					      size_t n, bool strip_realm,
					      struct strbuf *errors);
void credential_table_free(struct credential_table *t); /* NULL is allowed */
size_t credential_table_size(const struct credential_table *t);
/* The entry of a login, without regard to ASCII case; or NULL. */
const struct credential *credential_find(const struct credential_table *t,
					 struct slice login);
/* Is local@domain among its addresses, perhaps with an extension after one of
 * the characters of `delimiter`? */
bool credential_has_address(const struct credential *k, struct slice local,
			    const char *domain, const char *delimiter);
bool credential_has_limits(const struct credential *k);
/* Revocation, expiry, client network, TLS version, recipients of the message,
 * in this order.  `now`: seconds since 1970.  False: 550 5.7.8 (revoked or
 * expired), 550 5.7.1, 530 5.7.0, or 550 5.5.3. */
bool credential_check(struct arena *a, const struct credential *k,
		      const struct gate_facts *f, int64_t now,
		      const char *coaching, struct gate_fault *ret);
/* "Limit of 500 messages per hour of login x is reached, it frees at
 * 2026-11-24T14:05:00Z": 450 4.7.1.  `what`, `limit`, `frees`: as
 * meter_take() (store/meter.h) says it. */
void credential_over_limit(struct arena *a, const struct credential *k,
			   const char *what, int64_t limit, int64_t frees,
			   const char *coaching, struct gate_fault *ret);

#endif
