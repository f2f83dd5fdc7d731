/*
 * What a Postfix is set to: postconf(1) is asked, so that defaults, variables
 * and what this version knows are Postfix's own word.  Nothing is judged here.
 */
#include "cmd/mta.h"

#include <string.h>

#define SECONDS	    10
#define NAMES_MAX   32
#define ENTRIES_MAX 1000 /* of master.cf */

/* Asked for beside those of the table. */
static const char *const always[] = {
	"mail_version", "config_directory",    "queue_directory",
	"mail_owner",	"compatibility_level", "milter_macro_daemon_name",
};
#define NALWAYS (sizeof(always) / sizeof(*always))

/* postconf with these arguments, which end with NULL. */
static bool ask(struct postfix *p, const char *const *arguments,
		struct slice *ret, const char **err)
{
	const char *argv[NAMES_MAX + 8];
	struct mta_result r;
	size_t n = 0;

	argv[n++] = "postconf";
	if (p->option != NULL) {
		argv[n++] = "-c";
		argv[n++] = p->option;
	}
	while (*arguments != NULL)
		argv[n++] = *arguments++;
	argv[n] = NULL;
	mta_run_reader(p->arena, argv, SECONDS, &r);
	if (r.problem != NULL || r.status != 0) {
		*err = mta_complaint(p->arena, &r);
		return false;
	}
	*ret = r.out;
	return true;
}

/* "name = value" */
static bool read_line(struct arena *a, struct slice line, const char **name,
		      const char **value)
{
	ptrdiff_t eq = slice_chr(line, '=');

	if (eq < 0)
		return false;
	*name = slice_cstr(a, slice_trim(slice_first(line, (size_t)eq)));
	*value = slice_cstr(a, slice_trim(slice_from(line, (size_t)eq + 1)));
	return true;
}

static struct postfix_parameter *find(struct postfix *p, const char *name)
{
	for (size_t i = 0; i < p->nparameters; i++)
		if (strcmp(p->parameters[i].name, name) == 0)
			return &p->parameters[i];
	return NULL;
}

static bool read_parameters(struct postfix *p, const char **err)
{
	const char *names[NAMES_MAX + 2] = {"-x"};
	const char *name, *value;
	struct slice raw, expanded;
	size_t n = NALWAYS;

	memcpy(names + 1, always, sizeof(always));
	n += postfix_table_names(names + 1 + n, NAMES_MAX - n);
	names[n + 1] = NULL;
	if (!ask(p, names + 1, &raw, err) || !ask(p, names, &expanded, err))
		return false;
	p->parameters = arena_array(p->arena, n, sizeof(*p->parameters));
	while (raw.p != NULL && p->nparameters < n)
		if (read_line(p->arena, slice_cut(&raw, '\n'), &name, &value))
			p->parameters[p->nparameters++] =
				(struct postfix_parameter){name, value, value};
	while (expanded.p != NULL)
		if (read_line(p->arena, slice_cut(&expanded, '\n'), &name,
			      &value) &&
		    find(p, name) != NULL)
			find(p, name)->value = value;
	return true;
}

static struct slice word(struct slice *line)
{
	struct slice w;

	*line = slice_trim(*line);
	w = slice_cut(line, ' ');
	return w;
}

/* Compatibility level 1 made "n" of "-" (Postfix 3.0). */
static bool chroot_by_default(const struct postfix *p)
{
	const char *level = postfix_value(p, "compatibility_level");

	return level != NULL && strcmp(level, "0") == 0;
}

/* "smtp inet n - y - - smtpd -o ..." */
static void read_service(struct postfix *p, struct slice line)
{
	struct postfix_service *s = &p->services[p->nservices];
	struct slice name = word(&line), type = word(&line), chroot;

	(void)word(&line); /* private */
	(void)word(&line); /* unprivileged */
	chroot = word(&line);
	(void)word(&line); /* wakeup */
	(void)word(&line); /* process limit */
	if (line.p == NULL)
		return;
	s->name = slice_cstr(p->arena, name);
	s->type = slice_cstr(p->arena, type);
	s->chroot = slice_is(chroot, "-") ? chroot_by_default(p)
					  : slice_is(chroot, "y");
	s->command = slice_cstr(p->arena, word(&line));
	p->nservices++;
}

/* "submission/inet/name = value" */
static void read_override(struct postfix *p, struct slice line)
{
	struct postfix_override *o = &p->overrides[p->noverrides];
	const char *key, *value;
	ptrdiff_t slash;

	if (!read_line(p->arena, line, &key, &value))
		return;
	slash = slice_rchr(slice_of(key), '/');
	if (slash < 0)
		return;
	o->service = arena_memdup(p->arena, key, (size_t)slash);
	o->name = key + slash + 1;
	o->value = value;
	p->noverrides++;
}

static bool read_master(struct postfix *p, const char **err)
{
	static const char *const services[] = {"-M", NULL};
	static const char *const overrides[] = {"-P", NULL};
	struct slice lines;

	if (!ask(p, services, &lines, err))
		return false;
	p->services = arena_array(p->arena, ENTRIES_MAX, sizeof(*p->services));
	while (lines.p != NULL && p->nservices < ENTRIES_MAX)
		read_service(p, slice_cut(&lines, '\n'));
	if (!ask(p, overrides, &lines, err))
		return false;
	p->overrides =
		arena_array(p->arena, ENTRIES_MAX, sizeof(*p->overrides));
	while (lines.p != NULL && p->noverrides < ENTRIES_MAX)
		read_override(p, slice_cut(&lines, '\n'));
	return true;
}

struct postfix *postfix_read(struct arena *a, const char *directory,
			     const char **err)
{
	struct postfix *p = arena_alloc(a, sizeof(*p));

	p->arena = a;
	p->option = directory;
	if (!read_parameters(p, err))
		return NULL;
	p->directory = postfix_value(p, "config_directory");
	p->queue = postfix_value(p, "queue_directory");
	if (p->directory == NULL || p->queue == NULL) {
		*err = "postconf does not tell its config_directory";
		return NULL;
	}
	p->main_cf =
		mta_file_real(a, arena_printf(a, "%s/main.cf", p->directory));
	p->master_cf =
		mta_file_real(a, arena_printf(a, "%s/master.cf", p->directory));
	return read_master(p, err) ? p : NULL;
}

const struct postfix_parameter *postfix_get(const struct postfix *p,
					    const char *name)
{
	return find(unconst(p), name);
}

const char *postfix_value(const struct postfix *p, const char *name)
{
	const struct postfix_parameter *q = postfix_get(p, name);

	return q != NULL ? q->value : NULL;
}

static bool talks_to_milters(const struct postfix_service *s)
{
	return strcmp(s->command, "smtpd") == 0 ||
	       strcmp(s->command, "cleanup") == 0;
}

bool postfix_chrooted(const struct postfix *p)
{
	for (size_t i = 0; i < p->nservices; i++)
		if (p->services[i].chroot && talks_to_milters(&p->services[i]))
			return true;
	return false;
}

bool postfix_unchrooted(const struct postfix *p)
{
	for (size_t i = 0; i < p->nservices; i++)
		if (!p->services[i].chroot && talks_to_milters(&p->services[i]))
			return true;
	return false;
}

struct slice postfix_next(struct slice *rest)
{
	size_t depth = 0, i = 0, from;

	while (i < rest->n && strchr(", \t\r\n", rest->p[i]) != NULL)
		i++;
	from = i;
	for (; i < rest->n; i++) {
		if (rest->p[i] == '{')
			depth++;
		else if (rest->p[i] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(", \t\r\n", rest->p[i]) != NULL)
			break;
	}
	struct slice element = {rest->p + from, i - from};

	*rest = slice_from(*rest, i);
	return element;
}
