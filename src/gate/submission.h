/*
 * Who may send as whom: every address that a message claims against the rights
 * of its login (gate/sender.h), or of the credential that it is
 * (gate/credential.h).  Pure.
 */
#ifndef MAILSEAL_GATE_SUBMISSION_H
#define MAILSEAL_GATE_SUBMISSION_H

#include "gate/credential.h"
#include "gate/gate.h"
#include "gate/sender.h"

struct submission_rights {
	const struct sender_table *senders; /* or NULL */
	/* The login's entry, or NULL.  When it lists addresses they are all
	 * that the login may use, whatever the table of senders says. */
	const struct credential *credential;
	const char *delimiter; /* as in struct sender_options; not NULL */
};

/* Is there anything to check by? */
bool submission_has_rights(const struct submission_rights *r);
/*
 * False: *ret is the first claim without right, and 550 5.7.1 with a text that
 * names the address, the login, and what the login owns.  `coaching` of the
 * administrator, or "".
 */
bool submission_check(struct arena *a, const struct submission_rights *r,
		      const struct gate_facts *f, const struct gate_claims *c,
		      const char *coaching, struct gate_fault *ret);

#endif
