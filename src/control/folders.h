/* Of the sandbox: which folders may be written to (Landlock). */
#ifndef MAILSEAL_CONTROL_FOLDERS_H
#define MAILSEAL_CONTROL_FOLDERS_H

#include <stddef.h>

/* For this thread and those that it makes.  A kernel that cannot is no fault:
 * sandbox_holds_folders() tells. */
void folders_hold(const char *const *folders, size_t n);

#endif
