/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

#include "channel.h"
#include "state.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The state of a keeper process: one IOMMU group with its leased devices, and the channel to the broker. The end of the
 * channel ends all leases. The process ends with the channel or with the release of the last device. Written by
 * keeper.c.
 */
struct keeper {
	struct iommu_group group;
	struct channel channel; /* to the broker; fd -1: the keeper has ended */
	size_t turn; /* index of the device with the first turn; moves on, so no device can starve the others */
	bool leased; /* a lease was made: the keeper ends with the last lease */
	struct channel_buffers buffers;
	struct packet event; /* memory for events, while the buffers may be in use */
};

/* KEEPER is memory of any content. Takes CHANNEL. */
void keeper_init(struct keeper *keeper, const struct vfio_kernel *kernel, int channel);

/* Waits for an event, TIMEOUT_MS at most (-1: for ever), and handles one event. Returns false when the keeper has
 * ended. */
bool keeper_step(struct keeper *keeper, int timeout_ms);

/* Releases all devices, reports each to the broker, and closes the broker's channel. A second call does nothing. */
void keeper_release(struct keeper *keeper);

#endif
