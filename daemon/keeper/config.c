/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "region.h"
#include "state.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stddef.h>

static int get(const struct device *device, uint64_t offset, void *data, size_t length)
{
	uint64_t size = device->regions[VFIO_PCI_CONFIG_REGION_INDEX].size;

	if (offset > size || size - offset < length)
		return -EIO;
	return region_get(device, VFIO_PCI_CONFIG_REGION_INDEX, offset, data, length);
}

int config_get8(const struct device *device, uint64_t offset, uint8_t *ret_value)
{
	return get(device, offset, ret_value, sizeof *ret_value);
}

int config_get16(const struct device *device, uint64_t offset, uint16_t *ret_value)
{
	uint16_t raw;
	int r = get(device, offset, &raw, sizeof raw);

	if (r == 0)
		*ret_value = le16toh(raw);
	return r;
}

int config_get32(const struct device *device, uint64_t offset, uint32_t *ret_value)
{
	uint32_t raw;
	int r = get(device, offset, &raw, sizeof raw);

	if (r == 0)
		*ret_value = le32toh(raw);
	return r;
}

int config_command(const struct device *device, uint16_t clear, uint16_t set)
{
	uint16_t value, raw;
	int r = config_get16(device, PCI_COMMAND, &value);

	if (r != 0)
		return r;
	raw = htole16((uint16_t)((value & ~clear) | set));
	return region_put(device, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &raw, sizeof raw);
}

/* PCI Local Bus Specification 3.0, 6.7: a list; each entry begins with its ID and the offset of the next entry. */
int config_capability(const struct device *device, uint8_t id)
{
	/* Each entry has four bytes at least, so a longer list is a circle. */
	unsigned int left = (256 - PCI_STD_HEADER_SIZEOF) / PCI_CAP_SIZEOF;
	uint16_t status, entry;
	uint8_t at;
	int r = config_get16(device, PCI_STATUS, &status);

	if (r < 0 || !(status & PCI_STATUS_CAP_LIST))
		return r;
	r = config_get8(device, PCI_CAPABILITY_LIST, &at);
	for (at &= 0xfc; r == 0 && at >= PCI_STD_HEADER_SIZEOF && left > 0; left--) {
		r = config_get16(device, at, &entry);
		if (r == 0 && (entry & 0xff) == id)
			return at;
		at = (uint8_t)(entry >> 8 & 0xfc);
	}
	return r;
}
