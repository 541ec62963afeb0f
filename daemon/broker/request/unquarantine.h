/* SPDX-License-Identifier: MIT */
#ifndef BROKER_UNQUARANTINE_H
#define BROKER_UNQUARANTINE_H

#include "packet.h"

/*
 * The handler of RELEASE: an administrator ends a device's quarantine. The broker does not reset the device itself, though root
 * may without any capability: the kernel waits for a device that does not come back from its reset, up to a minute, and
 * everybody would wait with the broker. The requester has reset it, or wants it without.
 */
int unquarantine_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
