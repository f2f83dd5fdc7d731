/*
 * message: a message as the packets of the milter protocol that carry it, from
 * CONNECT to QUIT, ready to be sent many times.
 */
#ifndef MAILSEAL_BENCH_MESSAGE_H
#define MAILSEAL_BENCH_MESSAGE_H

#include <stddef.h>

struct packet {
	char *p; /* with the length in front */
	size_t n;
	char command;
};

struct message {
	char *bytes;
	size_t n, cap;
	struct packet *v;
	size_t npackets, vcap;
};

/* Memory, or the end of the program. */
void *take(void *p, size_t n);
_Noreturn void die(const char *what);

/* A file with LF line ends; its first line is "ip helo sender". */
void message_read(struct message *m, const char *path);
void message_free(struct message *m); /* what is in it */

/* One header field as a packet; valid until the next one is put. */
void message_put_field(struct message *m, const char *name, const char *value);
void message_seal(struct message *m);

#endif
