/*
 * What the sub-commands setup and check-config know of the MTAs.
 *
 * mta_run.c runs their programs; mta_access.c tells whether they can reach our
 * socket.  For Postfix: mta_postfix.c reads what is there, with postconf(1);
 * mta_postfix_table.c has the settings that mailseal needs, the only place
 * that they are written in, and compares; mta_postfix_setup.c makes them.  For
 * Sendmail the same in mta_sendmail*.c.
 *
 * Everything lives in the arena that it was asked for with.
 */
#ifndef MAILSEAL_CMD_MTA_H
#define MAILSEAL_CMD_MTA_H

#include "config/config.h"

/* Something that is not as mailseal needs it. */
struct mta_fault {
	const char *where;   /* a file */
	const char *setting; /* as it is there: "milter_protocol = 4" */
	const char *wrong;   /* what comes of it */
	const char *cure;    /* for a human */
	/* What setup does about it, if it can: */
	const char *service; /* of master.cf, "submission/inet", or NULL */
	const char *name;    /* a parameter, or NULL: not to be set */
	const char *value;   /* of it */
	const char *why;     /* a comment for what is set */
};

struct mta_faults {
	struct arena *arena;
	size_t n;
	struct mta_fault v[64]; /* what is more is not kept */
};

/* ---- mta_fault.c ---- */
void mta_fault_add(struct mta_faults *f, const struct mta_fault *fault);
/* A line "WHERE: SETTING: WRONG; CURE" for each, or for each that setup cannot
 * set; false: there was none. */
bool mta_faults_print(struct strbuf *out, const struct mta_faults *f,
		      bool rest_only);
/* The latter on stderr. */
bool mta_faults_complain(const struct mta_faults *f);
/* Does the configuration sign anything? */
bool mta_signs(const struct config *c);
/* The MTA lets mail pass while mailseald is down: what comes of it, where the
 * configuration forbids that, or NULL. */
const char *mta_wrong_accept(const struct config *c);
/* On stderr "mailseal setup: WHAT: WHY"; returns `status`. */
int mta_fail(int status, const char *what, const char *why);

/* ---- mta_find.c ---- */

enum mta_kind {
	MTA_ANY, /* whichever there is, or none */
	MTA_NONE,
	MTA_POSTFIX,
	MTA_SENDMAIL,
};

struct mta_choice {
	enum mta_kind kind;
	const char *directory; /* of its configuration; NULL: the usual one */
	const char *socket;    /* for mta_use_socket() */
};

/* "postfix" or "sendmail"; others are MTA_NONE. */
enum mta_kind mta_kind_of(const char *name);
/* Where we listen, if the configuration has "fd:N"; NULL: as it says.  False:
 * it is no such place. */
bool mta_use_socket(struct config *c, const char *socket);
/* A line for each fault of the MTA. */
void mta_look(struct arena *a, const struct config *c,
	      const struct mta_choice *choice, struct strbuf *out);

/* ---- mta_run.c ---- */

struct mta_result {
	const char *problem; /* it did not run to its end, or NULL */
	int status;
	struct slice out, err;
};

/* Runs argv[0], looked for in PATH and then where system programs are, without
 * a shell, for at most `seconds`. */
void mta_run(struct arena *a, const char *const *argv, unsigned seconds,
	     struct mta_result *ret);
/* The same for a program that only reads: root becomes nobody for it, where
 * that is enough. */
void mta_run_reader(struct arena *a, const char *const *argv, unsigned seconds,
		    struct mta_result *ret);
/* One word for a shell. */
const char *mta_quoted(struct arena *a, const char *text);
/* The problem, or the first line that the program complained with. */
const char *mta_complaint(struct arena *a, const struct mta_result *r);

/* ---- mta_file.c: what is edited ---- */

/* The file that symbolic links lead to, so that they stay; or `path`. */
const char *mta_file_real(struct arena *a, const char *path);
/* A file of at most 1 MB; NULL and a reason. */
const char *mta_file_read(struct arena *a, const char *path, const char **err);
/* A copy "PATH.mailseal-YYYYMMDDHHMMSS" with owner and mode; its path, or NULL
 * and a reason. */
const char *mta_file_backup(struct arena *a, const char *path,
			    const char **err);
/* Writes it anew, with owner and mode of the old one; false and a reason:
 * then the old one is still there. */
bool mta_file_replace(struct arena *a, const char *path, const char *text,
		      const char **err);

/* ---- mta_access.c ---- */

/* The path of a socket "unix:/p" or "local:/p", or NULL. */
const char *mta_socket_path(const char *socket);
/* Why the MTA's `user` cannot connect to our unix socket: a fault of which
 * `setting`, `wrong` and `cure` are set; false: it can, or we cannot tell. */
bool mta_access_fault(struct arena *a, const struct config *c, const char *user,
		      struct mta_fault *ret);

/* ---- mta_postfix.c ---- */

struct postfix_parameter {
	const char *name;
	const char *raw;   /* as it is written, "$smtpd_milters" */
	const char *value; /* with what it refers to */
};

struct postfix_service {
	const char *name, *type, *command;
	bool chroot;
};

/* "-o name=value" */
struct postfix_override {
	const char *service; /* "submission/inet" */
	const char *name, *value;
};

struct postfix {
	struct arena *arena;
	const char *option; /* the folder that was given, or NULL */
	const char *directory, *main_cf, *master_cf, *queue;
	size_t nparameters, nservices, noverrides;
	struct postfix_parameter *parameters;
	struct postfix_service *services;
	struct postfix_override *overrides;
};

/* Asks postconf(1), of the configuration in `directory` or, if NULL, its own.
 * NULL and a reason when there is none. */
struct postfix *postfix_read(struct arena *a, const char *directory,
			     const char **err);
/* A parameter that we ask for; NULL when this Postfix does not know it. */
const struct postfix_parameter *postfix_get(const struct postfix *p,
					    const char *name);
const char *postfix_value(const struct postfix *p, const char *name);
/* Does a daemon that talks to milters see no more than the queue directory? */
bool postfix_chrooted(const struct postfix *p);
/* Does one see all? */
bool postfix_unchrooted(const struct postfix *p);
/* The next element of a list that blanks and commas separate; "{ ... }" is
 * one.  Empty at the end. */
struct slice postfix_next(struct slice *rest);

/* ---- mta_postfix_milter.c: our entry among others ---- */

/* Our socket as Postfix must call it; NULL: it cannot be told. */
const char *postfix_our_address(const struct postfix *p,
				const struct config *c);
/* Is our socket below the queue directory? */
bool postfix_holds_socket(const struct postfix *p, const struct config *c);
/* Does the chroot, if there is one, leave our socket in sight? */
bool postfix_sees_socket(const struct postfix *p, const struct config *c);
/* The element of a list that is our socket; empty: none. */
struct slice postfix_our_entry(const struct postfix *p, const struct config *c,
			       const char *list);
/* The element that has "mailseal" in it, whatever its socket. */
struct slice postfix_old_entry(const char *list);
/* The value of "name=" in an element "{ address, name=value }", or NULL. */
const char *postfix_entry_option(struct arena *a, struct slice entry,
				 const char *name);
/* "30s" in seconds; false when it is none. */
bool mta_seconds(const char *text, char unit, uint64_t *ret);

/* ---- mta_postfix_table.c ---- */
/* The parameters of the table, after those that are always asked for. */
size_t postfix_table_names(const char **names, size_t max);
void postfix_compare(const struct postfix *p, const struct config *c,
		     struct mta_faults *ret);

/* ---- mta_postfix_master.c: listeners, chroot, who may use the socket ---- */
void postfix_compare_master(const struct postfix *p, const struct config *c,
			    struct mta_faults *ret);

/* ---- mta_postfix_setup.c ---- */
/* Prints what is to be set, or sets it.  An exit status. */
int postfix_setup(struct arena *a, const struct config *c,
		  const char *directory, bool apply);

/* ---- mta_sendmail.c ---- */

/* INPUT_MAIL_FILTER(`name', `S=socket, F=flags, T=times') */
struct sendmail_filter {
	const char *name, *socket, *flags, *times;
};

struct sendmail {
	struct arena *arena;
	const char *directory, *mc_path, *cf_path;
	const char *mc, *cf;		 /* their texts; NULL: not there */
	const char *mc_error, *cf_error; /* why */
	const char *version;		 /* "8.17.1.9", or "" */
	unsigned minor;			 /* 17; 0: unknown */
};

/* Reads sendmail.mc and sendmail.cf of `directory` or, if NULL, /etc/mail;
 * NULL and a reason when neither is there. */
struct sendmail *sendmail_read(struct arena *a, const char *directory,
			       const char **err);
/* The value of an option of sendmail.cf, or NULL; `nth` counts from 0. */
const char *sendmail_option(const struct sendmail *s, const char *name,
			    size_t nth);
/* The filters of sendmail.cf. */
bool sendmail_filter(const struct sendmail *s, size_t nth,
		     struct sendmail_filter *ret);
/* "S=..., F=T, T=..." */
void sendmail_read_equates(struct arena *a, struct slice text,
			   struct sendmail_filter *ret);
/* Is Sendmail's "local:/p" or "inet:port@host" our socket? */
bool sendmail_same_socket(const char *ours, const char *theirs);
/* Is it ours, by its socket or its name? */
bool sendmail_is_ours(const struct config *c, const struct sendmail_filter *f);

/* ---- mta_sendmail_check.c ---- */
/* What is not right about a filter: `where` is the file that it stands in. */
void sendmail_compare_filter(struct arena *a, const struct config *c,
			     const struct sendmail_filter *f, const char *where,
			     struct mta_faults *ret);
/* What sendmail.cf says, the filter among it. */
void sendmail_compare(const struct sendmail *s, const struct config *c,
		      struct mta_faults *ret);
/* The part of that which no line of sendmail.mc that we can write cures. */
void sendmail_compare_rest(const struct sendmail *s, const struct config *c,
			   struct mta_faults *ret);
/* The line for sendmail.mc; NULL: the socket cannot be told. */
const char *sendmail_filter_line(struct arena *a, const struct config *c);
/* Does sendmail.cf know confREJECT_NUL, and leave it off? */
bool sendmail_wants_reject_nul(const struct sendmail *s);

/* ---- mta_sendmail_setup.c ---- */
/* As postfix_setup(). */
int sendmail_setup(struct arena *a, const struct config *c,
		   const char *directory, bool apply);

#endif
