/* SPDX-License-Identifier: MIT */
#include "lease/keeper.h"

#include "base/limits.h"
#include "base/loop.h"
#include "base/store.h"
#include "connection.h"
#include "fdset.h"
#include "helper/operation.h"
#include "log.h"
#include "packet.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Replies of keepers are told apart by type: at most a single request of each type is unanswered at a time. The
 * cookie of QUERY is the time when this broker was started, because earlier brokers may have asked as well. */
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
		store_forget(STORE_KEEPER, keeper->group->number);
	/* The keeper sees the end, although systemd may still have a copy of the socket. */
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

void keeper_prepare_in(struct broker *broker, uint64_t delay_us)
{
	uint64_t due;

	if (broker->spare_timer && sd_event_source_get_enabled(broker->spare_timer, NULL) > 0 &&
		sd_event_source_get_time(broker->spare_timer, &due) >= 0 && due <= loop_now(broker->event) + delay_us)
		return;
	if (loop_timer(broker->event, &broker->spare_timer, delay_us, on_spare_time, broker) < 0)
		log_line(LOG_ERR, "out of memory: the next lease will have to start its keeper");
}

/* ---- starting one ---- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct keeper *keeper = userdata;

	(void)source;
	(void)fd;
	(void)events;
	keeper->broker->keeper_events->readable(keeper);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata)
{
	struct keeper *keeper = userdata;

	(void)source;
	(void)now;
	keeper->broker->keeper_events->timed_out(keeper);
	return 0;
}

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
	/* Keepers come before clients: the next client may ask for a device that a keeper is letting go of. */
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
	/* systemd listens on this socket. */
	OWNED_FD fd = connection_open(broker->options->keeper_socket, SOCK_SEQPACKET);
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
		log_line(LOG_WARNING, "%s: no spare keeper: %s", broker->options->keeper_socket, strerror(-r));
		keeper_prepare_in(broker, KEEPER_RETRY_US);
	}
}

struct keeper *keeper_take(struct broker *broker, struct detail *detail)
{
	int r;

	if (broker->spare)
		return broker->spare;
	r = keeper_new(broker, &broker->spare);
	if (r < 0) {
		refuse(detail, REFUSAL_NO_KEEPER, "%s: %s", broker->options->keeper_socket, strerror(-r));
		return NULL;
	}
	return broker->spare;
}

void keeper_assign(struct keeper *keeper, struct iommu_group *group)
{
	struct broker *broker = keeper->broker;

	assert(broker->spare == keeper && !keeper->group);
	broker->spare = NULL;
	keeper->group = group;
	/* Stored before the keeper gets anything that concerns the next broker. The spare keeper is not stored: the
	 * spare just ends with the broker. */
	store_put(STORE_KEEPER, group->number, &keeper->fd, 1);
}

/* ---- a keeper of an earlier broker ---- */

struct keeper *keeper_adopt(struct broker *broker, int fd, struct iommu_group *group)
{
	struct keeper *keeper;

	if (keeper_make(broker, fd, KEEPER_QUERIED, &keeper) < 0)
		return NULL;
	keeper->group = group;
	return keeper;
}

int keeper_query(struct keeper *keeper)
{
	struct packet *packet = &keeper->broker->outgoing;
	int r;

	packet_request(packet, KEEPER_QUERY, keeper->broker->started_us);
	packet_append(packet, sizeof(struct query_request));
	r = packet_send(keeper->fd, MSG_DONTWAIT, packet);
	if (r == 0)
		r = loop_timer(keeper->broker->event, &keeper->timeout, KEEPER_ANSWER_US, on_timeout, keeper);
	return r;
}

void keeper_await_lease(struct keeper *keeper, const char device[DEVICE_NAME_SIZE])
{
	memcpy(keeper->awaited, device, sizeof keeper->awaited);
}

void keeper_seen_lease(struct keeper *keeper, const char *device)
{
	if (strcmp(keeper->awaited, device) == 0)
		keeper->awaited[0] = '\0';
}

/* ---- orders to a keeper ---- */

int keeper_lend(struct keeper *keeper, struct lease *lease, const struct host_device *device, bool first, int channel,
	struct operation *operation)
{
	struct packet *packet = &keeper->broker->outgoing;
	struct lease_request *request;
	int copy = fcntl(keeper->fd, F_DUPFD_CLOEXEC, 0);

	assert(!keeper->offered && !keeper->lent);
	if (copy < 0) {
		close(channel);
		return -errno;
	}
	packet_request(packet, HELPER_LEASE, COOKIE);
	request = packet_append(packet, sizeof *request);
	fdset_add(&packet->fds, copy);
	fdset_add(&packet->fds, channel);
	request->flags = (first ? LEASE_GROUP : 0) | (lease->direct ? LEASE_DIRECT : 0);
	memcpy(request->name, lease->device->name, sizeof request->name);
	request->group = lease->device->group->number;
	request->mappings = lease->mappings;
	request->windows = lease->windows;
	memcpy(request->rule, lease->rule, sizeof request->rule);
	request->origin = (struct lease_origin){
		.session = lease->session->id,
		.session_started = lease->session->started,
		.since = lease->since_us,
		.holder = lease->device->group->holder,
	};
	request->vendor = device->vendor;
	request->device = device->device;
	request->class = device->class;
	keeper->offered = lease;
	keeper->lent = true;
	operation_send(operation, HELPER_LEASE, lease->device->name, packet);
	return 0;
}

/* LEASE is sent. A keeper that has not started will read LEASE when it has. */
static void await_answer(struct keeper *keeper)
{
	uint64_t limit_us = keeper->state == KEEPER_STARTING ? KEEPER_START_US : KEEPER_ANSWER_US;

	if (keeper->offered && !keeper->lent &&
		loop_timer(keeper->broker->event, &keeper->timeout, limit_us, on_timeout, keeper) < 0)
		log_line(LOG_ERR, "out of memory for a timer: a keeper that does not answer will not be noticed");
}

void keeper_returned(struct keeper *keeper)
{
	keeper->lent = false;
	await_answer(keeper);
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
	snprintf(order->text, sizeof order->text, "%s", words);
	return packet_send(keeper->fd, MSG_DONTWAIT, packet);
}

void keeper_let_go(struct keeper *keeper)
{
	keeper->state = KEEPER_LETTING_GO;
	keeper_answered(keeper);
	/* The keeper reads the end of the channel, lets go of everything, reports and ends; then we read the end of
	 * ours. */
	shutdown(keeper->fd, SHUT_WR);
}

/* ---- news from a keeper ---- */

void keeper_ready(struct keeper *keeper)
{
	keeper->state = KEEPER_READY;
	await_answer(keeper);
}

void keeper_introduce(struct keeper *keeper, uint32_t pid, uint32_t uid)
{
	keeper->pid = pid;
	keeper->uid = uid;
}

void keeper_answered(struct keeper *keeper)
{
	keeper->offered = NULL;
	if (keeper->timeout)
		sd_event_source_set_enabled(keeper->timeout, SD_EVENT_OFF);
}
