/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "session.h"
#include "text.h"

#include <string.h>

int vbroker_session_status(struct vbroker_session *session, struct vbroker_status *ret_status)
{
	static const struct requester_reply expected = {.size = sizeof(struct status_reply)};
	const struct status_reply *reply;
	int r;

	detail_clear();
	requester_begin(&session->channel, BROKER_STATUS, 0);
	r = requester_call(&session->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	*ret_status = (struct vbroker_status){
		.uptime_us = reply->uptime_us,
		.sessions = reply->sessions,
		.leases = reply->leases,
		.keepers = reply->keepers,
		.keepers_spare = reply->keepers_spare,
		.devices = reply->devices,
		.quarantined = reply->quarantined,
		.requests = reply->requests,
		.opens = reply->opens,
		.refusals = reply->refusals,
		.releases = reply->releases,
		.malformed = reply->malformed,
		.policy_in_force = (reply->policy.flags & POLICY_IN_FORCE) != 0,
		.policy_rules = reply->policy.rules,
		.policy_age_us = reply->policy.age_us,
		.watchers = reply->watchers,
		.suppressed = reply->suppressed,
		.lost = reply->lost,
		.missed = reply->missed,
	};
	memcpy(ret_status->changes, reply->changes, sizeof ret_status->changes);
	memcpy(ret_status->denials, reply->denials, sizeof ret_status->denials);
	if (reply->policy.flags & POLICY_FILES_WRONG)
		text_copy(ret_status->policy_error, sizeof ret_status->policy_error, reply->policy.error,
			sizeof reply->policy.error);
	return 0;
}
