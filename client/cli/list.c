/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "columns.h"
#include "failure.h"
#include "json.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bridges cannot be leased, and would only hide the devices in the list. */
static bool is_shown(const struct cli *cli, const struct vbroker_device_entry *entry)
{
	return cli->all || entry->class_code >> 16 != 0x06 || (entry->class_code >> 8 & 0xff) >= 0x08;
}

/* The devices, and the processes of the service. */
struct list {
	struct vbroker_device_entry *devices;
	size_t devices_count;
	struct vbroker_process_entry *processes;
	size_t processes_count;
};

/* The helper that hangs at DEVICE; NULL: none. */
static const struct vbroker_process_entry *helper_at(const struct list *list, const struct vbroker_device_entry *device)
{
	for (size_t i = 0; i < list->processes_count; i++) {
		const struct vbroker_process_entry *process = &list->processes[i];

		if (process->kind == VBROKER_PROCESS_HELPER && process->state == VBROKER_PROCESS_HUNG &&
			strcmp(process->name, device->name) == 0)
			return process;
	}
	return NULL;
}

static struct json_object *helper_json(const struct vbroker_process_entry *helper)
{
	struct json_object *object = helper ? json_object_new_object() : NULL;

	if (!object)
		return NULL;
	json_add_number(object, "pid", helper->pid);
	json_add_number(object, "age_us", helper->age_us);
	json_add_text(object, "text", helper->text);
	return object;
}

static struct json_object *stranded_json(const struct vbroker_device_entry *entry)
{
	struct json_object *object = entry->stranded ? json_object_new_object() : NULL;

	if (!object)
		return NULL;
	json_add_text(object, "home", entry->home);
	json_add_number(object, "error", (uint64_t)entry->stranded);
	json_add_text(object, "text", strerror(entry->stranded));
	return object;
}

static struct json_object *entry_json(const struct list *list, const struct vbroker_device_entry *entry)
{
	struct json_object *object = json_object_new_object();

	json_add_text(object, "name", entry->name);
	json_add_group(object, entry->group);
	json_add_hex(object, "vendor", entry->vendor, 4);
	json_add_hex(object, "device", entry->device, 4);
	json_add_hex(object, "class", entry->class_code, 6);
	json_add_text(object, "class_name", text_class(entry->class_code));
	json_add_text(object, "driver", entry->driver);
	json_add_text(object, "state", text_state(entry->state));
	json_add_holder(object, "holder", &entry->holder);
	json_object_object_add(object, "helper", helper_json(helper_at(list, entry)));
	json_object_object_add(object, "stranded", stranded_json(entry));
	json_add_text(object, "reset", text_reset(entry->reset));
	return object;
}

static int print_json(const struct cli *cli, const struct list *list)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < list->devices_count; i++) {
		if (is_shown(cli, &list->devices[i]))
			json_object_array_add(array, entry_json(list, &list->devices[i]));
	}
	return json_print(array);
}

/* A helper that hangs keeps everybody from the device, whoever had it last. */
static void add_helper(struct columns *columns, const struct vbroker_process_entry *helper)
{
	char age[64];

	columns_cell(columns, "a helper (pid %" PRIu32 ") for %s: %s", helper->pid,
		text_duration(helper->age_us, age, sizeof age), helper->text);
}

static void add_row(struct columns *columns, const struct list *list, const struct vbroker_device_entry *entry)
{
	const struct vbroker_process_entry *helper = helper_at(list, entry);
	const char *class_name = text_class(entry->class_code);
	char holder[256];

	columns_cell(columns, "%s", entry->name);
	if (entry->group == VBROKER_GROUP_NONE)
		columns_cell(columns, "none");
	else
		columns_cell(columns, "%" PRIu32, entry->group);
	columns_cell(columns, "%04" PRIx32 ":%04" PRIx32, entry->vendor, entry->device);
	if (*class_name)
		columns_cell(columns, "%s", class_name);
	else
		columns_cell(columns, "%06" PRIx32, entry->class_code);
	columns_cell(columns, "%s", entry->driver);
	columns_cell(columns, "%s", text_reset(entry->reset));
	columns_cell(columns, "%s", text_state(entry->state));
	if (helper)
		add_helper(columns, helper);
	else if (entry->stranded && entry->holder.pid == 0)
		columns_cell(columns, "should be with %s: %s", entry->home[0] ? entry->home : "no driver",
			strerror(entry->stranded));
	else
		columns_cell(columns, "%s", text_holder(&entry->holder, holder, sizeof holder));
}

static int print_table(const struct cli *cli, const struct list *list)
{
	static const char *const heads[] = {"DEVICE", "GROUP", "ID", "CLASS", "DRIVER", "RESET", "STATE", "HOLDER"};
	struct columns *columns = columns_new(sizeof heads / sizeof heads[0], heads);
	int r;

	for (size_t i = 0; i < list->devices_count; i++) {
		if (is_shown(cli, &list->devices[i]))
			add_row(columns, list, &list->devices[i]);
	}
	r = columns_print(columns);
	columns_free(columns);
	return r < 0 ? failure_memory() : CLI_OK;
}

static int list_read(const struct cli *cli, struct list *list)
{
	int r = vbroker_list_devices(cli->session, &list->devices, &list->devices_count);

	return r != 0 ? r : vbroker_list_processes(cli->session, &list->processes, &list->processes_count);
}

int list_run(const struct cli *cli)
{
	struct list list = {0};
	int r = list_read(cli, &list);

	if (r != 0)
		r = failure_request(cli, "list the devices", r);
	else
		r = cli->json ? print_json(cli, &list) : print_table(cli, &list);
	free(list.processes);
	free(list.devices);
	return r;
}
