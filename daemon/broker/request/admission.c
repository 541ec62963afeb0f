/* SPDX-License-Identifier: MIT */
#include "request/admission.h"

#include "base/limits.h"
#include "helper/helper.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "host/claim.h"
#include "lease/grant.h"
#include "lease/keeper.h"
#include "lease/look.h"
#include "lease/quarantine.h"
#include "lease/quarantine_text.h"
#include "lease/quota.h"
#include "request/hold.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OBSTACLE(refusal, ...) admission_add(admission, (refusal), __VA_ARGS__)

void admission_add(struct admission *admission, enum refusal refusal, const char *format, ...)
{
	struct obstacle *obstacle;
	va_list arguments;

	if (admission->count == OBSTACLES_MAX)
		return;
	obstacle = &admission->obstacles[admission->count++];
	obstacle->refusal = (int)refusal;
	va_start(arguments, format);
	vsnprintf(obstacle->detail.text, sizeof obstacle->detail.text, format, arguments);
	va_end(arguments);
}

/* Policy first: a user without a right to the device learns no more about the device than anybody can see in sysfs. */
static const struct policy_rule *check_policy(const struct broker *broker, const struct session *session,
	const struct host_device *device, struct admission *admission)
{
	const struct policy_rule *rule;
	struct detail none;
	char who[128];

	peer_text(&session->peer, who, sizeof who);
	if (!broker->policy) {
		hold_no_policy(broker, &none);
		OBSTACLE(REFUSAL_DENIED, "%s", none.text);
		return NULL;
	}
	rule = policy_decide(broker->policy, device, &session->peer);
	if (!rule)
		OBSTACLE(REFUSAL_DENIED, "no policy rule fits %s (%04x:%04x, class %06x) and %s", device->name,
			device->vendor, device->device, device->class, who);
	else if (rule->verdict == POLICY_DENY)
		OBSTACLE(REFUSAL_DENIED, "%s is denied to %s by rule \"%.40s\" (%.80s:%u)", device->name, who,
			rule->name, rule->file, rule->line);
	return rule;
}

/* Without a driver a device needs rebind = yes as well: root may have meant it to stay without one. */
static void check_driver(const struct host_device *device, const struct policy_rule *rule, struct admission *admission)
{
	char advice[POLICY_ADVICE_SIZE];

	admission->bind = !device->vfio;
	admission->claim = admission->bind && device->driver[0];
	if (!admission->bind || !rule || rule->verdict != POLICY_ALLOW || rule->rebind)
		return;
	policy_advice(rule, "rebind = yes", advice);
	if (device->driver[0])
		OBSTACLE(REFUSAL_DENIED, "%s is driven by %s; to take it from there, %s", device->name, device->driver,
			advice);
	else
		OBSTACLE(REFUSAL_DENIED, "%s has no driver; to give it to vfio-pci, %s", device->name, advice);
}

/* Before a physical function changes its driver: the driver removes the virtual functions, and waits for whoever has
 * one. */
static void check_virtual(const struct broker *broker, const char *name, struct admission *admission)
{
	char text[INVENTORY_VIRTUAL_SIZE];

	if (inventory_virtual(&broker->inventory, name))
		OBSTACLE(REFUSAL_GROUP_NOT_VIABLE, "%s", inventory_virtual_text(&broker->inventory, name, text));
}

/* Of siblings that the host drives: those that the policy allows are claimed together with the device, and go back
 * with it. */
static void check_siblings(const struct broker *broker, const struct session *session, const struct iommu_group *group,
	const char *name, struct admission *admission)
{
	const struct device *sibling;
	struct detail detail;

	LIST_FOREACH(sibling, &group->devices, in_group) {
		struct host_device now;

		if (strcmp(sibling->name, name) == 0 || broker->host->read(sibling->name, &now) < 0 ||
			host_device_is_harmless(&now))
			continue;
		if (!quarantine_holds(sibling) && grant_may_take(broker, session, &now)) {
			admission->claim = admission->bind = true;
			check_virtual(broker, now.name, admission);
			continue;
		}
		grant_sibling(session, group, name, &now, &detail);
		OBSTACLE(REFUSAL_GROUP_NOT_VIABLE, "%s", detail.text);
	}
}

/* For each device of the group: DMA of any device reaches the domain that all devices of the group share. */
static void check_quarantine(const struct broker *broker, const struct session *session,
	const struct iommu_group *group, struct admission *admission)
{
	const struct device *device;
	struct detail detail;

	LIST_FOREACH(device, &group->devices, in_group) {
		int refusal = quarantine_refuses(broker, device, admission->rule, session->peer.uid, &detail);

		/* check_transient() reports the cooldown; do not report it twice. */
		if (refusal != 0 && !(refusal == REFUSAL_DEVICE_BUSY && group->state == GROUP_RESTORING))
			OBSTACLE((enum refusal)refusal, "%s", detail.text);
	}
}

static void check_transient(
	const struct iommu_group *group, const struct device *device, const char *who, struct admission *admission)
{
	uint64_t rest = group->state == GROUP_RESTORING ? quarantine_cooldown_us(group) : 0;

	admission->transient = rest < OPEN_WAIT_US;
	if (rest > 0)
		OBSTACLE(REFUSAL_DEVICE_BUSY,
			"%s was released by %s without a reset, and rests for another %" PRIu64 ".%" PRIu64
			" s (settle)",
			device->name, who, rest / 1000000, rest / 100000 % 10);
	else
		OBSTACLE(REFUSAL_DEVICE_BUSY, "%s is just being released by %s; try again in a moment", device->name,
			who);
}

static void check_group(const struct broker *broker, const struct session *session, const struct iommu_group *group,
	const struct device *device, struct admission *admission)
{
	const struct operation *operation = operation_in_the_way(broker, group);
	char who[128], since[64], blocker[GROUP_BLOCKER_SIZE], text[DETAIL_SIZE];

	peer_record_text(&group->holder, who, sizeof who);
	if (group->state == GROUP_HELD && group->session != session)
		admission->holder = group->session;
	switch (group->state) {
	case GROUP_FREE:
		check_quarantine(broker, session, group, admission);
		return;
	case GROUP_CLAIMING:
		check_quarantine(broker, session, group, admission);
		admission->transient = true;
		if (operation)
			OBSTACLE(REFUSAL_DEVICE_BUSY, "%s", operation_text(operation, text, sizeof text));
		else
			OBSTACLE(REFUSAL_DEVICE_BUSY, "%s is just being opened by %s; try again in a moment",
				device->name, who);
		return;
	case GROUP_HELD:
		if (device->lease && device->lease->session == session)
			OBSTACLE(REFUSAL_DEVICE_BUSY, "%s: this session has it already", device->name);
		else if (group->session != session)
			OBSTACLE(REFUSAL_DEVICE_BUSY, "%s%s is held by %s", device->name,
				device->lease ? "" : " belongs to an IOMMU group that", who);
		else
			check_quarantine(broker, session, group, admission);
		return;
	case GROUP_QUERIED:
		OBSTACLE(REFUSAL_DEVICE_BUSY, GROUP_QUERIED_FORMAT, device->name, group->number);
		return;
	case GROUP_RELEASING:
	case GROUP_RESTORING:
		check_quarantine(broker, session, group, admission);
		if (!operation || group->keeper) {
			check_transient(group, device, who, admission);
			return;
		}
		/* A helper that is merely slow may be done in time: the group is QUARANTINED if not. */
		admission->transient = true;
		OBSTACLE(REFUSAL_DEVICE_BUSY, "%s", operation_text(operation, text, sizeof text));
		return;
	case GROUP_QUARANTINED:
		quarantine_since(broker, group->release_began_us, since, sizeof since);
		if (operation)
			OBSTACLE(REFUSAL_QUARANTINED, "%s", operation_text(operation, text, sizeof text));
		else if (group->keeper)
			OBSTACLE(REFUSAL_QUARANTINED,
				"IOMMU group %u: its keeper does not let go, %s; the last holder, %s, may "
				"block it ('dmesg' shows hung tasks)",
				group->number, since, who);
		else
			OBSTACLE(REFUSAL_QUARANTINED,
				"IOMMU group %u is not free although its keeper is gone, %s; %s; last holder %s",
				group->number, since, group_blocker(group, blocker), who);
		return;
	}
}

/* A helper hangs in the group, or in a group with functions of the same device. A group that is not free tells by its
 * state. */
static void check_helpers(const struct broker *broker, const struct session *session, const struct iommu_group *group,
	struct admission *admission)
{
	const struct operation *operation = operation_in_the_way(broker, group);
	unsigned int hung = helper_count_hung(broker, session->user->uid);
	char text[DETAIL_SIZE];

	if (operation && group->state == GROUP_FREE)
		OBSTACLE(REFUSAL_DEVICE_BUSY, "%s", operation_text(operation, text, sizeof text));
	if (hung >= HELPERS_PER_USER)
		OBSTACLE(REFUSAL_QUOTA,
			"%u helpers hang at devices that uid %u has asked for, the limit; 'vfio-brokerctl list' shows "
			"the devices",
			hung, session->user->uid);
}

/* The kernel module may have been unloaded, or never loaded. */
static void check_vfio(const struct broker *broker, struct admission *admission)
{
	if (admission->bind && !broker->host->has_driver(VFIO_DRIVER))
		OBSTACLE(REFUSAL_DEVICE_BAD_STATE, "%s: cannot bind it to %s: there is no such driver ('modprobe %s')",
			admission->now.name, VFIO_DRIVER, VFIO_DRIVER);
}

/* A user without a right to the device starts no keeper by asking. */
static void check_keeper(const struct session *session, const struct iommu_group *group, struct admission *admission)
{
	const struct policy_rule *rule = admission->rule;
	struct detail detail;

	if (session->broker->stopping)
		OBSTACLE(REFUSAL_NO_KEEPER, "the service is stopping");
	else if (rule && rule->verdict == POLICY_ALLOW && group && group->state == GROUP_FREE &&
		!keeper_take(session->broker, &detail))
		OBSTACLE(REFUSAL_NO_KEEPER, "%s", detail.text);
}

static void check_quota(const struct broker *broker, const struct session *session, struct admission *admission)
{
	struct detail detail;

	if (quota_check(broker, session, admission->rule, &detail) != 0)
		OBSTACLE(REFUSAL_QUOTA, "%s", detail.text);
}

static void check_all(const struct broker *broker, const struct session *session, const struct device *device,
	struct admission *admission)
{
	const struct host_device *now = &admission->now;
	bool only_transient;
	size_t count;

	admission->rule = check_policy(broker, session, now, admission);
	if (host_device_is_bridge(now)) {
		OBSTACLE(REFUSAL_NOT_LEASABLE, "%s (class %06x) is a bridge", now->name, now->class);
		return;
	}
	if (device->group)
		check_group(broker, session, device->group, device, admission);
	else
		OBSTACLE(REFUSAL_NO_IOMMU, "%s is in no IOMMU group: any DMA it does reaches all memory", now->name);
	only_transient = admission->transient && admission->count == 1;
	/* A device on the way back to the host is with vfio-pci or between drivers: the present driver means
	 * nothing, unless the way back has failed. */
	if (!admission->transient && (!device->claim || device->claim->error != 0))
		check_driver(now, admission->rule, admission);
	if (device->group && !only_transient)
		check_siblings(broker, session, device->group, now->name, admission);
	if (!admission->transient && !now->vfio)
		check_virtual(broker, now->name, admission);
	if (!admission->transient)
		check_vfio(broker, admission);
	if (device->group)
		check_helpers(broker, session, device->group, admission);
	count = admission->count;
	check_quota(broker, session, admission);
	check_keeper(session, device->group, admission);
	admission->transient = only_transient && admission->count == 1;
	admission->look = admission->rule && admission->rule->verdict == POLICY_ALLOW && device->group &&
		device->group->state == GROUP_FREE && admission->count == count &&
		!operation_in_the_way(broker, device->group);
}

void admission_check(
	const struct broker *broker, const struct session *session, const char *name, struct admission *admission)
{
	const struct device *device = inventory_find(&broker->inventory, name);

	admission->count = 0;
	admission->rule = NULL;
	admission->holder = NULL;
	admission->claim = admission->bind = admission->transient = admission->look = false;
	if (!device || !device->present || broker->host->read(name, &admission->now) < 0)
		OBSTACLE(REFUSAL_NO_SUCH_DEVICE, "%s", name);
	else
		check_all(broker, session, device, admission);
}

void admission_add_look(struct admission *admission, const struct iommu_group *group, const struct helper_reply *reply,
	enum refusal refusal, const char *text)
{
	struct detail detail;
	int r;

	if (!reply) {
		OBSTACLE(refusal, "%s", text);
		return;
	}
	r = look_node_free(group, admission->now.vfio, reply, &detail);
	if (r != 0)
		OBSTACLE((enum refusal)r, "%s", detail.text);
	if (look_answers(admission->now.name, reply, &detail) != 0)
		OBSTACLE(REFUSAL_DEVICE_BAD_STATE, "%s", detail.text);
}

void admission_add_use(struct admission *admission, const struct host_device *device, const struct policy_rule *rule,
	const struct helper_reply *reply)
{
	struct detail detail;
	int refusal = look_unused(device, rule, reply, &detail);

	if (refusal != 0)
		OBSTACLE((enum refusal)refusal, "%s", detail.text);
}
