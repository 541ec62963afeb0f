/* SPDX-License-Identifier: MIT */
#include "request/processes.h"

#include "base/listing.h"
#include "base/loop.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "state/broker.h"
#include "state/operation_state.h"

#include <stdio.h>
#include <string.h>

/* A function for each kind of process adds the records of the kind. */

static uint64_t age(const struct broker *broker, uint64_t since_us)
{
	return loop_now(broker->event) - since_us;
}

/* ---- keepers ---- */

static const struct device *first_device(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease)
			return device;
	}
	return LIST_FIRST(&group->devices);
}

static void fill_holder(const struct iommu_group *group, struct process_record *record)
{
	const struct device *device = first_device(group);
	const struct broker *broker = group->broker;

	record->uid = group->holder.uid;
	if (device)
		memcpy(record->name, device->name, sizeof record->name);
	record->age_us = device && device->lease ? age(broker, device->lease->since_us) : 0;
	record->state = PROCESS_WORKING;
	if (group->state != GROUP_QUARANTINED) {
		snprintf(record->text, sizeof record->text, "holds group %u", group->number);
		return;
	}
	record->state = PROCESS_HUNG;
	record->age_us = age(broker, group->release_began_us);
	snprintf(record->text, sizeof record->text,
		"does not let go of group %u; 'cat /proc/PID/stack' says what it waits for; nobody else is affected",
		group->number);
}

static void add_keepers(struct listing *listing, const struct broker *broker)
{
	const struct keeper *keeper;

	LIST_FOREACH(keeper, &broker->keepers, in_broker) {
		struct process_record *record = listing_add(listing, sizeof *record);

		if (!record)
			continue;
		record->kind = PROCESS_KEEPER;
		record->state = PROCESS_IDLE;
		record->pid = keeper->pid;
		record->uid = PROCESS_NOBODYS;
		if (keeper->group)
			fill_holder(keeper->group, record);
	}
}

/* ---- fronts ---- */

/* What a front does, or what an administrator can do against a front that hangs. */
static void fill_front_text(const struct front *front, struct process_record *record)
{
	if (front->state == FRONT_ENDING && front->hung_since_us != 0)
		snprintf(record->text, sizeof record->text,
			"cannot end: waits for a descriptor from a client; end the processes of uid %u; nobody else is "
			"affected",
			front->owner);
	else if (front->hung_since_us != 0)
		snprintf(record->text, sizeof record->text,
			"does not answer; 'kill -9 %u' ends the front with its %u sessions; nobody else is affected",
			front->pid, front->sessions_count);
	else if (front->state == FRONT_ENDING)
		snprintf(record->text, sizeof record->text, "ends");
	else if (front->role == FRONT_OWNED)
		snprintf(record->text, sizeof record->text, "has %u sessions", front->sessions_count);
	else if (front->role == FRONT_DOOR)
		snprintf(record->text, sizeof record->text, "turns connections away");
}

static void add_fronts(struct listing *listing, const struct broker *broker)
{
	const struct front *front;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		struct process_record *record = listing_add(listing, sizeof *record);

		if (!record)
			continue;
		record->kind = PROCESS_FRONT;
		record->state = front->role == FRONT_SPARE ? PROCESS_IDLE : PROCESS_WORKING;
		record->pid = front->pid;
		record->uid = front->role == FRONT_OWNED ? front->owner : PROCESS_NOBODYS;
		if (front->hung_since_us != 0) {
			record->state = PROCESS_HUNG;
			record->age_us = age(broker, front->hung_since_us);
		}
		fill_front_text(front, record);
	}
}

/* ---- helpers ---- */

static void fill_operation(const struct operation *operation, struct process_record *record)
{
	char order[96], remedy[64] = "";
	bool hung = operation_is_named(operation);

	record->uid = operation->urgent ? PROCESS_NOBODYS : operation->uid;
	record->age_us = age(operation->broker, operation->since_us);
	record->state = hung ? PROCESS_HUNG : PROCESS_WORKING;
	memcpy(record->name, operation->device, sizeof record->name);
	if (hung)
		operation_remedy_text(operation, remedy, sizeof remedy);
	if (operation->order)
		snprintf(record->text, sizeof record->text, "%s%s%s",
			operation_order_text(operation, order, sizeof order), hung ? "; " : "", remedy);
}

static void add_helpers(struct listing *listing, const struct broker *broker)
{
	const struct helper *helper;

	LIST_FOREACH(helper, &broker->helpers, in_broker) {
		struct process_record *record = listing_add(listing, sizeof *record);

		if (!record)
			continue;
		record->kind = PROCESS_HELPER;
		record->state = PROCESS_IDLE;
		record->pid = helper->pid;
		record->uid = PROCESS_NOBODYS;
		if (helper->operation)
			fill_operation(helper->operation, record);
	}
}

/* ---- readers of the policy ---- */

static void add_policy_readers(struct listing *listing, const struct broker *broker)
{
	const struct policy_reader *reader;

	LIST_FOREACH(reader, &broker->policy_readers, in_broker) {
		struct process_record *record = listing_add(listing, sizeof *record);

		if (!record)
			continue;
		record->kind = PROCESS_POLICY_READER;
		record->state = reader->hangs ? PROCESS_HUNG : PROCESS_WORKING;
		record->pid = reader->stream.pid;
		record->uid = PROCESS_NOBODYS;
		record->age_us = age(broker, reader->since_us);
		snprintf(record->text, sizeof record->text, "%s",
			reader->hangs ? "waits for a policy file, or for a service that knows users' names; "
					"'cat /proc/PID/stack' says for what; then 'systemctl reload vfio-broker'"
				      : "reads the policy files");
	}
}

int processes_report(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct broker *broker = ((struct session *)context)->broker;
	struct listing listing = listing_begin(request, reply);

	(void)detail;
	add_keepers(&listing, broker);
	add_fronts(&listing, broker);
	add_helpers(&listing, broker);
	add_policy_readers(&listing, broker);
	return 0;
}
