/*
 * Names to numbers (a hash table with open addressing, at most half full), and
 * relations of numbers (sorted by counting): all in linear time.
 *
 * The names come from files of the administrator; what a message asks for is
 * only looked up, so no sender can make the table slow.
 */
#include "gate/sender_table.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64
#define PARTS	  3

/* FNV-1a of the lower-case text, with its bits mixed. */
static uint64_t hash(const struct sender_name *name)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < PARTS; i++) {
		struct slice s = name->part[i];

		for (size_t k = 0; k < s.n; k++) {
			h ^= (unsigned char)ascii_lower(s.p[k]);
			h *= 0x100000001b3;
		}
	}
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccd;
	return h ^ h >> 33;
}

static bool is(struct slice text, const struct sender_name *name)
{
	for (size_t i = 0; i < PARTS; i++) {
		size_t n = name->part[i].n;

		if (n > text.n ||
		    !slice_eq_ci(slice_first(text, n), name->part[i]))
			return false;
		text = slice_from(text, n);
	}
	return text.n == 0;
}

/* The slot of the name, or the free one where it belongs. */
static uint32_t *slot_of(const struct sender_names *t,
			 const struct sender_name *name)
{
	size_t i = hash(name) & (t->nslots - 1);

	while (t->slots[i] != 0 && !is(t->v[t->slots[i] - 1], name))
		i = (i + 1) & (t->nslots - 1);
	return &t->slots[i];
}

uint32_t sender_names_find(const struct sender_names *t,
			   const struct sender_name *name)
{
	return t->n == 0 ? SENDER_NONE : *slot_of(t, name) - 1;
}

static void grow_slots(struct sender_names *t)
{
	t->nslots = t->nslots == 0 ? SLOTS_MIN : 2 * t->nslots;
	free(t->slots);
	t->slots = mem_alloc(t->nslots * sizeof(*t->slots));
	for (size_t i = 0; i < t->n; i++)
		*slot_of(t, &(struct sender_name){{t->v[i]}}) = (uint32_t)i + 1;
}

static struct slice lower_copy(struct arena *a, const struct sender_name *name)
{
	size_t n = 0;
	char *p;

	for (size_t i = 0; i < PARTS; i++)
		n += name->part[i].n;
	p = arena_alloc(a, n + 1);
	n = 0;
	for (size_t i = 0; i < PARTS; i++)
		for (size_t k = 0; k < name->part[i].n; k++)
			p[n++] = ascii_lower(name->part[i].p[k]);
	return (struct slice){p, n};
}

uint32_t sender_names_add(struct sender_names *t,
			  const struct sender_name *name)
{
	uint32_t *slot;

	if (2 * (t->n + 1) > t->nslots)
		grow_slots(t);
	slot = slot_of(t, name);
	if (*slot == 0) {
		if (t->n == t->room) {
			t->room = t->room == 0 ? SLOTS_MIN : 2 * t->room;
			t->v = mem_realloc(t->v, t->room * sizeof(*t->v));
		}
		t->v[t->n] = lower_copy(t->arena, name);
		*slot = (uint32_t)++t->n;
	}
	return *slot - 1;
}

void sender_names_free(struct sender_names *t)
{
	free(t->v);
	free(t->slots);
}

static struct sender_relation relation_new(size_t n, size_t nvalues)
{
	struct sender_relation ret = {.n = n};

	ret.start = mem_alloc((n + 1) * sizeof(*ret.start));
	ret.v = mem_alloc(nvalues * sizeof(*ret.v));
	return ret;
}

/* From how many there are of i, in start[i], to where they end. */
static void sum_up(struct sender_relation *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->start[i + 1] += r->start[i];
}

/* Filling goes from the back, which turns ends into starts. */
struct sender_relation sender_relate(const struct sender_pair *pairs,
				     size_t npairs, size_t n)
{
	struct sender_relation ret = relation_new(n, npairs);

	for (size_t i = 0; i < npairs; i++)
		ret.start[pairs[i].from]++;
	sum_up(&ret);
	for (size_t i = npairs; i-- > 0;)
		ret.v[--ret.start[pairs[i].from]] = pairs[i].to;
	return ret;
}

struct sender_relation sender_invert(const struct sender_relation *r, size_t n)
{
	size_t nvalues = r->start[r->n];
	struct sender_relation ret = relation_new(n, nvalues);

	for (size_t i = 0; i < nvalues; i++)
		ret.start[r->v[i]]++;
	sum_up(&ret);
	for (size_t i = r->n; i-- > 0;)
		for (size_t k = r->start[i + 1]; k-- > r->start[i];)
			ret.v[--ret.start[r->v[k]]] = (uint32_t)i;
	return ret;
}

void sender_relation_free(struct sender_relation *r)
{
	free(r->start);
	free(r->v);
}

struct sender_list sender_related(const struct sender_relation *r, uint32_t i)
{
	return (struct sender_list){r->v + r->start[i],
				    r->start[i + 1] - r->start[i]};
}
