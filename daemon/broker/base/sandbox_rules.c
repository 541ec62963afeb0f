/* SPDX-License-Identifier: MIT */
#include "base/sandbox_rules.h"

#include "connection.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define ALLOW(name)                                                                                                    \
	{                                                                                                              \
		SCMP_SYS(name), 0, 0, 0                                                                                \
	}
/* Only with the value in the argument of the given number. */
#define ALLOW_ONLY(name, argument, value)                                                                              \
	{                                                                                                              \
		SCMP_SYS(name), argument, UINT32_MAX, value                                                            \
	}
/* Only without the bits in the argument of the given number. */
#define ALLOW_WITHOUT(name, argument, bits)                                                                            \
	{                                                                                                              \
		SCMP_SYS(name), argument, bits, 0                                                                      \
	}

/* clang-format off */
const struct sandbox_rule broker_sandbox_rules[] = {
	/* the event loop */
	ALLOW(epoll_wait), ALLOW(epoll_pwait), ALLOW(epoll_pwait2), ALLOW(epoll_ctl), ALLOW(epoll_create1),
	ALLOW(timerfd_create), ALLOW(timerfd_settime), ALLOW(signalfd4), ALLOW(poll), ALLOW(ppoll),
	ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(restart_syscall),
	/* sockets: AF_UNIX alone is made here; systemd made the listener, the uevent socket is there already */
	ALLOW_ONLY(socket, 0, AF_UNIX), ALLOW_ONLY(socketpair, 0, AF_UNIX), ALLOW(connect), ALLOW(accept4),
	ALLOW(recvmsg), ALLOW(sendmsg), ALLOW(recvfrom), ALLOW(sendto), ALLOW(getsockopt),
	ALLOW_ONLY(setsockopt, 2, SO_PASSRIGHTS), ALLOW_ONLY(setsockopt, 2, SO_SNDBUF), ALLOW(shutdown),
	ALLOW(getsockname),
	/* sysfs, /proc/PID/cgroup, group nodes, claim records */
	ALLOW(openat), ALLOW(read), ALLOW(pread64), ALLOW(write), ALLOW(close), ALLOW(lseek), ALLOW(fcntl),
	ALLOW(fstat), ALLOW(newfstatat), ALLOW(statx), ALLOW(fstatfs), ALLOW(statfs), ALLOW(readlink),
	ALLOW(readlinkat), ALLOW(access), ALLOW(faccessat), ALLOW(faccessat2), ALLOW(getdents64), ALLOW(rename),
	ALLOW(unlink), ALLOW(name_to_handle_at),
	/* the rolls of fronts, the notes of helpers */
	ALLOW_ONLY(memfd_create, 1, MFD_CLOEXEC), ALLOW(pwrite64),
	/* policy files: to be told of their changes */
	ALLOW(inotify_init1), ALLOW(inotify_add_watch), ALLOW(inotify_rm_watch),
	/* memory, never executable, and never a file's own: a device's registers are a file of sysfs */
	ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW_WITHOUT(mmap, 2 | SANDBOX_AND, PROT_EXEC),
	ALLOW_WITHOUT(mmap, 3, MAP_SHARED), ALLOW_WITHOUT(mprotect, 2, PROT_EXEC), ALLOW(futex), ALLOW(getrandom),
	/* the process itself */
	ALLOW(getpid), ALLOW(gettid), ALLOW(getuid), ALLOW(geteuid), ALLOW(rt_sigprocmask), ALLOW(rt_sigaction),
	ALLOW(rt_sigreturn), ALLOW(exit), ALLOW(exit_group),
};
/* clang-format on */

const size_t broker_sandbox_rules_count = sizeof broker_sandbox_rules / sizeof broker_sandbox_rules[0];
