/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUOTA_H
#define BROKER_QUOTA_H

#include "refusal.h"
#include "state/broker.h"

/*
 * What users may have at a time: by the [limits] of the policy, and where it has none for them, by the options of the
 * command line; and what a rule lets each of its users and units have. Refusals say who has what, and where the limit stands.
 */

struct quota_limit {
	unsigned int value;
	char source[160]; /* where it stands, for people */
};

/* How many sessions and devices a user may have, given its LIMITS (policy_limits(); NULL: the policy has none for it). */
struct quota_limit quota_sessions(const struct broker *broker, const struct policy_rule *limits);
struct quota_limit quota_devices(const struct broker *broker, const struct policy_rule *limits);

/* Charges another session to UID, as user_charge_session() does. Returns 0, QUOTA with its detail, or a negative errno. */
int quota_session(struct broker *broker, uid_t uid, struct user **ret_user, struct detail *detail);

/* Whether SESSION may have one more device, by RULE. Returns 0 or QUOTA with its detail. Looks only. */
int quota_check(const struct broker *broker, const struct session *session, const struct policy_rule *rule,
	struct detail *detail);

/* Charges one more lease, which quota_check() has nothing against, to the session's user. */
void quota_charge(struct broker *broker, struct session *session);

#endif
