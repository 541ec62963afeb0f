/* SPDX-License-Identifier: MIT */
#include "packet.h"

#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Room for the largest number of fds in one message (the kernel's limit). Ancillary data of other kinds (credentials,
 * say) cannot come: packet_drain() alone switches SO_PASSCRED on, for a socket's last packets.
 */
union control {
	alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
};

void packet_init(struct packet *packet)
{
	fdset_init(&packet->fds);
	memset(&packet->header, 0, sizeof packet->header);
}

void packet_clear(struct packet *packet)
{
	fdset_clear(&packet->fds);
	memset(&packet->header, 0, sizeof packet->header);
}

static void packet_start(struct packet *packet, uint16_t type, uint16_t flags, uint64_t cookie)
{
	fdset_clear(&packet->fds);
	packet->header = (struct message_header){.type = type, .flags = flags, .cookie = cookie};
}

void packet_request(struct packet *packet, uint16_t type, uint64_t cookie)
{
	packet_start(packet, type, 0, cookie);
}

void packet_reply(struct packet *packet, const struct message_header *request)
{
	packet_start(packet, request->type, MESSAGE_REPLY, request->cookie);
}

void packet_event(struct packet *packet, uint16_t type)
{
	packet_start(packet, type, MESSAGE_EVENT, 0);
}

void packet_refuse(struct packet *packet, const struct message_header *request, int result, const struct detail *detail)
{
	size_t length = detail ? strnlen(detail->text, sizeof detail->text) : 0;
	struct message_refusal *refusal;
	char *text;

	packet_start(packet, request->type, MESSAGE_REPLY | MESSAGE_REFUSED, request->cookie);
	refusal = packet_append(packet, sizeof *refusal);
	refusal->refusal = (uint32_t)(result < 0 ? REFUSAL_FAILED : result);
	refusal->error = (uint32_t)(result < 0 ? -result : 0);
	text = packet_append(packet, length);
	if (length > 0)
		memcpy(text, detail->text, length);
}

void *packet_append(struct packet *packet, size_t size)
{
	size_t used = packet->header.length;
	void *bytes = packet->payload + used;

	if (sizeof packet->payload - used < size)
		return NULL;
	memset(bytes, 0, size);
	packet->header.length = (uint32_t)(used + size);
	return bytes;
}

const void *packet_body(const struct packet *packet, size_t size)
{
	return packet->header.length < size ? NULL : packet->payload;
}

int packet_refusal(const struct packet *packet, struct detail *detail)
{
	const struct message_refusal *refusal = packet_body(packet, sizeof *refusal);

	detail->text[0] = '\0';
	if (!refusal || refusal->refusal == REFUSAL_NONE || refusal->refusal > INT32_MAX)
		return -EPROTO;
	refusal_printable(detail->text, sizeof detail->text, (const char *)packet->payload + sizeof *refusal,
		packet->header.length - sizeof *refusal);
	if (refusal->refusal == REFUSAL_FAILED && refusal->error > 0 && refusal->error < 4096)
		return -(int)refusal->error;
	return (int)refusal->refusal;
}

static void collect_fds(struct msghdr *message, struct fdset *set)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			fdset_add(set, fd);
		}
	}
}

/* Somebody may have sent a message of zero bytes; on a hung-up socket, zero bytes are the end. */
static int end_or_empty(int channel)
{
	struct pollfd p = {.fd = channel, .events = POLLRDHUP};

	if (poll(&p, 1, 0) >= 0 && (p.revents & (POLLHUP | POLLRDHUP)))
		return PACKET_END;
	return -EPROTO;
}

/*
 * Receives bytes and fds. The fds are the packet's before anything is judged, so that no way out of packet_receive()
 * can lose one. Returns, like recv() with MSG_TRUNC, the packet's full size. RET_CUT: some fds did not fit.
 */
static ssize_t receive_with_fds(int channel, int flags, struct packet *packet, bool *ret_cut)
{
	struct iovec bytes = {&packet->header, MESSAGE_SIZE_MAX};
	union control control;
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes,
	};
	ssize_t size = recvmsg(channel, &message, flags | MSG_CMSG_CLOEXEC);

	if (size >= 0) {
		collect_fds(&message, &packet->fds);
		*ret_cut = message.msg_flags & MSG_CTRUNC;
	}
	return size;
}

/* packet_receive(), except that the packet owns its fds after -EPROTO. */
static int receive(int channel, int flags, int fds_wanted, struct packet *packet)
{
	bool cut = false;
	ssize_t size;

	packet_clear(packet);
	flags |= MSG_TRUNC;
	do
		/* recv() gives the kernel less to copy in and out than recvmsg(), and drops fds. */
		size = fds_wanted ? receive_with_fds(channel, flags, packet, &cut)
				  : recv(channel, &packet->header, MESSAGE_SIZE_MAX, flags);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	if (size == 0 && packet->fds.count == 0 && !cut) {
		packet_clear(packet);
		return end_or_empty(channel);
	}
	if ((size_t)size < sizeof packet->header || size > MESSAGE_SIZE_MAX) {
		memset(&packet->header, 0, sizeof packet->header);
		return -EPROTO;
	}
	return cut || packet->header.length != (size_t)size - sizeof packet->header ? -EPROTO : PACKET_RECEIVED;
}

int packet_receive(int channel, int flags, int fds_wanted, struct packet *packet)
{
	int r = receive(channel, flags, fds_wanted, packet);

	if (r == -EPROTO)
		fdset_clear(&packet->fds);
	return r;
}

int packet_receive_keeping(int channel, int flags, struct packet *packet)
{
	return receive(channel, flags, FDSET_MAX, packet);
}

enum { LOOK_PLAIN = PACKET_RECEIVED + 1 };

/*
 * Looks at the packet at the head of CHANNEL: LOOK_PLAIN, PACKET_RECEIVED (with fds), PACKET_END or a negative errno. An
 * empty packet is told from the end of the queue by its sender's credentials, which come with every packet. There is
 * room for the credentials alone: the kernel says that more did not fit, and takes nothing out of the packet.
 */
static int look(int channel)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} credentials;
	struct msghdr message = {.msg_control = credentials.bytes, .msg_controllen = sizeof credentials.bytes};

	if (recvmsg(channel, &message, MSG_PEEK | MSG_DONTWAIT) < 0)
		return -errno;
	if (message.msg_flags & MSG_CTRUNC)
		return PACKET_RECEIVED;
	return message.msg_controllen > 0 ? LOOK_PLAIN : PACKET_END;
}

int packet_drain(int channel)
{
	const int on = 1;
	int r;

	if (setsockopt(channel, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
		return -errno;
	/* The kernel tells ECONNRESET once, before the packets. */
	while ((r = look(channel)) == LOOK_PLAIN || r == -ECONNRESET || r == -EINTR) {
		if (r == LOOK_PLAIN)
			packet_discard(channel);
	}
	return r;
}

void packet_discard(int channel)
{
	char none;
	ssize_t size;

	do
		size = recv(channel, &none, 0, MSG_DONTWAIT);
	while (size < 0 && errno == EINTR);
}

static ssize_t send_with_fds(int channel, int flags, const struct packet *packet, size_t size)
{
	struct iovec bytes = {(void *)&packet->header, size};
	union control control = {0};
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int) * packet->fds.count),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * packet->fds.count);
	memcpy(CMSG_DATA(c), packet->fds.fds, sizeof(int) * packet->fds.count);
	return sendmsg(channel, &message, flags);
}

int packet_send(int channel, int flags, struct packet *packet)
{
	size_t whole = sizeof packet->header + packet->header.length;
	ssize_t size;

	flags |= MSG_NOSIGNAL;
	do
		/* send() gives the kernel less to copy in than sendmsg(). */
		size = packet->fds.count > 0 ? send_with_fds(channel, flags, packet, whole)
					     : send(channel, &packet->header, whole, flags);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	fdset_clear(&packet->fds);
	return 0;
}
