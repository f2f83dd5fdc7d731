/*
 * Organizational domains by the public suffix list, as RFC 7489 3.2 had them:
 * one label below the longest public suffix.  The only user of libpsl.
 *
 * For sites that are not ready for the tree walk (RFC 9989 4.10), and to see
 * where the two differ.
 */
#include "dmarc/dmarc.h"

#include <errno.h>
#include <libpsl.h>
#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"

struct dmarc_psl {
	psl_ctx_t *list;
	bool builtin; /* libpsl's own, which it never frees */
};

/* psl_load_file() takes any text for a list. */
static const char *objection(const psl_ctx_t *list)
{
	if (list == NULL && errno != 0)
		return strerror(errno);
	return list == NULL || psl_suffix_count(list) == 0
		       ? "holds no public suffix"
		       : NULL;
}

struct dmarc_psl *dmarc_psl_load(const char *file, const char **error)
{
	bool builtin = file[0] == '\0';
	const char *why;
	struct dmarc_psl *p;
	psl_ctx_t *list;

	errno = 0;
	list = builtin ? unconst(psl_builtin()) : psl_load_file(file);
	why = builtin && list == NULL
		      ? "libpsl was built without one; name a file"
		      : objection(list);
	if (why != NULL) {
		if (!builtin)
			psl_free(list);
		*error = why;
		return NULL;
	}
	p = mem_alloc(sizeof(*p));
	p->list = list;
	p->builtin = builtin;
	return p;
}

void dmarc_psl_free(struct dmarc_psl *p)
{
	if (p == NULL)
		return;
	if (!p->builtin)
		psl_free(p->list);
	free(p);
}

const char *dmarc_psl_org(const struct dmarc_psl *p, const char *domain)
{
	const char *org = psl_registrable_domain(p->list, domain);

	/* NULL: a public suffix itself */
	return org != NULL ? org : domain;
}
