/* What is not as mailseal needs it: a list, and how it is told. */
#include "cmd/mta.h"

#include <stdio.h>

void mta_fault_add(struct mta_faults *f, const struct mta_fault *fault)
{
	if (f->n < sizeof(f->v) / sizeof(*f->v))
		f->v[f->n++] = *fault;
}

#define LINE_MAX_BYTES 4000

bool mta_faults_print(struct strbuf *out, const struct mta_faults *f,
		      bool rest_only)
{
	bool any = false;

	for (size_t i = 0; i < f->n; i++) {
		const struct mta_fault *v = &f->v[i];
		const char *line;

		if (rest_only && v->name != NULL)
			continue;
		line = arena_printf(f->arena, "%s: %s: %s; %s", v->where,
				    v->setting, v->wrong, v->cure);
		strbuf_add_escaped(out, slice_of(line), LINE_MAX_BYTES);
		strbuf_addc(out, '\n');
		any = true;
	}
	return any;
}

bool mta_faults_complain(const struct mta_faults *f)
{
	struct strbuf b;
	bool any;

	strbuf_init(&b, f->arena, 65536);
	any = mta_faults_print(&b, f, true);
	fputs(strbuf_cstr(&b), stderr);
	return any;
}

bool mta_signs(const struct config *c)
{
	return c->outbound.ndomains > 0 || c->outbound.key_table[0] != '\0';
}

const char *mta_wrong_accept(const struct config *c)
{
	if (c->on_signing_error == ON_ERROR_TEMPFAIL && mta_signs(c))
		return "while mailseald is down mail leaves unsigned, which "
		       "on_signing_error = tempfail forbids";
	if (c->on_internal_error == ON_ERROR_TEMPFAIL)
		return "while mailseald is down mail passes unchecked, which "
		       "on_internal_error = tempfail forbids";
	return NULL;
}

int mta_fail(int status, const char *what, const char *why)
{
	fprintf(stderr, "mailseal setup: %s: %s\n", what, why);
	return status;
}
