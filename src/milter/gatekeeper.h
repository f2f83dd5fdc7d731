/*
 * Asks the checks of gate/ about one message, each in the mode that the
 * configuration gives it.
 */
#ifndef MAILSEAL_MILTER_GATEKEEPER_H
#define MAILSEAL_MILTER_GATEKEEPER_H

#include "gate/gate.h"
#include "milter/app.h"

struct gatekeeper {
	const struct app *app;
	struct arena *arena;
	struct gate_facts facts;
	/* What was found: */
	struct log_fields log;	  /* " sender=owned ...", or nothing */
	const char *unsigned_why; /* constant; NULL: may be signed */
	bool refused;
	struct smtp_reply reply; /* then */
	const struct credential *credential; /* of the login, or NULL */
};

/* Mail that a login or a client hands in, in either direction: every check but
 * the limits.  Members before `log`, and its arena, are given.  `now`: seconds
 * since 1970. */
void gatekeeper_submission(struct gatekeeper *g, int64_t now);
/* Other mail: what the connection of its peer must be. */
void gatekeeper_transport(struct gatekeeper *g);
/* At the end of a message that was not refused: counts it, or refuses it since
 * its login is over a limit. */
void gatekeeper_limits(struct gatekeeper *g, int64_t now);
/* " refused=550/5.7.1" */
void gatekeeper_log_refusal(struct log_fields *f, const struct smtp_reply *r);

#endif
