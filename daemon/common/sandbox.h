/* SPDX-License-Identifier: MIT */
#ifndef COMMON_SANDBOX_H
#define COMMON_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

/*
 * The system call filter of a daemon, as a table. System calls outside the table fail with EPERM: a call nobody thought
 * of is an error of one request and not the end of the service.
 */
struct sandbox_rule {
	int syscall; /* SCMP_SYS(name) */
	/* Restricts one argument: its index (0 to 5), and its only value under MASK. MASK 0: no restriction.
	 * Several rules for one system call allow any of their values. With SANDBOX_AND in the index, the next rule
	 * must hold as well; the next rule is for the same system call. */
	unsigned int argument;
	uint64_t mask;
	uint64_t value;
};

#define SANDBOX_AND 0x100U

/* What a rule begins with whose value is a request of ioctl(): the kernel looks only at the lower 32 bits of it. */
#define SANDBOX_IOCTL SCMP_SYS(ioctl), 1, UINT32_MAX

/* Sets no_new_privs and loads the filter for the whole process, for good. Returns 0 or a negative errno. */
int sandbox_enter(const struct sandbox_rule *rules, size_t count);

#endif
