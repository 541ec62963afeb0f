/* SPDX-License-Identifier: MIT */
#ifndef LIB_DEVICE_H
#define LIB_DEVICE_H

#include "requester.h"
#include "vfio-broker.h"

/* Written by device.c alone. */
struct vbroker_device {
	struct requester channel;
	struct vbroker_domain *domain;	     /* borrowed; NULL: not bound by this object */
	struct vbroker_session *own_session; /* owned: made by vbroker_open(), else NULL */
	struct vbroker_domain *own_domain;
};

/* HELLO to the peer of CHANNEL. Returns 0, NOT_A_DEVICE with a detail, or the failure. */
int device_greet(struct requester *channel);

/* Notes that DEVICE is bound to DOMAIN. From now on vbroker_device_close() closes DOMAIN. Sends nothing. */
void device_take_domain(struct vbroker_device *device, struct vbroker_domain *domain);

/* BIND with DOMAIN, an fd that stays the caller's. On success a struct bind_reply is in the channel's packet. */
int device_send_bind(struct requester *channel, int domain);

#endif
