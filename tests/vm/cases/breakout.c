/* SPDX-License-Identifier: MIT */
/*
 * breakout DEVICE: a driver that tries to get out of its sandbox, after vbroker_sandbox_enter(), and to do what it was
 * never given. Started by "vfio-brokerctl drive". Prints a verdict for each attempt.
 */
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vfio-broker.h>

/* R is -1 with EPERM, which is the filter's answer and hardly anybody else's. */
static void refused(const char *what, long r)
{
	int error = errno;

	if (!verdict(r == -1 && error == EPERM, "refused: %s", what))
		printf("# %ld, %s\n", r, strerror(error));
}

static void try_files_and_sockets(void)
{
	int pair[2];

	refused("open", open("/etc/passwd", O_RDONLY));
	refused("openat2", syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0));
	refused("creat", open("/tmp/breakout", O_WRONLY | O_CREAT, 0600));
	refused("open of the domain", open("/dev/vfio/vfio", O_RDWR));
	refused("unlink", unlink("/tmp/breakout"));
	refused("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	refused("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	refused("memfd_create", memfd_create("x", 0));
	refused("dup2", syscall(SYS_dup2, 0, 100));
	refused("fcntl F_SETFL", fcntl(0, F_SETFL, 0));
	refused("pipe", pipe(pair));
	refused("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
	refused("chdir", chdir("/"));
}

static void try_processes(void)
{
	struct iovec local = {&(int){0}, sizeof(int)}, remote = local;
	char program[] = "/bin/true", *const arguments[] = {program, NULL};

	refused("fork", syscall(SYS_fork));
	refused("clone", syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
	refused("clone3", syscall(SYS_clone3, NULL, 0));
	refused("exec", execv("/bin/true", arguments));
	refused("ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
	refused("process_vm_writev", process_vm_writev(1, &local, 1, &remote, 1, 0));
	refused("kill", kill(1, 0));
	refused("pidfd_open", syscall(SYS_pidfd_open, 1, 0));
	refused("prctl", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	refused("unshare", unshare(CLONE_NEWUSER));
	refused("setuid", syscall(SYS_setuid, 0));
	refused("seccomp", syscall(SYS_seccomp, 0, 0, NULL));
	refused("bpf", syscall(SYS_bpf, 0, NULL, 0));
	refused("userfaultfd", syscall(SYS_userfaultfd, 0));
}

static void try_code(const struct vbroker_memory *memory)
{
	size_t length = (size_t)vbroker_memory_length(memory);

	refused("mmap of executable memory",
		(long)(intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	refused("mmap of shared memory as code",
		(long)(intptr_t)mmap(NULL, length, PROT_READ | PROT_EXEC, MAP_SHARED, vbroker_memory_fd(memory), 0));
	refused("mprotect to executable", mprotect(vbroker_memory_address(memory), length, PROT_READ | PROT_EXEC));
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
	verdict(all, "refused: ioctl with VFIO's and iommufd's numbers");
}

int main(int argc, char **argv)
{
	struct vbroker_device *device;
	struct vbroker_memory *memory, *more;
	uint64_t value;
	char text[256];
	int r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2)
		return 2;
	r = vbroker_open_inherited(getenv("LISTEN_FDNAMES"), argv[1], &device);
	if (r == 0)
		r = vbroker_memory_alloc(vbroker_device_domain(device), 4096, VBROKER_DEVICE_READS, 0, &memory);
	if (r == 0)
		r = vbroker_sandbox_enter();
	if (r != 0) {
		verdict(false, "the sandbox: %s", vbroker_describe_result(r, text, sizeof text));
		return 1;
	}
	try_files_and_sockets();
	try_processes();
	try_code(memory);
	try_ioctls();
	verdict(vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value) == 0, "registers still answer");
	verdict(vbroker_memory_alloc(vbroker_device_domain(device), 8192, VBROKER_DEVICE_READS, 0, &more) == 0,
		"memory can still be had");
	vbroker_device_close(device);
	return verdict_failures > 0;
}
