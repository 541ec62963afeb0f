/* SPDX-License-Identifier: MIT */
#include "kernel_rows.h"
#include "type1.h"

#include <fcntl.h>
#include <stdio.h>

static int group_open(struct rows_group *group, const char *node, const char *device)
{
	*group = (struct rows_group){open(node, O_RDWR | O_CLOEXEC), device};
	if (group->fd < 0)
		perror(node);
	return group->fd;
}

int rows_machine_init(struct rows_machine *machine, int argc, char **argv)
{
	*machine = (struct rows_machine){&vfio_type1, &domain_type1, {-1, NULL}, {-1, NULL}, {-1, NULL}};
	if (argc != 3 && argc != 5 && argc != 7) {
		fprintf(stderr,
			"usage: %s GROUP DEVICE [SECOND-GROUP DEVICE [NOT-VIABLE-GROUP DEVICE]]\n"
			"GROUP is a node like /dev/vfio/1, DEVICE a PCI address; both devices are bound to vfio-pci\n",
			argv[0]);
		return -1;
	}
	if (group_open(&machine->first, argv[1], argv[2]) < 0)
		return -1;
	if (argc >= 5 && group_open(&machine->second, argv[3], argv[4]) < 0)
		return -1;
	return argc == 7 && group_open(&machine->not_viable, argv[5], argv[6]) < 0 ? -1 : 0;
}
