/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_DEVICE_H
#define KEEPER_DEVICE_H

#include "message.h"

#include <stdbool.h>

struct channel_buffers;
struct device;
struct iommu_group;
struct packet;

/* A device of GROUP, served on the socket CHANNEL. WINDOWS is a control file of the module vfio_window, or -1. Takes
 * CHANNEL and WINDOWS, also on failure. Returns NULL without memory; device_free() frees. */
struct device *device_new(struct iommu_group *group, const struct lease_request *lease, int windows, int channel);

/* Frees an ended device. The device has left its group before. */
void device_free(struct device *device);

/* Serves one request. Ends the device when its channel ends. Returns true if a BIND or UNBIND was done and the lease
 * goes on: the caller tells the broker. */
bool device_serve(struct device *device, struct channel_buffers *buffers);

/* Gives the device back to the kernel. Its channel stays open, its group in the domain. device->report says how each
 * step went. */
void device_end(struct device *device, enum end_reason why);

/* Answers a RELEASE, sends the last event of the channel and ends the channel. Requests with descriptors on the channel
 * taint (kept.h). EVENT is memory for the event. A second call does nothing. */
void device_send_closed(struct device *device, struct packet *event);

#endif
