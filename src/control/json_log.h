/*
 * A line of the log as a JSON object (RFC 8259, doc/log-schema.json): the only
 * user of jansson.  Any bytes give valid JSON of printable ASCII.
 */
#ifndef MAILSEAL_CONTROL_JSON_LOG_H
#define MAILSEAL_CONTROL_JSON_LOG_H

#include "base/log.h"

/* For `json` of struct log_options: at most LOG_LINE_MAX - 1 bytes.  What is
 * too long is cut value by value, and "cut" says so. */
size_t json_log_line(const struct log_record *r, char *buf);

#endif
