/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "holder.h"
#include "name.h"
#include "session.h"
#include "text.h"

#include <string.h>

int vbroker_session_unquarantine(struct vbroker_session *session, const char *name, unsigned int flags,
	struct vbroker_unquarantined *ret_released)
{
	static const struct requester_reply expected = {.size = sizeof(struct unquarantine_reply)};
	struct unquarantine_request *release = requester_begin(&session->channel, BROKER_UNQUARANTINE, sizeof *release);
	const struct unquarantine_reply *reply;
	int r;

	detail_clear();
	release->flags = flags;
	r = name_find(name, release->name);
	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	text_copy(ret_released->ended, sizeof ret_released->ended, reply->ended, sizeof reply->ended);
	text_copy(
		ret_released->unverified, sizeof ret_released->unverified, reply->unverified, sizeof reply->unverified);
	return 0;
}

static void read_report(struct vbroker_revocation *revocation, const struct release_report *report)
{
	revocation->reason = (enum vbroker_end_reason)report->reason;
	revocation->reset = (enum vbroker_reset_result)report->reset;
	for (unsigned int i = 0; i < RELEASE_STEPS; i++)
		revocation->steps[i] = (struct vbroker_step){
			.taken = !!(report->steps_done & 1U << i),
			.error = (int)report->steps[i].error,
			.time_us = report->steps[i].time_us,
		};
}

int vbroker_session_revoke(struct vbroker_session *session, const char *name, uint32_t deadline_ms,
	struct vbroker_revocation *ret_revocation)
{
	/* The holder may go on until the deadline. */
	const struct requester_reply expected = {.size = sizeof(struct revoke_reply), .wait_ms = deadline_ms};
	struct revoke_request *request = requester_begin(&session->channel, BROKER_REVOKE, sizeof *request);
	const struct revoke_reply *reply;
	int r;

	detail_clear();
	request->deadline_ms = deadline_ms;
	r = name_find(name, request->name);
	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	memset(ret_revocation, 0, sizeof *ret_revocation);
	ret_revocation->result = (enum vbroker_revoke_result)reply->result;
	ret_revocation->group = reply->group;
	ret_revocation->keeper_pid = reply->keeper_pid;
	ret_revocation->time_us = reply->time_us;
	holder_read(&ret_revocation->holder, &reply->holder);
	ret_revocation->reported = reply->reported != 0;
	read_report(ret_revocation, &reply->report);
	text_copy(ret_revocation->detail, sizeof ret_revocation->detail, reply->detail, sizeof reply->detail);
	return 0;
}
