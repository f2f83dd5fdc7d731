/* The commands that ask mailseald: where it is, and one question. */
#ifndef MAILSEAL_CMD_CONTROL_CALL_H
#define MAILSEAL_CMD_CONTROL_CALL_H

#include <getopt.h>
#include <stdbool.h>

/* -c FILE: the configuration that names the socket; --socket PATH: the
 * socket. */
struct control_target {
	const char *config, *socket;
};

enum {
	CONTROL_OPTION_SOCKET = 600,
};

#define CONTROL_LONG_OPTIONS                                                   \
	{                                                                      \
		"socket", required_argument, NULL, CONTROL_OPTION_SOCKET       \
	}

enum control_patience {
	CONTROL_CALL_QUICK, /* 10 s of silence are too long */
	CONTROL_CALL_LONG,  /* it may take minutes */
};

/* Can it be a word of a request: is it not empty, without spaces and control
 * characters?  Else what is asked would be another thing. */
bool control_is_word(const char *s);
/* Takes -c and --socket; false for another. */
bool control_target_take(struct control_target *t, int c, const char *arg);
/* Asks, shows progress on stderr, and prints the answer: on stdout when all is
 * well, else on stderr.  Returns its status, or EX_UNAVAILABLE with a message
 * when nobody answers. */
int control_call(const char *command, const struct control_target *t,
		 const char *request, enum control_patience patience);

/* Has mailseald read again what a command has changed, and says so on
 * stderr;
 * or what is left to do, and why.  `path`: control.socket. */
void control_reload(const char *path);

#endif
