/* Counters that are added to without a lock. */
#include "milter/tally.h"

#include <stdatomic.h>
#include <stdlib.h>

struct tally {
	atomic_uint_fast64_t by_status[DMARC_STATUS_PERMERROR + 1];
	atomic_uint_fast64_t would_be[DMARC_P_REJECT + 1];
	atomic_uint_fast64_t done[DMARC_P_REJECT + 1];
	atomic_uint_fast64_t gate_ok[TALLY_GATES], gate_fault[TALLY_GATES];
	struct preflight_tally *preflight;
};

struct tally *tally_new(void)
{
	struct tally *t = mem_alloc(sizeof(*t));

	t->preflight = preflight_tally_new();
	return t;
}

void tally_free(struct tally *t)
{
	if (t == NULL)
		return;
	preflight_tally_free(t->preflight);
	free(t);
}

void tally_count_inbound(struct tally *t, enum dmarc_status status,
			 const struct verdict *v)
{
	atomic_fetch_add(&t->by_status[status], 1);
	atomic_fetch_add(&t->done[v->disposition], 1);
	if (v->would_be != v->disposition)
		atomic_fetch_add(&t->would_be[v->would_be], 1);
}

void tally_count_gate(struct tally *t, enum tally_gate what, bool fault)
{
	atomic_fetch_add(fault ? &t->gate_fault[what] : &t->gate_ok[what], 1);
}

struct preflight_tally *tally_preflight(const struct tally *t)
{
	return t->preflight;
}

void tally_get(const struct tally *t, struct tally_counters *ret)
{
	for (size_t i = 0; i <= DMARC_STATUS_PERMERROR; i++)
		ret->by_status[i] = atomic_load(&t->by_status[i]);
	ret->would_quarantine = atomic_load(&t->would_be[DMARC_P_QUARANTINE]);
	ret->would_reject = atomic_load(&t->would_be[DMARC_P_REJECT]);
	ret->quarantined = atomic_load(&t->done[DMARC_P_QUARANTINE]);
	ret->rejected = atomic_load(&t->done[DMARC_P_REJECT]);
	for (size_t i = 0; i < TALLY_GATES; i++) {
		ret->gate_ok[i] = atomic_load(&t->gate_ok[i]);
		ret->gate_fault[i] = atomic_load(&t->gate_fault[i]);
	}
}
