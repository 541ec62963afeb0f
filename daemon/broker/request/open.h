/* SPDX-License-Identifier: MIT */
#ifndef BROKER_OPEN_H
#define BROKER_OPEN_H

#include "state/broker.h"

/* The handlers of OPEN (leases a device) and CHECK (lists the obstacles). Channel handlers; CONTEXT is the session. */
int open_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int open_check(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
