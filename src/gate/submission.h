/*
 * Who may send as whom: every address that a message claims against the rights
 * of its login (gate/sender.h).  Values in, a value out; pure.
 */
#ifndef MAILSEAL_GATE_SUBMISSION_H
#define MAILSEAL_GATE_SUBMISSION_H

#include "gate/sender.h"
#include "mail/addr.h"
#include "mail/field.h"

/* What is done about an address without right. */
enum submission_mode {
	SUBMISSION_MONITOR, /* it is logged and counted */
	SUBMISSION_SIGN,    /* the message is not signed */
	SUBMISSION_REJECT,
};

struct submission_input {
	const struct sender_table *senders;
	struct slice login; /* empty: none, who owns nothing */
	struct slice mail;  /* the path of MAIL FROM; "<>" is nobody's */
	const struct addr_authors *authors;
	const struct field_list *fields; /* for Sender (RFC 5322 3.6.2) */
};

/* The first address without right; MAIL FROM, From, Sender in that order. */
struct submission_result {
	const char *field;   /* "MAIL FROM", "From" or "Sender"; NULL: none */
	const char *address; /* printable ASCII without "%"; NULL: see reason */
	const char *reason;  /* a constant: why there is no address to check */
};

void submission_check(struct arena *a, const struct submission_input *in,
		      struct submission_result *ret);
/*
 * The text of the rejection: the address, the login, what the login owns, and
 * `help` of the administrator (printable ASCII, or "").  One line without "%",
 * at most `max` bytes.
 */
const char *submission_reply(struct arena *a, const struct submission_input *in,
			     const struct submission_result *r,
			     const char *help, size_t max);

#endif
