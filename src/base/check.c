/* One flag for each thread: a message is worked on by one thread at a time, and
 * each stage of it asks. */
#include "base/check.h"

#include "base/log.h"

static _Thread_local bool failed;

bool check_failed(void)
{
	bool ret = failed;

	failed = false;
	return ret;
}

void check_fail(const char *file, int line, const char *condition)
{
	failed = true;
	log_error("%s:%d: a bug of mailseal: %s does not hold", file, line,
		  condition);
}
