/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REBIND_H
#define BROKER_REBIND_H

#include "state/broker.h"

/* Devices that change their driver for a lease: from the host driver to vfio-pci and back (host/claim.h). */

/* Has vfio-pci drive DEVICE, which was just read as NOW, if it does not already. Returns 0 or a refusal; then everything is as before. */
int rebind_to_vfio(struct broker *broker, struct device *device, const struct host_device *now, struct detail *detail);

/* Undoes rebind_to_vfio() where no keeper has the group; otherwise the group does it when it is free. */
void rebind_undo(struct broker *broker, struct device *device);

/* Gives DEVICE, whose group is free, back to its host driver, unless it is quarantined. */
void rebind_back(struct broker *broker, struct device *device);

/* CLAIM (taken) of an earlier broker is on record. A group that a keeper holds goes on as it is; the device of another goes back
 * when the group is known to be free (group_restore()), and one without a group at once. */
void rebind_adopt(struct broker *broker, struct device *device, struct claim *claim);

#endif
