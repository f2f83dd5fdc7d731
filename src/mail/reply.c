/* What may be said to an SMTP client, who chose part of it. */
#include "mail/reply.h"

#include <string.h>

#define LOCAL_SHOWN 64
#define SHOWN_MAX   120 /* bytes of an address or login */

bool reply_is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '%' ||
		    s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return true;
}

/* Of a long one the end, which says whose it is. */
static const char *cut(struct arena *a, const char *text)
{
	size_t n = strlen(text);

	if (n <= SHOWN_MAX)
		return text;
	return arena_printf(a, "...%s", text + n - SHOWN_MAX + 3);
}

const char *reply_address(struct arena *a, struct slice local,
			  const char *domain)
{
	if (!reply_is_plain(local) || local.n > LOCAL_SHOWN)
		local = SLICE("...");
	return cut(a,
		   arena_printf(a, "%.*s@%s", (int)local.n, local.p, domain));
}

const char *reply_login(struct arena *a, struct slice login)
{
	if (!reply_is_plain(login) || login.n > SHOWN_MAX)
		return "this login";
	/* In the log, "signed=yes" by itself would be a field. */
	if (slice_chr(login, '=') >= 0)
		return arena_printf(a, "login <%.*s>", (int)login.n, login.p);
	return arena_printf(a, "login %.*s", (int)login.n, login.p);
}

const char *reply_text(struct arena *a, const char *what, const char *coaching)
{
	const char *text = coaching[0] == '\0'
				   ? what
				   : arena_printf(a, "%s. %s", what, coaching);

	return slice_cstr(a, slice_first(slice_of(text), SMTP_REPLY_MAX));
}
