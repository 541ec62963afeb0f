/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "cli.h"
#include "failure.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>

static bool incomplete;

static void add(struct json_object *object, const char *name, struct json_object *value, bool null)
{
	if (!object || (!value && !null) || json_object_object_add(object, name, value) < 0)
		incomplete = true;
}

void json_add_text(struct json_object *object, const char *name, const char *text)
{
	bool null = !text || !*text;

	add(object, name, null ? NULL : json_object_new_string(text), null);
}

void json_add_number(struct json_object *object, const char *name, uint64_t number)
{
	add(object, name, json_object_new_uint64(number), false);
}

void json_add_bool(struct json_object *object, const char *name, int truth)
{
	add(object, name, json_object_new_boolean(truth), false);
}

void json_add_hex(struct json_object *object, const char *name, uint32_t number, int digits)
{
	char text[16];

	snprintf(text, sizeof text, "%0*" PRIx32, digits, number);
	json_add_text(object, name, text);
}

void json_add_group(struct json_object *object, uint32_t group)
{
	bool null = group == VBROKER_GROUP_NONE;

	add(object, "group", null ? NULL : json_object_new_uint64(group), null);
}

void json_add_holder(struct json_object *object, const char *name, const struct vbroker_holder *holder)
{
	struct json_object *value = holder && holder->pid != 0 ? json_object_new_object() : NULL;

	if (value) {
		json_add_number(value, "uid", holder->uid);
		json_add_text(value, "user", text_user(holder->uid));
		json_add_number(value, "pid", holder->pid);
		json_add_text(value, "unit", holder->unit);
	}
	add(object, name, value, !holder || holder->pid == 0);
}

static int print(struct json_object *value, int flags)
{
	const char *text = json_object_to_json_string_ext(value, flags | JSON_C_TO_STRING_NOSLASHESCAPE);
	int exit_code = CLI_OK;

	if (!value || !text || incomplete)
		exit_code = failure_memory();
	else
		printf("%s\n", text);
	json_object_put(value);
	return exit_code;
}

int json_print(struct json_object *value)
{
	return print(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

int json_print_line(struct json_object *value)
{
	return print(value, JSON_C_TO_STRING_PLAIN);
}
