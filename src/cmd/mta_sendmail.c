/*
 * What a Sendmail is set to: its sendmail.cf, which runs, and sendmail.mc,
 * which that is made from.  Nothing is judged here.
 */
#include "cmd/mta.h"

#include <stdlib.h>
#include <string.h>

#define DIRECTORY "/etc/mail"

/* The nth line that begins with `prefix`: what stands behind it. */
static bool line_of(const struct sendmail *s, const char *prefix, size_t nth,
		    struct slice *ret)
{
	struct slice rest = slice_of(s->cf), line;

	while (rest.p != NULL) {
		line = slice_cut(&rest, '\n');
		if (!slice_starts(line, prefix) || nth-- > 0)
			continue;
		*ret = slice_trim(slice_from(line, strlen(prefix)));
		return true;
	}
	return false;
}

/* "DZ8.17.1.9/Debian-2" */
static void read_version(struct sendmail *s)
{
	struct slice v, rest;
	uint64_t minor = 0;

	s->version = "";
	if (s->cf == NULL || !line_of(s, "DZ", 0, &v))
		return;
	rest = v = slice_cut(&v, '/');
	s->version = slice_cstr(s->arena, v);
	if (slice_is(slice_cut(&rest, '.'), "8") &&
	    slice_u64(slice_cut(&rest, '.'), 1000, &minor))
		s->minor = (unsigned)minor;
}

struct sendmail *sendmail_read(struct arena *a, const char *directory,
			       const char **err)
{
	struct sendmail *s = arena_alloc(a, sizeof(*s));

	s->arena = a;
	s->directory = directory != NULL ? directory : DIRECTORY;
	s->mc_path = mta_file_real(
		a, arena_printf(a, "%s/sendmail.mc", s->directory));
	s->cf_path = mta_file_real(
		a, arena_printf(a, "%s/sendmail.cf", s->directory));
	s->mc = mta_file_read(a, s->mc_path, &s->mc_error);
	s->cf = mta_file_read(a, s->cf_path, &s->cf_error);
	if (s->mc == NULL && s->cf == NULL) {
		*err = s->cf_error;
		return NULL;
	}
	read_version(s);
	return s;
}

const char *sendmail_option(const struct sendmail *s, const char *name,
			    size_t nth)
{
	const char *prefix = arena_printf(s->arena, "O %s=", name);
	struct slice value;

	if (!line_of(s, prefix, nth, &value))
		return NULL;
	return slice_cstr(s->arena, value);
}

void sendmail_read_equates(struct arena *a, struct slice text,
			   struct sendmail_filter *ret)
{
	struct slice equate, value;
	const char *at;

	ret->socket = ret->flags = ret->times = "";
	while (text.p != NULL) {
		equate = slice_trim(slice_cut(&text, ','));
		if (equate.n < 2)
			continue;
		value = equate;
		(void)slice_cut(&value, '=');
		at = slice_cstr(a, slice_trim(value));
		switch (equate.p[0]) {
		case 'S':
			ret->socket = at;
			break;
		case 'F':
			ret->flags = at;
			break;
		case 'T':
			ret->times = at;
			break;
		default:
			break;
		}
	}
}

bool sendmail_filter(const struct sendmail *s, size_t nth,
		     struct sendmail_filter *ret)
{
	struct slice line;

	if (!line_of(s, "X", nth, &line))
		return false;
	ret->name = slice_cstr(s->arena, slice_trim(slice_cut(&line, ',')));
	sendmail_read_equates(s->arena, line, ret);
	return true;
}

/* "port@host" */
static bool same_inet(struct slice ours, struct slice theirs)
{
	if (!slice_eq(slice_cut(&ours, '@'), slice_cut(&theirs, '@')))
		return false;
	return slice_eq(ours, theirs) ||
	       (slice_is(theirs, "localhost") && slice_is(ours, "127.0.0.1"));
}

bool sendmail_same_socket(const char *ours, const char *theirs)
{
	const char *a = mta_socket_path(ours), *b = mta_socket_path(theirs);
	struct slice x = slice_of(ours), y = slice_of(theirs);

	if (a != NULL || b != NULL)
		return a != NULL && b != NULL && strcmp(a, b) == 0;
	return slice_eq(slice_cut(&x, ':'), slice_cut(&y, ':')) &&
	       same_inet(x, y);
}

bool sendmail_is_ours(const struct config *c, const struct sendmail_filter *f)
{
	return strcmp(f->name, "mailseal") == 0 ||
	       sendmail_same_socket(c->socket, f->socket);
}
