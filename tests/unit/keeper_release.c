/* SPDX-License-Identifier: MIT */
#include "keeper_bench.h"

#include <linux/pci_regs.h>

/* How a device is let go of: the steps, their order, and what the broker is told of them. */

#define ALL_STEPS ((1U << RELEASE_STEPS) - 1)

static const struct irq_request one_vector = {.index = VFIO_PCI_MSI_IRQ_INDEX, .count = 1};

/* The report in the RELEASED event of device I, which is the next one. */
static struct release_report report_of(struct bench *b, size_t i)
{
	const struct released_event *released = bench_event(b, b->broker, KEEPER_EVENT_RELEASED, sizeof *released);

	assert_string_equal(released->name, bench_names[i]);
	return released->report;
}

static uint32_t bit(enum release_step step)
{
	return 1U << step;
}

/* Bound, with an interrupt on; there is no module for windows. */
static void start_busy(struct bench *b)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);

	bench_start_bound(b);
	assert_int_equal(
		bench_call_fds(b, b->clients[0], DEVICE_IRQ_SET, &one_vector, sizeof one_vector, &event, 1), 0);
}

static void test_report(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	start_busy(&b);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	assert_int_equal(report.reason, ENDED_RELEASED);
	assert_int_equal(report.reset, RESET_DONE);
	assert_int_equal(report.steps_done | bit(RELEASE_WINDOWS), ALL_STEPS);
	for (int step = 0; step < RELEASE_STEPS; step++)
		assert_int_equal(report.steps[step].error, 0);
	/* one by the keeper, one by the last close */
	assert_int_equal(b.group->devices[0].resets, 2);
	bench_stop(&b);
}

/* Never bound: there was nothing to do. */
static void test_not_open(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	bench_start(&b, 1);
	close(fd_take(&b.clients[0]));
	report = report_of(&b, 0);
	assert_int_equal(report.reason, ENDED_HANGUP);
	assert_int_equal(report.reset, RESET_NOT_OPEN);
	assert_int_equal(report.steps_done, 0);
	bench_stop(&b);
}

/* What UNBIND did is still to be known at the end: a device that could not be reset then was not reset since. */
static void test_unbound_before(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	fake_kernel_fail(FAKE_RESET, ETIMEDOUT);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	fake_kernel_fail(FAKE_RESET, 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	assert_int_equal(report.reason, ENDED_RELEASED);
	assert_int_equal(report.reset, RESET_FAILED);
	assert_int_equal(report.steps[RELEASE_RESET].error, ETIMEDOUT);
	bench_stop(&b);
}

static void test_no_reset(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	bench_start(&b, 1);
	b.group->devices[0].resettable = false;
	{
		OWNED_FD domain = fake_container_open();

		assert_int_equal(bench_bind(&b, 0, domain), 0);
	}
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	assert_int_equal(report.reset, RESET_NONE);
	assert_false(report.steps_done & bit(RELEASE_RESET));
	assert_int_equal(b.group->devices[0].resets, 0);
	bench_stop(&b);
}

/* A step that fails keeps no other from being taken, and is named. */
static void test_failures(void **state)
{
	static const struct {
		enum fake_step fails;
		enum release_step step;
	} rows[] = {
		{FAKE_IRQ_SET, RELEASE_INTERRUPTS},
		{FAKE_WRITE, RELEASE_MASTER},
		{FAKE_RESET, RELEASE_RESET},
		{FAKE_DETACH, RELEASE_LEAVE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct release_report report;
		struct bench b;

		start_busy(&b);
		fake_kernel_fail(rows[i].fails, EIO);
		close(fd_take(&b.clients[0]));
		report = report_of(&b, 0);
		fake_kernel_fail(rows[i].fails, 0);
		assert_int_equal(report.steps_done | bit(RELEASE_WINDOWS), ALL_STEPS);
		for (int step = 0; step < RELEASE_STEPS; step++)
			assert_int_equal(report.steps[step].error, step == (int)rows[i].step ? EIO : 0);
		assert_int_equal(report.reset, rows[i].step == RELEASE_RESET ? RESET_FAILED : RESET_DONE);
		assert_int_equal(b.group->devices[0].opened, 0);
		if (rows[i].step == RELEASE_LEAVE)
			assert_int_equal(fake_vfio.group_detach(b.group_copy), 0);
		bench_stop(&b);
	}
}

/* The device is locked by somebody for a moment: the first attempts fail. */
static int attempts_that_fail;

static int locked_reset(int device)
{
	return attempts_that_fail-- > 0 ? -EAGAIN : fake_vfio.device_reset(device);
}

static struct release_report report_of_locked(int attempts)
{
	struct vfio_kernel locked = fake_vfio;
	OWNED_FD domain = fake_container_open();
	struct release_report report;
	struct bench b;

	attempts_that_fail = attempts;
	locked.device_reset = locked_reset;
	bench_start_on(&b, &locked, 1, NULL);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	bench_stop(&b);
	return report;
}

static void test_reset_locked(void **state)
{
	struct release_report report = report_of_locked(RESET_RETRIES);

	(void)state;
	assert_int_equal(report.reset, RESET_DONE);
	assert_true(report.steps[RELEASE_RESET].time_us >= RESET_RETRIES * RESET_PAUSE_NS / 1000);
	/* but not for ever */
	report = report_of_locked(RESET_RETRIES + 1);
	assert_int_equal(report.reset, RESET_FAILED);
	assert_int_equal(report.steps[RELEASE_RESET].error, EAGAIN);
}

/* After an uncorrectable error the kernel recovers the device, and has it locked for longer. */
static void test_reset_locked_by_recovery(void **state)
{
	struct vfio_kernel locked = fake_vfio;
	OWNED_FD domain = fake_container_open();
	struct release_report report;
	struct bench b;

	(void)state;
	attempts_that_fail = RESET_RETRIES + 1;
	locked.device_reset = locked_reset;
	bench_start_on(&b, &locked, 1, NULL);
	b.group->devices[0].express = true;
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(fake_device_fault(&b.group->devices[0]), 1);
	bench_event(&b, b.broker, KEEPER_EVENT_FAULT, sizeof(struct fault_event));
	bench_settle(&b);
	report = report_of(&b, 0);
	assert_int_equal(report.reason, ENDED_ERROR);
	assert_int_equal(report.reset, RESET_DONE);
	bench_stop(&b);
}

/* The host waits for the device, and has it locked meanwhile: no reset is possible, and none is waited for. */
static void test_unplug(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	start_busy(&b);
	assert_int_equal(fake_device_request(&b.group->devices[0]), 1);
	bench_settle(&b);
	report = report_of(&b, 0);
	assert_int_equal(report.reason, ENDED_UNPLUG);
	assert_int_equal(report.reset, RESET_FAILED);
	assert_int_equal(report.steps[RELEASE_RESET].error, EAGAIN);
	bench_stop(&b);
}

/* All devices of a group at once: they leave the domain together, and each report says so. */
static void test_together(void **state)
{
	OWNED_FD domain = fake_container_open();
	struct bench b;

	(void)state;
	bench_start(&b, 3);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_bind(&b, 1, domain), 0);
	shutdown(b.broker, SHUT_WR);
	bench_settle(&b);
	for (size_t i = 0; i < 3; i++) {
		struct release_report report = report_of(&b, i);

		assert_int_equal(report.reason, ENDED_SESSION);
		assert_int_equal(report.reset, i < 2 ? RESET_DONE : RESET_NOT_OPEN);
		assert_int_equal(!!(report.steps_done & bit(RELEASE_LEAVE)), i < 2);
	}
	bench_stop(&b);
}

/* ---- access = direct ---- */

/* A bound device whose client may have the VFIO device itself. */
static void start_direct(struct bench *b)
{
	struct lease_request lease = bench_lease_request(0, LEASE_GROUP | LEASE_DIRECT);
	OWNED_FD domain = fake_container_open();

	bench_start(b, 0);
	assert_int_equal(bench_lease_as(b, &lease, &b->clients[0]), 0);
	bench_hello(b, b->clients[0]);
	assert_int_equal(bench_call(b, b->clients[0], DEVICE_FILE, NULL, 0), REFUSAL_NOT_BOUND);
	assert_int_equal(bench_bind(b, 0, domain), 0);
}

/* The client gets it. The fake knows it by this number, which the kernel gives to the next file. */
static int hand_out(struct bench *b)
{
	assert_int_equal(bench_call(b, b->clients[0], DEVICE_FILE, NULL, 0), 0);
	assert_int_equal(b->packet.fds.count, 1);
	return fdset_take(&b->packet.fds, 0);
}

/* The client closes it when the keeper has let go; only now the group can leave its domain. */
static void close_last(struct bench *b, int file)
{
	fake_vfio.device_close(file);
	assert_int_equal(b->group->devices[0].opened, 0);
	assert_int_equal(fake_vfio.group_detach(b->group_copy), 0);
}

static void test_file_is_not_for_all(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_FILE, NULL, 0), REFUSAL_DENIED);
	assert_non_null(strstr(b.detail.text, "access = direct"));
	assert_int_equal(b.packet.fds.count, 0);
	assert_int_equal(b.group->devices[0].opened, 1);
	bench_stop(&b);
}

/* Everything is done, and nothing is promised: the client may have it still, and the group cannot leave the domain. */
static void test_handed_out(void **state)
{
	struct release_report report;
	struct bench b;
	int file;

	(void)state;
	start_direct(&b);
	file = hand_out(&b);
	assert_int_equal(b.group->devices[0].opened, 2);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	assert_int_equal(report.reset, RESET_UNSURE);
	assert_int_equal(report.steps[RELEASE_RESET].error, 0);
	assert_int_equal(report.steps[RELEASE_LEAVE].error, EBUSY);
	assert_int_equal(b.group->devices[0].resets, 1);
	assert_int_equal(b.group->devices[0].opened, 1);
	close_last(&b, file);
	bench_stop(&b);
}

/* Who was allowed to, and has not asked, has not got it. */
static void test_not_handed_out(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	start_direct(&b);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	assert_int_equal(report.reset, RESET_DONE);
	bench_stop(&b);
}

/* The host waits for the holder, who closes it when it likes: that it was not reset is certain. */
static void test_handed_out_and_unplugged(void **state)
{
	struct release_report report;
	struct bench b;
	int file;

	(void)state;
	start_direct(&b);
	file = hand_out(&b);
	assert_int_equal(fake_device_request(&b.group->devices[0]), 1);
	bench_settle(&b);
	report = report_of(&b, 0);
	assert_int_equal(report.reason, ENDED_UNPLUG);
	assert_int_equal(report.reset, RESET_FAILED);
	assert_int_equal(report.steps[RELEASE_RESET].error, EAGAIN);
	close_last(&b, file);
	bench_stop(&b);
}

static void test_handed_out_and_unbound(void **state)
{
	struct release_report report;
	struct bench b;

	(void)state;
	start_direct(&b);
	fake_vfio.device_close(hand_out(&b));
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	report = report_of(&b, 0);
	assert_int_equal(report.reset, RESET_UNSURE);
	assert_int_equal(report.steps[RELEASE_LEAVE].error, 0);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_report),
		bench_test(test_file_is_not_for_all),
		bench_test(test_handed_out),
		bench_test(test_not_handed_out),
		bench_test(test_handed_out_and_unbound),
		bench_test(test_handed_out_and_unplugged),
		bench_test(test_not_open),
		bench_test(test_unbound_before),
		bench_test(test_no_reset),
		bench_test(test_failures),
		bench_test(test_reset_locked),
		bench_test(test_reset_locked_by_recovery),
		bench_test(test_unplug),
		bench_test(test_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
