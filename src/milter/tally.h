/*
 * What the daemon counts, from its start on: one tally for the process, which
 * survives every reload.  Not what a single message was: that is the journal's.
 *
 * Thread-safe; counting never blocks.
 */
#ifndef MAILSEAL_MILTER_TALLY_H
#define MAILSEAL_MILTER_TALLY_H

#include "eval/eval.h"
#include "milter/preflight_tally.h"

/* The checks of the submission gate. */
enum tally_gate {
	TALLY_GATE_SENDER,
	TALLY_GATE_LOGIN,
	TALLY_GATE_CREDENTIAL,
	TALLY_GATE_LIMIT,
	TALLY_GATE_TLS,
	TALLY_GATES,
};

struct tally_counters {
	/* of inbound messages */
	uint64_t by_status[DMARC_STATUS_PERMERROR + 1];
	/* asked for, and not done or not to the full */
	uint64_t would_quarantine, would_reject;
	uint64_t quarantined, rejected;
	/* by the gate: without and with a fault */
	uint64_t gate_ok[TALLY_GATES], gate_fault[TALLY_GATES];
};

struct tally;

struct tally *tally_new(void);
void tally_free(struct tally *t); /* NULL is allowed */

/* Counts one inbound message. */
void tally_count_inbound(struct tally *t, enum dmarc_status status,
			 const struct verdict *v);
/* Counts what a check of the gate found. */
void tally_count_gate(struct tally *t, enum tally_gate what, bool fault);
/* The counts of outbound messages; lives as long as the tally. */
struct preflight_tally *tally_preflight(const struct tally *t);
void tally_get(const struct tally *t, struct tally_counters *ret);

#endif
