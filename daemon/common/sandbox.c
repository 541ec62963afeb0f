/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <seccomp.h>

#if defined(__SANITIZE_ADDRESS__)
/* System calls of AddressSanitizer's own runtime, at reports and at the leak check before exit; never in an
 * installed build. */
/* clang-format off */
static const struct sandbox_rule sanitizer_rules[] = {
	{SCMP_SYS(clone), 0, 0, 0},	  {SCMP_SYS(wait4), 0, 0, 0},	     {SCMP_SYS(ptrace), 0, 0, 0},
	{SCMP_SYS(prctl), 0, 0, 0},	  {SCMP_SYS(sched_yield), 0, 0, 0},  {SCMP_SYS(openat), 0, 0, 0},
	{SCMP_SYS(open), 0, 0, 0},	  {SCMP_SYS(readlink), 0, 0, 0},     {SCMP_SYS(getdents64), 0, 0, 0},
	{SCMP_SYS(gettid), 0, 0, 0},	  {SCMP_SYS(getpid), 0, 0, 0},	     {SCMP_SYS(sigaltstack), 0, 0, 0},
	{SCMP_SYS(rt_sigaction), 0, 0, 0}, {SCMP_SYS(rt_sigprocmask), 0, 0, 0}, {SCMP_SYS(mmap), 0, 0, 0},
	{SCMP_SYS(munmap), 0, 0, 0},	  {SCMP_SYS(mprotect), 0, 0, 0},     {SCMP_SYS(madvise), 0, 0, 0},
	{SCMP_SYS(read), 0, 0, 0},	  {SCMP_SYS(lseek), 0, 0, 0},	     {SCMP_SYS(stat), 0, 0, 0},
	{SCMP_SYS(newfstatat), 0, 0, 0},  {SCMP_SYS(fstat), 0, 0, 0},	     {SCMP_SYS(futex), 0, 0, 0},
	{SCMP_SYS(exit), 0, 0, 0},	  {SCMP_SYS(tgkill), 0, 0, 0},	     {SCMP_SYS(close), 0, 0, 0},
	{SCMP_SYS(getppid), 0, 0, 0},	  {SCMP_SYS(getdents), 0, 0, 0},
};
/* clang-format on */
#endif

static struct scmp_arg_cmp comparison(const struct sandbox_rule *rule)
{
	return (struct scmp_arg_cmp){
		.arg = rule->argument & ~SANDBOX_AND,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = rule->mask,
		.datum_b = rule->value,
	};
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct sandbox_rule *rule = &rules[i];
		struct scmp_arg_cmp compares[2] = {comparison(rule)};
		unsigned int compared = rule->mask ? 1 : 0;
		int r;

		if (rule->argument & SANDBOX_AND) {
			if (++i == count || rules[i].syscall != rule->syscall || (rules[i].argument & SANDBOX_AND))
				return -EINVAL;
			compares[compared++] = comparison(&rules[i]);
		}
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->syscall, compared, compares);
		/* -EEXIST: allowed already, without the restriction */
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

int sandbox_enter(const struct sandbox_rule *rules, size_t count)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!filter)
		return -ENOMEM;
	/* Foreign system call tables (i386, x32) would pass other numbers for the same calls: they kill the process. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_rules(filter, rules, count);
#if defined(__SANITIZE_ADDRESS__)
	if (r == 0)
		r = add_rules(filter, sanitizer_rules, sizeof sanitizer_rules / sizeof sanitizer_rules[0]);
#endif
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
