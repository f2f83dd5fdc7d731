/*
 * The keys of the sender table (user@domain, user, @domain) and the names of
 * groups: what they may be, and which of them can hardly be meant.
 *
 * Two spellings of one address are one key: quotes that are not needed, case,
 * U-labels and A-labels.  Pure.
 */
#include "gate/sender_table.h"

#include <string.h>

#include "mail/domain.h"

bool sender_complain(struct sender_reader *r, const char *before,
		     struct slice shown, const char *after)
{
	sender_report_add(&r->errors, r->file, r->line, before, shown, after);
	return false;
}

void sender_warn(struct sender_reader *r, const char *before,
		 struct slice shown, const char *after)
{
	sender_report_add(&r->warnings, r->file, r->line, before, shown, after);
}

bool sender_is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f ||
		    strchr("\"\\@,;:<>()[]", s.p[i]) != NULL)
			return false;
	return true;
}

/* Bytes of the Quoted-string that `s` begins with, or 0. */
static size_t quoted_length(struct slice s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

static struct slice unquote(struct arena *a, struct slice quoted)
{
	struct slice in = slice_first(slice_from(quoted, 1), quoted.n - 2);
	char *p = arena_alloc(a, in.n);
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\\' && i + 1 < in.n)
			i++;
		p[n++] = in.p[i];
	}
	return (struct slice){p, n};
}

/* RFC 5321 4.1.2: QcontentSMTP has none. */
static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

static bool local_part(struct sender_reader *r, struct slice key, size_t n,
		       struct slice *local)
{
	if (*key.p != '"') {
		*local = slice_first(key, n);
		return sender_is_plain(*local) ||
		       sender_complain(
			       r, "key \"", key,
			       "\" is no address; give user@domain, user or "
			       "@domain, without a colon, and characters "
			       "that need it in double quotes");
	}
	*local = unquote(r->scratch, slice_first(key, n));
	if (has_control(*local))
		return sender_complain(r, "key \"", key,
				       "\" has a control character; remove it");
	if (local->n == 0)
		return sender_complain(r, "key \"", key,
				       "\" has nothing in its quotes; for each "
				       "address of a domain give @domain");
	if (n == key.n && slice_chr(*local, '@') >= 0)
		return sender_complain(
			r, "key \"", key,
			"\" is all in quotes; quote only what is "
			"before the \"@\"");
	if (sender_is_plain(*local))
		sender_warn(
			r, "key \"", key,
			"\" needs no quotes, and Postfix does not find it with "
			"them; drop them");
	return true;
}

static bool domain_part(struct sender_reader *r, struct slice key, size_t n,
			struct slice *domain)
{
	const char *canon;

	if (n == key.n)
		return true;
	if (key.p[n] != '@')
		return sender_complain(
			r, "key \"", key,
			"\" has something after its quotes that is "
			"no \"@\"; remove it");
	if (n + 1 == key.n)
		return sender_complain(
			r, "key \"", key,
			"\" has no domain after the \"@\"; give one, "
			"or drop the \"@\"");
	canon = domain_canon(r->scratch, slice_from(key, n + 1));
	*domain = slice_of(canon);
	return canon != NULL ||
	       sender_complain(
		       r, "key \"", key,
		       "\" has no valid domain after the \"@\"; give one "
		       "like example.com, without a colon");
}

/* What is read, but hardly meant. */
static void doubt(struct sender_reader *r, struct slice key, struct slice local,
		  bool bare)
{
	if (slice_is(local, "*"))
		sender_warn(r, "key \"", key,
			    "\": \"*\" is no wildcard; for each address of a "
			    "domain give @domain");
	else if (bare && r->t->local_domains.n == 0)
		sender_warn(r, "key \"", key,
			    "\" never matches, since no domain is local; give "
			    "user@domain, @domain or a local domain");
}

bool sender_key_name(struct sender_reader *r, struct slice key,
		     struct sender_name *ret)
{
	ptrdiff_t at = slice_rchr(key, '@');
	size_t n = *key.p == '"' ? quoted_length(key)
		   : at < 0	 ? key.n
				 : (size_t)at;
	struct slice local = SLICE(""), domain = SLICE("");
	bool bare = n == key.n;

	if (!domain_part(r, key, n, &domain) || !local_part(r, key, n, &local))
		return false;
	doubt(r, key, local, bare);
	*ret = (struct sender_name){
		{local, bare ? SLICE("") : SLICE("@"), domain}};
	return true;
}

bool sender_group_name(struct sender_reader *r, struct slice key,
		       struct sender_name *ret)
{
	struct slice name = sender_login(r->t->strip_realm, key);

	if (name.n == 0 || slice_chr(key, '"') >= 0 ||
	    slice_chr(key, ',') >= 0 || key.p[key.n - 1] == ':')
		return sender_complain(
			r, "\"", key,
			"\" is no name of a group; give one without "
			"quotes, commas and a colon at its end");
	*ret = (struct sender_name){{name}};
	return true;
}
