/*
 * A whole session as the MTA sends it: the input is the bytes of the milter
 * protocol after the negotiation, packets of a length (4 bytes, big-endian), a
 * command and its data.  What libmilter would do with them is done here in a
 * few lines; from there on it is all ours (milter/session.h): direction, gate,
 * verification or signing, rules, seals, edits and log.
 *
 * Time stands still.
 */
#include "fuzz_app.h"

#include "milter/session.h"

#define PACKETS_MAX 2000
#define NOW	    INT64_C(1795500000)

/* ---- what libmilter does ------------------------------------------------- */

struct macros {
	struct slice daemon, v, resolve, id, login, mechanism, tls, cipher,
		bits;
};

/* Up to a NUL; what has none is not a string. */
static bool cut_string(struct slice *rest, struct slice *ret)
{
	ptrdiff_t end = slice_chr(*rest, '\0');

	if (end < 0)
		return false;
	*ret = slice_first(*rest, (size_t)end);
	*rest = slice_from(*rest, (size_t)end + 1);
	return true;
}

static void note(struct macros *m, struct slice name, struct slice value)
{
	const struct {
		const char *name;
		struct slice *value;
	} known[] = {
		{"{daemon_name}", &m->daemon},
		{"v", &m->v},
		{"{client_resolve}", &m->resolve},
		{"i", &m->id},
		{"{auth_authen}", &m->login},
		{"{auth_type}", &m->mechanism},
		{"{tls_version}", &m->tls},
		{"{cipher}", &m->cipher},
		{"{cipher_bits}", &m->bits},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (slice_is(name, known[i].name))
			*known[i].value = value;
}

static void take_macros(struct macros *m, struct slice data)
{
	struct slice name, value;

	data = slice_from(data, 1); /* the command that they are for */
	while (cut_string(&data, &name) && cut_string(&data, &value))
		note(m, name, value);
}

static void take_connect(struct session *s, const struct macros *m,
			 struct slice data)
{
	struct slice name, text;
	struct ip ip = {0};
	unsigned char family, port[2];

	if (!cut_string(&data, &name) || data.n < 4)
		return;
	family = (unsigned char)data.p[0];
	memcpy(port, data.p + 1, 2);
	data = slice_from(data, 3);
	if (!cut_string(&data, &text))
		return;
	if (family == '4' || family == '6')
		(void)ip_parse(text, &ip);
	session_connect(s, ip, port[0] == 0 && port[1] == 0, name, m->daemon);
	session_resolved(s, m->resolve, m->v);
}

static void take_mail(struct session *s, const struct macros *m,
		      struct slice data)
{
	struct session_login l = {
		.name = m->login,
		.mechanism = m->mechanism,
		.transport = {.version = m->tls, .cipher = m->cipher},
	};
	struct slice sender;
	uint64_t bits = 0;

	(void)slice_u64(m->bits, 65535, &bits);
	l.transport.bits = (unsigned)bits;
	if (cut_string(&data, &sender))
		session_mail(s, sender, &l, m->id);
}

/* ---- what must hold of an outcome ---------------------------------------- */

/* Field values may have folds, as LF; nothing may end a header. */
static void check_value(struct slice v)
{
	for (size_t i = 0; i < v.n; i++) {
		FUZZ_CHECK(v.p[i] != '\0');
		FUZZ_CHECK(v.p[i] != '\n' ||
			   (i + 1 < v.n &&
			    (v.p[i + 1] == ' ' || v.p[i + 1] == '\t')));
	}
}

static void check_edits(const struct edits *e)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct edit *x = &e->v[i];

		FUZZ_CHECK(fuzz_printable(x->name) && x->name[0] != '\0');
		FUZZ_CHECK(strpbrk(x->name, ": ") == NULL);
		if (x->kind != EDIT_DELETE)
			check_value(slice_of(x->value));
	}
}

static void check_reply(const struct smtp_reply *r)
{
	FUZZ_CHECK(r->code[0] == r->enhanced[0]);
	for (const char *p = r->text; *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || (*p >= 0x20 && *p <= 0x7e));
}

static void check_line(struct log_fields *f)
{
	if (f != NULL)
		FUZZ_CHECK(fuzz_printable(log_fields_text(f)));
}

static void check_outcome(const struct session_outcome *o)
{
	check_edits(&o->edits);
	check_edits(&o->unheld);
	if (o->action == VERDICT_REJECT || o->action == VERDICT_TEMPFAIL)
		check_reply(&o->reply);
	FUZZ_CHECK(o->log != NULL || o->warn != NULL);
	check_line(o->log);
	check_line(o->warn);
}

static void take_end(struct session *s, const struct macros *m)
{
	struct session_outcome o;

	session_end_of_message(s, m->id, NOW, &o);
	check_outcome(&o);
	session_abort(s);
}

static void take(struct session *s, struct macros *m, char command,
		 struct slice data)
{
	struct slice one, two;

	switch (command) {
	case 'C':
		take_connect(s, m, data);
		break;
	case 'D':
		take_macros(m, data);
		break;
	case 'H':
		if (cut_string(&data, &one))
			session_helo(s, one);
		break;
	case 'M':
		take_mail(s, m, data);
		break;
	case 'R':
		if (cut_string(&data, &one))
			session_rcpt(s, one);
		break;
	case 'L':
		if (cut_string(&data, &one) && cut_string(&data, &two))
			session_header(s, one, two);
		break;
	case 'N':
		session_end_of_header(s);
		break;
	case 'B':
		session_body(s, data);
		break;
	case 'E':
		take_end(s, m);
		break;
	case 'A':
		session_abort(s);
		break;
	default:
		break;
	}
}

/* The next packet; false at the end, or when its length is a lie. */
static bool cut_packet(struct slice *rest, char *command, struct slice *data)
{
	uint32_t n = 0;

	if (rest->n < 5)
		return false;
	for (size_t i = 0; i < 4; i++)
		n = n << 8 | (unsigned char)rest->p[i];
	*rest = slice_from(*rest, 4);
	if (n == 0 || n > rest->n)
		return false;
	*command = rest->p[0];
	*data = slice_from(slice_first(*rest, n), 1);
	*rest = slice_from(*rest, n);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct app_process process;
	static struct app_place *place;
	struct slice rest = fuzz_input(data, size), packet;
	struct macros m = {0};
	struct session *s;
	char command;

	if (place == NULL)
		place = fuzz_app_start(&process);
	s = session_new(place);
	for (int i = 0; i < PACKETS_MAX && cut_packet(&rest, &command, &packet);
	     i++)
		take(s, &m, command, packet);
	session_free(s);
	return 0;
}
