/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The needs of a driver with open channels: ask over the channels, wait, compute, and end. Nineteen system calls, no
 * more: malloc() does without brk(), and stdio without the fstat() of libraries that call newfstatat(). */
static const struct {
	int syscall;
	/* Allowed only if (argument & mask) == value; no restriction with mask 0. */
	unsigned int argument;
	uint64_t mask;
	uint64_t value;
} allowed[] = {
	/* requests, replies and the descriptors with a reply */
	{SCMP_SYS(sendto), 0, 0, 0},
	{SCMP_SYS(sendmsg), 0, 0, 0},
	{SCMP_SYS(recvfrom), 0, 0, 0},
	{SCMP_SYS(recvmsg), 0, 0, 0},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_GET_SEALS},
	{SCMP_SYS(fstat), 0, 0, 0}, /* the size of a memfd; newfstatat() would look at any file, which no filter sees */
	{SCMP_SYS(close), 0, 0, 0},
	/* interrupts, output */
	{SCMP_SYS(poll), 0, 0, 0},
	{SCMP_SYS(ppoll), 0, 0, 0},
	{SCMP_SYS(read), 0, 0, 0},
	{SCMP_SYS(write), 0, 0, 0},
	/* memory of the process and memory received; none of it is ever executed */
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(munmap), 0, 0, 0},
	{SCMP_SYS(futex), 0, 0, 0},
	/* time, signals, the end */
	{SCMP_SYS(clock_gettime), 0, 0, 0},
	{SCMP_SYS(clock_nanosleep), 0, 0, 0},
	{SCMP_SYS(rt_sigreturn), 0, 0, 0},
	{SCMP_SYS(restart_syscall), 0, 0, 0},
	{SCMP_SYS(exit_group), 0, 0, 0},
};

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* No file by name, for anything; on kernels without Landlock the filter refuses file names. */
static int enter_landlock(void)
{
	struct landlock_ruleset_attr nothing = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
			LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
			LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
			LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &nothing, sizeof nothing, 0);
	int r;

	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	r = syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
	close(rules);
	return r;
}

static int enter_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? 0 : -ENOMEM;

	/* Foreign system call tables (i386, x32) would pass other numbers for the same calls. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* All threads of the process. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; r == 0 && i < sizeof allowed / sizeof allowed[0]; i++) {
		struct scmp_arg_cmp compare = {
			.arg = allowed[i].argument,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = allowed[i].mask,
			.datum_b = allowed[i].value,
		};

		r = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, allowed[i].syscall, allowed[i].mask ? 1 : 0, &compare);
	}
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int vbroker_sandbox_enter(void)
{
	int r;

	detail_clear();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return detail_set(-errno, "no_new_privs");
	/* Another process with this uid must not be able to reach into this process, nor find the memory in a core
	 * file. */
	if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
		return detail_set(-errno, "PR_SET_DUMPABLE");
	r = drop_capabilities();
	if (r < 0)
		return detail_set(r, "dropping capabilities");
	r = enter_landlock();
	if (r < 0)
		return detail_set(r, "Landlock");
	r = enter_filter();
	return r < 0 ? detail_set(r, "the system call filter") : 0;
}
