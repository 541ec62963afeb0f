/* SPDX-License-Identifier: MIT */
#ifndef BROKER_INVENTORY_H
#define BROKER_INVENTORY_H

#include "host/host.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct claim;
struct group;
struct lease;
struct quarantine;

/* A PCI device. It exists while the host has it, or a lease or a claim refers to it. */
struct device {
	LIST_ENTRY(device) in_inventory; /* sorted by name */
	LIST_ENTRY(device) in_group;
	char name[DEVICE_NAME_SIZE];
	bool present;
	bool moved;		       /* it came back in another group while a lease or a claim held it in this one */
	struct group *group;	       /* NULL: no IOMMU */
	struct lease *lease;	       /* NULL: not leased */
	struct claim *claim;	       /* owned; NULL: nothing to undo */
	bool used;		       /* a client had it since its group was free last */
	struct quarantine *quarantine; /* owned: what stands against it since its last lease; NULL: nothing */
	struct quarantine *before;     /* owned: what did before that lease, if it is QUARANTINE_LENT */
};
LIST_HEAD(device_list, device);

/* The inventory of PCI devices; groups belong to it as well (group.h). */
struct inventory {
	const struct host *host;
	struct device_list devices;
	LIST_HEAD(group_list, group) groups;
	unsigned int count; /* devices that are present */
};

/* Fills the inventory from the host. */
int inventory_init(struct inventory *inventory, const struct host *host);
void inventory_clear(struct inventory *inventory);

/* The host says that a device came or went. */
void inventory_changed(struct inventory *inventory, enum host_change change, const char *name);

/* Some devices came or went unnoticed: calls CHANGED for each, which should call inventory_changed(). */
void inventory_compare(struct inventory *inventory, host_changed changed, void *context);

/* NULL: no such device. */
struct device *inventory_find(const struct inventory *inventory, const char *name);

/* Makes a device that the host may not have at the moment: a claim record of an earlier run names it. */
struct device *inventory_recall(struct inventory *inventory, const char *name);

/* Frees DEVICE if nothing refers to it any more, or lets it change its group at last. */
void inventory_settle(struct inventory *inventory, struct device *device);

#endif
