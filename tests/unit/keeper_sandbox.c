/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "foreign_fd.h"
#include "kept.h"
#include "kernel.h"
#include "packet.h"
#include "sandbox_rules.h"
#include "type1.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/*
 * The keeper's filter, entered for good by a child process, which then tries things with bare system calls and
 * reports by its exit code: 0, or the number of the line that went wrong modulo 255, plus 1.
 */

/* The child's ends of what it will need; made before the filter is there. */
struct world {
	int channel;
	int event;
	int null;
};

typedef int (*attempt_fn)(const struct world *world);

static int refused(long result)
{
	return result == -1 && errno == EPERM;
}

/* Not the exit() of cmocka's process: nothing of the parent may run here. */
static _Noreturn void child(attempt_fn attempt, const struct world *world)
{
	struct sandbox_rule rules[SANDBOX_RULES_MAX];
	int count = sandbox_rules(&vfio_type1, rules);

	if (count < 0 || foreign_fd_open_links() < 0 || sandbox_enter(rules, (size_t)count) < 0)
		_exit(254);
	_exit(attempt(world));
}

static void in_sandbox(attempt_fn attempt)
{
	int pair[2], status;
	struct world world;
	pid_t pid;

	unit_pair(pair);
	world = (struct world){pair[0], eventfd(0, EFD_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC)};
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(attempt, &world);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("line %d (modulo 255) of keeper_sandbox.c", WEXITSTATUS(status) - 1);
	close(world.event);
	close(world.null);
	close(pair[0]);
	close(pair[1]);
}

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__ % 255 + 1;                                                                     \
	} while (0)

/* x86-64 has system calls of other names for these; elsewhere they do not exist. */
static int old_names_refused(void)
{
#ifdef SYS_open
	CHECK(refused(syscall(SYS_open, "/dev/null", O_RDONLY)));
	CHECK(refused(syscall(SYS_creat, "/tmp/vfio-keeper-test", 0600)));
	CHECK(refused(syscall(SYS_fork)));
	CHECK(refused(syscall(SYS_vfork)));
#endif
	return 0;
}

static int files_refused(const struct world *world)
{
	char path[] = "/dev/null";

	(void)world;
	CHECK(refused(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY)));
	CHECK(refused(syscall(SYS_openat2, AT_FDCWD, path, NULL, 0)));
	CHECK(refused(syscall(SYS_memfd_create, "x", 0)));
	CHECK(refused(syscall(SYS_pipe2, NULL, 0)));
	CHECK(refused(syscall(SYS_dup, world->event)));
	CHECK(refused(syscall(SYS_dup3, world->event, 100, 0)));
	CHECK(refused(syscall(SYS_fcntl, world->event, F_DUPFD, 0)));
	CHECK(refused(syscall(SYS_unlinkat, AT_FDCWD, "/tmp/vfio-keeper-test", 0)));
	CHECK(refused(syscall(SYS_read, world->null, path, 1)));
	/* only the log is written */
	CHECK(refused(syscall(SYS_write, world->null, path, 1)));
	CHECK(refused(syscall(SYS_mount, "", "/", "", 0, "")));
	return old_names_refused();
}

static int network_refused(const struct world *world)
{
	(void)world;
	CHECK(refused(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0)));
	CHECK(refused(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)));
	CHECK(refused(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL)));
	CHECK(refused(syscall(SYS_connect, world->channel, NULL, 0)));
	CHECK(refused(syscall(SYS_bind, world->channel, NULL, 0)));
	CHECK(refused(syscall(SYS_listen, world->channel, 1)));
	CHECK(refused(syscall(SYS_accept4, world->channel, NULL, NULL, 0)));
	CHECK(refused(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &(struct rlimit){0}, NULL)));
	CHECK(refused(syscall(SYS_setsockopt, world->channel, SOL_SOCKET, SO_SNDBUF, NULL, 0)));
	return 0;
}

static int processes_refused(const struct world *world)
{
	char *const no_arguments[] = {NULL};

	(void)world;
	CHECK(refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)));
	CHECK(refused(syscall(SYS_clone3, NULL, 0)));
	CHECK(refused(syscall(SYS_execve, "/bin/true", no_arguments, no_arguments)));
	CHECK(refused(syscall(SYS_execveat, AT_FDCWD, "/bin/true", no_arguments, no_arguments, 0)));
	CHECK(refused(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)));
	CHECK(refused(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0)));
	CHECK(refused(syscall(SYS_kill, getppid(), 0)));
	CHECK(refused(syscall(SYS_pidfd_open, 1, 0)));
	CHECK(refused(syscall(SYS_setuid, 0)));
	CHECK(refused(syscall(SYS_unshare, CLONE_NEWUSER)));
	return 0;
}

static int kernel_refused(const struct world *world)
{
	(void)world;
	CHECK(refused(syscall(SYS_init_module, NULL, 0, "")));
	CHECK(refused(syscall(SYS_finit_module, 0, "", 0)));
	CHECK(refused(syscall(SYS_bpf, 0, NULL, 0)));
	CHECK(refused(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0)));
	CHECK(refused(syscall(SYS_io_uring_setup, 1, NULL)));
	CHECK(refused(syscall(SYS_userfaultfd, 0)));
	CHECK(refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0)));
	return 0;
}

/*
 * Neighbours of vfio_window's requests: the next number, the same numbers for other sizes or directions, another
 * type.
 */
#define WINDOW_NEXT    _IOW(VFIO_WINDOW_TYPE, 3, struct vfio_window_create)
#define WINDOW_SHORTER _IOW(VFIO_WINDOW_TYPE, 0, struct vfio_window_revoke)
#define WINDOW_BARE    _IO(VFIO_WINDOW_TYPE, 1)
#define WINDOW_READS   _IOR(VFIO_WINDOW_TYPE, 2, struct vfio_window_info)
#define WINDOW_OTHER   _IOW(VFIO_WINDOW_TYPE + 1, 0, struct vfio_window_create)

/*
 * Requests of VFIO and vfio_window pass (and find neither behind this descriptor: ENOTTY); its owner's and everybody
 * else's do not.
 */
static int ioctls(const struct world *world)
{
	static const unsigned long passed[] = {VFIO_GROUP_GET_STATUS, VFIO_GROUP_SET_CONTAINER,
		VFIO_GROUP_UNSET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD, VFIO_SET_IOMMU, VFIO_IOMMU_GET_INFO,
		VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS,
		VFIO_DEVICE_RESET, VFIO_WINDOW_CREATE, VFIO_WINDOW_REVOKE, VFIO_WINDOW_INFO};
	static const unsigned long denied[] = {VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, VFIO_DEVICE_PCI_HOT_RESET,
		WINDOW_NEXT, WINDOW_SHORTER, WINDOW_BARE, WINDOW_READS, WINDOW_OTHER, TIOCSTI, TIOCLINUX, FIONREAD,
		FIONBIO, TCGETS};

	for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
		CHECK(syscall(SYS_ioctl, world->null, passed[i], 0) == -1 && errno == ENOTTY);
	for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++)
		CHECK(refused(syscall(SYS_ioctl, world->null, denied[i], 0)));
	/* the kernel drops the upper half; it must not hide a request, nor make one */
	CHECK(refused(syscall(SYS_ioctl, world->null, (unsigned long)TIOCSTI | 1UL << 32, 0)));
	return 0;
}

static int memory(const struct world *world)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)world;
	CHECK(page != MAP_FAILED);
	CHECK(refused(syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC)));
	CHECK(madvise(page, 4096, MADV_DONTNEED) == 0);
	CHECK(munmap(page, 4096) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
		errno == EPERM);
	page = malloc(1 << 20);
	CHECK(page);
	memset(page, 1, 1 << 20);
	free(page);
	return 0;
}

/* What a keeper does all day. */
static int needed(const struct world *world)
{
	static struct packet packet;
	struct pollfd p = {world->channel, POLLIN | POLLRDHUP, 0};
	struct timespec pause = {0, 1000};
	struct statx status;
	char byte = 0;
	int type;
	socklen_t size = sizeof type;

	packet_init(&packet);
	packet_request(&packet, COMMON_PING, 1);
	CHECK(packet_send(world->channel, MSG_DONTWAIT, &packet) == 0);
	CHECK(packet_receive(world->channel, MSG_DONTWAIT, 1, &packet) == -EAGAIN);
	CHECK(poll(&p, 1, 0) == 0);
	CHECK(pread(world->null, &byte, 1, 0) == 0);
	CHECK(pwrite(world->null, &byte, 1, 0) == 1);
	CHECK(statx(world->null, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) == 0);
	CHECK(fcntl(world->null, F_GETFL) >= 0);
	CHECK(getsockopt(world->channel, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET);
	CHECK(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, world->null, world->null) == 0);
	CHECK(refused(syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0)));
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL) == 0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &pause) == 0);
	CHECK(eventfd(0, EFD_CLOEXEC) >= 0);
	CHECK(write(STDERR_FILENO, "", 0) == 0);
	CHECK(shutdown(world->channel, SHUT_RD) == 0);
	CHECK(shutdown(world->channel, SHUT_WR) == 0);
	CHECK(foreign_fd_is_eventfd(world->event));
	CHECK(!foreign_fd_is_eventfd(world->null));
	CHECK(kept_surpass(world->null) != world->null);
	CHECK(packet_drain(world->channel) == PACKET_END);
	CHECK(shutdown(world->channel, SHUT_RDWR) == 0);
	CHECK(close(world->event) == 0);
	return 0;
}

static void test_files(void **state)
{
	(void)state;
	in_sandbox(files_refused);
}

static void test_network(void **state)
{
	(void)state;
	in_sandbox(network_refused);
}

static void test_processes(void **state)
{
	(void)state;
	in_sandbox(processes_refused);
}

static void test_kernel(void **state)
{
	(void)state;
	in_sandbox(kernel_refused);
}

static void test_ioctls(void **state)
{
	(void)state;
	in_sandbox(ioctls);
}

static void test_memory(void **state)
{
	(void)state;
	in_sandbox(memory);
}

static void test_needed(void **state)
{
	(void)state;
	in_sandbox(needed);
}

static void test_too_many_rules(void **state)
{
	struct sandbox_rule rules[SANDBOX_RULES_MAX];
	struct vfio_kernel kernel = {.rules = rules, .rule_count = SANDBOX_RULES_MAX};

	(void)state;
	assert_int_equal(sandbox_rules(&kernel, rules), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_ioctls),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_too_many_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
