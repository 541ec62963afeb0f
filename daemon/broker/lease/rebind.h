/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REBIND_H
#define BROKER_REBIND_H

#include "state/broker.h"

/* Devices that change their driver for a lease: from the host driver to vfio-pci and back (host/claim.h). */

/* Binds DEVICE, just read as NOW, to vfio-pci, unless vfio-pci drives DEVICE already. Returns 0 or a refusal; after a
 * refusal everything is as before. */
int rebind_to_vfio(struct broker *broker, struct device *device, const struct host_device *now, struct detail *detail);

/* Undoes rebind_to_vfio() while the group is FREE. A group that a keeper holds gives the device back when free. */
void rebind_undo(struct broker *broker, struct device *device);

/* Gives DEVICE, whose group is free, back to the host driver, unless DEVICE is quarantined. */
void rebind_back(struct broker *broker, struct device *device);

/*
 * CLAIM (taken) of an earlier broker is on record. A group that a keeper holds goes on unchanged. Of any other group,
 * the device goes back when the group is known to be free (group_restore()); a device without a group goes back at
 * once.
 */
void rebind_adopt(struct broker *broker, struct device *device, struct claim *claim);

#endif
