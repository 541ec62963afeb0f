/* SPDX-License-Identifier: MIT */
#include "trap-descriptor.h"

#include "raw-client.h"
#include "trap-file.h"
#include "verdict.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINGER_S 60

int trap_descriptor_lingering(void)
{
	static const char junk[1 << 16];
	const struct linger linger = {1, LINGER_S};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, small = 4096;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	/* The accepted end stays open, and nobody reads there. */
	if (bind(listener, (void *)&address, size) < 0 || listen(listener, 1) < 0 ||
		getsockname(listener, (void *)&address, &size) < 0 || connect(fd, (void *)&address, size) < 0 ||
		accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		verdict_die("a TCP connection");
	close(listener);
	/* The peer takes more and more, for a while. */
	for (int i = 0; i < 10; i++) {
		while (write(fd, junk, sizeof junk) > 0)
			;
		usleep(2000);
	}
	return fd;
}

/* A process that makes COUNT descriptors, sends them to SOCKET, and keeps the lock of its address space. */
static void make_userfaultfds(int socket, size_t count)
{
	volatile char *page;
	char byte;
	int memory;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, trap_file_open(0), 0);
	memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (page == MAP_FAILED || memory < 0)
		verdict_die("/proc/self/mem");
	for (size_t i = 0; i < count; i++) {
		int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

		if (fd < 0 || raw_send(socket, 1, NULL, 0, fd, 1) < 0)
			verdict_die("userfaultfd");
		close(fd);
	}
	/* The page does not come: this waits with the lock. */
	(void)!pread(memory, &byte, 1, (off_t)(uintptr_t)page);
	_exit(1);
}

static int take_over(int socket)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	char bytes[64];
	struct iovec part = {bytes, sizeof bytes};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0 || message.msg_controllen == 0)
		verdict_die("the other process has ended early");
	memcpy(&fd, CMSG_DATA(&control.align), sizeof fd);
	return fd;
}

void trap_descriptor_userfaultfds(int *ret_fds, size_t count)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		verdict_die("socketpair");
	fflush(stdout);
	if (fork() == 0) {
		close(ends[0]);
		make_userfaultfds(ends[1], count);
	}
	close(ends[1]);
	for (size_t i = 0; i < count; i++)
		ret_fds[i] = take_over(ends[0]);
	close(ends[0]);
	trap_file_await_read();
}
