/* SPDX-License-Identifier: MIT */
#include "base/capabilities.h"
#include "base/sandbox_rules.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * A filter is for good, so each case runs in a child, whose exit status is the number of the step that failed. The
 * children make raw system calls: libc may use others than one thinks.
 */
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
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* In a child: which step it was is the exit status. */
#define STEP(number, condition)                                                                                        \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			_exit(number);                                                                                 \
	} while (0)

/* Calls the system without any memory of its own: all arguments are zero but those given. */
#define REFUSED(number, ...) STEP(number, syscall(__VA_ARGS__) == -1 && errno == EPERM)

/* AddressSanitizer's runtime needs some of the calls, so this program is built without it. */
#if defined(__SANITIZE_ADDRESS__)
#error "sandbox.c allows more in a build with AddressSanitizer than what is tested here"
#endif

static void enter(void)
{
	STEP(1, sandbox_enter(broker_sandbox_rules, broker_sandbox_rules_count) == 0);
}

/* ---- what it must not be able to do ---- */

static void child_processes(void)
{
	enter();
	REFUSED(2, SYS_fork);
	REFUSED(3, SYS_vfork);
	REFUSED(4, SYS_clone3, NULL, 0);
	REFUSED(5, SYS_execve, "/bin/true", NULL, NULL);
	REFUSED(6, SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0);
	REFUSED(7, SYS_kill, getpid(), 0);
	REFUSED(8, SYS_pidfd_open, getpid(), 0);
	REFUSED(9, SYS_setuid, 1);
	REFUSED(10, SYS_setresuid, 1, 1, 1);
	REFUSED(11, SYS_unshare, 0);
	REFUSED(12, SYS_setns, 0, 0);
	REFUSED(13, SYS_capset, NULL, NULL);
	REFUSED(14, SYS_prlimit64, 0, 0, NULL, NULL);
	REFUSED(15, SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	REFUSED(16, SYS_prctl, PR_SET_NAME, "x");
}

static void starts_no_process(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_processes), 0);
}

static void child_sockets(void)
{
	char other[16] = {0};
	int pair[2];

	enter();
	REFUSED(2, SYS_socket, AF_INET, SOCK_STREAM, 0);
	REFUSED(3, SYS_socket, AF_INET6, SOCK_DGRAM, 0);
	REFUSED(4, SYS_socket, AF_NETLINK, SOCK_RAW, 0);
	REFUSED(5, SYS_socket, AF_VSOCK, SOCK_STREAM, 0);
	REFUSED(6, SYS_socket, AF_PACKET, SOCK_RAW, 0);
	REFUSED(7, SYS_socketpair, AF_INET, SOCK_STREAM, 0, pair);
	REFUSED(8, SYS_bind, 0, other, sizeof other);
	REFUSED(9, SYS_listen, 0, 1);
	REFUSED(10, SYS_setsockopt, 0, SOL_SOCKET, SO_PASSCRED, other, 4);
	/* its own kind works */
	STEP(11, syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) >= 0);
	STEP(12, syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	STEP(13, syscall(SYS_sendto, pair[0], "x", 1, MSG_NOSIGNAL, NULL, 0) == 1);
	STEP(14, syscall(SYS_recvfrom, pair[1], other, 1, 0, NULL, NULL) == 1);
}

static void speaks_unix_only(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_sockets), 0);
}

/* Who the sessions are is written down in a file of memory, and clients cannot attach descriptors. */
static void child_roll(void)
{
	const int none = 0;
	int pair[2], roll;

	enter();
	roll = (int)syscall(SYS_memfd_create, "roll", MFD_CLOEXEC);
	STEP(2, roll >= 0);
	STEP(3, pwrite(roll, "x", 1, 64) == 1);
	STEP(4, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	STEP(5,
		setsockopt(pair[0], SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &none, sizeof none) == 0 ||
			errno == ENOPROTOOPT);
}

static void writes_rolls(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_roll), 0);
}

/* Another process reads policy files, and is begun when inotify says that files change. */
static void child_policy(void)
{
	struct statx st;

	enter();
	STEP(2, inotify_add_watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "/etc", IN_CREATE) >= 0);
	STEP(3, statx(AT_FDCWD, "/etc/passwd", AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0);
}

static void watches_policies(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_policy), 0);
}

static void child_others_memory(void)
{
	enter();
	REFUSED(2, SYS_process_vm_writev, getpid(), NULL, 0, NULL, 0, 0);
	REFUSED(3, SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0);
	REFUSED(4, SYS_pidfd_getfd, 0, 0, 0);
	REFUSED(5, SYS_kcmp, 0, 0, 0, 0, 0);
	REFUSED(6, SYS_userfaultfd, O_CLOEXEC);
	REFUSED(7, SYS_shmget, 0, 0, 0);
	REFUSED(8, SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
}

static void reaches_nobodys_memory(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_others_memory), 0);
}

static void child_kernel(void)
{
	char nothing[256] = {0};

	enter();
	REFUSED(2, SYS_init_module, NULL, 0, "");
	REFUSED(3, SYS_finit_module, 0, "", 0);
	REFUSED(4, SYS_delete_module, "x", 0);
	REFUSED(5, SYS_kexec_load, 0, 0, NULL, 0);
	REFUSED(6, SYS_kexec_file_load, 0, 0, 0, NULL, 0);
	REFUSED(7, SYS_bpf, 0, nothing, sizeof nothing);
	REFUSED(8, SYS_io_uring_setup, 1, nothing);
	REFUSED(9, SYS_perf_event_open, nothing, 0, -1, -1, 0);
	REFUSED(10, SYS_mount, "none", "/", NULL, 0, NULL);
	REFUSED(11, SYS_umount2, "/", 0);
	REFUSED(12, SYS_pivot_root, "/", "/");
	REFUSED(13, SYS_chroot, "/");
	REFUSED(14, SYS_open_by_handle_at, 0, nothing, 0);
	REFUSED(15, SYS_ioctl, 0, 0x5401, nothing);
	REFUSED(16, SYS_reboot, 0, 0, 0, NULL);
	REFUSED(17, SYS_keyctl, 0, 0, 0, 0, 0);
	REFUSED(18, SYS_chmod, "/", 0755);
	REFUSED(19, SYS_fchownat, AT_FDCWD, "/", 0, 0, 0);
	REFUSED(20, SYS_mknodat, AT_FDCWD, "/tmp/x", S_IFCHR | 0600, 0);
	REFUSED(21, SYS_symlinkat, "a", AT_FDCWD, "/tmp/x");
	REFUSED(22, SYS_linkat, AT_FDCWD, "/tmp/x", AT_FDCWD, "/tmp/y", 0);
}

static void changes_nothing_of_the_kernel(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_kernel), 0);
}

static void child_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	STEP(1, page != MAP_FAILED);
	enter();
	STEP(2, syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1);
	STEP(3, syscall(SYS_mprotect, page, 4096, PROT_READ) == 0);
	REFUSED(4, SYS_pkey_mprotect, page, 4096, PROT_EXEC, -1);
	REFUSED(5, SYS_remap_file_pages, page, 4096, 0, 0, 0);
	REFUSED(6, SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REFUSED(7, SYS_mmap, NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REFUSED(8, SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
	REFUSED(9, SYS_mprotect, page, 4096, PROT_EXEC);
}

/* Whatever file the broker can open, its pages are out of reach: resourceN of sysfs is a device's registers. */
static void child_mapping(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), own = memfd_create("roll", MFD_CLOEXEC);

	STEP(1, fd >= 0 && own >= 0 && ftruncate(own, 4096) == 0);
	enter();
	REFUSED(2, SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	REFUSED(3, SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE, fd, 0);
	REFUSED(4, SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
	REFUSED(5, SYS_mmap, NULL, 4096, PROT_NONE, MAP_SHARED | MAP_POPULATE, own, 0);
	REFUSED(6, SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	STEP(7, syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != -1);
}

static void maps_no_file(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_mapping), 0);
}

static void makes_no_memory_executable(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_memory), 0);
}

/* What it does all day, by the ways that libc and sd-event take. */
static void child_daily_work(void)
{
	struct epoll_event event;
	char text[8];
	void *memory;
	int fd, epoll = epoll_create1(EPOLL_CLOEXEC);

	STEP(1, epoll >= 0);
	enter();
	STEP(2, epoll_wait(epoll, &event, 1, 0) == 0);
	fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	STEP(3, fd >= 0);
	STEP(4, read(fd, text, sizeof text) > 0);
	STEP(5, close(fd) == 0);
	memory = malloc(4000000);
	STEP(6, memory);
	free(memory);
	STEP(7, write(STDERR_FILENO, "", 0) == 0);
	STEP(8, getpid() > 0);
}

static void does_its_work(void **state)
{
	(void)state;
	assert_int_equal(status_of(child_daily_work), 0);
}

/* ---- capabilities ---- */

/* The hexadecimal value of a line of /proc/self/status, or -1. */
static long long status_line(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long long value = -1;

	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			value = strtoll(line + strlen(name) + 1, NULL, 16);
	}
	if (file)
		fclose(file);
	return value;
}

static void child_capabilities(void)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};

	STEP(1, status_line("CapEff") != 0);
	STEP(2, capabilities_drop() == 0);
	for (int i = 0; i < 5; i++)
		STEP(3 + i, status_line(sets[i]) == 0);
	STEP(8, getuid() == 0);
	/* files of others that only a capability opens are closed from now on, and the bounding set holds */
	STEP(9, syscall(SYS_setuid, 1000) == -1 && errno == EPERM);
	STEP(10, syscall(SYS_chroot, "/") == -1 && errno == EPERM);
	/* under systemd there are none from the start: that is fine as well */
	STEP(11, capabilities_drop() == 0);
}

static void capabilities_are_all_dropped(void **state)
{
	(void)state;
	if (getuid() != 0 || status_line("CapEff") == 0) {
		print_message("needs root with capabilities: it drops them\n");
		skip();
	}
	assert_int_equal(status_of(child_capabilities), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_no_process),
		cmocka_unit_test(speaks_unix_only),
		cmocka_unit_test(writes_rolls),
		cmocka_unit_test(watches_policies),
		cmocka_unit_test(reaches_nobodys_memory),
		cmocka_unit_test(changes_nothing_of_the_kernel),
		cmocka_unit_test(maps_no_file),
		cmocka_unit_test(makes_no_memory_executable),
		cmocka_unit_test(does_its_work),
		cmocka_unit_test(capabilities_are_all_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
