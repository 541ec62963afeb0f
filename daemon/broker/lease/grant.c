/* SPDX-License-Identifier: MIT */
#include "lease/grant.h"

#include "host/claim.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/review.h"
#include "log.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "vfio_window.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int claim_device(struct broker *broker, struct device *device, struct detail *detail)
{
	const struct claim *old = device->claim;
	int r;

	/* Claimed before, and not given back because its group was never free in between; or by a broker that was killed
	 * in the middle of it. */
	if (device->claim)
		r = claim_finish(broker->host, device->name);
	else
		r = claim_make(broker->host, broker->options.claims_directory, device->name, &device->claim);
	if (r < 0)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, "%s: cannot bind it to vfio-pci: %s", device->name,
			strerror(-r));
	if (device->claim && !old)
		log_line(LOG_INFO, "%s: taken from host driver %s", device->name,
			device->claim->driver[0] ? device->claim->driver : "(none)");
	return 0;
}

/* Undoes claim_device() where no keeper has the group; otherwise the group does it when it is free. */
static void unclaim_device(struct broker *broker, struct device *device)
{
	struct claim *claim = device->claim;

	if (!claim || device->group->state != GROUP_FREE || quarantine_holds(device))
		return;
	device->claim = NULL;
	claim_restore(broker->host, broker->options.claims_directory, device->name, claim);
}

/* The first lease of a group needs the group's node and a keeper for it. */
static int open_group(
	struct broker *broker, struct group *group, struct keeper **ret_keeper, int *ret_fd, struct detail *detail)
{
	struct keeper *keeper = group->keeper;
	OWNED_FD fd = -1;

	if (keeper) {
		*ret_keeper = keeper;
		return 0;
	}
	/* Safe for a hostile caller: policy gives it a device of this group, no other session has one (admission.c),
	 * and the fd goes to a keeper, never to the caller. */
	fd = broker->host->group_open(group->number);
	if (fd == -EBUSY)
		return refuse(detail, REFUSAL_DEVICE_BUSY, GROUP_FOREIGN_FORMAT, group->number, group->number);
	if (fd < 0)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, "/dev/vfio/%u: %s", group->number, strerror(-fd));
	keeper = keeper_take(broker, detail);
	if (!keeper)
		return REFUSAL_NO_KEEPER;
	*ret_keeper = keeper;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Safe for a hostile caller: it gets windows from the keeper, never this file; each lease has a file of its own, so that
 * taking back its windows takes back nobody else's. */
static int open_windows(const struct broker *broker, const struct device *device)
{
	int fd = broker->host->window_open();

	if (fd < 0 && fd != -ENOENT)
		log_line(LOG_WARNING, "%s: no register windows: " VFIO_WINDOW_NODE ": %s", device->name, strerror(-fd));
	return fd;
}

static int offer(struct session *session, struct device *device, const struct policy_rule *rule, lease_answer answer,
	struct detail *detail)
{
	struct broker *broker = session->broker;
	struct group *group = device->group;
	OWNED_FD group_fd = -1;
	struct keeper *keeper;
	struct lease *lease;
	int ends[2];
	int r;

	r = open_group(broker, group, &keeper, &group_fd, detail);
	if (r != 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	lease = lease_new(broker, session, device, ends[0]);
	if (!lease) {
		close(ends[1]);
		return -ENOMEM;
	}
	if (!group->keeper) {
		group_hold(group, broker, session);
		keeper_assign(keeper, group);
	}
	lease->answer = answer;
	lease->windows = rule->windows;
	lease->mappings = rule->mappings;
	lease->direct = rule->direct;
	review_grant(lease, rule);
	r = keeper_offer(keeper, lease, fd_take(&group_fd), open_windows(broker, device), ends[1]);
	if (r < 0) {
		lease_end(lease);
		return refuse(detail, REFUSAL_NO_KEEPER, "sending it the device failed: %s", strerror(-r));
	}
	return CHANNEL_LATER;
}

int lease_open(struct session *session, struct device *device, const struct policy_rule *rule, lease_answer answer,
	struct detail *detail)
{
	struct broker *broker = session->broker;
	int r = claim_device(broker, device, detail);

	if (r == 0)
		r = offer(session, device, rule, answer, detail);
	if (r != CHANNEL_LATER)
		unclaim_device(broker, device);
	return r;
}
