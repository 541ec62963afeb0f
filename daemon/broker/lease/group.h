/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H

#include "message.h"
#include "state/broker.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/* FREE -> HELD, by SESSION; KEEPER is for it. */
void group_hold(struct iommu_group *group, struct session *session, struct keeper *keeper);

/* A holder may have a VFIO device of it from now on. */
void group_note_direct(struct iommu_group *group);

/* Whose it is or was last, as its keeper says. */
void group_held_by(struct iommu_group *group, const struct holder_record *holder);

/* For the end of the broker: its keeper goes before it. */
void group_forget_keeper(struct iommu_group *group);

/* HELD -> RELEASING: tells the keeper to let go of everything. Also for groups that are on their way already. */
void group_release(struct iommu_group *group);

/* Of a held group: devices are to be taken back one by one, at their leases' due_us. If that does not happen, -> QUARANTINED. */
void group_arm_deadline(struct iommu_group *group);

/* The keeper's socket is closed: -> RESTORING, or FREE at once if no keeper ever had the group. */
void group_keeper_gone(struct iommu_group *group);

/* FREE -> QUERIED, by KEEPER. */
void group_query(struct iommu_group *group, struct broker *broker, struct keeper *keeper);

/* QUERIED -> HELD, by SESSION; its leases and the holder in words are there already. */
void group_adopt_holder(struct iommu_group *group, struct session *session);

/* Whatever was to be done about those leases is done: who waits for the group may have more of it. */
void group_adopt_done(struct iommu_group *group);

/* QUERIED -> QUARANTINED: the keeper was told to let go, having said nothing. */
void group_adopt_failed(struct iommu_group *group);

/* What kept its devices from their host drivers may have ended: looks again. Nothing in groups that somebody has. */
void group_give_back(struct iommu_group *group, struct broker *broker);

/* An administrator has ended the quarantine of DEVICE, which then may go back to its host driver. */
void group_end_quarantine(struct broker *broker, struct device *device);

/* A group that an earlier broker left behind, with claims to undo or in use: -> RESTORING. */
void group_restore(struct iommu_group *group, struct broker *broker);

/* The same by DEVICE, which is on record: whoever had it may still be there, or it has to rest. The group finds out. */
void group_restore_recorded(struct device *device, struct broker *broker);

/* ---- the ends of leases, which move their group ---- */

/* The keeper has closed the device and takes its group out of the domain, where it may hang. LEASE may be gone afterwards. */
void group_lease_leaving(struct lease *lease, const struct release_report *report);

/* The device channel is gone: the lease ends and is freed. */
void group_lease_end(struct lease *lease);

void group_lease_refused(struct lease *lease, int result, const struct detail *detail);

#endif
