/* Loads the tables of the gate. */
#include "milter/tables.h"

#include <stdlib.h>
#include <sys/stat.h>

/* `tables` is what others see. */
struct holder {
	struct tables tables;
	struct arena *arena; /* of the credentials */
};

static struct holder *holder_of(struct tables *t)
{
	return (struct holder *)t;
}

/* A demand on a group that is not there is one on nobody. */
static void check_groups(const struct sender_table *t, const struct config *c,
			 struct strbuf *warnings)
{
	for (size_t i = 0; i < c->submission.login_classes.n; i++) {
		const struct login_demand *d =
			&c->submission.login_classes.v[i];

		if (d->group == NULL || sender_has_group(t, d->group))
			continue;
		strbuf_printf(warnings,
			      "%s: submission.login_classes: no "
			      "group \"",
			      d->source);
		strbuf_add_escaped(warnings, slice_of(d->group), 100);
		strbuf_printf(warnings,
			      "\" in %s; add it, or correct the "
			      "name\n",
			      c->submission.sender_groups);
	}
}

static bool load_senders(struct tables *t, const struct config *c,
			 struct strbuf *errors, struct strbuf *warnings)
{
	struct sender_options o = {
		.strip_realm = c->submission.login_realm == LOGIN_REALM_STRIP,
		.delimiter = c->submission.recipient_delimiter,
		.local_domains = c->submission.local_domains.v,
		.nlocal_domains = c->submission.local_domains.n,
	};

	if (c->submission.sender_table[0] == '\0')
		return true;
	t->senders = sender_table_load(c->submission.sender_table,
				       c->submission.sender_groups, &o, errors,
				       warnings);
	if (t->senders != NULL)
		check_groups(t->senders, c, warnings);
	return t->senders != NULL;
}

/* As with the table of senders. */
static void check_mode(const char *file, struct strbuf *warnings)
{
	struct stat st;

	if (stat(file, &st) == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		strbuf_printf(warnings,
			      "%s:0: others may write it; cure: chmod go-w\n",
			      file);
}

static bool load_credentials(struct holder *h, const struct config *c,
			     struct strbuf *errors, struct strbuf *warnings)
{
	struct config_credentials list;
	bool strip = c->submission.login_realm == LOGIN_REALM_STRIP;

	if (c->submission.credentials[0] == '\0')
		return true;
	if (!config_load_credentials(h->arena, c->submission.credentials, &list,
				     errors))
		return false;
	h->tables.credentials =
		credential_table_new(list.v, list.n, strip, errors);
	check_mode(c->submission.credentials, warnings);
	return h->tables.credentials != NULL;
}

struct tables *tables_load(const struct config *c, struct strbuf *errors,
			   struct strbuf *warnings)
{
	struct holder *h = mem_alloc(sizeof(*h));
	bool ok;

	h->arena = arena_new();
	ok = load_senders(&h->tables, c, errors, warnings);
	if (load_credentials(h, c, errors, warnings) && ok)
		return &h->tables;
	tables_free(&h->tables);
	return NULL;
}

void tables_free(struct tables *t)
{
	struct holder *h = holder_of(t);

	if (t == NULL)
		return;
	sender_table_free(h->tables.senders);
	credential_table_free(h->tables.credentials);
	arena_free(h->arena);
	free(h);
}
