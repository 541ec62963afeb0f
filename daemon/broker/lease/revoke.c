/* SPDX-License-Identifier: MIT */
#include "lease/revoke.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/loop.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "lease/quiet.h"
#include "log.h"

static int on_deadline(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	quiet_lease(userdata);
	return 0;
}

/* The keeper has the same deadline, and need not be there any more. */
static void arm_deadline(struct lease *lease, uint64_t delay_us)
{
	if (delay_us == 0)
		quiet_lease(lease);
	else if (loop_timer(lease->broker->event, &lease->deadline, delay_us, on_deadline, lease) < 0)
		log_line(
			LOG_ERR, "%s: out of memory for a timer: the keeper alone makes it quiet", lease->device->name);
}

/* The end of the lease is an event of its own (lease/ending.h). */
static void record_pending(const struct lease *lease, uint64_t deadline_us)
{
	struct audit_event event = audit_of_lease(CHANGE_REVOKE_PENDING, lease);
	char who[128];

	audit_record(lease->broker, &event, "%s: to be taken back from %s in %llu ms: %s", lease->device->name,
		peer_record_text(&event.who, who, sizeof who), (unsigned long long)(deadline_us / 1000), lease->order);
}

void revoke_lease(struct lease *lease, enum end_reason reason, uint64_t deadline_us, const char *words)
{
	struct broker *broker = lease->broker;
	struct iommu_group *group = lease->device->group;
	uint64_t now = loop_now(broker->event);
	uint64_t due = deadline_us < UINT64_MAX - now ? now + deadline_us : UINT64_MAX;

	if (group->state != GROUP_HELD || lease->state == LEASE_RELEASING || (lease->due_us && due >= lease->due_us))
		return;
	lease_ordered(lease, due, words);
	if (deadline_us > 0)
		record_pending(lease, deadline_us);
	arm_deadline(lease, deadline_us);
	/* A keeper that takes no orders any more reads the end of the channel instead. */
	if (keeper_revoke(group->keeper, lease, reason, deadline_us, words) < 0) {
		group_release(group);
		return;
	}
	/* The next broker sees to the same deadline. The record of an offered device comes with the device. */
	if (lease->state == LEASE_HELD)
		quarantine_record_use(lease);
	group_arm_deadline(group);
}

void revoke_adopted(struct lease *lease)
{
	uint64_t now = loop_now(lease->broker->event);

	if (lease->due_us == 0)
		return;
	arm_deadline(lease, lease->due_us > now ? lease->due_us - now : 0);
	group_arm_deadline(lease->device->group);
}
