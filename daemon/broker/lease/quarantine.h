/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_H
#define BROKER_QUARANTINE_H

#include "message.h"
#include "refusal.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- the life of a lease ---- */

/* The client is about to get the device. Or the client has the device, and the rule of the lease has changed, or the
 * device is to be taken back at a deadline. */
void quarantine_record_use(struct lease *lease);

/* A keeper of an earlier broker has DEVICE for a client, whether or not the record says so. */
void quarantine_mark_handed_out(struct device *device);

/* REPORT: as the keeper says; NULL: the keeper died. */
void quarantine_lease_ended(struct lease *lease, const struct release_report *report);

/* quarantine_lease_ended() for a DEVICE on record as in use by an earlier broker. Only the keeper knew of the lease. */
void quarantine_lease_ended_before_takeover(
	struct broker *broker, struct device *device, const struct release_report *report);

/*
 * The keeper of an earlier broker has the group of DEVICE, but no longer DEVICE. If the record says "in use", nobody
 * has heard how the lease ended. Returns false if the holder may still have DEVICE (access = direct): the whole group
 * has to be taken back then.
 */
bool quarantine_lease_ended_unreported(struct broker *broker, struct device *device);

/* The kernel has let go of the group, so all devices of the group are closed: decides every case left open. */
void quarantine_group_free(struct iommu_group *group);

/* The configuration space of DEVICE reads all ones: puts DEVICE into quarantine. */
void quarantine_unresponsive(struct broker *broker, struct device *device);

/* Before quarantine_group_free(), which decides by the answers: no device of GROUP has answered so far; DEVICE, which
 * was handed out, has answered or not. */
void quarantine_forget_answers(struct iommu_group *group);
void quarantine_note_answer(struct device *device, bool alive);

/*
 * Before quarantine_group_free(), too: DEVICE answers, its last lease has ended without the keeper's word that it was
 * reset, and there is a method. So a helper is to reset DEVICE, and ERROR is the helper's negative errno, or 0.
 * quarantine_forget_resets(): somebody has GROUP again.
 */
bool quarantine_wants_reset(const struct broker *broker, const struct device *device);
void quarantine_note_reset(struct device *device, int error);
void quarantine_forget_resets(struct iommu_group *group);

/* DEVICE is reset by a reset of the bus alone, with all that is on the bus. ERROR: of that reset. */
bool quarantine_shares_reset(const struct broker *broker, const struct device *device);
void quarantine_note_bus_reset(const struct broker *broker, struct device *device, int error);

/* The device has left the machine. */
void quarantine_left(struct broker *broker, struct device *device);

/* If a host driver has DEVICE, by root's own doing, nothing stands against DEVICE any more: the driver has set DEVICE
 * up anew, and answers for it. Returns true if a quarantine has ended so. */
bool quarantine_taken(struct broker *broker, struct device *device);

/* An administrator has ended the quarantine. */
void quarantine_end(struct broker *broker, struct device *device);

/* Reads the records of an earlier run. Returns 0 or a negative errno. */
int quarantine_load(struct broker *broker);

/* ---- refusals ---- */

/*
 * Tells whether DEVICE stands in the way of UID. UID asks by RULE (NULL: none fits) for a device of the same group.
 * Returns 0; QUARANTINED, with the reason, the time, the last holder and the deciding rule in DETAIL; or DEVICE_BUSY:
 * the device has to cool down.
 */
int quarantine_refuses(const struct broker *broker, const struct device *device, const struct policy_rule *rule,
	uint32_t uid, struct detail *detail);

#endif
