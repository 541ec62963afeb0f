/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_ROWS_H
#define KERNEL_ROWS_H

#include "domain_kernel.h"
#include "kernel.h"

/* A group of the machine under test, opened once for all rows; fd -1: the machine has no such group. */
struct rows_group {
	int fd;
	const char *device;
};

/* The kernel that the rows are checked on: the fake or the real one. */
struct rows_machine {
	const struct vfio_kernel *vfio;
	const struct domain_kernel *domain;
	struct rows_group first;
	struct rows_group second;     /* another viable group; optional */
	struct rows_group not_viable; /* a group with a device on a host driver; optional */
};

/* Fills MACHINE from the command line. Returns 0, or -1 after a message on stderr. */
int rows_machine_init(struct rows_machine *machine, int argc, char **argv);

#endif
