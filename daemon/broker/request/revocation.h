/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVOCATION_H
#define BROKER_REVOCATION_H

#include "message.h"
#include "packet.h"
#include "state/broker.h"

/*
 * REVOKE: an administrator takes a device back, and gets the reply when the device is back: when the keeper has
 * reported all steps and the kernel says that the group is free. revoke_lease() takes the device back; the code here
 * waits for the end of the lease. Any number of administrators may wait for the same device, and an administrator that
 * leaves changes nothing.
 */

/* The handler of REVOKE. CONTEXT is the session. */
int revocation_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
