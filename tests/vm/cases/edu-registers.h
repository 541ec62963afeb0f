/* SPDX-License-Identifier: MIT */
#ifndef EDU_REGISTERS_H
#define EDU_REGISTERS_H

#include <stdint.h>
#include <vfio-broker.h>

/* QEMU's edu device (docs/specs/edu.rst). */
#define EDU_BUFFER	    0x40000 /* where its memory is for its DMA */
#define EDU_DMA_TO_DEVICE   0x01U
#define EDU_DMA_FROM_DEVICE 0x03U

/* One DMA of COUNT bytes (4095 at most in QEMU 7.2), to its end. Returns what vbroker_region_program() did. */
int edu_dma(struct vbroker_device *device, uint64_t from, uint64_t to, uint64_t count, uint32_t command);

#endif
