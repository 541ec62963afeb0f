/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GRANT_H
#define BROKER_GRANT_H

#include "state/broker.h"

/* What a lease is granted by. */
struct grant {
	const struct policy_rule *rule;
	const struct host_device *now; /* the device as admission read it, in this turn of the loop */
	int group_fd;		       /* owned: the group's node, if admission could open it; negative: not open */
	lease_answer answer;	       /* called when the keeper has answered */
};

/*
 * Leases DEVICE, which admission.h has nothing against, to SESSION by GRANT, whose group_fd is taken: claims it, opens its group if that
 * is not open yet, and offers both to a keeper. Returns CHANNEL_LATER (the answer follows, unless the session ends before), a
 * refusal, or a negative errno; then everything is as before.
 */
int grant_lease(struct session *session, struct device *device, struct grant *grant, struct detail *detail);

#endif
