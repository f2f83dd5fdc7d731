/*
 * The options that say who answers DNS questions, the same for each command
 * that asks: --zone, --server, --trust-anchor, --recursion.
 */
#ifndef MAILSEAL_CMD_RESOLVER_OPTIONS_H
#define MAILSEAL_CMD_RESOLVER_OPTIONS_H

#include "dns/dns.h"

#define RESOLVER_SERVERS_MAX 8

enum resolver_option { /* values of getopt_long() */
		       RESOLVER_OPTION_ZONE = 256,
		       RESOLVER_OPTION_SERVER,
		       RESOLVER_OPTION_ANCHOR,
		       RESOLVER_OPTION_RECURSION,
};

/* Rows for the table of getopt_long(). */
#define RESOLVER_LONG_OPTIONS                                                  \
	{"zone", required_argument, NULL, RESOLVER_OPTION_ZONE},               \
		{"server", required_argument, NULL, RESOLVER_OPTION_SERVER},   \
		{"trust-anchor", required_argument, NULL,                      \
		 RESOLVER_OPTION_ANCHOR},                                      \
	{                                                                      \
		"recursion", no_argument, NULL, RESOLVER_OPTION_RECURSION      \
	}

/* Starts zeroed. */
struct resolver_options {
	const char *zone, *trust_anchor;
	const char *servers[RESOLVER_SERVERS_MAX];
	size_t nservers; /* may be too many: resolver_open() says so */
	bool recursion;
};

/* Takes what getopt_long() returned; false: it is no option of these. */
bool resolver_options_take(struct resolver_options *o, int c, const char *arg);
/* The resolver; without any option it asks the servers of /etc/resolv.conf.
 * NULL, a message on stderr and the exit status in *status on failure. */
struct dns *resolver_open(struct arena *a, const char *command,
			  const struct resolver_options *o, int *status);

#endif
