/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H

#include "message.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/* FREE -> CLAIMING, by SESSION: helpers prepare a device. */
void group_claim(struct iommu_group *group, const struct session *session);

/* CLAIMING -> FREE, or RESTORING if devices of the group have been CHANGED. Does nothing in other states. */
void group_claim_ended(struct iommu_group *group, bool changed);

/* CLAIMING -> QUARANTINED: the helper takes too long. The way back begins when the helper is done. Does nothing in
 * other states. */
void group_claim_late(struct iommu_group *group);

/* CLAIMING -> HELD, by SESSION; assigns KEEPER to GROUP. */
void group_hold(struct iommu_group *group, struct session *session, struct keeper *keeper);

/* A holder may have a VFIO device of GROUP from now on. */
void group_note_direct(struct iommu_group *group);

/* HOLDER has GROUP, or had GROUP last, as the keeper says. */
void group_held_by(struct iommu_group *group, const struct holder_record *holder);

/* For the end of the broker: GROUP's keeper is freed before GROUP. */
void group_forget_keeper(struct iommu_group *group);

/* HELD, QUERIED -> RELEASING: tells the keeper to let go of everything. Does nothing in other states: such a group is
 * on its way already. */
void group_release(struct iommu_group *group);

/* A driver of PCI devices has appeared: devices that could not go back to their host drivers try again, and devices
 * without a driver note that there may be one for them. */
void group_driver_appeared(struct broker *broker);

/* DEVICE has got a driver, which may be one of the host: then nothing stands against DEVICE any more. */
void group_device_bound(struct broker *broker, struct device *device);

/* Of a held group: the keeper is to take devices back one by one, at the due_us of each lease. If a device is not
 * taken back in time, GROUP is released as a whole and -> QUARANTINED. */
void group_arm_deadline(struct iommu_group *group);

/* The keeper's socket is closed: ends the leases; -> RESTORING, or FREE at once if no keeper ever had the group. */
void group_keeper_gone(struct iommu_group *group);

/* FREE -> QUERIED, by KEEPER, a keeper of an earlier broker. */
void group_query(struct iommu_group *group, struct broker *broker, struct keeper *keeper);

/* QUERIED -> HELD, by SESSION; the leases and group_held_by() come before. */
void group_adopt_holder(struct iommu_group *group, struct session *session);

/* The adopted leases are reviewed, and ended where need be: wakes the requests that wait for more of the group. */
void group_adopt_done(struct iommu_group *group);

/* HELD, QUERIED -> QUARANTINED: the keeper has not answered QUERY, or a helper that has the keeper's channel hangs.
 * The keeper is told to let go. */
void group_give_up(struct iommu_group *group);

/* The reason that kept devices from their host drivers may have ended: looks again. Does nothing in groups that
 * somebody has. */
void group_give_back(struct iommu_group *group, struct broker *broker);

/* An administrator has ended the quarantine of DEVICE: forgets the quarantine, and gives DEVICE back to the host
 * driver if possible. */
void group_end_quarantine(struct broker *broker, struct device *device);

/* An earlier broker left GROUP behind, with claims to undo or devices in use: FREE -> RESTORING. */
void group_restore(struct iommu_group *group, struct broker *broker);

/* group_restore() for DEVICE, which has a quarantine on record: the last holder may still be there, or the device has
 * to cool down. Restoring finds out. */
void group_restore_recorded(struct device *device, struct broker *broker);

/* ---- the ends of leases: each moves the group ---- */

/* The keeper has closed the device and takes the group out of the domain, where the kernel may hang. LEASE may be
 * gone afterwards. */
void group_lease_leaving(struct lease *lease, const struct release_report *report);

/* The device channel is gone: the lease ends and is freed. */
void group_lease_end(struct lease *lease);

void group_lease_refused(struct lease *lease, int result, const struct detail *detail);

#endif
