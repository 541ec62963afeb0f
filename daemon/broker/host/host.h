/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HOST_H
#define BROKER_HOST_H

#include "message.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <systemd/sd-event.h>

/*
 * What the broker itself asks of the host's kernel: the PCI devices, their drivers, their IOMMU groups. One function
 * per step, so that tests can put a fake in place of the kernel. All return 0 or a negative errno unless said
 * otherwise.
 *
 * The broker may read only what the kernel answers at once, whatever hangs: vendor, device, class, reset_method, the
 * links driver, iommu_group and physfn, and which names are there. Reads of uevent, driver_override and the
 * configuration space wait for a driver that hangs, so such steps are a helper's (daemon/helper/hardware.h).
 */

#define DRIVER_NAME_SIZE 32

/* The driver that a device gets for its lease. A device may have another driver that gives it to VFIO: then it keeps
 * that one. */
#define VFIO_DRIVER "vfio-pci"

/* One PCI device at one moment. */
struct host_device {
	char name[DEVICE_NAME_SIZE];   /* NUL-padded */
	char driver[DRIVER_NAME_SIZE]; /* empty: none */
	uint32_t group;		       /* IOMMU group or GROUP_NONE */
	uint16_t vendor;
	uint16_t device;
	uint32_t class;
	char physfn[DEVICE_NAME_SIZE]; /* of a virtual function: the physical function; empty: none */
	bool bridge;		       /* its configuration space has the header of a bridge */
	bool vfio;		       /* its driver is vfio-pci, or another one that gives it to VFIO */
};

/*
 * True for what holds the machine together: bridges, root ports, the host bridge, the bridge to the firmware and to
 * serial ports (PCI base class 06, subclasses 00 to 07). Not for other subclasses: non-transparent bridges, which have
 * drivers of their own, go by 80.
 */
static inline bool host_device_is_bridge(const struct host_device *device)
{
	return device->bridge || (device->class >> 16 == 0x06 && (device->class >> 8 & 0xff) < 0x08);
}

/* In the kernel's drivers/pci and drivers/vfio: such drivers do no DMA of their own (driver_managed_dma). */
static inline bool host_device_is_harmless(const struct host_device *device)
{
	return device->driver[0] == '\0' || device->vfio || strcmp(device->driver, "pci-stub") == 0 ||
		strcmp(device->driver, "pcieport") == 0;
}

enum host_change {
	/* Or is not as it was: a driver came or went (driver_bound() in drivers/base/dd.c), or a virtual function has
	 * got its link physfn, after the kernel has told that it came (pci_iov_sysfs_link() in drivers/pci/iov.c). */
	HOST_ADDED,
	HOST_REMOVED,
	HOST_BOUND,  /* a driver has the device now */
	HOST_DRIVER, /* a driver of PCI devices has appeared: the name is empty */
	HOST_MISSED, /* unknown devices came or went: the name is empty */
};

typedef void (*host_found)(void *context, const struct host_device *device);
typedef void (*host_changed)(void *context, enum host_change change, const char *name);

struct host {
	/* Calls FOUND for each PCI device. */
	int (*enumerate)(host_found found, void *context);
	/* Calls CHANGED for each device that comes, goes or changes from now on, and for new drivers, by EVENT. The
	 * subscription lasts as long as EVENT. */
	int (*subscribe)(sd_event *event, host_changed changed, void *context);
	/* The present state of the device. -ENODEV: there is no device of the name. */
	int (*read)(const char *name, struct host_device *ret_device);
	/* How the kernel resets this device: an enum reset_method. */
	int (*resettable)(const char *name);
	/* There is a driver of PCI devices of this name. */
	bool (*has_driver)(const char *driver);
};

/* Linux's sysfs and /dev/vfio. */
extern const struct host host_linux;

#endif
