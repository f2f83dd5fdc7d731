/* The log's last lines: what was counted since the start. */
#ifndef MAILSEAL_CMD_CLOSING_H
#define MAILSEAL_CMD_CLOSING_H

#include "milter/place.h"

void closing_log(struct app_place *place);

#endif
