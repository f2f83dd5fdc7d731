/*
 * Counts of the last hour and day in slots of five minutes, for each login.
 *
 * A slot counts until the last moment of it is an hour (or a day) old, so in
 * no hour is a limit exceeded, and what is counted may stay up to five minutes
 * longer than it must.
 */
#include "store/meter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_SECONDS 300
#define HOUR_SLOTS   13	 /* the current one and the 12 before */
#define DAY_SLOTS    289 /* the current one and the 288 before */

struct slot {
	int64_t number; /* time / SLOT_SECONDS */
	int64_t messages, recipients;
};

struct account {
	struct account *next; /* in its bucket */
	char *login;
	size_t n, room;
	struct slot *v; /* oldest first */
};

#define BUCKETS 4096

struct meter {
	pthread_mutex_t lock;
	struct account *buckets[BUCKETS];
};

struct meter *meter_new(struct arena *a, const char *folder, int64_t now,
			const char **warning)
{
	struct meter *m = mem_alloc(sizeof(*m));

	(void)a;
	(void)folder;
	(void)now;
	*warning = NULL;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

static void account_free(struct account *k)
{
	free(k->login);
	free(k->v);
	free(k);
}

void meter_free(struct meter *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct account *k = m->buckets[i], *next; k != NULL;
		     k = next) {
			next = k->next;
			account_free(k);
		}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* FNV-1a: logins come from the administrator's file. */
static size_t bucket_of(struct slice login)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < login.n; i++)
		h = (h ^ (unsigned char)login.p[i]) * 1099511628211u;
	return (size_t)(h % BUCKETS);
}

static struct account *account_of(struct meter *m, struct slice login)
{
	struct account **at = &m->buckets[bucket_of(login)];
	struct account *k;

	for (k = *at; k != NULL; k = k->next)
		if (slice_is(login, k->login))
			return k;
	k = mem_alloc(sizeof(*k));
	k->login = mem_alloc(login.n + 1);
	memcpy(k->login, login.p, login.n);
	k->next = *at;
	*at = k;
	return k;
}

static void forget_old(struct account *k, int64_t slot)
{
	size_t old = 0;

	while (old < k->n && k->v[old].number <= slot - DAY_SLOTS)
		old++;
	if (old > 0)
		memmove(k->v, k->v + old, (k->n - old) * sizeof(*k->v));
	k->n -= old;
}

/* One of the limits, as it is tested. */
struct rule {
	const char *what;
	int64_t limit;
	int64_t slots;
	bool recipients;
};

#define RULES 4

static void rules_of(const struct credential_limits *l, struct rule ret[RULES])
{
	ret[0] = (struct rule){"messages per hour", l->messages_per_hour,
			       HOUR_SLOTS, false};
	ret[1] = (struct rule){"recipients per hour", l->recipients_per_hour,
			       HOUR_SLOTS, true};
	ret[2] = (struct rule){"messages per day", l->messages_per_day,
			       DAY_SLOTS, false};
	ret[3] = (struct rule){"recipients per day", l->recipients_per_day,
			       DAY_SLOTS, true};
}

static int64_t amount(const struct slot *s, const struct rule *r)
{
	return r->recipients ? s->recipients : s->messages;
}

/* What counts at the slot `at`. */
static int64_t sum(const struct account *k, const struct rule *r, int64_t at)
{
	int64_t total = 0;

	for (size_t i = k->n; i > 0 && k->v[i - 1].number > at - r->slots; i--)
		total += amount(&k->v[i - 1], r);
	return total;
}

/* The first slot at which one more is within the limit. */
static int64_t free_slot(const struct account *k, const struct rule *r,
			 int64_t slot)
{
	int64_t left = sum(k, r, slot);

	for (size_t i = 0; i < k->n; i++) {
		if (k->v[i].number <= slot - r->slots)
			continue;
		left -= amount(&k->v[i], r);
		if (left + 1 <= r->limit)
			return k->v[i].number + r->slots;
	}
	return slot;
}

static void count(struct account *k, int64_t slot, int64_t recipients)
{
	if (k->n == 0 || k->v[k->n - 1].number < slot) {
		if (k->n == k->room) {
			k->room = k->room > 0 ? 2 * k->room : 8;
			k->v = mem_realloc(k->v, k->room * sizeof(*k->v));
		}
		k->v[k->n++] = (struct slot){.number = slot};
	}
	/* also when the clock went back: into the newest */
	k->v[k->n - 1].messages++;
	k->v[k->n - 1].recipients += recipients;
}

static bool take(struct account *k, const struct credential_limits *limits,
		 int64_t recipients, int64_t slot, struct rule *over,
		 int64_t *frees)
{
	struct rule rules[RULES];

	rules_of(limits, rules);
	for (size_t i = 0; i < RULES; i++) {
		const struct rule *r = &rules[i];
		int64_t more = r->recipients ? recipients : 1;

		if (r->limit == 0 || sum(k, r, slot) + more <= r->limit)
			continue;
		*over = *r;
		*frees = free_slot(k, r, slot) * SLOT_SECONDS;
		return false;
	}
	count(k, slot, recipients);
	return true;
}

bool meter_take(struct meter *m, struct slice login,
		const struct credential_limits *limits, int64_t recipients,
		int64_t now, const char **what, int64_t *limit, int64_t *frees)
{
	int64_t slot = now / SLOT_SECONDS;
	struct rule over;
	struct account *k;
	bool ok;

	pthread_mutex_lock(&m->lock);
	k = account_of(m, login);
	forget_old(k, slot);
	ok = take(k, limits, recipients, slot, &over, frees);
	pthread_mutex_unlock(&m->lock);
	if (ok)
		return true;
	*what = over.what;
	*limit = over.limit;
	return false;
}
