/* SPDX-License-Identifier: MIT */
#include "audit/event.h"

#include "audit/audit_ids.h"
#include "base/limits.h"
#include "base/loop.h"
#include "clock.h"
#include "log.h"

#include <stdio.h>

const struct audit_kind audit_kinds[CHANGE_MAX] = {
	[CHANGE_GRANT] = {AUDIT_ID_GRANT, LOG_INFO, AUDIT_BURST_LEASES, true},
	[CHANGE_BIND] = {AUDIT_ID_BIND, LOG_INFO, AUDIT_BURST, false},
	[CHANGE_UNBIND] = {AUDIT_ID_UNBIND, LOG_INFO, AUDIT_BURST, false},
	[CHANGE_DENIAL] = {AUDIT_ID_DENIAL, LOG_NOTICE, AUDIT_BURST, false},
	[CHANGE_RELEASE] = {AUDIT_ID_RELEASE, LOG_INFO, AUDIT_BURST_LEASES, true},
	[CHANGE_REVOKE_PENDING] = {AUDIT_ID_REVOKE_PENDING, LOG_NOTICE, 0, false},
	[CHANGE_REVOKE] = {AUDIT_ID_REVOKE, LOG_NOTICE, 0, false},
	[CHANGE_QUARANTINE] = {AUDIT_ID_QUARANTINE, LOG_ERR, 0, false},
	[CHANGE_QUARANTINE_END] = {AUDIT_ID_QUARANTINE_END, LOG_NOTICE, 0, false},
	[CHANGE_QUARANTINE_FORCE] = {AUDIT_ID_QUARANTINE_FORCE, LOG_WARNING, 0, false},
	[CHANGE_POLICY] = {AUDIT_ID_POLICY, LOG_NOTICE, 0, false},
	[CHANGE_ADD] = {AUDIT_ID_ADD, LOG_INFO, 0, false},
	[CHANGE_REMOVE] = {AUDIT_ID_REMOVE, LOG_INFO, 0, false},
	[CHANGE_FAULT] = {AUDIT_ID_FAULT, LOG_WARNING, 0, false},
	[CHANGE_LOST] = {AUDIT_ID_LOST, LOG_WARNING, 0, false},
	[CHANGE_FRONT_LOST] = {AUDIT_ID_FRONT_LOST, LOG_WARNING, 0, false},
};

int audit_level(const struct audit_event *event)
{
	return event->level ? event->level : audit_kinds[event->kind].level;
}

struct audit_event audit_of_session(enum change_kind kind, const struct session *session)
{
	struct audit_event event = {.kind = kind, .session = session->id, .owner = session->peer.owner};

	peer_record(&session->peer, &event.who);
	return event;
}

struct audit_event audit_of_group(enum change_kind kind, const struct iommu_group *group)
{
	return (struct audit_event){.kind = kind, .group = group, .who = group->holder, .owner = group->holder_owner};
}

struct audit_event audit_of_lease(enum change_kind kind, const struct lease *lease)
{
	struct audit_event event = {.kind = kind};

	if (lease->device->group)
		event = audit_of_group(kind, lease->device->group);
	event.device = lease->device->name;
	event.owner = lease->user->uid;
	event.session = lease->session ? lease->session->id : 0;
	event.rule = lease->rule;
	event.duration_us = loop_now(lease->broker->event) - lease->since_us;
	return event;
}

void audit_event_change(const struct audit_event *event, const char *message, struct change_event *ret_change)
{
	*ret_change = (struct change_event){
		.time_us = clock_us_of(CLOCK_REALTIME),
		.kind = (uint32_t)event->kind,
		.level = (uint32_t)audit_level(event),
		.refusal = (uint32_t)(event->refusal < 0 ? REFUSAL_FAILED : event->refusal),
		.group = event->group ? event->group->number : GROUP_NONE,
		.session = event->session,
		.duration_us = event->duration_us,
		.count = event->count ? event->count : 1,
		.who = event->who,
	};
	if (event->device)
		snprintf(ret_change->device, sizeof ret_change->device, "%s", event->device);
	if (event->rule)
		snprintf(ret_change->rule, sizeof ret_change->rule, "%s", event->rule);
	snprintf(ret_change->message, sizeof ret_change->message, "%s", message);
}
