/*
 * A configuration file as a tree of nodes.  The only file that includes
 * libconfig; what comes out knows nothing of it.
 *
 * Mistakes of syntax end here, and numbers that libconfig damages are marked.
 * The tree is a copy in the loader's scratch arena.
 */
#include "config/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (128 * 1024 * 1024) /* 500,000 credentials */
#define DEPTH_MAX      16

/* ---- files ---- */

/* False and a message when it cannot be read, or is no plain file. */
static bool read_file(struct loader *l, const char *path, struct strbuf *b)
{
	/* O_NONBLOCK: the open of a FIFO would wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char chunk[16384];
	struct stat st;
	ssize_t n = 0;
	const char *what = NULL;

	if (fd < 0 || fstat(fd, &st) != 0)
		what = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		what = "is no regular file";
	while (what == NULL && (n = read(fd, chunk, sizeof(chunk))) > 0)
		strbuf_add(b, (struct slice){chunk, (size_t)n});
	if (what == NULL && n < 0)
		what = strerror(errno);
	if (what == NULL && l->digest != NULL)
		crypto_hash_add(l->digest, strbuf_slice(b));
	if (what == NULL && b->overflow)
		what = "is too large";
	if (fd >= 0)
		close(fd);
	if (what != NULL)
		config_complain_line(
			l, path, 0,
			"%s; give a file that can be read", what);
	return what == NULL;
}

/* libconfig alone would wait on a FIFO, and says little about the rest. */
static bool is_readable(struct loader *l, const char *path)
{
	struct arena *a = arena_new();
	struct strbuf b;
	bool good;

	strbuf_init(&b, a, FILE_MAX_BYTES);
	good = read_file(l, path, &b);
	arena_free(a);
	return good;
}

/* Scans a file for damaged numbers.  `name` is libconfig's: the main file as
 * it was given, others as they stand behind "@include". */
static void scan_file(struct loader *l, const char *name,
		      struct config_damage **list)
{
	const char *path = name;
	struct arena *a = arena_new();
	struct strbuf b;

	if (strcmp(name, l->file) != 0)
		path = arena_printf(a, "%s/%s", l->directory, name);
	strbuf_init(&b, a, FILE_MAX_BYTES);
	if (read_file(l, path, &b))
		config_scan(l->scratch, name, strbuf_slice(&b), list);
	arena_free(a);
}

static struct config_damage *scan_files(struct loader *l, const config_t *cfg)
{
	struct config_damage *list = NULL;

	for (unsigned i = 0; i < cfg->num_filenames; i++)
		scan_file(l, arena_strdup(l->scratch, cfg->filenames[i]),
			  &list);
	for (const struct config_damage *d = list; d != NULL; d = d->next)
		config_complain_line(l, d->file, d->line,
				     "%s is too large for any option; see "
				     "mailseal.conf(5) for the ranges",
				     d->word);
	return list;
}

/* ---- nodes ---- */

static bool is_damaged(const struct config_damage *list,
		       const struct config_node *s)
{
	for (const struct config_damage *d = list; d != NULL; d = d->next)
		if (d->line == s->line && strcmp(d->file, s->file) == 0)
			return true;
	return false;
}

static void set_scalar(struct loader *l, const config_setting_t *s,
		       struct config_node *ret)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		ret->type = CONFIG_NODE_STRING;
		ret->text =
			arena_strdup(l->scratch, config_setting_get_string(s));
		break;
	case CONFIG_TYPE_INT:
		ret->type = CONFIG_NODE_INTEGER;
		ret->number = config_setting_get_int(s);
		break;
	case CONFIG_TYPE_INT64: /* _get_int() would truncate it */
		ret->type = CONFIG_NODE_INTEGER;
		ret->number = config_setting_get_int64(s);
		break;
	case CONFIG_TYPE_BOOL:
		ret->type = CONFIG_NODE_BOOLEAN;
		ret->number = config_setting_get_bool(s) != 0;
		break;
	default:
		break;
	}
}

/* `depth`: nothing that an option takes is as deep as DEPTH_MAX. */
static void make_node(struct loader *l, const config_setting_t *s,
		      const struct config_damage *damages, unsigned depth,
		      struct config_node *ret)
{
	const char *name = config_setting_name(s);
	const char *file = config_setting_source_file(s);
	int n = 0;

	*ret = (struct config_node){.type = CONFIG_NODE_OTHER};
	ret->name = name != NULL ? arena_strdup(l->scratch, name) : "";
	ret->file = file != NULL ? arena_strdup(l->scratch, file) : l->file;
	ret->line = config_setting_source_line(s);
	if (!config_setting_is_aggregate(s)) {
		set_scalar(l, s, ret);
		ret->damaged = ret->type == CONFIG_NODE_INTEGER &&
			       is_damaged(damages, ret);
		return;
	}
	ret->type = config_setting_is_group(s) ? CONFIG_NODE_GROUP
					       : CONFIG_NODE_LISTING;
	if (depth < DEPTH_MAX)
		n = config_setting_length(s);
	ret->v = arena_array(l->scratch, (size_t)n, sizeof(*ret->v));
	for (; ret->n < (size_t)n; ret->n++)
		make_node(l, config_setting_get_elem(s, (unsigned)ret->n),
			  damages, depth + 1, &ret->v[ret->n]);
}

static const struct config_node *root_of(struct loader *l, const config_t *cfg,
					 const struct config_damage *damages)
{
	struct config_node *root = arena_alloc(l->scratch, sizeof(*root));

	make_node(l, config_root_setting(cfg), damages, 0, root);
	return root;
}

const struct config_node *config_node_member(const struct config_node *g,
					     const char *name)
{
	for (size_t i = 0; i < g->n; i++)
		if (strcmp(g->v[i].name, name) == 0)
			return &g->v[i];
	return NULL;
}

/* ---- trees ---- */

/* What may cure an error of libconfig's reader. */
static const char *syntax_cure(const char *what)
{
	if (strstr(what, "include") != NULL)
		return "give a path below the directory of the main file";
	if (strstr(what, "duplicate") != NULL)
		return "give each option once";
	return "look for a missing quote, bracket, comma or line end here or "
	       "just before";
}

const struct config_node *config_tree_file(struct loader *l)
{
	const struct config_node *root = NULL;
	const char *file;
	config_t cfg;

	if (!is_readable(l, l->file))
		return NULL;
	config_init(&cfg);
	config_set_include_dir(&cfg, l->directory);
	if (config_read_file(&cfg, l->file) == CONFIG_TRUE) {
		root = root_of(l, &cfg, scan_files(l, &cfg));
	} else {
		file = config_error_file(&cfg);
		config_complain_line(l, file != NULL ? file : l->file,
				     (unsigned)config_error_line(&cfg),
				     "%s; %s", config_error_text(&cfg),
				     syntax_cure(config_error_text(&cfg)));
	}
	config_destroy(&cfg);
	return root;
}

const struct config_node *config_tree_text(struct loader *l, const char *text)
{
	const struct config_node *root = NULL;
	config_t cfg;

	config_init(&cfg);
	if (config_read_string(&cfg, text) == CONFIG_TRUE)
		root = root_of(l, &cfg, NULL);
	else
		config_complain_line(l, "defaults",
				     (unsigned)config_error_line(&cfg), "%s",
				     config_error_text(&cfg));
	config_destroy(&cfg);
	return root;
}
