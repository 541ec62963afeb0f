/* SPDX-License-Identifier: MIT */
#include "sandbox_rules.h"

#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

const struct sandbox_rule sandbox_rules[] = {
	/* its loop */
	{SCMP_SYS(epoll_wait), 0, 0, 0},
	{SCMP_SYS(epoll_pwait), 0, 0, 0}, /* epoll_wait() on architectures without the system call epoll_wait */
	{SCMP_SYS(epoll_ctl), 0, 0, 0},
	{SCMP_SYS(poll), 0, 0, 0},
	{SCMP_SYS(ppoll), 0, 0, 0}, /* likewise */
	/* its sockets (proto/packet.c), and their end (kept.c) */
	{SCMP_SYS(recvmsg), 0, 0, 0},
	{SCMP_SYS(recvfrom), 0, 0, 0}, /* recv() */
	{SCMP_SYS(sendmsg), 0, 0, 0},
	{SCMP_SYS(sendto), 0, 0, 0}, /* send() */
	{SCMP_SYS(close), 0, 0, 0},
	{SCMP_SYS(shutdown), 1, UINT32_MAX, SHUT_RDWR},
	{SCMP_SYS(setsockopt), 2, UINT32_MAX, SO_PASSCRED},
	/* the kind of the control socket (front.c) */
	{SCMP_SYS(getsockopt), 2, UINT32_MAX, SO_TYPE},
	/* pid and uid of the process (front.c, control.c) */
	{SCMP_SYS(getpid), 0, 0, 0},
	{SCMP_SYS(getuid), 0, 0, 0},
	/* time, where a system call is needed */
	{SCMP_SYS(clock_gettime), 0, 0, 0},
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
const size_t sandbox_rules_count = sizeof sandbox_rules / sizeof sandbox_rules[0];
