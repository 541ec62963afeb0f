/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GRANT_H
#define BROKER_GRANT_H

#include "state/broker.h"

/* The terms of a grant. */
struct grant {
	const struct policy_rule *rule;
	const struct host_device *now; /* the device as admission read it, in this turn of the loop */
	int group_fd;		       /* owned: the group's node, if admission could open it; negative: not open */
	lease_answer answer;	       /* called when the keeper has answered */
};

/*
 * Leases DEVICE to SESSION by GRANT, after admission_check() has found no obstacle. GRANT's group_fd is taken. Claims
 * DEVICE, opens the group if the group is not open yet, and offers both to a keeper. Returns CHANNEL_LATER (the
 * answer follows, unless the session ends before), a refusal, or a negative errno; on a refusal or an error
 * everything is as before.
 */
int grant_lease(struct session *session, struct device *device, struct grant *grant, struct detail *detail);

#endif
