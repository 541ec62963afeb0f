/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUOTA_H
#define BROKER_QUOTA_H

#include "refusal.h"
#include "state/broker.h"

/*
 * Limits on what a user may have at a time. The [limits] of the policy come first; where the policy has none for a
 * user, the options of the command line count. A rule, too, may limit each of its users and units. Refusals say who
 * has how much, and where the limit stands.
 */

struct quota_limit {
	unsigned int value;
	char source[160]; /* where the limit stands, for people */
};

/* How many sessions and devices a user may have. LIMITS is from policy_limits(); NULL: the policy has none for the
 * user. */
struct quota_limit quota_sessions(const struct broker *broker, const struct policy_rule *limits);
struct quota_limit quota_devices(const struct broker *broker, const struct policy_rule *limits);
/* The same for leases that UID may begin in a minute; POLICY_UNSET: as many as UID likes. */
struct quota_limit quota_opens(const struct policy_rule *limits, uid_t uid);

/* Charges another session to UID, as user_charge_session() does. Returns 0, QUOTA with DETAIL, or a negative errno. */
int quota_session(struct broker *broker, uid_t uid, struct user **ret_user, struct detail *detail);

/* Whether SESSION may have another device, by RULE. Returns 0 or QUOTA with DETAIL. Looks only, changes nothing. */
int quota_check(const struct broker *broker, const struct session *session, const struct policy_rule *rule,
	struct detail *detail);

/* Charges another lease to the session's user, after quota_check() has allowed the lease. */
void quota_charge(struct broker *broker, struct session *session);

#endif
