/* SPDX-License-Identifier: MIT */
#ifndef FRONT_LIMITS_H
#define FRONT_LIMITS_H

#include <stdint.h>

/*
 * Connections whose clients attached descriptors. Each costs a socket and at most FDSET_MAX descriptors, which stay
 * open until the front ends. Honest programs attach none. With more such connections the front ends, and the owner's
 * next connection gets another front. 64 times 254 descriptors are a quarter of LimitNOFILE=.
 */
#define FRONT_KEPT_MAX 64

/* Packets of the broker handled before the clients get a turn. */
#define FRONT_ORDERS_MAX 64

/* Clients that get a turn, of one request each, before the broker's socket is looked at again. */
#define FRONT_TURNS_MAX 16

/* Session numbers end here: epoll's last two numbers are those of the broker's sockets. */
#define FRONT_SESSION_END (UINT64_MAX - 1)

#endif
