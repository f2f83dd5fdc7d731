/*
 * A small HTTP server for those on this host who look in: a few pages, each a
 * text that is made when it is asked for.  Read only, one request for each
 * connection, no secrets, no TLS: whoever is elsewhere comes by SSH or a
 * reverse proxy.
 *
 * One thread of its own, which never waits for a peer; at most HTTP_PEERS are
 * connected, each for HTTP_SECONDS at most, and a request has at most
 * HTTP_REQUEST_MAX bytes of header.
 */
#ifndef MAILSEAL_CONTROL_HTTP_H
#define MAILSEAL_CONTROL_HTTP_H

#include <sys/types.h>

#include "base/str.h"

#define HTTP_PEERS	 16
#define HTTP_SECONDS	 20
#define HTTP_REQUEST_MAX 8192
#define HTTP_TEXT_MAX	 (8 << 20) /* bytes of a page; then status 500 */

struct http_page {
	const char *path;
	const char *type; /* Content-Type */
	/* Writes the text and returns its status.  Called by the server's
	 * thread alone. */
	unsigned (*write)(void *arg, struct strbuf *text);
};

/*
 * Makes the listening socket at an endpoint (base/endpoint.h).  A unix socket
 * gets mode 0660 and the group, unless that is (gid_t)-1.  Before threads
 * start.  A descriptor, or -1 and one line in *err (in `a`).
 */
int http_listen(struct arena *a, const char *where, gid_t group,
		const char **err);
/* Removes the path of a unix socket. */
void http_unlink(const char *where);

struct http;

/* Starts the thread.  The pages outlive the server; it owns `fd`, which is
 * closed on failure, too.  NULL: no thread or no memory for it. */
struct http *http_start(int fd, const struct http_page *pages, size_t npages,
			void *arg);
/* Nobody is served any more when this returns.  NULL is allowed. */
void http_stop(struct http *h);

#endif
