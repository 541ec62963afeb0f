/* SPDX-License-Identifier: MIT */
#include "request/open.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/limits.h"
#include "base/loop.h"
#include "fdset.h"
#include "lease/grant.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/look.h"
#include "lease/quarantine.h"
#include "log.h"
#include "request/admission.h"
#include "request/glance.h"
#include "request/session.h"
#include "state/inventory.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct waiter_kind waiting;

/* Has the OPEN wait for GROUP: the group is being released, or its keeper has not answered QUERY yet. Patience with
 * a release (OPEN_WAIT_US) counts from opening->waits_from_us, the arrival of the request or its second try. */
static int wait_for_group(struct session *session, struct iommu_group *group)
{
	struct waiter *waiter = calloc(1, sizeof *waiter);

	if (!waiter)
		return -ENOMEM;
	waiter_join(waiter, &waiting, session, group);
	return CHANNEL_LATER;
}

static void cancel(struct waiter *waiter)
{
	waiter_leave(waiter);
	free(waiter);
}

/* RESULT as a handler returns it. DETAIL goes to the client, too. */
static void record_denial(struct session *session, int result, const struct detail *detail)
{
	struct audit_event event = audit_of_session(CHANGE_DENIAL, session);
	char who[128];

	event.device = session->opening->device;
	event.refusal = result;
	audit_record(session->broker, &event, "%s refused to %s: %s%s%s", session->opening->device,
		peer_text(&session->peer, who, sizeof who), refusal_name(result < 0 ? REFUSAL_FAILED : result),
		detail->text[0] ? ": " : "", detail->text);
}

static void answer_opened(struct session *session, struct lease *lease)
{
	struct packet *reply = &session->broker->buffers.reply;
	struct open_reply *answer;

	session_begin_reply(session, reply);
	answer = packet_append(reply, sizeof *answer);
	answer->group = lease->device->group->number;
	fdset_add(&reply->fds, lease_take_channel(lease));
	session_answer(session, 0, reply, NULL);
}

static void answer_refused(struct session *session, int result, const struct detail *detail)
{
	const struct opening *opening = session->opening;
	struct detail both;

	/* That a second try finds the device busy, say, comes of the first. */
	if (opening->lost_keeper && result != REFUSAL_NO_KEEPER) {
		result = refuse(&both, REFUSAL_NO_KEEPER,
			"%s: the keeper ended before it had the device; at the second try: %.150s", opening->device,
			result < 0 ? strerror(-result) : detail->text);
		detail = &both;
	}
	record_denial(session, result, detail);
	session_answer(session, result, &session->broker->buffers.reply, detail);
}

/* The holder may have hung up, and its front may not have said so yet: the front is asked, once. */
static bool has_to_look(const struct session *session, const struct admission *admission)
{
	return admission->holder && admission->count == 1 && !session->looked && session_look(admission->holder);
}

static void answer(struct session *session, struct lease *lease, int result, const struct detail *detail);

/* Returns as a channel handler does. */
static int act_on(struct session *session, struct device *device, struct admission *admission, struct detail *detail)
{
	if (admission->transient && loop_now(session->broker->event) - session->opening->waits_from_us < OPEN_WAIT_US)
		return wait_for_group(session, device->group);
	if (has_to_look(session, admission)) {
		session->looked = true;
		return wait_for_group(session, device->group);
	}
	if (admission->count > 0) {
		*detail = admission->obstacles[0].detail;
		return admission->obstacles[0].refusal;
	}
	return grant_lease(session, device, answer);
}

/* Returns as a channel handler does. */
static int open_device(struct session *session, struct detail *detail)
{
	struct broker *broker = session->broker;
	struct device *device = inventory_find(&broker->inventory, session->opening->device);
	struct admission admission;

	if (!broker->stopping && device && device->group && device->group->state == GROUP_QUERIED)
		return wait_for_group(session, device->group);
	admission_check(broker, session, session->opening->device, &admission);
	return act_on(session, device, &admission, detail);
}

static void try_open(struct session *session)
{
	struct detail detail = {0};
	int r = open_device(session, &detail);

	if (r != CHANNEL_LATER)
		answer_refused(session, r, &detail);
}

static void again(struct waiter *waiter)
{
	struct session *session = waiter->session;

	free(waiter);
	try_open(session);
}

/* A keeper that is lost before it has a device costs the client nothing but time: the OPEN is tried a second time, by
 * the next keeper, if one can be had at all. */
static bool has_second_try(const struct session *session, int result)
{
	struct detail why;

	return result == REFUSAL_NO_KEEPER && !session->opening->lost_keeper && !session->broker->stopping &&
		keeper_take(session->broker, &why);
}

static void answer(struct session *session, struct lease *lease, int result, const struct detail *detail)
{
	if (lease) {
		answer_opened(session, lease);
	} else if (has_second_try(session, result)) {
		log_line(LOG_NOTICE, "%s; the next keeper is tried", detail->text);
		session->opening->lost_keeper = true;
		session->opening->waits_from_us = loop_now(session->broker->event);
		try_open(session);
	} else {
		answer_refused(session, result, detail);
	}
}

static const struct waiter_kind waiting = {.again = again, .cancel = cancel};

int open_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct open_request *open = (const void *)request->payload;
	struct session *session = context;
	int r;

	(void)reply;
	session->broker->counters.opens++;
	if (!session->opening)
		session->opening = malloc(sizeof *session->opening);
	if (!session->opening)
		return -ENOMEM;
	static_assert(sizeof session->opening->device == sizeof open->name, "a device's name");
	memcpy(session->opening->device, open->name, sizeof open->name);
	session->looked = false;
	session->opening->since_us = loop_now(session->broker->event);
	session->opening->waits_from_us = session->opening->since_us;
	session->opening->lost_keeper = false;
	r = open_device(session, detail);
	if (r != CHANNEL_LATER)
		record_denial(session, r, detail);
	return r;
}

/* ---- CHECK ---- */

static void append(const struct admission *admission, struct packet *reply)
{
	struct check_reply *answer = packet_append(reply, sizeof *answer);

	answer->count = (uint32_t)admission->count;
	answer->claim = admission->claim;
	for (size_t i = 0; i < admission->count; i++) {
		struct check_obstacle *obstacle = packet_append(reply, sizeof *obstacle);

		obstacle->refusal = (uint32_t)admission->obstacles[i].refusal;
		memcpy(obstacle->detail, admission->obstacles[i].detail.text, sizeof obstacle->detail);
	}
}

/* The policy may have changed since the look. */
static void add_use(const struct session *session, const struct glanced *glanced, struct admission *admission)
{
	const struct broker *broker = session->broker;
	const struct policy_rule *rule = NULL;
	struct host_device now;

	if (broker->host->read(glanced->inspected, &now) == 0)
		rule = grant_inspecting_rule(broker, session, &now);
	if (rule)
		admission_add_use(admission, &now, rule, glanced->reply);
}

/* The broker looks anew as well: much may have changed since. */
static void on_look(struct session *session, const struct glanced *glanced)
{
	const struct helper_reply *reply = glanced->reply;
	struct broker *broker = session->broker;
	struct device *device = inventory_find(&broker->inventory, glanced->name);
	struct packet *packet = &broker->buffers.reply;
	struct admission admission;

	/* A user without a right to the device cannot cause that by asking: the helper would not have looked. */
	if (device && device->group && reply && look_is_dead(reply))
		quarantine_unresponsive(broker, device);
	admission_check(broker, session, glanced->name, &admission);
	if (device && device->group && (!reply || device->group->state == GROUP_FREE))
		admission_add_look(&admission, device->group, reply, glanced->refusal, glanced->text);
	if (reply)
		add_use(session, glanced, &admission);
	session_begin_reply(session, packet);
	append(&admission, packet);
	session_answer(session, 0, packet, NULL);
}

/* ---- CHECK with BROKER_CHECK_USE ---- */

static void on_use(struct session *session, const struct glanced *glanced)
{
	struct packet *packet = &session->broker->buffers.reply;
	const struct helper_reply *reply = glanced->reply;
	struct admission admission = {.count = 0};

	if (!reply || reply->use_error != 0)
		admission_add(&admission, REFUSAL_FAILED, "%s: %s", glanced->name,
			reply ? strerror((int)reply->use_error) : glanced->text);
	else if (reply->use[0])
		admission_add(&admission, REFUSAL_IN_USE, "%s", reply->use);
	session_begin_reply(session, packet);
	append(&admission, packet);
	session_answer(session, 0, packet, NULL);
}

/* Safe for a hostile caller: root may ask about every device, others about what the policy gives to them. */
static int check_use(struct session *session, const char *name, struct packet *reply, struct detail *detail)
{
	const struct broker *broker = session->broker;
	const struct admission nothing = {.count = 0};
	struct device *device = inventory_find(&broker->inventory, name);
	struct host_device now;

	if (!device || !device->present || broker->host->read(name, &now) < 0)
		return refuse(detail, REFUSAL_NO_SUCH_DEVICE, "%s", name);
	if (session->peer.uid != 0 && !grant_inspecting_rule(broker, session, &now))
		return refuse(detail, REFUSAL_DENIED,
			"uid %u may ask only what the host does with devices that the policy gives to uid %u from "
			"their drivers",
			session->peer.uid, session->peer.uid);
	if (device->group && device->group->state == GROUP_FREE && !now.vfio && now.driver[0])
		return glance_begin(session, device, HELPER_LOOK_USE, false, on_use);
	append(&nothing, reply);
	return 0;
}

int open_check(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct check_request *check = (const void *)request->payload;
	struct session *session = context;
	uint32_t flags = HELPER_LOOK_IDS | HELPER_LOOK_NODE;
	struct admission admission;

	if (check->flags & BROKER_CHECK_USE)
		return check_use(session, check->name, reply, detail);
	/* Nobody tells when root changes the ways to reset a device, which clients show beside the answer. */
	inventory_look(&session->broker->inventory, check->name);
	admission_check(session->broker, session, check->name, &admission);
	if (admission.look) {
		if (grant_inspecting_rule(session->broker, session, &admission.now))
			flags |= HELPER_LOOK_USE;
		return glance_begin(
			session, inventory_find(&session->broker->inventory, check->name), flags, true, on_look);
	}
	append(&admission, reply);
	return 0;
}
