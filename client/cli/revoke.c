/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "failure.h"
#include "json.h"
#include "parse.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A driver that hears the warning can finish its work in this time, and for a deaf driver nobody waits long. */
#define DEADLINE_MS 5000

static const struct {
	const char *name; /* for programs */
	const char *words;
} steps[VBROKER_STEPS] = {
	[VBROKER_STEP_WINDOWS] = {"windows", "register windows taken back"},
	[VBROKER_STEP_INTERRUPTS] = {"interrupts", "interrupts off"},
	[VBROKER_STEP_MASTER] = {"bus_master", "bus mastering off"},
	[VBROKER_STEP_RESET] = {"reset", "device reset"},
	[VBROKER_STEP_CLOSE] = {"close", "device closed"},
	[VBROKER_STEP_LEAVE] = {"leave", "IOMMU group out of the domain"},
};

static const char *const results[] = {"unknown", "complete", "nobody", "incomplete"};
static const char *const resets[] = {"not needed", "done", "none", "failed", "unsure"};

static const char *const reasons[] = {
	[VBROKER_ENDED_NONE] = "unknown",
	[VBROKER_ENDED_RELEASED] = "its holder released it",
	[VBROKER_ENDED_HANGUP] = "its holder closed the device channel, or died",
	[VBROKER_ENDED_BROKEN] = "its holder broke the protocol",
	[VBROKER_ENDED_SESSION] = "its holder's session ended, or the service stopped",
	[VBROKER_ENDED_ADMINISTRATOR] = "taken back by an administrator",
	[VBROKER_ENDED_POLICY] = "taken back because of the policy",
	[VBROKER_ENDED_TIME] = "taken back because its time was over",
	[VBROKER_ENDED_UNPLUG] = "the host took it",
	[VBROKER_ENDED_ERROR] = "the device reported an error",
};

/* NUMBER in words; a newer broker may have some more. */
#define TEXT_OF(words, number) ((size_t)(number) < sizeof(words) / sizeof *(words) ? (words)[number] : "unknown")

static int print_json(const char *name, const struct vbroker_revocation *revocation)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();

	if (!object || !array) {
		json_object_put(object);
		json_object_put(array);
		return failure_memory();
	}
	json_add_text(object, "name", name);
	json_add_text(object, "result", TEXT_OF(results, revocation->result));
	json_add_group(object, revocation->group);
	json_add_number(object, "time_us", revocation->time_us);
	json_add_holder(object, "holder", &revocation->holder);
	json_add_number(object, "keeper_pid", revocation->keeper_pid);
	json_add_bool(object, "reported", revocation->reported);
	json_add_text(object, "reason", revocation->reported ? TEXT_OF(reasons, revocation->reason) : NULL);
	json_add_text(object, "reset", revocation->reported ? TEXT_OF(resets, revocation->reset) : NULL);
	for (size_t i = 0; i < VBROKER_STEPS; i++) {
		const struct vbroker_step *step = &revocation->steps[i];
		struct json_object *entry = json_object_new_object();

		json_add_text(entry, "step", steps[i].name);
		json_add_bool(entry, "taken", step->taken);
		json_add_number(entry, "time_us", step->time_us);
		json_add_number(entry, "error", (uint64_t)step->error);
		json_object_array_add(array, entry);
	}
	json_object_object_add(object, "steps", array);
	json_add_text(object, "detail", revocation->detail);
	return json_print(object);
}

static void print_steps(const struct vbroker_revocation *revocation)
{
	for (size_t i = 0; i < VBROKER_STEPS; i++) {
		const struct vbroker_step *step = &revocation->steps[i];

		if (step->taken)
			printf("  %-30s %9.3f ms  %s\n", steps[i].words, step->time_us / 1000.0,
				step->error ? strerror(step->error) : "ok");
		else if (i == VBROKER_STEP_RESET && revocation->reset == VBROKER_RESET_NONE)
			printf("  %-30s %12s  this device cannot be reset alone\n", steps[i].words, "-");
	}
	if (revocation->reset == VBROKER_RESET_UNSURE)
		printf("  the holder has the VFIO device itself (access = direct), "
		       "and can undo these steps until closing it\n");
}

static void print_words(const char *name, const struct vbroker_revocation *revocation)
{
	char holder[256];

	text_holder(&revocation->holder, holder, sizeof holder);
	if (holder[0])
		printf("%s, IOMMU group %" PRIu32 ", %s by %s\n", name, revocation->group,
			revocation->result == VBROKER_REVOKE_INCOMPLETE ? "held" : "was held", holder);
	if (revocation->reported) {
		printf("  %s; by its keeper:\n", TEXT_OF(reasons, revocation->reason));
		print_steps(revocation);
	} else if (revocation->result == VBROKER_REVOKE_COMPLETE) {
		printf("  its keeper ended without a report: the kernel has closed the device\n");
	}
	switch (revocation->result) {
	case VBROKER_REVOKE_COMPLETE:
		printf("revocation: complete, after %.3f ms%s%s\n", (double)revocation->time_us / 1000.0,
			revocation->detail[0] ? "; " : "", revocation->detail);
		break;
	case VBROKER_REVOKE_NOBODY:
		printf("revocation: complete; %s\n", revocation->detail);
		break;
	case VBROKER_REVOKE_INCOMPLETE:
		printf("revocation: incomplete: %s\n", revocation->detail);
		printf("What to do: wait. Nobody gets the device meanwhile; it becomes free by itself at the end. "
		       "'vfio-brokerctl check %s' says what is left.\n",
			name);
		break;
	}
}

int revoke_run(const struct cli *cli)
{
	struct vbroker_revocation revocation;
	uint64_t deadline_ms = DEADLINE_MS;
	char name[TEXT_DEVICE_SIZE], what[TEXT_DEVICE_SIZE + 16];
	int r;

	text_device(name, cli->argument);
	if (cli->deadline && !parse_duration(cli->deadline, UINT32_MAX, &deadline_ms)) {
		fprintf(stderr, "vfio-brokerctl: revoke: not a time like 5s, 500ms or 2min: %s\n", cli->deadline);
		return CLI_USAGE;
	}
	r = vbroker_session_revoke(cli->session, name, (uint32_t)deadline_ms, &revocation);
	if (r != 0) {
		snprintf(what, sizeof what, "revoke %s", name);
		return failure_request(cli, what, r);
	}
	r = CLI_OK;
	if (cli->json)
		r = print_json(name, &revocation);
	else
		print_words(name, &revocation);
	return r == CLI_OK && revocation.result == VBROKER_REVOKE_INCOMPLETE ? CLI_INCOMPLETE : r;
}
