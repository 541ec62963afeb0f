/* SPDX-License-Identifier: MIT */
/*
 * breakout DEVICE [started | started-bare]: a driver that tries to get out of its sandbox, and to do what it was never
 * given: after vbroker_sandbox_enter(), or as it was started, without entering, on a kernel with or without Landlock.
 * Started by "vfio-brokerctl drive". Prints a verdict for each attempt.
 *
 * breakout --bare PROGRAM [ARGUMENT]...: executes the program as on a kernel without Landlock.
 */
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
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
#include <unistd.h>
#include <vfio-broker.h>

static enum { ENTERED, STARTED, STARTED_BARE } place;
static const char *const places[] = {"", ", not entered", ", not entered, without Landlock"};

static void refused_with(const char *what, long r, int expected)
{
	int error = errno;

	if (!verdict(r == -1 && error == expected, "refused%s: %s", places[place], what))
		printf("# %ld, %s\n", r, strerror(error));
}

/* R is -1 with EPERM, which is the filter's answer and hardly anybody else's. */
static void refused(const char *what, long r)
{
	refused_with(what, r, EPERM);
}

/* A file to be read: EACCES is the answer of Landlock. */
static void unreadable(const char *what, long r)
{
	if (place != STARTED_BARE)
		refused_with(what, r, place == ENTERED ? EPERM : EACCES);
}

/* What a driver may do until the driver enters the sandbox. */
static void refused_inside(const char *what, long r)
{
	if (place == ENTERED)
		refused(what, r);
}

static void try_files_and_sockets(void)
{
	struct statx more;
	struct stat status;
	int pair[2];

	unreadable("open", open("/etc/passwd", O_RDONLY));
	unreadable("open of a folder", open("/", O_RDONLY | O_DIRECTORY));
	refused("openat2", syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0));
	refused("creat", open("/tmp/breakout", O_WRONLY | O_CREAT, 0600));
	refused("mkdir", mkdir("/tmp/breakout", 0700));
	refused("open of the domain", open("/dev/vfio/vfio", O_RDWR));
	refused("open to write", open("/dev/null", O_WRONLY));
	refused("unlink", unlink("/tmp/breakout"));
	refused("truncate", truncate("/tmp/breakout", 0));
	refused("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	refused("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	refused("fcntl F_SETOWN", fcntl(0, F_SETOWN, getppid()));
	refused("typing into the terminal", ioctl(0, TIOCSTI, "x"));
	refused("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
	refused("chdir", chdir("/"));
	refused_inside("stat", syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, 0));
	refused_inside("stat, AT_EMPTY_PATH and a name",
		syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, AT_EMPTY_PATH));
	refused_inside("statx", statx(AT_FDCWD, "/etc/passwd", AT_EMPTY_PATH, STATX_BASIC_STATS, &more));
	refused_inside("memfd_create", memfd_create("x", 0));
	refused_inside("dup2", syscall(SYS_dup2, 0, 100));
	refused_inside("fcntl F_SETFL", fcntl(0, F_SETFL, 0));
	refused_inside("pipe", pipe(pair));
}

static void try_processes(void)
{
	struct iovec local = {&(int){0}, sizeof(int)}, remote = local;
	char program[] = "/bin/true", *const arguments[] = {program, NULL};

	refused("fork", syscall(SYS_fork));
	refused("clone", syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
	refused_with("clone3", syscall(SYS_clone3, NULL, 0), place == ENTERED ? EPERM : ENOSYS);
	refused_with("exec", execv("/bin/true", arguments), place == ENTERED ? EPERM : ENOSYS);
	refused("execveat", syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, NULL, 0));
	refused("ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
	refused("process_vm_writev", process_vm_writev(1, &local, 1, &remote, 1, 0));
	refused("kill", kill(1, 0));
	refused("pidfd_open", syscall(SYS_pidfd_open, 1, 0));
	refused("unshare", unshare(CLONE_NEWUSER));
	refused("setuid", syscall(SYS_setuid, 0));
	refused("bpf", syscall(SYS_bpf, 0, NULL, 0));
	refused("userfaultfd", syscall(SYS_userfaultfd, 0));
	refused_inside("prctl", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	refused_inside("seccomp", syscall(SYS_seccomp, 0, 0, NULL));
}

/* The owner maps memory for the device: who writes its memory has all that the owner has. */
static void try_owner(void)
{
	siginfo_t info = {.si_signo = SIGCONT, .si_code = SI_QUEUE};
	pid_t owner = getppid();
	struct rlimit limit = {0};
	char path[64];
	cpu_set_t set;

	snprintf(path, sizeof path, "/proc/%d/mem", owner);
	refused("opening the owner's memory", open(path, O_RDWR));
	unreadable("reading the owner's memory", open(path, O_RDONLY));
	/* The owner is not dumpable, which holds without Landlock, too. */
	if (place == STARTED_BARE)
		refused_with("reading the owner's memory", open(path, O_RDONLY), EACCES);
	snprintf(path, sizeof path, "/proc/%d/status", owner);
	unreadable("reading the owner's /proc", open(path, O_RDONLY));
	refused("a signal to the owner", kill(owner, SIGCONT));
	refused("a signal to its group", kill(0, SIGCONT));
	refused("tgkill of the owner", syscall(SYS_tgkill, owner, owner, SIGCONT));
	refused("rt_sigqueueinfo of the owner", syscall(SYS_rt_sigqueueinfo, owner, SIGCONT, &info));
	refused("the owner's limits, read", prlimit(owner, RLIMIT_MEMLOCK, NULL, &limit));
	refused("the owner's limits, set", prlimit(owner, RLIMIT_MEMLOCK, &limit, NULL));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	refused("the owner's processors", sched_setaffinity(owner, sizeof set, &set));
	refused("the owner's priority", setpriority(PRIO_PROCESS, (id_t)owner, 19));
	refused("outliving the owner", prctl(PR_SET_PDEATHSIG, 0));
}

static void try_code(const struct vbroker_memory *memory)
{
	size_t length = (size_t)vbroker_memory_length(memory);

	refused_inside("mmap of executable memory",
		(long)(intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	refused_inside("mmap of shared memory as code",
		(long)(intptr_t)mmap(NULL, length, PROT_READ | PROT_EXEC, MAP_SHARED, vbroker_memory_fd(memory), 0));
	refused_inside(
		"mprotect to executable", mprotect(vbroker_memory_address(memory), length, PROT_READ | PROT_EXEC));
	refused("ftruncate of shared memory", ftruncate(vbroker_memory_fd(memory), 0));
}

/* The numbers of VFIO and iommufd, on every descriptor that there is. */
static void try_ioctls(void)
{
	bool all = true;

	for (int fd = 0; fd < 16; fd++) {
		for (unsigned int number = 0; number < 128; number++)
			all = all && ioctl(fd, _IO(VFIO_TYPE, number), NULL) == -1 && errno == EPERM;
	}
	verdict(all, "refused%s: ioctl with VFIO's and iommufd's numbers", places[place]);
}

/* The answer of a kernel without Landlock, to this process and its program. */
static int bare(char **program)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		seccomp_rule_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(landlock_create_ruleset), 0) < 0 ||
		seccomp_load(filter) < 0)
		verdict_die("the filter");
	seccomp_release(filter);
	execvp(program[0], program);
	verdict_die(program[0]);
}

int main(int argc, char **argv)
{
	struct vbroker_device *device;
	struct vbroker_memory *memory, *more;
	uint64_t value;
	char text[256];
	int r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && strcmp(argv[1], "--bare") == 0)
		return bare(argv + 2);
	if (argc < 2)
		return 2;
	place = argc == 2 ? ENTERED : strcmp(argv[2], "started") == 0 ? STARTED : STARTED_BARE;
	r = vbroker_open_inherited(getenv("LISTEN_FDNAMES"), argv[1], &device);
	if (r == 0)
		r = vbroker_memory_alloc(vbroker_device_domain(device), 4096, VBROKER_DEVICE_READS, 0, &memory);
	if (r == 0 && place == ENTERED)
		r = vbroker_sandbox_enter();
	if (r != 0) {
		verdict(false, "the sandbox: %s", vbroker_describe_result(r, text, sizeof text));
		return 1;
	}
	try_files_and_sockets();
	try_processes();
	try_owner();
	try_code(memory);
	try_ioctls();
	verdict(vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value) == 0, "registers still answer%s",
		places[place]);
	verdict(vbroker_memory_alloc(vbroker_device_domain(device), 8192, VBROKER_DEVICE_READS, 0, &more) == 0,
		"memory can still be had%s", places[place]);
	vbroker_device_close(device);
	return verdict_failures > 0;
}
