/* SPDX-License-Identifier: MIT */
#include "lease/grant.h"

#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/rebind.h"
#include "lease/review.h"
#include "log.h"
#include "state/inventory.h"
#include "vfio_window.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Opens the group's node, unless admission has: only the node of a device that was with vfio-pci already is kept. */
static int open_node(struct broker *broker, const struct iommu_group *group, struct grant *grant, struct detail *detail)
{
	int fd = grant->group_fd >= 0 ? grant->group_fd : broker->host->group_open(group->number);

	if (fd == -EBUSY)
		return refuse(detail, REFUSAL_DEVICE_BUSY, GROUP_FOREIGN_FORMAT, group->number, group->number);
	if (fd < 0)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, "/dev/vfio/%u: %s", group->number, strerror(-fd));
	grant->group_fd = fd;
	return 0;
}

/* The first lease of a group needs the group's node and a keeper for it. */
static int open_group(struct broker *broker, const struct iommu_group *group, struct grant *grant,
	struct keeper **ret_keeper, struct detail *detail)
{
	int r;

	*ret_keeper = group->keeper;
	if (group->keeper)
		return 0;
	/* Safe for a hostile caller: policy gives it a device of this group, no other session has one
	 * (request/admission.c), and the fd goes to a keeper, never to the caller. */
	r = open_node(broker, group, grant, detail);
	if (r != 0)
		return r;
	*ret_keeper = keeper_take(broker, detail);
	return *ret_keeper ? 0 : REFUSAL_NO_KEEPER;
}

/* Safe for a hostile caller: the caller gets windows from the keeper, never this file. Each lease has a file of its
 * own, so that taking back the windows of a lease takes back nobody else's. */
static int open_windows(const struct broker *broker, const struct device *device)
{
	int fd = broker->host->window_open();

	if (fd < 0 && fd != -ENOENT)
		log_line(LOG_WARNING, "%s: no register windows: " VFIO_WINDOW_NODE ": %s", device->name, strerror(-fd));
	return fd;
}

static int offer(struct session *session, struct device *device, struct grant *grant, struct detail *detail)
{
	struct broker *broker = session->broker;
	struct iommu_group *group = device->group;
	struct keeper *keeper;
	struct lease *lease;
	int ends[2];
	int r;

	r = open_group(broker, group, grant, &keeper, detail);
	if (r != 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	lease = lease_new(session, device, ends[0]);
	if (!lease) {
		close(ends[1]);
		return -ENOMEM;
	}
	if (!group->keeper)
		group_hold(group, session, keeper);
	lease_terms(lease, grant->rule, grant->answer);
	review_grant(lease, grant->rule);
	r = keeper_offer(keeper, lease, grant->now, fd_take(&grant->group_fd), open_windows(broker, device), ends[1]);
	if (r < 0) {
		group_lease_end(lease);
		return refuse(detail, REFUSAL_NO_KEEPER, "sending it the device failed: %s", strerror(-r));
	}
	return CHANNEL_LATER;
}

static void close_node(struct grant *grant)
{
	if (grant->group_fd >= 0)
		close(fd_take(&grant->group_fd));
}

int grant_lease(struct session *session, struct device *device, struct grant *grant, struct detail *detail)
{
	struct broker *broker = session->broker;
	int r;

	/* The node may belong to a group that ends when its last VFIO driver is unbound (drivers/vfio/group.c: a
	 * variant driver, say); some kernels have the unbind wait until the node is closed. */
	if (strcmp(grant->now->driver, VFIO_DRIVER) != 0)
		close_node(grant);
	r = rebind_to_vfio(broker, device, grant->now, detail);
	if (r == 0)
		r = offer(session, device, grant, detail);
	close_node(grant);
	if (r != CHANNEL_LATER)
		rebind_undo(broker, device);
	return r;
}
