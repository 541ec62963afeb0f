/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GLANCE_H
#define BROKER_GLANCE_H

#include "helper_message.h"
#include "state/broker.h"

/* A helper's look at a device, for a request that is answered afterwards. */

/* The helper has seen the device NAME: REPLY. REPLY NULL: the helper has not come back, or none could be had, and
 * TEXT says what is known. */
typedef void (*glance_seen)(
	struct session *session, const char *name, const struct helper_reply *reply, const char *text);

/* Has a helper look at DEVICE, which has a group, by FLAGS (enum helper_flags). Returns CHANNEL_LATER: SEEN is
 * called and answers, unless the session ends before. Or -ENOMEM. */
int glance_begin(struct session *session, struct device *device, uint32_t flags, glance_seen seen);

#endif
