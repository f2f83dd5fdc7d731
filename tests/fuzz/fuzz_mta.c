/*
 * What check-config and setup make of an MTA's configuration (cmd/mta_*.c).
 * After "s" and a line end the input is sendmail.cf; else what postconf(1)
 * tells: lines "p NAME VALUE" (a parameter), "s NAME TYPE COMMAND" (a service,
 * "c" for one in a chroot), "o SERVICE NAME VALUE" (an override).
 */
#include "fuzz.h"

#include "cmd/mta.h"
#include "config/config.h"

#define ENTRIES_MAX 100
#define TEXT_MAX    (1 << 20)

static void check_faults(struct arena *a, const struct mta_faults *faults)
{
	struct strbuf b;

	strbuf_init(&b, a, TEXT_MAX);
	FUZZ_CHECK(mta_faults_print(&b, faults, false) == (faults->n > 0));
	for (const char *p = strbuf_cstr(&b); *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	for (size_t i = 0; i < faults->n; i++) {
		const struct mta_fault *f = &faults->v[i];

		FUZZ_CHECK(f->where && f->setting && f->wrong && f->cure);
		FUZZ_CHECK(f->name == NULL || f->value != NULL);
	}
}

static void read_sendmail(struct arena *a, const struct config *c,
			  struct slice text)
{
	struct sendmail s = {.arena = a,
			     .directory = "/nowhere",
			     .mc_path = "/nowhere/sendmail.mc",
			     .cf_path = "/nowhere/sendmail.cf",
			     .cf = slice_cstr(a, text),
			     .version = "8.17",
			     .minor = 17};
	struct mta_faults faults = {.arena = a};
	struct sendmail_filter f;

	for (size_t i = 0; i < 20 && sendmail_filter(&s, i, &f); i++) {
		FUZZ_CHECK(f.name && f.socket && f.flags && f.times);
		(void)sendmail_is_ours(c, &f);
		sendmail_compare_filter(a, c, &f, "sendmail.mc", &faults);
	}
	(void)sendmail_option(&s, "Milter.macros.connect", 0);
	sendmail_compare(&s, c, &faults);
	sendmail_compare_rest(&s, c, &faults);
	(void)sendmail_wants_reject_nul(&s);
	check_faults(a, &faults);
}

static const char *word(struct arena *a, struct slice *line)
{
	return slice_cstr(a, slice_cut(line, ' '));
}

static void add_line(struct postfix *p, struct slice line)
{
	struct postfix_parameter *parameter = &p->parameters[p->nparameters];
	struct postfix_service *service = &p->services[p->nservices];
	struct postfix_override *override = &p->overrides[p->noverrides];
	struct slice kind = slice_cut(&line, ' ');

	if (line.p == NULL || kind.n != 1)
		return;
	switch (kind.p[0]) {
	case 'p':
		parameter->name = word(p->arena, &line);
		parameter->raw = parameter->value = slice_cstr(p->arena, line);
		p->nparameters += p->nparameters + 1 < ENTRIES_MAX;
		break;
	case 's':
	case 'c':
		service->name = word(p->arena, &line);
		service->type = word(p->arena, &line);
		service->command = slice_cstr(p->arena, line);
		service->chroot = kind.p[0] == 'c';
		p->nservices += p->nservices + 1 < ENTRIES_MAX;
		break;
	case 'o':
		override->service = word(p->arena, &line);
		override->name = word(p->arena, &line);
		override->value = slice_cstr(p->arena, line);
		p->noverrides += p->noverrides + 1 < ENTRIES_MAX;
		break;
	default:
		break;
	}
}

/* Each element is taken once, and there is an end. */
static void check_list(const struct postfix *p, const struct config *c,
		       const char *list)
{
	struct slice rest = slice_of(list), whole = rest, e;

	while ((e = postfix_next(&rest)).n > 0) {
		FUZZ_CHECK(fuzz_inside(e, whole));
		(void)postfix_entry_option(p->arena, e, "connect_timeout");
	}
	FUZZ_CHECK(rest.n == 0);
	FUZZ_CHECK(fuzz_inside(postfix_our_entry(p, c, list), whole));
	FUZZ_CHECK(fuzz_inside(postfix_old_entry(list), whole));
}

static void read_postfix(struct arena *a, const struct config *c,
			 struct slice text)
{
	struct postfix p = {.arena = a,
			    .directory = "/nowhere",
			    .main_cf = "/nowhere/main.cf",
			    .master_cf = "/nowhere/master.cf",
			    .queue = "/var/spool/postfix"};
	struct mta_faults faults = {.arena = a};

	p.parameters = arena_array(a, ENTRIES_MAX, sizeof(*p.parameters));
	p.services = arena_array(a, ENTRIES_MAX, sizeof(*p.services));
	p.overrides = arena_array(a, ENTRIES_MAX, sizeof(*p.overrides));
	while (text.p != NULL)
		add_line(&p, slice_cut(&text, '\n'));
	for (size_t i = 0; i < p.nparameters; i++)
		check_list(&p, c, p.parameters[i].value);
	postfix_compare(&p, c, &faults);
	postfix_compare_master(&p, c, &faults);
	check_faults(a, &faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config *c;
	struct slice text = fuzz_input(data, size), rest = text;
	struct arena *a = arena_new();
	struct strbuf errors;

	strbuf_init(&errors, a, TEXT_MAX);
	if (c == NULL)
		c = config_load(NULL, &errors);
	FUZZ_CHECK(c != NULL);
	if (slice_is(fuzz_line(&rest), "s"))
		read_sendmail(a, c, rest);
	else
		read_postfix(a, c, text);
	arena_free(a);
	return 0;
}
