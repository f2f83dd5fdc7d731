/* mailseal: finds the sub-command. */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *use;
} commands[] = {
	{"verify", cmd_verify,
	 "--ip A --helo H --from S [--zone F] [--now N] [--json] < message"},
	{"verify", cmd_verify,
	 "--recorded QUEUE-ID [-c F] [--state DIR] < message"},
	{"explain", cmd_explain,
	 "QUEUE-ID|MESSAGE-ID [--json] [-c F] [--state DIR | --socket PATH]"},
	{"shadow", cmd_shadow, "[--since 7d|24h] [-c F] [--state DIR]"},
	{"forget", cmd_forget, "ADDRESS|DOMAIN [-c F] [--state DIR]"},
	{"spf", cmd_spf,
	 "DOMAIN --ip A [--sender S] [--helo H] [--zone F] [--trace]"},
	{"dmarc", cmd_dmarc,
	 "DOMAIN [--discovery walk|psl|compare] [--psl F] [--zone F] "
	 "[--trace]"},
	{"sign", cmd_sign, "--domain D --selector S --key F < message"},
	{"key", cmd_key,
	 "new --domain D --selector S [--type rsa|ed25519] [--bits N] "
	 "[--out F]"},
	{"key", cmd_key, "list | check [-c F] [--domain D] [--selector S]"},
	{"key", cmd_key,
	 "publish [-c F] --domain D --selector S [--format zone|nsupdate]"},
	{"key", cmd_key, "activate [-c F] --domain D --selector S"},
	{"key", cmd_key,
	 "retire [-c F] --domain D --selector S [--revoked [--force]]"},
	{"status", cmd_status, "[--json] [-c F | --socket PATH]"},
	{"metrics", cmd_metrics, "[-c F | --socket PATH]"},
	{"reload", cmd_reload, "[-c F | --socket PATH]"},
	{"revoke", cmd_revoke,
	 "LOGIN [--undo] | --list [-c F | --socket PATH]"},
	{"keys", cmd_keys, "[DOMAIN] [--json] [-c F | --socket PATH]"},
	{"check-config", cmd_check_config,
	 "FILE [--mta postfix|sendmail|none] [--config-dir DIR] "
	 "[--socket S] | --defaults | --table"},
	{"setup", cmd_setup,
	 "postfix|sendmail [-c F] [--config-dir DIR] [--socket S] [--apply]"},
	{"import", cmd_import,
	 "opendkim.conf [opendmarc.conf] [-o FILE [--force]]"},
};

#define NCOMMANDS (sizeof(commands) / sizeof(*commands))

static void usage(FILE *to)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(to, "%s mailseal %s %s\n", i == 0 ? "usage:" : "      ",
			commands[i].name, commands[i].use);
}

int cmd_usage(const char *name, const char *message)
{
	fprintf(stderr, "mailseal %s: %s\n", name, message);
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			fprintf(stderr, "usage: mailseal %s %s\n", name,
				commands[i].use);
	return EX_USAGE;
}

int cmd_refuse(const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "mailseal %s: ", name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return EX_USAGE;
}

bool cmd_read_stdin(struct arena *a, size_t max, struct slice *ret)
{
	struct strbuf b;
	char chunk[65536];
	ssize_t n = 0;

	strbuf_init(&b, a, max);
	while (!b.overflow &&
	       (n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0)
		strbuf_add(&b, (struct slice){chunk, (size_t)n});
	if (n < 0 || b.overflow) {
		fprintf(stderr, "mailseal: standard input: %s\n",
			n < 0 ? strerror(errno) : "message is too large");
		return false;
	}
	*ret = strbuf_slice(&b);
	return true;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		puts("mailseal " PACKAGE_VERSION);
		return 0;
	}
	if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < NCOMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (argc >= 2)
		fprintf(stderr, "mailseal: no command \"%s\"\n", argv[1]);
	usage(stderr);
	return EX_USAGE;
}
