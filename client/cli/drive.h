/* SPDX-License-Identifier: MIT */
#ifndef DRIVE_H
#define DRIVE_H

#include "cli.h"

#include <stddef.h>

/* The most devices for one driver. */
#define DRIVE_DEVICES_MAX 16

/* The most files and folders that one driver may read, besides those of every driver. */
#define DRIVE_READABLE_MAX 64

/* The command line of "drive". */
struct drive_options {
	const char *devices[DRIVE_DEVICES_MAX];
	size_t devices_count;
	const char *readable[DRIVE_READABLE_MAX];
	size_t readable_count;
	struct vbroker_budget budget;
	char **driver; /* the driver's arguments, ended by NULL */
};

/* The budget without --budget: enough for the queues and buffers of most drivers, and far below the limits of a
 * domain. */
#define DRIVE_BUDGET_BYTES    (UINT64_C(256) << 20)
#define DRIVE_BUDGET_MAPPINGS 4096
#define DRIVE_BUDGET_MEMORIES 1024

/* The command. Ends with the driver's exit status. */
int drive_run(const struct cli *cli);

/* Reads "64M" or "64M,100": bytes, and mappings. False if TEXT is neither. */
bool drive_budget(const char *text, struct vbroker_budget *ret_budget);

#endif
