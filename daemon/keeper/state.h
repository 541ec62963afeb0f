/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_STATE_H
#define KEEPER_STATE_H

#include "channel.h"
#include "kernel.h"
#include "limits.h"
#include "message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a keeper knows of its group and its devices. A line at each struct says which file writes it; everybody else reads.
 *
 *   struct keeper (keeper.h) ── struct group ── struct device, one per lease ── regions, interrupts, MSI-X table, revocation
 */

/* A range of a device's registers, as the kernel described it when the device was bound. Written by region.c. */
struct region {
	uint32_t flags;	   /* VFIO_REGION_INFO_FLAG_* */
	uint64_t size;	   /* bytes; 0: not there */
	uint64_t position; /* where it starts in the device's file */
};

/* A kind of interrupt of a device, as the kernel described it when the device was bound. Written by interrupt.c. */
struct interrupt {
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	uint32_t count;
};

/* device->irq_on: no kind of interrupt is on. */
#define INTERRUPT_NONE UINT32_MAX

/* Where the device has the table that says what its MSI-X interrupts write, and where to. Written by window.c. */
struct msix_table {
	uint32_t region;
	uint64_t first;
	uint64_t last; /* byte; before `first`: there is no table */
};

/*
 * A device that will be taken back. The deadline is kept here, in the keeper, and not in the broker: so it holds when the
 * broker is restarted, and nothing that the broker is busy with delays it. Written by revocation.c.
 */
struct revocation {
	uint64_t deadline_us; /* by clock_us(); REVOCATION_NEVER: none is ordered */
	enum end_reason reason;
	char words[REVOKE_WORDS_SIZE];
};

#define REVOCATION_NEVER UINT64_MAX

/*
 * The life of a lease of one device. LEASED <-> BOUND by BIND and UNBIND, both -> ENDED by RELEASE, the end of its
 * channel, an order of the broker, or the kernel. The state of its channel follows (device_enter()).
 */
enum device_life {
	DEVICE_LEASED,
	DEVICE_BOUND,
	DEVICE_ENDED, /* the kernel has it back; its last words are still to be said */
};

/* A leased device, and the serving end of its channel. Written by device.c, but for the fields that name another file. */
struct device {
	struct group *group;
	struct lease_request lease; /* name and identity, as the broker gave them */
	enum device_life life;
	struct release_report report; /* release.c; of letting go */
	bool rebound;		      /* BIND or UNBIND was done by the request in work */
	uint64_t binding_us;	      /* that BIND or UNBIND took last */
	struct channel channel;	      /* proto/channel.c */
	unsigned int strangers;	      /* descriptors of its client that had to be kept open (stranger.h) */
	struct revocation revocation;
	int windows;	 /* owned: control file of its register windows; -1: there is no such module */
	bool handed_out; /* its client was given the VFIO device itself, in this lease, and may have it still */

	/* Known and used while bound. */
	int fd;		       /* binding.c; owned; -1: not bound */
	bool resettable;       /* binding.c */
	int unplug;	       /* interrupt.c; owned eventfd: the host wants the device back; -1: cannot know */
	int fault;	       /* interrupt.c; the same: it has reported an uncorrectable error */
	uint32_t region_count; /* region.c */
	struct region regions[REGIONS_MAX];
	struct msix_table msix;
	uint32_t irq_count; /* interrupt.c */
	struct interrupt irqs[IRQS_MAX];
	uint32_t irq_on;      /* interrupt.c; which kind of interrupt is on, or INTERRUPT_NONE */
	uint32_t irq_vectors; /* interrupt.c; and up to which vector */
};

/*
 * The IOMMU group of this process: what the broker leased of it, and the one IOMMU domain that all its bound devices
 * share, because the IOMMU cannot tell them apart. Written by group.c.
 */
struct group {
	const struct vfio_kernel *kernel;
	int fd; /* owned; -1 before the first lease and after group_close() */
	uint32_t number;
	int domain;			     /* owned; -1 while no device is bound */
	struct device *devices[DEVICES_MAX]; /* borrowed, in the order of their leases */
	size_t device_count;
};

#endif
