/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "device_bench.h"
#include "fdset.h"
#include "keeper.h"
#include "keeper_bench.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

/* What a client does with its device: registers, interrupts, reset; and what a hostile one sends. */

#define BAR    VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

/* ---- DESCRIBE ---- */

static void test_describe(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	const struct describe_reply *describe;
	const struct region_record *regions;
	const struct irq_record *irqs;

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_DESCRIBE, NULL, 0), 0);
	describe = packet_body(&b.packet, sizeof *describe);
	assert_int_equal(b.packet.header.length, sizeof *describe);
	assert_string_equal(describe->name, bench_names[0]);
	assert_int_equal(describe->flags, 0);
	assert_int_equal(describe->group, 7);
	assert_int_equal(describe->vendor, 0x1234);
	assert_int_equal(describe->device, 0x11e8);
	assert_int_equal(describe->class, 0x00ff00);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_DESCRIBE, NULL, 0), 0);
	assert_int_equal(describe->flags, DESCRIBE_BOUND | DESCRIBE_RESET);
	assert_int_equal(describe->regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(describe->irqs, VFIO_PCI_NUM_IRQS);
	assert_int_equal(b.packet.header.length,
		sizeof *describe + describe->regions * sizeof *regions + describe->irqs * sizeof *irqs);
	regions = (const void *)(describe + 1);
	irqs = (const void *)(regions + describe->regions);
	assert_int_equal(regions[BAR].index, BAR);
	assert_int_equal(regions[BAR].size, FAKE_BAR0_SIZE);
	assert_int_equal(regions[BAR].flags,
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP);
	assert_int_equal(regions[CONFIG].flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	assert_int_equal(regions[1].size, 0);
	assert_int_equal(regions[CONFIG].size, FAKE_CONFIG_SIZE);
	assert_int_equal(irqs[VFIO_PCI_MSI_IRQ_INDEX].count, FAKE_MSI_COUNT);
	assert_int_equal(irqs[VFIO_PCI_ERR_IRQ_INDEX].count, 0);
	bench_stop(&b);
}

/* ---- regions ---- */

static int call_read(struct bench *b, uint32_t region, uint64_t offset, uint32_t length, uint32_t width)
{
	struct region_request request = {0, region, offset, length, width};

	return bench_call(b, b->clients[0], DEVICE_REGION_READ, &request, sizeof request);
}

static int call_write(
	struct bench *b, uint32_t region, uint64_t offset, const void *data, uint32_t length, uint32_t width)
{
	struct {
		struct region_request head;
		uint8_t data[REGION_LENGTH_MAX];
	} request = {{0, region, offset, length, width}, {0}};

	memcpy(request.data, data, length);
	return bench_call(b, b->clients[0], DEVICE_REGION_WRITE, &request, sizeof request.head + length);
}

static void test_region_widths(void **state)
{
	struct bench b;
	const uint8_t data[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	const uint32_t widths[] = {0, 1, 2, 4, 8};

	(void)state;
	bench_start_bound(&b);
	for (size_t i = 0; i < 5; i++) {
		uint64_t offset = 0x100 + 16 * i;

		assert_int_equal(call_write(&b, BAR, offset, data, sizeof data, widths[i]), 0);
		assert_int_equal(b.packet.header.length, 0);
		assert_memory_equal(&b.group->devices[0].bar0[offset], data, sizeof data);
		for (size_t j = 0; j < 5; j++) {
			assert_int_equal(call_read(&b, BAR, offset, sizeof data, widths[j]), 0);
			assert_int_equal(b.packet.header.length, sizeof data);
			assert_memory_equal(b.packet.payload, data, sizeof data);
		}
	}
	/* a register, which only an access of its own width reaches */
	assert_int_equal(call_read(&b, BAR, FAKE_REG_ID, 4, 4), 0);
	assert_memory_equal(b.packet.payload, "\xed\x00\x00\x01", 4);
	bench_stop(&b);
}

static void test_region_bulk(void **state)
{
	static uint8_t data[REGION_LENGTH_MAX];
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(call_write(&b, BAR, 0x8000, data, sizeof data, 0), 0);
	assert_int_equal(call_read(&b, BAR, 0x8000, sizeof data, 0), 0);
	assert_int_equal(b.packet.header.length, sizeof data);
	assert_memory_equal(b.packet.payload, data, sizeof data);
	assert_int_equal(call_read(&b, BAR, 0x8000, sizeof data, 1), 0);
	assert_memory_equal(b.packet.payload, data, sizeof data);
	bench_stop(&b);
}

static void test_region_refusals(void **state)
{
	struct bench b;
	uint32_t value = 0;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(call_read(&b, 99, 0, 4, 4), REFUSAL_UNSUPPORTED);
	assert_int_equal(call_read(&b, UINT32_MAX, 0, 4, 4), REFUSAL_UNSUPPORTED);
	assert_int_equal(call_read(&b, 1, 0, 4, 4), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "no region 1");
	assert_int_equal(call_read(&b, BAR, FAKE_BAR0_SIZE, 1, 1), REFUSAL_MALFORMED);
	assert_int_equal(call_read(&b, BAR, FAKE_BAR0_SIZE - 4, 8, 4), REFUSAL_MALFORMED);
	assert_int_equal(call_read(&b, BAR, UINT64_MAX - 8, 8, 0), REFUSAL_MALFORMED);
	assert_int_equal(call_read(&b, BAR, UINT64_C(1) << 40, 4, 4), REFUSAL_MALFORMED);
	assert_int_equal(call_read(&b, BAR, FAKE_BAR0_SIZE - 4, 4, 4), 0);
	assert_int_equal(call_write(&b, BAR, FAKE_BAR0_SIZE - 2, &value, 4, 0), REFUSAL_MALFORMED);
	b.keeper->group.devices[0]->regions[BAR].flags = VFIO_REGION_INFO_FLAG_READ;
	assert_int_equal(call_write(&b, BAR, 0, &value, 4, 4), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "cannot be written");
	b.keeper->group.devices[0]->regions[BAR].flags = VFIO_REGION_INFO_FLAG_WRITE;
	assert_int_equal(call_read(&b, BAR, 0, 4, 4), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "cannot be read");
	bench_stop(&b);
}

static void test_region_fails(void **state)
{
	struct bench b;
	uint16_t off = 0;

	(void)state;
	bench_start_bound(&b);
	/* memory access off: EIO */
	assert_int_equal(call_write(&b, CONFIG, PCI_COMMAND, &off, 2, 2), 0);
	assert_int_equal(call_read(&b, BAR, 0x10, 4, 4), -EIO);
	assert_detail(&b, "0x10");
	assert_int_equal(call_write(&b, BAR, 0x10, "1234", 4, 4), -EIO);
	/* a region that is shorter than the kernel said: what is cut off is no answer */
	b.keeper->group.devices[0]->regions[CONFIG].size += 16;
	assert_int_equal(call_read(&b, CONFIG, FAKE_CONFIG_SIZE - 4, 8, 0), -EIO);
	bench_stop(&b);
}

/* ---- interrupts ---- */

static void raise_vector(struct bench *b, uint32_t vector)
{
	assert_int_equal(call_write(b, BAR, FAKE_REG_RAISE, &vector, 4, 4), 0);
}

/* How often an eventfd was signalled since last asked. */
static uint64_t signals(int event)
{
	uint64_t count = 0;

	return bench_readable(event) && read(event, &count, sizeof count) == sizeof count ? count : 0;
}

static void test_irq(void **state)
{
	struct bench b;
	int events[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
	int before;

	(void)state;
	bench_start_bound(&b);
	before = unit_fds();
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, 2, events), 0);
	/* the fake kernel's and the keeper's (kept.h) */
	assert_int_equal(unit_fds(), before + 4);
	raise_vector(&b, 1);
	assert_int_equal(signals(events[0]), 0);
	assert_int_equal(signals(events[1]), 1);
	/* one vector off, the other stays on */
	assert_int_equal(irq(&b, DEVICE_IRQ_CLEAR, MSI, 1, 1, NULL), 0);
	raise_vector(&b, 1);
	raise_vector(&b, 0);
	assert_int_equal(signals(events[1]), 0);
	assert_int_equal(signals(events[0]), 1);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 1, 1, events), 0);
	raise_vector(&b, 1);
	assert_int_equal(signals(events[0]), 1);
	/* all off, twice */
	assert_int_equal(irq(&b, DEVICE_IRQ_CLEAR, MSI, 0, 0, NULL), 0);
	assert_int_equal(irq(&b, DEVICE_IRQ_CLEAR, MSI, 0, 0, NULL), 0);
	assert_int_equal(irq(&b, DEVICE_IRQ_CLEAR, MSI, 2, 2, NULL), 0);
	raise_vector(&b, 0);
	assert_int_equal(signals(events[0]), 0);
	assert_int_equal(unit_fds(), before + 2);
	/* another kind can be had now; INTx can be unmasked */
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, INTX, 0, 1, events), 0);
	assert_int_equal(irq(&b, DEVICE_IRQ_UNMASK, INTX, 0, 1, NULL), 0);
	/* and is off after UNBIND */
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	close(events[0]);
	close(events[1]);
	bench_stop(&b);
}

static void test_irq_refusals(void **state)
{
	struct bench b;
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	int one[] = {event}, many[FAKE_MSI_COUNT + 1];

	(void)state;
	for (size_t i = 0; i < FAKE_MSI_COUNT + 1; i++)
		many[i] = event;
	bench_start_bound(&b);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, one), REFUSAL_UNSUPPORTED);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, UINT32_MAX, 0, 1, one), REFUSAL_UNSUPPORTED);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, FAKE_MSI_COUNT + 1, many), REFUSAL_MALFORMED);
	assert_detail(&b, "MSI");
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, FAKE_MSI_COUNT, 1, one), REFUSAL_MALFORMED);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, UINT32_MAX - 1, 1, one), REFUSAL_MALFORMED);
	b.group->failures[FAKE_IRQ_SET] = EINVAL;
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, 1, one), -EINVAL);
	b.group->failures[FAKE_IRQ_SET] = EBUSY;
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, INTX, 0, 1, one), REFUSAL_UNSUPPORTED);
	b.group->failures[FAKE_IRQ_SET] = ENOMEM;
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, INTX, 0, 1, one), -ENOMEM);
	b.group->failures[FAKE_IRQ_SET] = 0;
	assert_int_equal(irq(&b, DEVICE_IRQ_UNMASK, MSI, 0, 1, NULL), REFUSAL_UNSUPPORTED);
	assert_int_equal(irq(&b, DEVICE_IRQ_UNMASK, INTX, 0, 1, NULL), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "not on");
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSIX, 0, 1, one), 0);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, 1, one), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "MSI-X");
	assert_detail(&b, "in use already");
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, INTX, 0, 1, one), REFUSAL_UNSUPPORTED);
	/* on with one vector, which this kernel cannot change */
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSIX, 1, 1, one), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "1 vectors");
	bench_stop(&b);
}

/* What is no eventfd ends the lease, after an answer that says which. */
static void test_irq_no_eventfd(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		OWNED_FD event = eventfd(0, EFD_CLOEXEC);
		OWNED_FD other = i == 0 ? timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) : epoll_create1(EPOLL_CLOEXEC);
		int two[] = {event, other};
		struct bench b;

		bench_start_bound(&b);
		assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 2, 2, two), REFUSAL_MALFORMED);
		assert_detail(&b, "vector 3");
		assert_detail(&b, "is not an eventfd");
		bench_settle(&b);
		assert_false(b.running);
		assert_free(&b, 0);
		bench_stop(&b);
	}
}

/*
 * The close of an eventfd may wait for the reader of an epoll. So the keeper has each eventfd, once, however often the
 * client sends the eventfd, as long as a device is open.
 */
static void test_eventfds_stay(void **state)
{
	OWNED_FD domain = fake_container_open();
	struct bench b;
	int events[FAKE_MSI_COUNT], before;
	const struct kept *kept;

	(void)state;
	for (size_t i = 0; i < FAKE_MSI_COUNT; i++)
		events[i] = eventfd(0, EFD_CLOEXEC);
	bench_start(&b, 2);
	kept = &b.keeper->group.kept;
	before = unit_fds();
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(bench_bind(&b, i, domain), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, FAKE_MSI_COUNT, events), 0);
	bench_settle(&b);
	assert_int_equal(kept->known.count, FAKE_MSI_COUNT);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	bench_settle(&b);
	assert_int_equal(kept->known.count, FAKE_MSI_COUNT);
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_UNBIND, NULL, 0), 0);
	bench_settle(&b);
	assert_int_equal(kept->known.count, 0);
	assert_int_equal(unit_fds(), before);
	assert_true(b.running);
	for (size_t i = 0; i < FAKE_MSI_COUNT; i++)
		close(events[i]);
	bench_stop(&b);
}

/* More than the process has room for ends the lease, before the kernel would drop descriptors. */
static void test_too_many_eventfds(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	b.keeper->group.kept.max = 2;
	for (int i = 0; i < 3; i++) {
		OWNED_FD event = eventfd(0, EFD_CLOEXEC);

		assert_true(b.running);
		assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, 1, &event), 0);
		bench_settle(&b);
	}
	assert_false(b.running);
	assert_free(&b, 0);
	bench_expect_closed(&b, 0, REFUSAL_MALFORMED);
	bench_stop(&b);
}

/* ---- RESET ---- */

static void test_reset(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(call_write(&b, BAR, 0x100, "1234", 4, 4), 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(b.group->devices[0].bar0[0x100], 0);
	fake_kernel_fail(FAKE_RESET, ETIMEDOUT);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RESET, NULL, 0), -ETIMEDOUT);
	b.keeper->group.devices[0]->resettable = false;
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RESET, NULL, 0), REFUSAL_UNSUPPORTED);
	bench_stop(&b);
}

/* ---- the order of requests ---- */

static void test_not_bound(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(call_read(&b, BAR, 0, 4, 4), REFUSAL_NOT_BOUND);
	assert_int_equal(call_write(&b, BAR, 0, "1234", 4, 4), REFUSAL_NOT_BOUND);
	assert_int_equal(irq(&b, DEVICE_IRQ_CLEAR, MSI, 0, 0, NULL), REFUSAL_NOT_BOUND);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RESET, NULL, 0), REFUSAL_NOT_BOUND);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), REFUSAL_NOT_BOUND);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_PING, NULL, 0), 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_TYPE_MAX, NULL, 0), REFUSAL_UNSUPPORTED);
	bench_stop(&b);
}

/* ---- what a hostile client sends ---- */

static void send_fds(struct bench *b, uint16_t type, int fd, size_t count)
{
	packet_request(&b->packet, type, 1);
	for (size_t i = 0; i < count; i++)
		fdset_add(&b->packet.fds, fcntl(fd, F_DUPFD_CLOEXEC, 3));
	assert_int_equal(packet_send(b->clients[0], MSG_DONTWAIT, &b->packet), 0);
	bench_settle(b);
	assert_int_equal(packet_receive(b->clients[0], MSG_DONTWAIT, 0, &b->packet), PACKET_RECEIVED);
}

/* What comes with a request that may carry descriptors, and is known, costs the client nothing but the refusal. */
static void test_uninvited_fds(void **state)
{
	struct bench b;
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	OWNED_FD domain = fake_container_open();
	int before;

	(void)state;
	bench_start(&b, 1);
	before = unit_fds();
	send_fds(&b, DEVICE_BIND, event, FDSET_MAX);
	assert_int_equal(packet_refusal(&b.packet, &b.detail), REFUSAL_MALFORMED);
	send_fds(&b, DEVICE_IRQ_SET, domain, 100);
	assert_int_equal(packet_refusal(&b.packet, &b.detail), REFUSAL_MALFORMED);
	assert_int_equal(unit_fds(), before);
	assert_true(b.running);
	bench_stop(&b);
}

enum { FOREIGN = 10 };

static void open_foreign(int fds[FOREIGN])
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fds[0] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	fds[1] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fds[4] = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	fds[5] = ends[0];
	fds[6] = ends[1];
	fds[7] = epoll_create1(EPOLL_CLOEXEC);
	/* known, but nobody asked for them */
	fds[8] = eventfd(0, EFD_CLOEXEC);
	fds[9] = fake_container_open();
}

/*
 * A close may wait for the client, and so may the end of a process that has the descriptor. So a descriptor with a
 * request that takes none stays open, of whatever kind, and ends the lease, after an answer.
 */
static void test_foreign_fds(void **state)
{
	int foreign[FOREIGN];

	(void)state;
	open_foreign(foreign);
	for (size_t i = 0; i < FOREIGN; i++) {
		struct bench b;

		bench_start_bound(&b);
		send_fds(&b, DEVICE_PING, foreign[i], 1);
		assert_int_equal(packet_refusal(&b.packet, &b.detail), REFUSAL_MALFORMED);
		assert_false(b.running);
		assert_free(&b, 0);
		bench_expect_closed(&b, 0, REFUSAL_MALFORMED);
		bench_expect_released(&b, 0, 0, 0);
		assert_int_equal(b.keeper->group.kept.foreign.count, 1);
		bench_stop(&b);
		close(foreign[i]);
	}
}

/* It is the process that has the descriptor: so the siblings go, too, and so does a device that is not bound yet. */
static void test_foreign_fd_and_siblings(void **state)
{
	OWNED_FD file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	OWNED_FD domain = fake_container_open();
	struct bench b;

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 1, domain), 0);
	send_fds(&b, DEVICE_RELEASE, file, 1);
	assert_int_equal(packet_refusal(&b.packet, &b.detail), REFUSAL_MALFORMED);
	assert_false(b.running);
	assert_free(&b, 1);
	bench_expect_closed(&b, 0, REFUSAL_MALFORMED);
	bench_expect_closed(&b, 1, REFUSAL_MALFORMED);
	assert_int_equal(b.group->container, 0);
	bench_stop(&b);
}

/* Sends RELEASE of device 0, and behind it a PING with the write end of a pipe. Returns the read end. */
static int release_with_pipe_behind(struct bench *b)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	packet_request(&b->packet, DEVICE_RELEASE, 7);
	assert_int_equal(packet_send(b->clients[0], MSG_DONTWAIT, &b->packet), 0);
	packet_request(&b->packet, DEVICE_PING, 8);
	assert_int_equal(packet_send(b->clients[0], MSG_DONTWAIT, &b->packet), 0);
	packet_request(&b->packet, DEVICE_PING, 9);
	fdset_add(&b->packet.fds, ends[1]);
	assert_int_equal(packet_send(b->clients[0], MSG_DONTWAIT, &b->packet), 0);
	return ends[0];
}

static bool is_hung_up(int pipe_end)
{
	struct pollfd p = {pipe_end, POLLIN, 0};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* A descriptor that waits behind the last request is not dropped while a sibling is at work: the sibling goes first. */
static void test_foreign_fd_behind_release(void **state)
{
	for (size_t count = 1; count <= 2; count++) {
		OWNED_FD domain = fake_container_open();
		OWNED_FD end = -1;
		struct bench b;

		(void)state;
		bench_start(&b, count);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(bench_bind(&b, i, domain), 0);
		end = release_with_pipe_behind(&b);
		bench_settle(&b);
		assert_false(b.running);
		assert_free(&b, count - 1);
		assert_false(is_hung_up(end));
		/* RELEASE is answered all the same. */
		assert_int_equal(packet_receive(b.clients[0], MSG_DONTWAIT, 0, &b.packet), PACKET_RECEIVED);
		assert_int_equal(b.packet.header.type, DEVICE_RELEASE);
		bench_expect_closed(&b, 0, REFUSAL_NONE);
		bench_expect_released(&b, 0, (uint32_t)count - 1, 0);
		if (count == 2) {
			bench_expect_closed(&b, 1, REFUSAL_MALFORMED);
			bench_expect_released(&b, 1, 0, 0);
		}
		bench_stop(&b);
		assert_true(is_hung_up(end));
	}
}

/* Without descriptors, a lease may end with requests on its channel, and its siblings go on. */
static void test_requests_behind_release(void **state)
{
	OWNED_FD domain = fake_container_open();
	struct bench b;
	int before;

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 1, domain), 0);
	before = unit_fds();
	for (uint64_t cookie = 1; cookie < 5; cookie++) {
		packet_request(&b.packet, cookie == 1 ? DEVICE_RELEASE : DEVICE_PING, cookie);
		assert_int_equal(packet_send(b.clients[0], MSG_DONTWAIT, &b.packet), 0);
	}
	bench_settle(&b);
	assert_true(b.running);
	assert_int_equal(unit_fds(), before - 1);
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_PING, NULL, 0), 0);
	bench_stop(&b);
}

/* A killed process releases its highest descriptors first: group and devices are above those of clients. */
static void test_group_is_above_clients(void **state)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, 1, &event), 0);
	assert_true(b.keeper->group.fd > b.keeper->group.kept.known.fds[0]);
	assert_true(b.keeper->group.fd > b.keeper->group.devices[0]->channel.fd);
	bench_stop(&b);
}

/* Two clients: the one that floods does not starve the other. */
static void test_fairness(void **state)
{
	struct bench b;
	int steps = 0;

	(void)state;
	bench_start(&b, 2);
	for (uint64_t cookie = 1; cookie < 20; cookie++) {
		packet_request(&b.packet, DEVICE_PING, cookie);
		assert_int_equal(packet_send(b.clients[0], MSG_DONTWAIT, &b.packet), 0);
	}
	packet_request(&b.packet, DEVICE_PING, 1);
	assert_int_equal(packet_send(b.clients[1], MSG_DONTWAIT, &b.packet), 0);
	while (!bench_readable(b.clients[1]) && steps++ < 20)
		keeper_step(b.keeper, 0);
	assert_true(steps <= 2);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_describe),
		bench_test(test_region_widths),
		bench_test(test_region_bulk),
		bench_test(test_region_refusals),
		bench_test(test_region_fails),
		bench_test(test_irq),
		bench_test(test_irq_refusals),
		bench_test(test_irq_no_eventfd),
		bench_test(test_eventfds_stay),
		bench_test(test_too_many_eventfds),
		bench_test(test_reset),
		bench_test(test_not_bound),
		bench_test(test_uninvited_fds),
		bench_test(test_foreign_fds),
		bench_test(test_foreign_fd_and_siblings),
		bench_test(test_foreign_fd_behind_release),
		bench_test(test_requests_behind_release),
		bench_test(test_group_is_above_clients),
		bench_test(test_fairness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
