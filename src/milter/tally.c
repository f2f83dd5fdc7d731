/*
 * Counters in shards: who counts adds in the shard of the processor that it
 * runs on, so that a line of cache seldom moves between processors; who reads
 * sums them up.  A shard is a struct tally_counters of atomics.
 */
#include "milter/tally.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "milter/tally_names.h"

#define SHARDS 16
#define WORDS  (sizeof(struct tally_counters) / sizeof(uint64_t))
/* The place of a member in a shard. */
#define AT(member) (offsetof(struct tally_counters, member) / sizeof(uint64_t))

struct shard {
	_Atomic uint64_t v[WORDS];
	char apart[64]; /* from the next one's line of cache */
};

struct tally {
	struct shard shards[SHARDS];
	struct preflight_tally *preflight;
	struct tally_names *signatures, *rules;
};

const uint32_t tally_bounds[TALLY_BOUNDS] = {
	100,	 250,	  500,	   1000,     2500,     5000,
	10000,	 25000,	  50000,   100000,   250000,   500000,
	1000000, 2500000, 5000000, 10000000, 30000000,
};

struct tally *tally_new(void)
{
	struct tally *t = mem_alloc(sizeof(*t));

	t->preflight = preflight_tally_new();
	t->signatures = tally_names_new();
	t->rules = tally_names_new();
	return t;
}

void tally_free(struct tally *t)
{
	if (t == NULL)
		return;
	preflight_tally_free(t->preflight);
	tally_names_free(t->signatures);
	tally_names_free(t->rules);
	free(t);
}

static struct shard *shard_of(struct tally *t)
{
	int cpu = sched_getcpu();

	return &t->shards[cpu > 0 ? (unsigned)cpu % SHARDS : 0];
}

static void add(struct shard *s, size_t at, uint64_t n)
{
	atomic_fetch_add_explicit(&s->v[at], n, memory_order_relaxed);
}

static void add_time(struct shard *s, enum tally_stage stage, int64_t us)
{
	const size_t at = AT(times) + (size_t)stage *
					      sizeof(struct tally_time) /
					      sizeof(uint64_t);
	size_t i = 0;

	if (us < 0)
		return;
	while (i < TALLY_BOUNDS && us > tally_bounds[i])
		i++;
	add(s, at + i, 1);
	add(s, at + TALLY_BOUNDS + 1, (uint64_t)us);
}

static void add_results(struct shard *s, const struct results *r)
{
	if (r->spf_helo.checked)
		add(s, AT(spf_helo) + r->spf_helo.status, 1);
	if (r->spf_mailfrom.checked)
		add(s, AT(spf_mailfrom) + r->spf_mailfrom.status, 1);
	for (size_t i = 0; i < r->dkim.n; i++)
		add(s, AT(dkim) + r->dkim.v[i].status, 1);
	if (r->dkim.n == 0)
		add(s, AT(dkim) + TALLY_DKIM_NONE, 1);
	add(s, AT(arc) + r->arc.status, 1);
	add(s, AT(dmarc) + r->dmarc.status, 1);
	if (r->iprev.checked)
		add(s, AT(iprev) + r->iprev.status, 1);
}

static void add_disposition(struct shard *s, const struct verdict *v)
{
	add(s, AT(done) + v->disposition, 1);
	if (v->would_be != v->disposition)
		add(s, AT(would_be) + v->would_be, 1);
}

static void count_rules(struct tally *t, const struct rule_outcome *o)
{
	if (o->rule != NULL)
		tally_names_add(
			t->rules, o->rule->name,
			rule_action_name((enum rule_action)o->rule->action),
			"enforce");
	for (size_t i = 0; i < o->nwould; i++)
		tally_names_add(
			t->rules, o->would[i]->name,
			rule_action_name((enum rule_action)o->would[i]->action),
			"monitor");
}

void tally_count_message(struct tally *t, const struct tally_message *m)
{
	struct shard *s = shard_of(t);

	add(s, AT(messages) + m->direction * TALLY_RESULTS + m->result, 1);
	if (m->results != NULL)
		add_results(s, m->results);
	if (m->results != NULL && m->verdict != NULL)
		add_disposition(s, m->verdict);
	if (m->signing < TALLY_SEALINGS)
		add(s, AT(signing) + m->signing, 1);
	if (m->arc_sealing < TALLY_SEALINGS)
		add(s, AT(arc_sealing) + m->arc_sealing, 1);
	for (size_t i = 0; i < TALLY_STAGES; i++)
		add_time(s, (enum tally_stage)i, m->us[i]);
	if (m->verdict != NULL)
		count_rules(t, &m->verdict->rules);
	for (size_t i = 0; i < m->nkeys; i++)
		tally_names_add(t->signatures, m->keys[i].domain, "", "");
}

void tally_count_gate(struct tally *t, enum tally_gate what, bool fault)
{
	add(shard_of(t), (fault ? AT(gate_fault) : AT(gate_ok)) + what, 1);
}

void tally_count_mta_refusal(struct tally *t)
{
	add(shard_of(t), AT(mta_refusals), 1);
}

void tally_session_begins(struct tally *t)
{
	add(shard_of(t), AT(sessions_begun), 1);
}

void tally_session_ends(struct tally *t)
{
	add(shard_of(t), AT(sessions_ended), 1);
}

void tally_message_begins(struct tally *t)
{
	add(shard_of(t), AT(messages_begun), 1);
}

void tally_message_ends(struct tally *t)
{
	add(shard_of(t), AT(messages_ended), 1);
}

struct preflight_tally *tally_preflight(const struct tally *t)
{
	return t->preflight;
}

/* From the last member to the first: of a message that begins and ends
 * meanwhile the end must not be seen alone. */
void tally_get(const struct tally *t, struct tally_counters *ret)
{
	uint64_t *v = (uint64_t *)ret;

	*ret = (struct tally_counters){0};
	for (size_t i = WORDS; i-- > 0;)
		for (size_t k = 0; k < SHARDS; k++)
			v[i] += atomic_load(&t->shards[k].v[i]);
}

void tally_each_signature(const struct tally *t,
			  void (*tell)(void *arg, const struct tally_named *n),
			  void *arg)
{
	tally_names_each(t->signatures, tell, arg);
}

void tally_each_rule(const struct tally *t,
		     void (*tell)(void *arg, const struct tally_named *n),
		     void *arg)
{
	tally_names_each(t->rules, tell, arg);
}
