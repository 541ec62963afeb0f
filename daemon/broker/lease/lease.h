/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include "refusal.h"
#include "state/broker.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/* SESSION has DEVICE, and CHANNEL (taken) is the client's end of its device channel. NULL: no memory. */
struct lease *lease_new(struct session *session, struct device *device, int channel);

/* SESSION has DEVICE, by a lease that an earlier broker made and a keeper has told of. NULL: no memory. */
struct lease *lease_adopt(struct session *session, struct device *device, const struct query_record *record);

/* What RULE lets its holder do, and who tells the client that it has it. */
void lease_terms(struct lease *lease, const struct policy_rule *rule, lease_answer answer);

/* RULE allows it from now on, and says what is due at its end; NULL: no rule does, and the last one goes on saying that. */
void lease_set_rule(struct lease *lease, const struct policy_rule *rule);

/* The keeper has the device. */
void lease_accepted(struct lease *lease);

/* The client's end of the device channel, which is the caller's from now on. */
int lease_take_channel(struct lease *lease);

/* Its keeper takes the device back at DUE_US. */
void lease_due(struct lease *lease, uint64_t due_us);

/* The keeper has closed the device, and says REPORT. */
void lease_leaving(struct lease *lease, const struct release_report *report);

/* The session has ended; its leases go on until their keepers have let go. */
void lease_orphan(struct lease *lease);

/* The device is not leased any more. group_lease_ended() is for the others, who look at its group. */
void lease_free(struct lease *lease);

#endif
