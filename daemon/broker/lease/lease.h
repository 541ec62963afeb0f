/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include "refusal.h"
#include "state/broker.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/* A lease of DEVICE for SESSION. CHANNEL (taken, also on failure) is the client's end of the device channel. NULL: no
 * memory. */
struct lease *lease_new(struct session *session, struct device *device, int channel);

/* A lease of DEVICE for SESSION that an earlier broker made, as a keeper has told by RECORD. NULL: no memory. */
struct lease *lease_adopt(struct session *session, struct device *device, const struct query_record *record);

/* Sets what RULE lets the holder do, and ANSWER, the function that answers the client's OPEN. */
void lease_terms(struct lease *lease, const struct policy_rule *rule, lease_answer answer);

/* RULE allows LEASE from now on, and says what is due at the end of LEASE. NULL: no rule allows LEASE; the last rule
 * still says what is due. */
void lease_set_rule(struct lease *lease, const struct policy_rule *rule);

/* The keeper has the device. */
void lease_accepted(struct lease *lease);

/* Returns the client's end of the device channel, and hands ownership to the caller. */
int lease_take_channel(struct lease *lease);

/* The keeper was ordered to take the device back at DUE_US. WORDS: by whom and why. */
void lease_ordered(struct lease *lease, uint64_t due_us, const char *words);

/* The audit trail has the end of the lease. */
void lease_told(struct lease *lease);

/* The keeper has closed the device, by REPORT, and is about to leave the domain. */
void lease_leaving(struct lease *lease, const struct release_report *report);

/* The session has ended; the lease goes on until the keeper has let go. */
void lease_orphan(struct lease *lease);

/* The device is not leased any more. Callers that must move the group, too, call group_lease_end(). */
void lease_free(struct lease *lease);

#endif
