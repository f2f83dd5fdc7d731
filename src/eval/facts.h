/*
 * What the SMTP session told us, as values.  Events fill these in; nothing
 * here decides anything.
 */
#ifndef MAILSEAL_EVAL_FACTS_H
#define MAILSEAL_EVAL_FACTS_H

#include "base/ip.h"
#include "base/str.h"
#include "mail/field.h"

/* The connection. */
struct client_facts {
	struct ip addr;	   /* IP_NONE: unknown, or local submission */
	bool local;	   /* submission by sendmail(1) */
	struct slice name; /* as the MTA gives it; "[addr]" when unknown */
	/* `name` was confirmed by the MTA: PTR, and an address of it is the
	 * client's */
	bool name_confirmed;
	struct slice helo;     /* the last HELO or EHLO; empty when none came */
	struct slice listener; /* {daemon_name} */
};

/* One message's envelope. */
struct envelope_facts {
	struct slice sender;   /* MAIL FROM as given, with or without <> */
	struct slice login;    /* {auth_authen}; empty without SASL login */
	struct slice queue_id; /* macro i; empty while unknown */
	size_t nrcpts;
};

enum mail_direction {
	MAIL_INBOUND,  /* verify */
	MAIL_OUTBOUND, /* sign */
	MAIL_IGNORED,  /* listener with direction none */
};

#endif
