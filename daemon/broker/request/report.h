/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REPORT_H
#define BROKER_REPORT_H

#include "packet.h"
#include "state/broker.h"

/* The handlers of requests that only look: LIST, STATUS, SESSIONS, LEASES. The context is a struct session. */
int report_devices(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int report_status(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int report_sessions(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int report_leases(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
