/*
 * Private keys by domain.  Built at start (and at reload) from the
 * configuration, then immutable; shared by all threads.
 *
 * keyd.c opens the files and checks owner and mode: it is the only code that
 * sees a path.
 */
#ifndef MAILSEAL_KEYS_KEYRING_H
#define MAILSEAL_KEYS_KEYRING_H

#include "crypto/crypto.h"
#include "dkim/dkim.h"

struct keyring;

struct keyring *keyring_new(void);
void keyring_free(struct keyring *k);

/*
 * Loads a key file and adds it for `domain` with `selector` (both canonical
 * or refused).  0, or -errno with one line in *err (in `a`): path, what is
 * wrong, and the command that cures it.
 */
int keyring_add(struct keyring *k, struct arena *a, const char *domain,
		const char *selector, const char *file, uint32_t lifetime,
		const char **err);

/* The keys that sign for mail From `domain`: exact match.  0 when none. */
size_t keyring_find(const struct keyring *k, const char *domain,
		    const struct dkim_signing_key **ret);
size_t keyring_domains(const struct keyring *k);

/*
 * Reads a private key file (keyd.c).  Refused unless a regular file owned by
 * root or by the effective user, and readable by nobody else but the group
 * root or the user's own group (0600, 0640).
 */
int keyd_load(struct arena *a, const char *file, struct crypto_privkey **ret,
	      const char **err);

#endif
