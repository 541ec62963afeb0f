/* SPDX-License-Identifier: MIT */
#include "packet.h"

#include <sanitizer/asan_interface.h>

/*
 * A packet in memory is 64 KiB, of which a received one fills a part. Linked with --wrap, these make the rest of it
 * forbidden ground from packet_receive() on, until something is sent or the packet is used anew: whoever reads beyond
 * the payload is caught.
 */
int __real_packet_receive(int channel, int flags, int fds_wanted, struct packet *packet);
int __wrap_packet_receive(int channel, int flags, int fds_wanted, struct packet *packet);
int __real_packet_receive_keeping(int channel, int flags, struct packet *packet);
int __wrap_packet_receive_keeping(int channel, int flags, struct packet *packet);
int __real_packet_send(int channel, int flags, struct packet *packet);
int __wrap_packet_send(int channel, int flags, struct packet *packet);
void __real_packet_request(struct packet *packet, uint16_t type, uint64_t cookie);
void __wrap_packet_request(struct packet *packet, uint16_t type, uint64_t cookie);
void __real_packet_event(struct packet *packet, uint16_t type);
void __wrap_packet_event(struct packet *packet, uint16_t type);
void __real_packet_clear(struct packet *packet);
void __wrap_packet_clear(struct packet *packet);

static struct packet *poisoned; /* at most one at a time */

static void release(void)
{
	if (poisoned)
		__asan_unpoison_memory_region(poisoned->payload, sizeof poisoned->payload);
	poisoned = NULL;
}

static int poison(int r, struct packet *packet)
{
	if (r == PACKET_RECEIVED) {
		poisoned = packet;
		__asan_poison_memory_region(
			packet->payload + packet->header.length, sizeof packet->payload - packet->header.length);
	}
	return r;
}

int __wrap_packet_receive(int channel, int flags, int fds_wanted, struct packet *packet)
{
	release();
	return poison(__real_packet_receive(channel, flags, fds_wanted, packet), packet);
}

int __wrap_packet_receive_keeping(int channel, int flags, struct packet *packet)
{
	release();
	return poison(__real_packet_receive_keeping(channel, flags, packet), packet);
}

int __wrap_packet_send(int channel, int flags, struct packet *packet)
{
	release();
	return __real_packet_send(channel, flags, packet);
}

void __wrap_packet_request(struct packet *packet, uint16_t type, uint64_t cookie)
{
	if (packet == poisoned)
		release();
	__real_packet_request(packet, type, cookie);
}

void __wrap_packet_event(struct packet *packet, uint16_t type)
{
	if (packet == poisoned)
		release();
	__real_packet_event(packet, type);
}

/* Also the last thing that is done before the packet's memory is freed. */
void __wrap_packet_clear(struct packet *packet)
{
	if (packet == poisoned)
		release();
	__real_packet_clear(packet);
}
