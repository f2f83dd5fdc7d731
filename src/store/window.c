/*
 * The sums are made anew for each message, over at most 290 slots: that costs
 * less than keeping them right under clocks that jump and counts that come
 * from other instances.
 */
#include "store/window.h"

#include <stdlib.h>
#include <string.h>

int64_t window_slot(int64_t seconds)
{
	int64_t n = seconds / SLOT_SECONDS;

	return seconds % SLOT_SECONDS < 0 ? n - 1 : n;
}

void window_done(struct window *w)
{
	free(w->v);
	*w = (struct window){0};
}

static int64_t at_most(int64_t n, int64_t max)
{
	return n < max ? n : max;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void amount_add(struct amount *a, struct amount b)
{
	a->messages = at_most(a->messages + b.messages, COUNT_MAX);
	a->recipients = at_most(a->recipients + b.recipients, COUNT_MAX);
}

/* The slot with this number, made if need be; nearly always the last. */
static struct slot *slot_of(struct window *w, int64_t number)
{
	size_t i = w->n;

	while (i > 0 && w->v[i - 1].number > number)
		i--;
	if (i > 0 && w->v[i - 1].number == number)
		return &w->v[i - 1];
	if (w->n == w->room) {
		w->room = w->room > 0 ? 2 * w->room : 4;
		w->v = mem_realloc(w->v, w->room * sizeof(*w->v));
	}
	memmove(w->v + i + 1, w->v + i, (w->n - i) * sizeof(*w->v));
	w->n++;
	w->v[i] = (struct slot){.number = number};
	return &w->v[i];
}

static void forget_old(struct window *w, int64_t now)
{
	size_t old = 0;

	while (old < w->n && w->v[old].number <= now - DAY_SLOTS)
		old++;
	if (old > 0)
		memmove(w->v, w->v + old, (w->n - old) * sizeof(*w->v));
	w->n -= old;
}

void window_advance(struct window *w, int64_t now)
{
	struct amount known = {0}, fresh = {0};
	struct slot *to;
	size_t n = w->n;

	forget_old(w, now);
	while (w->n > 0 && w->v[w->n - 1].number > now + 1) {
		w->n--;
		amount_add(&known, w->v[w->n].known);
		amount_add(&fresh, w->v[w->n].fresh);
	}
	if (n > w->n && known.messages + fresh.messages > 0) {
		to = slot_of(w, now);
		amount_add(&to->known, known);
		amount_add(&to->fresh, fresh);
	}
	if (w->n == 0 && w->room > 0)
		window_done(w);
}

/* One of the limits. */
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

static int64_t counted(const struct slot *s, const struct rule *r)
{
	return r->recipients ? s->known.recipients + s->fresh.recipients
			     : s->known.messages + s->fresh.messages;
}

static int64_t sum(const struct window *w, const struct rule *r, int64_t now)
{
	int64_t total = 0;

	for (size_t i = w->n; i > 0 && w->v[i - 1].number > now - r->slots; i--)
		total += counted(&w->v[i - 1], r);
	return total;
}

/* The first slot at which `more` is within the limit. */
static int64_t free_slot(const struct window *w, const struct rule *r,
			 int64_t more, int64_t now)
{
	int64_t left = sum(w, r, now), ret = now;

	if (more > r->limit)
		more = 1;
	for (size_t i = 0; i < w->n && left + more > r->limit; i++) {
		if (w->v[i].number <= now - r->slots)
			continue;
		left -= counted(&w->v[i], r);
		ret = w->v[i].number + r->slots;
	}
	return ret;
}

bool window_take(struct window *w, const struct credential_limits *limits,
		 int64_t recipients, int64_t now, struct window_over *over)
{
	struct rule rules[RULES];
	struct slot *s;
	bool ok = true;

	rules_of(limits, rules);
	for (size_t i = 0; i < RULES; i++) {
		const struct rule *r = &rules[i];
		int64_t more = r->recipients ? recipients : 1, frees;

		if (r->limit == 0 || more <= r->limit - sum(w, r, now))
			continue;
		frees = free_slot(w, r, more, now);
		if (ok || frees > over->frees)
			*over = (struct window_over){r->what, r->limit, frees};
		ok = false;
	}
	if (!ok)
		return false;
	s = slot_of(w, now);
	amount_add(&s->fresh, (struct amount){1, recipients});
	return true;
}

void window_learn(struct window *w, int64_t number, struct amount total,
		  struct amount written)
{
	struct slot *s = slot_of(w, number);

	/* less, when the clock jumped in between */
	s->fresh.messages = larger(s->fresh.messages - written.messages, 0);
	s->fresh.recipients =
		larger(s->fresh.recipients - written.recipients, 0);
	s->known.messages = larger(s->known.messages, total.messages);
	s->known.recipients = larger(s->known.recipients, total.recipients);
}

bool window_has_fresh(const struct window *w)
{
	for (size_t i = w->n; i > 0; i--)
		if (w->v[i - 1].fresh.messages > 0)
			return true;
	return false;
}
