/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_H
#define BROKER_QUARANTINE_H

#include "message.h"
#include "refusal.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- the life of a lease ---- */

/* The client is about to get the device; or has it, and the rule of its lease has changed. */
void quarantine_record_use(struct lease *lease);

/* A keeper of an earlier broker has DEVICE for a client, whether or not that is on record. */
void quarantine_mark_handed_out(struct device *device);

/* REPORT: what its keeper says; NULL: it died. */
void quarantine_lease_ended(struct lease *lease, const struct release_report *report);

/* The same for a DEVICE that is on record as in use by an earlier broker, which nobody else but its keeper knows of. */
void quarantine_lease_ended_before_takeover(
	struct broker *broker, struct device *device, const struct release_report *report);

/*
 * The keeper of an earlier broker has the group of DEVICE, but not that any more. If it is on record as in use, nobody has heard how its
 * lease ended. Returns false if its holder may have it still (access = direct), so that the group has to be taken back as one.
 */
bool quarantine_lease_ended_unreported(struct broker *broker, struct device *device);

/* The kernel has let go of the group, so all of its devices are closed: what was left open is decided now. */
void quarantine_group_free(struct iommu_group *group);

/* Reads the device's configuration space; all ones put it into quarantine. */
void quarantine_check_alive(struct broker *broker, struct device *device);

/* The device has left the machine. */
void quarantine_left(struct broker *broker, struct device *device);

/* An administrator has ended it. */
void quarantine_end(struct broker *broker, struct device *device);

/* Reads the records of an earlier run. Returns 0 or a negative errno. */
int quarantine_load(struct broker *broker);

/* ---- what it means ---- */

/*
 * What stands in the way of UID, who asks for a device of the same group by RULE (NULL: none fits). Returns 0, or QUARANTINED
 * with DETAIL: why, since when, the last holder, and which rule says so; or DEVICE_BUSY: it has to rest a while.
 */
int quarantine_refuses(const struct broker *broker, const struct device *device, const struct policy_rule *rule,
	uint32_t uid, struct detail *detail);

#endif
