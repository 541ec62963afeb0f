/* SPDX-License-Identifier: MIT */
#include "broker_kill.h"

#include "fd_store.h"
#include "front/front.h"
#include "helper/operation.h"
#include "input.h"
#include "lease/group.h"
#include "request/session.h"
#include "service/service.h"
#include "state/broker.h"
#include "state/inventory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the place of the broker's descriptors: a socket without another end, and a file that nobody else has. */
static int nobody, waste;

static void replace(int fd, int by)
{
	if (fd >= 0)
		INPUT_ASSERT(dup3(by, fd, O_CLOEXEC) >= 0);
}

static void replace_all(const struct broker *broker)
{
	const struct front *front;
	const struct helper *helper;
	const struct keeper *keeper;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		replace(front->life, nobody);
		replace(front->control, nobody);
		replace(front->roll.fd, waste);
	}
	LIST_FOREACH(helper, &broker->helpers, in_broker) {
		replace(helper->fd, nobody);
		replace(helper->note, waste);
	}
	LIST_FOREACH(keeper, &broker->keepers, in_broker)
		replace(keeper->fd, nobody);
	/* The broker itself never closes these. */
	for (size_t i = 0; i < broker->unplaced_count; i++)
		close(broker->unplaced[i].fd);
}

/* The broker has nothing that would have to be given back. */
static void forget_groups(struct broker *broker)
{
	struct iommu_group *group;
	struct keeper *keeper;

	LIST_FOREACH(keeper, &broker->keepers, in_broker)
		keeper->group = NULL;
	LIST_FOREACH(group, &broker->inventory.groups, in_inventory) {
		group->state = GROUP_FREE;
		group->keeper = NULL;
		group->session = NULL;
	}
}

static void end_sessions(struct broker *broker)
{
	struct session *session;
	struct front *front;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		while ((session = front_first(front)))
			session_close(session, false);
	}
}

static void end_leases(struct broker *broker)
{
	struct device *device, *next;

	for (device = LIST_FIRST(&broker->inventory.devices); device; device = next) {
		next = LIST_NEXT(device, in_inventory);
		if (device->lease)
			group_lease_end(device->lease);
	}
}

/* What is left without devices has none to leave it. */
static void prune_groups(struct broker *broker)
{
	struct iommu_group *group, *next;

	for (group = LIST_FIRST(&broker->inventory.groups); group; group = next) {
		next = LIST_NEXT(group, in_inventory);
		group_prune(group);
	}
}

void broker_kill(struct broker *broker)
{
	int pair[2];

	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	close(pair[1]);
	nobody = pair[0];
	waste = memfd_create("waste", MFD_CLOEXEC);
	fd_store_deaf(true);
	replace_all(broker);
	close(nobody);
	close(waste);
	broker->stopping = true;
	forget_groups(broker);
	end_sessions(broker);
	end_leases(broker);
	operations_clear(broker);
	prune_groups(broker);
	service_clear(broker);
	fd_store_deaf(false);
}
