/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "message.h"
#include "refusal.h"
#include "table.h"
#include "table_bench.h"
#include "unit.h"

#include <stdbool.h>

/* The requests of the device channel. */

/* ---- device channel ---- */

static void device_states(void **state)
{
	struct bind_request bind = {0};
	const uint16_t bound_only[] = {DEVICE_UNBIND, DEVICE_RESET};
	const uint16_t always[] = {DEVICE_DESCRIBE, DEVICE_RELEASE};

	(void)state;
	make(DEVICE_BIND, &bind, sizeof bind, NULL, 0, 1);
	accepted(&device_table, STATE_READY);
	refused(&device_table, STATE_BOUND, REFUSAL_ALREADY_BOUND, "BIND while bound");
	malformed(&device_table, STATE_NEW, "BIND before HELLO");
	for (size_t i = 0; i < COUNT(bound_only); i++) {
		make(bound_only[i], NULL, 0, NULL, 0, 0);
		accepted(&device_table, STATE_BOUND);
		refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "needs a bound device");
		malformed(&device_table, STATE_NEW, "before HELLO");
	}
	for (size_t i = 0; i < COUNT(always); i++) {
		make(always[i], NULL, 0, NULL, 0, 0);
		accepted(&device_table, STATE_READY);
		accepted(&device_table, STATE_BOUND);
		malformed(&device_table, STATE_NEW, "before HELLO");
	}
}

static void bind_has_no_flags(void **state)
{
	struct bind_request bind = {.flags = 1};

	(void)state;
	make(DEVICE_BIND, &bind, sizeof bind, NULL, 0, 1);
	malformed(&device_table, STATE_READY, "unknown flags 0x1");
	bind = (struct bind_request){.zero = 1};
	make(DEVICE_BIND, &bind, sizeof bind, NULL, 0, 1);
	malformed(&device_table, STATE_READY, "padding");
}

static void read_region(struct region_request region, const char *why)
{
	make(DEVICE_REGION_READ, &region, sizeof region, NULL, 0, 0);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

static void region_ranges(void **state)
{
	(void)state;
	read_region((struct region_request){.length = 4, .width = 4}, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_READ needs a bound device");
	malformed(&device_table, STATE_NEW, "before HELLO");
	read_region((struct region_request){.flags = 2, .length = 4, .width = 4}, "unknown flags 0x2");
	read_region((struct region_request){.length = 0}, "length 0 is not in");
	read_region((struct region_request){.length = REGION_LENGTH_MAX}, NULL);
	read_region((struct region_request){.length = REGION_LENGTH_MAX + 1}, "is not in 1 ... 32768");
	read_region((struct region_request){.length = UINT32_MAX, .width = 1}, "is not in 1 ... 32768");
	read_region((struct region_request){.offset = UINT64_MAX - 8, .length = 8, .width = 1}, NULL);
	read_region((struct region_request){.offset = UINT64_MAX - 7, .length = 8, .width = 1}, "overflow");
	read_region((struct region_request){.region = UINT32_MAX, .length = 3}, NULL);
}

static void region_widths(void **state)
{
	(void)state;
	for (uint32_t width = 0; width < 20; width++) {
		bool known = width == 0 || width == 1 || width == 2 || width == 4 || width == 8;

		read_region(
			(struct region_request){
				.offset = width * 3, .length = known ? (width ? width : 7) : 1, .width = width},
			known ? NULL : "is not 0, 1, 2, 4 or 8");
		if (!known || width < 2)
			continue;
		read_region((struct region_request){.offset = 1, .length = width, .width = width}, "is not a multiple");
		read_region((struct region_request){.length = width + 1, .width = width}, "is not a multiple");
		read_region((struct region_request){.length = width * 2, .width = width}, NULL);
	}
	read_region((struct region_request){.length = 1, .width = UINT32_MAX}, "is not 0, 1, 2, 4 or 8");
}

static void region_write_has_its_data(void **state)
{
	struct region_request region = {.length = 4, .width = 4};
	static uint8_t data[REGION_LENGTH_MAX + 1];

	(void)state;
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 4, 0);
	accepted(&device_table, STATE_BOUND);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_WRITE");
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 3, 0);
	malformed(&device_table, STATE_BOUND, "3 bytes of data for length 4");
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 5, 0);
	malformed(&device_table, STATE_BOUND, "5 bytes of data for length 4");
	make(DEVICE_REGION_WRITE, &region, sizeof region, NULL, 0, 0);
	malformed(&device_table, STATE_BOUND, "0 bytes of data for length 4");
	region.width = 3;
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 4, 0);
	malformed(&device_table, STATE_BOUND, "width 3");
	region = (struct region_request){.length = REGION_LENGTH_MAX};
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, REGION_LENGTH_MAX, 0);
	accepted(&device_table, STATE_BOUND);
}

static void program(struct region_op op, const char *why)
{
	struct program_request request = {.count = 2};
	struct region_op ops[2] = {{.kind = REGION_OP_READ, .width = 4}, op};

	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

static void program_operations(void **state)
{
	const uint64_t all = UINT64_MAX;

	(void)state;
	program((struct region_op){.kind = REGION_OP_READ, .width = 8, .offset = 16, .region = UINT16_MAX}, NULL);
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 1, .offset = 3, .value = 0xff}, NULL);
	program((struct region_op){.kind = REGION_OP_MODIFY, .width = 4, .value = 1, .mask = 3}, NULL);
	program((struct region_op){.kind = REGION_OP_POLL, .width = 4, .value = 1, .mask = 3, .timeout_us = 1}, NULL);
	program((struct region_op){.kind = 0, .width = 4}, "operation 1: unknown kind 0");
	program((struct region_op){.kind = 5, .width = 4}, "operation 1: unknown kind 5");
	program((struct region_op){.kind = 255, .width = 4}, "operation 1: unknown kind 255");
	program((struct region_op){.kind = REGION_OP_READ, .width = 0}, "operation 1: width 0");
	program((struct region_op){.kind = REGION_OP_READ, .width = 3}, "operation 1: width 3");
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .offset = 2}, "width 4 at offset 0x2");
	program((struct region_op){.kind = REGION_OP_READ, .width = 1, .offset = all}, "overflows");
	program((struct region_op){.kind = REGION_OP_READ, .width = 8, .offset = all - 7}, "overflows");
	program((struct region_op){.kind = REGION_OP_READ, .width = 8, .offset = all - 15}, NULL);
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .value = 1}, "READ with a value");
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .mask = 1}, "a mask without use");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 4, .mask = 1}, "a mask without use");
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .timeout_us = 1}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 4, .timeout_us = 1}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 1, .value = 0x100}, "wider than 1 bytes");
	program((struct region_op){.kind = REGION_OP_MODIFY, .width = 4, .mask = all}, "wider than 4 bytes");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 8, .value = all}, NULL);
	program((struct region_op){.kind = REGION_OP_MODIFY, .width = 4, .timeout_us = 1}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_POLL, .width = 4}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_POLL, .width = 4, .value = 4, .mask = 3, .timeout_us = 1},
		"POLL for bits outside its mask");
}

static void program_counts(void **state)
{
	static struct region_op ops[PROGRAM_OPS_MAX + 1];
	struct program_request request = {.count = PROGRAM_OPS_MAX};

	(void)state;
	for (size_t i = 0; i < COUNT(ops); i++)
		ops[i] = (struct region_op){.kind = REGION_OP_READ, .width = 4};
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, PROGRAM_OPS_MAX * sizeof ops[0], 0);
	accepted(&device_table, STATE_BOUND);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_PROGRAM");
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, (PROGRAM_OPS_MAX - 1) * sizeof ops[0], 0);
	malformed(&device_table, STATE_BOUND, "does not match the length");
	request.count = PROGRAM_OPS_MAX + 1;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	malformed(&device_table, STATE_BOUND, "2001 operations, not 1 ... 2000");
	request.count = 0;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, NULL, 0, 0);
	malformed(&device_table, STATE_BOUND, "0 operations");
	/* 2^27 * 32 bytes is 0 in 32 bits. */
	request.count = 1U << 27;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, NULL, 0, 0);
	malformed(&device_table, STATE_BOUND, "operations, not 1");
	request = (struct program_request){.flags = 1, .count = 1};
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops[0], 0);
	malformed(&device_table, STATE_BOUND, "unknown flags");
}

static void program_timeouts(void **state)
{
	struct program_request request = {.count = 2};
	struct region_op ops[2] = {
		{.kind = REGION_OP_POLL, .width = 4, .timeout_us = PROGRAM_TIMEOUT_MAX_US / 2},
		{.kind = REGION_OP_POLL, .width = 4, .timeout_us = PROGRAM_TIMEOUT_MAX_US / 2},
	};

	(void)state;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	accepted(&device_table, STATE_BOUND);
	ops[1].timeout_us++;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	malformed(&device_table, STATE_BOUND, "timeouts of 1000001 us");
	/* Their sum is small in 32 bits. */
	ops[0].timeout_us = ops[1].timeout_us = 0x80000000;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	malformed(&device_table, STATE_BOUND, "timeouts of 4294967296 us");
}

static void window(struct window_request request, const char *why)
{
	make(DEVICE_REGION_WINDOW, &request, sizeof request, NULL, 0, 0);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

/* Pages, BARs and the policy are the keeper's business. */
static void windows(void **state)
{
	const uint64_t all = UINT64_MAX;

	(void)state;
	window((struct window_request){.length = 4096}, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_WINDOW needs a bound device");
	malformed(&device_table, STATE_NEW, "REGION_WINDOW before HELLO");
	packet.fds.count = 1;
	malformed(&device_table, STATE_BOUND, "1 file descriptors, not 0");
	window((struct window_request){.flags = WINDOW_WRITE | WINDOW_ONES, .region = UINT32_MAX, .length = 1}, NULL);
	window((struct window_request){.flags = 4, .length = 4096}, "unknown flags 0x4");
	window((struct window_request){.flags = 1U << 31 | WINDOW_WRITE, .length = 4096}, "unknown flags 0x80000000");
	window((struct window_request){.offset = 4096}, "empty");
	window((struct window_request){.offset = all - 4096, .length = 4096}, NULL);
	window((struct window_request){.offset = all - 4095, .length = 4096}, "overflow");
	window((struct window_request){.offset = 1, .length = all}, "overflow");
	window((struct window_request){.offset = all, .length = all}, "overflow");
}

static void irq(uint16_t type, struct irq_request request, size_t fds, const char *why)
{
	make(type, &request, sizeof request, NULL, 0, fds);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

static void irq_requests(void **state)
{
	const uint32_t all = UINT32_MAX;

	(void)state;
	irq(DEVICE_IRQ_SET, (struct irq_request){.index = 2, .start = 5, .count = 3}, 3, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "IRQ_SET");
	irq(DEVICE_IRQ_SET, (struct irq_request){.count = FDSET_MAX}, FDSET_MAX, NULL);
	irq(DEVICE_IRQ_SET, (struct irq_request){.count = 2}, 3, "2 vectors with 3 eventfds");
	irq(DEVICE_IRQ_SET, (struct irq_request){.count = 0}, 1, "0 vectors with 1 eventfds");
	irq(DEVICE_IRQ_SET, (struct irq_request){.start = all, .count = 1}, 1, "overflow");
	irq(DEVICE_IRQ_SET, (struct irq_request){.start = all - 1, .count = 1}, 1, NULL);
	irq(DEVICE_IRQ_SET, (struct irq_request){.flags = 1, .count = 1}, 1, "unknown flags");

	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.start = 1, .count = 1}, 0, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "IRQ_CLEAR");
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.index = 1}, 0, NULL);
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.start = 1}, 0, "count 0 is for the whole interrupt");
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.start = all, .count = all}, 0, "overflow");
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.flags = 8}, 0, "unknown flags");

	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.count = 1}, 0, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "IRQ_UNMASK");
	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.count = 0}, 0, "no vectors");
	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.start = 2, .count = all - 1}, 0, "overflow");
	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.flags = 8, .count = 1}, 0, "unknown flags");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_states),
		cmocka_unit_test(bind_has_no_flags),
		cmocka_unit_test(region_ranges),
		cmocka_unit_test(region_widths),
		cmocka_unit_test(region_write_has_its_data),
		cmocka_unit_test(program_operations),
		cmocka_unit_test(program_counts),
		cmocka_unit_test(program_timeouts),
		cmocka_unit_test(windows),
		cmocka_unit_test(irq_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
