/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LOOK_H
#define BROKER_LOOK_H

#include "helper_message.h"
#include "policy/policy.h"
#include "state/broker.h"

/* What a helper has seen of a device (HELPER_LOOK), judged. Pure. Each returns 0, or a refusal with DETAIL. */

/* The device is there, but answers nothing. A virtual function has no ids of its own, but a command register. */
bool look_is_dead(const struct helper_reply *reply);

/* By HELPER_LOOK_IDS. */
int look_answers(const char *name, const struct helper_reply *reply, struct detail *detail);

/* By HELPER_LOOK_NODE: a program may have opened the group without this service. A group without a node is no
 * obstacle, unless VFIO has the device already (VFIO): the node comes with the first device that VFIO gets. */
int look_node_free(const struct iommu_group *group, bool vfio, const struct helper_reply *reply, struct detail *detail);

/* By HELPER_LOOK_USE: the host works with DEVICE, and RULE, which allows the device, does not say in-use = take. */
int look_unused(const struct host_device *device, const struct policy_rule *rule, const struct helper_reply *reply,
	struct detail *detail);

#endif
