/* SPDX-License-Identifier: MIT */
#include "lease/keeper.h"

#include "audit/audit.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/store.h"
#include "connection.h"
#include "fdset.h"
#include "lease/group.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "log.h"
#include "packet.h"
#include "request/revocation.h"
#include "service/recall.h"
#include "service/service.h"
#include "state/inventory.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Requests to keepers are told apart by type, there being one of each at a time. QUERY has the time when this broker was started:
 * earlier ones may have asked as well. */
#define COOKIE 1

void keeper_free(struct keeper *keeper)
{
	struct broker *broker = keeper->broker;

	LIST_REMOVE(keeper, in_broker);
	broker->keepers_count--;
	if (broker->spare == keeper)
		broker->spare = NULL;
	sd_event_source_disable_unref(keeper->io);
	sd_event_source_disable_unref(keeper->timeout);
	if (keeper->group)
		store_forget_keeper(keeper->group->number);
	/* It sees the end, although systemd may still have a copy. */
	shutdown(keeper->fd, SHUT_RDWR);
	close(keeper->fd);
	free(keeper);
}

static int on_spare_time(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	keeper_prepare(userdata);
	return 0;
}

/* What is due earlier stays due: a keeper that ends right after its lease does not put off the one that replaces it. */
static void prepare_later(struct broker *broker, uint64_t delay_us)
{
	uint64_t due;

	if (broker->spare_timer && sd_event_source_get_enabled(broker->spare_timer, NULL) > 0 &&
		sd_event_source_get_time(broker->spare_timer, &due) >= 0 && due <= loop_now(broker->event) + delay_us)
		return;
	if (loop_timer(broker->event, &broker->spare_timer, delay_us, on_spare_time, broker) < 0)
		log_line(LOG_ERR, "out of memory: the next lease will have to start its keeper");
}

/* The channel has closed, by the keeper's end or its death, or we gave it up. */
static void keeper_gone(struct keeper *keeper)
{
	struct broker *broker = keeper->broker;
	struct group *group = keeper->group;

	if (keeper->state != KEEPER_LETTING_GO)
		log_line(LOG_WARNING, "keeper (pid %u) ended unexpectedly", keeper->pid);
	/* It was the spare one, or ended before its LEASE was answered and another was prepared. */
	if (broker->spare == keeper || !broker->spare)
		prepare_later(broker, KEEPER_RETRY_US);
	keeper_free(keeper);
	if (group)
		group_keeper_gone(group);
	broker_settle(broker);
}

/* ---- what it says ---- */

static int on_lease_reply(struct keeper *keeper, const struct packet *packet)
{
	struct broker *broker = keeper->broker;
	struct lease *lease = keeper->offered;
	const struct lease_reply *reply = packet_body(packet, sizeof *reply);
	struct detail detail;

	/* It may have answered before it read that it shall let go. */
	if (keeper->state == KEEPER_LETTING_GO)
		return 0;
	if (!lease)
		return -EPROTO;
	keeper->offered = NULL;
	sd_event_source_set_enabled(keeper->timeout, SD_EVENT_OFF);
	if (packet->header.flags & MESSAGE_REFUSED) {
		lease_refused(lease, packet_refusal(packet, &detail), &detail);
	} else if (reply) {
		keeper->pid = reply->pid;
		keeper->uid = reply->uid;
		lease_accepted(lease);
	} else {
		return -EPROTO;
	}
	prepare_later(broker, KEEPER_SPARE_US);
	return 0;
}

static int on_released(struct keeper *keeper, const struct packet *packet)
{
	const struct released_event *event = packet_body(packet, sizeof *event);
	struct audit_event record;
	struct device *device;
	struct detail detail;
	char who[128];

	if (!event || !keeper->group || !device_name_valid(event->name))
		return -EPROTO;
	device = inventory_find(&keeper->broker->inventory, event->name);
	if (device && device->group == keeper->group)
		revocation_reported(keeper->group, event);
	/* Told to let go, or its lease was refused: the end of the lease is known already. */
	if (!device || !device->lease || device->group != keeper->group) {
		recall_released(keeper, event);
		return 0;
	}
	/* It has not taken it yet: its answer to LEASE is still to come, and must find the lease. */
	if (device->lease == keeper->offered)
		return -EPROTO;
	/* The group was taken back while its answer to LEASE was on the way: the client never had the device. */
	if (device->lease->state == LEASE_OFFERED) {
		refuse(&detail, REFUSAL_REVOKED, "%s: taken back before it was handed over", device->name);
		lease_refused(device->lease, REFUSAL_REVOKED, &detail);
		return 0;
	}
	record = audit_of_lease(CHANGE_RELEASE, device->lease);
	peer_record_text(&record.who, who, sizeof who);
	if (event->error != 0) {
		record.level = LOG_WARNING;
		record.refusal = -(int)event->error;
		audit_record(keeper->broker, &record, "%s: released by %s, but not cleanly: %s", device->name, who,
			strerror((int)event->error));
	} else {
		audit_record(keeper->broker, &record, "%s: released by %s", device->name, who);
	}
	keeper->broker->counters.releases++;
	quarantine_lease_ended(device->lease, &event->report);
	/* Nobody knows when its holder closes it but the kernel, by its group: that goes as one. */
	if (event->report.reset == RESET_UNSURE)
		group_release(keeper->group);
	lease_end(device->lease);
	return 0;
}

/* The lease that an event of the keeper is about, if it has that. */
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
		lease_leaving(lease, &event->report);
	return event ? 0 : -EPROTO;
}

/* The end of the lease follows by itself. */
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
	/* Several brokers may have asked, each killed before it was answered. */
	if (keeper->state == KEEPER_LETTING_GO || packet->header.cookie != keeper->broker->started_us)
		return 0;
	if (keeper->state != KEEPER_RECALLED || (packet->header.flags & MESSAGE_REFUSED))
		return -EPROTO;
	sd_event_source_set_enabled(keeper->timeout, SD_EVENT_OFF);
	keeper->state = KEEPER_READY;
	return recall_answered(keeper, packet);
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
			keeper->state = KEEPER_READY;
		return 0;
	case KEEPER_LEASE:
		/* To an earlier broker: the lease has ended with that one's end of the device channel. */
		return keeper->state == KEEPER_RECALLED ? 0 : on_lease_reply(keeper, packet);
	case KEEPER_REVOKE:
		/* Noted; or refused, because RELEASED is on its way. */
		return 0;
	case KEEPER_QUERY:
		return on_query_reply(keeper, packet);
	default:
		return -EPROTO;
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct keeper *keeper = userdata;
	struct packet *packet = &keeper->broker->buffers.request;
	int r = packet_receive(fd, MSG_DONTWAIT, 0, packet);

	(void)source;
	(void)events;
	if (r == -EAGAIN)
		return 0;
	if (r == PACKET_RECEIVED)
		r = on_packet(keeper, packet);
	else if (r == PACKET_END)
		r = -EPIPE;
	if (r == -EPROTO)
		log_line(LOG_ERR, "keeper (pid %u) broke the protocol: is it of the same version?", keeper->pid);
	if (r < 0)
		keeper_gone(keeper);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata)
{
	struct keeper *keeper = userdata;

	(void)source;
	(void)now;
	if (keeper->state == KEEPER_RECALLED) {
		log_line(LOG_ERR, "group %u: its keeper has not said in %llu s what it holds: it shall let go",
			keeper->group->number, KEEPER_ANSWER_US / 1000000);
		group_recall_failed(keeper->group);
		return 0;
	}
	log_line(LOG_ERR, "keeper (pid %u) has not answered in %llu s: see 'systemctl status vfio-keeper.socket'",
		keeper->pid, KEEPER_ANSWER_US / 1000000);
	keeper_gone(keeper);
	return 0;
}

/* ---- starting one ---- */

static int greet(struct keeper *keeper)
{
	struct packet *packet = &keeper->broker->outgoing;
	struct hello_request *hello;

	packet_request(packet, KEEPER_HELLO, COOKIE);
	hello = packet_append(packet, sizeof *hello);
	hello->version_lowest = MESSAGE_VERSION;
	hello->version_highest = MESSAGE_VERSION;
	return packet_send(keeper->fd, MSG_DONTWAIT, packet);
}

/* Takes FD on success. */
static int keeper_make(struct broker *broker, int fd, enum keeper_state state, struct keeper **ret_keeper)
{
	struct keeper *keeper = calloc(1, sizeof *keeper);
	int r;

	if (!keeper)
		return -ENOMEM;
	*keeper = (struct keeper){.broker = broker, .fd = fd, .state = state};
	r = sd_event_add_io(broker->event, &keeper->io, fd, EPOLLIN, on_io, keeper);
	/* Before clients: what a keeper lets go of may be what the next client asks for. */
	if (r >= 0)
		r = sd_event_source_set_priority(keeper->io, SD_EVENT_PRIORITY_IMPORTANT);
	if (r < 0) {
		sd_event_source_disable_unref(keeper->io);
		free(keeper);
		return r;
	}
	LIST_INSERT_HEAD(&broker->keepers, keeper, in_broker);
	broker->keepers_count++;
	*ret_keeper = keeper;
	return 0;
}

static int keeper_new(struct broker *broker, struct keeper **ret_keeper)
{
	struct keeper *keeper;
	/* systemd listens. */
	OWNED_FD fd = connection_open(broker->options.keeper_socket, SOCK_SEQPACKET);
	int r;

	if (fd < 0)
		return fd;
	r = keeper_make(broker, fd, KEEPER_STARTING, &keeper);
	if (r < 0)
		return r;
	fd_take(&fd);
	r = greet(keeper);
	if (r < 0) {
		keeper_free(keeper);
		return r;
	}
	*ret_keeper = keeper;
	return 0;
}

void keeper_prepare(struct broker *broker)
{
	int r;

	if (broker->spare || broker->stopping)
		return;
	r = keeper_new(broker, &broker->spare);
	if (r < 0) {
		log_line(LOG_WARNING, "%s: no spare keeper: %s", broker->options.keeper_socket, strerror(-r));
		prepare_later(broker, KEEPER_RETRY_US);
	}
}

void keeper_prepare_later(struct broker *broker)
{
	prepare_later(broker, KEEPER_RETRY_US);
}

struct keeper *keeper_take(struct broker *broker, struct detail *detail)
{
	int r;

	if (broker->spare)
		return broker->spare;
	r = keeper_new(broker, &broker->spare);
	if (r < 0) {
		refuse(detail, REFUSAL_NO_KEEPER, "%s: %s", broker->options.keeper_socket, strerror(-r));
		return NULL;
	}
	return broker->spare;
}

void keeper_assign(struct keeper *keeper, struct group *group)
{
	struct broker *broker = keeper->broker;

	assert(broker->spare == keeper && !keeper->group);
	broker->spare = NULL;
	keeper->group = group;
	group->keeper = keeper;
	/* Before it gets anything that the next broker would have to know of. The spare one just ends with its broker. */
	store_keeper(keeper->fd, group->number);
}

/* ---- one of an earlier broker ---- */

struct keeper *keeper_recall(struct broker *broker, int fd)
{
	struct keeper *keeper;

	return keeper_make(broker, fd, KEEPER_RECALLED, &keeper) < 0 ? NULL : keeper;
}

void keeper_query(struct keeper *keeper)
{
	struct packet *packet = &keeper->broker->outgoing;
	int r;

	packet_request(packet, KEEPER_QUERY, keeper->broker->started_us);
	packet_append(packet, sizeof(struct query_request));
	r = packet_send(keeper->fd, MSG_DONTWAIT, packet);
	if (r == 0)
		r = loop_timer(keeper->broker->event, &keeper->timeout, KEEPER_ANSWER_US, on_timeout, keeper);
	/* -EPIPE: it was told to let go by the earlier broker, or has ended. It may have something to say still. */
	if (r < 0)
		group_release(keeper->group);
}

/* ---- what it is told ---- */

int keeper_offer(struct keeper *keeper, struct lease *lease, int group_fd, int windows, int channel)
{
	struct packet *packet = &keeper->broker->outgoing;
	struct lease_request *request;
	struct host_device now;
	int r;

	assert(!keeper->offered);
	packet_request(packet, KEEPER_LEASE, COOKIE);
	request = packet_append(packet, sizeof *request);
	if (group_fd >= 0) {
		request->flags = LEASE_GROUP;
		fdset_add(&packet->fds, group_fd);
	}
	if (windows >= 0) {
		request->flags |= LEASE_WINDOWS;
		fdset_add(&packet->fds, windows);
	}
	fdset_add(&packet->fds, channel);
	if (lease->direct)
		request->flags |= LEASE_DIRECT;
	memcpy(request->name, lease->device->name, sizeof request->name);
	request->group = lease->device->group->number;
	request->mappings = lease->mappings;
	request->windows = lease->windows;
	memcpy(request->rule, lease->rule, sizeof request->rule);
	request->origin = (struct lease_origin){
		.session = lease->session->id,
		.session_born = lease->session->born,
		.cookie = lease->session->opening_cookie,
		.since = lease->since_us,
		.holder = lease->device->group->holder,
	};
	r = keeper->broker->host->look(lease->device->name, &now);
	if (r == 0) {
		request->vendor = now.vendor;
		request->device = now.device;
		request->class = now.class;
		r = packet_send(keeper->fd, MSG_DONTWAIT, packet);
	}
	if (r == 0)
		r = loop_timer(keeper->broker->event, &keeper->timeout, KEEPER_ANSWER_US, on_timeout, keeper);
	if (r < 0) {
		packet_clear(packet);
		return r;
	}
	keeper->offered = lease;
	return 0;
}

int keeper_revoke(struct keeper *keeper, const struct lease *lease, enum end_reason reason, uint64_t deadline_us,
	const char *words)
{
	struct packet *packet = &keeper->broker->outgoing;
	struct revoke_order *order;

	packet_request(packet, KEEPER_REVOKE, COOKIE);
	order = packet_append(packet, sizeof *order);
	order->reason = reason;
	order->deadline_us = deadline_us;
	memcpy(order->name, lease->device->name, sizeof order->name);
	snprintf(order->words, sizeof order->words, "%s", words);
	return packet_send(keeper->fd, MSG_DONTWAIT, packet);
}

void keeper_let_go(struct keeper *keeper)
{
	keeper->state = KEEPER_LETTING_GO;
	keeper->offered = NULL;
	if (keeper->timeout)
		sd_event_source_set_enabled(keeper->timeout, SD_EVENT_OFF);
	/* It reads the end of its channel, lets go of everything, reports and ends; then we read the end of ours. */
	shutdown(keeper->fd, SHUT_WR);
}
