/* SPDX-License-Identifier: MIT */
#ifndef COMMON_SANDBOX_H
#define COMMON_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

/*
 * The system call filter of a daemon, as a table. What is not in it fails with EPERM, so that a call nobody thought of
 * is an error of one request and not the end of the service.
 */
struct sandbox_rule {
	int syscall; /* SCMP_SYS(name) */
	/* Restricts one argument: which one (0 to 5), and its only value under MASK. No restriction with MASK 0.
	 * Several rules for one system call allow any of their values. */
	unsigned int argument;
	uint64_t mask;
	uint64_t value;
};

/* Sets no_new_privs and loads the filter for the whole process. Returns 0 or a negative errno. For good. */
int sandbox_enter(const struct sandbox_rule *rules, size_t count);

#endif
