/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "domain_bench.h"
#include "domain_server_bench.h"
#include "fdset.h"
#include "foreign_fd.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "unit.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Packets on a domain channel that a driver should not have sent, and drivers that come and go as they like. */

/* ---- rude drivers ---- */

static void test_strangers(void **state)
{
	struct bench *b = *state;
	int file = open("/dev/null", O_RDWR | O_CLOEXEC), memory = memory_make(PAGE, F_SEAL_SHRINK);
	unsigned int kept = foreign_fd_kept();

	serve_again(b, BUDGET_BYTES, BUDGET_MAPPINGS, 100);
	/* In whatever kind of packet they come */
	driver_begin(&b->driver, DOMAIN_MAP);
	for (int i = 0; i < 8; i++)
		driver_add_map(&b->driver, RW, file, 0, 0, PAGE, ANY);
	assert_int_equal(driver_ask(b), 0);
	packet_request(&b->driver.packet, COMMON_PING, ++b->driver.cookie);
	for (int i = 0; i < 8; i++)
		fdset_add(&b->driver.packet.fds, dup(file));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	assert_int_equal(foreign_fd_kept(), kept + 16);
	/* Memory costs nothing, where memory may come. */
	driver_begin(&b->driver, DOMAIN_MAP);
	for (int i = 0; i < 100; i++)
		fdset_add(&b->driver.packet.fds, dup(memory));
	driver_add_unmap(&b->driver, PAGE, PAGE);
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	assert_int_equal(foreign_fd_kept(), kept + 16);
	packet_request(&b->driver.packet, COMMON_PING, ++b->driver.cookie);
	fdset_add(&b->driver.packet.fds, dup(memory));
	driver_send(&b->driver);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), -EPROTO);
	assert_non_null(strstr(vbroker_detail(), "17 descriptors"));
	close(file);
	close(memory);
}

/* What waits on a channel at its end is not dropped, either. */
static void test_strangers_at_the_end(void **state)
{
	struct bench *b = *state;
	struct pollfd end = {.events = POLLIN};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	end.fd = ends[0];
	for (int i = 0; i < 2; i++) {
		packet_request(&b->driver.packet, COMMON_PING, ++b->driver.cookie);
		if (i == 1)
			fdset_add(&b->driver.packet.fds, ends[1]);
		driver_send(&b->driver);
	}
	serve_again(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
	assert_int_equal(poll(&end, 1, 0), 0);
	close(ends[0]);
}

static void test_wrong_number_of_fds(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), before = unit_fds();

	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	fdset_add(&b->driver.packet.fds, dup(fd));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW | MAP_NEW_MEMORY, -1, 0, 0, PAGE, ANY);
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, PAGE, PAGE);
	fdset_add(&b->driver.packet.fds, dup(fd));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	/* kept: UNMAP takes none */
	assert_int_equal(unit_fds(), before + 1);
	close(fd);
	assert_untouched(b);
}

static void broken(struct bench *b, const void *bytes, size_t size)
{
	assert_int_equal(send(b->driver.fd, bytes, size, 0), size);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), -EPROTO);
	assert_int_equal(packet_receive(b->driver.fd, MSG_DONTWAIT, true, &b->driver.packet), PACKET_RECEIVED);
	assert_int_equal(packet_refusal(&b->driver.packet, &b->driver.detail), REFUSAL_MALFORMED);
	serve_again(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
}

static void test_broken_framing(void **state)
{
	static char long_packet[MESSAGE_SIZE_MAX + 100];
	struct bench *b = *state;
	const struct message_header wrong = {.type = COMMON_PING, .length = 1, .cookie = 1};
	int fd = memory_make(PAGE, F_SEAL_SHRINK);

	/* Also with something mapped */
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), 0);
	broken(b, "x", 1);
	assert_int_equal(bench_mapped(b), 0);
	broken(b, &wrong, sizeof wrong);
	broken(b, long_packet, sizeof long_packet);
	broken(b, "", 0);
	close(fd);
}

static void test_before_hello(void **state)
{
	struct bench *b = *state;
	const struct vbroker_budget budget = {PAGE, 1, 1};

	vbroker_domain_server_close(b->server);
	close(b->driver.fd);
	assert_int_equal(vbroker_domain_serve(b->domain, &budget, &b->server, &b->driver.fd), 0);
	assert_int_equal(unmap_one(b, PAGE, PAGE), REFUSAL_MALFORMED);
	assert_words(&b->driver, "before HELLO");
	packet_request(&b->driver.packet, 99, ++b->driver.cookie);
	assert_int_equal(driver_ask(b), REFUSAL_UNSUPPORTED);
}

static void test_driver_ends(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK);

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), 0);
	/* What it has sent is served before its end is noticed. */
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	driver_send(&b->driver);
	close(b->driver.fd);
	b->driver.fd = -1;
	assert_true(vbroker_domain_server_dispatch(b->server) <= 0);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), -EPIPE);
	assert_non_null(strstr(vbroker_detail(), "closed"));
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	assert_int_equal(bench_mapped(b), 0);
	close(fd);
}

static void test_nothing_to_do(void **state)
{
	struct bench *b = *state;

	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(vbroker_domain_server_events(b->server), POLLIN);
	assert_true(vbroker_domain_server_fd(b->server) >= 0);
	vbroker_domain_server_close(NULL);
}

static void test_pipelined(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	uint64_t first = b->driver.cookie + 1;

	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, 8 * PAGE);
	driver_send(&b->driver);
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, -1, 1, 0, PAGE, 16 * PAGE);
	driver_send(&b->driver);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, 8 * PAGE, PAGE);
	driver_add_unmap(&b->driver, 16 * PAGE, PAGE);
	driver_send(&b->driver);
	/* One at a time */
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(bench_mapped(b), 1);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(bench_mapped(b), 2);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(bench_mapped(b), 0);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_MAP, first), 0);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_MAP, first + 1), 0);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_UNMAP, first + 2), 0);
	close(fd);
}

/* It is not read from either, until it reads; then all its replies are there, in order. */
static void test_driver_does_not_read(void **state)
{
	struct bench *b = *state;
	uint64_t first = b->driver.cookie + 1, served = 0;

	serve_again(b, 100 * PAGE, 100, 100);
	first = b->driver.cookie + 1;
	while (vbroker_domain_server_events(b->server) == POLLIN) {
		driver_begin(&b->driver, DOMAIN_ALLOC);
		driver_add_alloc(&b->driver, RW, PAGE);
		for (int i = 0; i < 200; i++)
			driver_add_alloc(&b->driver, RW, UINT64_MAX);
		driver_send(&b->driver);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
		served++;
		assert_true(served < 10000);
	}
	assert_int_equal(vbroker_domain_server_events(b->server), POLLOUT);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, 0, UINT64_C(1) << 40);
	driver_send(&b->driver);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(vbroker_domain_server_events(b->server), POLLOUT);
	assert_int_equal(bench_mapped(b), served < 100 ? served : 100);
	for (uint64_t i = 0; i < served; i++) {
		assert_int_equal(driver_receive(&b->driver, DOMAIN_ALLOC, first + i), 0);
		assert_int_equal(b->driver.packet.fds.count, i < 100);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	}
	assert_int_equal(driver_receive(&b->driver, DOMAIN_UNMAP, first + served), 0);
	assert_int_equal(bench_mapped(b), 0);
	/* One that never reads costs the reply that waits. */
	while (vbroker_domain_server_events(b->server) == POLLIN) {
		packet_request(&b->driver.packet, DOMAIN_DESCRIBE, ++b->driver.cookie);
		driver_send(&b->driver);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	}
}

/* ---- what a driver must not learn ---- */

/* Where things are in the owner's memory */
static void test_no_addresses_in_details(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};
	char address[32];

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &result), 0);
	/* All but its last digits */
	snprintf(address, sizeof address, "%#llx", (unsigned long long)bench_mapping(b, result.iova)->vaddr);
	address[strlen(address) - 4] = '\0';
	assert_int_equal(map_one(b, RW, -1, result.handle, 7, PAGE, ANY, NULL), REFUSAL_IOVA_INVALID);
	assert_null(strstr(b->driver.detail.text, address));
	assert_words(&b->driver, "offset 0x7");
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE + 1, ANY, NULL), REFUSAL_IOVA_INVALID);
	assert_null(strstr(b->driver.detail.text, address));
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, PAGE + 1, NULL), REFUSAL_IOVA_INVALID);
	assert_null(strstr(b->driver.detail.text, address));
	fake_kernel_fail(FAKE_MAP, EFAULT);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, ANY, NULL), -EFAULT);
	fake_kernel_fail(FAKE_MAP, 0);
	assert_null(strstr(b->driver.detail.text, address));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_strangers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strangers_at_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_number_of_fds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_framing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_before_hello, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_driver_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_to_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pipelined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_driver_does_not_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_addresses_in_details, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
