/* SPDX-License-Identifier: MIT */
#ifndef PROTO_PACKET_H
#define PROTO_PACKET_H

#include "fdset.h"
#include "message.h"
#include "refusal.h"

#include <stddef.h>
#include <stdint.h>

/*
 * One packet in memory, sent or received. It is 64 KiB and owns fds: make few, and reuse them. Whoever made it calls
 * packet_init() once before the first use and packet_clear() after the last.
 */
struct packet {
	struct fdset fds;
	struct message_header header; /* the packet's bytes begin here; header.length is right in a received packet */
	uint8_t payload[MESSAGE_PAYLOAD_MAX];
};
static_assert(offsetof(struct packet, payload) == offsetof(struct packet, header) + sizeof(struct message_header),
	"header and payload are one run of bytes");

void packet_init(struct packet *packet);
void packet_clear(struct packet *packet);

/* ---- writing ---- */

/* Empties the packet (closing fds left in it) and starts a request, a reply to REQUEST, or an event. */
void packet_request(struct packet *packet, uint16_t type, uint64_t cookie);
void packet_reply(struct packet *packet, const struct message_header *request);
void packet_event(struct packet *packet, uint16_t type);

/*
 * Makes the packet a refused reply to REQUEST. RESULT is a refusal, or a negative errno, which is sent as
 * REFUSAL_FAILED. DETAIL may be NULL.
 */
void packet_refuse(
	struct packet *packet, const struct message_header *request, int result, const struct detail *detail);

/* Adds SIZE zeroed bytes to the payload and returns them, or NULL if they do not fit. Alignment: that of the sum of
 * the sizes so far, beginning with 8. */
void *packet_append(struct packet *packet, size_t size);

/* ---- reading ---- */

/* The payload as a struct of SIZE bytes, or NULL if the payload is shorter. */
const void *packet_body(const struct packet *packet, size_t size);

/* Of a refused reply: the refusal, or the negative errno that REFUSAL_FAILED carries, with its detail. */
int packet_refusal(const struct packet *packet, struct detail *detail);

/* ---- the wire: the only sendmsg() and recvmsg() of the project ---- */

enum packet_receive_result {
	PACKET_END = 0, /* the other side has closed; nothing more will come */
	PACKET_RECEIVED = 1,
};

/*
 * Receives one packet from CHANNEL, a SOCK_SEQPACKET socket, replacing what PACKET held. FLAGS: 0 or MSG_DONTWAIT, and
 * MSG_PEEK if the packet shall stay where it is.
 * FDS_WANTED 0 has the kernel drop every fd that comes along, before it enters this process and unseen: the packet is
 * what it is without them. Who expects none should not take any, because closing an fd of a FUSE file may wait for
 * its server, and because it costs time.
 *
 * Returns PACKET_RECEIVED, PACKET_END, -EAGAIN, -EPROTO (it broke the framing: too short, too long, a length that
 * is not its own, more fds than fit; its fds are closed and the header is zeroed unless it was whole), or another
 * negative errno of the socket. The packet owns the fds it received.
 */
int packet_receive(int channel, int flags, int fds_wanted, struct packet *packet);

/* Takes one packet off CHANNEL, unseen; the kernel drops its fds. Never waits. For whoever has received it with MSG_PEEK. */
void packet_discard(int channel);

/*
 * Sends PACKET, whose header.length must be right. FLAGS: 0 or MSG_DONTWAIT. On success the receiver owns copies of
 * the fds and the packet's own are closed; on failure the packet keeps them, so that it can be sent again.
 * Returns 0, -EAGAIN, -EPIPE or another negative errno. Never raises SIGPIPE.
 */
int packet_send(int channel, int flags, struct packet *packet);

#endif
