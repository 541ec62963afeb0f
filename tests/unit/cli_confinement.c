/* SPDX-License-Identifier: MIT */
/*
 * What a driver is held from, from its exec() on. The driver is this program, executed with the word "driver"; it tries
 * things, and its exit status is 0, or the line where something was not as it should be, modulo 250, plus 1.
 */
#include "confinement.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__ % 250 + 1;                                                                     \
	} while (0)

static bool fails(long r, int error)
{
	return r == -1 && errno == error;
}

static bool refused(long r)
{
	return fails(r, EPERM);
}

/* ---- the driver ---- */

static int reads_nothing(void)
{
	char path[64];

	EXPECT(fails(open("/etc/passwd", O_RDONLY), EACCES));
	EXPECT(fails(open("/", O_RDONLY | O_DIRECTORY), EACCES));
	EXPECT(fails(open("/proc/self/status", O_RDONLY), EACCES));
	snprintf(path, sizeof path, "/proc/%d/status", getppid());
	EXPECT(fails(open(path, O_RDONLY), EACCES));
	snprintf(path, sizeof path, "/proc/%d/mem", getppid());
	EXPECT(fails(open(path, O_RDONLY), EACCES));
	return 0;
}

static int writes_nothing(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/mem", getppid());
	EXPECT(refused(open(path, O_RDWR)));
	EXPECT(refused(open("/dev/null", O_WRONLY)));
	EXPECT(refused(open("/tmp", O_RDWR | O_TMPFILE, 0600)));
	EXPECT(refused(open("/tmp/confined", O_RDONLY | O_CREAT, 0600)));
	EXPECT(refused(syscall(SYS_open, "/dev/null", O_RDONLY | O_TRUNC)));
	EXPECT(refused(syscall(SYS_creat, "/tmp/confined", 0600)));
	EXPECT(refused(syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0)));
	EXPECT(refused(mkdir("/tmp/confined", 0700)));
	EXPECT(refused(mknod("/tmp/confined", S_IFIFO | 0600, 0)));
	EXPECT(refused(symlink("a", "/tmp/confined")));
	EXPECT(refused(link("/etc/passwd", "/tmp/confined")));
	EXPECT(refused(rename("/tmp/confined", "/tmp/confined-2")));
	EXPECT(refused(unlink("/tmp/confined")));
	EXPECT(refused(truncate("/tmp/confined", 0)));
	EXPECT(refused(chmod("/tmp", 0700)));
	return 0;
}

static int signals_nobody(void)
{
	siginfo_t info = {.si_signo = SIGCONT, .si_code = SI_QUEUE};
	pid_t owner = getppid();

	EXPECT(refused(kill(owner, 0)) && refused(kill(0, 0)) && refused(kill(-1, 0)) && refused(kill(-getpid(), 0)));
	EXPECT(refused(syscall(SYS_tkill, owner, 0)) && refused(syscall(SYS_tgkill, owner, owner, 0)));
	EXPECT(refused(syscall(SYS_rt_sigqueueinfo, owner, SIGCONT, &info)));
	EXPECT(refused(syscall(SYS_rt_tgsigqueueinfo, owner, owner, SIGCONT, &info)));
	EXPECT(refused(syscall(SYS_pidfd_open, owner, 0)) && refused(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0)));
	/* by way of a descriptor, and of the terminal */
	EXPECT(refused(fcntl(0, F_SETOWN, owner)) && refused(fcntl(0, F_SETSIG, SIGTERM)));
	EXPECT(refused(ioctl(0, FIOSETOWN, &owner)) && refused(ioctl(0, TIOCSTI, "x")));
	EXPECT(refused(fcntl(0, F_SETFL, O_ASYNC)) && fcntl(0, F_SETFL, fcntl(0, F_GETFL)) == 0);
	/* by a listener of its own, which would let a second program be executed */
	EXPECT(refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, NULL)));
	EXPECT(refused(prctl(PR_SET_PDEATHSIG, 0)));
	return 0;
}

static int changes_nobody(void)
{
	struct iovec vector = {&(int){0}, sizeof(int)};
	struct sched_param priority = {0};
	pid_t owner = getppid();
	struct rlimit limit;
	cpu_set_t set;

	EXPECT(sched_getaffinity(0, sizeof set, &set) == 0 && refused(sched_setaffinity(owner, sizeof set, &set)));
	EXPECT(refused(sched_setscheduler(owner, SCHED_IDLE, &priority)) && refused(sched_setparam(owner, &priority)));
	EXPECT(refused(setpriority(PRIO_PROCESS, (id_t)owner, 19)) && refused(syscall(SYS_ioprio_set, 1, owner, 0)));
	EXPECT(refused(prlimit(owner, RLIMIT_CORE, NULL, &limit)) &&
		refused(prlimit(owner, RLIMIT_CORE, &limit, NULL)));
	EXPECT(refused(ptrace(PTRACE_ATTACH, owner, NULL, NULL)));
	EXPECT(refused(process_vm_readv(owner, &vector, 1, &vector, 1, 0)));
	EXPECT(refused(process_vm_writev(owner, &vector, 1, &vector, 1, 0)));
	EXPECT(refused(syscall(SYS_kcmp, owner, owner, 0, 0, 0)) && refused(syscall(SYS_pidfd_getfd, 0, 0, 0)));
	EXPECT(refused(syscall(SYS_migrate_pages, owner, 0, NULL, NULL)));
	return 0;
}

static int starts_nothing(void)
{
	char program[] = "/bin/true", *const arguments[] = {program, NULL};

	EXPECT(refused(syscall(SYS_fork)) && refused(syscall(SYS_vfork)));
	EXPECT(refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)));
	EXPECT(fails(syscall(SYS_clone3, NULL, 0), ENOSYS));
	/* nobody consents to a second program */
	EXPECT(fails(execv(program, arguments), ENOSYS));
	EXPECT(fails(execv("/proc/self/exe", arguments), ENOSYS));
	EXPECT(refused(syscall(SYS_execveat, AT_FDCWD, program, arguments, NULL, 0)));
	EXPECT(refused(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0)));
	EXPECT(refused(syscall(SYS_unshare, CLONE_NEWUSER)) && refused(syscall(SYS_setns, 0, 0)));
	EXPECT(refused(syscall(SYS_io_uring_setup, 1, NULL)) && refused(syscall(SYS_shmget, 0, 1, 0)));
	/* what no list can know about: the kernel's future */
	EXPECT(refused(syscall(4000)));
	return 0;
}

static volatile sig_atomic_t told;

static void tell(int number)
{
	told = number;
}

static void *thread_run(void *argument)
{
	return argument;
}

static int goes_on(void)
{
	cpu_set_t set;
	struct rlimit limit;
	pthread_t thread;
	void *result;

	EXPECT(open("/usr/lib", O_RDONLY | O_DIRECTORY) >= 0);
	EXPECT(pthread_create(&thread, NULL, thread_run, &set) == 0 && pthread_join(thread, &result) == 0);
	EXPECT(result == &set);
	EXPECT(signal(SIGUSR1, tell) != SIG_ERR && raise(SIGUSR1) == 0 && told == SIGUSR1);
	EXPECT(kill(getpid(), SIGUSR1) == 0);
	EXPECT(sched_getaffinity(0, sizeof set, &set) == 0 && sched_setaffinity(0, sizeof set, &set) == 0);
	EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
	EXPECT(memfd_create("x", MFD_CLOEXEC) >= 0);
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1);
	return 0;
}

static int driver(const char *how, const char *readable)
{
	static int (*const parts[])(void) = {writes_nothing, signals_nobody, changes_nobody, starts_nothing, goes_on};
	int r = 0;

	if (strcmp(how, "held") == 0)
		r = reads_nothing();
	if (r == 0 && readable && open(readable, O_RDONLY) < 0)
		r = __LINE__ % 250 + 1;
	for (size_t i = 0; r == 0 && i < sizeof parts / sizeof parts[0]; i++)
		r = parts[i]();
	return r;
}

/* ---- its owner ---- */

static char self[PATH_MAX];

/* The exit status of PROGRAM as a driver. */
static int status_of(const char *program, const char *how, const char *readable)
{
	char *const arguments[] = {self, (char *)"driver", (char *)how, (char *)readable, NULL};
	struct confinement confinement;
	const char *about;
	int status;
	pid_t pid;

	assert_int_equal(confinement_open(&confinement, program, &readable, readable ? 1 : 0, &about), 0);
	assert_int_equal(confinement_has_files(&confinement), strcmp(how, "free") != 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 || confinement_enter(&confinement) < 0)
			_exit(254);
		execve(confinement.program, arguments, environ);
		_exit(253);
	}
	assert_int_equal(confinement_consent(&confinement), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	confinement_close(&confinement);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool kernel_has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */) > 0;
}

static void holds_any_driver(void **state)
{
	(void)state;
	if (!kernel_has_landlock()) {
		print_message("needs a kernel with Landlock\n");
		skip();
	}
	assert_int_equal(status_of(self, "held", NULL), 0);
	assert_int_equal(status_of(self, "held", "/etc/hostname"), 0);
}

/* As the kernel without Landlock answers. */
static void hide_landlock(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(landlock_create_ruleset), 0) < 0 ||
		seccomp_load(filter) < 0)
		_exit(252);
	seccomp_release(filter);
}

/* Without Landlock files can be read; everything else is as always. */
static void holds_without_landlock(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		hide_landlock();
		_exit(status_of(self, "free", "/etc/passwd"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The kernel opens a script's interpreter, which lies anywhere. */
static void runs_a_script(void **state)
{
	char script[] = "/tmp/cli_confinement.XXXXXX";
	int fd = mkstemp(script);

	(void)state;
	assert_true(fd >= 0 && fchmod(fd, 0700) == 0);
	assert_true(dprintf(fd, "#! %s driver\n", self) > 0);
	close(fd);
	/* the arguments: driver, the script's name as the word "free", "driver" and so on */
	assert_int_equal(status_of(script, kernel_has_landlock() ? "held" : "free", NULL), 0);
	unlink(script);
}

static void finds_programs(void **state)
{
	struct confinement confinement;
	const char *about;

	(void)state;
	setenv("PATH", "/nonexistent::/usr/bin", 1);
	assert_int_equal(confinement_open(&confinement, "true", NULL, 0, &about), 0);
	assert_string_equal(confinement.program, "/usr/bin/true");
	confinement_close(&confinement);
	assert_int_equal(confinement_open(&confinement, "no-such-driver", NULL, 0, &about), -ENOENT);
	assert_string_equal(about, "no-such-driver");
	confinement_close(&confinement);
	assert_int_equal(confinement_open(&confinement, "/etc/passwd", NULL, 0, &about), -EACCES);
	confinement_close(&confinement);
	assert_int_equal(confinement_open(&confinement, "", NULL, 0, &about), -ENOENT);
	confinement_close(&confinement);
}

static void names_what_cannot_be_read(void **state)
{
	static const char *const readable[] = {"/etc", "/nonexistent"};
	struct confinement confinement;
	const char *about;

	(void)state;
	if (!kernel_has_landlock())
		skip();
	assert_int_equal(confinement_open(&confinement, "/bin/true", readable, 2, &about), -ENOENT);
	assert_string_equal(about, "/nonexistent");
	confinement_close(&confinement);
}

/* The driver's process ends at a step of its way to exec(): the owner does not wait. */
static void survives_a_driver_that_never_was(void **state)
{
	(void)state;
	for (int step = 0; step < 2; step++) {
		struct confinement confinement;
		const char *about;
		pid_t pid;

		assert_int_equal(confinement_open(&confinement, "/bin/true", NULL, 0, &about), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			if (step == 1 &&
				(prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 || confinement_enter(&confinement) < 0))
				_exit(1);
			_exit(0);
		}
		assert_int_equal(confinement_consent(&confinement), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		confinement_close(&confinement);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_any_driver),
		cmocka_unit_test(holds_without_landlock),
		cmocka_unit_test(runs_a_script),
		cmocka_unit_test(finds_programs),
		cmocka_unit_test(names_what_cannot_be_read),
		cmocka_unit_test(survives_a_driver_that_never_was),
	};
	ssize_t length;

	if (argc > 2 && strcmp(argv[1], "driver") == 0)
		return driver(argv[argc > 4 ? 4 : 2], argc == 4 ? argv[3] : NULL);
	length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
