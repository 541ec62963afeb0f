/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "kernel_rows.h"

static int group(uint32_t number, bool viable, const char *name)
{
	return fake_group_create(number, viable, (const char *const[]){name, NULL});
}

int rows_machine_init(struct rows_machine *machine, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	*machine = (struct rows_machine){
		.vfio = &fake_vfio,
		.domain = &fake_domain,
		.first = {group(1, true, "0000:00:02.0"), "0000:00:02.0"},
		.second = {group(2, true, "0000:00:03.0"), "0000:00:03.0"},
		.not_viable = {group(7, false, "0000:04:01.0"), "0000:04:01.0"},
	};
	return machine->first.fd < 0 || machine->second.fd < 0 || machine->not_viable.fd < 0 ? -1 : 0;
}
