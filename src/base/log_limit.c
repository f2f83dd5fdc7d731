/*
 * A small table of texts and kinds, searched from one end to the other: only
 * warnings and errors come here.
 */
#include "base/log_limit.h"

#include <string.h>

#define SLOTS	  64
#define WINDOW_MS 60000
#define EACH_TEXT 10
#define EACH_KIND 60
#define FNV_START 14695981039346656037u
#define FNV_PRIME 1099511628211u

struct slot {
	uint64_t key; /* 0: free */
	int64_t since, last;
	uint64_t n; /* written in this window */
	struct log_repeat repeat;
};

static struct slot slots[SLOTS];
static uint64_t holding; /* slots that have something to tell */

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
	const unsigned char *at = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ at[i]) * FNV_PRIME;
	return h;
}

static bool tell(struct slot *s, int64_t now, struct log_repeat *ret)
{
	if (s->repeat.held == 0)
		return false;
	*ret = s->repeat;
	ret->seconds = (now - s->since + 500) / 1000;
	s->repeat.held = 0;
	holding--;
	return true;
}

/* The slot of the key: its own, a free one, or that of the longest unseen. */
static struct slot *slot_for(uint64_t key, int64_t now, struct log_repeat *ret)
{
	struct slot *found = &slots[0];

	for (size_t i = 0; i < SLOTS; i++) {
		if (slots[i].key == key)
			return &slots[i];
		if (slots[i].last < found->last)
			found = &slots[i];
	}
	(void)tell(found, now, ret);
	*found = (struct slot){.key = key, .since = now};
	return found;
}

static void hold(struct slot *s, const struct log_repeatable *r, bool kind)
{
	struct slice shown = slice_first(r->text, LOG_REPEAT_SHOWN);

	if (s->repeat.held++ == 0)
		holding++;
	s->repeat.level = r->level;
	s->repeat.event = r->event;
	s->repeat.kind = kind;
	memcpy(s->repeat.text, shown.p, shown.n);
	s->repeat.text[shown.n] = '\0';
}

static bool take(uint64_t key, uint64_t most, bool kind,
		 const struct log_repeatable *r, int64_t now,
		 struct log_repeat *ret)
{
	struct slot *s = slot_for(key, now, ret);

	s->last = now;
	if (now - s->since >= WINDOW_MS) {
		(void)tell(s, now, ret);
		s->since = now;
		s->n = 0;
	}
	if (s->n++ < most)
		return true;
	hold(s, r, kind);
	return false;
}

bool log_limit_take(const struct log_repeatable *r, int64_t now,
		    struct log_repeat ret[2])
{
	uint64_t kind = hash(FNV_START, &r->kind, sizeof(r->kind));
	uint64_t text = hash(kind, r->text.p, r->text.n);

	ret[0].held = ret[1].held = 0;
	return take(text | 1, EACH_TEXT, false, r, now, &ret[0]) &&
	       take(kind & ~(uint64_t)1, EACH_KIND, true, r, now, &ret[1]);
}

bool log_limit_next(int64_t now, bool all, struct log_repeat *ret)
{
	for (size_t i = 0; holding > 0 && i < SLOTS; i++) {
		struct slot *s = &slots[i];

		if (!all && now - s->since < WINDOW_MS)
			continue;
		if (!tell(s, now, ret))
			continue;
		s->since = now;
		s->n = 0;
		return true;
	}
	return false;
}
