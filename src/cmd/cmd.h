/*
 * The sub-commands of mailseal(1): argv in, exit status out; argv[0] is the
 * sub-command's name.
 */
#ifndef MAILSEAL_CMD_CMD_H
#define MAILSEAL_CMD_CMD_H

#include "base/str.h"

int cmd_verify(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_shadow(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_spf(int argc, char **argv);
int cmd_dmarc(int argc, char **argv);
int cmd_sign(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_metrics(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_revoke(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_setup(int argc, char **argv);

/* All of standard input, at most `max` bytes; false and a message on stderr
 * when there is more or it cannot be read. */
bool cmd_read_stdin(struct arena *a, size_t max, struct slice *ret);
/* "mailseal NAME: message" on stderr; returns EX_USAGE. */
int cmd_usage(const char *name, const char *message);
/* The same in one line, without the usage: what is wrong and the cure. */
int cmd_refuse(const char *name, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
