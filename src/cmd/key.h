/*
 * What the sub-commands of `mailseal key` share: cmd_key.c (arguments, new),
 * key_dns.c (records), key_life.c (from new to revoked).
 */
#ifndef MAILSEAL_CMD_KEY_H
#define MAILSEAL_CMD_KEY_H

#include "dkim/published.h"
#include "keys/keyring.h"

struct key_arguments {
	const char *domain, *selector, *type, *out, *config, *format;
	uint64_t bits;
	bool revoked, force;
};

/* Each returns an exit status: 0, 1 (a key is not as it should be) or
 * sysexits(3). */
int key_list(struct arena *a, const struct key_arguments *o);
int key_check(struct arena *a, const struct key_arguments *o);
int key_publish(struct arena *a, const struct key_arguments *o);
int key_activate(struct arena *a, const struct key_arguments *o);
int key_retire(struct arena *a, const struct key_arguments *o);

/* ---- key_dns.c ---- */
/* "v=DKIM1; k=rsa; p=..." (RFC 6376 3.6.1); no key: the revoked record. */
struct slice key_record_text(struct arena *a, const struct crypto_privkey *k);
/* As a line of a zone file (BIND, NSD, Knot) or as input of nsupdate(1). */
void key_record_print(const char *name, struct slice text, bool nsupdate);

#endif
