/*
 * Tells the service manager how we are: the protocol of sd_notify(3), which is
 * one datagram to the socket that $NOTIFY_SOCKET names.  Without that variable
 * nothing is told.
 */
#ifndef MAILSEAL_CONTROL_NOTIFY_H
#define MAILSEAL_CONTROL_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Once, before threads and before privileges are dropped: takes the variables
 * of systemd out of the environment.  False: there is a socket, and it cannot
 * be used. */
bool notify_open(void);
/* "READY=1", "STATUS=...", several with a line feed between.  Thread-safe. */
void notify(const char *state);
/* RELOADING=1 with the time that systemd wants beside it. */
void notify_reloading(void);
/* Milliseconds within which WATCHDOG=1 is expected; 0: it is not. */
int64_t notify_watchdog_ms(void);

#endif
