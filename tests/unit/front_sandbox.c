/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "packet.h"
#include "sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/*
 * The front's filter, entered for good by a child process, which then tries things with bare system calls and
 * reports by its exit code: 0, or the number of the line that went wrong modulo 255, plus 1.
 */

/* The child's ends of what it will need; made before the filter is there. */
struct world {
	int channel;
	int event;
	int null;
	int epoll;
};

typedef int (*attempt_fn)(const struct world *world);

static int refused(long result)
{
	return result == -1 && errno == EPERM;
}

/* Not the exit() of cmocka's process: nothing of the parent may run here. */
static _Noreturn void child(attempt_fn attempt, const struct world *world)
{
	if (sandbox_enter(sandbox_rules, sandbox_rules_count) < 0)
		_exit(254);
	_exit(attempt(world));
}

static void in_sandbox(attempt_fn attempt)
{
	int pair[2], status;
	struct world world;
	pid_t pid;

	unit_pair(pair);
	world = (struct world){
		pair[0], eventfd(0, EFD_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC), epoll_create1(EPOLL_CLOEXEC)};
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(attempt, &world);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("line %d (modulo 255) of front_sandbox.c", WEXITSTATUS(status) - 1);
	close(world.event);
	close(world.null);
	close(world.epoll);
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
	CHECK(refused(syscall(SYS_creat, "/tmp/vfio-front-test", 0600)));
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
	CHECK(refused(syscall(SYS_epoll_create1, 0)));
	CHECK(refused(syscall(SYS_eventfd2, 0, 0)));
	CHECK(refused(syscall(SYS_dup3, world->event, 100, 0)));
	CHECK(refused(syscall(SYS_fcntl, world->event, F_DUPFD, 0)));
	CHECK(refused(syscall(SYS_unlinkat, AT_FDCWD, "/tmp/vfio-front-test", 0)));
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
	CHECK(refused(syscall(SYS_setsockopt, world->channel, SOL_SOCKET, SO_PEEK_OFF, NULL, 0)));
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
	CHECK(refused(syscall(SYS_ioctl, 0, 0, 0)));
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

/* What a front does all day. */
static int needed(const struct world *world)
{
	static struct packet packet;
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd p = {world->channel, POLLIN | POLLRDHUP, 0};
	struct timespec now;
	socklen_t size;
	int type;

	packet_init(&packet);
	packet_request(&packet, COMMON_PING, 1);
	CHECK(packet_send(world->channel, MSG_DONTWAIT, &packet) == 0);
	CHECK(packet_receive(world->channel, MSG_DONTWAIT, 1, &packet) == -EAGAIN);
	CHECK(packet_receive_keeping(world->channel, MSG_DONTWAIT, &packet) == -EAGAIN);
	CHECK(poll(&p, 1, 0) == 0);
	CHECK(epoll_ctl(world->epoll, EPOLL_CTL_ADD, world->channel, &event) == 0);
	CHECK(epoll_ctl(world->epoll, EPOLL_CTL_MOD, world->channel, &event) == 0);
	CHECK(epoll_wait(world->epoll, &event, 1, 0) == 0);
	CHECK(epoll_ctl(world->epoll, EPOLL_CTL_DEL, world->channel, &event) == 0);
	size = sizeof type;
	CHECK(getsockopt(world->channel, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET);
	CHECK(refused(getsockopt(world->channel, SOL_SOCKET, SO_PEERCRED, &type, &size)));
	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	CHECK(getpid() > 0 && getuid() != (uid_t)-1);
	CHECK(write(STDERR_FILENO, "", 0) == 0);
	CHECK(refused(shutdown(world->channel, SHUT_RD)));
	CHECK(refused(shutdown(world->channel, SHUT_WR)));
	CHECK(shutdown(world->channel, SHUT_RDWR) == 0);
	CHECK(packet_drain(world->channel) == PACKET_END);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
