/*
 * The making of a libunbound context: servers, trust anchors, settings.  The
 * questions are the business of unbound.c.
 *
 * With forwarders, libunbound asks them and nobody else.  With recursion no
 * forwarder is set, and it asks the authoritative servers from the root down,
 * by the addresses of the root servers that it was built with.
 *
 * Trust anchors turn the validator on, in both ways of asking: what cannot be
 * validated against them is bogus, a temporary failure.  A forwarder must
 * then pass DNSSEC records on.  A file without a usable anchor is an error:
 * libunbound would take it for "nothing is signed" without a word.
 */
#include "dns/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <unbound.h>
#include <unbound-event.h>

#include "base/ip.h"
#include "dns/resolver.h"

#define SERVERS_MAX 8
#define RESOLV_CONF "/etc/resolv.conf"
#define FILE_MAX    65536
#define CLASS_IN    1

struct dns_setup {
	struct arena *arena; /* of all below */
	const char *servers[SERVERS_MAX];
	size_t nservers; /* 0: recursion */
	const char *trust_anchor_file;
	unsigned patience_ms; /* the time of one question */
};

struct setting {
	const char *name, *value;
};

static const struct setting settings_common[] = {
	{"use-syslog:", "no"},
	{"verbosity:", "0"},
	/* Sockets.  A name that nobody answers for keeps one for as long as
	 * libunbound tries, and when none is left every question waits for one:
	 * so far more than look-ups ahead may take (PREFETCH_MAX), since these
	 * are cheap for a sender. */
	{"outgoing-range:", "1024"},
	{"num-queries-per-thread:", "4096"},
	{"cache-max-ttl:", "3600"},
	{"cache-max-negative-ttl:", "3600"},
	{"msg-cache-size:", "4m"},
	{"rrset-cache-size:", "8m"},
	/* Of the zones that libunbound answers by itself these two are asked:
	 * the first for tests, the second because a question below it shows
	 * whether a server is alive.  That answer need not be signed. */
	{"local-zone:", "test. transparent"},
	{"local-zone:", "invalid. transparent"},
	{"domain-insecure:", "invalid."},
	/* One server of several that was dead is tried again soon. */
	{"infra-keep-probing:", "yes"},
};

static const struct setting settings_forward[] = {
	/* A name server on this host is the usual one. */
	{"do-not-query-localhost:", "no"},
	/* It knows better about addresses of local networks, and has no
	 * signatures of them. */
	{"unblock-lan-zones:", "yes"},
	{"insecure-lan-zones:", "yes"},
	/* The names are not walked down. */
	{"qname-minimisation:", "no"},
	/* Milliseconds until it is asked again, doubled once.  Not by how fast
	 * it answers others: a name takes as long as its own servers do. */
	{"infra-cache-min-rtt:", "500"},
	{"unknown-server-time-limit:", "500"},
};

static const struct setting settings_recursion[] = {
	/* A domain must not send us to the name server of this host. */
	{"do-not-query-localhost:", "yes"},
	/* The world knows nothing of local networks. */
	{"unblock-lan-zones:", "no"},
	/* RFC 9156: the servers above a name need not see all of it. */
	{"qname-minimisation:", "yes"},
};

static const char cure[] =
	"install dns-root-data or correct resolver.trust_anchor";

/* ---- addresses ---- */

/* "addr" or "addr@port" in the way that libunbound wants it, or NULL. */
static const char *server_canon(struct arena *a, struct slice s)
{
	struct slice addr = slice_cut(&s, '@');
	char text[IP_TEXT_MAX];
	uint64_t port = 53;
	struct ip ip;

	if (!ip_parse(addr, &ip))
		return NULL;
	if (s.p != NULL && (!slice_u64(s, 65535, &port) || port == 0))
		return NULL;
	return arena_printf(a, "%s@%u", ip_format(&ip, text), (unsigned)port);
}

/* The file as far as it matters; false and errno when it cannot be read. */
static bool read_file(struct arena *a, const char *path, struct slice *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p = arena_alloc(a, FILE_MAX);
	size_t n = 0;
	ssize_t got = -1;
	int error;

	if (fd < 0)
		return false;
	while (n < FILE_MAX) {
		got = read(fd, p + n, FILE_MAX - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	error = errno;
	close(fd);
	errno = error;
	if (got < 0)
		return false;
	*ret = (struct slice){p, n};
	return true;
}

/* Cuts the next word off the line; empty at its end. */
static struct slice next_word(struct slice *line)
{
	struct slice word;
	size_t n = 0;

	*line = slice_trim(*line);
	while (n < line->n && !ascii_iswsp(line->p[n]))
		n++;
	word = slice_first(*line, n);
	*line = slice_from(*line, n);
	return word;
}

/* "nameserver ADDR"; other lines and addresses with a scope are left out. */
static void servers_of_system(struct dns_setup *s, struct arena *scratch)
{
	struct slice text = SLICE(""), line;
	const char *server;

	(void)read_file(scratch, RESOLV_CONF, &text);
	while (text.n > 0 && s->nservers < SERVERS_MAX) {
		line = slice_cut(&text, '\n');
		if (!slice_is(next_word(&line), "nameserver"))
			continue;
		server = server_canon(s->arena, next_word(&line));
		if (server != NULL)
			s->servers[s->nservers++] = server;
	}
	if (s->nservers == 0) /* resolv.conf(5): the server on this host */
		s->servers[s->nservers++] = "127.0.0.1@53";
}

static bool setup_servers(struct dns_setup *s, const struct dns_options *o,
			  struct arena *a, const char **err)
{
	const char *server;
	size_t i;

	if (o->recursion && o->nservers > 0) {
		*err = "recursion asks no servers; leave one of them out";
		return false;
	}
	if (o->nservers > SERVERS_MAX) {
		*err = arena_printf(a, "more than %d servers", SERVERS_MAX);
		return false;
	}
	for (i = 0; i < o->nservers; i++) {
		server = server_canon(s->arena, slice_of(o->servers[i]));
		if (server == NULL) {
			*err = arena_printf(a, "bad server address \"%s\"",
					    o->servers[i]);
			return false;
		}
		s->servers[s->nservers++] = server;
	}
	if (s->nservers == 0 && !o->recursion)
		servers_of_system(s, a);
	return true;
}

/* ---- trust anchors ---- */

static bool anchor_error(struct arena *a, const char *path, const char *why,
			 const char **err)
{
	*err = arena_printf(a, "trust anchors %s: %s; %s", path, why, cure);
	return false;
}

static bool has_anchor(struct slice text)
{
	while (text.n > 0) {
		struct slice line = slice_cut(&text, '\n');
		struct slice word;
		line = slice_cut(&line, ';');
		while ((word = next_word(&line)).n > 0)
			if (slice_is(word, "DS") || slice_is(word, "DNSKEY"))
				return true;
	}
	return false;
}

static bool setup_anchors(struct dns_setup *s, const char *path,
			  struct arena *a, const char **err)
{
	struct slice text;

	if (path == NULL)
		return true;
	s->trust_anchor_file = arena_strdup(s->arena, path);
	if (!read_file(a, path, &text))
		return anchor_error(a, path, strerror(errno), err);
	if (!has_anchor(text))
		return anchor_error(a, path, "no DS or DNSKEY record in it",
				    err);
	return true;
}

struct dns_setup *dns_setup_new(struct arena *a, const struct dns_options *o,
				const char **err)
{
	struct dns_setup *s = mem_alloc(sizeof(*s));

	s->arena = arena_new();
	s->patience_ms = o->query_timeout_ms > 0 ? o->query_timeout_ms
						 : DNS_QUERY_TIMEOUT_MS;
	if (setup_servers(s, o, a, err) &&
	    setup_anchors(s, o->trust_anchor_file, a, err))
		return s;
	dns_setup_free(s);
	return NULL;
}

void dns_setup_free(struct dns_setup *s)
{
	if (s == NULL)
		return;
	arena_free(s->arena);
	free(s);
}

/* ---- the context ---- */

static bool set(struct ub_ctx *ctx, const struct setting *v, size_t n,
		struct arena *a, const char **err)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (ub_ctx_set_option(ctx, v[i].name, v[i].value) == 0)
			continue;
		*err = arena_printf(a, "libunbound refuses \"%s %s\"",
				    v[i].name, v[i].value);
		return false;
	}
	return true;
}
#define SET(ctx, v, a, err) set(ctx, v, sizeof(v) / sizeof((v)[0]), a, err)

/*
 * How long libunbound remembers, in seconds, how fast a server is and whether
 * it is dead.  A single forwarder: never, or libunbound answers for up to two
 * minutes by itself that it is dead; to remember would gain nothing, since
 * there is no other to ask.  Several: long enough that not every question
 * waits for a dead one among them.
 */
static const char *memory_of_servers(const struct dns_setup *s)
{
	if (s->nservers == 0)
		return "60";
	return s->nservers == 1 ? "0" : "10";
}

/* libunbound must not lose patience before we do: it asks a forwarder twice,
 * for 500 and 1000 ms, and that so many times. */
static const char *times_to_ask(const struct dns_setup *s, struct arena *a)
{
	unsigned n = s->patience_ms / 1500 + 1;

	return arena_printf(a, "%u", n > 5 ? n : 5);
}

static bool context_servers(const struct dns_setup *s, struct ub_ctx *ctx,
			    struct arena *a, const char **err)
{
	const struct setting own[] = {
		{"infra-host-ttl:", memory_of_servers(s)},
		{"outbound-msg-retry:", times_to_ask(s, a)},
	};
	size_t i;

	if (!SET(ctx, own, a, err))
		return false;
	if (s->nservers == 0)
		return SET(ctx, settings_recursion, a, err);
	for (i = 0; i < s->nservers; i++) {
		/* Unchecked, a failure here would ask the root servers. */
		if (ub_ctx_set_fwd(ctx, s->servers[i]) == 0)
			continue;
		*err = arena_printf(a, "cannot forward to %s", s->servers[i]);
		return false;
	}
	return SET(ctx, settings_forward, a, err);
}

static bool context_anchors(const struct dns_setup *s, struct ub_ctx *ctx,
			    struct arena *a, const char **err)
{
	struct setting modules = {"module-config:", "iterator"};
	int r = 0;

	if (s->trust_anchor_file != NULL) {
		modules.value = "validator iterator";
		r = ub_ctx_add_ta_file(ctx, s->trust_anchor_file);
	}
	if (r != 0)
		return anchor_error(a, s->trust_anchor_file, ub_strerror(r),
				    err);
	return set(ctx, &modules, 1, a, err);
}

static void on_trial(void *data, int rcode, void *packet, int n, int sec,
		     char *why, int ratelimited)
{
	(void)data;
	(void)rcode;
	(void)packet;
	(void)n;
	(void)sec;
	(void)why;
	(void)ratelimited;
}

/* Finalizes the context while errors can still be reported and files still be
 * opened.  "localhost" is answered by libunbound itself. */
static bool context_try(const struct dns_setup *s, struct ub_ctx *ctx,
			FILE *messages, char *const *text, struct arena *a,
			const char **err)
{
	int r = ub_resolve_event(ctx, "localhost", DNS_A, CLASS_IN, NULL,
				 on_trial, NULL);

	fflush(messages);
	/* Anchors that it cannot use are a warning to libunbound, and then it
	 * validates nothing; those that it cannot read end it, as do other
	 * troubles, but all that is read by then was checked. */
	if (s->trust_anchor_file != NULL &&
	    (r != 0 || strstr(*text, "trust anchor") != NULL))
		return anchor_error(a, s->trust_anchor_file,
				    "no anchor in it that libunbound can use",
				    err);
	if (r != 0)
		*err = arena_printf(a, "libunbound: %s", ub_strerror(r));
	return r == 0;
}

static bool context_fill(const struct dns_setup *s, struct ub_ctx *ctx,
			 struct arena *a, const char **err)
{
	char *text = NULL;
	size_t n = 0;
	FILE *messages = open_memstream(&text, &n);
	bool ok;

	if (messages == NULL)
		return false;
	ub_ctx_debugout(ctx, messages);
	ok = SET(ctx, settings_common, a, err) &&
	     context_servers(s, ctx, a, err) &&
	     context_anchors(s, ctx, a, err) &&
	     context_try(s, ctx, messages, &text, a, err);
	/* From here on they would go to standard error, names in them raw. */
	ub_ctx_debugout(ctx, NULL);
	fclose(messages);
	free(text);
	return ok;
}

struct ub_ctx *dns_setup_context(const struct dns_setup *s,
				 struct event_base *base, struct arena *a,
				 const char **err)
{
	struct ub_ctx *ctx = ub_ctx_create_event(base);

	*err = "cannot start libunbound";
	if (ctx == NULL || context_fill(s, ctx, a, err))
		return ctx;
	ub_ctx_delete(ctx);
	return NULL;
}
