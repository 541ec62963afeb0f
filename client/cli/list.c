/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "columns.h"
#include "failure.h"
#include "json.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>

/* Bridges cannot be leased, and would only hide the devices in the list. */
static bool is_shown(const struct cli *cli, const struct vbroker_device_entry *entry)
{
	return cli->all || entry->class_code >> 16 != 0x06;
}

static struct json_object *entry_json(const struct vbroker_device_entry *entry)
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
	return object;
}

static int print_json(const struct cli *cli, const struct vbroker_device_entry *entries, size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < count; i++) {
		if (is_shown(cli, &entries[i]))
			json_object_array_add(array, entry_json(&entries[i]));
	}
	return json_print(array);
}

static void add_row(struct columns *columns, const struct vbroker_device_entry *entry)
{
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
	columns_cell(columns, "%s", text_state(entry->state));
	columns_cell(columns, "%s", text_holder(&entry->holder, holder, sizeof holder));
}

static int print_table(const struct cli *cli, const struct vbroker_device_entry *entries, size_t count)
{
	static const char *const heads[] = {"DEVICE", "GROUP", "ID", "CLASS", "DRIVER", "STATE", "HOLDER"};
	struct columns *columns = columns_new(sizeof heads / sizeof heads[0], heads);
	int r;

	for (size_t i = 0; i < count; i++) {
		if (is_shown(cli, &entries[i]))
			add_row(columns, &entries[i]);
	}
	r = columns_print(columns);
	columns_free(columns);
	return r < 0 ? failure_memory() : CLI_OK;
}

int list_run(const struct cli *cli)
{
	struct vbroker_device_entry *entries;
	size_t count;
	int r = vbroker_list_devices(cli->session, &entries, &count);

	if (r != 0)
		return failure_request(cli, "list the devices", r);
	r = cli->json ? print_json(cli, entries, count) : print_table(cli, entries, count);
	free(entries);
	return r;
}
