/* The values of a line as fields of journald: "MAILSEAL_SPF_RESULT=pass\n". */
#ifndef MAILSEAL_BASE_LOG_JOURNAL_H
#define MAILSEAL_BASE_LOG_JOURNAL_H

#include "base/log.h"

#define LOG_JOURNAL_MAX 8192

/* Those that fit into `room` bytes, each as a whole; returns their length. */
size_t log_journal_fields(const struct log_record *r, char *buf, size_t room);

#endif
