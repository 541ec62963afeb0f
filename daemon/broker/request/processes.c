/* SPDX-License-Identifier: MIT */
#include "request/processes.h"

#include "base/listing.h"
#include "base/loop.h"
#include "state/broker.h"

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
	add_policy_readers(&listing, broker);
	return 0;
}
