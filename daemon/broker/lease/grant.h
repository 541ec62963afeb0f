/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GRANT_H
#define BROKER_GRANT_H

#include "state/broker.h"

/*
 * Leases DEVICE to SESSION by RULE, after admission_check() has found no obstacle: claims DEVICE, opens the group if
 * the group is not open yet, and offers both to a keeper. Returns CHANNEL_LATER (ANSWER follows, unless the session
 * ends before), a refusal, or a negative errno; on a refusal or an error everything is as before.
 */
int grant_lease(struct session *session, struct device *device, const struct policy_rule *rule, lease_answer answer,
	struct detail *detail);

#endif
