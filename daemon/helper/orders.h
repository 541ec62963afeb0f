/* SPDX-License-Identifier: MIT */
#ifndef HELPER_ORDERS_H
#define HELPER_ORDERS_H

#include "channel.h"
#include "hardware.h"

#include <signal.h>
#include <stdbool.h>

/*
 * The orders of the broker to one helper, on one channel (proto/helper_message.h). One order is done at a time, and may
 * wait for as long as somebody else likes. The broker does not wait: the broker takes another helper, and leaves the
 * late helper alone. Written by orders.c; idle_signals by the program, after orders_init().
 */
struct orders {
	const struct hardware *hardware;
	struct channel channel; /* to the broker */
	/* The signals to be blocked while the helper waits for an order; NULL: as they are. */
	const sigset_t *idle_signals;
	bool awake; /* the last step had an order, so that more may follow soon */
	struct channel_buffers buffers;
	struct packet lease; /* to a keeper */
};

/* Takes CHANNEL. ORDERS is large and best static; packets are touched when used. */
void orders_init(struct orders *orders, const struct hardware *hardware, int channel);

/*
 * Waits at most TIMEOUT_MS (-1: without limit) for an order, and does the order. Returns false at the end: the broker
 * has closed the connection or shut down the sending side. The channel is closed then. An order from before the
 * shutdown is not begun. ORDERS->awake says whether there was an order.
 */
bool orders_step(struct orders *orders, int timeout_ms);

#endif
