/* SPDX-License-Identifier: MIT */
#include "request/policy_report.h"

#include "base/listing.h"
#include "lease/quota.h"
#include "policy/policy.h"
#include "policy/policy_key.h"
#include "request/hold.h"
#include "state/user.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

static bool may_see(const struct session *session, const struct policy_rule *rule)
{
	return session->peer.uid == 0 || policy_concerns(rule, &session->peer);
}

/* ---- POLICY ---- */

struct rules_listing {
	struct policy_sink sink; /* first */
	struct listing listing;
};

static void add_line(struct rules_listing *rules, enum policy_line_kind kind, uint32_t number, const char *text)
{
	struct policy_line *line = listing_add(&rules->listing, sizeof *line);

	if (!line)
		return;
	line->kind = kind;
	line->number = number;
	snprintf(line->text, sizeof line->text, "%s", text);
}

static void on_key(struct policy_sink *sink, const char *text)
{
	add_line((struct rules_listing *)sink, POLICY_LINE_KEY, 0, text);
}

static void add_rule(struct rules_listing *rules, const struct policy_rule *rule)
{
	static const char *const verdicts[] = {
		[POLICY_DENY] = "deny", [POLICY_ALLOW] = "allow", [POLICY_LIMITS] = "limits"};
	char section[sizeof((struct policy_line *)NULL)->text];

	snprintf(section, sizeof section, "%s %s", verdicts[rule->verdict], rule->name);
	add_line(rules, POLICY_LINE_SECTION, rule->line, section);
	add_line(rules, POLICY_LINE_FILE, 0, rule->file);
	policy_key_print(rule, &rules->sink);
}

int policy_report_rules(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct session *session = context;
	const struct policy *policy = session->broker->policy;
	struct rules_listing rules = {.sink = {on_key}};

	if (!policy)
		return hold_no_policy(session->broker, detail);
	rules.listing = listing_begin(request, reply);
	for (size_t i = 0; i < policy->count; i++) {
		if (may_see(session, &policy->rules[i]))
			add_rule(&rules, &policy->rules[i]);
	}
	return 0;
}

/* ---- EXPLAIN ---- */

/*
 * The subject of EXPLAIN: anybody, if root asks; otherwise the caller, as the kernel knows the caller. Any unit may be
 * asked about: the rules for a caller in another unit are no secret. The memory behind RET_PEER stays the session's and
 * the request's.
 */
static int subject(const struct session *session, struct packet *request, struct peer *ret_peer, struct detail *detail)
{
	struct explain_request *wanted = (void *)request->payload;

	if (session->peer.uid != 0 && wanted->uid != session->peer.uid)
		return refuse(detail, REFUSAL_ROOT_ONLY, "root alone may ask about uid %u; uid %u may ask about itself",
			wanted->uid, session->peer.uid);
	*ret_peer = session->peer;
	if (session->peer.uid == 0) {
		ret_peer->uid = wanted->uid;
		ret_peer->owner = owners_find(&session->broker->policy->owners, wanted->uid);
		ret_peer->gid = wanted->gid;
		ret_peer->groups = (gid_t *)(void *)(wanted + 1);
		ret_peer->groups_count = (uint32_t)((request->header.length - sizeof *wanted) / sizeof(gid_t));
	}
	ret_peer->unit = wanted->unit[0] ? wanted->unit : NULL;
	return 0;
}

static enum explain_verdict verdict_of(const struct policy_rule *rule)
{
	if (!rule)
		return EXPLAIN_NO_RULE;
	return rule->verdict == POLICY_ALLOW ? EXPLAIN_ALLOWED : EXPLAIN_DENIED;
}

static_assert(EXPLAIN_UNLIMITED == POLICY_UNSET, "what is not given is not limited");
static_assert(MAPPINGS_UNLIMITED == POLICY_UNSET, "the same");

static void fill_limits(
	const struct broker *broker, const struct policy_rule *rule, uid_t uid, struct explain_reply *reply)
{
	const struct policy_rule *limits = policy_limits(broker->policy, uid);

	reply->user_sessions = quota_sessions(broker, limits).value;
	reply->user_devices = quota_devices(broker, limits).value;
	reply->opens_per_minute = quota_opens(limits, uid).value;
	reply->connections_per_minute = limits ? limits->connections_per_minute : EXPLAIN_UNLIMITED;
	reply->devices = reply->devices_per_unit = reply->mappings = EXPLAIN_UNLIMITED;
	if (!rule || rule->verdict != POLICY_ALLOW)
		return;
	reply->flags = (rule->rebind ? EXPLAIN_REBIND : 0U) | (rule->direct ? EXPLAIN_DIRECT : 0U) |
		(rule->take_in_use ? EXPLAIN_TAKE : 0U);
	reply->windows = rule->windows.count;
	reply->window_size = rule->windows.size;
	reply->lease_time_us = rule->lease_time_us;
	reply->devices = rule->devices;
	reply->devices_per_unit = rule->devices_per_unit;
	reply->mappings = rule->mappings;
}

static void add_record(struct listing *listing, const struct policy_rule *rule, const char *why)
{
	struct explain_record *record = listing_add(listing, sizeof *record);

	if (!record)
		return;
	record->line = rule->line;
	record->verdict = (uint32_t)verdict_of(rule);
	snprintf(record->name, sizeof record->name, "%s", rule->name);
	snprintf(record->file, sizeof record->file, "%s", rule->file);
	snprintf(record->why, sizeof record->why, "%s", why ? why : "");
}

static void explain(const struct session *session, const struct host_device *device, const struct peer *peer,
	uint32_t start, struct packet *packet)
{
	const struct policy *policy = session->broker->policy;
	const struct policy_rule *decides = policy_decide(policy, device, peer);
	struct explain_reply *reply = packet_append(packet, sizeof *reply);
	struct listing listing = {packet, &reply->page, start};
	char why[256];

	reply->verdict = (uint32_t)verdict_of(decides);
	fill_limits(session->broker, decides, peer->owner, reply);
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (rule->verdict != POLICY_LIMITS && may_see(session, rule))
			add_record(&listing, rule, policy_misfit(rule, device, peer, why, sizeof why));
		if (rule == decides)
			break;
	}
}

int policy_report_explain(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct explain_request *wanted = (const void *)request->payload;
	const struct session *session = context;
	const struct broker *broker = session->broker;
	struct host_device device;
	struct peer peer;
	int r;

	if (!broker->policy)
		return hold_no_policy(broker, detail);
	r = subject(session, request, &peer, detail);
	if (r != 0)
		return r;
	if (broker->host->read(wanted->name, &device) < 0)
		return refuse(detail, REFUSAL_NO_SUCH_DEVICE, "%s", wanted->name);
	explain(session, &device, &peer, wanted->start, reply);
	return 0;
}
