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
 * The data model of a keeper. A line at each struct or field names the file that writes it; other files only read.
 *
 *   struct keeper (keeper.h)
 *     └─ struct iommu_group
 *          └─ struct device, one per lease
 *               └─ regions, interrupts, MSI-X table, revocation
 */

/* A range of a device's registers, as the kernel described it when the device was bound. Written by region.c. */
struct region {
	uint32_t flags;	   /* VFIO_REGION_INFO_FLAG_* */
	uint64_t size;	   /* bytes; 0: the device has no such region */
	uint64_t position; /* start of the region in the device's file */
};

/* A kind of interrupt of a device, as the kernel described it when the device was bound. Written by interrupt.c. */
struct interrupt {
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	uint32_t count;
};

/* device->irq_on: no kind of interrupt is on. */
#define INTERRUPT_NONE UINT32_MAX

/* Place of the MSI-X table, with address and data of each MSI-X interrupt, in the device's registers. Written by
 * window.c. */
struct msix_table {
	uint32_t region;
	uint64_t first;
	uint64_t last; /* byte; smaller than `first`: no table */
};

/*
 * An order to take a device back. The keeper keeps the deadline, not the broker: so the deadline holds over a restart
 * of the broker, and no work of the broker delays the revocation. Written by revocation.c.
 */
struct revocation {
	uint64_t deadline_us; /* by clock_us(); REVOCATION_NEVER: none is ordered */
	enum end_reason reason;
	char text[REVOKE_TEXT_SIZE];
};

#define REVOCATION_NEVER UINT64_MAX

/*
 * The life of a lease of one device. LEASED <-> BOUND by BIND and UNBIND, both -> ENDED by RELEASE, the end of its
 * channel, an order of the broker, or the kernel. The state of its channel follows (device_enter()).
 */
enum device_life {
	DEVICE_LEASED,
	DEVICE_BOUND,
	DEVICE_ENDED, /* the kernel has the device back; the last messages to broker and client are still to be sent */
};

/* A leased device, and the serving end of its channel. Written by device.c, but for the fields that name another
 * file. */
struct device {
	struct iommu_group *group;
	struct lease_request lease; /* name and identity, from the broker */
	enum device_life life;
	struct release_report report; /* release.c; the steps of closing the device */
	bool binding_changed;	      /* BIND or UNBIND was done by the present request */
	uint64_t binding_time_us;     /* duration of the last BIND or UNBIND */
	struct channel channel;	      /* proto/channel.c */
	struct revocation revocation;
	int windows;	 /* owned: control file of the register windows; -1: the module is not there */
	bool handed_out; /* in this lease the client got the VFIO device itself (FILE), and may have it still */

	/* Used while bound. */
	int fd;		 /* binding.c; owned; -1: not bound */
	bool resettable; /* binding.c */
	int unplug;	 /* interrupt.c; owned eventfd: the host wants the device back; -1: no such signal */
	int fault;	 /* interrupt.c; owned eventfd: the device has an uncorrectable error; -1: no such signal */
	uint32_t region_count; /* region.c */
	struct region regions[REGIONS_MAX];
	struct msix_table msix;
	uint32_t irq_count; /* interrupt.c */
	struct interrupt irqs[IRQS_MAX];
	uint32_t irq_on;      /* interrupt.c; index of the kind switched on, or INTERRUPT_NONE */
	uint32_t irq_vectors; /* interrupt.c; number of vectors switched on */
};

/* Descriptors of clients that stay open until the process ends. Written by kept.c. */
struct kept {
	struct kept_list {
		int *fds; /* owned */
		size_t count;
		size_t room;
	} known;		  /* domains and eventfds, each open file once, in the order of kcmp(2) */
	struct kept_list foreign; /* the rest, and sockets with something in their queue */
	size_t max;		  /* of known.count */
	bool tainted;		  /* something is foreign, or more than `max` came: the keeper has to end */
};

/*
 * The IOMMU group of this process: its leased devices, and the IOMMU domain of all its bound devices. Bound devices
 * share one domain, because the IOMMU cannot tell devices of a group apart. Written by group.c.
 */
struct iommu_group {
	const struct vfio_kernel *kernel;
	int fd; /* owned; -1 before the first lease and after group_close() */
	uint32_t number;
	int domain;			     /* owned; -1 while no device is bound */
	struct device *devices[DEVICES_MAX]; /* borrowed, in the order of their leases */
	size_t device_count;
	struct kept kept; /* kept.c */
};

#endif
