/* SPDX-License-Identifier: MIT */
#ifndef BROKER_INVENTORY_H
#define BROKER_INVENTORY_H

#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

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
