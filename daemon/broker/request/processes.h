/* SPDX-License-Identifier: MIT */
#ifndef BROKER_PROCESSES_H
#define BROKER_PROCESSES_H

#include "channel.h"

/* The handler of PROCESSES; CONTEXT is the session. Everybody sees all processes, as everybody sees all leases. */
int processes_report(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
