/* SPDX-License-Identifier: MIT */
#include "program.h"
#include "clock.h"
#include "region.h"
#include "state.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <time.h>

static uint32_t access_of(const struct region_op *op)
{
	switch (op->kind) {
	case REGION_OP_WRITE:
		return VFIO_REGION_INFO_FLAG_WRITE;
	case REGION_OP_MODIFY:
		return VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	default:
		return VFIO_REGION_INFO_FLAG_READ;
	}
}

static int check(const struct device *device, const struct region_op *ops, uint32_t count, struct detail *detail)
{
	for (uint32_t i = 0; i < count; i++) {
		struct detail reason;
		int r = region_check(device, ops[i].region, ops[i].offset, ops[i].width, access_of(&ops[i]), &reason);

		if (r != 0)
			return refuse(detail, (enum refusal)r, "operation %" PRIu32 ": %.200s", i, reason.text);
	}
	return 0;
}

/* Registers are little endian, like all of PCI. */
static int get(const struct device *device, const struct region_op *op, uint64_t *ret_value)
{
	uint64_t raw = 0;
	int r = region_get(device, op->region, op->offset, &raw, op->width);

	if (r == 0)
		*ret_value = le64toh(raw);
	return r;
}

static int put(const struct device *device, const struct region_op *op, uint64_t value)
{
	uint64_t raw = htole64(value);

	return region_put(device, op->region, op->offset, &raw, op->width);
}

static int modify(const struct device *device, const struct region_op *op, uint64_t *ret_value)
{
	int r = get(device, op, ret_value);

	return r == 0 ? put(device, op, (*ret_value & ~op->mask) | (op->value & op->mask)) : r;
}

/* Returns -ETIMEDOUT if the register does not reach the value in time. There is always a read after the deadline: a
 * keeper not scheduled for a while must not report a time-out of the device. */
static int await(const struct device *device, const struct region_op *op, uint64_t *ret_value)
{
	struct timespec pause = {.tv_nsec = POLL_PAUSE_MIN_NS};
	uint64_t deadline = 0;

	for (;;) {
		uint64_t now = deadline ? clock_ns() : 0;
		int r = get(device, op, ret_value);

		if (r != 0)
			return r;
		if ((*ret_value & op->mask) == op->value)
			return 0;
		if (!deadline)
			deadline = clock_ns() + (uint64_t)op->timeout_us * 1000;
		else if (now >= deadline)
			return -ETIMEDOUT;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		if (pause.tv_nsec < POLL_PAUSE_MAX_NS)
			pause.tv_nsec *= 2;
	}
}

static int step(const struct device *device, const struct region_op *op, uint64_t *ret_value)
{
	switch (op->kind) {
	case REGION_OP_READ:
		return get(device, op, ret_value);
	case REGION_OP_WRITE:
		*ret_value = op->value;
		return put(device, op, op->value);
	case REGION_OP_MODIFY:
		return modify(device, op, ret_value);
	default: /* REGION_OP_POLL: the table refuses all other kinds */
		return await(device, op, ret_value);
	}
}

int program_run(
	const struct device *device, const struct program_request *program, struct packet *reply, struct detail *detail)
{
	const struct region_op *ops = (const void *)(program + 1);
	struct program_reply *outcome;
	uint64_t *results;
	int r = check(device, ops, program->count, detail);

	if (r != 0)
		return r;
	outcome = packet_append(reply, sizeof *outcome);
	results = packet_append(reply, program->count * sizeof *results);
	outcome->count = program->count;
	while (r == 0 && outcome->done < program->count) {
		r = step(device, &ops[outcome->done], &results[outcome->done]);
		if (r == 0)
			outcome->done++;
	}
	if (r == -ETIMEDOUT) {
		outcome->stop = PROGRAM_TIMED_OUT;
	} else if (r < 0) {
		outcome->stop = PROGRAM_FAILED;
		outcome->error = (uint32_t)-r;
		/* The operation was not done: a value read on the way is no result. */
		results[outcome->done] = 0;
	}
	return 0;
}
