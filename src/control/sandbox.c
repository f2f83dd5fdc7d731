/*
 * The lists were made with strace(1) under all tests, release and sanitizer
 * builds, and hold what the C library may use in place of what was seen on
 * another architecture or version.
 */
#include "control/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"

#ifdef MAILSEAL_DEBUG
#define REFUSED SCMP_ACT_KILL_PROCESS
#else
#define REFUSED SCMP_ACT_ERRNO(EPERM)
#endif

#define END_OF_LIST (-1)
#define CALL(name)  SCMP_SYS(name)

/* Memory, time, locks, the end: what any process of ours needs. */
static const int basic_calls[] = {
	CALL(brk),
	CALL(mmap),
	CALL(mmap2),
	CALL(munmap),
	CALL(mremap),
	CALL(mprotect),
	CALL(madvise),
	CALL(futex),
	CALL(sched_yield),
	CALL(clock_gettime),
	CALL(clock_gettime64),
	CALL(gettimeofday),
	CALL(time),
	CALL(getrandom),
	CALL(getpid),
	CALL(gettid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(uname),
	CALL(sysinfo),
	CALL(prlimit64),
	CALL(getrlimit),
	CALL(ugetrlimit),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(sigaltstack),
	CALL(restart_syscall),
	CALL(tgkill), /* abort() */
	CALL(exit),
	CALL(exit_group),
	END_OF_LIST,
};

/* Reading what is there; the opening is a rule of its own. */
static const int read_calls[] = {
	CALL(read),	  CALL(readv),	    CALL(pread64),  CALL(lseek),
	CALL(_llseek),	  CALL(close),	    CALL(fstat),    CALL(fstat64),
	CALL(newfstatat), CALL(fstatat64),  CALL(statx),    CALL(stat),
	CALL(stat64),	  CALL(lstat),	    CALL(lstat64),  CALL(access),
	CALL(faccessat),  CALL(faccessat2), CALL(readlink), CALL(readlinkat),
	CALL(getcwd),	  CALL(getdents64), CALL(fcntl),    CALL(fcntl64),
	END_OF_LIST,
};

/* What the key process does with its socket; and stderr, for a sanitizer. */
static const int key_calls[] = {
	CALL(recvfrom), CALL(recvmsg), CALL(sendmsg), CALL(write), END_OF_LIST,
};

static bool allow(scmp_filter_ctx f, const int *calls)
{
	bool ok = true;

	/* EDOM: not a call of this architecture */
	for (; ok && *calls != END_OF_LIST; calls++) {
		int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, *calls, 0);

		ok = r == 0 || r == -EDOM;
	}
	return ok;
}

/* The flags are those of the argument `arg`. */
static bool allow_reading(scmp_filter_ctx f, int call, unsigned arg)
{
	const uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC;
	int r = seccomp_rule_add(
		f, SCMP_ACT_ALLOW, call, 1,
		SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, writes, O_RDONLY));

	return r == 0 || r == -EDOM;
}

/* Never, whatever the default: no mistake of ours does this. */
static bool kill_on(scmp_filter_ctx f)
{
	static const int calls[] = {
		CALL(execve),		CALL(execveat),
		CALL(process_vm_readv), CALL(process_vm_writev),
		CALL(ptrace),		END_OF_LIST,
	};
	bool ok = true;

	/* EACCES: it is the default already */
	for (size_t i = 0; ok && calls[i] != END_OF_LIST; i++) {
		int r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls[i], 0);

		ok = r == 0 || r == -EDOM || r == -EACCES;
	}
	return ok;
}

/* Of root's rights keeps one: to read a file whoever owns it. */
static bool keep_reading(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct v[2] = {0};
	const uint32_t bit = UINT32_C(1) << CAP_DAC_READ_SEARCH;

	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0)
			return false;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return false;
	/* In a container even this one may be missing: then root's own files
	 * are what can be read. */
	if (syscall(SYS_capget, &h, v) != 0)
		return false;
	v[0].effective = v[0].permitted = v[0].permitted & bit;
	v[0].inheritable = 0;
	v[1] = (struct __user_cap_data_struct){0};
	return syscall(SYS_capset, &h, v) == 0;
}

bool sandbox_keys(void)
{
	scmp_filter_ctx f;
	bool ok;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || !keep_reading() ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	f = seccomp_init(REFUSED);
	if (f == NULL)
		return false;
	ok = allow(f, basic_calls) && allow(f, read_calls) &&
	     allow(f, key_calls) && allow_reading(f, CALL(openat), 2) &&
	     allow_reading(f, CALL(open), 1) && kill_on(f) &&
	     seccomp_load(f) == 0;
	seccomp_release(f);
	return ok;
}
