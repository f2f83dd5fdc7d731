/* mailseal verify --recorded: an evaluation once more. */
#ifndef MAILSEAL_CMD_VERIFY_RECORDED_H
#define MAILSEAL_CMD_VERIFY_RECORDED_H

#include "cmd/record_read.h"

/* 0 when it comes out as recorded, 1 when not, or of sysexits(3).  `message`:
 * with CRLF line ends, without what was added to it. */
int verify_recorded(struct arena *a, const struct journal_place *place,
		    const char *id, struct slice message);

#endif
