/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_DEVICE_H
#define KEEPER_DEVICE_H

#include "message.h"

#include <stdbool.h>

struct channel_buffers;
struct device;
struct group;
struct packet;

/* A device of GROUP that is served on CHANNEL, a socket. That and WINDOWS, a control file of the module vfio_window or -1,
 * it takes, also on failure. NULL without memory. */
struct device *device_new(struct group *group, const struct lease_request *lease, int windows, int channel);

/* Frees an ended device, which is no longer in its group. */
void device_free(struct device *device);

/* Serves one request. Ends the device when its channel ends. Returns true if the request was a BIND or UNBIND that has been done,
 * and the lease goes on: the broker is to be told. */
bool device_serve(struct device *device, struct channel_buffers *buffers);

/* Gives the device back to the kernel: its channel is still open, its group still in the domain. device->report says how it went. */
void device_end(struct device *device, enum end_reason why);

/* Answers RELEASE if that was the end, sends the last event of the channel and closes it. EVENT is memory to make it in. Twice is
 * fine. */
void device_farewell(struct device *device, struct packet *event);

#endif
