/* SPDX-License-Identifier: MIT */
#include "request/glance.h"

#include "channel.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "lease/grant.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct glance {
	struct operation operation; /* first */
	struct waiter waiter;	    /* the session, until it is answered; waiter.session is NULL then */
	uint32_t flags;
	bool siblings;
	glance_seen seen;
	struct helper_reply reply; /* to the first order; the inspection may be a later one's */
	char name[DEVICE_NAME_SIZE];
	char inspected[DEVICE_NAME_SIZE]; /* the device of the last order */
};

static struct glance *glance_of(struct operation *operation)
{
	static_assert(offsetof(struct glance, operation) == 0, "begins with its operation");
	return (struct glance *)(void *)operation;
}

static struct session *part(struct glance *glance)
{
	struct session *session = glance->waiter.session;

	if (session)
		waiter_leave(&glance->waiter);
	glance->waiter.session = NULL;
	return session;
}

static void cancel(struct waiter *waiter)
{
	part((struct glance *)(void *)((char *)waiter - offsetof(struct glance, waiter)));
}

static const struct waiter_kind waiting = {.cancel = cancel};

static void tell(struct glance *glance, const struct helper_reply *reply, enum refusal refusal, const char *text)
{
	struct glanced glanced = {.reply = reply, .refusal = refusal, .text = text};
	struct session *session = part(glance);

	memcpy(glanced.name, glance->name, sizeof glanced.name);
	memcpy(glanced.inspected, glance->inspected, sizeof glanced.inspected);
	if (session)
		glance->seen(session, &glanced);
}

static void end(struct glance *glance)
{
	operation_end(&glance->operation);
	free(glance);
}

static void begin(struct operation *operation)
{
	struct glance *glance = glance_of(operation);

	if (glance->waiter.session)
		operation_order(operation, HELPER_LOOK, glance->flags, operation->device, "");
	else
		end(glance);
}

/* The device of the group after the one inspected last that is to be inspected, or NULL. */
static const struct device *next_inspected(const struct glance *glance)
{
	const struct broker *broker = glance->operation.broker;
	const char *last = glance->inspected, *first = glance->name;
	bool behind = strcmp(last, first) == 0;
	const struct device *device;

	LIST_FOREACH(device, &glance->operation.group->devices, in_group) {
		struct host_device now;

		if (!behind || strcmp(device->name, first) == 0)
			behind |= strcmp(device->name, last) == 0;
		else if (device->present && broker->host->read(device->name, &now) == 0 &&
			!host_device_is_harmless(&now) && grant_inspecting_rule(broker, glance->waiter.session, &now))
			return device;
	}
	return NULL;
}

/* Notes the answer to an order. Returns the device that is to be inspected next, or NULL. */
static const struct device *note(struct glance *glance, const struct helper_reply *reply)
{
	bool first = glance->inspected[0] == '\0';

	memcpy(glance->inspected, glance->operation.device, sizeof glance->inspected);
	if (first)
		glance->reply = *reply;
	glance->reply.use_error = reply->use_error;
	memcpy(glance->reply.use, reply->use, sizeof glance->reply.use);
	if (!glance->siblings || !glance->waiter.session || reply->use_error != 0 || reply->use[0])
		return NULL;
	return next_inspected(glance);
}

static void answered(struct operation *operation, const struct helper_reply *reply)
{
	struct glance *glance = glance_of(operation);
	const struct device *next = reply ? note(glance, reply) : NULL;

	if (next) {
		operation_order(operation, HELPER_LOOK, HELPER_LOOK_USE, next->name, "");
		return;
	}
	tell(glance, reply ? &glance->reply : NULL, REFUSAL_FAILED, "the helper that looked at the device has ended");
	end(glance);
}

static void late(struct operation *operation)
{
	struct glance *glance = glance_of(operation);
	const struct operation *hung = operation->begun ? operation : operation_ahead(operation);
	char text[DETAIL_SIZE] = "no helper was free in time; 'systemctl status vfio-helper.socket' says more";

	if (hung)
		operation_text(hung, text, sizeof text);
	/* As lease/grant.c refuses. */
	tell(glance, NULL, hung ? REFUSAL_DEVICE_BUSY : REFUSAL_FAILED, text);
	if (!operation->begun)
		end(glance);
}

static const struct operation_kind glancing = {begin, answered, late};

int glance_begin(struct session *session, struct device *device, uint32_t flags, bool siblings, glance_seen seen)
{
	struct glance *glance = calloc(1, sizeof *glance);

	if (!glance)
		return -ENOMEM;
	glance->flags = flags;
	glance->siblings = siblings;
	glance->seen = seen;
	memcpy(glance->name, device->name, sizeof glance->name);
	waiter_join(&glance->waiter, &waiting, session, device->group);
	operation_begin(&glance->operation, &glancing,
		&(struct operation_matter){
			.broker = session->broker,
			.group = device->group,
			.uid = session->user->uid,
			.device = device->name,
		});
	return CHANNEL_LATER;
}
