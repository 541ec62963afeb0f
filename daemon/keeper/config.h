/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_CONFIG_H
#define KEEPER_CONFIG_H

#include <stdint.h>

struct device;

/* The configuration space of an open device. All functions return 0 or a negative errno, but for
 * config_capability(). */

int config_get8(const struct device *device, uint64_t offset, uint8_t *ret_value);
int config_get16(const struct device *device, uint64_t offset, uint16_t *ret_value);
int config_get32(const struct device *device, uint64_t offset, uint32_t *ret_value);

/* Changes bits of the command register (PCI_COMMAND_*). */
int config_command(const struct device *device, uint16_t clear, uint16_t set);

/* The offset of the capability ID (PCI_CAP_ID_*), or 0: the device does not have the capability. A negative errno on
 * failure. */
int config_capability(const struct device *device, uint8_t id);

#endif
