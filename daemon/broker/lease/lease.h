/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include "refusal.h"
#include "state/broker.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/* SESSION has DEVICE, and CHANNEL (taken) is the client's end of its device channel. NULL: no memory. */
struct lease *lease_new(struct broker *broker, struct session *session, struct device *device, int channel);

/* SESSION has DEVICE, by a lease that an earlier broker made and a keeper has told of. NULL: no memory. */
struct lease *lease_recall(struct session *session, struct device *device, const struct query_record *record);

/* The session has ended; its leases go on until their keepers have let go. */
void lease_orphan(struct lease *lease);

#endif
