/* SPDX-License-Identifier: MIT */
#include "raw-client.h"

#include "message.h"
#include "verdict.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <vfio-broker.h>

#define FDS_MAX	    253 /* SCM_MAX_FD */
#define PAYLOAD_MAX 256

static uint64_t cookies = 1;

int raw_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = VBROKER_SOCKET};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		verdict_die("connecting to the broker");
	return fd;
}

long raw_send(int fd, uint16_t type, const void *payload, size_t size, int dear, size_t fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = {{0}};
	struct {
		struct message_header header;
		uint8_t payload[PAYLOAD_MAX];
	} request = {.header = {.type = type, .length = (uint32_t)size, .cookie = ++cookies}};
	struct iovec part = {&request, sizeof request.header + size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (size > 0)
		memcpy(request.payload, payload, size);
	if (fds > 0) {
		struct cmsghdr *c = &control.align;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		for (size_t i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof dear, &dear, sizeof dear);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

long raw_wait(int fd, int timeout_ms)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};

	return poll(&polled, 1, timeout_ms) == 1 ? 0 : -ETIMEDOUT;
}

/* Until the reply to the latest request: 0, or a negative errno. */
static long wait_for_reply(int fd, int timeout_ms)
{
	static union {
		struct message_header header;
		char bytes[MESSAGE_SIZE_MAX];
	} packet;

	for (;;) {
		ssize_t size;

		if (raw_wait(fd, timeout_ms) < 0)
			return -ETIMEDOUT;
		size = recv(fd, packet.bytes, sizeof packet.bytes, MSG_DONTWAIT);
		if (size < (ssize_t)sizeof packet.header)
			return -ECONNRESET;
		if (packet.header.flags & MESSAGE_REFUSED)
			return -ECONNREFUSED;
		if (packet.header.cookie == cookies)
			return 0;
	}
}

long raw_hello(int fd, int timeout_ms)
{
	const struct hello_request hello = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION};
	long r = raw_send(fd, COMMON_HELLO, &hello, sizeof hello, -1, 0);

	/* A refused connection has its refusal before HELLO, and may have ended. */
	return r < 0 && r != -EPIPE ? r : wait_for_reply(fd, timeout_ms);
}

static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

long raw_ping(int fd, int timeout_ms)
{
	long before = now_us(), r = raw_send(fd, COMMON_PING, NULL, 0, -1, 0);

	if (r == 0)
		r = wait_for_reply(fd, timeout_ms);
	return r < 0 ? r : now_us() - before;
}
