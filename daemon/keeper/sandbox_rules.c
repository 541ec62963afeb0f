/* SPDX-License-Identifier: MIT */
#include "sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* The keeper's system calls on every kernel interface. */
static const struct sandbox_rule own[] = {
	/* its loop, and its channels (proto/packet.c) */
	{SCMP_SYS(poll), 0, 0, 0},
	{SCMP_SYS(ppoll), 0, 0, 0}, /* poll() on architectures without the system call poll */
	{SCMP_SYS(recvmsg), 0, 0, 0},
	{SCMP_SYS(recvfrom), 0, 0, 0}, /* recv() */
	{SCMP_SYS(sendmsg), 0, 0, 0},
	{SCMP_SYS(sendto), 0, 0, 0}, /* send() */
	{SCMP_SYS(close), 0, 0, 0},
	{SCMP_SYS(shutdown), 1, UINT32_MAX, SHUT_RD},
	{SCMP_SYS(shutdown), 1, UINT32_MAX, SHUT_WR},
	{SCMP_SYS(shutdown), 1, UINT32_MAX, SHUT_RDWR},
	{SCMP_SYS(setsockopt), 2, UINT32_MAX, SO_PASSCRED},
	/* the kind of a file descriptor (foreign_fd.c, keeper.c), by statx() without a path and by a link of /proc */
	{SCMP_SYS(statx), 0, 0, 0},
	{SCMP_SYS(readlinkat), 0, 0, 0},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL},
	{SCMP_SYS(getsockopt), 2, UINT32_MAX, SO_TYPE},
	/* descriptors that stay open, and their order (kept.c) */
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC},
	{SCMP_SYS(kcmp), 2, UINT32_MAX, KCMP_FILE},
	{SCMP_SYS(prlimit64), 2, UINT64_MAX, 0}, /* getrlimit(): no new limit */
	/* the kernel's request to give a device back (interrupt.c) */
	{SCMP_SYS(eventfd2), 0, 0, 0},
	/* pid and uid of the process (keeper.c, query.c) */
	{SCMP_SYS(getpid), 0, 0, 0},
	{SCMP_SYS(getuid), 0, 0, 0},
	/* time, where a system call is needed; POLL */
	{SCMP_SYS(clock_gettime), 0, 0, 0},
	{SCMP_SYS(clock_nanosleep), 0, 0, 0},
	{SCMP_SYS(restart_syscall), 0, 0, 0},
	/* malloc(); executable memory stays refused */
	{SCMP_SYS(brk), 0, 0, 0},
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(munmap), 0, 0, 0},
	{SCMP_SYS(madvise), 0, 0, 0},
	/* the log */
	{SCMP_SYS(write), 0, UINT32_MAX, STDERR_FILENO},
	/* the end */
	{SCMP_SYS(exit_group), 0, 0, 0},
	{SCMP_SYS(rt_sigreturn), 0, 0, 0},
};

int sandbox_rules(const struct vfio_kernel *kernel, struct sandbox_rule rules[SANDBOX_RULES_MAX])
{
	const size_t count = sizeof own / sizeof own[0];

	if (SANDBOX_RULES_MAX - count < kernel->rule_count)
		return -ENOSPC;
	memcpy(rules, own, sizeof own);
	memcpy(rules + count, kernel->rules, kernel->rule_count * sizeof own[0]);
	return (int)(count + kernel->rule_count);
}
