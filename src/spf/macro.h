/*
 * SPF macros (RFC 7208 section 7): syntax and expansion.  Pure: the only
 * macro that needs DNS, %{p}, is asked for through a function.
 */
#ifndef MAILSEAL_SPF_MACRO_H
#define MAILSEAL_SPF_MACRO_H

#include "base/ip.h"
#include "base/str.h"

#define SPF_EXPLANATION_MAX 512 /* bytes of explanation text that are kept */

struct spf_macro_env {
	struct slice local;   /* %{l}; "postmaster" when there was none */
	const char *sender;   /* %{o}: domain of the sender */
	const char *domain;   /* %{d}: domain of the record */
	struct slice helo;    /* %{h} */
	struct ip client;     /* %{i}, %{c}, %{v}; not IP_NONE */
	const char *receiver; /* %{r} */
	int64_t now;	      /* %{t} */
	/* %{p}: validated name of the client, or "unknown" */
	const char *(*validated)(void *arg, const char *domain);
	void *arg;
};

/* macro-string: %{c}, %{r} and %{t} are refused (7.2: only in exp text). */
bool spf_macro_string_ok(struct slice s);
/* domain-spec: a macro-string that ends in a top label or a macro. */
bool spf_macro_domain_ok(struct slice s);

/* The name that a valid domain-spec stands for, at most 253 bytes (left
 * labels are dropped, 7.3), without trailing dot.  NULL when there is no such
 * name: too long to expand, empty, a NUL in it, or %{s}, %{l} of a non-ASCII
 * local-part (RFC 8616 section 4): *unmatched is then set for the last. */
const char *spf_macro_domain(struct arena *a, const struct spf_macro_env *env,
			     struct slice spec, bool *unmatched);
/* The explanation, printable ASCII only and bounded, or NULL when the text is
 * no explain-string (6.2). */
const char *spf_macro_explanation(struct arena *a,
				  const struct spf_macro_env *env,
				  struct slice text);

#endif
