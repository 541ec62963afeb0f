/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

#include "channel.h"
#include "state.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The state of a keeper process: one IOMMU group, the devices of it that are leased, and the channel to the broker,
 * whose end is the end of all leases. Nothing else can end it but the release of its last device.
 */
struct keeper {
	struct group group;
	struct channel channel; /* to the broker; fd -1: it is over */
	size_t turn;		/* which device is looked at first, so that none can starve the others */
	bool leased;		/* there was a lease: without any left, the work is done */
	struct channel_buffers buffers;
	struct packet event; /* to make events in, while the buffers may be in use */
};

/* KEEPER is memory whose content does not matter; it takes CHANNEL. */
void keeper_init(struct keeper *keeper, const struct vfio_kernel *kernel, int channel);

/* Waits for something to do, TIMEOUT_MS at most (-1: for ever), and does one thing. Returns true while there may be more. */
bool keeper_step(struct keeper *keeper, int timeout_ms);

/* Lets go of everything, tells the broker of each device, and closes the channel to it. Twice is fine. */
void keeper_release(struct keeper *keeper);

#endif
