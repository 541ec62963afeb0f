/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include "figure.h"
#include "processor.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int channel, relayed;

/* Inherited by the relay: to the server behind the relay. */
static int behind;

static void echo(int fd)
{
	char bytes[64];

	while (recv(fd, bytes, sizeof bytes, 0) == sizeof bytes) {
		if (send(fd, bytes, sizeof bytes, 0) != sizeof bytes)
			break;
	}
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* Between FD and OTHER (or FD itself), as a server with many clients does it: a packet at each turn. */
static void pass(int fd, int other)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	char bytes[64];

	watch(epoll, fd);
	if (other != fd)
		watch(epoll, other);
	while (epoll_wait(epoll, &event, 1, -1) > 0) {
		if (recv(event.data.fd, bytes, sizeof bytes, MSG_DONTWAIT) != sizeof bytes)
			break;
		if (send(event.data.fd == fd ? other : fd, bytes, sizeof bytes, MSG_DONTWAIT) != sizeof bytes)
			break;
	}
}

static void echo_by_epoll(int fd)
{
	pass(fd, fd);
}

static void relay(int fd)
{
	pass(fd, behind);
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
	behind = start(echo_by_epoll);
	relayed = start(relay);
}

static void ping(void *context)
{
	int fd = *(const int *)context;
	char bytes[64] = {0};

	if (send(fd, bytes, sizeof bytes, 0) != sizeof bytes || recv(fd, bytes, sizeof bytes, 0) != sizeof bytes)
		die("the floor's process has gone");
}

const struct runner floor_runner = {ping, NULL, &channel};
const struct runner relay_runner = {ping, NULL, &relayed};
