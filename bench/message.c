/*
 * message: a message as the packets of the milter protocol that carry it.
 * Packets know their place as an offset until message_seal() makes it a
 * pointer, since the bytes move while they grow.  No library but libc.
 */
#include "message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65535 /* as much of the body as Postfix sends at once */

void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

void *take(void *p, size_t n)
{
	p = realloc(p, n);
	if (p == NULL)
		die("memory");
	return p;
}

void message_free(struct message *m)
{
	free(m->bytes);
	free(m->v);
}

static void put(struct message *m, const void *p, size_t n)
{
	if (m->n + n > m->cap) {
		m->cap = 2 * (m->n + n);
		m->bytes = take(m->bytes, m->cap);
	}
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
}

static void begin(struct message *m, char command)
{
	if (m->npackets == m->vcap) {
		m->vcap = m->vcap > 0 ? 2 * m->vcap : 64;
		m->v = take(m->v, m->vcap * sizeof(*m->v));
	}
	m->v[m->npackets] = (struct packet){.n = m->n, .command = command};
	put(m, "\0\0\0\0", 4);
	put(m, &command, 1);
}

static void end(struct message *m)
{
	size_t at = m->v[m->npackets].n;
	uint32_t n = htonl((uint32_t)(m->n - at - 4));

	memcpy(m->bytes + at, &n, 4);
	m->v[m->npackets++].n = m->n - at;
}

static void put_string(struct message *m, const char *s)
{
	put(m, s, strlen(s) + 1);
}

void message_put_field(struct message *m, const char *name, const char *value)
{
	begin(m, 'L');
	put_string(m, name);
	put_string(m, value);
	end(m);
}

void message_seal(struct message *m)
{
	char *p = m->bytes;

	for (size_t i = 0; i < m->npackets; i++) {
		m->v[i].p = p;
		p += m->v[i].n;
	}
}

static void put_empty(struct message *m, char command)
{
	begin(m, command);
	end(m);
}

/* Macros for a command, as Postfix has them: names and values. */
static void put_macros(struct message *m, char command, const char *const v[],
		       size_t n)
{
	begin(m, 'D');
	put(m, &command, 1);
	for (size_t i = 0; i < n; i++)
		put_string(m, v[i]);
	end(m);
}

static void put_queue_id(struct message *m, char command)
{
	put_macros(m, command, (const char *[]){"i", "4XYZ12ab34"}, 2);
}

static void put_envelope(struct message *m, char *line)
{
	const char *ip = strtok(line, " "), *helo = strtok(NULL, " ");
	const char *sender = strtok(NULL, " ");

	put_macros(m, 'C',
		   (const char *[]){"j", "mx.bench.example", "{daemon_name}",
				    "mx.bench.example", "v", "Postfix 3.7.11",
				    "{client_addr}", ip, "{client_name}", helo},
		   10);
	begin(m, 'C');
	put_string(m, helo);
	put(m, "4\x30\x39", 3);
	put_string(m, ip);
	end(m);
	begin(m, 'H');
	put_string(m, helo);
	end(m);
	put_macros(m, 'M',
		   (const char *[]){"i", "4XYZ12ab34", "{mail_addr}", sender,
				    "{mail_mailer}", "smtp"},
		   6);
	begin(m, 'M');
	put(m, "<", 1);
	put(m, sender, strlen(sender));
	put_string(m, ">");
	end(m);
	put_queue_id(m, 'R');
	begin(m, 'R');
	put_string(m, "<rcpt@receiver.example>");
	end(m);
	put_queue_id(m, 'T');
	put_empty(m, 'T');
}

/* The header, folds as LF; returns where the body begins. */
static char *put_header(struct message *m, char *p)
{
	while (*p != '\n' && *p != '\0') {
		char *colon = strchr(p, ':'), *stop = p;

		do
			stop = strchr(stop + 1, '\n');
		while (stop[1] == ' ' || stop[1] == '\t');
		*stop = '\0';
		*colon = '\0';
		message_put_field(m, p,
				  colon[1] == ' ' ? colon + 2 : colon + 1);
		p = stop + 1;
	}
	put_queue_id(m, 'N');
	put_empty(m, 'N');
	return *p == '\n' ? p + 1 : p;
}

static void put_body(struct message *m, const char *p, const char *stop)
{
	char *crlf = take(NULL, 2 * (size_t)(stop - p) + 1);
	size_t n = 0;

	for (; p < stop; p++) {
		if (*p == '\n')
			crlf[n++] = '\r';
		crlf[n++] = *p;
	}
	for (size_t at = 0; at < n; at += CHUNK) {
		begin(m, 'B');
		put(m, crlf + at, n - at < CHUNK ? n - at : CHUNK);
		end(m);
	}
	free(crlf);
}

static char *read_text(const char *path, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	*n = (size_t)st.st_size;
	text = take(NULL, *n + 1);
	if (read(fd, text, *n) != st.st_size)
		die(path);
	close(fd);
	text[*n] = '\0';
	return text;
}

void message_read(struct message *m, const char *path)
{
	size_t n;
	char *text = read_text(path, &n), *body = strchr(text, '\n');

	if (body == NULL)
		die(path);
	*body++ = '\0';
	*m = (struct message){0};
	put_envelope(m, text);
	body = put_header(m, body);
	put_body(m, body, text + n);
	put_queue_id(m, 'E');
	put_empty(m, 'E');
	put_empty(m, 'Q');
	free(text);
	message_seal(m);
}
