/* SPDX-License-Identifier: MIT */
/*
 * hostile-dma DEVICE: a driver of QEMU's edu device that tries to reach memory of others, by the only means of a
 * driver, the device's DMA. To be started by "vfio-brokerctl drive": the target is the memory of the domain's owner.
 *
 * The IOMMU lets the device reach memory mapped through this driver's domain channel, and nothing else: a read from
 * elsewhere gives zeroes or nothing, a write goes nowhere, and the kernel's log has a line for each ("DMAR: ...
 * fault").
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vfio-broker.h>

#define EDU_DMA_SOURCE	    0x80
#define EDU_DMA_DESTINATION 0x88
#define EDU_DMA_COUNT	    0x90
#define EDU_DMA_COMMAND	    0x98
#define EDU_DMA_RUNS	    0x01U
#define EDU_DMA_TO_DEVICE   0x01U
#define EDU_DMA_FROM_DEVICE 0x03U
#define EDU_BUFFER	    0x40000
#define EDU_IOVA_END	    0x10000000ULL /* the device has 28 address bits */
#define SIZE		    2048U

#define PATTERN 0xa5

static int complain(const char *what, int result)
{
	char text[512];

	fprintf(stderr, "hostile-dma: %s: %s\n", what, vbroker_describe_result(result, text, sizeof text));
	return -1;
}

/* A single DMA, waited for. */
static int move(struct vbroker_device *device, uint64_t from, uint64_t to, uint32_t command)
{
	struct vbroker_op ops[] = {
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_SOURCE, .value = from},
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_DESTINATION, .value = to},
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_COUNT, .value = SIZE},
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_COMMAND, .value = command},
		{.kind = VBROKER_OP_POLL, .offset = EDU_DMA_COMMAND, .mask = EDU_DMA_RUNS, .timeout_us = 900000},
	};
	size_t done;
	int r;

	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
		ops[i].region = VFIO_PCI_BAR0_REGION_INDEX;
		ops[i].width = 4;
	}
	r = vbroker_region_program(device, ops, sizeof ops / sizeof ops[0], &done);
	return r == 0 ? 0 : complain("DMA", r);
}

/* Fetches the bytes at IOVA by the device, and hands the bytes to this process: true if the bytes are anything but
 * zeroes and ones. */
static bool fetched(struct vbroker_device *device, uint64_t iova, struct vbroker_memory *memory)
{
	uint8_t *bytes = vbroker_memory_address(memory);

	/* The device's buffer must have no bytes of an earlier DMA. */
	memset(bytes, 0, SIZE);
	if (move(device, vbroker_memory_iova(memory), EDU_BUFFER, EDU_DMA_TO_DEVICE) < 0 ||
		move(device, iova, EDU_BUFFER, EDU_DMA_TO_DEVICE) < 0 ||
		move(device, EDU_BUFFER, vbroker_memory_iova(memory), EDU_DMA_FROM_DEVICE) < 0)
		exit(1);
	for (size_t i = 0; i < SIZE; i++) {
		if (bytes[i] != 0 && bytes[i] != 0xff)
			return true;
	}
	return false;
}

/* Writes PATTERN to IOVA by the device. */
static void thrown(struct vbroker_device *device, uint64_t iova, struct vbroker_memory *memory)
{
	memset(vbroker_memory_address(memory), PATTERN, SIZE);
	if (move(device, vbroker_memory_iova(memory), EDU_BUFFER, EDU_DMA_TO_DEVICE) < 0 ||
		move(device, EDU_BUFFER, iova, EDU_DMA_FROM_DEVICE) < 0)
		exit(1);
}

static bool is_ours(const struct vbroker_memory *memory, uint64_t iova)
{
	uint64_t first = vbroker_memory_iova(memory), length = vbroker_memory_length(memory);

	return iova + SIZE > first && iova < first + length;
}

int main(int argc, char **argv)
{
	struct vbroker_device *device;
	struct vbroker_memory *memory;
	unsigned int tried = 0, reached = 0;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: vfio-brokerctl drive --device DEVICE -- hostile-dma DEVICE\n");
		return 2;
	}
	r = vbroker_open_inherited(getenv("LISTEN_FDNAMES"), argv[1], &device);
	if (r == 0)
		r = vbroker_memory_alloc(
			vbroker_device_domain(device), SIZE, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, 0, &memory);
	if (r == 0)
		r = vbroker_sandbox_enter();
	if (r != 0)
		return complain(argv[1], r) < 0;
	/* The driver's own memory first: a test that reaches nothing at all would prove nothing. */
	thrown(device, vbroker_memory_iova(memory), memory);
	memset(vbroker_memory_address(memory), 0, SIZE);
	if (move(device, EDU_BUFFER, vbroker_memory_iova(memory), EDU_DMA_FROM_DEVICE) < 0)
		return 1;
	if (*(uint8_t *)vbroker_memory_address(memory) != PATTERN) {
		fprintf(stderr, "hostile-dma: the device does not even reach what it was given\n");
		return 1;
	}
	/* Then all addresses that the device can name: the neighbours of the memory, and a walk through 256 MiB. */
	for (uint64_t iova = 0; iova < EDU_IOVA_END; iova += iova < 0x10000 ? 0x1000 : 0x1000000) {
		if (is_ours(memory, iova))
			continue;
		reached += fetched(device, iova, memory);
		thrown(device, iova, memory);
		tried++;
	}
	printf("%u places tried beyond the memory that was mapped: %u reached\n", tried, reached);
	vbroker_device_close(device);
	return reached > 0;
}
