/* SPDX-License-Identifier: MIT */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stddef.h>
#include <stdint.h>
#include <vfio-broker.h>

/*
 * This driver's only way to registers: by commands, each a round trip to the holder of the device, or, if there can be
 * a window, by loads and stores through the window. Only registers_ring() matters for speed: no other function is
 * called while data flows.
 */
struct registers {
	struct vbroker_device *device; /* borrowed */
	struct vbroker_window *window; /* owned; NULL: commands only */
	volatile uint8_t *mapped;      /* of the window: BAR 0 from its start */
	size_t mapped_size;
	char no_window[160]; /* why there is none */
};

/* Tries to have a window over the first SIZE bytes of BAR 0, and says in no_window why not. */
void registers_open_window(struct registers *registers, size_t size);
void registers_close_window(struct registers *registers);

/* One register to write. */
struct registers_write {
	uint64_t offset;
	uint32_t value;
};

/* All functions return the result of the vbroker function behind them. Offsets are in BAR 0. A device that was taken
 * back reads all ones through a window. */
int registers_read(struct registers *registers, uint64_t offset, uint32_t *ret_value);

/* Writes up to REGISTERS_WRITES_MAX registers in order. */
#define REGISTERS_WRITES_MAX 8
int registers_write(struct registers *registers, const struct registers_write *writes, size_t count);

/* Waits until (register & mask) == value. *RET_LAST is the last value read, also when the result is -ETIMEDOUT. */
int registers_wait(struct registers *registers, uint64_t offset, uint32_t mask, uint32_t value, unsigned int timeout_ms,
	uint32_t *ret_last);

/* Writes doorbells. Everything stored in memory by this thread before is visible to the device when the doorbells
 * arrive. */
int registers_ring(struct registers *registers, const struct registers_write *doorbells, size_t count);

#endif
