/* SPDX-License-Identifier: MIT */
#include "change.h"
#include "detail.h"
#include "holder.h"
#include "session.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT_MAX 64

/* Events received while a reply was waited for, in order of arrival. */
struct watch {
	size_t first, count;
	uint64_t missed; /* events without room in the array */
	struct change_event kept[KEPT_MAX];
};

const char *vbroker_change_name(int kind)
{
	return change_name(kind);
}

static const struct change_event *change_of(const struct packet *packet)
{
	const struct change_event *change = packet_body(packet, sizeof *change);

	return packet->header.type == BROKER_EVENT_CHANGE && packet->header.length == sizeof *change ? change : NULL;
}

/* Events dropped for lack of room are counted in `missed` of the next event delivered. */
static uint64_t take_missed(struct watch *watch)
{
	uint64_t missed = watch->missed;

	watch->missed = 0;
	return missed;
}

static void on_event(void *context, const struct packet *packet)
{
	const struct change_event *change = change_of(packet);
	struct watch *watch = context;
	struct change_event *kept;

	if (!change)
		return;
	if (watch->count == KEPT_MAX) {
		watch->missed += 1 + change->missed;
		return;
	}
	kept = &watch->kept[(watch->first + watch->count++) % KEPT_MAX];
	*kept = *change;
	kept->missed += take_missed(watch);
}

int vbroker_session_watch(struct vbroker_session *session)
{
	static const struct requester_reply expected = {0};
	struct watch *watch = session->watch;
	int r;

	detail_clear();
	if (!watch) {
		watch = calloc(1, sizeof *watch);
		if (!watch)
			return -ENOMEM;
	}
	/* Events may come before the reply. */
	requester_on_event(&session->channel, on_event, watch);
	requester_begin(&session->channel, BROKER_WATCH, sizeof(struct watch_request));
	r = requester_call(&session->channel, &expected);
	if (r == 0) {
		session->watch = watch;
	} else if (!session->watch) {
		requester_on_event(&session->channel, NULL, NULL);
		free(watch);
	}
	return r;
}

static void read_change(struct vbroker_change *change, const struct change_event *event)
{
	*change = (struct vbroker_change){
		.time_us = event->time_us,
		.missed = event->missed,
		.kind = (enum vbroker_change_kind)event->kind,
		.level = event->level,
		.refusal = (int)event->refusal,
		.group = event->group,
		.session = event->session,
		.duration_us = event->duration_us,
		.count = event->count,
	};
	holder_read(&change->who, &event->who);
	text_copy(change->device, sizeof change->device, event->device, sizeof event->device);
	text_copy(change->rule, sizeof change->rule, event->rule, sizeof event->rule);
	text_copy(change->message, sizeof change->message, event->message, sizeof event->message);
}

int vbroker_session_event(struct vbroker_session *session, int timeout_ms, struct vbroker_change *ret_change)
{
	struct watch *watch = session->watch;
	const struct change_event *change;
	int r;

	detail_clear();
	if (!watch)
		return detail_set(-EINVAL, "vbroker_session_watch() was not called");
	if (watch->count > 0) {
		read_change(ret_change, &watch->kept[watch->first]);
		watch->first = (watch->first + 1) % KEPT_MAX;
		watch->count--;
		return 0;
	}
	do {
		r = requester_event(&session->channel, timeout_ms);
		change = r == 0 ? change_of(&session->channel.packet) : NULL;
	} while (r == 0 && !change);
	if (r != 0)
		return r;
	read_change(ret_change, change);
	ret_change->missed += take_missed(watch);
	return 0;
}
