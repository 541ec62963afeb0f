/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GLANCE_H
#define BROKER_GLANCE_H

#include "helper_message.h"
#include "refusal.h"
#include "state/broker.h"

#include <stdbool.h>

/* A helper's look at a device, for a request that is answered afterwards. */

struct glanced {
	char name[DEVICE_NAME_SIZE];
	const struct helper_reply *reply; /* NULL: the helper has not come back, or none could be had */
	enum refusal refusal;		  /* without a reply: what an OPEN would be told, ... */
	const char *text;		  /* ... and what is known */
	/* The device that use and use_error of REPLY are about. */
	char inspected[DEVICE_NAME_SIZE];
};

typedef void (*glance_seen)(struct session *session, const struct glanced *glanced);

/*
 * Has a helper look at DEVICE, which has a group, by FLAGS (enum helper_flags). With SIBLINGS, the other devices of the
 * group that an OPEN would take from their drivers are inspected (HELPER_LOOK_USE), up to the first that the host uses.
 * Returns CHANNEL_LATER: SEEN is called and answers, unless the session ends before. Or -ENOMEM.
 */
int glance_begin(struct session *session, struct device *device, uint32_t flags, bool siblings, glance_seen seen);

#endif
