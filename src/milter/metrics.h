/*
 * The text that Prometheus reads (text exposition format 0.0.4), and how the
 * daemon is, in one line.  Each metric is one row of the table in metrics.c;
 * doc/mailseal-metrics.7 explains them.
 *
 * Not the counting (tally.h), and not the serving (control/http.h).
 */
#ifndef MAILSEAL_MILTER_METRICS_H
#define MAILSEAL_MILTER_METRICS_H

#include "milter/app.h"

/* What the counts do not know. */
struct metrics_facts {
	struct app *app; /* started */
	bool stopping;
	uint64_t reloads, failed_reloads;
	int64_t reload_time; /* of the last try, seconds since 1970; 0: none */
	bool reload_ok;	     /* its outcome */
	int64_t start_time;  /* of the process, seconds since 1970 */
	uint64_t resident;   /* bytes of memory */
	uint64_t cpu_us;     /* time of processors that was used */
};

void metrics_write(struct strbuf *b, const struct metrics_facts *f);
/* True and "ok", or false and why mail is not dealt with as it should be; one
 * line. */
bool metrics_health(struct strbuf *b, const struct metrics_facts *f);

#endif
