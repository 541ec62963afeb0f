/* SPDX-License-Identifier: MIT */
#include "lease/quarantine.h"

#include "audit/audit.h"
#include "base/loop.h"
#include "base/record.h"
#include "lease/quarantine_record.h"
#include "lease/quarantine_text.h"
#include "log.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- beginning and end ---- */

static void forget_prior(struct device *device)
{
	free(device->prior);
	device->prior = NULL;
}

static void forget(const struct broker *broker, struct device *device)
{
	forget_prior(device);
	device->unreported = false;
	free(device->quarantine);
	device->quarantine = NULL;
	record_remove(broker->options->quarantine_directory, device->name);
}

/* An event about DEVICE, and about the lease that Q describes. */
static struct audit_event event_of(enum change_kind kind, const struct device *device, const struct quarantine *q)
{
	return (struct audit_event){
		.kind = kind, .device = device->name, .group = device->group, .who = q->holder, .rule = q->rule};
}

/* Makes a copy of Q the quarantine of DEVICE. */
static void set(struct broker *broker, struct device *device, const struct quarantine *q)
{
	struct quarantine *copy = device->quarantine ? device->quarantine : malloc(sizeof *copy);
	struct audit_event event = event_of(CHANGE_QUARANTINE, device, q);
	char text[DETAIL_SIZE];

	if (!copy) {
		log_line(LOG_ERR, "%s: out of memory: it was not reset, and nothing keeps it from the next user",
			device->name);
		return;
	}
	*copy = *q;
	device->quarantine = copy;
	device->unreported = false;
	forget_prior(device);
	quarantine_record_write(broker, device, q, NULL);
	if (q->reason == QUARANTINE_LEAVING)
		return;
	quarantine_text(broker, device, text, sizeof text);
	if (quarantine_holds(device))
		audit_record(broker, &event, "quarantined: %s", text);
	else
		log_line(LOG_INFO, "not quarantined, because rule %s has reset = optional: %s", q->rule, text);
}

/* A quarantine for LEASE as the lease stands now. */
static struct quarantine of_lease(const struct lease *lease, enum quarantine_reason reason)
{
	struct quarantine q = {
		.reason = reason,
		.since_us = loop_now(lease->broker->event),
		.due_us = reason == QUARANTINE_IN_USE ? lease->due_us : 0,
		.holder = lease->device->group->holder,
		.reset = lease->reset,
		.direct = lease->direct,
	};

	memcpy(q.rule, lease->rule, sizeof q.rule);
	return q;
}

/* What stood against DEVICE before the present lease, or before the lease that has just ended; or NULL. */
static const struct quarantine *prior_to_lease(const struct device *device)
{
	return quarantine_is_in_use(device) ? device->prior : device->quarantine;
}

void quarantine_mark_handed_out(struct device *device)
{
	device->handed_out = true;
}

void quarantine_record_use(struct lease *lease)
{
	struct quarantine q = of_lease(lease, QUARANTINE_IN_USE);
	struct device *device = lease->device;

	/* The quarantine that stands against the device already stays in memory: it still holds if the present lease
	 * ends without a BIND. A device that has left the machine has no record any more. */
	if (device->present)
		quarantine_record_write(lease->broker, device, &q, prior_to_lease(device));
	device->handed_out = true;
}

/* The reason, after the keeper has said "not reset". Where sysfs knows a method, VFIO has tried the method in vain,
 * although VFIO reports no method. */
static enum quarantine_reason not_reset(const struct broker *broker, const struct device *device, int error)
{
	return error == 0 && broker->host->resettable(device->name) <= 0 ? QUARANTINE_NO_RESET
									 : QUARANTINE_RESET_FAILED;
}

/* The lease has changed nothing: what held before the lease holds again. */
static void restore_prior(const struct broker *broker, struct device *device)
{
	if (device->unreported)
		return;
	if (quarantine_is_in_use(device)) {
		free(device->quarantine);
		device->quarantine = device->prior;
		device->prior = NULL;
	}
	if (device->quarantine)
		quarantine_record_write(broker, device, device->quarantine, NULL);
	else
		forget(broker, device);
}

/* The device was not reset after a lease by a stricter rule, nor after the lease of Q: the stricter rule still
 * counts. */
static void keep_stricter(struct quarantine *q, const struct quarantine *before)
{
	if (policy_settle(&before->reset) > policy_settle(&q->reset))
		q->reset.settle_us = policy_settle(&before->reset);
	if (before->reset.need >= q->reset.need)
		return;
	q->reset.need = before->reset.need;
	memcpy(q->rule, before->rule, sizeof q->rule);
}

/*
 * Q describes the lease that has ended; decide() finds the consequence.
 *
 * A keeper that died has reported nothing. The kernel then closed the device. On close, vfio-pci tries to lock the
 * device, and resets the device if nobody else has the lock at that moment; nobody hears whether that was done, and
 * with what result. So only the reset of a helper counts, which waits for the lock. If there is no method, no reset
 * happened at all.
 */
static void decide(
	struct broker *broker, struct device *device, struct quarantine q, const struct release_report *report)
{
	bool was_reset = report ? report->reset == RESET_DONE : device->reset_tried && device->reset_error == 0;

	q.since_us = loop_now(broker->event);
	q.due_us = 0;
	if (!device->present || was_reset) {
		forget(broker, device);
		return;
	}
	if (prior_to_lease(device))
		keep_stricter(&q, prior_to_lease(device));
	if (report && report->reset != RESET_NONE)
		q.error = (int)report->steps[RELEASE_RESET].error;
	if (!report)
		q.error = -device->reset_error;
	if (!report && device->reset_tried)
		q.reason = QUARANTINE_RESET_FAILED;
	else if (!report)
		q.reason = q.direct ? QUARANTINE_DIRECT : QUARANTINE_UNREPORTED;
	else if (report->reason == ENDED_UNPLUG)
		q.reason = QUARANTINE_LEAVING;
	else
		q.reason = not_reset(broker, device, q.error);
	set(broker, device, &q);
}

/* The keeper could not reset DEVICE, because a reset of the bus would have reset the holder's other devices, too. A
 * helper resets the bus when the group is free. */
static bool is_reset_later(
	const struct broker *broker, const struct device *device, const struct release_report *report)
{
	return device->present && report->reset == RESET_NONE && report->reason != ENDED_UNPLUG &&
		quarantine_shares_reset(broker, device);
}

/* What has become of the device of LEASE, which has ended, is decided when the group is free. */
static void decide_later(struct lease *lease)
{
	struct quarantine q = of_lease(lease, QUARANTINE_IN_USE);
	struct device *device = lease->device;

	if (!quarantine_is_in_use(device)) {
		struct quarantine *in_use = malloc(sizeof *in_use);

		if (!in_use) {
			log_line(LOG_ERR, "%s: out of memory: how its lease ended is not known", device->name);
			return;
		}
		device->prior = device->quarantine;
		device->quarantine = in_use;
	} else if (device->unreported) {
		keep_stricter(&q, device->quarantine);
	}
	*device->quarantine = q;
}

/* The record stays "in use", so that a further broker owes the reset, too. */
static void owe_reset(const struct broker *broker, struct device *device)
{
	if (!quarantine_is_in_use(device))
		return;
	device->unreported = true;
	device->quarantine->due_us = 0;
	quarantine_record_write(broker, device, device->quarantine, device->prior);
}

void quarantine_lease_ended(struct lease *lease, const struct release_report *report)
{
	struct device *device = lease->device;
	struct broker *broker = lease->broker;

	/* The client never had the device. */
	if (!device->handed_out)
		return;
	if (report && report->reset == RESET_NOT_OPEN) {
		restore_prior(broker, device);
	} else if (report && is_reset_later(broker, device, report)) {
		decide_later(lease);
		owe_reset(broker, device);
	} else if (report && report->reset != RESET_UNSURE) {
		decide(broker, device, of_lease(lease, QUARANTINE_IN_USE), report);
	} else {
		/* The kernel may still be closing the device, or the holder using it. */
		decide_later(lease);
	}
}

void quarantine_lease_ended_before_takeover(
	struct broker *broker, struct device *device, const struct release_report *report)
{
	if (report->reset == RESET_UNSURE)
		device->quarantine->direct = true;
	else if (report->reset == RESET_NOT_OPEN)
		restore_prior(broker, device);
	else if (is_reset_later(broker, device, report))
		owe_reset(broker, device);
	else
		decide(broker, device, *device->quarantine, report);
}

bool quarantine_lease_ended_unreported(struct broker *broker, struct device *device)
{
	if (!quarantine_is_in_use(device))
		return true;
	if (device->quarantine->direct)
		return false;
	/* A helper resets the device when the group is free. Until then the holder of the group alone may have it. */
	if (broker->host->resettable(device->name) > 0)
		device->unreported = true;
	else
		decide(broker, device, *device->quarantine, NULL);
	return true;
}

/* The device has had the time to leave. */
static void decide_staying(struct broker *broker, struct device *device)
{
	struct quarantine q = *device->quarantine;

	q.reason = not_reset(broker, device, q.error);
	set(broker, device, &q);
}

void quarantine_forget_answers(struct iommu_group *group)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group)
		device->answer = ANSWER_UNKNOWN;
}

void quarantine_note_answer(struct device *device, bool alive)
{
	device->answer = alive ? ANSWER_ALIVE : ANSWER_NONE;
}

bool quarantine_wants_reset(const struct broker *broker, const struct device *device)
{
	return device->present && quarantine_is_in_use(device) && device->answer == ANSWER_ALIVE &&
		!device->reset_tried && broker->host->resettable(device->name) > 0;
}

void quarantine_note_reset(struct device *device, int error)
{
	device->reset_tried = true;
	device->reset_error = error;
}

bool quarantine_shares_reset(const struct broker *broker, const struct device *device)
{
	return broker->host->resettable(device->name) == RESET_METHOD_SHARED_BUS;
}

void quarantine_note_bus_reset(const struct broker *broker, struct device *device, int error)
{
	/* A name is DOMAIN:BUS:SLOT.FUNCTION. */
	size_t length = (size_t)(strrchr(device->name, ':') - device->name + 1);
	struct device *other;

	quarantine_note_reset(device, error);
	LIST_FOREACH(other, &device->group->devices, in_group) {
		if (strncmp(other->name, device->name, length) == 0 && quarantine_wants_reset(broker, other) &&
			quarantine_shares_reset(broker, other))
			quarantine_note_reset(other, error);
	}
}

void quarantine_forget_resets(struct iommu_group *group)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		device->reset_tried = false;
		device->reset_error = 0;
	}
}

void quarantine_group_free(struct iommu_group *group)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		assert(!device->lease);
		/* A device that does not answer was not reset. quarantine_unresponsive() goes on from IN_USE. */
		if (quarantine_is_in_use(device) && (!device->present || device->answer != ANSWER_NONE))
			decide(group->broker, device, *device->quarantine, NULL);
		/* A device that is leaving may read all ones. */
		if (quarantine_is_leaving(device) &&
			quarantine_device_cooldown_us(device->quarantine, loop_now(group->broker->event)) > 0)
			continue;
		if (quarantine_is_leaving(device))
			decide_staying(group->broker, device);
		if (device->handed_out && device->answer == ANSWER_NONE)
			quarantine_unresponsive(group->broker, device);
		device->handed_out = false;
	}
	quarantine_forget_resets(group);
}

void quarantine_unresponsive(struct broker *broker, struct device *device)
{
	struct quarantine q = {0};

	if (!device->present)
		return;
	/* Else the group's holder is the one that asks. */
	if (device->handed_out)
		q.holder = device->group->holder;
	if (quarantine_is_leaving(device) ||
		(device->quarantine && device->quarantine->reason == QUARANTINE_UNRESPONSIVE))
		return;
	/* The device may also be not reset: both are of the same lease. */
	if (device->quarantine)
		q = *device->quarantine;
	q.reason = QUARANTINE_UNRESPONSIVE;
	q.due_us = 0;
	q.since_us = loop_now(broker->event);
	set(broker, device, &q);
}

void quarantine_left(struct broker *broker, struct device *device)
{
	struct audit_event event;

	if (quarantine_holds(device) && !quarantine_is_leaving(device)) {
		event = event_of(CHANGE_QUARANTINE_END, device, device->quarantine);
		event.duration_us = loop_now(broker->event) - device->quarantine->since_us;
		audit_record(broker, &event, "%s: no longer quarantined, it has left the machine", device->name);
	}
	/* Removes also a record that only the disk has, of a lease that goes on. */
	forget(broker, device);
}

bool quarantine_taken(struct broker *broker, struct device *device)
{
	struct audit_event event;
	struct host_device now;

	if (device->lease || !quarantine_holds(device) || broker->host->read(device->name, &now) < 0 ||
		host_device_is_harmless(&now))
		return false;
	event = event_of(CHANGE_QUARANTINE_END, device, device->quarantine);
	event.duration_us = loop_now(broker->event) - device->quarantine->since_us;
	audit_record(
		broker, &event, "%s: no longer quarantined, host driver %s has taken it", device->name, now.driver);
	forget(broker, device);
	return true;
}

void quarantine_end(struct broker *broker, struct device *device)
{
	forget(broker, device);
}

static int on_record(
	struct broker *broker, const char *name, const struct quarantine *q, const struct quarantine *before)
{
	struct device *device = inventory_find(&broker->inventory, name);
	char words[DETAIL_SIZE];

	if (!device || !device->group) {
		log_line(LOG_NOTICE, "%s: it has left the machine, and what stood against it is forgotten", name);
		record_remove(broker->options->quarantine_directory, name);
		return 0;
	}
	device->quarantine = malloc(sizeof *q);
	if (!device->quarantine)
		return -ENOMEM;
	*device->quarantine = *q;
	if (before) {
		device->prior = malloc(sizeof *before);
		if (!device->prior)
			return -ENOMEM;
		*device->prior = *before;
	}
	if (quarantine_holds(device) && !quarantine_is_leaving(device))
		log_line(LOG_NOTICE, "still quarantined: %s", quarantine_text(broker, device, words, sizeof words));
	device->handed_out = q->reason == QUARANTINE_IN_USE || q->reason == QUARANTINE_LEAVING;
	return 0;
}

int quarantine_load(struct broker *broker)
{
	return quarantine_record_each(broker, on_record);
}

/* ---- refusals ---- */

/* The stricter of two rules: the rule of the last lease, and the rule of the user who asks. */
static enum reset_need stricter(const struct quarantine *q, const struct policy_rule *rule, char *name, size_t size)
{
	enum reset_need need = rule ? rule->reset.need : RESET_REQUIRED;

	if (rule && need < q->reset.need)
		snprintf(name, size, "\"%.40s\" (%.60s:%u)", rule->name, rule->file, rule->line);
	else
		snprintf(name, size, "%s", q->rule);
	return need < q->reset.need ? need : q->reset.need;
}

/* The line that would help, behind the place of the asking user's RULE. Empty where that rule is not what refuses: of
 * the last lease's rule counts what the rule said then. */
static const char *helpful_reset(const struct quarantine *q, const struct policy_rule *rule, uint32_t uid)
{
	if (!rule || rule->reset.need >= q->reset.need)
		return "";
	if (uid == q->holder.uid)
		return "; add \"reset = same-user\" there";
	return q->reset.need == RESET_OPTIONAL ? "; add \"reset = optional\" there" : "";
}

int quarantine_refuses(const struct broker *broker, const struct device *device, const struct policy_rule *rule,
	uint32_t uid, struct detail *detail)
{
	const struct quarantine *q = device->quarantine;
	char text[DETAIL_SIZE], name[RULE_TEXT_SIZE];
	uint64_t settle, left;
	enum reset_need need;

	if (!q || q->reason == QUARANTINE_IN_USE || device->lease)
		return 0;
	quarantine_text(broker, device, text, sizeof text);
	if (q->reason == QUARANTINE_LEAVING)
		return refuse(detail, REFUSAL_DEVICE_BUSY, "%s", text);
	if (q->reason == QUARANTINE_UNRESPONSIVE)
		return refuse(detail, REFUSAL_QUARANTINED, "%s", text);
	need = stricter(q, rule, name, sizeof name);
	if (need == RESET_REQUIRED)
		return refuse(detail, REFUSAL_QUARANTINED, "%s; reset = required by rule %s%s", text, name,
			helpful_reset(q, rule, uid));
	if (need == RESET_SAME_USER && uid != q->holder.uid)
		return refuse(detail, REFUSAL_QUARANTINED, "%s; reset = same-user by rule %s%s", text, name,
			helpful_reset(q, rule, uid));
	settle = policy_settle(&q->reset);
	if (rule && policy_settle(&rule->reset) > settle)
		settle = policy_settle(&rule->reset);
	left = quarantine_cooldown_left(q, settle, loop_now(broker->event));
	if (left > 0)
		return refuse(detail, REFUSAL_DEVICE_BUSY,
			"%s; it rests for another %" PRIu64 ".%" PRIu64 " s (settle)", text, left / 1000000,
			left / 100000 % 10);
	return 0;
}
