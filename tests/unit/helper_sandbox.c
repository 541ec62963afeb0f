/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "packet.h"
#include "sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * The filter of a helper on Linux, entered for good by a child process, which then tries things with bare system calls
 * and reports by its exit code: 0, or the number of the line that went wrong modulo 255, plus 1.
 */

/* Made before the filter is there. */
struct world {
	int channel;
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
	int count = sandbox_rules(helper_hardware(), rules);

	if (count < 0 || sandbox_enter(rules, (size_t)count) < 0)
		_exit(254);
	_exit(attempt(world));
}

static void in_sandbox(attempt_fn attempt)
{
	int pair[2], status;
	struct world world;
	pid_t pid;

	unit_pair(pair);
	world = (struct world){pair[0], open("/dev/null", O_RDWR | O_CLOEXEC)};
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(attempt, &world);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("line %d (modulo 255) of helper_sandbox.c", WEXITSTATUS(status) - 1);
	close(world.null);
	close(pair[0]);
	close(pair[1]);
}

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__ % 255 + 1;                                                                     \
	} while (0)

static int files(const struct world *world)
{
	static const int made[] = {O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE, O_CREAT | O_EXCL};
	char byte[] = "/tmp/vfio-helper-test";

	/* What there is may be opened: the unit decides which files there are. */
	CHECK(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY) >= 0);
	for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
		CHECK(refused(syscall(SYS_openat, AT_FDCWD, byte, O_RDWR | made[i], 0600)));
	CHECK(refused(syscall(SYS_openat2, AT_FDCWD, byte, NULL, 0)));
#ifdef SYS_open
	CHECK(refused(syscall(SYS_open, "/dev/null", O_RDONLY)));
	CHECK(refused(syscall(SYS_creat, byte, 0600)));
#endif
	CHECK(refused(syscall(SYS_unlinkat, AT_FDCWD, byte, 0)));
	CHECK(refused(syscall(SYS_mkdirat, AT_FDCWD, byte, 0700)));
	CHECK(refused(syscall(SYS_symlinkat, byte, AT_FDCWD, byte)));
	CHECK(refused(syscall(SYS_mknodat, AT_FDCWD, byte, 0600, 0)));
	CHECK(refused(syscall(SYS_fchmodat, AT_FDCWD, byte, 0777)));
	CHECK(refused(syscall(SYS_mount, "", "/", "", 0, "")));
	CHECK(refused(syscall(SYS_dup, world->null)));
	CHECK(refused(syscall(SYS_fcntl, world->null, F_DUPFD, 0)));
	CHECK(refused(syscall(SYS_memfd_create, "x", 0)));
	CHECK(refused(syscall(SYS_ioctl, world->null, FIONREAD, 0)));
	return 0;
}

static int network_refused(const struct world *world)
{
	CHECK(refused(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0)));
	CHECK(refused(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL)));
	CHECK(refused(syscall(SYS_connect, world->channel, NULL, 0)));
	CHECK(refused(syscall(SYS_bind, world->channel, NULL, 0)));
	CHECK(refused(syscall(SYS_listen, world->channel, 1)));
	CHECK(refused(syscall(SYS_accept4, world->channel, NULL, NULL, 0)));
	CHECK(refused(syscall(SYS_setsockopt, world->channel, SOL_SOCKET, SO_PASSCRED, NULL, 0)));
	return 0;
}

static int processes_refused(const struct world *world)
{
	char *const no_arguments[] = {NULL};

	(void)world;
	CHECK(refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)));
	CHECK(refused(syscall(SYS_clone3, NULL, 0)));
	CHECK(refused(syscall(SYS_execve, "/bin/true", no_arguments, no_arguments)));
	CHECK(refused(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)));
	CHECK(refused(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0)));
	CHECK(refused(syscall(SYS_kill, getppid(), 0)));
	CHECK(refused(syscall(SYS_pidfd_open, 1, 0)));
	CHECK(refused(syscall(SYS_setuid, 0)));
	CHECK(refused(syscall(SYS_unshare, CLONE_NEWUSER)));
	CHECK(refused(syscall(SYS_init_module, NULL, 0, "")));
	CHECK(refused(syscall(SYS_bpf, 0, NULL, 0)));
	CHECK(refused(syscall(SYS_io_uring_setup, 1, NULL)));
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
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, world->null, 0) == MAP_FAILED && errno == EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
		errno == EPERM);
	page = malloc(1 << 20);
	CHECK(page);
	free(page);
	return 0;
}

/* What a helper does all day. */
static int needed(const struct world *world)
{
	static struct packet packet;
	struct pollfd p = {world->channel, POLLIN | POLLRDHUP, 0};
	char byte = 0;

	packet_init(&packet);
	packet_request(&packet, COMMON_PING, 1);
	CHECK(packet_send(world->channel, MSG_DONTWAIT, &packet) == 0);
	CHECK(packet_receive(world->channel, MSG_DONTWAIT, 1, &packet) == -EAGAIN);
	CHECK(packet_receive(world->channel, MSG_DONTWAIT, 0, &packet) == -EAGAIN);
	CHECK(poll(&p, 1, 0) == 0);
	CHECK(read(world->null, &byte, 1) == 0);
	CHECK(write(world->null, &byte, 1) == 1);
	CHECK(write(STDERR_FILENO, "", 0) == 0);
	CHECK(getuid() == getuid());
	CHECK(shutdown(world->channel, SHUT_RD) == 0);
	CHECK(shutdown(world->channel, SHUT_WR) == 0);
	CHECK(close(world->null) == 0);
	return 0;
}

static void test_files(void **state)
{
	(void)state;
	in_sandbox(files);
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
	struct hardware hardware = {.rules = rules, .rule_count = SANDBOX_RULES_MAX};

	(void)state;
	assert_int_equal(sandbox_rules(&hardware, rules), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_too_many_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
