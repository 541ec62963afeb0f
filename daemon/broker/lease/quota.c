/* SPDX-License-Identifier: MIT */
#include "lease/quota.h"

#include "base/limits.h"
#include "base/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The policy's limits of a user, or NULL. */
static const struct policy_rule *limits_of(const struct broker *broker, uid_t uid)
{
	return broker->policy ? policy_limits(broker->policy, uid) : NULL;
}

/* The limit that LIMITS has, or FALLBACK, and where the limit stands. */
static struct quota_limit limit_of(
	const struct policy_rule *limits, uint32_t limit, unsigned int fallback, const char *option)
{
	struct quota_limit found = {.value = fallback};

	if (limit == POLICY_UNSET) {
		snprintf(found.source, sizeof found.source, "%s", option);
		return found;
	}
	found.value = limit;
	snprintf(found.source, sizeof found.source, "limits \"%.40s\", %.80s:%u", limits->name, limits->file,
		limits->line);
	return found;
}

struct quota_limit quota_sessions(const struct broker *broker, const struct policy_rule *limits)
{
	return limit_of(limits, limits ? limits->sessions : POLICY_UNSET, broker->options->sessions_per_user,
		"--sessions-per-user");
}

struct quota_limit quota_devices(const struct broker *broker, const struct policy_rule *limits)
{
	return limit_of(
		limits, limits ? limits->devices : POLICY_UNSET, broker->options->leases_per_user, "--leases-per-user");
}

struct quota_limit quota_opens(const struct policy_rule *limits, uid_t uid)
{
	/* Root could do the same without the service. */
	return limit_of(limits, limits ? limits->opens_per_minute : POLICY_UNSET,
		uid == 0 ? POLICY_UNSET : OPENS_PER_MINUTE, "the usual rate; a [limits] may give another");
}

/* ---- sessions ---- */

static int check_connections(
	const struct broker *broker, struct user *user, const struct policy_rule *limits, struct detail *detail)
{
	uint64_t now = loop_now(broker->event), wait;

	if (!limits || limits->connections_per_minute == POLICY_UNSET)
		return 0;
	wait = rate_wait(&user->connections, limits->connections_per_minute, now);
	if (wait > 0)
		return refuse(detail, REFUSAL_QUOTA,
			"uid %u may connect %u times a minute (limits \"%.40s\", %.80s:%u); the next time in %llu ms",
			user->uid, limits->connections_per_minute, limits->name, limits->file, limits->line,
			(unsigned long long)(wait + 999) / 1000);
	rate_take(&user->connections, limits->connections_per_minute, now);
	return 0;
}

int quota_session(struct broker *broker, uid_t uid, struct user **ret_user, struct detail *detail)
{
	const struct policy_rule *limits = limits_of(broker, uid);
	const struct quota_limit limit = quota_sessions(broker, limits);
	struct user *user;
	int r;

	users_sweep(&broker->users, loop_now(broker->event));
	r = user_charge_session(&broker->users, uid, limit.value, &user);
	if (r == -EDQUOT)
		return refuse(detail, REFUSAL_QUOTA, "uid %u has %u sessions, the limit (%s)", uid,
			user_sessions(&broker->users, uid), limit.source);
	if (r == 0) {
		r = check_connections(broker, user, limits, detail);
		if (r != 0)
			user_refund_session(&broker->users, user);
	}
	if (r == 0)
		*ret_user = user;
	return r;
}

/* ---- devices ---- */

/* Devices that the user, or the unit (NULL: any), has by RULE. */
static unsigned int count_held(
	const struct broker *broker, const struct policy_rule *rule, const struct user *user, const char *unit)
{
	const struct device *device;
	unsigned int count = 0;

	LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
		const struct lease *lease = device->lease;

		if (!lease || lease->allowed_by != rule || (!unit && lease->user != user))
			continue;
		count += !unit || strncmp(device->group->holder.unit, unit, UNIT_NAME_SIZE) == 0;
	}
	return count;
}

static int check_rule(const struct broker *broker, const struct session *session, const struct policy_rule *rule,
	struct detail *detail)
{
	struct holder_record who;
	unsigned int held;
	char unit[UNIT_NAME_SIZE * 4];

	if (rule->devices != POLICY_UNSET) {
		held = count_held(broker, rule, session->user, NULL);
		if (held >= rule->devices)
			return refuse(detail, REFUSAL_QUOTA,
				"uid %u has %u devices by rule \"%.40s\" (%.80s:%u), which allows a user %u at a time",
				session->user->uid, held, rule->name, rule->file, rule->line, rule->devices);
	}
	if (rule->devices_per_unit == POLICY_UNSET)
		return 0;
	/* Units are cut to the same length as in the records of holders. All processes without a unit count as the
	 * same unit. */
	peer_record(&session->peer, &who);
	held = count_held(broker, rule, NULL, who.unit);
	if (held >= rule->devices_per_unit)
		return refuse(detail, REFUSAL_QUOTA,
			"%s has %u devices by rule \"%.40s\" (%.80s:%u), which allows a unit %u at a time",
			who.unit[0] ? refusal_quote(unit, sizeof unit, who.unit, sizeof who.unit)
				    : "what is in no unit",
			held, rule->name, rule->file, rule->line, rule->devices_per_unit);
	return 0;
}

static int check_rate(
	const struct broker *broker, const struct user *user, const struct policy_rule *limits, struct detail *detail)
{
	const struct quota_limit limit = quota_opens(limits, user->uid);
	uint64_t wait;

	if (limit.value == POLICY_UNSET)
		return 0;
	wait = rate_wait(&user->opens, limit.value, loop_now(broker->event));
	if (wait == 0)
		return 0;
	return refuse(detail, REFUSAL_QUOTA, "uid %u may open %u devices a minute (%s); the next in %llu ms", user->uid,
		limit.value, limit.source, (unsigned long long)(wait + 999) / 1000);
}

int quota_check(const struct broker *broker, const struct session *session, const struct policy_rule *rule,
	struct detail *detail)
{
	const struct policy_rule *limits = limits_of(broker, session->user->uid);
	const struct quota_limit limit = quota_devices(broker, limits);
	int r = 0;

	if (session->user->leases >= limit.value)
		return refuse(detail, REFUSAL_QUOTA, "uid %u has %u devices, the limit is %u (%s)", session->user->uid,
			session->user->leases, limit.value, limit.source);
	if (rule && rule->verdict == POLICY_ALLOW)
		r = check_rule(broker, session, rule, detail);
	return r != 0 ? r : check_rate(broker, session->user, limits, detail);
}

void quota_charge(struct broker *broker, struct session *session)
{
	struct user *user = session->user;
	const struct quota_limit limit = quota_opens(limits_of(broker, user->uid), user->uid);

	if (limit.value != POLICY_UNSET)
		rate_take(&user->opens, limit.value, loop_now(broker->event));
	user_charge_lease(session->user);
}
