/*
 * Look-ups in the sender table: the order of the keys is that of Postfix's
 * smtpd_sender_login_maps.  Nothing is allocated for "does this login own this
 * address".  Pure.
 */
#include "gate/sender.h"

#include <stdlib.h>
#include <string.h>

#include "gate/sender_table.h"

struct slice sender_login(bool strip_realm, struct slice login)
{
	ptrdiff_t at = strip_realm ? slice_rchr(login, '@') : -1;

	return at < 0 ? login : slice_first(login, (size_t)at);
}

size_t sender_table_size(const struct sender_table *t)
{
	return t->keys.n;
}

static uint32_t login_of(const struct sender_table *t, struct slice login)
{
	struct slice s = sender_login(t->strip_realm, login);

	return sender_names_find(&t->logins, &(struct sender_name){{s}});
}

/* Names that have no extension, as Postfix has it. */
static bool is_whole(struct slice local, const char *delimiters)
{
	if (slice_is_ci(local, "postmaster") ||
	    slice_is_ci(local, "mailer-daemon") ||
	    slice_is_ci(local, "double-bounce"))
		return true;
	return strchr(delimiters, '-') != NULL &&
	       (slice_starts_ci(local, "owner-") ||
		(local.n > strlen("-request") &&
		 slice_ends_ci(local, "-request")));
}

struct slice sender_without_extension(struct slice local,
				      const char *delimiter)
{
	size_t n = 0;

	while (n < local.n &&
	       (local.p[n] == '\0' || strchr(delimiter, local.p[n]) == NULL))
		n++;
	return n == local.n || is_whole(local, delimiter)
		       ? SLICE("")
		       : slice_first(local, n);
}

static uint32_t find_at(const struct sender_table *t, struct slice local,
			struct slice domain)
{
	return sender_names_find(
		&t->keys, &(struct sender_name){{local, SLICE("@"), domain}});
}

/* A local-part with "@" in it must not be taken for an address. */
static uint32_t find_user(const struct sender_table *t, struct slice local)
{
	return slice_chr(local, '@') >= 0
		       ? SENDER_NONE
		       : sender_names_find(&t->keys,
					   &(struct sender_name){{local}});
}

/* The key that decides, or SENDER_NONE. */
static uint32_t key_of(const struct sender_table *t, struct slice local,
		       struct slice domain)
{
	struct slice bare = sender_without_extension(local, t->delimiter);
	uint32_t ret = find_at(t, local, domain);

	if (ret == SENDER_NONE && bare.n > 0)
		ret = find_at(t, bare, domain);
	if (sender_names_find(&t->local_domains,
			      &(struct sender_name){{domain}}) != SENDER_NONE) {
		if (ret == SENDER_NONE)
			ret = find_user(t, local);
		if (ret == SENDER_NONE && bare.n > 0)
			ret = find_user(t, bare);
	}
	return ret != SENDER_NONE ? ret : find_at(t, SLICE(""), domain);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool has(struct sender_list l, uint32_t i)
{
	return l.n > 0 && bsearch(&i, l.v, l.n, sizeof(i), by_number) != NULL;
}

/* Have the two something in common? */
static bool meet(struct sender_list a, struct sender_list b)
{
	if (a.n > b.n)
		return meet(b, a);
	for (size_t i = 0; i < a.n; i++)
		if (has(b, a.v[i]))
			return true;
	return false;
}

bool sender_owns(const struct sender_table *t, struct slice login,
		 struct slice local, const char *domain)
{
	uint32_t who = login_of(t, login), key = SENDER_NONE;
	struct sender_list owners;

	if (who != SENDER_NONE && domain != NULL)
		key = key_of(t, local, slice_of(domain));
	if (key == SENDER_NONE)
		return false;
	owners = sender_related(&t->owners_of, key);
	return has(owners, who) ||
	       meet(owners, sender_related(&t->groups_of, who));
}

static uint32_t group_of(const struct sender_table *t, const char *group)
{
	return sender_names_find(&t->logins,
				 &(struct sender_name){{slice_of(group)}});
}

bool sender_has_group(const struct sender_table *t, const char *group)
{
	uint32_t g = group_of(t, group);
	bool ret = false;

	for (uint32_t i = 0; g != SENDER_NONE && i < t->logins.n && !ret; i++)
		ret = has(sender_related(&t->groups_of, i), g);
	return ret;
}

bool sender_in_group(const struct sender_table *t, struct slice login,
		     const char *group)
{
	uint32_t who = login_of(t, login);
	uint32_t g = group_of(t, group);

	return who != SENDER_NONE && g != SENDER_NONE &&
	       has(sender_related(&t->groups_of, who), g);
}

static const char *key_text(struct arena *a, struct slice key)
{
	ptrdiff_t at = slice_rchr(key, '@');
	struct slice local = slice_first(key, at < 0 ? key.n : (size_t)at);
	struct strbuf b;

	if (sender_is_plain(local))
		return slice_cstr(a, key);
	strbuf_init(&b, a, 2 * key.n + 3);
	strbuf_addc(&b, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			strbuf_addc(&b, '\\');
		strbuf_addc(&b, local.p[i]);
	}
	strbuf_addc(&b, '"');
	strbuf_add(&b, slice_from(key, local.n));
	return strbuf_cstr(&b);
}

/* The first `max` keys of a login, or of a group. */
static size_t take(const struct sender_table *t, uint32_t who, uint32_t *ret,
		   size_t max)
{
	struct sender_list keys = sender_related(&t->keys_of, who);
	size_t n = keys.n < max ? keys.n : max;

	if (n > 0 && ret != NULL)
		memcpy(ret, keys.v, n * sizeof(*ret));
	return n;
}

/* Of itself and of its groups, each with its own first `max`: the first `max`
 * of all are among them.  `ret` NULL: counts. */
static size_t gather(const struct sender_table *t, uint32_t who, uint32_t *ret,
		     size_t max)
{
	struct sender_list groups = sender_related(&t->groups_of, who);
	size_t n = take(t, who, ret, max);

	for (size_t i = 0; i < groups.n; i++)
		n += take(t, groups.v[i], ret != NULL ? ret + n : NULL, max);
	return n;
}

size_t sender_keys_of(const struct sender_table *t, struct arena *a,
		      struct slice login, const char **ret, size_t max)
{
	uint32_t who = login_of(t, login), *keys;
	size_t n, out = 0;

	if (who == SENDER_NONE)
		return 0;
	keys = arena_array(a, gather(t, who, NULL, max), sizeof(*keys));
	n = gather(t, who, keys, max);
	if (n > 0)
		qsort(keys, n, sizeof(*keys), by_number);
	for (size_t i = 0; i < n && out < max; i++)
		if (i == 0 || keys[i] != keys[i - 1])
			ret[out++] = key_text(a, t->keys.v[keys[i]]);
	return out;
}
