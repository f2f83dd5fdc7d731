/*
 * The parameters of main.cf that mailseal needs, and the comparison with what
 * is there.  This table is the only place where they are written: setup makes
 * what differs, check-config warns of it, and contrib/postfix/main.cf.in is
 * checked against it (tests/mta/test_setup.py).
 */
#include "cmd/mta.h"

#include <string.h>

enum kind {
	FIRST,	/* our socket, before other milters */
	LAST,	/* after them */
	ACTION, /* what becomes of mail while mailseald is down */
	WORD,	/* `value`, or one of `good` */
	HAS,	/* a list with `value` in it */
	NUMBER, /* at least `value` */
	LONGER, /* than the time that mailseald may take, at least `value` */
};

static bool signs(const struct postfix *p, const struct config *c)
{
	(void)p;
	return mta_signs(c);
}

/* Without smtpd_forbid_bare_newline (3.9, 3.8.4, 3.7.9, 3.6.13, 3.5.23) what
 * was advised for CVE-2023-51764 has to do. */
static bool takes_bare_newlines(const struct postfix *p, const struct config *c)
{
	(void)c;
	return postfix_get(p, "smtpd_forbid_bare_newline") == NULL;
}

/* The first versions with smtpd_forbid_bare_newline (3.8.4, 3.7.9 and so on)
 * know yes and no only; cleanup_replace_stray_cr_lf came with the others. */
static bool normalizes(const struct postfix *p, const struct config *c)
{
	(void)c;
	return postfix_get(p, "cleanup_replace_stray_cr_lf") != NULL;
}

static bool only_forbids(const struct postfix *p, const struct config *c)
{
	return !normalizes(p, c);
}

static int64_t message_time(const struct config *c)
{
	return c->resolver.message_timeout;
}

static int64_t drain_time(const struct config *c)
{
	return c->shutdown_timeout;
}

#define ONE_MESSAGE                                                            \
	"one message must not look like two (SMTP smuggling, CVE-2023-51764)"
#define SMUGGLED "a message can be smuggled in within another (CVE-2023-51764)"

static const struct setting {
	const char *name;
	enum kind kind;
	const char *value; /* LONGER: seconds */
	const char *good;  /* WORD: others that will do, or NULL */
	bool (*when)(const struct postfix *p, const struct config *c);
	int64_t (*ours)(const struct config *c);
	const char *option; /* of ours that it is compared with */
	const char *why, *wrong;
} table[] = {
	{.name = "smtpd_milters",
	 .kind = FIRST,
	 .why = "mail that arrives by SMTP: first, to see it as it came; the "
		"milters behind it find our results",
	 .wrong = "mail that arrives by SMTP is neither checked nor signed"},
	{.name = "non_smtpd_milters",
	 .kind = LAST,
	 .when = signs,
	 .why = "mail of sendmail(1) and cron: last, so that what other "
		"milters change is signed",
	 .wrong = "mail of sendmail(1) and cron is not signed"},
	{.name = "internal_mail_filter_classes",
	 .kind = HAS,
	 .value = "bounce",
	 .when = signs,
	 .why = "bounces are signed too",
	 .wrong = "bounces are not signed"},
	{.name = "milter_default_action",
	 .kind = ACTION,
	 .value = "tempfail",
	 .why = "mailseald is down: the sender tries again"},
	{.name = "milter_protocol",
	 .kind = NUMBER,
	 .value = "6",
	 .why = "older versions lose leading spaces, which signatures with "
		"c=simple need",
	 .wrong = "signatures with c=simple fail, because leading spaces are "
		  "lost"},
	{.name = "milter_connect_timeout",
	 .kind = LONGER,
	 .value = "30",
	 .ours = drain_time,
	 .option = "shutdown_timeout",
	 .why = "longer than a restart of mailseald may take",
	 .wrong = "a restart of mailseald makes mail wait for its next try"},
	{.name = "milter_command_timeout",
	 .kind = LONGER,
	 .value = "30",
	 .ours = message_time,
	 .option = "resolver.message_timeout",
	 .why = "longer than mailseald may wait for the DNS",
	 .wrong = "Postfix gives up while mailseald waits for the DNS"},
	{.name = "milter_content_timeout",
	 .kind = LONGER,
	 .value = "300",
	 .ours = message_time,
	 .option = "resolver.message_timeout",
	 .why = "the same, when the whole message has been handed over",
	 .wrong = "Postfix gives up while mailseald waits for the DNS"},
	{.name = "smtpd_forbid_bare_newline",
	 .kind = WORD,
	 .value = "normalize",
	 .good = "yes reject",
	 .when = normalizes,
	 .why = ONE_MESSAGE,
	 .wrong = SMUGGLED},
	{.name = "smtpd_forbid_bare_newline",
	 .kind = WORD,
	 .value = "yes",
	 .when = only_forbids,
	 .why = ONE_MESSAGE,
	 .wrong = SMUGGLED},
	{.name = "cleanup_replace_stray_cr_lf",
	 .kind = WORD,
	 .value = "yes",
	 .why = "nor may one that leaves: no CR or LF by itself",
	 .wrong = "a message with CR or LF by itself can be taken for two by "
		  "its receiver"},
	{.name = "smtpd_data_restrictions",
	 .kind = HAS,
	 .value = "reject_unauth_pipelining",
	 .when = takes_bare_newlines,
	 .why = "this Postfix has no smtpd_forbid_bare_newline: update it, "
		"and until then (CVE-2023-51764)",
	 .wrong = SMUGGLED},
	{.name = "smtpd_discard_ehlo_keywords",
	 .kind = HAS,
	 .value = "chunking",
	 .when = takes_bare_newlines,
	 .why = "the same, for BDAT",
	 .wrong = SMUGGLED},
};
#define NTABLE (sizeof(table) / sizeof(*table))

size_t postfix_table_names(const char **names, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < NTABLE && n < max; i++)
		if (n == 0 || strcmp(names[n - 1], table[i].name) != 0)
			names[n++] = table[i].name;
	return n;
}

static bool has_word(const char *list, const char *word)
{
	struct slice rest = slice_of(list), w;

	while ((w = postfix_next(&rest)).n > 0)
		if (slice_is_ci(w, word))
			return true;
	return false;
}

/* "a" and "b" as "a, b"; either may be empty. */
static const char *joined(struct arena *a, const char *first, const char *then)
{
	if (*first == '\0' || *then == '\0')
		return *first == '\0' ? then : first;
	return arena_printf(a, "%s, %s", first, then);
}

/* `list` with `ours` in place of `old`, which is part of it. */
static const char *replaced(struct arena *a, const char *list, const char *at,
			    size_t n, const char *ours)
{
	return arena_printf(a, "%.*s%s%s", (int)(at - list), list, ours,
			    at + n);
}

/* What the list of milters must become, or NULL when ours is in it. */
static const char *compare_milters(const struct postfix *p,
				   const struct config *c, enum kind kind,
				   const struct postfix_parameter *q)
{
	const char *ours = postfix_our_address(p, c), *at;
	struct slice old = postfix_old_entry(q->value);

	if (ours == NULL || postfix_our_entry(p, c, q->value).n > 0)
		return NULL;
	if (kind == LAST && (strstr(q->raw, "$smtpd_milters") != NULL ||
			     strstr(q->raw, "${smtpd_milters}") != NULL))
		return NULL; /* as that becomes */
	at = old.n > 0 ? strstr(q->raw, slice_cstr(p->arena, old)) : NULL;
	if (at != NULL)
		return replaced(p->arena, q->raw, at, old.n, ours);
	return kind == FIRST ? joined(p->arena, ours, q->raw)
			     : joined(p->arena, q->raw, ours);
}

/* Postfix gives up on a milter: is that what the configuration wants? */
static const char *wrong_action(const struct config *c, const char *action)
{
	if (strcmp(action, "accept") == 0)
		return mta_wrong_accept(c);
	if (strcmp(action, "reject") == 0)
		return "mail that comes while mailseald is down is refused for "
		       "good";
	if (strcmp(action, "quarantine") == 0)
		return "mail that comes while mailseald is down is held until "
		       "somebody releases it";
	return NULL; /* tempfail, shutdown */
}

static const char *compare_time(const struct postfix *p, const struct config *c,
				const struct setting *s, const char *value)
{
	uint64_t ours = (uint64_t)s->ours(c), least = 0, there;

	(void)slice_u64(slice_of(s->value), 3600, &least);
	if (!mta_seconds(value, 's', &there) || there > ours)
		return NULL; /* Postfix itself complains of what is no time */
	return arena_printf(p->arena, "%ds",
			    (int)(ours + 5 > least ? ours + 5 : least));
}

static bool too_low(const char *value, const char *least)
{
	struct slice rest = slice_of(value);
	uint64_t there, want;

	return slice_u64(postfix_next(&rest), 1000, &there) &&
	       slice_u64(slice_of(least), 1000, &want) && there < want;
}

/* The value that it must have, or NULL when that which it has is as good. */
static const char *compare(const struct postfix *p, const struct config *c,
			   const struct setting *s,
			   const struct postfix_parameter *q)
{
	switch (s->kind) {
	case FIRST:
	case LAST:
		return compare_milters(p, c, s->kind, q);
	case ACTION:
		return wrong_action(c, q->value) != NULL ? s->value : NULL;
	case WORD:
		return strcasecmp(q->value, s->value) == 0 ||
				       has_word(s->good, q->value)
			       ? NULL
			       : s->value;
	case HAS:
		return has_word(q->value, s->value)
			       ? NULL
			       : joined(p->arena, q->raw, s->value);
	case NUMBER:
		return too_low(q->value, s->value) ? s->value : NULL;
	case LONGER:
		return compare_time(p, c, s, q->value);
	}
	return NULL;
}

static const char *what_is_wrong(const struct postfix *p,
				 const struct config *c,
				 const struct setting *s,
				 const struct postfix_parameter *q)
{
	switch (s->kind) {
	case FIRST:
	case LAST:
		if (postfix_old_entry(q->value).n > 0)
			return arena_printf(
				p->arena,
				"is not how smtpd and cleanup find the socket "
				"of %s, %s",
				c->file, c->socket);
		return s->wrong;
	case ACTION:
		return wrong_action(c, q->value);
	case LONGER:
		return arena_printf(
			p->arena, "is not longer than %s = %d of %s: %s",
			s->option, (int)s->ours(c), c->file, s->wrong);
	case WORD:
	case HAS:
	case NUMBER:
		break;
	}
	return s->wrong;
}

/* The options of our entry, "{ unix:..., command_timeout=5s }", which come
 * before the parameters of their names. */
static void compare_options(const struct postfix *p, const struct config *c,
			    const struct setting *s, struct mta_faults *ret)
{
	const char *list = postfix_value(p, "smtpd_milters");
	struct postfix_parameter q = {.name = s->name};
	const char *value, *name = s->name + strlen("milter_");

	if (list == NULL || !slice_starts(slice_of(s->name), "milter_"))
		return;
	q.raw = q.value = postfix_entry_option(
		p->arena, postfix_our_entry(p, c, list), name);
	value = q.value != NULL ? compare(p, c, s, &q) : NULL;
	if (value == NULL)
		return;
	mta_fault_add(
		ret,
		&(struct mta_fault){
			.where = p->main_cf,
			.setting = arena_printf(p->arena,
						"smtpd_milters = { ... %s=%s }",
						name, q.value),
			.wrong = what_is_wrong(p, c, s, &q),
			.cure = arena_printf(p->arena, "make it %s", value)});
}

/* A socket of ours that is another by now, and comes from a variable: a second
 * entry would leave the first there. */
static bool is_behind_variable(const struct setting *s,
			       const struct postfix_parameter *q)
{
	struct slice old = postfix_old_entry(q->value);

	return (s->kind == FIRST || s->kind == LAST) && old.n > 0 &&
	       memmem(q->raw, strlen(q->raw), old.p, old.n) == NULL;
}

static void add_hidden(const struct postfix *p, const struct config *c,
		       const struct setting *s,
		       const struct postfix_parameter *q,
		       struct mta_faults *ret)
{
	mta_fault_add(
		ret, &(struct mta_fault){
			     .where = p->main_cf,
			     .setting = arena_printf(p->arena, "%s = %s",
						     s->name, q->raw),
			     .wrong = what_is_wrong(p, c, s, q),
			     .cure = arena_printf(
				     p->arena, "make it %s where \"%s\" is set",
				     postfix_our_address(p, c), q->raw)});
}

void postfix_compare(const struct postfix *p, const struct config *c,
		     struct mta_faults *ret)
{
	for (size_t i = 0; i < NTABLE; i++) {
		const struct setting *s = &table[i];
		const struct postfix_parameter *q = postfix_get(p, s->name);
		const char *value;

		if (q == NULL || (s->when != NULL && !s->when(p, c)))
			continue;
		compare_options(p, c, s, ret);
		value = compare(p, c, s, q);
		if (value == NULL)
			continue;
		if (is_behind_variable(s, q)) {
			add_hidden(p, c, s, q, ret);
			continue;
		}
		mta_fault_add(
			ret,
			&(struct mta_fault){
				.where = p->main_cf,
				.setting = arena_printf(
					p->arena, "%s =%s%s", s->name,
					*q->raw != '\0' ? " " : "", q->raw),
				.wrong = what_is_wrong(p, c, s, q),
				.cure = arena_printf(p->arena, "set %s = %s",
						     s->name, value),
				.name = s->name,
				.value = value,
				.why = s->why});
	}
}
