/*
 * The lists were made with strace(1) under all tests, release and sanitizer
 * builds, and hold what the C library may use in place of what was seen on
 * another architecture or version.
 */
#include "control/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "control/folders.h"

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
	CALL(mlock2),
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
	CALL(read),	  CALL(readv),	    CALL(pread64),    CALL(lseek),
	CALL(_llseek),	  CALL(close),	    CALL(fstat),      CALL(fstat64),
	CALL(newfstatat), CALL(fstatat64),  CALL(statx),      CALL(stat),
	CALL(stat64),	  CALL(lstat),	    CALL(lstat64),    CALL(access),
	CALL(faccessat),  CALL(faccessat2), CALL(readlink),   CALL(readlinkat),
	CALL(getcwd),	  CALL(getdents),   CALL(getdents64), CALL(fcntl),
	CALL(fcntl64),	  END_OF_LIST,
};

/* What the key process does with its socket; and stderr, for a sanitizer. */
static const int key_calls[] = {
	CALL(recvfrom), CALL(recvmsg), CALL(sendmsg), CALL(write), END_OF_LIST,
};

/* Threads, sockets, and files where they may be written. */
static const int filter_calls[] = {
	CALL(set_robust_list),
	CALL(rseq),
	CALL(membarrier),
	CALL(sched_getaffinity),
	CALL(getrusage),
	CALL(clock_getres),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(clock_nanosleep_time64),
	CALL(futex_time64),
	CALL(rt_sigtimedwait),
	CALL(rt_sigtimedwait_time64),
	CALL(wait4),
	CALL(waitid),
	CALL(getppid),
	CALL(getgroups),
	CALL(getresuid),
	CALL(getresgid),
	CALL(mlock),
	CALL(munlock),
	CALL(msync),
	CALL(umask),

	CALL(poll),
	CALL(ppoll),
	CALL(ppoll_time64),
	CALL(select),
	CALL(pselect6),
	CALL(epoll_create),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(eventfd2),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	CALL(pipe),
	CALL(pipe2),
	CALL(dup),
	CALL(dup2),
	CALL(dup3),
	CALL(accept),
	CALL(accept4),
	CALL(bind),
	CALL(listen),
	CALL(connect),
	CALL(shutdown),
	CALL(getsockname),
	CALL(getpeername),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(sendto),
	CALL(sendmsg),
	CALL(sendmmsg),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(recvmmsg),

	CALL(open),
	CALL(openat),
	CALL(write),
	CALL(writev),
	CALL(pwrite64),
	CALL(preadv),
	CALL(pwritev),
	CALL(sendfile),
	CALL(sendfile64),
	CALL(fsync),
	CALL(fdatasync),
	CALL(ftruncate),
	CALL(ftruncate64),
	CALL(fallocate),
	CALL(fadvise64),
	CALL(flock),
	CALL(statfs),
	CALL(fstatfs),
	CALL(unlink),
	CALL(unlinkat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(chmod),
	CALL(fchmod),
	CALL(fchmodat),
	CALL(chown),
	CALL(fchown),
	CALL(fchownat),
	END_OF_LIST,
};

#ifdef __SANITIZE_ADDRESS__
/* To look for leaks at the end, LeakSanitizer traces its own threads. */
static const int sanitizer_calls[] = {
	CALL(clone),
	CALL(ptrace),
	CALL(prctl),
	CALL(kill),
	CALL(setrlimit),
	CALL(ioctl),
	CALL(process_vm_readv),
	END_OF_LIST,
};
#endif

static bool added(int r)
{
	/* EDOM: not a call of this architecture; EACCES: the default does it */
	return r == 0 || r == -EDOM || r == -EACCES;
}

static bool allow(scmp_filter_ctx f, const int *calls)
{
	bool ok = true;

	for (; ok && *calls != END_OF_LIST; calls++)
		ok = added(seccomp_rule_add(f, SCMP_ACT_ALLOW, *calls, 0));
	return ok;
}

/* The call when its argument, under `mask`, is `value`. */
static bool allow_with(scmp_filter_ctx f, int call, unsigned arg, uint64_t mask,
		       uint64_t value)
{
	return added(seccomp_rule_add(
		f, SCMP_ACT_ALLOW, call, 1,
		SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value)));
}

/* Opening for reading alone. */
static bool allow_reading(scmp_filter_ctx f)
{
	const uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC;

	return allow_with(f, CALL(openat), 2, writes, O_RDONLY) &&
	       allow_with(f, CALL(open), 1, writes, O_RDONLY);
}

/* Threads but no processes: clone3() hides its flags, and without it the C
 * library takes clone(). */
static bool allow_threads(scmp_filter_ctx f)
{
	return added(seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3),
				      0)) &&
	       allow_with(f, CALL(clone), 0, CLONE_THREAD, CLONE_THREAD);
}

static bool allow_sockets(scmp_filter_ctx f)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
	bool ok = allow_with(f, CALL(socketpair), 0, UINT32_MAX, AF_UNIX);

	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		ok = ok && allow_with(f, CALL(socket), 0, UINT32_MAX,
				      (uint64_t)families[i]);
	return ok;
}

/* Signals to ourselves, names of threads, and what stdio and libraries ask of
 * a descriptor. */
static bool allow_some(scmp_filter_ctx f)
{
	const uint64_t self = (uint64_t)getpid();

	return allow_with(f, CALL(kill), 0, UINT32_MAX, self) &&
	       allow_with(f, CALL(prctl), 0, UINT32_MAX, PR_SET_NAME) &&
	       allow_with(f, CALL(ioctl), 1, UINT32_MAX, TCGETS) &&
	       allow_with(f, CALL(ioctl), 1, UINT32_MAX, FIONBIO) &&
	       allow_with(f, CALL(ioctl), 1, UINT32_MAX, FIONREAD);
}

/* Never, whatever the default: no mistake of ours does this. */
static bool kill_on(scmp_filter_ctx f)
{
	static const int calls[] = {
		CALL(execve),
		CALL(execveat),
#ifndef __SANITIZE_ADDRESS__
		CALL(process_vm_readv),
		CALL(ptrace),
#endif
		CALL(process_vm_writev),
		END_OF_LIST,
	};
	bool ok = true;

	for (size_t i = 0; ok && calls[i] != END_OF_LIST; i++)
		ok = added(seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls[i],
					    0));
	return ok;
}

/* Of root's rights keeps one: to read a file whoever owns it. */
static bool keep_reading(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct v[2] = {0};
	const uint32_t bit = UINT32_C(1) << CAP_DAC_READ_SEARCH;

	/* What a program that we run could get: there is none, so the rest may
	 * fail where a service manager left us no right to do it. */
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		(void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
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

/* Loads and frees it, when all its rules are there. */
static bool enforce(scmp_filter_ctx f, bool complete)
{
	bool ok = complete &&
		  seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
		  seccomp_load(f) == 0;

	seccomp_release(f);
	return ok;
}

bool sandbox_keys(void)
{
	scmp_filter_ctx f;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || !keep_reading() ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	f = seccomp_init(REFUSED);
	return f != NULL &&
	       enforce(f, allow(f, basic_calls) && allow(f, read_calls) &&
				  allow(f, key_calls) && allow_reading(f) &&
				  kill_on(f));
}

bool sandbox_filter(const char *const *folders, size_t n, const char **err)
{
	scmp_filter_ctx f;
	bool ok;

	*err = "the kernel does not let us give up new privileges";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	folders_hold(folders, n);
	*err = "the kernel does not let us filter system calls";
	f = seccomp_init(REFUSED);
	if (f == NULL)
		return false;
	ok = allow(f, basic_calls) && allow(f, read_calls) &&
	     allow(f, filter_calls);
#ifdef __SANITIZE_ADDRESS__
	ok = ok && allow(f, sanitizer_calls);
#endif
	return enforce(f, ok && allow_threads(f) && allow_sockets(f) &&
				  allow_some(f) && kill_on(f));
}
