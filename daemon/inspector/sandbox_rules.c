/* SPDX-License-Identifier: MIT */
#include "sandbox_rules.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The inspector's system calls on every host. */
static const struct sandbox_rule own[] = {
	/* the channel (proto/packet.c), and getifaddrs() */
	{SCMP_SYS(recvmsg), 0, 0, 0},
	{SCMP_SYS(recvfrom), 0, 0, 0},
	{SCMP_SYS(sendmsg), 0, 0, 0},
	{SCMP_SYS(sendto), 0, 0, 0},
	{SCMP_SYS(close), 0, 0, 0},
	{SCMP_SYS(getpid), 0, 0, 0},
	{SCMP_SYS(restart_syscall), 0, 0, 0},
	/* malloc(); executable memory, and registers of a device (a file of sysfs), stay refused */
	{SCMP_SYS(brk), 0, 0, 0},
	{SCMP_SYS(mmap), 2 | SANDBOX_AND, PROT_EXEC, 0},
	{SCMP_SYS(mmap), 3, MAP_SHARED, 0},
	{SCMP_SYS(mremap), 0, 0, 0},
	{SCMP_SYS(munmap), 0, 0, 0},
	/* the log */
	{SCMP_SYS(write), 0, UINT32_MAX, STDERR_FILENO},
	/* the end */
	{SCMP_SYS(exit_group), 0, 0, 0},
};

int sandbox_rules(const struct view *view, struct sandbox_rule rules[SANDBOX_RULES_MAX])
{
	const size_t count = sizeof own / sizeof own[0];

	if (SANDBOX_RULES_MAX - count < view->rule_count)
		return -ENOSPC;
	memcpy(rules, own, sizeof own);
	memcpy(rules + count, view->rules, view->rule_count * sizeof own[0]);
	return (int)(count + view->rule_count);
}
