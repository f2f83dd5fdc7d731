/* Finds the journal, and reads what record.c wrote. */
#include "cmd/record_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "config/config.h"

bool journal_place_take(struct journal_place *p, int c, const char *arg)
{
	if (c == 'c')
		p->config = arg;
	else if (c == JOURNAL_OPTION_STATE)
		p->state = arg;
	else
		return false;
	return true;
}

bool journal_place_find(struct arena *a, const char *command,
			struct journal_place *p)
{
	const char *file = p->config != NULL ? p->config
					     : MAILSEAL_SYSCONFDIR
				   "/mailseal.conf";
	struct strbuf errors;
	struct config *c;

	strbuf_init(&errors, a, 65536);
	c = config_load(file, &errors);
	fputs(strbuf_cstr(&errors), stderr);
	if (c == NULL)
		return false;
	p->socket = arena_strdup(a, c->control.socket);
	if (c->state_directory[0] != '\0')
		p->state = arena_strdup(a, c->state_directory);
	else
		fprintf(stderr,
			"mailseal %s: %s: state_directory is empty, so no "
			"journal is kept; set it\n",
			command, file);
	config_free(c);
	return p->state != NULL;
}

struct journal_file *journal_place_open(struct arena *a, const char *command,
					const struct journal_place *p,
					bool write, int *status)
{
	struct journal_place found = *p;
	const char *error = NULL;
	struct journal_file *f;

	*status = EX_CONFIG;
	if (found.state == NULL && !journal_place_find(a, command, &found))
		return NULL;
	f = journal_open(a, found.state, write, &error);
	if (f == NULL) {
		fprintf(stderr, "mailseal %s: %s\n", command, error);
		*status = EX_NOINPUT;
		return NULL;
	}
	*status = 0;
	return f;
}

const char *record_find(struct arena *a, struct journal_file *f, const char *id,
			const char **why, int *status)
{
	const char *record;
	struct strbuf b;

	if (journal_find(f, a, slice_of(id), &record, 1) == 1)
		return record;
	if (journal_error(f) != NULL) {
		*why = arena_strdup(a, journal_error(f));
		*status = EX_NOINPUT;
		return NULL;
	}
	strbuf_init(&b, a, 8192);
	strbuf_adds(&b, "no record of ");
	strbuf_add_escaped(&b, slice_of(id), 1000);
	strbuf_adds(&b, "; it may be too old, or the message came to another "
			"host");
	*why = strbuf_cstr(&b);
	*status = EX_DATAERR;
	return NULL;
}

const char *journal_place_record(struct arena *a, const char *command,
				 struct journal_file *f, const char *id,
				 int *status)
{
	const char *why, *record = record_find(a, f, id, &why, status);

	if (record == NULL)
		fprintf(stderr, "mailseal %s: %s\n", command, why);
	return record;
}

struct slice record_read(struct arena *a, struct journal_file *f,
			 const char *record, const char *path)
{
	return slice_of(journal_json(f, a, record, path));
}

bool record_read_bool(struct arena *a, struct journal_file *f,
		      const char *record, const char *path)
{
	return slice_is(record_read(a, f, record, path), "true");
}

int64_t record_read_number(struct arena *a, struct journal_file *f,
			   const char *record, const char *path)
{
	const char *text = journal_json(f, a, record, path);

	return text != NULL ? strtoll(text, NULL, 10) : 0;
}

/* ---- DNS answers ---- */

static int hex(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(struct arena *a, struct slice text, struct slice *ret)
{
	char *p = arena_alloc(a, text.n / 2 + 1);

	for (size_t i = 0; i + 1 < text.n; i += 2) {
		int high = hex(text.p[i]), low = hex(text.p[i + 1]);

		if (high < 0 || low < 0)
			return false;
		p[i / 2] = (char)(high << 4 | low);
	}
	*ret = (struct slice){p, text.n / 2};
	return text.n % 2 == 0;
}

/* Of the length that the type has, as whoever reads an answer trusts. */
static bool is_data(enum dns_type type, struct slice data)
{
	if (type == DNS_A)
		return data.n == 4;
	if (type == DNS_AAAA)
		return data.n == 16;
	return true;
}

static bool read_data(struct arena *a, enum dns_type type, const char *text,
		      struct dns_record *ret)
{
	struct slice rest = slice_of(text);
	uint64_t preference = 0;

	*ret = (struct dns_record){0};
	if (type == DNS_MX &&
	    !slice_u64(slice_cut(&rest, ' '), UINT16_MAX, &preference))
		return false;
	ret->preference = (uint16_t)preference;
	return rest.p != NULL && unhex(a, rest, &ret->data) &&
	       is_data(type, ret->data);
}

static bool read_type(const char *name, enum dns_type *ret)
{
	static const enum dns_type types[] = {DNS_A, DNS_PTR, DNS_MX, DNS_TXT,
					      DNS_AAAA};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (strcmp(name, dns_type_name(types[i])) != 0)
			continue;
		*ret = types[i];
		return true;
	}
	return false;
}

static enum dns_status read_status(const char *name)
{
	for (enum dns_status s = DNS_FOUND; s < DNS_TEMPFAIL; s++)
		if (strcmp(name, dns_status_name(s)) == 0)
			return s;
	return DNS_TEMPFAIL;
}

static const char *text_of(struct arena *a, struct journal_file *f,
			   const char *json, const char *path)
{
	const char *text = journal_json(f, a, json, path);

	return text != NULL ? text : "";
}

static bool read_answer(struct arena *a, struct journal_file *f,
			const char *json, struct dns_recorded *ret)
{
	const char **data;
	struct dns_record *rr;
	size_t n;

	*ret = (struct dns_recorded){.name = text_of(a, f, json, "$.name")};
	if (!read_type(text_of(a, f, json, "$.type"), &ret->type))
		return false;
	ret->answer.status = read_status(text_of(a, f, json, "$.status"));
	ret->answer.security = record_read_bool(a, f, json, "$.secure")
				       ? DNS_SECURE
				       : DNS_INSECURE;
	ret->answer.ttl = (uint32_t)record_read_number(a, f, json, "$.ttl");
	if (ret->answer.status == DNS_TEMPFAIL)
		ret->answer.reason = text_of(a, f, json, "$.reason");
	n = journal_json_array(f, a, json, "$.data", &data);
	rr = arena_array(a, n, sizeof(*rr));
	ret->answer.rr = rr;
	for (size_t i = 0; i < n; i++)
		if (read_data(a, ret->type, data[i], &rr[ret->answer.n]))
			ret->answer.n++;
	return true;
}

size_t record_read_dns(struct arena *a, struct journal_file *f,
		       const char *record, struct dns_recorded **ret)
{
	const char **list;
	size_t n = journal_json_array(f, a, record, "$.dns", &list), out = 0;

	*ret = arena_array(a, n, sizeof(**ret));
	for (size_t i = 0; i < n; i++)
		out += read_answer(a, f, list[i], &(*ret)[out]);
	return out;
}
