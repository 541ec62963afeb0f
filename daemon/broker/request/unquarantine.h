/* SPDX-License-Identifier: MIT */
#ifndef BROKER_UNQUARANTINE_H
#define BROKER_UNQUARANTINE_H

#include "packet.h"

/*
 * The handler of UNQUARANTINE: an administrator ends a device's quarantine. The broker does not reset the device,
 * though root may do so without any capability: the kernel waits up to a minute for a device that does not come back
 * from a reset, and all clients would wait with the broker. The requester has reset the device, or wants the device
 * without a reset. CONTEXT is the session.
 */
int unquarantine_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
