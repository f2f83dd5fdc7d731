/*
 * How the daemon is doing: values, and how they look as text and as JSON.  The
 * names of the JSON form are documented in mailseal(1) and stay.
 */
#ifndef MAILSEAL_MILTER_STATUS_H
#define MAILSEAL_MILTER_STATUS_H

#include <sys/types.h>

#include "base/log_recent.h"
#include "milter/place.h"

#define STATUS_KEYS_MAX 50 /* that are listed; unusable ones first */

struct status_key {
	const struct key_entry *entry; /* of the app */
	struct keyring_standing standing;
};

struct status {
	struct arena *arena;
	struct app *app; /* a reference, so that its texts stay */
	const char *version;
	pid_t pid;
	int64_t now, started; /* seconds since 1970 */
	bool stopping;
	uint64_t sessions, messages; /* open now */
	struct tally_counters tally;
	unsigned dns_waiting;
	struct dns_counters dns;
	struct keyring_counters keys;
	size_t keys_unusable; /* now, as far as is known */
	size_t nkeys;
	struct status_key *key;
	struct reload_state reload;
	bool journal_kept, journal_working;
	struct journal_counters journal;
	bool limits_kept, limits_working;
	int64_t memory; /* bytes resident; -1: not known */
	size_t nwarnings;
	struct log_recent *warnings;
};

/* `started`: seconds since 1970.  Everything is in `a`, until
 * status_done(). */
void status_get(struct arena *a, struct app_place *place, int64_t started,
		bool stopping, struct status *ret);
void status_done(struct status *s);
/* Bytes resident, or -1 where /proc is not. */
int64_t status_memory(void);
/* Lines for a terminal; one JSON object (RFC 8259) and a line end. */
void status_text(struct status *s, struct strbuf *b);
void status_json(struct status *s, struct strbuf *b);
/* One short line without its end: STATUS= of sd_notify(3). */
void status_line(struct status *s, struct strbuf *b);

#endif
