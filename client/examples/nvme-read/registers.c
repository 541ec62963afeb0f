/* SPDX-License-Identifier: MIT */
#include "registers.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* The longest wait of one program (vbroker_region_program); longer waits are several programs. */
#define WAIT_PIECE_MS 500U

void registers_open_window(struct registers *registers, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	volatile void *address;
	int r;

	size = (size + page - 1) / page * page;
	r = vbroker_window_open(registers->device, VFIO_PCI_BAR0_REGION_INDEX, 0, size,
		VBROKER_WINDOW_WRITE | VBROKER_WINDOW_ONES, &registers->window);
	if (r == 0)
		r = vbroker_window_map(registers->window, &address);
	if (r == 0) {
		registers->mapped = address;
		registers->mapped_size = size;
		return;
	}
	vbroker_describe_result(r, registers->no_window, sizeof registers->no_window);
	registers_close_window(registers);
}

void registers_close_window(struct registers *registers)
{
	vbroker_window_close(registers->window);
	registers->window = NULL;
	registers->mapped = NULL;
	registers->mapped_size = 0;
}

int registers_read(struct registers *registers, uint64_t offset, uint32_t *ret_value)
{
	uint64_t value;
	int r;

	if (offset < registers->mapped_size) {
		*ret_value = vbroker_load32(registers->mapped + offset);
		return 0;
	}
	r = vbroker_region_read(registers->device, VFIO_PCI_BAR0_REGION_INDEX, offset, 4, &value);
	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}

int registers_write(struct registers *registers, const struct registers_write *writes, size_t count)
{
	struct vbroker_op ops[REGISTERS_WRITES_MAX];
	size_t done;

	if (count > REGISTERS_WRITES_MAX)
		return -EINVAL;
	memset(ops, 0, sizeof ops);
	for (size_t i = 0; i < count; i++) {
		ops[i].kind = VBROKER_OP_WRITE;
		ops[i].region = VFIO_PCI_BAR0_REGION_INDEX;
		ops[i].width = 4;
		ops[i].offset = writes[i].offset;
		ops[i].value = writes[i].value;
	}
	return vbroker_region_program(registers->device, ops, count, &done);
}

int registers_wait(struct registers *registers, uint64_t offset, uint32_t mask, uint32_t value, unsigned int timeout_ms,
	uint32_t *ret_last)
{
	struct vbroker_op op = {
		.kind = VBROKER_OP_POLL,
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.width = 4,
		.offset = offset,
		.value = value,
		.mask = mask,
	};
	unsigned int piece;
	size_t done;
	int r = -ETIMEDOUT;

	for (; r == -ETIMEDOUT && timeout_ms > 0; timeout_ms -= piece) {
		piece = timeout_ms < WAIT_PIECE_MS ? timeout_ms : WAIT_PIECE_MS;
		op.timeout_us = piece * 1000;
		r = vbroker_region_program(registers->device, &op, 1, &done);
	}
	if (r == 0 || r == -ETIMEDOUT)
		*ret_last = (uint32_t)op.result;
	return r;
}

/* All of the registers or none, so that the order is kept. */
static bool window_covers(const struct registers *registers, const struct registers_write *writes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (writes[i].offset >= registers->mapped_size)
			return false;
	}
	return true;
}

int registers_ring(struct registers *registers, const struct registers_write *doorbells, size_t count)
{
	if (window_covers(registers, doorbells, count)) {
		for (size_t i = 0; i < count; i++)
			vbroker_store32(registers->mapped + doorbells[i].offset, doorbells[i].value);
		return 0;
	}
	/* The commands first, then the doorbell: this fence orders both for the compiler and the CPU up to the system
	 * call, and the kernel's own register write orders both for the bus. */
	atomic_thread_fence(memory_order_release);
	return registers_write(registers, doorbells, count);
}
