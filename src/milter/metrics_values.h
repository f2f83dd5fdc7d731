/* What metrics.c writes, taken before it writes the first line. */
#ifndef MAILSEAL_MILTER_METRICS_VALUES_H
#define MAILSEAL_MILTER_METRICS_VALUES_H

#include "milter/metrics.h"

#define METRICS_NO_VALUE UINT64_MAX /* there is no such part: no sample */

struct metrics_values {
	const struct metrics_facts *facts;
	const struct app *app;
	struct tally_counters n;
	struct dns_counters dns;
	struct keyring_counters keys;
	struct preflight_count preflight; /* of all domains */
	uint64_t sessions, in_flight;
	uint64_t outage, waiters;
	uint64_t keys_named, keys_loaded, keys_unusable;
	uint64_t journal_working, journal_written, journal_dropped,
		journal_queue, limits_working;
	uint64_t log_lost;
	uint64_t reload_ok, reload_time, start_time, resident;
};

void metrics_values_get(struct metrics_values *ret,
			const struct metrics_facts *f);

#endif
