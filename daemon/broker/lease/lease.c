/* SPDX-License-Identifier: MIT */
#include "lease/lease.h"

#include "audit/audit.h"
#include "base/loop.h"
#include "fdset.h"
#include "host/claim.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/quarantine.h"
#include "lease/quota.h"
#include "lease/review.h"
#include "log.h"
#include "request/revocation.h"
#include "request/session.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "vfio_window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Takes CHANNEL. NULL: no memory. */
static struct lease *lease_new(struct broker *broker, struct session *session, struct device *device, int channel)
{
	OWNED_FD owned = channel;
	struct lease *lease = calloc(1, sizeof *lease);

	if (!lease)
		return NULL;
	quota_charge(broker, session);
	*lease = (struct lease){
		.broker = broker,
		.device = device,
		.session = session,
		.user = session->user,
		.state = LEASE_OFFERED,
		.channel = fd_take(&owned),
		.since_us = loop_now(broker->event),
	};
	LIST_INSERT_HEAD(&session->leases, lease, in_session);
	session->leases_count++;
	device->lease = lease;
	broker->leases_count++;
	return lease;
}

struct lease *lease_recall(struct session *session, struct device *device, const struct query_record *record)
{
	struct lease *lease = lease_new(session->broker, session, device, -1);

	if (!lease)
		return NULL;
	lease->state = LEASE_HELD;
	lease->since_us = record->origin.since;
	lease->answered = record->origin.cookie;
	lease->direct = record->flags & QUERY_DIRECT;
	memcpy(lease->rule, record->rule, sizeof lease->rule);
	/* The record that says so may be missing. */
	device->used = true;
	return lease;
}

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

static int offer(struct broker *broker, struct session *session, struct device *device, const struct policy_rule *rule,
	struct detail *detail)
{
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

int lease_open(struct broker *broker, struct session *session, struct device *device, const struct policy_rule *rule,
	struct detail *detail)
{
	int r = claim_device(broker, device, detail);

	if (r == 0)
		r = offer(broker, session, device, rule, detail);
	if (r != CHANNEL_LATER)
		unclaim_device(broker, device);
	return r;
}

void lease_accepted(struct lease *lease)
{
	struct session *session = lease->session;
	struct audit_event event;
	char who[128];

	if (!session)
		return;
	lease->state = LEASE_HELD;
	lease->device->group->direct |= lease->direct;
	quarantine_lend(lease);
	event = audit_of_lease(CHANGE_GRANT, lease);
	event.duration_us = loop_now(lease->broker->event) - session->wait_began_us;
	audit_record(lease->broker, &event, "%s: leased to %s%s", lease->device->name,
		peer_text(&session->peer, who, sizeof who), lease->direct ? ", with access = direct" : "");
	session_opened(session, lease);
}

void lease_refused(struct lease *lease, int result, const struct detail *detail)
{
	struct session *session = lease->session;

	lease_end(lease);
	if (session)
		session_refused(session, result, detail);
}

void lease_orphan(struct lease *lease)
{
	LIST_REMOVE(lease, in_session);
	lease->session->leases_count--;
	lease->session = NULL;
	lease->state = LEASE_RELEASING;
	lease->term = sd_event_source_disable_unref(lease->term);
}

void lease_revoke(struct lease *lease, enum end_reason reason, uint64_t deadline_us, const char *words)
{
	struct broker *broker = lease->broker;
	struct group *group = lease->device->group;
	uint64_t now = loop_now(broker->event);
	uint64_t due = deadline_us < UINT64_MAX - now ? now + deadline_us : UINT64_MAX;
	struct audit_event event = audit_of_lease(deadline_us > 0 ? CHANGE_REVOKE_PENDING : CHANGE_REVOKE, lease);
	char who[128];

	if (group->state != GROUP_HELD || lease->state == LEASE_RELEASING || (lease->due_us && due >= lease->due_us))
		return;
	lease->due_us = due;
	peer_record_text(&event.who, who, sizeof who);
	if (deadline_us > 0)
		audit_record(broker, &event, "%s: to be taken back from %s in %llu ms: %s", lease->device->name, who,
			(unsigned long long)(deadline_us / 1000), words);
	else
		audit_record(broker, &event, "%s: taken back from %s: %s", lease->device->name, who, words);
	/* A keeper that takes no orders any more is told by the end of its channel. */
	if (keeper_revoke(group->keeper, lease, reason, deadline_us, words) < 0)
		group_release(group);
	else
		group_watch(group);
}

void lease_leaving(struct lease *lease, const struct release_report *report)
{
	struct group *group = lease->device->group;
	const struct device *device;

	lease->report = *report;
	lease->state = LEASE_RELEASING;
	lease->due_us = loop_now(lease->broker->event);
	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease && device->lease->state != LEASE_RELEASING) {
			group_watch(group);
			return;
		}
	}
	group_release(group);
}

void lease_end(struct lease *lease)
{
	struct broker *broker = lease->broker;
	struct device *device = lease->device;
	struct group *group = device->group;

	if (lease->channel >= 0)
		close(lease->channel);
	if (lease->session)
		lease_orphan(lease);
	sd_event_source_disable_unref(lease->term);
	device->lease = NULL;
	broker->leases_count--;
	user_refund_lease(&broker->users, lease->user);
	free(lease);
	if (group && !group_leased(group))
		group_release(group);
	if (group)
		revocation_lease_ended(group, device->name);
	inventory_settle(&broker->inventory, device);
}
