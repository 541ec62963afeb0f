/* SPDX-License-Identifier: MIT */
#include "domain.h"
#include "harness.h"
#include "raw_channel.h"

#include <linux/vfio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

/* ---- using one device ---- */

static void use_registers(struct vbroker_device *device)
{
	uint64_t value;
	uint8_t bytes[64], back[64];
	uint32_t ids;

	expect_ok(vbroker_region_read(device, BAR0, FAKE_REG_ID, 4, &value));
	assert_int_equal(value, 0x010000ed);
	expect_ok(vbroker_region_write(device, BAR0, FAKE_REG_LIVENESS, 4, 0x12345678));
	expect_ok(vbroker_region_read(device, BAR0, FAKE_REG_LIVENESS, 4, &value));
	assert_int_equal(value, 0xedcba987);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7);
	expect_ok(vbroker_region_write_bytes(device, BAR0, 0x1000, bytes, sizeof bytes, 4));
	expect_ok(vbroker_region_read_bytes(device, BAR0, 0x1000, back, sizeof back, 0));
	assert_memory_equal(bytes, back, sizeof bytes);
	expect_ok(vbroker_region_read_bytes(device, CONFIG, 0, &ids, sizeof ids, 4));
	assert_int_equal(ids, 0x11e81234);
}

static void run_program(struct vbroker_device *device)
{
	struct vbroker_op ops[] = {
		{.kind = VBROKER_OP_WRITE, .region = BAR0, .width = 4, .offset = FAKE_REG_DELAY, .value = 2000},
		{.kind = VBROKER_OP_POLL,
			.region = BAR0,
			.width = 4,
			.offset = FAKE_REG_DONE,
			.value = 1,
			.mask = 1,
			.timeout_us = 900000},
		{.kind = VBROKER_OP_READ, .region = BAR0, .width = 4, .offset = FAKE_REG_ID},
	};
	size_t done = 0;

	expect_ok(vbroker_region_program(device, ops, 3, &done));
	assert_int_equal(done, 3);
	assert_int_equal(ops[1].result, 1);
	assert_int_equal(ops[2].result, 0x010000ed);
}

/* True if EVENTFD was signalled within two seconds; it is empty afterwards. */
static bool fired(int eventfd)
{
	struct pollfd p = {.fd = eventfd, .events = POLLIN};
	eventfd_t count;

	return poll(&p, 1, 2000) == 1 && eventfd_read(eventfd, &count) == 0;
}

static void use_interrupts(struct vbroker_device *device)
{
	int events[3];

	for (int i = 0; i < 3; i++) {
		events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(events[i] >= 0);
	}
	expect_ok(vbroker_irq_set(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, events, 3));
	for (int i = 2; i >= 0; i--) {
		expect_ok(vbroker_region_write(device, BAR0, FAKE_REG_RAISE, 4, i));
		assert_true(fired(events[i]));
	}
	expect_refused(vbroker_irq_unmask(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1), VBROKER_UNSUPPORTED, "never masked");
	expect_ok(vbroker_irq_clear(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0));
	expect_ok(vbroker_irq_set(device, VFIO_PCI_INTX_IRQ_INDEX, 0, events, 1));
	expect_ok(vbroker_region_write(device, BAR0, FAKE_REG_RAISE, 4, 0));
	assert_true(fired(events[0]));
	expect_ok(vbroker_irq_unmask(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1));
	for (int i = 0; i < 3; i++)
		close(events[i]);
}

static void use_memory(struct vbroker_domain *domain)
{
	void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t iova = 0;

	assert_true(memory != MAP_FAILED);
	expect_ok(vbroker_domain_map(
		domain, memory, 65536, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, VBROKER_IOVA_ANY, &iova));
	expect_refused(
		vbroker_domain_map(domain, memory, 4096, VBROKER_DEVICE_READS, iova, NULL), VBROKER_IOVA_IN_USE, NULL);
	expect_ok(vbroker_domain_unmap(domain, iova, 65536));
	expect_refused(vbroker_domain_unmap(domain, iova, 65536), VBROKER_IOVA_INVALID, NULL);
	munmap(memory, 65536);
}

static pid_t keeper_of(struct vbroker_session *session, const char *name)
{
	struct vbroker_lease_entry *leases;
	size_t count;
	pid_t pid = 0;

	expect_ok(vbroker_list_leases(session, &leases, &count));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(leases[i].name, name) == 0)
			pid = (pid_t)leases[i].keeper_pid;
	}
	free(leases);
	assert_true(pid > 0);
	return pid;
}

static void one_lease_from_begin_to_end(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *device;
	struct vbroker_device_info info;
	int fds = unit_fds(), keeper_fds;

	(void)state;
	device = device_begin(session, EDU);
	keeper_fds = process_fds(keeper_of(session, EDU));
	expect_ok(vbroker_device_describe(device, &info));
	assert_string_equal(info.name, EDU);
	assert_int_equal(info.group, 1);
	assert_int_equal(info.vendor, 0x1234);
	assert_int_equal(info.device, 0x11e8);
	assert_int_equal(info.class_code, 0x00ff00);
	assert_false(info.bound);
	assert_int_equal(info.regions_count, 0);
	/* twice, so that UNBIND is seen to leave nothing behind */
	for (int i = 0; i < 2; i++) {
		uint64_t value;

		expect_ok(vbroker_device_bind(device, domain));
		expect_ok(vbroker_device_describe(device, &info));
		assert_true(info.bound);
		assert_true(info.can_reset);
		assert_int_equal(info.regions[BAR0].size, FAKE_BAR0_SIZE);
		assert_int_equal(info.irqs[VFIO_PCI_MSIX_IRQ_INDEX].count, FAKE_MSIX_COUNT);
		use_registers(device);
		run_program(device);
		use_interrupts(device);
		use_memory(domain);
		expect_ok(vbroker_device_reset(device));
		expect_ok(vbroker_region_read(device, BAR0, 0x1000, 4, &value));
		assert_int_equal(value, 0);
		expect_ok(vbroker_device_unbind(device));
		expect_refused(vbroker_region_read(device, BAR0, 0, 4, &value), VBROKER_NOT_BOUND, NULL);
		/* The keeper closes the eventfds after its answer. */
		expect_ok(vbroker_device_ping(device));
		assert_int_equal(process_fds(keeper_of(session, EDU)), keeper_fds);
	}
	vbroker_device_close(device);
	assert_int_equal(unit_fds(), fds);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* The driver goes and comes back, whatever it was. */
static void host_driver_comes_back(void **state)
{
	static const char *const names[] = {NVME, BARE, STUBBED};
	static const char *const records[] = {"claims/" NVME, "claims/" BARE, "claims/" STUBBED};
	static const char *const texts[] = {"nvme\n\n", "\n\n", "pci-stub\npci-stub\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct vbroker_session *session = session_begin();
		struct vbroker_device *device = device_begin(session, names[i]);

		expect_driver(names[i], "vfio-pci");
		assert_string_equal(host_read(records[i]), texts[i]);
		vbroker_device_close(device);
		vbroker_session_close(session);
		world_settle();
	}
}

/* Without RELEASE, by the end of the session or of the device channel alone. */
static void ends_without_release(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		int session = raw_connect(world()->broker_socket);
		int device;

		raw_hello(session);
		device = raw_open(session, i % 2 ? NVME : EDU);
		if (i < 2) {
			close(session);
			raw_expect_end(device);
			close(device);
		} else {
			close(device);
			nap(20);
			close(session);
		}
		world_settle();
	}
}

static void several_devices_in_one_domain(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	static const char *const names[] = {EDU, EDU_2, NVME, BARE};
	struct vbroker_device *devices[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		devices[i] = device_begin(session, names[i]);
		expect_ok(vbroker_device_bind(devices[i], domain));
	}
	/* four groups, four keepers, one domain */
	for (int i = 0; i < 4; i++) {
		use_registers(devices[i]);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(keeper_of(session, names[i]), keeper_of(session, names[j]));
	}
	use_memory(domain);
	for (int i = 0; i < 3; i++)
		vbroker_device_close(devices[i]);
	/* the mappings stay as long as one device does */
	use_memory(domain);
	vbroker_device_close(devices[3]);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options few_mappings = {
	.policy = "[allow two]\naddress = " EDU "\nuser = *\nmappings = 2\n[allow one]\naddress = " EDU_2
		  "\nuser = *\nmappings = 1\n[allow any]\naddress = " BARE "\nuser = *\nrebind = yes\n"};

/* What the policy says of domain channels comes with BIND, and goes with the last device that it was said of. */
static void mappings_by_domain_channels(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *two = device_begin(session, EDU), *one = device_begin(session, EDU_2),
			      *any = device_begin(session, BARE);

	(void)state;
	assert_int_equal(domain_channel_mappings(domain), MAPPINGS_UNLIMITED);
	expect_ok(vbroker_device_bind(two, domain));
	assert_string_equal(vbroker_detail(), "");
	assert_int_equal(domain_channel_mappings(domain), 2);
	expect_ok(vbroker_device_bind(any, domain));
	assert_int_equal(domain_channel_mappings(domain), 2);
	expect_ok(vbroker_device_bind(one, domain));
	assert_int_equal(domain_channel_mappings(domain), 1);
	use_memory(domain);
	expect_ok(vbroker_device_unbind(one));
	assert_int_equal(domain_channel_mappings(domain), 1);
	vbroker_device_close(two);
	expect_ok(vbroker_device_unbind(any));
	/* Nobody has asked the domain anything since. */
	expect_ok(vbroker_device_bind(any, domain));
	assert_int_equal(domain_channel_mappings(domain), MAPPINGS_UNLIMITED);
	vbroker_device_close(any);
	vbroker_device_close(one);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

static void two_devices_of_one_group(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin(), *other = domain_begin();
	struct vbroker_device *a = device_begin(session, TWIN), *b = device_begin(session, TWIN_2);

	(void)state;
	/* one keeper, because the IOMMU cannot tell them apart */
	assert_int_equal(keeper_of(session, TWIN), keeper_of(session, TWIN_2));
	expect_ok(vbroker_device_bind(a, domain));
	expect_refused(vbroker_device_bind(b, other), VBROKER_DOMAIN_INCOMPATIBLE, TWIN);
	expect_ok(vbroker_device_bind(b, domain));
	use_registers(a);
	use_registers(b);
	vbroker_device_close(a);
	use_registers(b);
	use_interrupts(b);
	/* and the one that was given back can be had again, while the other is used */
	a = device_begin(session, TWIN);
	expect_ok(vbroker_device_bind(a, domain));
	use_registers(a);
	vbroker_device_close(b);
	use_registers(a);
	vbroker_device_close(a);
	vbroker_domain_close(domain);
	vbroker_domain_close(other);
	vbroker_session_close(session);
	world_settle();
}

/* B has nothing but the channel: no session, no name, not even the path of the broker. */
static void channel_in_another_process(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	int status;
	pid_t pid;

	(void)state;
	expect_ok(vbroker_device_bind(device, domain));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int channel = fcntl(vbroker_device_fd(device), F_DUPFD_CLOEXEC, 100);
		struct vbroker_device *adopted;
		uint64_t value = 0;

		close_range(3, 99, 0);
		if (vbroker_device_adopt(channel, &adopted) != 0)
			_exit(1);
		if (vbroker_region_read(adopted, BAR0, FAKE_REG_ID, 4, &value) != 0 || value != 0x010000ed)
			_exit(2);
		/* ends with its copy still open: the device goes on */
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	use_registers(device);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* The holder of a copy keeps it after the first one's end, but not after the session's. */
static void copies_of_a_channel(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU), *adopted;
	int copy = fcntl(vbroker_device_fd(device), F_DUPFD_CLOEXEC, 3), result;

	(void)state;
	expect_ok(vbroker_device_adopt(copy, &adopted));
	expect_ok(vbroker_device_ping(adopted));
	vbroker_session_close(session);
	for (int i = 0; i < 500 && (result = vbroker_device_ping(adopted)) == 0; i++)
		nap(5);
	expect_refused(result, VBROKER_REVOKED, "vfio-brokerd");
	vbroker_device_close(adopted);
	vbroker_device_close(device);
	world_settle();
}

/* ---- swapped and wrong descriptors ---- */

static void wrong_descriptors(void **state)
{
	static const char *const kinds[] = {"file", "directory", "tty", "/dev/null", "eventfd", "memfd", "socket",
		"broker channel", "pipe", "O_PATH"};
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	/* the only one that is known to be harmless: the keeper ends with the first of the others (kept.h) */
	const size_t harmless = 4;
	int channel = vbroker_device_fd(device), pair[2], pipes[2], fds, keeper_fds;
	int wrong[10];

	(void)state;
	unit_pair(pair);
	assert_int_equal(pipe(pipes), 0);
	wrong[0] = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	wrong[1] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	wrong[2] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	wrong[3] = open("/dev/null", O_RDWR | O_CLOEXEC);
	wrong[4] = eventfd(0, EFD_CLOEXEC);
	wrong[5] = memfd_create("x", MFD_CLOEXEC);
	wrong[6] = pair[0];
	wrong[7] = raw_connect(world()->broker_socket);
	wrong[8] = pipes[0];
	wrong[9] = open("/dev/null", O_PATH | O_CLOEXEC);
	fds = unit_fds();
	keeper_fds = process_fds(keeper_of(session, EDU));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const struct bind_request bind = {0};
		const struct message_header header = {DEVICE_BIND, 0, sizeof bind, 5};
		char bytes[sizeof header + sizeof bind];
		int r;

		if (wrong[i] < 0)
			fail_msg("no %s here", kinds[i]);
		/* the library tells before it sends anything, in either order */
		assert_int_equal(vbroker_bind_fds(channel, wrong[i]), VBROKER_NOT_A_DOMAIN);
		assert_int_equal(vbroker_bind_fds(wrong[i], channel), VBROKER_NOT_A_DOMAIN);
		/* and so does the keeper, which trusts no library */
		memcpy(bytes, &header, sizeof header);
		memcpy(bytes + sizeof header, &bind, sizeof bind);
		raw_send(channel, bytes, sizeof bytes, &wrong[i], 1);
		r = raw_reply(channel, DEVICE_BIND, 5);
		if (r != VBROKER_NOT_A_DOMAIN)
			fail_msg("%s: %s", kinds[i], vbroker_refusal_name(r));
		if (i == harmless)
			continue;
		expect_refused(vbroker_device_ping(device), VBROKER_MALFORMED, "sent what nobody asked for");
		vbroker_device_close(device);
		device = device_begin(session, EDU);
		channel = vbroker_device_fd(device);
	}
	assert_int_equal(vbroker_bind_fds(channel, 9999), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(vbroker_bind_fds(-1, channel), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(vbroker_bind_fds(channel, channel), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(vbroker_bind_fds(wrong[0], wrong[1]), VBROKER_NOT_A_DEVICE);
	assert_int_equal(unit_fds(), fds);
	assert_int_equal(process_fds(keeper_of(session, EDU)), keeper_fds);
	/* none of them has done any harm */
	expect_ok(vbroker_device_bind(device, domain));
	use_registers(device);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		close(wrong[i]);
	close(pair[1]);
	close(pipes[1]);
	world_settle();
}

/* What is not a device channel is told from one by what it answers. */
static void only_device_channels_are_adopted(void **state)
{
	struct vbroker_device *device = NULL;
	int session = raw_connect(world()->broker_socket), file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	(void)state;
	expect_refused(vbroker_device_adopt(session, &device), VBROKER_NOT_A_DEVICE, "a session with the broker");
	expect_refused(vbroker_device_adopt(file, &device), VBROKER_NOT_A_DEVICE, NULL);
	expect_refused(vbroker_device_adopt(-1, &device), VBROKER_NOT_A_DEVICE, NULL);
	assert_null(device);
	close(session);
	close(file);
	world_settle();
}

/* ---- sequences ---- */

static void the_order_of_requests(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	int event = eventfd(0, EFD_CLOEXEC);

	(void)state;
	expect_refused(vbroker_device_unbind(device), VBROKER_NOT_BOUND, NULL);
	expect_refused(vbroker_device_reset(device), VBROKER_NOT_BOUND, NULL);
	expect_refused(vbroker_irq_set(device, 2, 0, &event, 1), VBROKER_NOT_BOUND, NULL);
	expect_ok(vbroker_device_bind(device, domain));
	expect_refused(vbroker_device_bind(device, domain), VBROKER_ALREADY_BOUND, NULL);
	use_registers(device);
	expect_ok(vbroker_device_unbind(device));
	expect_refused(vbroker_device_unbind(device), VBROKER_NOT_BOUND, NULL);
	close(event);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/*
 * Another client may open the device a moment after the close, and is not refused because the first lease is still
 * ending.
 */
static void next_client_waits_for_the_release(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		int session = raw_connect(world()->broker_socket), device;
		struct vbroker_session *next = session_begin();
		struct vbroker_device *same;

		raw_hello(session);
		device = raw_open(session, i % 2 ? NVME : TWIN);
		/* by the end of the session, of the process's last copy of the channel, or both at once */
		close(session);
		close(device);
		same = device_begin(next, i % 2 ? NVME : TWIN);
		vbroker_device_close(same);
		vbroker_session_close(next);
	}
	world_settle();
}

static void release_then_open_again(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();

	(void)state;
	for (int i = 0; i < 12; i++) {
		struct vbroker_device *device = device_begin(session, i % 3 ? NVME : EDU);

		expect_ok(vbroker_device_bind(device, domain));
		vbroker_device_close(device);
	}
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* The broker as everybody can look at it: no capability, a filter, no way to more. */
static void the_running_broker(void **state)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	pid_t pids[KEEPERS_MAX];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(process_status(world()->broker, sets[i]), 0);
	assert_int_equal(process_status(world()->broker, "Seccomp"), 2);
	assert_int_equal(process_status(world()->broker, "NoNewPrivs"), 1);
	assert_int_equal(process_status(world()->broker, "Threads"), 1);
	assert_int_equal(keepers(pids), 1);
	assert_int_equal(process_status(pids[0], "Seccomp"), 2);
	assert_int_equal(process_status(pids[0], "NoNewPrivs"), 1);
	assert_int_equal(process_status(pids[0], "Threads"), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(one_lease_from_begin_to_end),
		CASE(host_driver_comes_back),
		CASE(ends_without_release),
		CASE(several_devices_in_one_domain),
		CASE_IN(mappings_by_domain_channels, &few_mappings),
		CASE(two_devices_of_one_group),
		CASE(channel_in_another_process),
		CASE(copies_of_a_channel),
		CASE(wrong_descriptors),
		CASE(only_device_channels_are_adopted),
		CASE(the_order_of_requests),
		CASE(next_client_waits_for_the_release),
		CASE(release_then_open_again),
		CASE(the_running_broker),
	};

	return HARNESS_RUN(argc, argv, "devices", tests);
}
