/*
 * null: a filter on libmilter that adds one field and does nothing else: the
 * floor for any program on libmilter.
 *
 *     null [-r] SOCKET-PATH
 *
 * -r asks the MTA not to wait for replies.
 */
#include <libmilter/mfapi.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool no_replies;

static sfsistat go_on(void)
{
	return no_replies ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

#define NO_REPLIES                                                             \
	(SMFIP_NR_HDR | SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL |        \
	 SMFIP_NR_RCPT | SMFIP_NR_DATA | SMFIP_NR_UNKN | SMFIP_NR_EOH |        \
	 SMFIP_NR_BODY)

static sfsistat negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1,
			  unsigned long f2, unsigned long f3,
			  unsigned long *pf0, unsigned long *pf1,
			  unsigned long *pf2, unsigned long *pf3)
{
	(void)ctx;
	(void)f0;
	(void)f2;
	(void)f3;
	*pf0 = SMFIF_ADDHDRS;
	*pf1 = no_replies ? f1 & NO_REPLIES : 0;
	*pf2 = *pf3 = 0;
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *addr)
{
	(void)ctx;
	(void)host;
	(void)addr;
	return go_on();
}

static sfsistat on_helo(SMFICTX *ctx, char *helo)
{
	(void)ctx;
	(void)helo;
	return go_on();
}

static sfsistat on_path(SMFICTX *ctx, char **argv)
{
	(void)ctx;
	(void)argv;
	return go_on();
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx;
	(void)name;
	(void)value;
	return go_on();
}

static sfsistat on_eoh(SMFICTX *ctx)
{
	(void)ctx;
	return go_on();
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return go_on();
}

static sfsistat on_eom(SMFICTX *ctx)
{
	static char name[] = "Authentication-Results";
	static char value[] = "mx.bench.example; none";

	return smfi_insheader(ctx, 0, name, value) == MI_SUCCESS
		       ? SMFIS_CONTINUE
		       : SMFIS_TEMPFAIL;
}

int main(int argc, char **argv)
{
	static char name[] = "null";
	struct smfiDesc desc = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_path,
		.xxfi_envrcpt = on_path,
		.xxfi_header = on_header,
		.xxfi_eoh = on_eoh,
		.xxfi_body = on_body,
		.xxfi_eom = on_eom,
		.xxfi_negotiate = negotiate,
	};
	char where[256];

	no_replies = argc == 3 && strcmp(argv[1], "-r") == 0;
	if (argc != 2 + no_replies)
		return 2;
	snprintf(where, sizeof(where), "unix:%s", argv[argc - 1]);
	return smfi_setconn(where) == MI_SUCCESS &&
			       smfi_register(desc) == MI_SUCCESS
		       ? smfi_main()
		       : 1;
}
