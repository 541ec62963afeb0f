/* SPDX-License-Identifier: MIT */
#ifndef RAW_CHANNEL_H
#define RAW_CHANNEL_H

#include "packet.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Channels without the client library: packets as they are, also those that the library would never send. */

int raw_connect(const char *path);
/* One packet as it is, with copies of the fds; as sendmsg() with FLAGS. The second fails the test unless it is sent. */
ssize_t raw_try_send(int channel, int flags, const void *bytes, size_t length, const int *fds, size_t count);
void raw_send(int channel, const void *bytes, size_t length, const int *fds, size_t count);
void raw_request(int channel, uint16_t type, uint64_t cookie, const void *payload, size_t length);
/* Waits until the other side has taken off the socket what it was sent. */
void raw_wait_taken(int channel);
/* The next packet, within some seconds: PACKET_RECEIVED or PACKET_END, or -ECONNRESET. */
int raw_receive(int channel, struct packet *packet);
/* The next packet is the reply to this request: 0 or the refusal. Its fds are closed. */
int raw_reply(int channel, uint16_t type, uint64_t cookie);
void raw_expect_end(int channel);
void raw_hello(int channel);
/* OPEN by hand. Returns the device channel, after HELLO. */
int raw_open(int session, const char *name);

#endif
