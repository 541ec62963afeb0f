/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVOCATION_H
#define BROKER_REVOCATION_H

#include "message.h"
#include "packet.h"
#include "state/broker.h"

/*
 * REVOKE: an administrator takes a device back, and is told when that is done: when its keeper has reported all steps and the
 * kernel says that the group is free. revoke_lease() is what does it; here is who waits for it. Any number may wait for one
 * device, and who leaves changes nothing.
 */

/* The handler of REVOKE. */
int revocation_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
