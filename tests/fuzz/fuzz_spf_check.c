/*
 * The whole SPF check, our walk and libspf2 together.  The input is a client
 * address, a HELO and a sender, a line each, and then the records that DNS
 * has, a line each:
 *
 *	owner type data		all owners and types are one letter
 *	aTv=spf1 mx ~all	TXT of example.org
 *	bA192.0.2.1, b6::1	A, AAAA of b.example.org; "=" is the client's
 *	aMbcd			MX of example.org are {b,c,d}.example.org
 *	rPbcd			the same as PTR of the client
 *	bF, bO			b.example.org does not answer
 *
 * Owners are a to z, "*" (any other name below example.org) and "r" (the
 * reverse name of the client).  Lines that mean nothing are skipped, so that
 * every input is a zone.
 */
#include "fuzz.h"

#include "spf/record.h"
#include "spf/spf.h"

#define LINES_MAX 60

/* RFC 7208 4.6.4: the policy, 10 terms with 10 names each, the names of the
 * client for %{p}, and the explanation; for two identities */
#define QUESTIONS_MAX (2 * (1 + 10 * 11 + 11 + 1))

struct input {
	struct arena *arena;
	struct spf_query query;
	struct strbuf zone;
};

static const char *owner_name(struct input *in, char letter)
{
	if (letter == '*')
		return "*.example.org";
	if (letter == 'r')
		return dns_reverse_name(in->arena, &in->query.client);
	if (letter == 'a')
		return "example.org";
	if (letter < 'b' || letter > 'z')
		return NULL;
	return arena_printf(in->arena, "%c.example.org", letter);
}

static void add_txt(struct input *in, const char *owner, struct slice data)
{
	strbuf_printf(&in->zone, "%s TXT \"", owner);
	for (size_t i = 0; i < data.n; i++) {
		unsigned char c = (unsigned char)data.p[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			strbuf_printf(&in->zone, "\\%03u", c);
		else
			strbuf_addc(&in->zone, data.p[i]);
	}
	strbuf_adds(&in->zone, "\"\n");
}

static void add_address(struct input *in, const char *owner, struct slice data)
{
	char text[IP_TEXT_MAX];
	struct ip ip = in->query.client;

	if (!slice_is(data, "=") && !ip_parse(data, &ip))
		return;
	strbuf_printf(&in->zone, "%s %s %s\n", owner,
		      ip.family == IP_V6 ? "AAAA" : "A", ip_format(&ip, text));
}

static void add_names(struct input *in, const char *owner, struct slice data,
		      const char *type)
{
	for (size_t i = 0; i < data.n; i++) {
		const char *name = owner_name(in, data.p[i]);

		if (name != NULL)
			strbuf_printf(&in->zone, "%s %s %s\n", owner, type,
				      name);
	}
}

static void add_line(struct input *in, struct slice line)
{
	const char *owner = line.n < 2 ? NULL : owner_name(in, line.p[0]);
	struct slice data = slice_from(line, 2);

	if (owner == NULL)
		return;
	switch (line.p[1]) {
	case 'T':
		add_txt(in, owner, data);
		break;
	case 'A':
	case '6':
		add_address(in, owner, data);
		break;
	case 'M':
		add_names(in, owner, data, "MX 10");
		break;
	case 'P':
		add_names(in, owner, data, "PTR");
		break;
	case 'F':
		strbuf_printf(&in->zone, "%s ANY !SERVFAIL\n", owner);
		break;
	case 'O':
		strbuf_printf(&in->zone, "%s TXT !TIMEOUT\n", owner);
		break;
	default:
		break;
	}
}

static void read_input(struct input *in, struct slice rest)
{
	struct spf_query *q = &in->query;
	unsigned lines = 0;

	*q = (struct spf_query){.receiver = "mx.example", .now = 1000000000};
	if (!ip_parse(fuzz_line(&rest), &q->client))
		ip_parse(SLICE("192.0.2.1"), &q->client);
	q->helo = fuzz_line(&rest);
	addr_path_parse(in->arena, fuzz_line(&rest), &q->sender);
	strbuf_init(&in->zone, in->arena, 1 << 20);
	while (rest.p != NULL && lines++ < LINES_MAX)
		add_line(in, fuzz_line(&rest));
}

static void check_result(struct arena *a, const struct spf_result *r)
{
	const char *said = spf_explanation(a, r);
	bool error = r->status == SPF_STATUS_TEMPERROR ||
		     r->status == SPF_STATUS_PERMERROR;

	FUZZ_CHECK(r->checked);
	FUZZ_CHECK(r->terms <= 11 && r->voids <= 3); /* 4.6.4 */
	if (r->terms == 11 || r->voids == 3)
		FUZZ_CHECK(r->status == SPF_STATUS_PERMERROR);
	FUZZ_CHECK(!error || r->reason != NULL);
	if (r->status == SPF_STATUS_PASS || r->status == SPF_STATUS_FAIL ||
	    r->status == SPF_STATUS_SOFTFAIL)
		FUZZ_CHECK(r->mechanism != NULL && r->domain != NULL);
	if (r->mechanism != NULL)
		FUZZ_CHECK(fuzz_printable(r->mechanism));
	if (r->explanation != NULL) { /* 6.2 */
		FUZZ_CHECK(r->status == SPF_STATUS_FAIL);
		FUZZ_CHECK(fuzz_printable(r->explanation));
		FUZZ_CHECK(strlen(r->explanation) <= 512);
		FUZZ_CHECK(fuzz_printable(said)); /* 11.5.2 */
	}
}

/* Reads all that an event points to. */
static void on_event(void *arg, const struct spf_event *e)
{
	size_t *read = arg;

	FUZZ_CHECK(e->depth <= 10 && e->domain != NULL); /* 4.6.4 */
	FUZZ_CHECK((e->kind == SPF_EVENT_QUERY) == (e->answer != NULL));
	*read += strlen(e->domain);
	for (size_t i = 0; i < e->text.n; i++)
		*read += (unsigned char)e->text.p[i];
	if (e->answer != NULL)
		*read += e->answer->n;
}

static bool same(const struct spf_result *x, const struct spf_result *y)
{
	return x->status == y->status && x->terms == y->terms &&
	       x->voids == y->voids &&
	       slice_eq(slice_of(x->explanation), slice_of(y->explanation));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.arena = arena_new()};
	struct spf_result helo, from, again;
	const char *err = NULL;
	struct dns_budget *b;
	struct dns *d;
	size_t read = 0;

	read_input(&in, fuzz_input(data, size));
	d = dns_new_zone_text(in.arena, strbuf_slice(&in.zone), &err);
	FUZZ_CHECK(d != NULL);
	b = dns_budget_new(d, 5000, 10000);
	spf_prefetch(in.arena, b, &in.query);
	spf_check_helo(in.arena, b, &in.query, &helo);
	spf_check_mailfrom(in.arena, b, &in.query, &from);
	check_result(in.arena, &helo);
	check_result(in.arena, &from);
	FUZZ_CHECK(dns_budget_queries(b) <= QUESTIONS_MAX);
	/* nothing of one evaluation is left for the next, traced or not */
	in.query.trace = on_event;
	in.query.trace_arg = &read;
	spf_check_mailfrom(in.arena, b, &in.query, &again);
	FUZZ_CHECK(same(&from, &again));
	dns_budget_free(b);
	dns_free(d);
	arena_free(in.arena);
	return 0;
}
