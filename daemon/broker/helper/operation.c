/* SPDX-License-Identifier: MIT */
#include "helper/operation.h"

#include "base/limits.h"
#include "base/loop.h"
#include "connection.h"
#include "fdset.h"
#include "helper/helper.h"
#include "helper/note.h"
#include "log.h"
#include "packet.h"
#include "state/inventory.h"
#include "state/operation_state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COOKIE 1

/* ---- sets ---- */

/* The name of the physical function that DEVICE is, or belongs to. */
static const char *physical(const struct device *device)
{
	return device->physical[0] ? device->physical : device->name;
}

/* A device of SET shares the physical function NAME. */
static bool has(const struct iommu_group *set, const char *name)
{
	const struct device *device;

	LIST_FOREACH(device, &set->devices, in_group) {
		if (strcmp(physical(device), name) == 0)
			return true;
	}
	return false;
}

static bool share(const struct iommu_group *one, const struct iommu_group *other)
{
	const struct device *device;

	if (!one || !other || one == other)
		return one == other && one;
	LIST_FOREACH(device, &one->devices, in_group) {
		if (has(other, physical(device)))
			return true;
	}
	return false;
}

/* Names of devices count for devices without a group, and for a device that has changed its group. */
static bool in_the_way(const struct operation *one, const struct operation *other)
{
	return share(one->group, other->group) || strcmp(one->device, other->device) == 0;
}

/* ---- the queue ---- */

static const struct operation *first_ahead(const struct operation *operation)
{
	const struct operation *earlier;

	TAILQ_FOREACH(earlier, &operation->broker->operations, in_broker)
	{
		if (earlier == operation)
			break;
		if (in_the_way(earlier, operation))
			return earlier;
	}
	return NULL;
}

static int on_operations_time(sd_event_source *source, uint64_t now, void *userdata);

/* Begins the first operation that may begin. Returns false if there is none. */
static bool begin_one(struct broker *broker)
{
	struct operation *operation;

	TAILQ_FOREACH(operation, &broker->operations, in_broker)
	{
		if (operation->begun || first_ahead(operation))
			continue;
		operation->helper = helper_take(operation);
		if (operation->helper)
			break;
		/* All helpers work, or none can be had. Some may hang by then, and no longer count. */
		if (loop_timer(broker->event, &broker->operations_timer, HELPER_RETRY_US, on_operations_time, broker) <
			0)
			log_line(LOG_ERR, "%s: out of memory for a timer", operation->device);
	}
	if (!operation)
		return false;
	operation->begun = true;
	operation->kind->begin(operation);
	return true;
}

static int on_turn(sd_event_source *source, void *userdata)
{
	(void)source;
	while (begin_one(userdata))
		;
	return 0;
}

/* Operations begin by the loop, and not inside a request that is being served: the first step may answer it. */
static void go_on(struct broker *broker)
{
	int r = 0;

	if (!broker->operations_turn)
		r = sd_event_add_defer(broker->event, &broker->operations_turn, on_turn, broker);
	/* As the answers of helpers and keepers: before clients. */
	if (r >= 0)
		r = sd_event_source_set_priority(broker->operations_turn, SD_EVENT_PRIORITY_IMPORTANT);
	if (r >= 0)
		r = sd_event_source_set_enabled(broker->operations_turn, SD_EVENT_ONESHOT);
	if (r < 0)
		log_line(LOG_ERR, "out of memory: operations wait");
}

static int on_operations_time(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	go_on(userdata);
	return 0;
}

static void operation_lost(struct operation *operation);

static void arm(struct operation *operation, uint64_t delay_us);

/* No helper is there so far, or none for the operation that OPERATION waits for: systemd is late, and no order. */
static bool awaits_helper(const struct operation *operation)
{
	const struct operation *ahead;

	if (operation->helper)
		return operation->helper->state == HELPER_STARTING;
	if (operation->order)
		return false;
	ahead = operation_ahead(operation);
	return !ahead || awaits_helper(ahead);
}

static int on_late(sd_event_source *source, uint64_t now, void *userdata)
{
	struct operation *operation = userdata;

	(void)source;
	(void)now;
	if (awaits_helper(operation) && loop_now(operation->broker->event) - operation->since_us < HELPER_START_US) {
		arm(operation, HELPER_RETRY_US);
		return 0;
	}
	/* There was no helper for the order. */
	if (operation->order && !operation->helper) {
		operation_lost(operation);
		return 0;
	}
	operation->late = true;
	operation->kind->late(operation);
	return 0;
}

static void arm(struct operation *operation, uint64_t delay_us)
{
	if (loop_timer(operation->broker->event, &operation->timer, delay_us, on_late, operation) < 0)
		log_line(LOG_ERR, "%s: out of memory for a timer: a helper that hangs will not be noticed",
			operation->device);
}

static void enqueue(
	struct operation *operation, const struct operation_kind *kind, const struct operation_matter *matter)
{
	operation->kind = kind;
	operation->broker = matter->broker;
	operation->group = matter->group;
	operation->uid = matter->uid;
	operation->urgent = matter->urgent;
	operation->first = matter->first;
	operation->since_us = loop_now(operation->broker->event);
	snprintf(operation->device, sizeof operation->device, "%s", matter->device);
	if (operation->group)
		operation->group->operations++;
	if (matter->first)
		TAILQ_INSERT_HEAD(&operation->broker->operations, operation, in_broker);
	else
		TAILQ_INSERT_TAIL(&operation->broker->operations, operation, in_broker);
}

void operation_begin(
	struct operation *operation, const struct operation_kind *kind, const struct operation_matter *matter)
{
	enqueue(operation, kind, matter);
	arm(operation, GROUP_QUARANTINE_US);
	go_on(operation->broker);
}

void operation_end(struct operation *operation)
{
	struct broker *broker = operation->broker;
	struct iommu_group *group = operation->group;

	TAILQ_REMOVE(&broker->operations, operation, in_broker);
	operation->timer = sd_event_source_disable_unref(operation->timer);
	if (operation->helper)
		helper_give_back(operation->helper);
	operation->helper = NULL;
	if (group) {
		group->operations--;
		group_prune(group);
	}
	go_on(broker);
}

/* ---- orders ---- */

void operation_send(
	struct operation *operation, uint16_t order, const char device[DEVICE_NAME_SIZE], struct packet *packet)
{
	memcpy(operation->device, device, sizeof operation->device);
	operation->order = order;
	operation->late = false;
	operation->since_us = loop_now(operation->broker->event);
	/* The helper may have ended since the last order. */
	if (!operation->helper)
		operation->helper = helper_take(operation);
	if (operation->helper)
		helper_send(operation->helper, packet);
	else
		packet_clear(packet);
	arm(operation, operation->helper ? GROUP_QUARANTINE_US + operation_extra_us(operation) : 0);
}

/* systemd starts an inspector for the connection. Without a connection the helper says so. */
static void add_inspector(const struct broker *broker, struct packet *packet)
{
	const char *path = broker->options->inspector_socket;
	int fd = path ? connection_open(path, SOCK_SEQPACKET) : -1;

	if (fd >= 0)
		fdset_add(&packet->fds, fd);
}

void operation_order(
	struct operation *operation, enum helper_type type, uint32_t flags, const char *device, const char *driver)
{
	struct packet *packet = &operation->broker->outgoing;
	struct helper_order *order;

	packet_request(packet, (uint16_t)type, COOKIE);
	order = packet_append(packet, sizeof *order);
	order->flags = flags;
	order->group = operation->group ? operation->group->number : GROUP_NONE;
	if (flags & HELPER_LOOK_USE)
		add_inspector(operation->broker, packet);
	strncpy(order->name, device, sizeof order->name - 1);
	strncpy(order->driver, driver, sizeof order->driver - 1);
	memcpy(operation->driver, order->driver, sizeof operation->driver);
	operation->flags = flags;
	operation_send(operation, (uint16_t)type, order->name, packet);
}

/* The driver may be another one now. The kernel tells of that, too, but later than the helper. */
static void look_again(struct operation *operation, uint16_t order)
{
	if (order == HELPER_UNBIND || order == HELPER_BIND || order == HELPER_PROBE)
		inventory_look(&operation->broker->inventory, operation->device);
}

static void operation_answered(struct operation *operation, const struct helper_reply *reply)
{
	const uint16_t order = operation->order;

	operation->order = 0;
	sd_event_source_set_enabled(operation->timer, SD_EVENT_OFF);
	/* For the next broker: the order is done. */
	note_write(operation->helper);
	look_again(operation, order);
	operation->kind->answered(operation, reply);
}

static void operation_lost(struct operation *operation)
{
	const uint16_t order = operation->order;

	operation->helper = NULL;
	operation->order = 0;
	if (!order)
		return;
	sd_event_source_set_enabled(operation->timer, SD_EVENT_OFF);
	look_again(operation, order);
	operation->kind->answered(operation, NULL);
}

/* The order is in work from now on. */
static void operation_started(struct operation *operation)
{
	operation->since_us = loop_now(operation->broker->event);
	if (operation->order)
		arm(operation, GROUP_QUARANTINE_US + operation_extra_us(operation));
}

const struct helper_events operation_events = {
	.started = operation_started, .answered = operation_answered, .lost = operation_lost};

/* ---- orders of an earlier broker ---- */

static void adopted_begin(struct operation *operation)
{
	(void)operation;
}

static void adopted_answered(struct operation *operation, const struct helper_reply *reply)
{
	(void)reply;
	/* What the order has done, the next operation sees. */
	log_line(LOG_NOTICE, "%s: the order of an earlier broker is done", operation->device);
	operation_end(operation);
	free(operation);
}

static void adopted_late(struct operation *operation)
{
	(void)operation;
}

static const struct operation_kind adopted = {adopted_begin, adopted_answered, adopted_late};

int operation_adopt(struct broker *broker, struct helper *helper, const struct helper_note *note)
{
	struct operation *operation = calloc(1, sizeof *operation);

	if (!operation)
		return -ENOMEM;
	enqueue(operation, &adopted,
		&(struct operation_matter){
			.broker = broker,
			.group = note->group == GROUP_NONE ? NULL : group_get(&broker->inventory, note->group),
			.uid = note->uid,
			.device = note->device,
		});
	memcpy(operation->driver, note->driver, sizeof operation->driver);
	operation->begun = true;
	operation->order = (uint16_t)note->order;
	operation->since_us = note->since_us;
	operation->helper = helper;
	helper_assign(helper, operation);
	return 0;
}

void operations_clear(struct broker *broker)
{
	struct operation *operation;

	while ((operation = TAILQ_FIRST(&broker->operations))) {
		TAILQ_REMOVE(&broker->operations, operation, in_broker);
		sd_event_source_disable_unref(operation->timer);
		if (operation->helper)
			helper_assign(operation->helper, NULL);
		if (operation->group)
			operation->group->operations--;
		free(operation);
	}
	broker->operations_timer = sd_event_source_disable_unref(broker->operations_timer);
	broker->operations_turn = sd_event_source_disable_unref(broker->operations_turn);
}

/* ---- what is in the way ---- */

const struct operation *operation_in_the_way(const struct broker *broker, const struct iommu_group *group)
{
	const struct operation *operation;

	TAILQ_FOREACH(operation, &broker->operations, in_broker)
	{
		if (operation_is_named(operation) && share(operation->group, group))
			return operation;
	}
	return NULL;
}

const struct operation *operation_ahead(const struct operation *operation)
{
	const struct operation *ahead = first_ahead(operation);

	return ahead && operation_is_named(ahead) ? ahead : NULL;
}
