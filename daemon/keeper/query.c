/* SPDX-License-Identifier: MIT */
#include "query.h"
#include "packet.h"
#include "state.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

bool query_client_gone(const struct device *device)
{
	struct pollfd channel = {device->channel.fd, 0, 0};

	return poll(&channel, 1, 0) > 0 && (channel.revents & (POLLHUP | POLLERR));
}

static void fill(const struct device *device, struct query_record *record)
{
	memcpy(record->name, device->lease.name, sizeof record->name);
	record->flags = (device->life == DEVICE_BOUND ? QUERY_BOUND : 0U) |
		(device->lease.flags & LEASE_DIRECT ? QUERY_DIRECT : 0U);
	record->origin = device->lease.origin;
	memcpy(record->rule, device->lease.rule, sizeof record->rule);
}

void query_answer(const struct iommu_group *group, struct packet *reply)
{
	struct query_reply *answer = packet_append(reply, sizeof *answer);

	answer->pid = (uint32_t)getpid();
	answer->uid = getuid();
	answer->group = group->number;
	answer->count = (uint32_t)group->device_count;
	for (size_t i = 0; i < group->device_count; i++)
		fill(group->devices[i], packet_append(reply, sizeof(struct query_record)));
}
