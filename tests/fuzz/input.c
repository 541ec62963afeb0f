/* SPDX-License-Identifier: MIT */
#include "input.h"
#include "packet.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

uint8_t input_byte(struct input *input)
{
	uint8_t byte = 0;

	input_bytes(input, &byte, 1);
	return byte;
}

size_t input_bytes(struct input *input, void *buffer, size_t size)
{
	if (size > input->left)
		size = input->left;
	if (size > 0)
		memcpy(buffer, input->bytes, size);
	input->bytes += size;
	input->left -= size;
	return size;
}

static void header_repair(struct input_packet *packet, unsigned int what, uint64_t cookie)
{
	struct message_header header;

	if (packet->length < sizeof header)
		return;
	memcpy(&header, packet->bytes, sizeof header);
	if (what & INPUT_LENGTH_RIGHT)
		header.length = (uint32_t)(packet->length - sizeof header);
	if (what & INPUT_COOKIE_RIGHT)
		header.cookie = cookie;
	if (what & INPUT_IS_REPLY)
		header.flags = MESSAGE_REPLY;
	memcpy(packet->bytes, &header, sizeof header);
}

bool input_packet(struct input *input, uint64_t cookie, struct input_packet *packet)
{
	uint8_t head[4] = {0};

	if (input_bytes(input, head, sizeof head) == 0)
		return false;
	packet->fds = head[1] == 255 ? FDSET_MAX : head[1] & 7U;
	packet->first_fd = head[1] >> 3;
	packet->length = input_bytes(input, packet->bytes, head[2] | (size_t)head[3] << 8);
	header_repair(packet, head[0], cookie);
	return true;
}

bool input_send(int socket, const struct input_packet *packet, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
	} control = {.bytes = {0}};
	struct iovec bytes = {(void *)packet->bytes, packet->length};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

	if (packet->fds > 0 && count > 0) {
		struct cmsghdr *c;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * packet->fds);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * packet->fds);
		for (size_t i = 0; i < packet->fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fds[(packet->first_fd + i) % count], sizeof(int));
	}
	return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

unsigned int input_drain(int socket)
{
	static struct packet packet;
	unsigned int count = 0;

	packet_init(&packet);
	while (packet_receive(socket, MSG_DONTWAIT, 1, &packet) == PACKET_RECEIVED)
		count++;
	packet_clear(&packet);
	return count;
}

/* One system call, where reading /proc would be hundreds. More than the first 512 are never in use here. */
unsigned int input_open_fds(void)
{
	static struct pollfd slots[512];
	unsigned int count = 0;

	for (int i = 0; i < 512; i++)
		slots[i] = (struct pollfd){.fd = i};
	INPUT_ASSERT(poll(slots, 512, 0) >= 0);
	for (int i = 0; i < 512; i++)
		count += !(slots[i].revents & POLLNVAL);
	return count;
}

void input_run(const struct input_run *run, const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned int open_fds = input_open_fds();

	run->start();
	for (int i = 0; i < run->steps_max && input.left > 0; i++)
		run->step(&input);
	run->finish();
	INPUT_ASSERT(input_open_fds() == open_fds);
}
