/*
 * The metrics of mailseald: milter/metrics.h with what the process knows, and
 * that over HTTP (control/http.h), where metrics.listen says.  There is one of
 * it in a process; where nobody is to listen, what opens and stops does
 * nothing.
 */
#ifndef MAILSEAL_CMD_DAEMON_METRICS_H
#define MAILSEAL_CMD_DAEMON_METRICS_H

#include "milter/place.h"

/* Makes the socket: before privileges are dropped and before threads.  False
 * and a line in `errors` when it cannot be made. */
bool daemon_metrics_open(const struct config *c, struct strbuf *errors);
/* Begins to answer, from what is in force in `place`; false: no thread. */
bool daemon_metrics_start(struct app_place *place);
/* The text for Prometheus: by any thread after daemon_metrics_start(), as long
 * as there is the place. */
void daemon_metrics_write(struct strbuf *text);
/* From now on /healthz says so. */
void daemon_metrics_stopping(void);
/* Answers nobody any more, and removes the socket; also when it was never
 * started. */
void daemon_metrics_stop(void);

#endif
