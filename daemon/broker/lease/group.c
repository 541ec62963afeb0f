/* SPDX-License-Identifier: MIT */
#include "lease/group.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/limits.h"
#include "base/loop.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "host/claim.h"
#include "lease/ending.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "lease/quiet.h"
#include "lease/rebind.h"
#include "log.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>

void group_claim(struct iommu_group *group, const struct session *session)
{
	assert(group->state == GROUP_FREE);
	if (group->timer)
		sd_event_source_set_enabled(group->timer, SD_EVENT_OFF);
	group->state = GROUP_CLAIMING;
	group->broker = session->broker;
	peer_record(&session->peer, &group->holder);
	group->holder_process = session->peer.process;
	group->holder_owner = session->peer.owner;
}

void group_hold(struct iommu_group *group, struct session *session, struct keeper *keeper)
{
	assert(group->state == GROUP_CLAIMING);
	group->state = GROUP_HELD;
	group->session = session;
	group->keeper = keeper;
	keeper_assign(keeper, group);
}

void group_note_direct(struct iommu_group *group)
{
	group->direct = true;
}

void group_held_by(struct iommu_group *group, const struct holder_record *holder)
{
	group->holder = *holder;
	group->holder_process = 0;
	group->holder_owner = holder->uid;
}

void group_forget_keeper(struct iommu_group *group)
{
	group->keeper = NULL;
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata);

/* Calls on_timer() after DELAY_US. */
static void recheck_in(struct iommu_group *group, uint64_t delay_us)
{
	if (loop_timer(group->broker->event, &group->timer, delay_us, on_timer, group) < 0)
		log_line(LOG_ERR, "group %u: out of memory for a timer, it stays unusable", group->number);
}

/*
 * A holder with access = direct may have mapped a BAR by the VFIO device, and into the domain of another device of
 * the same holder. The other device reaches the BAR even after the holder has closed the first device: the kernel
 * keeps such mappings (daemon/README.md, hazard 3).
 */
static bool is_reached_by_others(const struct iommu_group *group)
{
	const struct iommu_group *other;

	if (!group->direct)
		return false;
	/* The keepers of an earlier broker have still to name the holders of QUERIED groups. */
	LIST_FOREACH(other, &group->broker->inventory.groups, in_inventory) {
		if (other->state == GROUP_QUERIED)
			return true;
		/* After a restart the owner of the holder's uid is not known here. */
		if (other != group && group_leased(other) && other->holder.uid == group->holder.uid)
			return true;
	}
	return user_leases(&group->broker->users, group->holder_owner) > 0;
}

/* The group is on its way back from now on; the state is the caller's matter. */
static void begin_release(struct iommu_group *group)
{
	group->release_began_us = loop_now(group->broker->event);
	group->ask_again_us = GROUP_ASK_FIRST_US;
	group->node = NODE_UNKNOWN;
}

static const char *reason_of(const struct iommu_group *group, char *buffer, size_t size)
{
	const struct operation *operation = operation_in_the_way(group->broker, group);

	if (group->keeper)
		return "its keeper has not let go";
	if (operation)
		return operation_text(operation, buffer, size);
	return is_reached_by_others(group) ? "its holder's other devices may reach it still"
					   : "the kernel has not let go";
}

static void record_quarantine(const struct iommu_group *group, uint64_t waited_us)
{
	struct audit_event event = audit_of_group(CHANGE_QUARANTINE, group);
	char who[128], text[DETAIL_SIZE];
	const char *reason = reason_of(group, text, sizeof text);
	const struct device *device;

	event.duration_us = waited_us;
	audit_record(group->broker, &event, "group %u: quarantined: %s after %llu ms; last holder: %s", group->number,
		reason, (unsigned long long)(waited_us / 1000), peer_record_text(&group->holder, who, sizeof who));
	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease)
			ending_record_incomplete(device->lease, reason);
	}
}

static void quarantine_if_late(struct iommu_group *group)
{
	uint64_t waited = loop_now(group->broker->event) - group->release_began_us;

	if (group->state == GROUP_QUARANTINED || waited < GROUP_QUARANTINE_US)
		return;
	group->state = GROUP_QUARANTINED;
	record_quarantine(group, waited);
	/* A keeper that does not let go may have a device that works still, although nobody has ordered a
	 * revocation. */
	if (group->keeper)
		quiet_group(group);
	waiter_tell(group, &(struct waiter_news){.event = WAITER_STUCK});
	waiter_wake(group);
}

static void prune_devices(struct iommu_group *group)
{
	struct device *device, *next;

	for (device = LIST_FIRST(&group->devices); device; device = next) {
		next = LIST_NEXT(device, in_group);
		inventory_prune(&group->broker->inventory, device);
	}
}

static void record_quarantine_end(const struct iommu_group *group)
{
	struct audit_event event = audit_of_group(CHANGE_QUARANTINE_END, group);
	char who[128];

	event.duration_us = loop_now(group->broker->event) - group->release_began_us;
	audit_record(group->broker, &event, "group %u: no longer quarantined, %s; last holder: %s", group->number,
		"the kernel has let go of it", peer_record_text(&group->holder, who, sizeof who));
}

static bool has_claims(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->claim)
			return true;
	}
	return false;
}

/* A device whose host driver is gone, or refuses, goes back as soon as the driver takes it. */
static void come_home_later(struct iommu_group *group)
{
	uint64_t again = group->home_again_us ? 2 * group->home_again_us : HOME_FIRST_US;

	group->home_again_us = 0;
	if (!rebind_is_open(group) || group->broker->stopping)
		return;
	group->home_again_us = again < HOME_LAST_US ? again : HOME_LAST_US;
	recheck_in(group, group->home_again_us);
}

/* Host drivers may have taken quarantined devices while the group was not FREE. */
static bool has_taken(const struct iommu_group *group)
{
	struct device *device;
	bool taken = false;

	LIST_FOREACH(device, &group->devices, in_group)
		taken = quarantine_taken(group->broker, device) || taken;
	return taken;
}

static void become_free(struct iommu_group *group)
{
	/* The group is still not FREE while the devices go, so that no device frees the group under this function. */
	prune_devices(group);
	if (group->timer)
		sd_event_source_set_enabled(group->timer, SD_EVENT_OFF);
	group->state = GROUP_FREE;
	group->session = NULL;
	group->direct = false;
	group_held_by(group, &(struct holder_record){0});
	come_home_later(group);
	if (has_taken(group) && has_claims(group))
		group_restore(group, group->broker);
	waiter_wake(group);
}

static const struct rebind_events way_back;

/* Asks the kernel whether anybody still has the group: opening the node is the kernel's own answer. */
static void ask_kernel(struct iommu_group *group)
{
	if (group->going_back)
		return;
	group->going_back = true;
	if (rebind_restore(group, &way_back) == 0)
		return;
	group->going_back = false;
	recheck_in(group, GROUP_ASK_LAST_US);
}

/* ---- calls of lease/rebind.c: the way back of a RESTORING or QUARANTINED group ---- */

static void look_again(struct iommu_group *group)
{
	group->going_back = false;
	quarantine_if_late(group);
	recheck_in(group, group->ask_again_us);
	if (group->ask_again_us < GROUP_ASK_LAST_US)
		group->ask_again_us *= 2;
}

static bool node_seen(struct iommu_group *group, int error)
{
	group->node = error == EBUSY ? NODE_BUSY : NODE_FREE;
	if (error != EBUSY && !is_reached_by_others(group))
		return true;
	look_again(group);
	return false;
}

/* Devices that were not reset cool down first, if the devices may then be leased again or go back. */
static bool closed(struct iommu_group *group)
{
	uint64_t cooldown;

	if (group->state == GROUP_QUARANTINED)
		record_quarantine_end(group);
	group->state = GROUP_RESTORING;
	quarantine_group_free(group);
	waiter_tell(group, &(struct waiter_news){.event = WAITER_CLOSED});
	cooldown = quarantine_cooldown_us(group);
	group->cools_down = cooldown > 0;
	if (cooldown == 0)
		return true;
	group->going_back = false;
	recheck_in(group, cooldown);
	return false;
}

static void restored(struct iommu_group *group)
{
	group->going_back = false;
	become_free(group);
}

static void restoring_late(struct iommu_group *group)
{
	quarantine_if_late(group);
}

static const struct rebind_events way_back = {
	.node_seen = node_seen,
	.closed = closed,
	.restored = restored,
	.look_again = look_again,
	.late = restoring_late,
};

/* ---- claims ---- */

void group_claim_ended(struct iommu_group *group, bool changed)
{
	if (group->state != GROUP_CLAIMING)
		return;
	if (!changed || !has_claims(group)) {
		become_free(group);
		return;
	}
	group->state = GROUP_RESTORING;
	begin_release(group);
	ask_kernel(group);
}

/* What the helper has done, the kernel says when the helper is done. */
void group_claim_late(struct iommu_group *group)
{
	if (group->state != GROUP_CLAIMING)
		return;
	begin_release(group);
	group->release_began_us -= GROUP_QUARANTINE_US;
	ask_kernel(group);
	quarantine_if_late(group);
}

/* When the first device should have been taken back, or UINT64_MAX. */
static uint64_t first_due(const struct iommu_group *group)
{
	const struct device *device;
	uint64_t due = UINT64_MAX;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease && device->lease->due_us && device->lease->due_us < due)
			due = device->lease->due_us;
	}
	return due;
}

void group_arm_deadline(struct iommu_group *group)
{
	uint64_t now = loop_now(group->broker->event), due = first_due(group);

	if (group->state == GROUP_HELD && due < UINT64_MAX - GROUP_QUARANTINE_US)
		recheck_in(group, due + GROUP_QUARANTINE_US > now ? due + GROUP_QUARANTINE_US - now : 0);
}

/* A keeper that has not taken a device back in time never will: the keeper is told to end all leases that are left. */
static void give_up_if_late(struct iommu_group *group)
{
	uint64_t now = loop_now(group->broker->event), due = first_due(group);

	if (due > now || now - due < GROUP_QUARANTINE_US) {
		group_arm_deadline(group);
		return;
	}
	group_release(group);
	group->release_began_us = due;
	quarantine_if_late(group);
}

/* The keeper may hang, and never say that an earlier broker has ordered a device back. The record says so. */
static void quiet_queried(struct iommu_group *group)
{
	uint64_t now = loop_now(group->broker->event), next = quiet_due(group, group->quieted_us, now);

	group->quieted_us = now;
	if (next != UINT64_MAX)
		recheck_in(group, next - now);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
	struct iommu_group *group = userdata;

	(void)source;
	(void)now;
	if (group->state == GROUP_QUERIED)
		quiet_queried(group);
	else if (group->state == GROUP_FREE)
		group_restore(group, group->broker);
	else if (group->state == GROUP_HELD)
		give_up_if_late(group);
	else if (group->keeper)
		quarantine_if_late(group);
	else
		ask_kernel(group);
	return 0;
}

void group_release(struct iommu_group *group)
{
	if (group->state != GROUP_HELD && group->state != GROUP_QUERIED)
		return;
	group->state = GROUP_RELEASING;
	begin_release(group);
	group->session = NULL;
	if (group->keeper) {
		recheck_in(group, GROUP_QUARANTINE_US);
		keeper_let_go(group->keeper);
	} else {
		group_keeper_gone(group);
	}
}

void group_lease_leaving(struct lease *lease, const struct release_report *report)
{
	struct iommu_group *group = lease->device->group;
	const struct device *device;

	lease_leaving(lease, report);
	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease && device->lease->state != LEASE_RELEASING) {
			group_arm_deadline(group);
			return;
		}
	}
	group_release(group);
}

void group_lease_end(struct lease *lease)
{
	struct inventory *inventory = &lease->broker->inventory;
	struct device *device = lease->device;
	struct iommu_group *group = device->group;

	lease_free(lease);
	if (group && !group_leased(group))
		group_release(group);
	if (group)
		waiter_tell(group, &(struct waiter_news){.event = WAITER_LEASE_ENDED, .device = device->name});
	inventory_prune(inventory, device);
}

void group_lease_refused(struct lease *lease, int result, const struct detail *detail)
{
	struct session *session = lease->session;
	lease_answer answer = lease->answer;

	group_lease_end(lease);
	if (session)
		answer(session, NULL, result, detail);
}

/* Nobody holds the devices any more, whatever their clients were told. */
static void end_leases(struct iommu_group *group)
{
	const struct release_report *report;
	struct device *device, *next;
	struct detail detail;

	for (device = LIST_FIRST(&group->devices); device; device = next) {
		next = LIST_NEXT(device, in_group);
		if (!device->lease)
			continue;
		if (device->lease->state == LEASE_OFFERED) {
			refuse(&detail, REFUSAL_NO_KEEPER, "%s: the keeper ended before it had the device",
				device->name);
			group_lease_refused(device->lease, REFUSAL_NO_KEEPER, &detail);
			continue;
		}
		/* The keeper may have closed the device, and said so, before the group hung. */
		report = device->lease->report.steps_done ? &device->lease->report : NULL;
		ending_record(device->lease, report, 0);
		quarantine_lease_ended(device->lease, report);
		group_lease_end(device->lease);
	}
}

void group_keeper_gone(struct iommu_group *group)
{
	if (group->state == GROUP_HELD || group->state == GROUP_QUERIED) {
		group->state = GROUP_RELEASING;
		begin_release(group);
	}
	group->keeper = NULL;
	group->session = NULL;
	/* Of a keeper that was killed, the kernel may hold an end up before the devices are closed. */
	quiet_group(group);
	end_leases(group);
	if (group->state != GROUP_QUARANTINED)
		group->state = GROUP_RESTORING;
	ask_kernel(group);
}

void group_give_back(struct iommu_group *group, struct broker *broker)
{
	group->broker = broker;
	if (group->state == GROUP_FREE && has_claims(group))
		group_restore(group, broker);
	else if (group->state == GROUP_FREE)
		prune_devices(group);
	else if (group->state == GROUP_RESTORING)
		recheck_in(group, 0);
}

void group_end_quarantine(struct broker *broker, struct device *device)
{
	quarantine_end(broker, device);
	if (device->group)
		group_give_back(device->group, broker);
}

void group_query(struct iommu_group *group, struct broker *broker, struct keeper *keeper)
{
	assert(group->state == GROUP_FREE && !group->keeper);
	group->state = GROUP_QUERIED;
	group->broker = broker;
	group->keeper = keeper;
}

void group_adopt_holder(struct iommu_group *group, struct session *session)
{
	assert(group->state == GROUP_QUERIED);
	group->state = GROUP_HELD;
	group->session = session;
	group->holder_owner = session->peer.owner;
}

void group_adopt_done(struct iommu_group *group)
{
	if (group->state == GROUP_HELD)
		waiter_wake(group);
}

void group_give_up(struct iommu_group *group)
{
	group_release(group);
	if (group->state != GROUP_RELEASING)
		return;
	group->release_began_us -= GROUP_QUARANTINE_US;
	quarantine_if_late(group);
}

void group_driver_appeared(struct broker *broker)
{
	struct iommu_group *group;
	struct device *device;

	LIST_FOREACH(device, &broker->inventory.devices, in_inventory)
		rebind_driver_appeared(broker, device);
	LIST_FOREACH(group, &broker->inventory.groups, in_inventory) {
		if (group->state == GROUP_FREE && rebind_is_open(group))
			group_restore(group, broker);
	}
}

void group_device_bound(struct broker *broker, struct device *device)
{
	if (!device->group || device->group->state != GROUP_FREE)
		return;
	if (quarantine_taken(broker, device) || (device->claim && device->claim->error != 0))
		group_give_back(device->group, broker);
}

void group_restore(struct iommu_group *group, struct broker *broker)
{
	if (group->state != GROUP_FREE)
		return;
	group->broker = broker;
	group->state = GROUP_RESTORING;
	begin_release(group);
	recheck_in(group, 0);
}

void group_restore_recorded(struct device *device, struct broker *broker)
{
	const struct quarantine *q = device->quarantine;
	struct iommu_group *group = device->group;

	/* If DEVICE is not on record as in use, Q's holder may not be the last. A keeper that has the group knows
	 * better, and so does the record of a sibling in use. */
	if (device->handed_out || (group->holder.pid == 0 && !group->keeper))
		group_held_by(group, &q->holder);
	if (device->handed_out)
		group->direct |= q->direct;
	if (group->state == GROUP_QUERIED)
		quiet_queried(group);
	group_restore(group, broker);
}
