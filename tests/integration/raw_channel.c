/* SPDX-License-Identifier: MIT */
#include "raw_channel.h"
#include "fdset.h"
#include "harness.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "unit.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/un.h>

int raw_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

ssize_t raw_try_send(int channel, int flags, const void *bytes, size_t length, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDSET_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)bytes, length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.align = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	}
	return sendmsg(channel, &message, MSG_NOSIGNAL | flags);
}

void raw_send(int channel, const void *bytes, size_t length, const int *fds, size_t count)
{
	assert_int_equal(raw_try_send(channel, 0, bytes, length, fds, count), length);
}

void raw_request(int channel, uint16_t type, uint64_t cookie, const void *payload, size_t length)
{
	struct {
		struct message_header header;
		char payload[256];
	} packet = {.header = {type, 0, (uint32_t)length, cookie}};

	assert_true(length <= sizeof packet.payload);
	if (length > 0)
		memcpy(packet.payload, payload, length);
	raw_send(channel, &packet, sizeof packet.header + length, NULL, 0);
}

void raw_wait_taken(int channel)
{
	int left;

	/* What a UNIX socket has sent and nobody has received is charged to it. */
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(ioctl(channel, SIOCOUTQ, &left), 0);
		if (left == 0)
			return;
		nap(1);
	}
	fail_msg("nobody took the request in 10 s");
}

int raw_receive(int channel, struct packet *packet)
{
	struct pollfd p = {.fd = channel, .events = POLLIN};

	packet_init(packet);
	if (poll(&p, 1, 20000) != 1)
		fail_msg("nothing came for 20 s");
	return packet_receive(channel, 0, true, packet);
}

int raw_reply(int channel, uint16_t type, uint64_t cookie)
{
	static struct packet packet;
	struct detail detail;
	int r = raw_receive(channel, &packet);

	assert_int_equal(r, PACKET_RECEIVED);
	assert_int_equal(packet.header.type, type);
	assert_int_equal(packet.header.cookie, cookie);
	assert_true(packet.header.flags & MESSAGE_REPLY);
	r = packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&packet, &detail) : 0;
	packet_clear(&packet);
	return r;
}

void raw_expect_end(int channel)
{
	static struct packet packet;
	int r;

	do {
		r = raw_receive(channel, &packet);
		packet_clear(&packet);
	} while (r == PACKET_RECEIVED);
	assert_true(r == PACKET_END || r == -ECONNRESET);
}

void raw_hello(int channel)
{
	const struct hello_request hello = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION};

	raw_request(channel, COMMON_HELLO, 1, &hello, sizeof hello);
	assert_int_equal(raw_reply(channel, COMMON_HELLO, 1), 0);
}

int raw_open(int session, const char *name)
{
	static struct packet packet;
	struct open_request request = {0};
	struct detail detail;
	int channel;

	snprintf(request.name, sizeof request.name, "%s", name);
	raw_request(session, BROKER_OPEN, 2, &request, sizeof request);
	assert_int_equal(raw_receive(session, &packet), PACKET_RECEIVED);
	if (packet.header.flags & MESSAGE_REFUSED)
		fail_msg("%s: %s: %s", name, refusal_name(packet_refusal(&packet, &detail)), detail.text);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	assert_int_equal(packet.fds.count, 1);
	channel = fdset_take(&packet.fds, 0);
	raw_hello(channel);
	return channel;
}
