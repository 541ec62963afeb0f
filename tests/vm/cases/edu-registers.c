/* SPDX-License-Identifier: MIT */
#include "edu-registers.h"

#include <linux/vfio.h>
#include <stddef.h>

#define EDU_DMA_SOURCE	    0x80
#define EDU_DMA_DESTINATION 0x88
#define EDU_DMA_COUNT	    0x90
#define EDU_DMA_COMMAND	    0x98
#define EDU_DMA_RUNS	    0x01
#define EDU_TIMEOUT_US	    900000

int edu_dma(struct vbroker_device *device, uint64_t from, uint64_t to, uint64_t count, uint32_t command)
{
	struct vbroker_op ops[] = {
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_SOURCE, .value = from},
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_DESTINATION, .value = to},
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_COUNT, .value = count},
		{.kind = VBROKER_OP_WRITE, .offset = EDU_DMA_COMMAND, .value = command},
		{.kind = VBROKER_OP_POLL,
			.offset = EDU_DMA_COMMAND,
			.mask = EDU_DMA_RUNS,
			.timeout_us = EDU_TIMEOUT_US},
	};
	size_t count_of_ops = sizeof ops / sizeof ops[0], done;

	for (size_t i = 0; i < count_of_ops; i++) {
		ops[i].region = VFIO_PCI_BAR0_REGION_INDEX;
		ops[i].width = 4;
	}
	return vbroker_region_program(device, ops, count_of_ops, &done);
}
