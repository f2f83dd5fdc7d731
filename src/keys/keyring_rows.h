/*
 * What the files of the keyring share: keyring.c (building, loading, choosing)
 * and keyring_standing.c (what is told of it).
 */
#ifndef MAILSEAL_KEYS_KEYRING_ROWS_H
#define MAILSEAL_KEYS_KEYRING_ROWS_H

#include <pthread.h>

#include "keys/keyring.h"

/* A key that was loaded, or that could not be. */
struct loaded {
	struct loaded *newer, *older;
	struct row *row;
	struct crypto_privkey *key; /* NULL: failed */
	enum key_state state;
	int64_t since;
	char *error; /* why there is no key, or NULL */
	int64_t retry_ms;
	bool pinned;
};

struct row {
	struct key_entry entry;
	size_t order; /* as added: the first key's signature is topmost */
	struct loaded *loaded;
	int64_t used_ms; /* when it was last chosen, or 0 */
};

struct keyring {
	size_t n, cap;
	struct row *rows;
	size_t ndomains;
	struct arena *arena; /* texts of key tables */
	struct keyd *source; /* NULL: we open the files */
	uint32_t generation; /* of the source; 0: none yet */

	pthread_mutex_t lock;
	size_t max_loaded;
	size_t nlisted; /* in the list: not pinned */
	struct loaded *newest, *oldest;
	struct keyring_counters counters;
};

#endif
