/* SPDX-License-Identifier: MIT */
#include "lease/grant.h"

#include "connection.h"
#include "fdset.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "host/claim.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/look.h"
#include "lease/quarantine.h"
#include "lease/quota.h"
#include "lease/rebind.h"
#include "lease/review.h"
#include "log.h"
#include "packet.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum step {
	GRANT_LOOK,    /* does the device answer, is the group's node free? */
	GRANT_DRIVERS, /* the device goes from its host driver to vfio-pci */
	GRANT_LEASE,   /* a helper opens the group, and sends LEASE to the keeper */
};

/* An OPEN whose device is prepared; and the other devices of its group, which the host must not drive beside it. */
struct granting {
	struct operation operation; /* first */
	struct waiter waiter;	    /* the session, until the lease answers OPEN; waiter.session is NULL then */
	enum step step;
	char name[DEVICE_NAME_SIZE];   /* the device that is opened */
	char worked[DEVICE_NAME_SIZE]; /* the device of the last order: that one, or a sibling */
	unsigned int done;	       /* bits 1 << enum helper_type: the orders that WORKED has had */
	enum helper_type had;	       /* the last of them */
	bool changed;		       /* a device has had an order that may change something */
	bool claims;		       /* the device that is opened is taken from a driver here */
	lease_answer answer;
};

static struct granting *granting_of(struct operation *operation)
{
	static_assert(offsetof(struct granting, operation) == 0, "begins with its operation");
	return (struct granting *)(void *)operation;
}

/* The session has ended, or is answered: the operation goes on alone. */
static struct session *part(struct granting *granting)
{
	struct session *session = granting->waiter.session;

	if (session)
		waiter_leave(&granting->waiter);
	granting->waiter.session = NULL;
	return session;
}

static void cancel(struct waiter *waiter)
{
	part((struct granting *)(void *)((char *)waiter - offsetof(struct granting, waiter)));
}

static const struct waiter_kind waiting = {.cancel = cancel};

static void end(struct granting *granting)
{
	operation_end(&granting->operation);
	free(granting);
}

/* The OPEN is refused, or nobody waits for an answer any more. */
static void give_up(struct granting *granting, int result, const struct detail *detail)
{
	struct session *session = part(granting);

	group_claim_ended(granting->operation.group, granting->changed);
	if (session)
		granting->answer(session, NULL, result, detail);
	end(granting);
}

static struct device *find_device(const struct granting *granting, const char *name)
{
	struct device *device = inventory_find(&granting->operation.broker->inventory, name);

	return device && device->present && device->group == granting->operation.group ? device : NULL;
}

/* ---- LEASE ---- */

/* The policy and the quota may have changed since admission. */
static int check_again(const struct granting *granting, const struct device *device, const struct host_device *now,
	const struct policy_rule **ret_rule, struct detail *detail)
{
	const struct session *session = granting->waiter.session;
	const struct broker *broker = session->broker;
	const struct iommu_group *group = device->group;
	const struct policy_rule *rule = broker->policy ? policy_decide(broker->policy, now, &session->peer) : NULL;

	if (!rule || rule->verdict != POLICY_ALLOW || (granting->claims && !rule->rebind))
		return refuse(detail, REFUSAL_DENIED, "%s: the policy does not allow it any more", device->name);
	if (device->lease || (group->state != GROUP_CLAIMING && group->session != session))
		return refuse(
			detail, REFUSAL_DEVICE_BUSY, "%s is just being released; try again in a moment", device->name);
	*ret_rule = rule;
	return quota_check(broker, session, rule, detail);
}

/* Both ends of a device channel. */
static int channel_make(int ends[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	connection_limit_queue(ends[0]);
	connection_limit_queue(ends[1]);
	return 0;
}

/* Offers DEVICE, which is with vfio-pci. Returns a refusal; or 0: the lease answers OPEN from here on, and GRANTING may
 * be gone. */
static int offer(struct granting *granting, struct device *device, const struct host_device *now, struct detail *detail)
{
	struct session *session = granting->waiter.session;
	struct iommu_group *group = device->group;
	const struct policy_rule *rule;
	struct keeper *keeper;
	struct lease *lease;
	bool first = !group->keeper;
	int ends[2];
	int r = check_again(granting, device, now, &rule, detail);

	if (r != 0)
		return r;
	keeper = first ? keeper_take(session->broker, detail) : group->keeper;
	if (!keeper)
		return REFUSAL_NO_KEEPER;
	r = channel_make(ends);
	if (r < 0)
		return r;
	lease = lease_new(session, device, ends[0]);
	if (!lease) {
		close(ends[1]);
		return -ENOMEM;
	}
	part(granting);
	granting->step = GRANT_LEASE;
	if (first)
		group_hold(group, session, keeper);
	lease_terms(lease, rule, granting->answer);
	review_grant(lease, rule);
	/* Safe for a hostile caller: policy gives it a device of this group, no other session has one
	 * (request/admission.c), and the helper gives the group to a keeper, never to the caller. */
	r = keeper_lend(keeper, lease, now, first, ends[1], &granting->operation);
	if (r < 0) {
		group_lease_refused(lease, r, detail);
		end(granting);
		return 0;
	}
	/* Others that wait are told who has the group. */
	if (first)
		waiter_wake(group);
	return 0;
}

static int refusal_of(const struct granting *granting, int error, struct detail *detail)
{
	uint32_t group = granting->operation.group->number;

	if (error == EBUSY)
		return refuse(detail, REFUSAL_DEVICE_BUSY, GROUP_FOREIGN_FORMAT, group, group);
	if (error == EPIPE || error == ECONNRESET)
		return refuse(detail, REFUSAL_NO_KEEPER, "%s: the keeper ended before it had the device",
			granting->operation.device);
	return refuse(detail, REFUSAL_DEVICE_BAD_STATE, "/dev/vfio/%u: %s", group, strerror(error));
}

/* The helper has answered LEASE, or has ended: the keeper's channel is the broker's alone again. The keeper may have
 * answered before. */
static void leased(struct granting *granting, const struct helper_reply *reply)
{
	struct keeper *keeper = granting->operation.group->keeper;
	struct lease *lease = keeper && keeper->lent ? keeper->offered : NULL;
	struct detail detail;

	if (keeper && keeper->lent)
		keeper_returned(keeper);
	if (!lease || (reply && reply->error == 0)) {
		end(granting);
		return;
	}
	/* Nobody knows whether the keeper got LEASE: only the end of the keeper makes that sure. */
	if (!reply)
		group_release(granting->operation.group);
	group_lease_refused(lease, refusal_of(granting, reply ? (int)reply->error : EPIPE, &detail), &detail);
	end(granting);
}

/* The late helper finds the keeper's channel shut down. */
static void give_up_lease(struct granting *granting, const struct detail *detail)
{
	struct iommu_group *group = granting->operation.group;
	struct keeper *keeper = group->keeper;
	struct lease *lease = keeper && keeper->lent ? keeper->offered : NULL;

	if (!lease)
		return;
	group_give_up(group);
	group_lease_refused(lease, REFUSAL_QUARANTINED, detail);
}

/* ---- from the host driver to vfio-pci ---- */

static bool has_had(const struct granting *granting, enum helper_type order)
{
	return granting->done & (1U << order);
}

static void order(struct granting *granting, enum helper_type type, const char *driver)
{
	granting->done |= 1U << type;
	granting->had = type;
	granting->changed |= type != HELPER_LOOK;
	if (type == HELPER_OVERRIDE_GET && strcmp(granting->worked, granting->name) == 0)
		granting->claims = true;
	operation_order(
		&granting->operation, type, type == HELPER_LOOK ? HELPER_LOOK_USE : 0U, granting->worked, driver);
}

#define CANNOT_BIND "%s: cannot bind it to vfio-pci: %s"

/* Before a physical function changes its driver: the driver would remove the virtual functions, and wait for whoever
 * has one. */
static int check_virtual(const struct broker *broker, const struct device *device, struct detail *detail)
{
	char text[INVENTORY_VIRTUAL_SIZE];

	if (!inventory_virtual(&broker->inventory, device->name))
		return 0;
	return refuse(
		detail, REFUSAL_GROUP_NOT_VIABLE, "%s", inventory_virtual_text(&broker->inventory, device->name, text));
}

/* The rule that lets SESSION take DEVICE from its host driver; NULL: none does. */
static const struct policy_rule *taking_rule(
	const struct broker *broker, const struct session *session, const struct host_device *device)
{
	const struct policy_rule *rule = broker->policy ? policy_decide(broker->policy, device, &session->peer) : NULL;

	return rule && rule->verdict == POLICY_ALLOW && rule->rebind && !host_device_is_bridge(device) ? rule : NULL;
}

int grant_sibling(const struct session *session, const struct iommu_group *group, const char *name,
	const struct host_device *sibling, struct detail *detail)
{
	const struct policy *policy = session->broker->policy;
	const struct policy_rule *rule = policy ? policy_decide(policy, sibling, &session->peer) : NULL;
	bool lacks_line = rule && rule->verdict == POLICY_ALLOW && !rule->rebind;
	char advice[POLICY_ADVICE_SIZE];

	return refuse(detail, REFUSAL_GROUP_NOT_VIABLE,
		"%s shares IOMMU group %u with %s (%04x:%04x), which is driven by %.20s%s%s", name, group->number,
		sibling->name, sibling->vendor, sibling->device, sibling->driver, lacks_line ? "; " : "",
		lacks_line ? policy_advice(rule, "rebind = yes", advice) : "");
}

bool grant_may_take(const struct broker *broker, const struct session *session, const struct host_device *device)
{
	return taking_rule(broker, session, device);
}

const struct policy_rule *grant_inspecting_rule(
	const struct broker *broker, const struct session *session, const struct host_device *device)
{
	const struct policy_rule *rule = taking_rule(broker, session, device);

	return rule && !rule->take_in_use && !device->vfio && device->driver[0] ? rule : NULL;
}

/*
 * The next step on the way to vfio-pci of DEVICE, which is as in NOW. Returns 0 if an order is given, or the refusal.
 *
 * Safe for a hostile caller: the device is of the inventory, policy lets the caller take the device from its driver,
 * the group is nobody's, and vfio-pci itself never does DMA. Only the device itself matches its own driver_override.
 * An inspection comes first: the host does not lose a disk with a mounted file system. Between the inspection and the
 * unbind lie the steps of a moment, in which root may still mount the disk.
 */
static int step_to_vfio(
	struct granting *granting, const struct device *device, const struct host_device *now, struct detail *detail)
{
	int r = check_virtual(granting->operation.broker, device, detail);

	if (r != 0)
		return r;
	if (strcmp(granting->worked, device->name) != 0) {
		memcpy(granting->worked, device->name, sizeof granting->worked);
		granting->done = 0;
	}
	if (!has_had(granting, HELPER_LOOK) &&
		grant_inspecting_rule(granting->operation.broker, granting->waiter.session, now))
		order(granting, HELPER_LOOK, "");
	else if (!device->claim)
		order(granting, HELPER_OVERRIDE_GET, "");
	else if (!has_had(granting, HELPER_OVERRIDE_SET))
		order(granting, HELPER_OVERRIDE_SET, VFIO_DRIVER);
	else if (now->driver[0] && !has_had(granting, HELPER_UNBIND))
		order(granting, HELPER_UNBIND, now->driver);
	else if (!now->driver[0] && !has_had(granting, HELPER_BIND))
		order(granting, HELPER_BIND, VFIO_DRIVER);
	else
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, CANNOT_BIND, device->name, strerror(EBUSY));
	return 0;
}

/* VFIO resets a bus only if all devices on the bus are with VFIO: a SIBLING without a driver may as well be. */
static bool is_for_reset(const struct granting *granting, const struct device *sibling, const struct host_device *now)
{
	const struct broker *broker = granting->operation.broker;

	return !now->driver[0] && !sibling->claim && !quarantine_holds(sibling) &&
		quarantine_shares_reset(broker, sibling) && grant_may_take(broker, granting->waiter.session, now);
}

/* The first sibling of DEVICE that goes to vfio-pci first: because the host drives it, or because both are reset
 * together; or that is on its way there. NULL: there is none. */
static const struct device *next_sibling(
	const struct granting *granting, const struct device *device, struct host_device *ret_now)
{
	const struct device *sibling;

	LIST_FOREACH(sibling, &device->group->devices, in_group) {
		bool begun = strcmp(granting->worked, sibling->name) == 0;

		if (sibling != device && sibling->present &&
			granting->operation.broker->host->read(sibling->name, ret_now) == 0 && !ret_now->vfio &&
			(begun || !host_device_is_harmless(ret_now) || is_for_reset(granting, sibling, ret_now)))
			return sibling;
	}
	return NULL;
}

/* The next order, or the offer. Returns 0, or the refusal. */
static int step(struct granting *granting, struct device *device, struct detail *detail)
{
	const struct broker *broker = granting->operation.broker;
	struct host_device now;
	const struct device *sibling = next_sibling(granting, device, &now);
	int r;

	/* A quarantined sibling could not go back. */
	if (sibling && (quarantine_holds(sibling) || !grant_may_take(broker, granting->waiter.session, &now)))
		return grant_sibling(granting->waiter.session, device->group, device->name, &now, detail);
	if (sibling)
		return step_to_vfio(granting, sibling, &now, detail);
	r = broker->host->read(device->name, &now);
	if (r < 0)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, CANNOT_BIND, device->name, strerror(-r));
	return now.vfio ? offer(granting, device, &now, detail) : step_to_vfio(granting, device, &now, detail);
}

/* The record comes before the first change. */
static int make_claim(const struct broker *broker, struct device *device, const char *override)
{
	struct claim *claim = calloc(1, sizeof *claim);
	struct host_device now;
	int r = claim ? broker->host->read(device->name, &now) : -ENOMEM;

	if (r == 0) {
		memcpy(claim->driver, now.driver, sizeof claim->driver);
		memcpy(claim->override, override, sizeof claim->override);
		r = claim_write(broker->options->claims_directory, device->name, claim);
	}
	if (r < 0) {
		free(claim);
		return r;
	}
	rebind_claim(device, claim);
	log_line(LOG_INFO, "%s: taken from host driver %s", device->name, claim->driver[0] ? claim->driver : "(none)");
	return 0;
}

static_assert(sizeof((struct claim *)NULL)->override == sizeof((struct helper_reply *)NULL)->driver, "a driver's name");

/* ---- the operation ---- */

/* The policy may have changed since the order. */
static int on_inspected(
	const struct granting *granting, struct device *device, const struct helper_reply *reply, struct detail *detail)
{
	const struct broker *broker = granting->operation.broker;
	const struct policy_rule *rule = NULL;
	struct host_device now;

	if (broker->host->read(device->name, &now) == 0)
		rule = grant_inspecting_rule(broker, granting->waiter.session, &now);
	return rule ? look_unused(&now, rule, reply, detail) : 0;
}

static int on_look(
	const struct granting *granting, struct device *device, const struct helper_reply *reply, struct detail *detail)
{
	struct broker *broker = granting->operation.broker;
	int r = look_answers(device->name, reply, detail);
	struct host_device now;

	if (look_is_dead(reply))
		quarantine_unresponsive(broker, device);
	if (r != 0)
		return r;
	return look_node_free(device->group, broker->host->read(device->name, &now) == 0 && now.vfio, reply, detail);
}

static int on_driver(
	const struct granting *granting, struct device *device, const struct helper_reply *reply, struct detail *detail)
{
	int r = -(int)reply->error;

	if (granting->had == HELPER_LOOK)
		return on_inspected(granting, device, reply, detail);
	/* The host driver has gone before the device could be unbound. */
	if (r == -ENODEV && granting->had == HELPER_UNBIND)
		return 0;
	if (r == 0 && granting->had == HELPER_OVERRIDE_GET && !device->claim)
		r = make_claim(granting->operation.broker, device, reply->driver);
	return r == 0 ? 0 : refuse(detail, REFUSAL_DEVICE_BAD_STATE, CANNOT_BIND, device->name, strerror(-r));
}

/* REPLY: to the last order; NULL: there was none. */
static void go_on(struct granting *granting, const struct helper_reply *reply)
{
	struct device *device = find_device(granting, granting->name);
	struct device *worked = find_device(granting, granting->worked);
	struct detail detail = {0};
	int r = 0;

	if (!granting->waiter.session) {
		give_up(granting, 0, NULL);
		return;
	}
	if (!device || !worked)
		r = refuse(&detail, REFUSAL_NO_SUCH_DEVICE, "%s", device ? granting->worked : granting->name);
	else if (reply && granting->step == GRANT_LOOK)
		r = on_look(granting, device, reply, &detail);
	else if (reply)
		r = on_driver(granting, worked, reply, &detail);
	granting->step = GRANT_DRIVERS;
	if (r == 0)
		r = step(granting, device, &detail);
	if (r != 0)
		give_up(granting, r, &detail);
}

static void begin(struct operation *operation)
{
	struct granting *granting = granting_of(operation);

	/* The kernel says nothing new of a group that is ours, and reading the configuration space of a device that
	 * is being reset would wait. */
	if (operation->group->state == GROUP_CLAIMING && granting->waiter.session)
		operation_order(operation, HELPER_LOOK, HELPER_LOOK_IDS | HELPER_LOOK_NODE, operation->device, "");
	else
		go_on(granting, NULL);
}

static void answered(struct operation *operation, const struct helper_reply *reply)
{
	struct granting *granting = granting_of(operation);
	struct detail detail;

	if (granting->step == GRANT_LEASE) {
		leased(granting, reply);
		return;
	}
	if (reply) {
		go_on(granting, reply);
		return;
	}
	refuse(&detail, REFUSAL_FAILED, "%s: the helper ended at its work; 'journalctl -u \"vfio-helper@*\"' says more",
		operation->device);
	give_up(granting, REFUSAL_FAILED, &detail);
}

/* The operation has not begun: another is in the way, or there is no helper. Nothing has been done. */
static void give_up_waiting(struct granting *granting)
{
	const struct operation *ahead = operation_ahead(&granting->operation);
	char text[DETAIL_SIZE];
	struct detail detail;
	int r;

	if (ahead)
		r = refuse(&detail, REFUSAL_DEVICE_BUSY, "%s", operation_text(ahead, text, sizeof text));
	else
		r = refuse(&detail, REFUSAL_FAILED,
			"%s: no helper was free in time; 'systemctl status vfio-helper.socket' says more",
			granting->operation.device);
	give_up(granting, r, &detail);
}

static void late(struct operation *operation)
{
	struct granting *granting = granting_of(operation);
	struct session *session;
	struct detail detail;

	if (!operation->begun) {
		give_up_waiting(granting);
		return;
	}
	operation_text(operation, detail.text, sizeof detail.text);
	if (granting->step == GRANT_LEASE) {
		give_up_lease(granting, &detail);
		return;
	}
	session = part(granting);
	group_claim_late(operation->group);
	if (session)
		granting->answer(session, NULL, REFUSAL_QUARANTINED, &detail);
}

static const struct operation_kind granting_kind = {begin, answered, late};

int grant_lease(struct session *session, struct device *device, lease_answer answer)
{
	struct granting *granting = calloc(1, sizeof *granting);

	if (!granting)
		return -ENOMEM;
	granting->answer = answer;
	memcpy(granting->name, device->name, sizeof granting->name);
	memcpy(granting->worked, device->name, sizeof granting->worked);
	waiter_join(&granting->waiter, &waiting, session, device->group);
	if (device->group->state == GROUP_FREE)
		group_claim(device->group, session);
	operation_begin(&granting->operation, &granting_kind,
		&(struct operation_matter){
			.broker = session->broker,
			.group = device->group,
			.uid = session->user->uid,
			.device = device->name,
		});
	return CHANNEL_LATER;
}
