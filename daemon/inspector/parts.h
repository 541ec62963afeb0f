/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_PARTS_H
#define INSPECTOR_PARTS_H

#include "view.h"

/*
 * What the host's drivers have made of a PCI device: disks, partitions, network interfaces, character devices. All of
 * these are directories of sysfs below the directory of the device.
 */

#define PART_NAME_SIZE 64
#define PARTS_MAX      256

enum part_kind {
	PART_DISK,
	PART_PARTITION,
	PART_CHARACTER,
	PART_INTERFACE,
};

struct part {
	enum part_kind kind;
	char name[PART_NAME_SIZE]; /* as below /dev; or of the interface */
	dev_t number;		   /* of a node */
};

/* Written by parts.c. */
struct parts {
	struct part parts[PARTS_MAX];
	size_t count;
	unsigned int hidden_interfaces; /* there are network interfaces, all of them in other namespaces */
	size_t folders;			/* looked into so far */
};

/* Returns 0; -ENODEV: there is no such device; -E2BIG: more parts than fit. */
int parts_find(const struct view *view, const char *name, struct parts *ret_parts);

#endif
