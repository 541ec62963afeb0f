/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "columns.h"
#include "failure.h"
#include "json.h"
#include "text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The broker's whole report about itself. The arrays are owned. */
struct status {
	struct vbroker_status counters;
	struct vbroker_session_entry *sessions;
	size_t sessions_count;
	struct vbroker_lease_entry *leases;
	size_t leases_count;
	struct vbroker_process_entry *processes;
	size_t processes_count;
};

static int status_read(const struct cli *cli, struct status *status)
{
	int r = vbroker_session_status(cli->session, &status->counters);

	if (r == 0)
		r = vbroker_list_sessions(cli->session, &status->sessions, &status->sessions_count);
	if (r == 0)
		r = vbroker_list_leases(cli->session, &status->leases, &status->leases_count);
	if (r == 0)
		r = vbroker_list_processes(cli->session, &status->processes, &status->processes_count);
	/* A broker of an earlier release has only keepers, which are with the leases. */
	return r == VBROKER_UNSUPPORTED ? 0 : r;
}

/* The holder of a lease, or NULL: the session has ended between the two requests. */
static const struct vbroker_holder *holder_of(const struct status *status, const struct vbroker_lease_entry *lease)
{
	for (size_t i = 0; i < status->sessions_count; i++) {
		if (status->sessions[i].id == lease->session)
			return &status->sessions[i].peer;
	}
	return NULL;
}

/* ---- JSON ---- */

static struct json_object *events_json(const struct vbroker_status *counters)
{
	struct json_object *object = json_object_new_object();

	for (int kind = 1; kind <= VBROKER_CHANGE_FRONT_LOST; kind++) {
		if (kind != VBROKER_CHANGE_LOST)
			json_add_number(object, vbroker_change_name(kind), counters->changes[kind]);
	}
	return object;
}

static struct json_object *denials_json(const struct vbroker_status *counters)
{
	struct json_object *object = json_object_new_object();

	for (int refusal = 1; refusal < VBROKER_STATUS_DENIALS; refusal++) {
		if (counters->denials[refusal] > 0)
			json_add_number(object, vbroker_refusal_name(refusal), counters->denials[refusal]);
	}
	return object;
}

static struct json_object *counters_json(const struct vbroker_status *counters)
{
	struct json_object *object = json_object_new_object();

	json_add_number(object, "uptime_us", counters->uptime_us);
	json_add_number(object, "sessions", counters->sessions);
	json_add_number(object, "leases", counters->leases);
	json_add_number(object, "keepers", counters->keepers);
	json_add_number(object, "keepers_spare", counters->keepers_spare);
	json_add_number(object, "devices", counters->devices);
	json_add_number(object, "quarantined", counters->quarantined);
	json_add_number(object, "requests", counters->requests);
	json_add_number(object, "opens", counters->opens);
	json_add_number(object, "refusals", counters->refusals);
	json_add_number(object, "releases", counters->releases);
	json_add_number(object, "malformed", counters->malformed);
	json_add_number(object, "watchers", counters->watchers);
	json_add_number(object, "suppressed", counters->suppressed);
	json_add_number(object, "lost", counters->lost);
	json_add_number(object, "missed", counters->missed);
	json_object_object_add(object, "events", events_json(counters));
	json_object_object_add(object, "denials", denials_json(counters));
	return object;
}

static struct json_object *policy_json(const struct vbroker_status *counters)
{
	struct json_object *object = json_object_new_object();

	json_add_bool(object, "in_force", counters->policy_in_force);
	json_add_number(object, "rules", counters->policy_rules);
	json_add_number(object, "age_us", counters->policy_age_us);
	json_add_text(object, "error", counters->policy_error);
	return object;
}

static struct json_object *session_json(const struct vbroker_session_entry *session)
{
	struct json_object *object = json_object_new_object();

	json_add_number(object, "id", session->id);
	json_add_holder(object, "peer", &session->peer);
	json_add_number(object, "requests", session->requests);
	json_add_number(object, "age_us", session->age_us);
	json_add_number(object, "leases", session->leases);
	return object;
}

static struct json_object *lease_json(const struct status *status, const struct vbroker_lease_entry *lease)
{
	struct json_object *object = json_object_new_object();

	json_add_text(object, "name", lease->name);
	json_add_group(object, lease->group);
	json_add_text(object, "state", text_state(lease->state));
	json_add_number(object, "session", lease->session);
	json_add_number(object, "age_us", lease->age_us);
	json_add_number(object, "keeper_pid", lease->keeper_pid);
	json_add_number(object, "keeper_uid", lease->keeper_uid);
	json_add_text(object, "keeper_user", text_user(lease->keeper_uid));
	json_add_holder(object, "holder", holder_of(status, lease));
	return object;
}

static const char *kind_text(enum vbroker_process_kind kind)
{
	static const char *const kinds[] = {[VBROKER_PROCESS_KEEPER] = "keeper",
		[VBROKER_PROCESS_FRONT] = "front",
		[VBROKER_PROCESS_HELPER] = "helper",
		[VBROKER_PROCESS_POLICY_READER] = "policy reader"};

	return (size_t)kind < sizeof kinds / sizeof *kinds && kinds[kind] ? kinds[kind] : "unknown";
}

static const char *activity_text(enum vbroker_process_state state)
{
	static const char *const states[] = {[VBROKER_PROCESS_IDLE] = "idle",
		[VBROKER_PROCESS_WORKING] = "working",
		[VBROKER_PROCESS_HUNG] = "hung"};

	return (size_t)state < sizeof states / sizeof *states && states[state] ? states[state] : "unknown";
}

static struct json_object *process_json(const struct vbroker_process_entry *process)
{
	struct json_object *object = json_object_new_object();

	json_add_text(object, "kind", kind_text(process->kind));
	json_add_text(object, "state", activity_text(process->state));
	json_add_number(object, "pid", process->pid);
	if (process->uid == VBROKER_PROCESS_NOBODYS)
		json_add_text(object, "uid", NULL);
	else
		json_add_number(object, "uid", process->uid);
	json_add_number(object, "age_us", process->age_us);
	json_add_text(object, "name", process->name);
	json_add_text(object, "text", process->text);
	return object;
}

static int print_json(const struct status *status)
{
	struct json_object *object = json_object_new_object();
	struct json_object *sessions = json_object_new_array();
	struct json_object *leases = json_object_new_array();
	struct json_object *processes = json_object_new_array();

	if (!object || !sessions || !leases || !processes) {
		json_object_put(object);
		json_object_put(processes);
		json_object_put(sessions);
		json_object_put(leases);
		return failure_memory();
	}
	for (size_t i = 0; i < status->sessions_count; i++)
		json_object_array_add(sessions, session_json(&status->sessions[i]));
	for (size_t i = 0; i < status->leases_count; i++)
		json_object_array_add(leases, lease_json(status, &status->leases[i]));
	for (size_t i = 0; i < status->processes_count; i++)
		json_object_array_add(processes, process_json(&status->processes[i]));
	json_object_object_add(object, "counters", counters_json(&status->counters));
	json_object_object_add(object, "policy", policy_json(&status->counters));
	json_object_object_add(object, "sessions", sessions);
	json_object_object_add(object, "leases", leases);
	json_object_object_add(object, "processes", processes);
	return json_print(object);
}

/* ---- tables ---- */

/* Only kinds and refusals with a count above 0. */
static void print_events(const struct vbroker_status *counters)
{
	const char *before = "events: ";

	for (int kind = 1; kind <= VBROKER_CHANGE_FRONT_LOST; kind++) {
		if (counters->changes[kind] > 0 && kind != VBROKER_CHANGE_LOST) {
			printf("%s%" PRIu64 " %s", before, counters->changes[kind], vbroker_change_name(kind));
			before = ", ";
		}
	}
	if (*before == ',')
		printf("\n");
	before = "denials: ";
	for (int refusal = 1; refusal < VBROKER_STATUS_DENIALS; refusal++) {
		if (counters->denials[refusal] > 0) {
			printf("%s%" PRIu64 " %s", before, counters->denials[refusal], vbroker_refusal_name(refusal));
			before = ", ";
		}
	}
	if (*before == ',')
		printf("\n");
}

static void print_counters(const struct vbroker_status *counters)
{
	char uptime[64];

	printf("vfio-brokerd: up %s\n", text_duration(counters->uptime_us, uptime, sizeof uptime));
	printf("now: %" PRIu32 " sessions, %" PRIu32 " leases, %" PRIu32 " keepers (%" PRIu32
	       " of them spare), %" PRIu32 " devices, %" PRIu32 " of them quarantined\n",
		counters->sessions, counters->leases, counters->keepers, counters->keepers_spare, counters->devices,
		counters->quarantined);
	printf("since its start: %" PRIu64 " requests, %" PRIu64 " opens, %" PRIu64 " releases, %" PRIu64
	       " refusals, %" PRIu64 " malformed\n",
		counters->requests, counters->opens, counters->releases, counters->refusals, counters->malformed);
	print_events(counters);
	if (counters->watchers + counters->missed > 0)
		printf("watchers: %" PRIu32 "; %" PRIu64 " events were lost because watchers did not read in time\n",
			counters->watchers, counters->missed);
	if (counters->suppressed + counters->lost > 0)
		printf("audit: %" PRIu64 " events were summed up, %" PRIu64 " entries were not taken by the journal\n",
			counters->suppressed, counters->lost);
}

static void print_policy(const struct vbroker_status *counters)
{
	char age[64];

	if (!counters->policy_in_force)
		printf("policy: NONE, so nobody gets a device: the files %s\n",
			counters->policy_error[0] ? "are wrong, or cannot be read:" : "are being read");
	else if (counters->policy_error[0])
		printf("policy: NOT WHAT THE FILES SAY: they are wrong, or cannot be read, so %" PRIu32
		       " rules read %s ago stay in force:\n",
			counters->policy_rules, text_duration(counters->policy_age_us, age, sizeof age));
	else
		printf("policy: %" PRIu32 " rules in force, read %s ago\n", counters->policy_rules,
			text_duration(counters->policy_age_us, age, sizeof age));
	if (counters->policy_error[0])
		printf("  %s\n  Correct it: changed files are read again at once. "
		       "'vfio-brokerctl policy check' tries them before.\n",
			counters->policy_error);
}

static int print_sessions(const struct status *status)
{
	static const char *const heads[] = {"SESSION", "AGE", "LEASES", "REQUESTS", "CLIENT"};
	struct columns *columns = columns_new(sizeof heads / sizeof heads[0], heads);
	int r;

	for (size_t i = 0; i < status->sessions_count; i++) {
		const struct vbroker_session_entry *session = &status->sessions[i];
		char age[64], peer[256];

		columns_cell(columns, "%" PRIu64, session->id);
		columns_cell(columns, "%s", text_duration(session->age_us, age, sizeof age));
		columns_cell(columns, "%" PRIu32, session->leases);
		columns_cell(columns, "%" PRIu64, session->requests);
		columns_cell(columns, "%s", text_holder(&session->peer, peer, sizeof peer));
	}
	r = columns_print(columns);
	columns_free(columns);
	return r;
}

static void add_keeper(struct columns *columns, const struct vbroker_lease_entry *lease)
{
	const struct vbroker_holder keeper = {.uid = lease->keeper_uid, .pid = lease->keeper_pid};
	char text[256];

	columns_cell(columns, "%s", text_holder(&keeper, text, sizeof text));
}

static int print_leases(const struct status *status)
{
	static const char *const heads[] = {"DEVICE", "GROUP", "STATE", "AGE", "SESSION", "KEEPER", "HOLDER"};
	struct columns *columns = columns_new(sizeof heads / sizeof heads[0], heads);
	int r;

	for (size_t i = 0; i < status->leases_count; i++) {
		const struct vbroker_lease_entry *lease = &status->leases[i];
		const struct vbroker_holder *holder = holder_of(status, lease);
		char age[64], text[256];

		columns_cell(columns, "%s", lease->name);
		columns_cell(columns, "%" PRIu32, lease->group);
		columns_cell(columns, "%s", text_state(lease->state));
		columns_cell(columns, "%s", text_duration(lease->age_us, age, sizeof age));
		columns_cell(columns, "%" PRIu64, lease->session);
		add_keeper(columns, lease);
		columns_cell(columns, "%s", holder ? text_holder(holder, text, sizeof text) : "");
	}
	r = columns_print(columns);
	columns_free(columns);
	return r;
}

static void add_process(struct columns *columns, const struct vbroker_process_entry *process)
{
	const char *user = process->uid == VBROKER_PROCESS_NOBODYS ? "" : text_user(process->uid);
	char age[64] = "", pid[16] = "", uid[32];

	snprintf(uid, sizeof uid, "uid %" PRIu32, process->uid);
	if (process->pid > 0)
		snprintf(pid, sizeof pid, "%" PRIu32, process->pid);
	if (process->age_us > 0)
		text_duration(process->age_us, age, sizeof age);
	columns_cell(columns, "%s", kind_text(process->kind));
	columns_cell(columns, "%s", process->state == VBROKER_PROCESS_HUNG ? "HUNG" : activity_text(process->state));
	columns_cell(columns, "%s", pid);
	columns_cell(columns, "%s", age);
	columns_cell(columns, "%s", user ? user : uid);
	columns_cell(columns, "%s", process->name);
	columns_cell(columns, "%s", process->text);
}

/* Processes in reserve are no news. */
static int print_processes(const struct status *status)
{
	static const char *const heads[] = {"PROCESS", "STATE", "PID", "AGE", "FOR", "DEVICE", "WHAT"};
	struct columns *columns = columns_new(sizeof heads / sizeof heads[0], heads);
	int r;

	for (size_t i = 0; i < status->processes_count; i++) {
		if (status->processes[i].state != VBROKER_PROCESS_IDLE)
			add_process(columns, &status->processes[i]);
	}
	r = columns_print(columns);
	columns_free(columns);
	return r;
}

static bool processes_work(const struct status *status)
{
	for (size_t i = 0; i < status->processes_count; i++) {
		if (status->processes[i].state != VBROKER_PROCESS_IDLE)
			return true;
	}
	return false;
}

static int print_tables(const struct status *status)
{
	int r = 0;

	print_counters(&status->counters);
	print_policy(&status->counters);
	if (status->sessions_count > 0) {
		printf("\n");
		r = print_sessions(status);
	}
	if (r == 0 && status->leases_count > 0) {
		printf("\n");
		r = print_leases(status);
	}
	if (r == 0 && processes_work(status)) {
		printf("\n");
		r = print_processes(status);
	}
	return r < 0 ? failure_memory() : CLI_OK;
}

int status_run(const struct cli *cli)
{
	struct status status = {0};
	int r = status_read(cli, &status);

	if (r != 0)
		r = failure_request(cli, "read the status", r);
	else
		r = cli->json ? print_json(&status) : print_tables(&status);
	free(status.sessions);
	free(status.leases);
	free(status.processes);
	return r;
}
