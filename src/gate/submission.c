/*
 * The rights of a login to the addresses of one message.
 *
 * All of From's mailboxes count, since every one of them is shown as an author
 * (RFC 5322 3.6.2), and so does Sender, which says who is responsible for them.
 * The null path of MAIL FROM belongs to nobody and gives nothing away.
 */
#include "gate/submission.h"

#include <string.h>

#define OWNED_SHOWN   3
#define ADDRESS_SHOWN 120 /* bytes of an address in a reply */

/* RFC 5321 4.2: text of a reply; libmilter reads "%". */
static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '%' ||
		    s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return true;
}

static const char *shown_address(struct arena *a, struct slice local,
				 const char *domain)
{
	if (!is_plain(local) || local.n > 64)
		local = SLICE("...");
	return arena_printf(a, "%.*s@%s", (int)local.n, local.p, domain);
}

static bool deny(struct submission_result *r, const char *field,
		 const char *address, const char *reason)
{
	*r = (struct submission_result){field, address, reason};
	return false;
}

static bool check_mail(struct arena *a, const struct submission_input *in,
		       struct submission_result *r)
{
	struct addr_path path;

	addr_path_parse(a, in->mail, &path);
	if (path.null)
		return true;
	if (path.malformed || path.domain == NULL)
		return deny(r, "MAIL FROM", NULL, "no address with a domain");
	if (sender_owns(in->senders, in->login, path.local, path.domain))
		return true;
	return deny(r, "MAIL FROM", shown_address(a, path.local, path.domain),
		    NULL);
}

static bool check_list(struct arena *a, const struct submission_input *in,
		       const struct addr_authors *l, const char *field,
		       struct submission_result *r)
{
	if (l->malformed)
		return deny(r, field, NULL, l->reason);
	if (l->n == 0)
		return deny(r, field, NULL, "no address");
	for (size_t i = 0; i < l->n; i++) {
		const struct addr_mailbox *m = &l->v[i];

		if (!sender_owns(in->senders, in->login, m->local, m->domain))
			return deny(r, field,
				    shown_address(a, m->local, m->domain),
				    NULL);
	}
	return true;
}

static bool check_sender(struct arena *a, const struct submission_input *in,
			 struct submission_result *r)
{
	size_t n = field_count(in->fields, "Sender");
	struct addr_authors l;

	if (n == 0)
		return true;
	if (n > 1) /* RFC 5322 3.6 */
		return deny(r, "Sender", NULL, "several Sender fields");
	addr_list_parse(a, field_nth(in->fields, "Sender", 0)->value, &l);
	return check_list(a, in, &l, "Sender", r);
}

void submission_check(struct arena *a, const struct submission_input *in,
		      struct submission_result *ret)
{
	*ret = (struct submission_result){0};
	if (check_mail(a, in, ret) &&
	    check_list(a, in, in->authors, "From", ret))
		(void)check_sender(a, in, ret);
}

/* ---- the reply ---- */

static void add_cut(struct strbuf *b, const char *text)
{
	size_t n = strlen(text);

	if (n > ADDRESS_SHOWN)
		strbuf_printf(b, "...%s", text + n - ADDRESS_SHOWN + 3);
	else
		strbuf_adds(b, text);
}

static void add_owned(struct strbuf *b, struct arena *a,
		      const struct submission_input *in)
{
	const char *keys[OWNED_SHOWN + 1];
	size_t n = sender_keys_of(in->senders, a, in->login, keys,
				  OWNED_SHOWN + 1);

	for (size_t i = 0; i < n && i < OWNED_SHOWN; i++) {
		if (!is_plain(slice_of(keys[i])) ||
		    strlen(keys[i]) > ADDRESS_SHOWN / 2)
			continue;
		strbuf_printf(b, "%s%s", i == 0 ? "; it owns " : ", ", keys[i]);
	}
	if (n > OWNED_SHOWN)
		strbuf_adds(b, " and more");
}

static void add_login(struct strbuf *b, struct slice login)
{
	if (is_plain(login) && login.n <= ADDRESS_SHOWN)
		strbuf_printf(b, "login %.*s", (int)login.n, login.p);
	else
		strbuf_adds(b, "this login");
}

const char *submission_reply(struct arena *a, const struct submission_input *in,
			     const struct submission_result *r,
			     const char *help, size_t max)
{
	struct strbuf b;

	strbuf_init(&b, a, 4096);
	strbuf_printf(&b, "Sender address rejected, %s ", r->field);
	if (r->address == NULL) {
		strbuf_printf(&b, "cannot be checked: %s", r->reason);
	} else if (in->login.n == 0) {
		add_cut(&b, r->address);
		strbuf_adds(&b, " needs a login");
	} else {
		add_cut(&b, r->address);
		strbuf_adds(&b, " is not owned by ");
		add_login(&b, in->login);
		add_owned(&b, a, in);
	}
	if (help[0] != '\0')
		strbuf_printf(&b, ". %s", help);
	return slice_cstr(a, slice_first(strbuf_slice(&b), max));
}
