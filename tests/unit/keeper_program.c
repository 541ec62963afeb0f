/* SPDX-License-Identifier: MIT */
#include "keeper_bench.h"

#include <time.h>

#define BAR	VFIO_PCI_BAR0_REGION_INDEX
#define OPS_MAX 8

/* Runs OPS and copies the results. Returns what the request came to; *RET_REPLY is the reply's head. */
static int run(struct bench *b, const struct region_op *ops, uint32_t count, struct program_reply *ret_reply,
	uint64_t results[OPS_MAX])
{
	struct {
		struct program_request head;
		struct region_op ops[OPS_MAX];
	} request = {{0, count}, {{0}}};
	int r;

	memcpy(request.ops, ops, count * sizeof *ops);
	r = bench_call(b, b->clients[0], DEVICE_REGION_PROGRAM, &request, sizeof request.head + count * sizeof *ops);
	if (r != 0)
		return r;
	assert_int_equal(b->packet.header.length, sizeof *ret_reply + count * sizeof *results);
	memcpy(ret_reply, b->packet.payload, sizeof *ret_reply);
	memcpy(results, b->packet.payload + sizeof *ret_reply, count * sizeof *results);
	assert_int_equal(ret_reply->count, count);
	return 0;
}

static void test_all_kinds(void **state)
{
	const struct region_op ops[] = {
		{REGION_OP_READ, 4, BAR, 0, FAKE_REG_ID, 0, 0},
		{REGION_OP_WRITE, 8, BAR, 0, 0x100, 0x1122334455667788, 0},
		{REGION_OP_READ, 1, BAR, 0, 0x100, 0, 0},
		{REGION_OP_READ, 2, BAR, 0, 0x102, 0, 0},
		{REGION_OP_MODIFY, 4, BAR, 0, 0x104, 0xffffff00, 0x0000ffff},
		{REGION_OP_READ, 8, BAR, 0, 0x100, 0, 0},
		{REGION_OP_POLL, 4, BAR, 1000, 0x104, 0x0000ff00, 0x0000ff00},
	};
	struct bench b;
	struct program_reply reply;
	uint64_t results[OPS_MAX];

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(run(&b, ops, 7, &reply, results), 0);
	assert_int_equal(reply.stop, PROGRAM_COMPLETE);
	assert_int_equal(reply.done, 7);
	assert_int_equal(reply.error, 0);
	assert_int_equal(results[0], 0x010000ed);
	assert_int_equal(results[1], 0x1122334455667788);
	assert_int_equal(results[2], 0x88);
	assert_int_equal(results[3], 0x5566);
	assert_int_equal(results[4], 0x11223344);
	assert_int_equal(results[5], 0x1122ff0055667788);
	assert_int_equal(results[6], 0x1122ff00);
	bench_stop(&b);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void test_poll_waits(void **state)
{
	const struct region_op ops[] = {
		{REGION_OP_WRITE, 4, BAR, 0, FAKE_REG_DELAY, 20000, 0},
		{REGION_OP_POLL, 4, BAR, 900000, FAKE_REG_DONE, 1, 1},
		{REGION_OP_READ, 4, BAR, 0, FAKE_REG_ID, 0, 0},
	};
	struct bench b;
	struct program_reply reply;
	uint64_t results[OPS_MAX], start;

	(void)state;
	bench_start_bound(&b);
	start = now_us();
	assert_int_equal(run(&b, ops, 3, &reply, results), 0);
	assert_true(now_us() - start >= 20000);
	assert_int_equal(reply.stop, PROGRAM_COMPLETE);
	assert_int_equal(reply.done, 3);
	assert_int_equal(results[1], 1);
	bench_stop(&b);
}

static void test_poll_times_out(void **state)
{
	const struct region_op ops[] = {
		{REGION_OP_WRITE, 4, BAR, 0, 0x100, 0x5, 0},
		{REGION_OP_POLL, 4, BAR, 10000, 0x100, 0x2, 0x3},
		{REGION_OP_WRITE, 4, BAR, 0, 0x200, 0x77, 0},
	};
	struct bench b;
	struct program_reply reply;
	uint64_t results[OPS_MAX], start;

	(void)state;
	bench_start_bound(&b);
	start = now_us();
	assert_int_equal(run(&b, ops, 3, &reply, results), 0);
	assert_true(now_us() - start >= 10000);
	assert_int_equal(reply.stop, PROGRAM_TIMED_OUT);
	assert_int_equal(reply.done, 1);
	assert_int_equal(reply.error, 0);
	/* what was read last; nothing after it was done */
	assert_int_equal(results[1], 0x5);
	assert_int_equal(results[2], 0);
	assert_int_equal(b.group->devices[0].bar0[0x200], 0);
	bench_stop(&b);
}

static void test_failure_stops(void **state)
{
	/* memory access is switched off in the middle: then BARs answer EIO */
	const struct region_op ops[] = {
		{REGION_OP_READ, 4, BAR, 0, FAKE_REG_ID, 0, 0},
		{REGION_OP_WRITE, 2, VFIO_PCI_CONFIG_REGION_INDEX, 0, 4, 0, 0},
		{REGION_OP_READ, 4, BAR, 0, FAKE_REG_ID, 0, 0},
		{REGION_OP_WRITE, 2, VFIO_PCI_CONFIG_REGION_INDEX, 0, 4, 2, 0},
	};
	struct bench b;
	struct program_reply reply;
	uint64_t results[OPS_MAX];

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(run(&b, ops, 4, &reply, results), 0);
	assert_int_equal(reply.stop, PROGRAM_FAILED);
	assert_int_equal(reply.error, EIO);
	assert_int_equal(reply.done, 2);
	assert_int_equal(results[0], 0x010000ed);
	assert_int_equal(results[2], 0);
	assert_int_equal(bench_command(&b, 0), 0);
	bench_stop(&b);
}

static void expect_refused(struct bench *b, const struct region_op *bad, int refusal, const char *words)
{
	struct region_op ops[] = {{REGION_OP_WRITE, 4, BAR, 0, 0x100, 0x99, 0}, *bad};
	struct program_reply reply;
	uint64_t results[OPS_MAX];

	assert_int_equal(run(b, ops, 2, &reply, results), refusal);
	assert_detail(b, words);
	/* Refused means that none was done. */
	assert_int_equal(b->group->devices[0].bar0[0x100], 0);
}

static void test_refusals(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	expect_refused(&b, &(struct region_op){REGION_OP_READ, 4, 99, 0, 0, 0, 0}, REFUSAL_UNSUPPORTED, "operation 1");
	expect_refused(
		&b, &(struct region_op){REGION_OP_READ, 4, UINT16_MAX, 0, 0, 0, 0}, REFUSAL_UNSUPPORTED, "no region");
	expect_refused(&b, &(struct region_op){REGION_OP_READ, 4, VFIO_PCI_BAR5_REGION_INDEX, 0, 0, 0, 0},
		REFUSAL_UNSUPPORTED, "no region 5");
	expect_refused(&b, &(struct region_op){REGION_OP_READ, 4, BAR, 0, FAKE_BAR0_SIZE, 0, 0}, REFUSAL_MALFORMED,
		"operation 1");
	expect_refused(&b,
		&(struct region_op){REGION_OP_READ, 8, VFIO_PCI_CONFIG_REGION_INDEX, 0, FAKE_CONFIG_SIZE, 0, 0},
		REFUSAL_MALFORMED, "not within");
	expect_refused(&b, &(struct region_op){REGION_OP_WRITE, 4, BAR, 0, UINT64_MAX - 7, 0, 0}, REFUSAL_MALFORMED,
		"operation 1");
	b.keeper->group.devices[0]->regions[BAR].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	b.keeper->group.devices[0]->regions[VFIO_PCI_CONFIG_REGION_INDEX].flags = VFIO_REGION_INFO_FLAG_READ;
	expect_refused(&b, &(struct region_op){REGION_OP_MODIFY, 2, VFIO_PCI_CONFIG_REGION_INDEX, 0, 4, 0, 4},
		REFUSAL_UNSUPPORTED, "cannot be written");
	b.keeper->group.devices[0]->regions[VFIO_PCI_CONFIG_REGION_INDEX].flags = VFIO_REGION_INFO_FLAG_WRITE;
	expect_refused(&b, &(struct region_op){REGION_OP_POLL, 2, VFIO_PCI_CONFIG_REGION_INDEX, 1, 4, 0, 0},
		REFUSAL_UNSUPPORTED, "cannot be read");
	b.keeper->group.devices[0]->regions[VFIO_PCI_CONFIG_REGION_INDEX].flags = 3;
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_all_kinds),
		bench_test(test_poll_waits),
		bench_test(test_poll_times_out),
		bench_test(test_failure_stops),
		bench_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
