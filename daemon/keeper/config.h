/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_CONFIG_H
#define KEEPER_CONFIG_H

#include <stdint.h>

struct device;

/* The configuration space of a device that is open. All return 0 or a negative errno unless they say otherwise. */

int config_get8(const struct device *device, uint64_t offset, uint8_t *ret_value);
int config_get16(const struct device *device, uint64_t offset, uint16_t *ret_value);
int config_get32(const struct device *device, uint64_t offset, uint32_t *ret_value);

/* Changes bits of the command register (PCI_COMMAND_*). */
int config_command(const struct device *device, uint16_t clear, uint16_t set);

/* Where the capability ID (PCI_CAP_ID_*) is, or 0: the device does not have it. A negative errno on failure. */
int config_capability(const struct device *device, uint8_t id);

#endif
