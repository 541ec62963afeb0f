/* SPDX-License-Identifier: MIT */
#include "confinement_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/*
 * The needs of a starting program, of its threads, and of vbroker_sandbox_enter(). Everything else is EPERM: new
 * processes, files made or changed by name, sockets, other processes, the inside of the kernel, and whatever later
 * kernels will have.
 *
 * A filter cannot read names, and the loader of Debian 12 calls newfstatat() for each fstat(): the size, owner and time
 * of any file stay visible until vbroker_sandbox_enter().
 */
/* clang-format off */
static const int allowed[] = {
	/* open descriptors */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
	SCMP_SYS(getdents64), SCMP_SYS(memfd_create),
	/* names of files, to look at */
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	/* channels, which are connected */
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(shutdown),
	/* waiting */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd), SCMP_SYS(eventfd2), SCMP_SYS(pipe), SCMP_SYS(pipe2),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd),
	SCMP_SYS(signalfd4), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(pause), SCMP_SYS(restart_syscall),
	/* time */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(alarm), SCMP_SYS(getitimer),
	SCMP_SYS(setitimer), SCMP_SYS(timer_create), SCMP_SYS(timer_settime), SCMP_SYS(timer_gettime),
	SCMP_SYS(timer_getoverrun), SCMP_SYS(timer_delete),
	/* memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk),
	SCMP_SYS(msync), SCMP_SYS(mincore), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(mlockall),
	SCMP_SYS(munlockall), SCMP_SYS(mbind), SCMP_SYS(get_mempolicy), SCMP_SYS(set_mempolicy), SCMP_SYS(membarrier),
	SCMP_SYS(pkey_alloc), SCMP_SYS(pkey_free), SCMP_SYS(pkey_mprotect),
	/* threads */
	SCMP_SYS(set_tid_address), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(futex), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu),
	SCMP_SYS(arch_prctl), SCMP_SYS(set_thread_area), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* its own signals */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigsuspend), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack),
	/* itself and its machine */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getpgrp), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups),
	SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(setrlimit), SCMP_SYS(uname), SCMP_SYS(sysinfo),
	SCMP_SYS(getrandom), SCMP_SYS(umask),
	/* giving up more */
	SCMP_SYS(capget), SCMP_SYS(capset), SCMP_SYS(landlock_create_ruleset),
	SCMP_SYS(landlock_add_rule), SCMP_SYS(landlock_restrict_self),
};
/* clang-format on */

#define ANY_WRITING (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* Allowed only if (argument & mask) == value. */
static const struct {
	int syscall;
	unsigned int argument;
	uint64_t mask;
	uint64_t value;
} restricted[] = {
	/* Files are opened to be read. */
	{SCMP_SYS(open), 1, ANY_WRITING, O_RDONLY},
	{SCMP_SYS(openat), 2, ANY_WRITING, O_RDONLY},
	/* Not F_SETOWN and F_SETSIG, by which a descriptor sends signals to other processes. */
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFD},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_ADD_SEALS},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_GET_SEALS},
	/* A filter of its own takes more away, but for a listener, which could let execve() pass. */
	{SCMP_SYS(seccomp), 1, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0},
	/* Not TIOCSTI, which types into the owner's terminal. */
	{SCMP_SYS(ioctl), 1, UINT32_MAX, TCGETS},
	{SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCGWINSZ},
	{SCMP_SYS(ioctl), 1, UINT32_MAX, FIONREAD},
	{SCMP_SYS(ioctl), 1, UINT32_MAX, FIONBIO},
	{SCMP_SYS(ioctl), 1, UINT32_MAX, FIOCLEX},
	/* Threads alone: a process of the driver's would outlive the owner. */
	{SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
	/* Not PR_SET_PDEATHSIG, for the same reason. */
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NAME},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_GET_NAME},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_DUMPABLE},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_GET_DUMPABLE},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NO_NEW_PRIVS},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_GET_NO_NEW_PRIVS},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_SECCOMP},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_GET_SECCOMP},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_CAPBSET_READ},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_CAPBSET_DROP},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_CAP_AMBIENT},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_TIMERSLACK},
	{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_VMA},
};

/* Allowed only about the driver's own process: an argument is its pid, or 0 if 0 means the caller. */
static const struct {
	int syscall;
	bool zero;
} own[] = {
	{SCMP_SYS(kill), false}, /* 0 would be the process group, with the owner */
	{SCMP_SYS(tgkill), false},
	{SCMP_SYS(rt_sigqueueinfo), false},
	{SCMP_SYS(rt_tgsigqueueinfo), false},
	{SCMP_SYS(prlimit64), true},
	{SCMP_SYS(sched_setaffinity), true},
	{SCMP_SYS(sched_setparam), true},
	{SCMP_SYS(sched_setscheduler), true},
	{SCMP_SYS(sched_setattr), true},
	{SCMP_SYS(sched_getattr), true},
};

static int add(scmp_filter_ctx filter, int call, unsigned int argument, uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp compare = {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &compare);
}

static int add_rules(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < COUNT(allowed); i++)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; r == 0 && i < COUNT(restricted); i++)
		r = add(filter, restricted[i].syscall, restricted[i].argument, restricted[i].mask, restricted[i].value);
	for (size_t i = 0; r == 0 && i < COUNT(own); i++) {
		r = add(filter, own[i].syscall, 0, UINT32_MAX, (uint64_t)getpid());
		if (r == 0 && own[i].zero)
			r = add(filter, own[i].syscall, 0, UINT32_MAX, 0);
	}
	/* Not O_ASYNC, by which a terminal sends signals to whoever uses it. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2,
			SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, F_SETFL), SCMP_A2(SCMP_CMP_MASKED_EQ, O_ASYNC, 0));
	/* Threads are made by clone(), whose flags a filter can see. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(execve), 0);
	return r;
}

int confinement_calls_load(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? 0 : -ENOMEM;

	/* Foreign system call tables (i386, x32) would pass other numbers for the same calls. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A search tree: the filter has two hundred calls. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* Else libseccomp has one error for all that the kernel says. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (r == 0)
		r = add_rules(filter);
	if (r == 0)
		r = seccomp_load(filter);
	if (r == 0)
		r = seccomp_notify_fd(filter);
	seccomp_release(filter);
	return r;
}
