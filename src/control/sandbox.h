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

/* The key process: reads files whoever owns them, answers on the sockets that
 * it has, and does nothing else.  False when that cannot be had. */
bool sandbox_keys(void);

#endif
