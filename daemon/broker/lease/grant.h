/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GRANT_H
#define BROKER_GRANT_H

#include "state/broker.h"

/*
 * Leases DEVICE, which admission.h has nothing against, to SESSION by RULE: claims it, opens its group if that is not open
 * yet, and offers both to a keeper. Returns CHANNEL_LATER (ANSWER follows, unless the session ends before), a refusal,
 * or a negative errno; then everything is as before.
 */
int grant_lease(struct session *session, struct device *device, const struct policy_rule *rule, lease_answer answer,
	struct detail *detail);

#endif
