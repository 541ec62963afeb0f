/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GRANT_H
#define BROKER_GRANT_H

#include "state/broker.h"

/* GROUP_NOT_VIABLE for the device NAME of GROUP: the host drives SIBLING. DETAIL has a line for the rule that lets
 * SESSION have SIBLING, if the line is all that is missing. */
int grant_sibling(const struct session *session, const struct iommu_group *group, const char *name,
	const struct host_device *sibling, struct detail *detail);

/* The policy lets SESSION take DEVICE from its host driver. */
bool grant_may_take(const struct broker *broker, const struct session *session, const struct host_device *device);

/* The rule that lets SESSION take DEVICE from its host driver unless the host works with DEVICE: an inspector is to
 * look first (HELPER_LOOK_USE). NULL: there is no such rule, or no need to look. */
const struct policy_rule *grant_inspecting_rule(
	const struct broker *broker, const struct session *session, const struct host_device *device);

/*
 * Leases DEVICE to SESSION, after admission_check() has found no obstacle: looks whether the device answers and the
 * group is free, has DEVICE and the siblings that the host drives inspected, claims them from their drivers, and has a
 * helper open the group and offer DEVICE with it to a keeper. Each step is an order to a helper. Returns CHANNEL_LATER:
 * ANSWER is called, unless the session ends before. Returns -ENOMEM, and everything is as before.
 *
 * After a refusal all of them go back as after a lease: the group is RESTORING, if a step has changed anything.
 */
int grant_lease(struct session *session, struct device *device, lease_answer answer);

#endif
