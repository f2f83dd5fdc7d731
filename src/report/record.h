/*
 * The record of one message as JSON: what the SMTP session said, each DNS
 * answer, each result with its reason, the rule that decided, the answer and
 * the edits.  With the message itself it is enough to make the evaluation once
 * more.  No body, no field but those that we wrote.
 */
#ifndef MAILSEAL_REPORT_RECORD_H
#define MAILSEAL_REPORT_RECORD_H

#include "eval/eval.h"

#define RECORD_RCPTS_MAX 50 /* recipients that are kept */

struct record_facts {
	int64_t time;	    /* seconds since 1970, of the decision */
	const char *config; /* digest of the configuration, hexadecimal */
	const char *authserv_id;
	bool inbound;
	const char *direction_rule;
	const struct client_facts *client;
	const struct envelope_facts *envelope;
	struct slice message_id;
	size_t size; /* bytes of header and body */
	size_t nrcpts;
	const struct slice *rcpts; /* the first ones, as given in RCPT TO */
	/* inbound, else NULL */
	const struct results *results;
	const struct verdict *verdict;
	struct slice authres;
	size_t ndns;
	const struct dns_recorded *dns;
	/* what was answered */
	enum verdict_action action;
	const struct smtp_reply *reply; /* of a rejection */
	const struct edits *edits;
	const char *log; /* the line */
	/* Local-parts and logins become "sha256:" and 16 hexadecimal digits,
	 * also in texts.  DNS questions that may have a part of one in their
	 * name (RFC 7208 7, macros), the sender's explanation and the log are
	 * left out; the evaluation cannot be made again. */
	bool hash_local_parts;
	const char *secret; /* key of these digests */
};

#define RECORD_MAX	   480000 /* bytes; the journal takes 500,000 in all */
#define RECORD_REMOVED_MAX 100	  /* fields of others that were removed */

/* Of more than RECORD_MAX bytes the DNS answers and the log are left out, and
 * "cut" is true; NULL when it is still too large. */
const char *record_json(struct arena *a, const struct record_facts *f);
/* An address, a path with its "<>" or a login, as a record has it. */
struct slice record_address(struct arena *a, const struct record_facts *f,
			    struct slice address);

#endif
