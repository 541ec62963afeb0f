/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "kernel.h"
#include "state.h"
#include "unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

/*
 * The configuration space of a device is what the device says. Here it is an array, read through a kernel that has
 * nothing else, counts what it is asked, and can fail.
 */
#define POSITION 0x70000

static uint8_t space[4096];
static uint64_t space_size;
static unsigned int reads;
static int read_error; /* positive; of reads beyond the header */
static bool cut_short;

static long space_read(int device, uint64_t position, void *data, size_t length)
{
	uint64_t offset = position - POSITION;

	(void)device;
	reads++;
	/* config.c asks for nothing that is not there */
	assert_true(offset <= space_size && space_size - offset >= length);
	if (read_error && offset >= PCI_STD_HEADER_SIZEOF)
		return -read_error;
	memcpy(data, space + offset, length);
	return (long)length - cut_short;
}

static long space_write(int device, uint64_t position, const void *data, size_t length)
{
	(void)device;
	memcpy(space + (position - POSITION), data, length);
	return (long)length;
}

static const struct vfio_kernel kernel = {.region_read = space_read, .region_write = space_write};
static struct iommu_group group = {.kernel = &kernel};
static struct device device = {.group = &group, .fd = -1};

static void put(size_t offset, uint8_t first, uint8_t second)
{
	space[offset] = first;
	space[offset + 1] = second;
}

/* A space of SIZE bytes, with a list of capabilities that begins at FIRST. */
static void make(uint64_t size, uint8_t first)
{
	memset(space, 0, sizeof space);
	space_size = size;
	reads = 0;
	read_error = 0;
	cut_short = false;
	device.region_count = VFIO_PCI_CONFIG_REGION_INDEX + 1;
	device.regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct region){.size = size, .position = POSITION};
	put(PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	space[PCI_CAPABILITY_LIST] = first;
}

static void values(void **state)
{
	uint8_t byte = 0;
	uint16_t word = 0;
	uint32_t both = 0;

	(void)state;
	make(256, 0);
	put(0x20, 0x34, 0x12);
	put(0x22, 0x78, 0x56);
	assert_int_equal(config_get8(&device, 0x21, &byte), 0);
	assert_int_equal(byte, 0x12);
	assert_int_equal(config_get16(&device, 0x20, &word), 0);
	assert_int_equal(word, 0x1234);
	assert_int_equal(config_get32(&device, 0x20, &both), 0);
	assert_int_equal(both, 0x56781234);
	assert_int_equal(reads, 3);
}

static void values_beyond_the_end(void **state)
{
	uint8_t byte = 1;
	uint16_t word = 2;
	uint32_t both = 3;

	(void)state;
	make(256, 0);
	assert_int_equal(config_get32(&device, 252, &both), 0);
	assert_int_equal(config_get8(&device, 256, &byte), -EIO);
	assert_int_equal(config_get16(&device, 255, &word), -EIO);
	both = 3;
	assert_int_equal(config_get32(&device, 253, &both), -EIO);
	assert_int_equal(config_get32(&device, UINT64_MAX - 1, &both), -EIO);
	make(0, 0);
	assert_int_equal(config_get8(&device, 0, &byte), -EIO);
	/* untouched on failure */
	assert_int_equal(byte, 1);
	assert_int_equal(word, 2);
	assert_int_equal(both, 3);
}

static void values_that_cannot_be_read(void **state)
{
	uint32_t value = 3;

	(void)state;
	make(256, 0);
	cut_short = true;
	assert_int_equal(config_get32(&device, 0, &value), -EIO);
	cut_short = false;
	read_error = ENODEV;
	assert_int_equal(config_get32(&device, 0x40, &value), -ENODEV);
	assert_int_equal(value, 3);
}

static void command(void **state)
{
	(void)state;
	make(256, 0);
	put(PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_IO, 0xa4);
	assert_int_equal(config_command(&device, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY), 0);
	assert_int_equal(space[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(space[PCI_COMMAND + 1], 0xa4);
	/* what is cleared goes first */
	assert_int_equal(config_command(&device, PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE), 0);
	assert_int_equal(space[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(space[PCI_COMMAND + 1], 0xa4);
	cut_short = true;
	assert_int_equal(config_command(&device, PCI_COMMAND_MEMORY, 0), -EIO);
	assert_int_equal(space[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

/* ---- the list of capabilities ---- */

static void capability_found(void **state)
{
	(void)state;
	make(256, 0x40);
	put(0x40, PCI_CAP_ID_PM, 0x60);
	put(0x60, PCI_CAP_ID_MSIX, 0xa0);
	put(0xa0, PCI_CAP_ID_EXP, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_PM), 0x40);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0x60);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_EXP), 0xa0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSI), 0);
	/* the last place there is */
	put(0xa0, PCI_CAP_ID_EXP, 0xfc);
	put(0xfc, PCI_CAP_ID_MSI, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSI), 0xfc);
	/* the first of two */
	put(0xa0, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0x60);
}

/* Software masks the two low bits of these pointers. */
static void capability_pointers_have_low_bits(void **state)
{
	(void)state;
	make(256, 0x43);
	put(0x40, PCI_CAP_ID_PM, 0x51);
	put(0x50, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0x50);
}

static void capability_without_a_list(void **state)
{
	(void)state;
	make(256, 0x40);
	put(0x40, PCI_CAP_ID_MSIX, 0);
	put(PCI_STATUS, 0, 0xff);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0);
	assert_int_equal(reads, 1);
	make(256, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0);
}

/* A pointer into the header is the end: nothing there is a capability, whatever it looks like. */
static void capability_in_the_header(void **state)
{
	(void)state;
	for (unsigned int at = 0; at < PCI_STD_HEADER_SIZEOF; at += 4) {
		make(256, 0x40);
		put(0x40, PCI_CAP_ID_PM, (uint8_t)at);
		if (at >= 0x38)
			put(at, PCI_CAP_ID_MSIX, 0);
		assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0);
		space[PCI_CAPABILITY_LIST] = (uint8_t)at;
		assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0);
	}
}

static void capability_list_is_a_circle(void **state)
{
	(void)state;
	/* of one */
	make(256, 0x40);
	put(0x40, PCI_CAP_ID_PM, 0x40);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0);
	assert_true(reads < 60);
	/* of two, behind one that is found all the same */
	make(256, 0x40);
	put(0x40, PCI_CAP_ID_MSIX, 0x50);
	put(0x50, PCI_CAP_ID_PM, 0x60);
	put(0x60, PCI_CAP_ID_EXP, 0x50);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0x40);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSI), 0);
	/* a device that has gone: one of all ones */
	make(256, 0);
	memset(space, 0xff, sizeof space);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0);
}

/* As many as there is room for, and the last is found. */
static void capability_list_is_full(void **state)
{
	(void)state;
	make(256, 0x40);
	for (unsigned int at = 0x40; at < 0xfc; at += 4)
		put(at, PCI_CAP_ID_VNDR, (uint8_t)(at + 4));
	put(0xfc, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), 0xfc);
}

/* Less than a whole space, as a kernel may show it: what is not there is not read. */
static void capability_beyond_the_space(void **state)
{
	(void)state;
	make(PCI_STD_HEADER_SIZEOF, 0x40);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), -EIO);
	make(0x60, 0x40);
	put(0x40, PCI_CAP_ID_PM, 0x60);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), -EIO);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_PM), 0x40);
}

static void capability_cannot_be_read(void **state)
{
	(void)state;
	make(256, 0x40);
	put(0x40, PCI_CAP_ID_MSIX, 0);
	read_error = EIO;
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), -EIO);
	make(PCI_STATUS, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), -EIO);
	make(PCI_CAPABILITY_LIST, 0);
	assert_int_equal(config_capability(&device, PCI_CAP_ID_MSIX), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(values_beyond_the_end),
		cmocka_unit_test(values_that_cannot_be_read),
		cmocka_unit_test(command),
		cmocka_unit_test(capability_found),
		cmocka_unit_test(capability_pointers_have_low_bits),
		cmocka_unit_test(capability_without_a_list),
		cmocka_unit_test(capability_in_the_header),
		cmocka_unit_test(capability_list_is_a_circle),
		cmocka_unit_test(capability_list_is_full),
		cmocka_unit_test(capability_beyond_the_space),
		cmocka_unit_test(capability_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
