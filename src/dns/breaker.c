/*
 * The breaker: when every server is silent, each message would wait for its
 * whole DNS time, one session after the other would hang, and the MTA would
 * run into its own time-outs.  So after some time-outs in a row, without an
 * answer of any kind in between, the resolver is "in outage": who asks is
 * told so at once, and the servers are probed until one answers.
 *
 * A pure state machine over numbers and a clock that it is told; unbound.c
 * drives it and keeps its lock.
 *
 * What is alive?  Whoever answers, whatever the answer: a server that says
 * SERVFAIL or REFUSED to everything is not silent, and nobody waits for it.
 * libunbound makes SERVFAIL of both, and of its own despair as well, so the
 * time tells them apart:
 *
 *   at once, before anything was sent: it holds the servers for dead, or
 *	remembers that it gave up (what a server said is in our cache for
 *	longer), or nothing can be sent at all; all that is silence.
 *   in less than the shortest time after which it asks a forwarder again
 *	(500 ms): only a server can have said so.
 *   after the time that a question may take: it gave up; silence.
 *   in between: either; it tells nothing.
 *
 * Probes are clearer: in an outage every fourth one uses a fresh context, and
 * a fresh context does not give up within four seconds.  So all that a probe
 * brings is an answer, unless it comes at once.
 *
 * Who sends mail from domains whose name servers are dead makes a forwarder
 * that is alive slow for those names, and can cause time-outs as he likes.
 * Any other answer in between resets the count.  When there is none, a first
 * probe leaves at once, and until it had a moment to be answered nobody is
 * refused.  A server that needs longer for an answer makes a wrong outage,
 * which its next answer to a probe ends, after about a second; what was asked
 * within that time is a temporary failure, which is deferred and asked again.
 *
 * A forwarder that is alive and has lost its own servers answers a probe below
 * "invalid." by itself (RFC 6761 6.4).  The outage then ends, and begins again
 * after as many time-outs: better than now, and it does not last, since
 * such a forwarder soon answers SERVFAIL.
 */
#include "dns/breaker.h"

#define LIMIT	    10
#define PERIOD_MS   1000
#define RENEW_EVERY 4 /* probes */
#define DECIDE_MS   300
#define SURE_MS	    300
#define GIVES_UP_MS 3000

enum dns_sign dns_breaker_sign(bool failed, bool at_once, int64_t took_ms,
			       int64_t patience_ms)
{
	if (!failed)
		return DNS_SIGN_ALIVE;
	if (at_once)
		return DNS_SIGN_SILENT;
	if (took_ms < SURE_MS)
		return DNS_SIGN_ALIVE;
	if (took_ms >= GIVES_UP_MS || took_ms >= patience_ms)
		return DNS_SIGN_SILENT;
	return DNS_SIGN_NONE;
}

void dns_breaker_init(struct dns_breaker *b, unsigned limit, unsigned period_ms)
{
	*b = (struct dns_breaker){
		.limit = limit > 0 ? limit : LIMIT,
		.period_ms = period_ms > 0 ? period_ms : PERIOD_MS,
	};
}

bool dns_breaker_note(struct dns_breaker *b, enum dns_sign sign, int64_t now_ms)
{
	/* Only a probe ends an outage: other questions are old ones. */
	if (b->outage || sign == DNS_SIGN_NONE)
		return false;
	if (sign == DNS_SIGN_ALIVE) {
		b->silent = 0;
		b->suspect = false;
		return false;
	}
	if (++b->silent < b->limit || b->suspect)
		return false;
	b->suspect = true;
	b->probes = 0;
	b->decide_ms =
		now_ms + (b->period_ms < DECIDE_MS ? b->period_ms : DECIDE_MS);
	return true;
}

bool dns_breaker_probed(struct dns_breaker *b)
{
	bool ended = b->outage;

	b->outage = false;
	b->suspect = false;
	b->silent = 0;
	return ended;
}

static enum dns_step step_of_suspect(struct dns_breaker *b, int64_t now_ms)
{
	if (now_ms < b->decide_ms)
		return b->probes++ == 0 ? DNS_STEP_PROBE : DNS_STEP_WAIT;
	b->suspect = false;
	b->outage = true;
	b->outages++;
	b->probes = 1;
	b->next_probe_ms = now_ms + b->period_ms;
	return DNS_STEP_RENEW;
}

enum dns_step dns_breaker_step(struct dns_breaker *b, int64_t now_ms)
{
	if (b->suspect)
		return step_of_suspect(b, now_ms);
	if (!b->outage || now_ms < b->next_probe_ms)
		return DNS_STEP_WAIT;
	/* From now on, not from the time that was planned: after a pause of
	 * the process, one probe and not many. */
	b->next_probe_ms = now_ms + b->period_ms;
	return b->probes++ % RENEW_EVERY == 0 ? DNS_STEP_RENEW : DNS_STEP_PROBE;
}

int64_t dns_breaker_wait_ms(const struct dns_breaker *b, int64_t now_ms)
{
	int64_t at = b->outage ? b->next_probe_ms : b->decide_ms;

	if (!b->outage && !b->suspect)
		return -1;
	return now_ms < at ? at - now_ms : 0;
}
