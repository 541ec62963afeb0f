/* SPDX-License-Identifier: MIT */
#include "lease/keeper_inbox.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/limits.h"
#include "base/loop.h"
#include "device_name.h"
#include "lease/ending.h"
#include "lease/group.h"
#include "lease/handover.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "log.h"
#include "state/inventory.h"
#include "state/waiter.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The channel has closed because the keeper ended or died, or the broker gave the keeper up. */
static void keeper_gone(struct keeper *keeper)
{
	struct broker *broker = keeper->broker;
	struct iommu_group *group = keeper->group;

	if (keeper->state != KEEPER_LETTING_GO)
		log_line(LOG_WARNING, "keeper (pid %u) ended unexpectedly", keeper->pid);
	/* The keeper was the spare, or ended before LEASE was answered and another spare was prepared. */
	if (broker->spare == keeper || !broker->spare)
		keeper_prepare_in(broker, KEEPER_RETRY_US);
	keeper_free(keeper);
	if (group)
		group_keeper_gone(group);
}

static void hand_over(struct lease *lease)
{
	struct session *session = lease->session;
	struct audit_event event;
	char who[128];

	if (!session)
		return;
	lease_accepted(lease);
	if (lease->direct)
		group_note_direct(lease->device->group);
	quarantine_record_use(lease);
	event = audit_of_lease(CHANGE_GRANT, lease);
	event.duration_us = loop_now(lease->broker->event) - session->opening->since_us;
	audit_record(lease->broker, &event, "%s: leased to %s%s", lease->device->name,
		peer_text(&session->peer, who, sizeof who), lease->direct ? ", with access = direct" : "");
	lease->answer(session, lease, 0, NULL);
}

static int on_lease_reply(struct keeper *keeper, const struct packet *packet)
{
	struct broker *broker = keeper->broker;
	struct lease *lease = keeper->offered;
	const struct lease_reply *reply = packet_body(packet, sizeof *reply);
	struct detail detail;

	/* The keeper may have answered before reading the order to let go. */
	if (keeper->state == KEEPER_LETTING_GO)
		return 0;
	if (!lease)
		return -EPROTO;
	keeper_answered(keeper);
	if (packet->header.flags & MESSAGE_REFUSED) {
		group_lease_refused(lease, packet_refusal(packet, &detail), &detail);
	} else if (reply) {
		keeper_introduce(keeper, reply->pid, reply->uid);
		hand_over(lease);
	} else {
		return -EPROTO;
	}
	keeper_prepare_in(broker, KEEPER_SPARE_US);
	return 0;
}

static int on_released(struct keeper *keeper, const struct packet *packet)
{
	const struct released_event *event = packet_body(packet, sizeof *event);
	struct device *device;
	struct detail detail;

	if (!event || !keeper->group || !device_name_valid(event->name))
		return -EPROTO;
	device = inventory_find(&keeper->broker->inventory, event->name);
	if (device && device->group == keeper->group)
		waiter_tell(keeper->group, &(struct waiter_news){.event = WAITER_RELEASED, .released = event});
	/* There is no lease to end: the lease was refused; or the lease is of an earlier broker, and is not adopted
	 * yet (the keeper is QUERIED) or never will be (the keeper was told to let go instead). Any other lease stands
	 * until RELEASED, although the keeper may have been told to let go. */
	if (!device || !device->lease || device->group != keeper->group) {
		handover_released(keeper, event);
		return 0;
	}
	/* The keeper has not taken the device yet. The answer to LEASE is still to come, and must find the lease. */
	if (device->lease == keeper->offered)
		return -EPROTO;
	/* The group was taken back while the answer to LEASE was on the way: the client never had the device. */
	if (device->lease->state == LEASE_OFFERED) {
		refuse(&detail, REFUSAL_REVOKED, "%s: taken back before it was handed over", device->name);
		group_lease_refused(device->lease, REFUSAL_REVOKED, &detail);
		return 0;
	}
	ending_record(device->lease, &event->report, (int)event->error);
	quarantine_lease_ended(device->lease, &event->report);
	/* Only the kernel knows when the holder closes the device, so the group is released as a whole. */
	if (event->report.reset == RESET_UNSURE)
		group_release(keeper->group);
	group_lease_end(device->lease);
	return 0;
}

/* The lease that an event of KEEPER is about, or NULL if KEEPER does not have the lease. */
static struct lease *lease_of(const struct keeper *keeper, const char name[DEVICE_NAME_SIZE])
{
	const struct device *device;

	if (!keeper->group || !device_name_valid(name))
		return NULL;
	device = inventory_find(&keeper->broker->inventory, name);
	if (!device || device->group != keeper->group || device->lease == keeper->offered)
		return NULL;
	return device->lease;
}

static int on_leaving(struct keeper *keeper, const struct packet *packet)
{
	const struct released_event *event = packet_body(packet, sizeof *event);
	struct lease *lease = event ? lease_of(keeper, event->name) : NULL;

	if (lease)
		group_lease_leaving(lease, &event->report);
	return event ? 0 : -EPROTO;
}

/* KEEPER_EVENT_RELEASED follows, and ends the lease. */
static int on_fault(struct keeper *keeper, const struct packet *packet)
{
	const struct fault_event *event = packet_body(packet, sizeof *event);
	const struct lease *lease = event ? lease_of(keeper, event->name) : NULL;
	struct audit_event record;
	char who[128];

	if (lease) {
		record = audit_of_lease(CHANGE_FAULT, lease);
		audit_record(keeper->broker, &record,
			"%s: has reported an uncorrectable error, and is taken back from %s", lease->device->name,
			peer_record_text(&record.who, who, sizeof who));
	}
	return event ? 0 : -EPROTO;
}

static int on_bound(struct keeper *keeper, const struct packet *packet)
{
	const struct bound_event *event = packet_body(packet, sizeof *event);
	struct audit_event record;
	struct device *device;
	char who[128];

	if (!event || !device_name_valid(event->name))
		return -EPROTO;
	device = inventory_find(&keeper->broker->inventory, event->name);
	if (!device || !device->lease || device->group != keeper->group)
		return 0;
	record = audit_of_lease(event->bound ? CHANGE_BIND : CHANGE_UNBIND, device->lease);
	record.duration_us = event->duration_us;
	audit_record(keeper->broker, &record, "%s: %s an IOMMU domain of %s", device->name,
		event->bound ? "bound to" : "unbound from", peer_record_text(&record.who, who, sizeof who));
	return 0;
}

static int on_event(struct keeper *keeper, const struct packet *packet)
{
	switch (packet->header.type) {
	case KEEPER_EVENT_RELEASED:
		return on_released(keeper, packet);
	case KEEPER_EVENT_LEAVING:
		return on_leaving(keeper, packet);
	case KEEPER_EVENT_FAULT:
		return on_fault(keeper, packet);
	case KEEPER_EVENT_BOUND:
		return on_bound(keeper, packet);
	default:
		return 0;
	}
}

static int on_query_reply(struct keeper *keeper, const struct packet *packet)
{
	/* Several brokers may have asked, each killed before the answer came. */
	if (keeper->state == KEEPER_LETTING_GO || packet->header.cookie != keeper->broker->started_us)
		return 0;
	if (keeper->state != KEEPER_QUERIED || (packet->header.flags & MESSAGE_REFUSED))
		return -EPROTO;
	keeper_answered(keeper);
	keeper_ready(keeper);
	return handover_answered(keeper, packet);
}

static int on_packet(struct keeper *keeper, const struct packet *packet)
{
	const struct message_header *header = &packet->header;

	if (header->flags & MESSAGE_EVENT)
		return on_event(keeper, packet);
	if (!(header->flags & MESSAGE_REPLY))
		return -EPROTO;
	switch (header->type) {
	case KEEPER_HELLO:
		if (header->flags & MESSAGE_REFUSED)
			return -EPROTO;
		if (keeper->state == KEEPER_STARTING)
			keeper_ready(keeper);
		return 0;
	case KEEPER_LEASE:
		/* The answer is for an earlier broker: the lease ended when that broker's copy of the client's end
		 * was closed. */
		return keeper->state == KEEPER_QUERIED ? 0 : on_lease_reply(keeper, packet);
	case KEEPER_REVOKE:
		/* The keeper has noted the order, or refuses because RELEASED is on the way. */
		return 0;
	case KEEPER_QUERY:
		return on_query_reply(keeper, packet);
	default:
		return -EPROTO;
	}
}

static void readable(struct keeper *keeper)
{
	struct packet *packet = &keeper->broker->buffers.request;
	int r = packet_receive(keeper->fd, MSG_DONTWAIT, 0, packet);

	if (r == -EAGAIN)
		return;
	if (r == PACKET_RECEIVED)
		r = on_packet(keeper, packet);
	else if (r == PACKET_END)
		r = -EPIPE;
	if (r == -EPROTO)
		log_line(LOG_ERR, "keeper (pid %u) broke the protocol: is it of the same version?", keeper->pid);
	if (r < 0)
		keeper_gone(keeper);
}

static void timed_out(struct keeper *keeper)
{
	if (keeper->state == KEEPER_QUERIED) {
		log_line(LOG_ERR, "group %u: the keeper has not named its leases in %llu s, and is told to let go",
			keeper->group->number, KEEPER_ANSWER_US / 1000000);
		group_give_up(keeper->group);
		return;
	}
	if (keeper->state == KEEPER_STARTING)
		log_line(LOG_ERR, "a keeper has not started in %llu s: see 'systemctl status vfio-keeper.socket'",
			KEEPER_START_US / 1000000);
	else
		log_line(LOG_ERR, "a keeper has not answered LEASE in %llu s, and is given up",
			KEEPER_ANSWER_US / 1000000);
	keeper_gone(keeper);
}

const struct keeper_events keeper_inbox = {.readable = readable, .timed_out = timed_out};
