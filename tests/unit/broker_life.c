/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "base/loop.h"
#include "broker_bench.h"
#include "connection.h"
#include "lease/group.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "request/session.h"
#include "service/service.h"
#include "state/broker.h"
#include "state/inventory.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

/* The life of a lease: OPEN, the end of its session, of its group, of the broker; and access = direct. */

/* ---- the life of a lease ---- */

static void lease_and_release(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	assert_int_equal(broker.leases_count, 1);
	assert_int_equal(group(1)->state, GROUP_HELD);
	assert_int_equal(group(1)->keeper->pid, 4711);
	assert_int_equal(group(1)->holder.pid, getpid());
	keeper_released(keeper, A, 0);
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	close(keeper);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
	assert_true(client_alive(client));
	close(client);
	turn();
	assert_int_equal(broker.sessions_count, 0);
	assert_true(RB_EMPTY(&broker.users.tree));
}

/*
 * A short lease once put off the next spare keeper by a second: every OPEN in that second had to wait for the start
 * of a keeper of its own.
 */
static void short_lease_does_not_delay_the_spare_keeper(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), enabled = 0;
	uint64_t due = UINT64_MAX;

	(void)state;
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_int_equal(sd_event_source_get_enabled(broker.spare_timer, &enabled) >= 0, 1);
	assert_int_equal(sd_event_source_get_time(broker.spare_timer, &due), 0);
	assert_true(broker.spare || (enabled && due < loop_now(broker.event) + KEEPER_RETRY_US / 2));
	close(client);
	turn();
}

static void second_device_goes_to_the_same_keeper(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), other = client_new();

	(void)state;
	client_open(other, B);
	assert_int_equal(client_answer(other, NULL), REFUSAL_DEVICE_BUSY);
	client_gets(client, B, keeper, false);
	keeper_released(keeper, A, 1);
	assert_int_equal(group(1)->state, GROUP_HELD);
	keeper_released(keeper, B, 0);
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	close(keeper);
	close(client);
	close(other);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
}

/* The keeper sees the end of what the broker sends, which is how it is told to let go. */
static void end_of_session_ends_the_lease(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	close(client);
	turn();
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_END);
	assert_int_equal(group(2)->state, GROUP_RELEASING);
	/* not before it has let go */
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	memory_host->failures[MEMORY_GROUP] = EBUSY;
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	memory_host->failures[MEMORY_GROUP] = 0;
	for (int i = 0; i < 50 && group(2)->state != GROUP_FREE; i++)
		turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
	assert_string_equal(memory_host->devices[2].device.driver, "nvme");
	assert_string_equal(memory_host->devices[2].override, "");
}

/*
 * An OPEN during a release waits, and OPENs go on in the order of asking; the second client is told that the first
 * was faster.
 */
static void open_waits_for_a_release(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), spare = keeper_start();
	int first = client_new(), second = client_new();

	(void)state;
	close(client);
	turn();
	client_open(first, C);
	client_open(second, C);
	assert_int_equal(client_answer(first, NULL), -EAGAIN);
	assert_int_equal(client_answer(second, NULL), -EAGAIN);
	close(keeper);
	turn();
	close(keeper_take_lease(spare, C, true));
	assert_int_equal(client_answer(second, NULL), REFUSAL_DEVICE_BUSY);
	assert_int_equal(client_answer(first, NULL), -EAGAIN);
	keeper_accept(spare);
	assert_int_equal(client_answer(first, NULL), 0);
	packet_clear(&packet);
	close(first);
	close(second);
	close(spare);
	turn();
}

/* The end of the holder's socket and the next OPEN may reach the loop in one turn, the OPEN first. */
static void open_served_before_the_end_of_the_holder_waits(void **state)
{
	int keeper = keeper_start(), unrelated = client_new(), client = client_with(C, keeper);
	struct open_request open = {.name = C};
	int next = client_new();

	(void)state;
	client_send(next, BROKER_OPEN, &open, sizeof open);
	close(client);
	turn();
	assert_int_equal(client_answer(next, NULL), -EAGAIN);
	close(next);
	close(unrelated);
	turn();
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
}

static void waiting_client_may_leave(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), waiting = client_new();

	(void)state;
	close(client);
	turn();
	client_open(waiting, C);
	close(waiting);
	turn();
	assert_int_equal(broker.sessions_count, 0);
	assert_true(TAILQ_EMPTY(&group(2)->waiters));
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
}

/* The driver of C that a list shows. */
static const char *listed_driver(int client)
{
	static char driver[DRIVER_NAME_SIZE];
	const struct listing_request request = {0};
	const struct device_record *record;
	const int looks = memory_host->looks;

	client_send(client, BROKER_LIST, &request, sizeof request);
	turn();
	assert_int_equal(memory_host->looks, looks);
	assert_int_equal(client_answer(client, NULL), 0);
	assert_int_equal(packet.header.length, sizeof(struct listing_reply) + 4 * sizeof *record);
	record = (const void *)(packet.payload + sizeof(struct listing_reply));
	assert_string_equal(record[2].name, C);
	memcpy(driver, record[2].driver, sizeof driver);
	return driver;
}

/* 4,000 virtual functions in a list were 12,000 looks at sysfs, while everybody else had to wait. */
static void lists_do_not_look_at_the_host(void **state)
{
	int watching = client_new(), keeper = keeper_start(), client;

	(void)state;
	assert_string_equal(listed_driver(watching), "nvme");
	client = client_with(C, keeper);
	assert_string_equal(listed_driver(watching), "vfio-pci");
	close(client);
	close(keeper);
	for (int i = 0; i < 50 && group(2)->state != GROUP_FREE; i++)
		turn();
	assert_string_equal(listed_driver(watching), "nvme");
	/* Root unbinds it, and the kernel tells. */
	memory_host->devices[2].device.driver[0] = '\0';
	memory_host_tell(HOST_ADDED, C);
	assert_string_equal(listed_driver(watching), "");
	strcpy(memory_host->devices[2].device.driver, "nvme");
	memory_host_tell(HOST_MISSED, "");
	assert_string_equal(listed_driver(watching), "nvme");
	close(watching);
	turn();
}

/* The client has gone before the keeper answered: the lease ends without having begun. */
static void client_leaves_before_the_answer(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	close(client);
	turn();
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	keeper_accept(keeper);
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
}

/* The group is taken back while the keeper's answer is on the way: the keeper has let go before the broker reads it. */
static void lease_taken_back_before_the_answer_is_revoked(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	group_release(group(1));
	keeper_accept(keeper);
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_int_equal(client_answer(client, NULL), REFUSAL_REVOKED);
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
	close(client);
	turn();
}

/* ---- access = direct ---- */

/* The holder of NAME has the VFIO device itself. */
static void hand_out(const char *name)
{
	struct device *device = inventory_find(&broker.inventory, name);

	device->lease->direct = true;
	device->group->direct = true;
}

static const struct release_report unsure = {.reason = ENDED_RELEASED, .reset = RESET_UNSURE};

/* Whether the holder of the VFIO device has closed it, only the end of the whole group can tell. */
static void direct_lease_ends_with_its_whole_group(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	client_gets(client, B, keeper, false);
	hand_out(A);
	keeper_reports(keeper, A, &unsure, 1);
	turn();
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	keeper_released(keeper, B, 0);
	close(keeper);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
	close(client);
	turn();
}

/* The holder's other devices may still reach the device by DMA. */
static void direct_lease_is_not_over_while_its_holder_has_another(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), other = keeper_start();

	(void)state;
	client_gets(client, C, other, true);
	hand_out(A);
	keeper_reports(keeper, A, &unsure, 0);
	close(keeper);
	turn();
	for (int i = 0; i < 50; i++)
		tick(1000);
	assert_int_equal(group(1)->state, GROUP_RESTORING);
	keeper_released(other, C, 0);
	close(other);
	for (int i = 0; i < 2000 && group(1)->state != GROUP_FREE; i++)
		tick(1000);
	assert_int_equal(group(1)->state, GROUP_FREE);
	assert_false(group(1)->direct);
	close(client);
	turn();
}

/* A pid is advice while it is the holder's; and a pid that may be somebody else's is none. */
static void process_to_end_is_named_while_it_is_there(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);
	char text[GROUP_BLOCKER_SIZE], advice[32];

	(void)state;
	hand_out(A);
	snprintf(advice, sizeof advice, "kill %d", getpid());
	assert_non_null(strstr(group_blocker(group(1), text), advice));
	group(1)->holder.pid = (uint32_t)getppid();
	assert_null(strstr(group_blocker(group(1), text), "kill"));
	assert_non_null(strstr(text, "end the processes of uid"));
	keeper_reports(keeper, A, &unsure, 0);
	close(keeper);
	close(client);
	turn();
}

/* ---- queues ---- */

/* The bound of what is sent by FD and not read. */
static int queue_of(int fd)
{
	int bytes = -1;
	socklen_t size = sizeof bytes;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);
	return bytes;
}

/* The front's end of a client's connection. The front is in this process, too; nobody else has the broker's name. */
static int served_connection(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_un name = {0};
		socklen_t size = sizeof name, length = sizeof(int);
		int listens = 1;

		if (getsockname(fd, (struct sockaddr *)&name, &size) == 0 && name.sun_family == AF_UNIX &&
			strcmp(name.sun_path, broker_address.sun_path) == 0 &&
			getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && !listens)
			return fd;
	}
	return -1;
}

/* A host for fast networks has net.core.wmem_default = 16 MiB: slow readers cost a front or a keeper no more there. */
static void unread_packets_are_few_on_any_host(void **state)
{
	int keeper = keeper_start(), client = client_new(), device;

	(void)state;
	assert_int_equal(queue_of(served_connection()), CONNECTION_QUEUE);
	assert_int_equal(queue_of(LIST_FIRST(&broker.fronts)->control), CONNECTION_QUEUE);
	client_open(client, A);
	device = keeper_take_lease(keeper, A, true);
	assert_int_equal(queue_of(device), CONNECTION_QUEUE);
	close(device);
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	fdset_clear(&packet.fds);
	keeper_released(keeper, A, 0);
	close(keeper);
	close(client);
	turn();
}

/* ---- whose a session is ---- */

/* A client with another uid; whether it is let in. */
static bool is_let_in(uid_t uid, int *ret_client)
{
	assert_int_equal(chmod(directory, 0711), 0);
	assert_int_equal(chmod(broker_address.sun_path, 0777), 0);
	/* The broker is in this process, and starts fronts meanwhile. */
	assert_int_equal(chmod(front_address.sun_path, 0777), 0);
	assert_int_equal(seteuid(uid), 0);
	*ret_client = client_new();
	assert_int_equal(seteuid(0), 0);
	return !(packet.header.flags & MESSAGE_REFUSED);
}

static unsigned int fronts_in_use(void)
{
	const struct front *front;
	unsigned int count = 0;

	LIST_FOREACH(front, &broker.fronts, in_broker)
		count += front->role == FRONT_OWNED;
	return count;
}

/* Subordinate uids have the limits of their owner, together. */
static void limits_count_people(void **state)
{
	static const struct owner_range alices = {.first = 100000, .count = 65536, .owner = 1000};
	int clients[8], other;

	(void)state;
	if (getuid() != 0) {
		print_message("needs root: it becomes somebody else\n");
		skip();
	}
	/* Before the policy is read, nobody knows whose a uid is. */
	assert_true(is_let_in(100000, &clients[0]));
	assert_int_equal(owners_add(&broker.policy->owners, &alices), 0);
	session_find_owners(&broker);
	assert_int_equal(user_sessions(&broker.users, 100000), 0);
	for (uid_t i = 1; i < 8; i++)
		assert_true(is_let_in(i == 1 ? 1000 : 100000 + i, &clients[i]));
	assert_int_equal(user_sessions(&broker.users, 1000), 8);
	assert_int_equal(fronts_in_use(), 2);
	assert_false(is_let_in(100009, &other));
	close(other);
	assert_false(is_let_in(1000, &other));
	close(other);
	assert_true(is_let_in(1001, &other));
	close(other);
	for (int i = 0; i < 8; i++)
		close(clients[i]);
	turn();
	assert_int_equal(user_sessions(&broker.users, 1000), 0);
}

/* ---- before the policy says yes ---- */

static void expect_operations(int client, const char *name, bool expected)
{
	struct check_request check = {0};

	memcpy(check.name, name, strlen(name));
	client_send(client, BROKER_CHECK, &check, sizeof check);
	turn();
	assert_int_equal(TAILQ_EMPTY(&broker.operations), !expected);
}

/* Without a rule nobody has a helper look at a device, be it by OPEN or by CHECK. */
static void nobody_looks_before_the_policy_says_yes(void **state)
{
	int client;

	(void)state;
	end_broker();
	start_broker("[deny c]\naddress = " C "\nuser = *\n[allow a]\naddress = " A "\nuser = *\n");
	client = client_new();
	hangs[0] = (struct hang){HELPER_LOOK, C};
	hangs[1] = (struct hang){HELPER_LOOK, B};
	hangs[2] = (struct hang){HELPER_LOOK, A};
	client_open(client, C);
	assert_int_equal(client_answer(client, NULL), REFUSAL_DENIED);
	client_open(client, B);
	assert_int_equal(client_answer(client, NULL), REFUSAL_DENIED);
	expect_operations(client, C, false);
	assert_int_equal(client_answer(client, NULL), 0);
	expect_operations(client, B, false);
	assert_int_equal(client_answer(client, NULL), 0);
	expect_operations(client, A, true);
	close(client);
	hangs[2].name = NULL;
	turn();
}

/* A burst of as many devices as a job may want passes, and no user keeps helpers busy by leases. */
static void leases_are_rationed(void **state)
{
	int client, keeper;

	(void)state;
	if (getuid() != 0) {
		print_message("needs root: it becomes somebody else\n");
		skip();
	}
	assert_true(is_let_in(1000, &client));
	for (int i = 0; i < 100; i++)
		rate_take(&broker.users.tree.rbh_root->opens, OPENS_PER_MINUTE, loop_now(event));
	keeper = keeper_start();
	client_gets(client, A, keeper, true);
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	for (int i = 101; i < OPENS_PER_MINUTE; i++)
		rate_take(&broker.users.tree.rbh_root->opens, OPENS_PER_MINUTE, loop_now(event));
	client_open(client, A);
	assert_int_equal(client_answer(client, NULL), REFUSAL_QUOTA);
	close(client);
	turn();
}

/* ---- the end ---- */

static void stop_waits_for_keepers(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), spare = keeper_start();

	(void)state;
	service_stop(&broker);
	turn();
	assert_int_equal(sd_event_get_state(event), SD_EVENT_INITIAL);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	assert_int_equal(client_answer(client, NULL), -EPIPE);
	close(keeper);
	while (sd_event_get_state(event) != SD_EVENT_FINISHED)
		tick(100000);
	assert_string_equal(memory_host->devices[2].device.driver, "nvme");
	close(client);
	close(spare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(lease_and_release),
		CASE(short_lease_does_not_delay_the_spare_keeper),
		CASE(second_device_goes_to_the_same_keeper),
		CASE(end_of_session_ends_the_lease),
		CASE(open_waits_for_a_release),
		CASE(open_served_before_the_end_of_the_holder_waits),
		CASE(waiting_client_may_leave),
		CASE(lists_do_not_look_at_the_host),
		CASE(client_leaves_before_the_answer),
		CASE(lease_taken_back_before_the_answer_is_revoked),
		CASE(direct_lease_ends_with_its_whole_group),
		CASE(direct_lease_is_not_over_while_its_holder_has_another),
		CASE(process_to_end_is_named_while_it_is_there),
		CASE(nobody_looks_before_the_policy_says_yes),
		CASE(leases_are_rationed),
		CASE(limits_count_people),
		CASE(unread_packets_are_few_on_any_host),
		CASE(stop_waits_for_keepers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
