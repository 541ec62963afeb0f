/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVIEW_H
#define BROKER_REVIEW_H

#include "state/broker.h"

/*
 * What the policy means for leases that exist already. Each lease refers to the rule that allows it (lease->allowed_by),
 * and only here and when it is made is that set.
 */

/* LEASE is allowed by RULE from now on: what the rule says is in its text, and how long it may last counts from its beginning. */
void review_grant(struct lease *lease, const struct policy_rule *rule);

/* The same question as review_leases() asks, for LEASE, that an earlier broker made by a policy which may have been another. */
void review_adopted(struct lease *lease);

/*
 * Asks broker->policy again about every lease. Who would not get the device any more loses it, with a warning and
 * REVIEW_DEADLINE_US to finish, by the same path as `vfio-brokerctl revoke`. Limits on numbers are for new leases. Without
 * a policy (the files had a mistake at start) nobody loses anything.
 */
void review_leases(struct broker *broker);

#endif
