/* A place on this host where others of this host may ask: a port of the
 * loopback interface, or a unix socket. */
#ifndef MAILSEAL_BASE_ENDPOINT_H
#define MAILSEAL_BASE_ENDPOINT_H

#include "base/ip.h"

struct endpoint {
	const char *path; /* of a unix socket, in the text; or NULL */
	struct ip addr;	  /* else: loopback */
	uint16_t port;
};

/* "127.0.0.1:9879", "[::1]:9879" or "unix:/path".  False: it is none of them,
 * or not of this host. */
bool endpoint_parse(const char *text, struct endpoint *ret);

#endif
