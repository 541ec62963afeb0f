/* SPDX-License-Identifier: MIT */
#include "change.h"
#include "cli.h"
#include "failure.h"
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int print_json(const struct vbroker_change *change)
{
	struct json_object *object = json_object_new_object();

	json_add_number(object, "time_us", change->time_us);
	json_add_text(object, "event", vbroker_change_name((int)change->kind));
	json_add_number(object, "priority", change->level);
	json_add_text(object, "device", change->device);
	json_add_group(object, change->group);
	json_add_holder(object, "who", &change->who);
	json_add_number(object, "session", change->session);
	json_add_text(object, "rule", change->rule);
	json_add_text(object, "refusal", change->refusal ? vbroker_refusal_name(change->refusal) : NULL);
	json_add_number(object, "duration_us", change->duration_us);
	json_add_number(object, "count", change->count);
	json_add_number(object, "missed", change->missed);
	json_add_text(object, "message", change->message);
	return json_print_line(object);
}

static void print_words(const struct vbroker_change *change)
{
	time_t seconds = (time_t)(change->time_us / 1000000);
	struct tm local;
	char date[32] = "";

	if (localtime_r(&seconds, &local))
		strftime(date, sizeof date, "%b %d %H:%M:%S", &local);
	if (change->missed > 0)
		printf("%s.%03" PRIu64 "  %-16s %" PRIu64 " events are missing here: they were not read in time\n",
			date, change->time_us / 1000 % 1000, "lost", change->missed);
	if (change->kind != VBROKER_CHANGE_LOST || change->missed == 0)
		printf("%s.%03" PRIu64 "  %-16s %.*s\n", date, change->time_us / 1000 % 1000,
			vbroker_change_name((int)change->kind), (int)sizeof change->message, change->message);
}

int change_print(const struct vbroker_change *change, bool json)
{
	if (json)
		return print_json(change);
	print_words(change);
	return CLI_OK;
}
