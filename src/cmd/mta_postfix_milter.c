/*
 * Our entry in a list of milters: how Postfix must call our socket, and which
 * element of a list is ours.  An element is "unix:path", "inet:host:port" or
 * "{ address, name=value ... }"; a path without a slash at its beginning is
 * below the queue directory, in which the daemons work, chrooted or not.
 */
#include "cmd/mta.h"

#include <string.h>

/* The rest of `path` below the queue directory, or NULL. */
static const char *below_queue(const struct postfix *p, const char *path)
{
	size_t n = strlen(p->queue);

	while (n > 1 && p->queue[n - 1] == '/')
		n--;
	if (strncmp(path, p->queue, n) != 0 || path[n] != '/')
		return NULL;
	return path + n + 1;
}

/* "port@address" as "inet:address:port"; any address is the loopback. */
static const char *inet_address(struct arena *a, struct slice socket)
{
	struct slice port = slice_cut(&socket, '@');

	if (slice_is(socket, "0.0.0.0"))
		socket = SLICE("127.0.0.1");
	if (slice_is(socket, "::") || slice_is(socket, "[::]"))
		socket = SLICE("::1");
	if (slice_chr(socket, ':') >= 0 && socket.p[0] != '[')
		socket = slice_of(
			arena_printf(a, "[%.*s]", (int)socket.n, socket.p));
	return arena_printf(a, "inet:%.*s:%.*s", (int)socket.n, socket.p,
			    (int)port.n, port.p);
}

const char *postfix_our_address(const struct postfix *p, const struct config *c)
{
	const char *path = mta_socket_path(c->socket), *below;
	struct slice rest = slice_of(c->socket);

	if (path == NULL) {
		if (!slice_starts(slice_cut(&rest, ':'), "inet"))
			return NULL;
		return inet_address(p->arena, rest);
	}
	below = below_queue(p, path);
	if (below == NULL && postfix_chrooted(p)) /* where it should be */
		return arena_printf(p->arena, "unix:mailseal/%s",
				    strrchr(path, '/') + 1);
	return arena_printf(p->arena, "unix:%s", below ? below : path);
}

bool postfix_holds_socket(const struct postfix *p, const struct config *c)
{
	const char *path = mta_socket_path(c->socket);

	return path != NULL && below_queue(p, path) != NULL;
}

bool postfix_sees_socket(const struct postfix *p, const struct config *c)
{
	return mta_socket_path(c->socket) == NULL || !postfix_chrooted(p) ||
	       postfix_holds_socket(p, c);
}

/* What stands in "{ }", or all. */
static struct slice without_braces(struct slice entry)
{
	if (entry.n >= 2 && entry.p[0] == '{' && entry.p[entry.n - 1] == '}')
		return (struct slice){entry.p + 1, entry.n - 2};
	return entry;
}

/* A path from "/" on must lead both daemons there, which it does not when only
 * one is chrooted. */
static bool same_path(const struct postfix *p, const char *ours,
		      struct slice theirs)
{
	const char *below = below_queue(p, ours);

	if (below != NULL && slice_is(theirs, below))
		return true;
	if (!postfix_chrooted(p))
		return slice_is(theirs, ours);
	/* "/mailseal/milter.sock" as it is within the queue directory */
	return !postfix_unchrooted(p) && below != NULL &&
	       slice_is(slice_from(theirs, 1), below);
}

static bool is_ours(const struct postfix *p, const struct config *c,
		    struct slice entry)
{
	const char *path = mta_socket_path(c->socket);
	const char *ours = postfix_our_address(p, c);
	struct slice within = without_braces(entry);
	struct slice address = postfix_next(&within), rest = address;
	struct slice kind = slice_cut(&rest, ':');

	if (path != NULL)
		return (slice_is(kind, "unix") || slice_is(kind, "local")) &&
		       same_path(p, path, rest);
	if (ours == NULL)
		return false;
	if (slice_starts(rest, "localhost:"))
		address = slice_of(arena_printf(p->arena, "inet:127.0.0.1:%.*s",
						(int)rest.n - 10, rest.p + 10));
	return slice_is(address, ours);
}

struct slice postfix_our_entry(const struct postfix *p, const struct config *c,
			       const char *list)
{
	struct slice rest = slice_of(list), entry;

	while ((entry = postfix_next(&rest)).n > 0)
		if (is_ours(p, c, entry))
			return entry;
	return (struct slice){NULL, 0};
}

struct slice postfix_old_entry(const char *list)
{
	struct slice rest = slice_of(list), entry;

	while ((entry = postfix_next(&rest)).n > 0)
		if (memmem(entry.p, entry.n, "mailseal", 8) != NULL)
			return entry;
	return (struct slice){NULL, 0};
}

const char *postfix_entry_option(struct arena *a, struct slice entry,
				 const char *name)
{
	struct slice rest = without_braces(entry), option;

	if (rest.p == entry.p)
		return NULL;
	(void)postfix_next(&rest);
	while ((option = postfix_next(&rest)).n > 0)
		if (slice_starts(option, name) && option.n > strlen(name) &&
		    option.p[strlen(name)] == '=')
			return slice_cstr(a,
					  slice_from(option, strlen(name) + 1));
	return NULL;
}

bool mta_seconds(const char *text, char unit, uint64_t *ret)
{
	struct slice s = slice_trim(slice_of(text));
	uint64_t n, of = 1;

	if (s.n > 0 && ascii_isalpha(s.p[s.n - 1]))
		unit = s.p[--s.n];
	switch (ascii_lower(unit)) {
	case 'w':
		of = 604800;
		break;
	case 'd':
		of = 86400;
		break;
	case 'h':
		of = 3600;
		break;
	case 'm':
		of = 60;
		break;
	case 's':
		break;
	default:
		return false;
	}
	if (!slice_u64(s, 1000000000, &n))
		return false;
	*ret = n * of;
	return true;
}
