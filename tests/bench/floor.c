/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include "figure.h"
#include "processor.h"
#include "sandbox.h"

#include <seccomp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int channel, loop_channel;

static ssize_t receive(int fd, int flags)
{
	char bytes[64];
	struct iovec iov = {bytes, sizeof bytes};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
}

static void echo(int fd)
{
	char bytes[64];

	while (recv(fd, bytes, sizeof bytes, 0) == sizeof bytes) {
		if (send(fd, bytes, sizeof bytes, 0) != sizeof bytes)
			break;
	}
}

static void echo_in_loop(int fd)
{
	static const struct sandbox_rule rules[] = {
		{SCMP_SYS(epoll_wait), 0, 0, 0},
		{SCMP_SYS(recvmsg), 0, 0, 0},
		{SCMP_SYS(sendto), 0, 0, 0},
		{SCMP_SYS(exit_group), 0, 0, 0},
	};
	struct epoll_event event = {.events = EPOLLIN};
	char bytes[16] = {0};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ||
		sandbox_enter(rules, sizeof rules / sizeof rules[0]) < 0)
		return;
	while (epoll_wait(epoll, &event, 1, -1) == 1 && receive(fd, MSG_DONTWAIT) == sizeof bytes) {
		if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) != sizeof bytes)
			break;
	}
}

/* Returns the other end of SERVE's socket. */
static int start(void (*serve)(int fd))
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(ends[0]);
		processor_pin_server(0);
		serve(ends[1]);
		_exit(EXIT_SUCCESS);
	}
	close(ends[1]);
	return ends[0];
}

void floor_start(void)
{
	channel = start(echo);
	loop_channel = start(echo_in_loop);
}

static void ping(void *context)
{
	char bytes[64] = {0};

	(void)context;
	if (send(channel, bytes, sizeof bytes, 0) != sizeof bytes ||
		recv(channel, bytes, sizeof bytes, 0) != sizeof bytes)
		die("the floor's process has gone");
}

static void ping_loop(void *context)
{
	char bytes[16] = {0};

	(void)context;
	if (send(loop_channel, bytes, sizeof bytes, MSG_NOSIGNAL) != sizeof bytes ||
		receive(loop_channel, 0) != sizeof bytes)
		die("the process of the floor with an event loop has gone");
}

const struct runner floor_runner = {ping, NULL, NULL};
const struct runner floor_loop_runner = {ping_loop, NULL, NULL};
