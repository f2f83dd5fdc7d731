/*
 * libmilter callbacks: translate events for session.c.  With apply.c the only
 * code that includes mfapi.h.
 *
 * libmilter's pool moves connections between threads: the state of a
 * connection hangs on its context (smfi_setpriv), never on a thread.  Every
 * stage but end of message is asked for without reply where the MTA offers
 * that (SMFIP_NR_*); the set is constant, so what an option changes later
 * needs no new negotiation.
 */
#include "milter/milter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Postfix sends fields up to header_size_limit (102,400) in one packet;
 * libmilter drops packets over 65,535 bytes unless told otherwise. */
#define PACKET_MAX (1024 * 1024)

/* Stages that we never answer. */
#define NO_REPLY                                                               \
	(SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT |       \
	 SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY)

struct connection {
	struct session *session;
	unsigned long no_reply; /* negotiated */
	bool leading_space;	/* SMFIP_HDR_LEADSPC negotiated */
	bool in_message;
};

static struct app_place *the_place;
static struct tally *the_tally;
static atomic_uint in_flight, sessions;
static atomic_bool stopping;

unsigned milter_in_flight(void)
{
	return atomic_load(&in_flight);
}

unsigned milter_sessions(void)
{
	return atomic_load(&sessions);
}

/* NULL: libmilter lets a peer that has not negotiated begin with any command,
 * and it may be anybody who reaches the socket. */
static struct connection *connection_of(SMFICTX *ctx)
{
	return smfi_getpriv(ctx);
}

static sfsistat answer(const struct connection *c, unsigned long flag)
{
	return (c->no_reply & flag) != 0 ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

static struct slice macro(SMFICTX *ctx, const char *name)
{
	return slice_of(smfi_getsymval(ctx, unconst(name)));
}

static void message_begins(struct connection *c)
{
	if (!c->in_message) {
		atomic_fetch_add(&in_flight, 1);
		tally_message_begins(the_tally);
	}
	c->in_message = true;
}

static void message_ends(struct connection *c)
{
	if (c->in_message) {
		atomic_fetch_sub(&in_flight, 1);
		tally_message_ends(the_tally);
	}
	c->in_message = false;
	session_abort(c->session);
}

static void connection_free(struct connection *c)
{
	session_free(c->session);
	free(c);
	tally_session_ends(the_tally);
	atomic_fetch_sub(&sessions, 1);
}

/* Sendmail takes a list at end of message only with one at end of header. */
static void ask_macros(SMFICTX *ctx)
{
	static const struct {
		int stage;
		const char *names;
	} want[] = {
		{SMFIM_CONNECT, "j v {daemon_name} {client_resolve}"},
		{SMFIM_ENVFROM,
		 "i {auth_authen} {auth_type} {tls_version} {cipher} "
		 "{cipher_bits} {cert_subject} {cert_issuer} {verify}"},
		{SMFIM_EOH, "i"},
		{SMFIM_EOM, "i"},
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		(void)smfi_setsymlist(ctx, want[i].stage,
				      unconst(want[i].names));
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1,
			     unsigned long f2, unsigned long f3,
			     unsigned long *pf0, unsigned long *pf1,
			     unsigned long *pf2, unsigned long *pf3)
{
	struct connection *c;

	(void)f2;
	(void)f3;
	/* Without both we could neither report nor remove forgeries. */
	if ((f0 & (SMFIF_ADDHDRS | SMFIF_CHGHDRS)) !=
	    (SMFIF_ADDHDRS | SMFIF_CHGHDRS))
		return SMFIS_REJECT;
	/* counted first: who sees none after milter_stop() will see none */
	atomic_fetch_add(&sessions, 1);
	if (atomic_load(&stopping)) {
		atomic_fetch_sub(&sessions, 1);
		return SMFIS_REJECT;
	}
	tally_session_begins(the_tally);
	c = mem_alloc(sizeof(*c));
	c->session = session_new(the_place);
	c->no_reply = f1 & NO_REPLY;
	c->leading_space = (f1 & SMFIP_HDR_LEADSPC) != 0;
	if (smfi_setpriv(ctx, c) != MI_SUCCESS) {
		connection_free(c);
		return SMFIS_REJECT;
	}
	*pf0 = SMFIF_ADDHDRS | SMFIF_CHGHDRS | (f0 & SMFIF_QUARANTINE);
	if ((f0 & SMFIF_SETSYMLIST) != 0) {
		*pf0 |= SMFIF_SETSYMLIST;
		ask_macros(ctx);
	}
	*pf1 = f1 &
	       (NO_REPLY | SMFIP_HDR_LEADSPC | SMFIP_NODATA | SMFIP_NOUNKNOWN);
	*pf2 = 0;
	*pf3 = 0;
	return SMFIS_CONTINUE;
}

/* The address; *port0: loopback with port 0, as Postfix shows sendmail(1). */
static struct ip address_of(const _SOCK_ADDR *sa, bool *port0)
{
	struct ip ip = {0};
	in_port_t port = 1;
	uint32_t v4;

	*port0 = false;
	if (sa == NULL)
		return ip;
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof(in));
		ip = ip_from_bytes(&in.sin_addr, 4);
		port = in.sin_port;
		memcpy(&v4, &in.sin_addr, 4);
		*port0 = port == 0 && (ntohl(v4) >> 24) == 127;
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof(in6));
		ip = ip_from_bytes(&in6.sin6_addr, 16);
		port = in6.sin6_port;
		*port0 = port == 0 && IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
	}
	return ip;
}

static sfsistat on_connect(SMFICTX *ctx, char *name, _SOCK_ADDR *sa)
{
	struct connection *c = connection_of(ctx);
	bool port0;
	struct ip ip = address_of(sa, &port0);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	session_connect(c->session, ip, port0, slice_of(name),
			macro(ctx, "{daemon_name}"));
	session_resolved(c->session, macro(ctx, "{client_resolve}"),
			 macro(ctx, "v"));
	return answer(c, SMFIP_NR_CONN);
}

static sfsistat on_helo(SMFICTX *ctx, char *helo)
{
	struct connection *c = connection_of(ctx);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	session_helo(c->session, slice_of(helo));
	return answer(c, SMFIP_NR_HELO);
}

/* At MAIL, since STARTTLS and AUTH come after the first HELO (TR-1). */
static struct session_login login_of(SMFICTX *ctx)
{
	uint64_t bits = 0;

	(void)slice_u64(macro(ctx, "{cipher_bits}"), 65535, &bits);
	return (struct session_login){
		.name = macro(ctx, "{auth_authen}"),
		.mechanism = macro(ctx, "{auth_type}"),
		.transport = {
			.version = macro(ctx, "{tls_version}"),
			.cipher = macro(ctx, "{cipher}"),
			.bits = (unsigned)bits,
			.cert_subject = macro(ctx, "{cert_subject}"),
			.cert_issuer = macro(ctx, "{cert_issuer}"),
			.verify = macro(ctx, "{verify}"),
		}};
}

static bool has_parameter(char **argv, const char *name)
{
	for (size_t i = 1; argv[0] != NULL && argv[i] != NULL; i++)
		if (slice_is_ci(slice_of(argv[i]), name))
			return true;
	return false;
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
	struct connection *c = connection_of(ctx);
	struct session_login login = login_of(ctx);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	login.smtputf8 = has_parameter(argv, "SMTPUTF8");
	message_begins(c);
	session_mail(c->session, slice_of(argv[0]), &login, macro(ctx, "i"));
	return answer(c, SMFIP_NR_MAIL);
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
	struct connection *c = connection_of(ctx);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	session_rcpt(c->session, slice_of(argv[0]));
	return answer(c, SMFIP_NR_RCPT);
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	struct connection *c = connection_of(ctx);
	struct slice v = slice_of(value);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	if (c->leading_space) {
		session_header(c->session, slice_of(name), v);
	} else {
		/* The MTA took one space away: the usual one. */
		struct arena *a = arena_new();
		session_header(c->session, slice_of(name),
			       slice_of(arena_printf(a, " %s", value)));
		arena_free(a);
	}
	return answer(c, SMFIP_NR_HDR);
}

static sfsistat on_end_of_header(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	session_end_of_header(c->session);
	return answer(c, SMFIP_NR_EOH);
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *bytes, size_t n)
{
	struct connection *c = connection_of(ctx);

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	session_body(c->session, (struct slice){(const char *)bytes, n});
	return answer(c, SMFIP_NR_BODY);
}

/* The lines of the text, NULL after the last. */
static void cut_lines(struct arena *a, const char *text,
		      char *ret[REPLY_LINES_MAX + 1])
{
	struct slice rest = slice_of(text);

	for (size_t i = 0; i < REPLY_LINES_MAX && rest.p != NULL; i++)
		ret[i] = slice_cstr(a, slice_cut(&rest, '\n'));
}

static bool set_reply(SMFICTX *ctx, const struct smtp_reply *r)
{
	char *l[REPLY_LINES_MAX + 1] = {NULL};
	struct arena *a = arena_new();
	bool ok;

	cut_lines(a, r->text, l);
	ok = smfi_setmlreply(ctx, r->code, r->enhanced, l[0], l[1], l[2], l[3],
			     l[4], NULL) == MI_SUCCESS;
	arena_free(a);
	return ok;
}

static sfsistat tempfail(SMFICTX *ctx, const struct smtp_reply *r)
{
	(void)set_reply(ctx, r);
	return SMFIS_TEMPFAIL;
}

/* Something was refused that the message needs; `edits` are left to be made. */
static sfsistat on_refusal(SMFICTX *ctx, const char *what,
			   const struct edits *edits)
{
	struct smtp_reply r;

	log_error("the MTA refused %s", what);
	tally_count_mta_refusal(the_tally);
	if (session_on_error(connection_of(ctx)->session, &r) ==
	    VERDICT_TEMPFAIL)
		return tempfail(ctx, &r);
	if (edits != NULL && !apply_edits(ctx, edits))
		log_error("the MTA refused a header change");
	return SMFIS_ACCEPT;
}

/* A rejected message is not edited; without its text it is not rejected. */
static sfsistat act(SMFICTX *ctx, const struct session_outcome *o)
{
	switch (o->action) {
	case VERDICT_TEMPFAIL:
		return tempfail(ctx, &o->reply);
	case VERDICT_REJECT:
		if (set_reply(ctx, &o->reply))
			return SMFIS_REJECT;
		return on_refusal(ctx, "a reply", &o->edits);
	case VERDICT_DISCARD:
		return SMFIS_DISCARD;
	case VERDICT_ACCEPT:
		break;
	}
	if (o->hold != NULL &&
	    smfi_quarantine(ctx, unconst(o->hold)) != MI_SUCCESS)
		return on_refusal(ctx, "to hold a message", &o->unheld);
	if (!apply_edits(ctx, &o->edits))
		return on_refusal(ctx, "a header change", NULL);
	return SMFIS_ACCEPT;
}

static sfsistat on_end_of_message(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);
	struct session_outcome o;
	sfsistat ret;

	if (c == NULL)
		return SMFIS_TEMPFAIL;
	session_end_of_message(c->session, macro(ctx, "i"), clock_unix(), &o);
	ret = act(ctx, &o);
	if (o.log != NULL)
		log_message(LOG_LEVEL_INFO, o.log);
	if (o.log == NULL && o.warn != NULL)
		o.warn->repeats = NULL; /* each message has its line */
	if (o.warn != NULL)
		log_message(LOG_LEVEL_WARN, o.warn);
	message_ends(c);
	return ret;
}

static sfsistat on_abort(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);

	if (c != NULL)
		message_ends(c);
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);

	if (c == NULL)
		return SMFIS_CONTINUE;
	message_ends(c);
	(void)smfi_setpriv(ctx, NULL);
	connection_free(c);
	return SMFIS_CONTINUE;
}

static char filter_name[] = "mailseal";

bool milter_register(struct app_place *place, struct tally *tally,
		     int listen_fd)
{
	static struct smfiDesc desc = {
		.xxfi_name = filter_name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE |
			      SMFIF_SETSYMLIST,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_header,
		.xxfi_eoh = on_end_of_header,
		.xxfi_body = on_body,
		.xxfi_eom = on_end_of_message,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_negotiate = on_negotiate,
	};
	char conn[32];
	struct arena *a = arena_new();
	bool ok;

	the_place = place;
	the_tally = tally;
	memcpy(conn, "fd:", 4);
	strncat(conn, arena_printf(a, "%d", listen_fd), sizeof(conn) - 4);
	arena_free(a);
	(void)smfi_setmaxdatasize(PACKET_MAX);
	ok = smfi_setconn(conn) == MI_SUCCESS &&
	     smfi_register(desc) == MI_SUCCESS;
	return ok;
}

int milter_run(void)
{
	return smfi_main() == MI_SUCCESS ? 0 : -EIO;
}

void milter_stop(void)
{
	atomic_store(&stopping, true);
	(void)smfi_stop();
}
