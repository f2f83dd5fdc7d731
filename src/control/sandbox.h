/*
 * What our processes may still do once they have what they need: system calls,
 * and where files may be written.  The only code that includes libseccomp.
 *
 * Neither can be undone: both are for the life of the process and of its
 * threads.  A call that is not allowed fails with EPERM; with MAILSEAL_DEBUG,
 * which the tests have, it ends the process, so that none goes unseen.
 * Running another program or tracing one always ends it.
 */
#ifndef MAILSEAL_CONTROL_SANDBOX_H
#define MAILSEAL_CONTROL_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

/* The key process: reads files whoever owns them, answers on the sockets that
 * it has, and does nothing else.  False when that cannot be had. */
bool sandbox_keys(void);

/*
 * The filter: after privileges were dropped and before any thread exists.
 * `folders`: where files may still be written, made and removed, and nowhere
 * else; "" is passed over, and for one that is not there it is the folder in
 * which it would be made.  Reading stays as it is.  False and *err (a
 * constant) when system calls cannot be filtered.
 */
bool sandbox_filter(const char *const *folders, size_t n, const char **err);
/* Does the kernel hold us to those folders?  False on one without Landlock. */
bool sandbox_holds_folders(void);
/* Is `folder` one of them, or in one?  True when nothing holds us.  For a
 * reload: what is new there needs a restart. */
bool sandbox_may_write(const char *folder);

#endif
