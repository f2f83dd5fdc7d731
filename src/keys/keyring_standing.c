/* How it stands with the keys: for the status, the metrics and mailseal keys.
 * Nothing is loaded for it. */
#include "keys/keyring_rows.h"

void keyring_counters_get(struct keyring *k, struct keyring_counters *ret)
{
	pthread_mutex_lock(&k->lock);
	*ret = k->counters;
	pthread_mutex_unlock(&k->lock);
}

void keyring_standing_get(struct keyring *k, size_t i, struct arena *a,
			  struct keyring_standing *ret)
{
	const struct loaded *l;

	pthread_mutex_lock(&k->lock);
	l = k->rows[i].loaded;
	*ret = (struct keyring_standing){.known = l != NULL};
	if (l != NULL) {
		ret->usable = l->key != NULL || l->error == NULL;
		ret->state = l->state;
		ret->since = l->since;
		ret->loaded = l->key != NULL;
		if (l->error != NULL && a != NULL)
			ret->error = arena_strdup(a, l->error);
	}
	if (ret->loaded) {
		ret->type = crypto_privkey_type(l->key);
		ret->bits = crypto_privkey_bits(l->key);
	}
	ret->used_ms = k->rows[i].used_ms;
	pthread_mutex_unlock(&k->lock);
}
