/* SPDX-License-Identifier: MIT */
#ifndef BROKER_OPEN_H
#define BROKER_OPEN_H

#include "state/broker.h"

/* OPEN, which leases a device, and CHECK, which says what stands in the way. Channel handlers; CONTEXT is the session. */
int open_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int open_check(void *context, struct packet *request, struct packet *reply, struct detail *detail);

/* SESSION, which ends, waits no longer. */
void open_forget(struct session *session);

/* The answers to OPEN. */
void session_opened(struct session *session, struct lease *lease);

void session_refused(struct session *session, int result, const struct detail *detail);

/* The group that its OPEN waited for is free. */
void session_open_again(struct session *session);

#endif
