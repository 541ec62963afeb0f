/* SPDX-License-Identifier: MIT */
#ifndef NVME_H
#define NVME_H

#include "registers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfio-broker.h>

/*
 * A small NVMe driver: one controller, the admin queue, one I/O queue pair, reads. Section numbers are of the NVM
 * Express Base Specification, revision 1.4.
 *
 * Functions return 0, a negative errno or a refusal of vbroker. Where the controller itself is the reason, the result
 * is -EIO or -ETIMEDOUT and nvme->problem has a sentence; otherwise nvme->problem is empty and
 * vbroker_describe_result() has a sentence.
 */

/* Memory within the controller's reach: one mapping, contiguous in IOVAs. */
struct nvme_memory {
	struct vbroker_memory *memory; /* owned; NULL: none */
	uint8_t *bytes;
	uint64_t iova;
	size_t size;
};

/* 4.1: a submission queue and the completion queue for it, of the same number of entries. */
struct nvme_queue {
	uint16_t id;
	uint16_t entries;
	struct nvme_command *commands;
	struct nvme_completion *completions;
	uint64_t commands_iova;
	uint64_t completions_iova;
	uint16_t tail;	    /* where the next command goes */
	uint16_t head;	    /* where the next completion comes */
	uint16_t tail_rung; /* the tail last told to the controller */
	uint16_t head_rung;
	bool phase; /* the phase bit of a new completion in this round */
};

struct nvme {
	struct vbroker_device *device; /* borrowed */
	struct registers registers;
	int event; /* owned; interrupt vector 0, for both queues */
	bool enabled;
	unsigned int timeout_ms; /* CAP.TO: for becoming ready */
	uint32_t doorbell_stride;
	uint16_t entries_max;
	size_t page_size;
	size_t transfer_max;
	char model[41];
	char serial[21];
	char firmware[9];
	struct nvme_memory admin_memory;
	struct nvme_memory io_memory;
	struct nvme_queue admin;
	struct nvme_queue io;
	unsigned int depth;  /* slots: commands under way at most */
	size_t slot_size;    /* bytes of data per slot */
	size_t data_offset;  /* of slot 0's data in io_memory */
	size_t lists_offset; /* of slot 0's PRP list, one page each */
	uint64_t interrupts;
	uint64_t rings; /* of doorbells */
	char problem[200];
};

struct nvme_namespace {
	uint32_t id;
	uint64_t blocks;
	uint32_t block_size;
};

/* Resets and enables the controller of DEVICE, and identifies the controller. DEVICE is bound to a domain and outlives
 * NVME. Doorbells are rung through a window if WINDOW and there can be one. To be followed by nvme_close() also after
 * a failure. */
int nvme_open(struct nvme *nvme, struct vbroker_device *device, bool window);

/* Shuts the controller down if the controller is up, and gives everything back. */
void nvme_close(struct nvme *nvme);

/* Identifies namespace ID, or the first active namespace with ID 0. */
int nvme_namespace(struct nvme *nvme, uint32_t id, struct nvme_namespace *ret_namespace);

/* Makes the I/O queues: up to DEPTH reads under way, of at most TRANSFER bytes each, cut to the limit of the
 * controller (nvme->slot_size). */
int nvme_start_io(struct nvme *nvme, unsigned int depth, size_t transfer);

/* Puts a read into the queue, to the data of SLOT; SLOT must not be under way. Goes out with the next wait. */
void nvme_read(
	struct nvme *nvme, unsigned int slot, const struct nvme_namespace *namespace, uint64_t block, uint32_t blocks);

/* Waits for the next read to complete; *RET_SLOT is the slot of the read. -EINTR after a signal. */
int nvme_wait(struct nvme *nvme, unsigned int *ret_slot);

/* Where the data of SLOT is. */
const uint8_t *nvme_data(const struct nvme *nvme, unsigned int slot);

#endif
