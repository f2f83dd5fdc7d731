/*
 * Tells the tally what became of a message, once, when that is settled: what
 * was counted on the way would be counted twice when a fault of ours takes it
 * back.
 */
#include "milter/session_state.h"

#include "base/clock.h"

void session_measure(struct session *s)
{
	s->measured = (struct measured){
		.began_us = clock_mono_us(),
		.dns_us = -1,
		.verify_us = -1,
		.sign_us = -1,
		.signing = TALLY_NOT_ASKED,
	};
}

static enum tally_result result_of(const struct session *s,
				   const struct session_outcome *o)
{
	const struct verdict *v = s->remembered.verdict;

	switch (o->action) {
	case VERDICT_ACCEPT:
		break;
	case VERDICT_TEMPFAIL:
		return TALLY_TEMPFAILED;
	case VERDICT_REJECT:
		return TALLY_REJECTED;
	case VERDICT_DISCARD:
		return TALLY_DISCARDED;
	}
	return v != NULL && v->mark != NULL ? TALLY_QUARANTINED
					    : TALLY_ACCEPTED;
}

/* A message that we could not examine is not signed either. */
static enum tally_sealing signing_of(const struct session *s)
{
	if (s->direction != MAIL_OUTBOUND || s->failed == NULL)
		return s->measured.signing;
	return s->must_sign ? TALLY_FAILED : TALLY_UNSEALED;
}

void session_count(struct session *s, const struct session_outcome *o)
{
	const struct measured *m = &s->measured;
	int64_t all_us = clock_mono_us() - m->began_us;
	bool inbound = s->direction == MAIL_INBOUND;
	enum tally_sealing signing = signing_of(s);

	tally_count_message(
		s->app->tally,
		&(struct tally_message){
			.direction = s->direction,
			.result = result_of(s, o),
			.results = s->remembered.results,
			.verdict = s->remembered.verdict,
			.signing = signing,
			.arc_sealing =
				sealing_outcome(s, o->action == VERDICT_ACCEPT),
			.nkeys = signing == TALLY_SEALED ? m->nsigned : 0,
			.keys = s->keys.v,
			.us = {
				[TALLY_STAGE_INBOUND] = inbound ? all_us : -1,
				[TALLY_STAGE_OUTBOUND] =
					s->direction == MAIL_OUTBOUND ? all_us
								      : -1,
				[TALLY_STAGE_DNS] = m->dns_us,
				[TALLY_STAGE_VERIFY] = m->verify_us,
				[TALLY_STAGE_SIGN] = m->sign_us,
			}});
}
