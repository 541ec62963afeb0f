/* SPDX-License-Identifier: MIT */
#ifndef LIB_DEVICE_H
#define LIB_DEVICE_H

#include "requester.h"
#include "vfio-broker.h"

struct vbroker_device {
	struct requester channel;
	struct vbroker_domain *domain;	     /* borrowed; NULL: not bound by this object */
	struct vbroker_session *own_session; /* owned: what vbroker_open() made for it, else NULL */
	struct vbroker_domain *own_domain;
};

/* HELLO to whoever is at the other end of FD. Returns 0 or NOT_A_DEVICE with its detail, or what failed. */
int device_greet(struct requester *channel);

/* BIND with DOMAIN, which stays the caller's. On success a struct bind_reply is in the channel's packet. */
int device_send_bind(struct requester *channel, int domain);

#endif
