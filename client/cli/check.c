/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "failure.h"
#include "json.h"
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The answer to one CHECK. */
struct check {
	char name[TEXT_DEVICE_SIZE];
	struct vbroker_device_entry entry;  /* as in the list; an empty name: not known */
	struct vbroker_obstacle *obstacles; /* owned */
	size_t count;
	int claim;
};

/* Read only for the output; a failure does not change the answer. */
static void entry_read(const struct cli *cli, struct check *check)
{
	struct vbroker_device_entry *entries;
	size_t count;

	if (vbroker_list_devices(cli->session, &entries, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].name, check->name) == 0)
			check->entry = entries[i];
	}
	free(entries);
}

/* A refusal of the question itself (no such device, say) stands in the way like any other. */
static int obstacle_of_refusal(struct check *check, int refusal)
{
	check->obstacles = calloc(1, sizeof *check->obstacles);
	if (!check->obstacles)
		return failure_memory();
	check->count = 1;
	check->obstacles[0].refusal = refusal;
	snprintf(check->obstacles[0].detail, sizeof check->obstacles[0].detail, "%s", vbroker_detail());
	return CLI_OK;
}

/* What this user alone can know: whether the IOMMU domain for the device could be opened. */
static int add_domain(struct check *check)
{
	struct vbroker_obstacle *more, found;

	/* For tests: hosts of tests have no VFIO. */
	if (vbroker_domain_obstacle(getenv("VFIO_DOMAIN_FILE"), &found) == 0)
		return CLI_OK;
	more = reallocarray(check->obstacles, check->count + 1, sizeof *more);
	if (!more)
		return failure_memory();
	check->obstacles = more;
	check->obstacles[check->count++] = found;
	return CLI_OK;
}

static int check_ask(const struct cli *cli, struct check *check)
{
	int r = vbroker_session_check(cli->session, check->name, &check->obstacles, &check->count, &check->claim);
	char what[TEXT_DEVICE_SIZE + 16];

	if (r < 0) {
		snprintf(what, sizeof what, "check %s", check->name);
		return failure_request(cli, what, r);
	}
	if (r > 0)
		return obstacle_of_refusal(check, r);
	entry_read(cli, check);
	return add_domain(check);
}

#define NO_RESET "no reset method: will be quarantined afterwards, unless the policy has reset = optional"

static bool is_unresettable(const struct check *check)
{
	return check->entry.name[0] && check->entry.reset == VBROKER_RESET_METHOD_NONE;
}

static int print_json(const struct check *check)
{
	struct json_object *object = json_object_new_object();
	struct json_object *array = json_object_new_array();

	if (!object || !array) {
		json_object_put(object);
		json_object_put(array);
		return failure_memory();
	}
	json_add_text(object, "name", check->name);
	json_add_bool(object, "available", check->count == 0);
	json_add_bool(object, "claim", check->claim);
	json_add_text(object, "driver", check->entry.driver);
	json_add_text(object, "reset", check->entry.name[0] ? text_reset(check->entry.reset) : NULL);
	json_add_text(object, "warning", is_unresettable(check) ? NO_RESET : NULL);
	json_add_text(object, "home", check->entry.stranded ? check->entry.home : NULL);
	for (size_t i = 0; i < check->count; i++) {
		const struct vbroker_obstacle *obstacle = &check->obstacles[i];
		struct json_object *entry = json_object_new_object();

		json_add_text(entry, "refusal", vbroker_refusal_name(obstacle->refusal));
		json_add_number(entry, "number", (uint64_t)obstacle->refusal);
		json_add_text(entry, "sentence", vbroker_refusal_sentence(obstacle->refusal));
		json_add_text(entry, "detail", obstacle->detail);
		json_add_text(entry, "advice", vbroker_refusal_advice(obstacle->refusal));
		json_object_array_add(array, entry);
	}
	json_object_object_add(object, "obstacles", array);
	return json_print(object);
}

static void print_driver(const struct check *check)
{
	if (check->claim)
		printf("OPEN would take it from its host driver%s%s first and give it back after the lease.\n",
			check->entry.driver[0] ? " " : "", check->entry.driver);
	else if (check->entry.driver[0])
		printf("Its driver is %s; OPEN would leave the driver alone.\n", check->entry.driver);
	else
		printf("It has no host driver now.\n");
}

static void print_reset(const struct check *check)
{
	if (is_unresettable(check))
		printf("It has " NO_RESET ".\n");
	else if (check->entry.name[0] && check->entry.reset == VBROKER_RESET_METHOD_SHARED_BUS)
		printf("It is reset after a lease: %s reset, together with the other devices on its bus, "
		       "when none of them is leased any more.\n",
			text_reset(check->entry.reset));
	else if (check->entry.name[0])
		printf("It is reset after a lease: %s reset.\n", text_reset(check->entry.reset));
}

/* Nothing that keeps anybody from the device, but worth knowing. */
static void print_stranded(const struct check *check)
{
	const struct vbroker_device_entry *entry = &check->entry;

	if (entry->stranded)
		printf("It could not go back to %s after its last lease, and tries again until it can: %s.\n",
			entry->home[0] ? entry->home : "having no driver", strerror(entry->stranded));
}

static void print_words(const struct check *check)
{
	if (check->count == 0) {
		printf("%s can be leased now by this user.\n", check->name);
		print_driver(check);
		print_reset(check);
		print_stranded(check);
		return;
	}
	printf("%s cannot be leased now by this user:\n", check->name);
	for (size_t i = 0; i < check->count; i++) {
		const struct vbroker_obstacle *obstacle = &check->obstacles[i];

		printf("\n%s: %s\n", vbroker_refusal_name(obstacle->refusal),
			vbroker_refusal_sentence(obstacle->refusal));
		if (obstacle->detail[0])
			printf("  %.*s\n", (int)sizeof obstacle->detail, obstacle->detail);
		printf("  What to do: %s\n", vbroker_refusal_advice(obstacle->refusal));
	}
	print_stranded(check);
}

int check_run(const struct cli *cli)
{
	struct check check = {.count = 0};
	int r;

	text_device(check.name, cli->argument);
	r = check_ask(cli, &check);
	if (r == CLI_OK && cli->json)
		r = print_json(&check);
	else if (r == CLI_OK)
		print_words(&check);
	if (r == CLI_OK && check.count > 0)
		r = CLI_NO;
	free(check.obstacles);
	return r;
}
