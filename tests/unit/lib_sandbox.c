/* SPDX-License-Identifier: MIT */
/*
 * vbroker_sandbox_enter() and vbroker_open_inherited(), in forked children: the one is for good, the other is about
 * numbers 3 and on.
 */
#include "memfd.h"
#include "unit.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE "0000:01:00.0"

/* The exit status of RUN in a child, which the sandbox does not keep from exiting. */
static int in_child(int (*run)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* 0, or the line where something was not as it should be. */
#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__ % 250 + 1;                                                                     \
	} while (0)

static int refused(long r)
{
	return r == -1 && errno == EPERM;
}

static int what_goes(void)
{
	int event = eventfd(1, 0), pair[2], null = open("/dev/null", O_WRONLY);
	int file = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat status;
	bool writable;
	void *address;
	uint64_t size;
	char *memory, byte = 1;
	uint64_t count;

	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	EXPECT(ftruncate(file, 4096) == 0 && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	EXPECT(vbroker_sandbox_enter() == 0);
	EXPECT(send(pair[0], &byte, 1, 0) == 1 && recv(pair[1], &byte, 1, 0) == 1);
	EXPECT(read(event, &count, sizeof count) == sizeof count);
	EXPECT(write(null, &byte, 1) == 1);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(memory != MAP_FAILED);
	*memory = 1;
	EXPECT(munmap(memory, 4096) == 0);
	EXPECT(fcntl(event, F_DUPFD_CLOEXEC, 3) >= 0);
	EXPECT(syscall(SYS_fstat, event, &status) == 0);
	EXPECT(memfd_map(file, 4096, &address, &size, &writable) == 0 && size == 4096);
	EXPECT(close(event) == 0);
	/* once more changes nothing that is left to change: it is refused, and says so */
	EXPECT(vbroker_sandbox_enter() != 0 && vbroker_detail()[0] != '\0');
	return 0;
}

static int what_does_not_go(void)
{
	struct statx more;
	struct stat status;
	int pair[2];

	EXPECT(vbroker_sandbox_enter() == 0);
	EXPECT(refused(open("/dev/null", O_RDONLY)));
	/* A name beside AT_EMPTY_PATH is looked at all the same. */
	EXPECT(refused(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, 0)));
	EXPECT(refused(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, AT_EMPTY_PATH)));
	EXPECT(refused(statx(AT_FDCWD, "/etc/passwd", AT_EMPTY_PATH, STATX_BASIC_STATS, &more)));
	EXPECT(refused(socket(AF_UNIX, SOCK_STREAM, 0)));
	EXPECT(refused(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)));
	EXPECT(refused(syscall(SYS_fork)));
	EXPECT(refused(ioctl(0, 0x3b64, NULL)));
	EXPECT(refused((long)(intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	EXPECT(refused(fcntl(0, F_SETFL, 0)));
	EXPECT(refused(memfd_create("x", 0)));
	EXPECT(refused(eventfd(0, 0)));
	EXPECT(refused(syscall(SYS_execve, "/bin/true", NULL, NULL)));
	return 0;
}

static int privileges(void)
{
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 0);
	EXPECT(vbroker_sandbox_enter() == 0);
	/*
	 * nobody may look into it, and so it may not look itself: what is left shows in that a root's privilege is
	 * gone
	 */
	EXPECT(refused(syscall(SYS_setuid, 0)));
	return 0;
}

static void test_what_goes(void **state)
{
	(void)state;
	assert_int_equal(in_child(what_goes), 0);
}

static void test_what_does_not_go(void **state)
{
	(void)state;
	assert_int_equal(in_child(what_does_not_go), 0);
}

static void test_privileges(void **state)
{
	(void)state;
	assert_int_equal(in_child(privileges), 0);
}

/* ---- channels that were passed ---- */

static void no_names(const char *names)
{
	struct vbroker_device *device = NULL;

	assert_int_equal(vbroker_open_inherited(names, DEVICE, &device), -ENOENT);
	assert_null(device);
	assert_non_null(strstr(vbroker_detail(), "device-0000-01-00.0"));
}

static void test_names(void **state)
{
	(void)state;
	no_names(NULL);
	no_names("");
	no_names("domain");
	no_names("device-0000-01-00.0");
	no_names("domain:device-0000-01-00.1");
	no_names("domain:device-0000-01-00.00");
	no_names("domain:device-0000-01-00");
	no_names("domains:device-0000-01-00.0");
	no_names("broker:domain:");
}

static int wrong_descriptors(void)
{
	struct vbroker_device *device = NULL;
	int null = open("/dev/null", O_RDWR);

	/* Numbers 3 and 4 are what the names say. */
	EXPECT(dup2(null, 3) == 3 && dup2(null, 4) == 4);
	close_range(5, ~0U, 0);
	EXPECT(vbroker_open_inherited("domain:device-0000-01-00.0", DEVICE, &device) == VBROKER_NOT_A_DOMAIN);
	close(3);
	EXPECT(vbroker_open_inherited("domain:device-0000-01-00.0", DEVICE, &device) == -EBADF);
	EXPECT(strstr(vbroker_detail(), "announced") != NULL);
	/* what was tried is closed again */
	EXPECT(open("/dev/null", O_RDWR) == 3 && open("/dev/null", O_RDWR) == 5);
	return 0;
}

static void test_wrong_descriptors(void **state)
{
	(void)state;
	assert_int_equal(in_child(wrong_descriptors), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes),
		cmocka_unit_test(test_what_does_not_go),
		cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_wrong_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
