/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include "failure.h"
#include "json.h"
#include "parse.h"
#include "text.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX 4096

/* The question and the answer. */
struct question {
	char device[TEXT_DEVICE_SIZE];
	char user[64]; /* a name where there is one */
	const char *unit;
	uint32_t uid;
	struct vbroker_explanation answer;
	char use[256]; /* what the host does with the device, where that matters */
};

/* ---- asking ---- */

/* A uid without an entry has no known groups. */
static int subject_of(const struct cli *cli, gid_t *groups, int *count, struct vbroker_subject *ret_subject,
	struct question *question)
{
	const struct passwd *entry;
	uint32_t uid = getuid();

	if (!cli->user) {
		entry = getpwuid(uid);
	} else if (!parse_user(cli->user, &uid, &entry)) {
		return failure_user(cli->user);
	}
	*ret_subject = (struct vbroker_subject){
		.uid = uid, .gid = cli->user ? uid : getgid(), .groups = groups, .unit = cli->unit};
	if (entry) {
		ret_subject->uid = entry->pw_uid;
		ret_subject->gid = entry->pw_gid;
		snprintf(question->user, sizeof question->user, "%s", entry->pw_name);
		if (getgrouplist(entry->pw_name, entry->pw_gid, groups, count) < 0)
			*count = GROUPS_MAX;
	} else {
		*count = 0;
	}
	ret_subject->groups_count = (size_t)*count;
	question->uid = ret_subject->uid;
	question->unit = cli->unit;
	return CLI_OK;
}

/* Where the rule says yes, the host may still say no. Whoever may not ask gets the answer of the rules. */
static void ask_use(const struct cli *cli, struct question *question)
{
	const struct vbroker_explanation *answer = &question->answer;

	if (answer->verdict != VBROKER_VERDICT_ALLOWED || !answer->rebind || answer->take_in_use)
		return;
	if (vbroker_session_in_use(cli->session, question->device, question->use) > 0)
		snprintf(question->use, sizeof question->use, "not known: %s", vbroker_detail());
}

static int ask(const struct cli *cli, struct question *question)
{
	gid_t *groups = calloc(GROUPS_MAX, sizeof *groups);
	struct vbroker_subject subject;
	int count = GROUPS_MAX, r;

	if (!groups)
		return failure_memory();
	r = subject_of(cli, groups, &count, &subject, question);
	if (r == CLI_OK) {
		r = vbroker_session_explain_policy(cli->session, question->device, &subject, &question->answer);
		if (r != 0)
			r = failure_request(cli, "explain the policy", r);
	}
	free(groups);
	if (r == CLI_OK)
		ask_use(cli, question);
	return r;
}

/* ---- words ---- */

static void print_limit(const char *what, uint32_t number)
{
	if (number != VBROKER_UNLIMITED)
		printf("  %s: %" PRIu32 "\n", what, number);
}

static void print_limits(const struct vbroker_explanation *answer)
{
	char time[64];

	if (answer->verdict == VBROKER_VERDICT_ALLOWED) {
		printf("\nWhat the rule gives:\n  taken from its host driver: %s\n", answer->rebind ? "yes" : "no");
		if (answer->take_in_use)
			puts("  in-use: take, also while the host uses it");
		if (answer->direct)
			puts("  access: direct, the VFIO device itself; "
			     "nobody can take it back while its holder lives");
		if (answer->lease_time_us != 0)
			printf("  lease-time: %s\n", text_duration(answer->lease_time_us, time, sizeof time));
		print_limit("devices by this rule at a time, for one user", answer->devices);
		print_limit("devices by this rule at a time, for one unit", answer->devices_per_unit);
		print_limit("register windows at a time", answer->windows);
		if (answer->window_size != UINT64_MAX)
			printf("  bytes in register windows: %" PRIu64 "\n", answer->window_size);
		print_limit("memory mappings of a driver by one domain channel", answer->mappings);
	}
	printf("\nLimits of the user, over all devices:\n");
	print_limit("sessions at a time", answer->user_sessions);
	print_limit("devices at a time", answer->user_devices);
	print_limit("leases begun in a minute", answer->opens_per_minute);
	print_limit("connections in a minute", answer->connections_per_minute);
}

static void print_words(const struct question *question)
{
	static const char *const verdicts[] = {[VBROKER_VERDICT_NO_RULE] = "may not have",
		[VBROKER_VERDICT_DENIED] = "may not have",
		[VBROKER_VERDICT_ALLOWED] = "may have"};
	const struct vbroker_explanation *answer = &question->answer;

	printf("%s (uid %" PRIu32 "%s%s) %s %s.\n", question->user[0] ? question->user : "The user", question->uid,
		question->unit ? ", in " : ", in no unit that is known", question->unit ? question->unit : "",
		verdicts[answer->verdict <= VBROKER_VERDICT_ALLOWED ? answer->verdict : VBROKER_VERDICT_NO_RULE],
		question->device);
	for (size_t i = 0; i < answer->rules_count; i++) {
		const struct vbroker_rule_entry *rule = &answer->rules[i];

		if (rule->why[0])
			printf("  %s:%" PRIu32 ": \"%s\" does not fit: %s\n", rule->file, rule->line, rule->name,
				rule->why);
		else
			printf("  %s:%" PRIu32 ": \"%s\" fits and %s it\n", rule->file, rule->line, rule->name,
				rule->verdict == VBROKER_VERDICT_ALLOWED ? "allows" : "denies");
	}
	if (answer->verdict == VBROKER_VERDICT_NO_RULE)
		printf("  No rule fits, which means no.\n");
	if (question->use[0])
		printf("\nWhat the host does with it: %s.\n"
		       "  OPEN is refused (IN_USE) until that ends, or the rule says in-use = take.\n",
			question->use);
	print_limits(answer);
}

/* ---- JSON ---- */

static void add_limit(struct json_object *object, const char *name, uint32_t number)
{
	if (number == VBROKER_UNLIMITED)
		json_add_text(object, name, NULL);
	else
		json_add_number(object, name, number);
}

static struct json_object *rules_json(const struct vbroker_explanation *answer)
{
	struct json_object *rules = json_object_new_array();

	for (size_t i = 0; rules && i < answer->rules_count; i++) {
		const struct vbroker_rule_entry *rule = &answer->rules[i];
		struct json_object *entry = json_object_new_object();

		json_add_text(entry, "name", rule->name);
		json_add_text(entry, "file", rule->file);
		json_add_number(entry, "line", rule->line);
		json_add_text(entry, "verdict", rule->verdict == VBROKER_VERDICT_ALLOWED ? "allow" : "deny");
		json_add_bool(entry, "fits", !rule->why[0]);
		json_add_text(entry, "why", rule->why);
		json_object_array_add(rules, entry);
	}
	return rules;
}

static int print_json(const struct question *question)
{
	const struct vbroker_explanation *answer = &question->answer;
	struct json_object *object = json_object_new_object();
	struct json_object *limits = json_object_new_object();

	if (!object || !limits) {
		json_object_put(object);
		json_object_put(limits);
		return failure_memory();
	}
	json_add_text(object, "device", question->device);
	json_add_number(object, "uid", question->uid);
	json_add_text(object, "user", question->user);
	json_add_text(object, "unit", question->unit);
	json_add_bool(object, "allowed", answer->verdict == VBROKER_VERDICT_ALLOWED);
	json_add_text(object, "in_use", question->use);
	json_object_object_add(object, "rules", rules_json(answer));
	json_add_bool(limits, "rebind", answer->rebind);
	json_add_bool(limits, "take_in_use", answer->take_in_use);
	json_add_bool(limits, "direct", answer->direct);
	add_limit(limits, "devices", answer->devices);
	add_limit(limits, "devices_per_unit", answer->devices_per_unit);
	if (answer->lease_time_us != 0)
		json_add_number(limits, "lease_time_us", answer->lease_time_us);
	else
		json_add_text(limits, "lease_time_us", NULL);
	add_limit(limits, "windows", answer->windows);
	if (answer->window_size != UINT64_MAX)
		json_add_number(limits, "window_size", answer->window_size);
	else
		json_add_text(limits, "window_size", NULL);
	add_limit(limits, "mappings", answer->mappings);
	add_limit(limits, "user_sessions", answer->user_sessions);
	add_limit(limits, "user_devices", answer->user_devices);
	add_limit(limits, "opens_per_minute", answer->opens_per_minute);
	add_limit(limits, "connections_per_minute", answer->connections_per_minute);
	json_object_object_add(object, "limits", limits);
	return json_print(object);
}

int explain_run(const struct cli *cli)
{
	struct question question = {.unit = NULL};
	int r;

	if (cli->words_count != 1) {
		fprintf(stderr, "vfio-brokerctl: policy explain wants one device (see: vfio-brokerctl help)\n");
		return CLI_USAGE;
	}
	text_device(question.device, cli->words[0]);
	r = ask(cli, &question);
	if (r != CLI_OK)
		return r;
	if (cli->json)
		r = print_json(&question);
	else
		print_words(&question);
	if (r == CLI_OK && question.answer.verdict != VBROKER_VERDICT_ALLOWED)
		r = CLI_NO;
	free(question.answer.rules);
	return r;
}
