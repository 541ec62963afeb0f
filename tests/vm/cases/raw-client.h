/* SPDX-License-Identifier: MIT */
#ifndef RAW_CLIENT_H
#define RAW_CLIENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * A client of the broker that does what the library would not do: no HELLO, descriptors where none belong, requests
 * whose replies nobody reads. What must work ends the program when it does not; the other functions return a negative
 * errno.
 */

#define RAW_PATIENCE_MS 15000 /* what must work does so by then, on a busy machine too */

/* A connection, without HELLO. Never waits for the broker, unless the backlog is full. */
int raw_connect(void);
/* HELLO and its reply. 0, or -ETIMEDOUT, -ECONNREFUSED (the reply is a refusal), -ECONNRESET. */
long raw_hello(int fd, int timeout_ms);
/* Sends a request of TYPE with SIZE bytes of payload and FDS times descriptor DEAR. 0, or a negative errno; -EAGAIN:
 * there is no room. */
long raw_send(int fd, uint16_t type, const void *payload, size_t size, int dear, size_t fds);
/* Microseconds from PING to its reply, with whatever other packets come before. */
long raw_ping(int fd, int timeout_ms);
/* Waits until there is something to read: 0, or -ETIMEDOUT. */
long raw_wait(int fd, int timeout_ms);

#endif
