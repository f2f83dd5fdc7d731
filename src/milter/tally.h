/*
 * What the daemon counts, from its start on: one tally for the process, which
 * survives every reload.  Not what a single message was: that is the journal's.
 *
 * Thread-safe; counting never blocks.  A message costs some fifteen additions
 * in memory that other processors rarely touch.
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

/* What the MTA was told to do with a message. */
enum tally_result {
	TALLY_ACCEPTED,
	TALLY_QUARANTINED, /* accepted, and tagged or held */
	TALLY_REJECTED,
	TALLY_TEMPFAILED,
	TALLY_DISCARDED,
	TALLY_RESULTS,
};

/* What became of the seals of a message: DKIM signatures or an ARC set. */
enum tally_sealing {
	TALLY_SEALED,
	TALLY_UNSEALED, /* none was due, or the message was not taken */
	TALLY_FAILED,	/* one was due and could not be made */
	TALLY_SEALINGS,
	TALLY_NOT_ASKED = TALLY_SEALINGS,
};

/* What the MTA waits for at the end of a message. */
enum tally_stage {
	TALLY_STAGE_INBOUND, /* all of it, for mail that arrives */
	TALLY_STAGE_OUTBOUND,
	TALLY_STAGE_DNS,
	TALLY_STAGE_VERIFY, /* the checks of mail that arrives, without DNS */
	TALLY_STAGE_SIGN,   /* making DKIM signatures or an ARC set */
	TALLY_STAGES,
};

/* Upper bounds of the buckets of a time, in microseconds; one more bucket is
 * for what took longer. */
#define TALLY_BOUNDS 17
extern const uint32_t tally_bounds[TALLY_BOUNDS];

struct tally_time {
	uint64_t buckets[TALLY_BOUNDS + 1];
	uint64_t us; /* all together */
};

#define TALLY_DKIM_NONE (DKIM_STATUS_PERMERROR + 1) /* no signature */

struct tally_counters {
	/* by enum mail_direction */
	uint64_t messages[MAIL_IGNORED + 1][TALLY_RESULTS];
	/* results of inbound messages, as Authentication-Results has them */
	uint64_t spf_helo[SPF_STATUS_PERMERROR + 1];
	uint64_t spf_mailfrom[SPF_STATUS_PERMERROR + 1];
	uint64_t dkim[TALLY_DKIM_NONE + 1]; /* of signatures */
	uint64_t arc[ARC_STATUS_FAIL + 1];
	uint64_t dmarc[DMARC_STATUS_PERMERROR + 1];
	uint64_t iprev[IPREV_STATUS_PERMERROR + 1];
	/* what DMARC made of inbound messages; and what it asked for that was
	 * not done or not to the full */
	uint64_t done[DMARC_P_REJECT + 1];
	uint64_t would_be[DMARC_P_REJECT + 1];
	/* by the gate: without and with a fault */
	uint64_t gate_ok[TALLY_GATES], gate_fault[TALLY_GATES];
	uint64_t signing[TALLY_SEALINGS]; /* outbound messages */
	uint64_t arc_sealing[TALLY_SEALINGS];
	uint64_t mta_refusals; /* what it would not do that it was told */
	uint64_t sessions_begun, sessions_ended;
	uint64_t messages_begun, messages_ended;
	struct tally_time times[TALLY_STAGES];
};

/* One message, for tally_count_message(). */
struct tally_message {
	enum mail_direction direction;
	enum tally_result result;
	const struct results *results; /* NULL: there are none */
	const struct verdict *verdict; /* NULL: there is none */
	enum tally_sealing signing, arc_sealing;
	size_t nkeys; /* that have signed */
	const struct dkim_signing_key *keys;
	int64_t us[TALLY_STAGES]; /* negative: it had no such stage */
};

struct tally;

struct tally *tally_new(void);
void tally_free(struct tally *t); /* NULL is allowed */

/* Once for each message that came to its end. */
void tally_count_message(struct tally *t, const struct tally_message *m);
/* What a check of the gate found. */
void tally_count_gate(struct tally *t, enum tally_gate what, bool fault);
void tally_count_mta_refusal(struct tally *t);
/* A session with the MTA, a message (from MAIL on, whatever its end). */
void tally_session_begins(struct tally *t);
void tally_session_ends(struct tally *t);
void tally_message_begins(struct tally *t);
void tally_message_ends(struct tally *t);
/* The counts of outbound messages; lives as long as the tally. */
struct preflight_tally *tally_preflight(const struct tally *t);

/* Counters that are added to meanwhile are each right, though not all of the
 * same moment. */
void tally_get(const struct tally *t, struct tally_counters *ret);

/* ---- counted by name: 1,000 names each, what is beyond them as "(other)" */
struct tally_named {
	const char *name;   /* d= of a signature; a local rule */
	const char *action; /* of the rule, else "" */
	const char *mode;   /* "enforce" or "monitor", else "" */
	uint64_t n;
};
#define TALLY_NAMES_MAX 1000

/* In no order. */
void tally_each_signature(const struct tally *t,
			  void (*tell)(void *arg, const struct tally_named *n),
			  void *arg);
void tally_each_rule(const struct tally *t,
		     void (*tell)(void *arg, const struct tally_named *n),
		     void *arg);

#endif
