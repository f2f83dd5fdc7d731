/* The list of revoked logins: its text, and a hash table of the names
 * (gate/sender_names.c). */
#include "gate/revoked.h"

#include <stdlib.h>

#include "gate/sender_table.h"

struct revoked_list {
	struct arena *arena;
	bool strip_realm;
	size_t n;
	struct slice *v;	   /* as they were written */
	struct sender_names names; /* as they are compared; each once */
};

static bool has_blank(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

const char *revoked_objection(struct slice login, bool strip_realm)
{
	if (login.n == 0)
		return "is empty";
	if (login.n > REVOKED_LOGIN_MAX)
		return "is longer than 1024 bytes";
	if (has_blank(login))
		return "has a space or a control character";
	if (sender_login(strip_realm, login).n == 0)
		return "is nothing without its realm";
	return NULL;
}

static struct sender_name name_of(const struct revoked_list *l,
				  struct slice login)
{
	return (struct sender_name){{sender_login(l->strip_realm, login)}};
}

static void add(struct revoked_list *l, struct slice login)
{
	struct sender_name name = name_of(l, login);

	l->v[l->n++] = slice_dup(l->arena, login);
	sender_names_add(&l->names, &name);
}

static const char *line_fault(const struct revoked_list *l, struct slice line)
{
	if (l->n == REVOKED_MAX)
		return "is one more than the 10000 that there may be";
	return revoked_objection(line, l->strip_realm);
}

struct revoked_list *revoked_list_read(struct arena *a, struct slice text,
				       const char *name, bool strip_realm,
				       const char **err)
{
	struct revoked_list *l = mem_alloc(sizeof(*l));
	const char *why = NULL;

	l->arena = arena_new();
	l->names.arena = l->arena;
	l->strip_realm = strip_realm;
	l->v = arena_array(l->arena, REVOKED_MAX, sizeof(*l->v));
	for (unsigned line = 1; why == NULL && text.p != NULL; line++) {
		struct slice login = slice_cut(&text, '\n');

		if (login.n == 0)
			continue;
		why = line_fault(l, login);
		if (why == NULL)
			add(l, login);
		else
			*err = arena_printf(a,
					    "%s:%u: the login %s; remove the "
					    "line",
					    name, line, why);
	}
	if (why == NULL)
		return l;
	revoked_list_free(l);
	return NULL;
}

void revoked_list_free(struct revoked_list *l)
{
	if (l == NULL)
		return;
	sender_names_free(&l->names);
	arena_free(l->arena);
	free(l);
}

size_t revoked_list_size(const struct revoked_list *l)
{
	return l->n;
}

struct slice revoked_list_login(const struct revoked_list *l, size_t i)
{
	return l->v[i];
}

bool revoked_list_has(const struct revoked_list *l, struct slice login)
{
	struct sender_name name = name_of(l, login);

	return name.part[0].n > 0 &&
	       sender_names_find(&l->names, &name) != SENDER_NONE;
}

static void write_line(struct strbuf *b, struct slice login)
{
	strbuf_add(b, login);
	strbuf_addc(b, '\n');
}

void revoked_list_with(const struct revoked_list *l, struct slice login,
		       struct strbuf *ret)
{
	for (size_t i = 0; i < l->n; i++)
		write_line(ret, l->v[i]);
	write_line(ret, login);
}

void revoked_list_without(const struct revoked_list *l, struct slice login,
			  struct strbuf *ret)
{
	struct slice name = sender_login(l->strip_realm, login);

	for (size_t i = 0; i < l->n; i++)
		if (!slice_eq_ci(sender_login(l->strip_realm, l->v[i]), name))
			write_line(ret, l->v[i]);
}

void revoked_refuse(struct arena *a, const struct gate_facts *f,
		    const char *coaching, struct gate_fault *ret)
{
	const char *text = arena_printf(a, "The credential of %s is revoked",
					reply_login(a, f->login));

	ret->log = "revoked";
	ret->reply = (struct smtp_reply){"550", "5.7.8",
					 reply_text(a, text, coaching)};
}

void revoked_unknown(struct arena *a, const struct gate_facts *f,
		     struct gate_fault *ret)
{
	const char *text = arena_printf(
		a,
		"Whether the credential of %s is revoked cannot be "
		"told, try again later",
		reply_login(a, f->login));

	ret->log = "list of revoked logins cannot be read";
	ret->reply =
		(struct smtp_reply){"451", "4.3.0", reply_text(a, text, "")};
}
