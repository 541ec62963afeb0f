/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * A filter is for good, so each case runs in a child, whose exit status is the number of the step that failed. The
 * children make raw system calls: libc may use others than one thinks.
 */
static const struct sandbox_rule rules[] = {
	{SCMP_SYS(exit_group), 0, 0, 0},
	{SCMP_SYS(getppid), 0, 0, 0},
	/* Two values of one argument, under a mask. */
	{SCMP_SYS(fcntl), 1, 0xffffffff, F_GETFD},
	{SCMP_SYS(fcntl), 1, 0xffffffff, F_GETFL},
	/* By a bit: sockets of any kind, with SOCK_CLOEXEC. */
	{SCMP_SYS(socket), 1, SOCK_CLOEXEC, SOCK_CLOEXEC},
	/* Two arguments at once. */
	{SCMP_SYS(getpriority), 0 | SANDBOX_AND, UINT32_MAX, PRIO_PROCESS},
	{SCMP_SYS(getpriority), 1, UINT32_MAX, 0},
};

static int status_of(void (*child)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* In a child: which step it was is the exit status. */
#define STEP(number, condition)                                                                                        \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			_exit(number);                                                                                 \
	} while (0)

static bool forbidden(long result)
{
	return result == -1 && errno == EPERM;
}

static void child_allowed(void)
{
	STEP(1, sandbox_enter(rules, sizeof rules / sizeof rules[0]) == 0);
	STEP(2, syscall(SYS_getppid) > 0);
	STEP(3, syscall(SYS_fcntl, 0, F_GETFD) >= 0 || errno == EBADF);
	STEP(4, syscall(SYS_fcntl, 0, F_GETFL) >= 0 || errno == EBADF);
	STEP(5, syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) >= 0);
}

static void what_the_table_allows_works(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_allowed), 0);
}

static void child_forbidden(void)
{
	STEP(1, sandbox_enter(rules, sizeof rules / sizeof rules[0]) == 0);
	STEP(2, forbidden(syscall(SYS_getuid)));
	STEP(3, forbidden(syscall(SYS_execve, "/bin/true", NULL, NULL)));
	STEP(4, forbidden(syscall(SYS_ioctl, 0, FIONREAD, NULL)));
	STEP(5, forbidden(syscall(SYS_setuid, 0)));
	STEP(6, forbidden(syscall(SYS_mount, "none", "/", NULL, 0, NULL)));
}

static void everything_else_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_forbidden), 0);
}

static void child_restricted(void)
{
	STEP(1, sandbox_enter(rules, sizeof rules / sizeof rules[0]) == 0);
	STEP(2, forbidden(syscall(SYS_fcntl, 0, F_DUPFD, 0)));
	STEP(3, forbidden(syscall(SYS_fcntl, 0, F_SETFL, 0)));
	STEP(4, forbidden(syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0)));
	STEP(5, forbidden(syscall(SYS_getpriority, PRIO_PROCESS, 1)));
	STEP(6, forbidden(syscall(SYS_getpriority, PRIO_USER, 0)));
	STEP(7, syscall(SYS_getpriority, PRIO_PROCESS, 0) > 0);
}

/* A rule that is cut short is an error, not a rule with fewer restrictions. */
static void child_cut(void)
{
	const struct sandbox_rule cut[] = {
		{SCMP_SYS(getpriority), 0 | SANDBOX_AND, UINT32_MAX, 0}, {SCMP_SYS(exit_group), 0, 0, 0}};

	STEP(1, sandbox_enter(cut, 1) == -EINVAL);
	STEP(2, sandbox_enter(cut, 2) == -EINVAL);
}

static void cut_rules_are_refused(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_cut), 0);
}

static void arguments_are_restricted(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_restricted), 0);
}

static void child_for_good(void)
{
	STEP(1, sandbox_enter(rules, sizeof rules / sizeof rules[0]) == 0);
	/* Loading a wider filter needs seccomp() or prctl(); with a sanitizer the latter stays allowed, and then the
	 * stricter of both filters counts. */
	sandbox_enter((const struct sandbox_rule[]){{SCMP_SYS(getuid), 0, 0, 0}, {SCMP_SYS(exit_group), 0, 0, 0}}, 2);
	STEP(2, forbidden(syscall(SYS_getuid)));
}

static void filter_is_for_good(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_for_good), 0);
}

static void child_no_new_privileges(void)
{
	const struct sandbox_rule more[] = {{SCMP_SYS(exit_group), 0, 0, 0}, {SCMP_SYS(prctl), 0, 0, 0}};

	STEP(1, sandbox_enter(more, 2) == 0);
	STEP(2, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	STEP(3, prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2);
}

static void no_new_privileges_is_set(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_no_new_privileges), 0);
}

#if defined(__x86_64__)
/* i386's number 20 is getpid, x86_64's is writev: a filter by number alone would take one for the other. */
static void child_foreign_table(void)
{
	long result;

	/* The handlers of cmocka and AddressSanitizer would make an exit of the signal. */
	signal(SIGSEGV, SIG_DFL);
	STEP(1, sandbox_enter(rules, sizeof rules / sizeof rules[0]) == 0);
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
	STEP(2, result == 0);
}

static void foreign_system_calls_kill(void **state)
{
	int status;

	(void)state;
	status = status_of(child_foreign_table);
	assert_true(WIFSIGNALED(status));
	assert_true(
		WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV); /* SEGV: no 32-bit calls in this kernel */
}
#endif

static void child_bad_rule(void)
{
	const struct sandbox_rule bad[] = {{SCMP_SYS(exit_group), 9, 1, 1}};

	STEP(1, sandbox_enter(bad, 1) < 0);
	STEP(2, getuid() != (uid_t)-1); /* nothing was loaded */
}

static void rule_that_cannot_be_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_bad_rule), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_table_allows_works),
		cmocka_unit_test(everything_else_is_an_error),
		cmocka_unit_test(arguments_are_restricted),
		cmocka_unit_test(cut_rules_are_refused),
		cmocka_unit_test(filter_is_for_good),
		cmocka_unit_test(no_new_privileges_is_set),
#if defined(__x86_64__)
		cmocka_unit_test(foreign_system_calls_kill),
#endif
		cmocka_unit_test(rule_that_cannot_be_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
