/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "list.h"
#include "name.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Supplementary groups that fit one request with room to spare. The kernel knows up to 65,536; people have a few. */
#define GROUPS_MAX 4096

static void read_line(void *to, const void *from)
{
	const struct policy_line *record = from;
	struct vbroker_policy_line *line = to;

	line->kind = (enum vbroker_policy_kind)record->kind;
	line->number = record->number;
	text_copy(line->text, sizeof line->text, record->text, sizeof record->text);
}

int vbroker_list_policy(struct vbroker_session *session, struct vbroker_policy_line **ret_lines, size_t *ret_count)
{
	static const struct list list = {BROKER_POLICY, sizeof(struct listing_reply), sizeof(struct policy_line),
		sizeof(struct vbroker_policy_line), read_line};

	return list_read(session, &list, ret_lines, ret_count);
}

static void read_rule(void *to, const void *from)
{
	const struct explain_record *record = from;
	struct vbroker_rule_entry *rule = to;

	rule->verdict = (enum vbroker_verdict)record->verdict;
	rule->line = record->line;
	text_copy(rule->name, sizeof rule->name, record->name, sizeof record->name);
	text_copy(rule->file, sizeof rule->file, record->file, sizeof record->file);
	text_copy(rule->why, sizeof rule->why, record->why, sizeof record->why);
}

static void read_explanation(struct vbroker_explanation *explanation, const struct explain_reply *reply)
{
	*explanation = (struct vbroker_explanation){
		.verdict = (enum vbroker_verdict)reply->verdict,
		.rebind = (reply->flags & EXPLAIN_REBIND) != 0,
		.direct = (reply->flags & EXPLAIN_DIRECT) != 0,
		.take_in_use = (reply->flags & EXPLAIN_TAKE) != 0,
		.windows = reply->windows,
		.window_size = reply->window_size,
		.lease_time_us = reply->lease_time_us,
		.devices = reply->devices,
		.devices_per_unit = reply->devices_per_unit,
		.mappings = reply->mappings,
		.user_sessions = reply->user_sessions,
		.user_devices = reply->user_devices,
		.opens_per_minute = reply->opens_per_minute,
		.connections_per_minute = reply->connections_per_minute,
	};
}

/* The rules from START on. */
static int ask_explain(
	struct vbroker_session *session, const char *name, const struct vbroker_subject *subject, uint32_t start)
{
	static const struct requester_reply expected = {
		.size = sizeof(struct explain_reply),
		.element_size = sizeof(struct explain_record),
	};
	const size_t groups = subject->groups ? subject->groups_count : 0;
	struct explain_request *explain =
		requester_begin(&session->channel, BROKER_EXPLAIN, sizeof *explain + groups * sizeof(uint32_t));
	int r = name_find(name, explain->name);

	if (r != 0)
		return r;
	explain->start = start;
	explain->uid = subject->uid;
	explain->gid = subject->gid;
	if (subject->unit)
		memcpy(explain->unit, subject->unit, strlen(subject->unit));
	if (groups > 0)
		memcpy(explain + 1, subject->groups, groups * sizeof(uint32_t));
	return requester_call(&session->channel, &expected);
}

int vbroker_session_explain_policy(struct vbroker_session *session, const char *name,
	const struct vbroker_subject *subject, struct vbroker_explanation *ret_explanation)
{
	static const struct list list = {BROKER_EXPLAIN, sizeof(struct explain_reply), sizeof(struct explain_record),
		sizeof(struct vbroker_rule_entry), read_rule};
	const struct packet *packet = &session->channel.packet;
	struct vbroker_explanation explanation;
	struct entries entries = {NULL, 0};
	uint32_t total = 0;
	int r;

	detail_clear();
	if (subject->unit && strlen(subject->unit) >= sizeof((struct explain_request *)NULL)->unit)
		return detail_set(-ENAMETOOLONG, "a unit's name has at most 255 bytes");
	if (subject->groups && subject->groups_count > GROUPS_MAX)
		return detail_set(-E2BIG, "more than %d groups", GROUPS_MAX);
	do {
		r = ask_explain(session, name, subject, (uint32_t)entries.count);
		if (r == 0) {
			read_explanation(&explanation, packet_body(packet, sizeof(struct explain_reply)));
			r = list_append_page(&entries, &list, packet, &total);
		}
	} while (r == 0 && entries.count < total);
	if (r != 0) {
		free(entries.bytes);
		return r;
	}
	explanation.rules = (void *)entries.bytes;
	explanation.rules_count = entries.count;
	*ret_explanation = explanation;
	return 0;
}
