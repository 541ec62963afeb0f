/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_DEVICE_H
#define KEEPER_DEVICE_H

#include "channel.h"
#include "group.h"
#include "interrupt.h"
#include "limits.h"
#include "message.h"
#include "region.h"
#include "revocation.h"
#include "stranger.h"
#include "window.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The life of a lease of one device. LEASED <-> BOUND by BIND and UNBIND, both -> ENDED by RELEASE, the end of its
 * channel, an order of the broker, or the kernel. The state of its channel follows (device_enter()).
 */
enum device_life {
	DEVICE_LEASED,
	DEVICE_BOUND,
	DEVICE_ENDED, /* the kernel has it back; its last words are still to be said */
};

/* A leased device, and the serving end of its channel. */
struct device {
	struct group *group;
	struct lease_request lease; /* name and identity, as the broker gave them */
	enum device_life life;
	struct release_report report; /* of letting go */
	uint64_t binding_us;	      /* that BIND or UNBIND took last */
	struct channel channel;
	unsigned int strangers; /* descriptors of its client that had to be kept open (stranger.h) */
	struct revocation revocation;
	int windows;	 /* owned: control file of its register windows; -1: there is no such module */
	bool handed_out; /* its client was given the VFIO device itself, in this lease, and may have it still */

	/* Known and used while bound. */
	int fd;	    /* owned; -1: not bound */
	int unplug; /* owned eventfd: the host wants the device back; -1: cannot know */
	int fault;  /* the same: it has reported an uncorrectable error */
	bool resettable;
	uint32_t region_count;
	struct region regions[REGIONS_MAX];
	struct msix_table msix;
	uint32_t irq_count;
	struct interrupt irqs[IRQS_MAX];
	uint32_t irq_on;      /* which kind of interrupt is on, or INTERRUPT_NONE */
	uint32_t irq_vectors; /* and up to which vector */
};

/* A device of GROUP that is served on CHANNEL, a socket. That and WINDOWS, a control file of the module vfio_window or -1,
 * it takes, also on failure. NULL without memory. */
struct device *device_new(struct group *group, const struct lease_request *lease, int windows, int channel);

/* Frees an ended device, which is no longer in its group. */
void device_free(struct device *device);

/* Serves one request. Ends the device when its channel ends. */
void device_serve(struct device *device, struct channel_buffers *buffers);

/* Gives the device back to the kernel: its channel is still open, its group still in the domain. device->report says how it went. */
void device_end(struct device *device, enum end_reason why);

/* Answers RELEASE if that was the end, sends the last event of the channel and closes it. EVENT is memory to make it in. Twice is
 * fine. */
void device_farewell(struct device *device, struct packet *event);

#endif
