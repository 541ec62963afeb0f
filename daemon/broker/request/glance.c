/* SPDX-License-Identifier: MIT */
#include "request/glance.h"

#include "channel.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
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
	glance_seen seen;
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

static void tell(struct glance *glance, const struct helper_reply *reply, const char *text)
{
	struct session *session = part(glance);

	if (session)
		glance->seen(session, glance->operation.device, reply, text);
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

static void answered(struct operation *operation, const struct helper_reply *reply)
{
	struct glance *glance = glance_of(operation);

	tell(glance, reply, "the helper that looked at the device has ended");
	end(glance);
}

static void late(struct operation *operation)
{
	struct glance *glance = glance_of(operation);
	const struct operation *hung = operation->begun ? operation : operation_ahead(operation);
	char text[DETAIL_SIZE] = "no helper was free in time; 'systemctl status vfio-helper.socket' says more";

	if (hung)
		operation_text(hung, text, sizeof text);
	tell(glance, NULL, text);
	if (!operation->begun)
		end(glance);
}

static const struct operation_kind glancing = {begin, answered, late};

int glance_begin(struct session *session, struct device *device, uint32_t flags, glance_seen seen)
{
	struct glance *glance = calloc(1, sizeof *glance);

	if (!glance)
		return -ENOMEM;
	glance->flags = flags;
	glance->seen = seen;
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
