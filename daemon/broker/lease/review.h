/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVIEW_H
#define BROKER_REVIEW_H

#include "state/broker.h"

/* The policy's effect on leases that exist already. Each lease refers to the rule that allows the lease
 * (lease->allowed_by). Only the functions below set the rule, also of a new lease. */

/* RULE allows LEASE from now on. The terms of LEASE follow RULE; the lease-time counts from the beginning of LEASE. */
void review_grant(struct lease *lease, const struct policy_rule *rule);

/* Asks the question of review_leases() about a LEASE that an earlier broker made, perhaps by another policy. */
void review_adopted(struct lease *lease);

/*
 * Asks broker->policy again about every lease. A holder that would not get the device any more loses the device, with
 * a warning and REVIEW_DEADLINE_US to finish, by the same path as `vfio-brokerctl revoke`. Limits on numbers are for
 * new leases. Without a policy (the files had a mistake at start) nobody loses anything.
 */
void review_leases(struct broker *broker);

#endif
