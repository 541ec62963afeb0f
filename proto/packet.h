/* SPDX-License-Identifier: MIT */
#ifndef PROTO_PACKET_H
#define PROTO_PACKET_H

#include "fdset.h"
#include "message.h"
#include "refusal.h"

#include <stddef.h>
#include <stdint.h>

/*
 * One packet in memory, sent or received. A packet takes 64 KiB and owns fds: make few, and reuse packets. The maker
 * calls packet_init() once before the first use and packet_clear() after the last use.
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

/* Empties the packet (closing any fds left) and starts a request, a reply to REQUEST, or an event. */
void packet_request(struct packet *packet, uint16_t type, uint64_t cookie);
void packet_reply(struct packet *packet, const struct message_header *request);
void packet_event(struct packet *packet, uint16_t type);

/*
 * Makes the packet a refused reply to REQUEST. RESULT is a refusal, or a negative errno, sent as
 * REFUSAL_FAILED. DETAIL may be NULL.
 */
void packet_refuse(
	struct packet *packet, const struct message_header *request, int result, const struct detail *detail);

/* Adds SIZE zeroed bytes to the payload and returns their address, or NULL without room. Alignment: that of the sum of
 * the sizes so far, beginning with 8. */
void *packet_append(struct packet *packet, size_t size);

/* ---- reading ---- */

/* The payload as a struct of SIZE bytes, or NULL if the payload is shorter. */
const void *packet_body(const struct packet *packet, size_t size);

/* Of a refused reply: the refusal, or the negative errno inside REFUSAL_FAILED, with its detail. */
int packet_refusal(const struct packet *packet, struct detail *detail);

/* ---- the wire: the only sendmsg() and recvmsg() of the project ---- */

enum packet_receive_result {
	PACKET_END = 0, /* the other side has closed; no packet will come any more */
	PACKET_RECEIVED = 1,
};

/*
 * Receives one packet from CHANNEL, a SOCK_SEQPACKET socket, and overwrites PACKET. FLAGS: 0 or MSG_DONTWAIT, and
 * MSG_PEEK if the packet shall stay on the socket.
 * FDS_WANTED 0 makes the kernel drop all fds of the packet before any fd enters this process; the packet is received
 * without fds. A caller expecting no fds should take none, because closing an fd of a FUSE file may wait for
 * the file's server, and because fds cost time.
 *
 * Returns PACKET_RECEIVED, PACKET_END, -EAGAIN, -EPROTO (broken framing: too short, too long, a wrong length in the
 * header, more fds than fit; the fds are closed, and a header received in part is zeroed), or another
 * negative errno of the socket. The packet owns the fds received.
 */
int packet_receive(int channel, int flags, int fds_wanted, struct packet *packet);

/*
 * Like packet_receive() with fds wanted, but the packet owns the fds received after -EPROTO, too. For a caller that must
 * not close fds of unknown kind.
 */
int packet_receive_keeping(int channel, int flags, struct packet *packet);

/*
 * Takes packets off CHANNEL, which the caller has shut down (SHUT_RDWR), and stops at a packet with fds: the packet
 * stays, unread. So nothing is closed here. Returns PACKET_END (the queue is empty, and closing CHANNEL cannot wait for
 * anything in the queue), PACKET_RECEIVED (a packet with fds waits) or a negative errno.
 */
int packet_drain(int channel);

/* Takes one packet off CHANNEL, unseen; the kernel drops its fds. Never waits. For a packet received with MSG_PEEK. */
void packet_discard(int channel);

/*
 * Sends PACKET. The caller has set header.length. FLAGS: 0 or MSG_DONTWAIT. On success the receiver owns copies of
 * the fds and the packet's own fds are closed; on failure the packet keeps its fds and can be sent again.
 * Returns 0, -EAGAIN, -EPIPE or another negative errno. Never raises SIGPIPE.
 */
int packet_send(int channel, int flags, struct packet *packet);

#endif
