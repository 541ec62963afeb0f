/* SPDX-License-Identifier: MIT */
#include "base/fair_queue.h"
#include "base/limits.h"
#include "unit.h"

#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

/* Two users with connections on which there is always something to read. */
#define CROWD 100

struct connection {
	struct fair_queue_place place;
	int ends[2];
	unsigned int served;
	bool leaves; /* at its next turn */
};

static struct world {
	sd_event *event;
	struct fair_queue queue, other_lane;
	struct connection crowd[CROWD], other;
	unsigned int turns; /* since the other one was served */
	unsigned int longest;
	uint32_t events; /* of the last turn */
} world;

static void serve(void *owner, uint32_t events)
{
	struct connection *connection = owner;

	connection->served++;
	world.events = events;
	world.turns = connection == &world.other ? 0 : world.turns + 1;
	if (world.turns > world.longest)
		world.longest = world.turns;
	if (connection->leaves)
		fair_queue_leave(&connection->place);
}

static void enter(struct fair_queue *queue, struct connection *connection)
{
	unit_pair(connection->ends);
	assert_int_equal(write(connection->ends[1], "x", 1), 1);
	assert_int_equal(
		fair_queue_enter(queue, world.event, &connection->place, connection->ends[0], serve, connection), 0);
}

static void leave(struct connection *connection)
{
	fair_queue_leave(&connection->place);
	fair_queue_leave(&connection->place);
	close(connection->ends[0]);
	close(connection->ends[1]);
}

static void run(int turns)
{
	for (int i = 0; i < turns; i++)
		assert_true(sd_event_run(world.event, 0) >= 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	assert_true(sd_event_new(&world.event) >= 0);
	for (size_t i = 0; i < CROWD; i++)
		enter(&world.queue, &world.crowd[i]);
	enter(&world.other_lane, &world.other);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < CROWD; i++)
		leave(&world.crowd[i]);
	leave(&world.other);
	assert_int_equal(world.queue.own + world.queue.shared + world.other_lane.own, 0);
	assert_null(world.queue.source);
	sd_event_unref(world.event);
	return 0;
}

/* It used to be every hundredth turn. */
static void crowd_does_not_crowd_out(void **state)
{
	(void)state;
	run(600);
	assert_in_range(world.longest, 1, FAIR_QUEUE_OWN_TURNS + 1);
	assert_true(world.other.served >= 600 / (FAIR_QUEUE_OWN_TURNS + 3));
}

static void all_of_the_crowd_are_served(void **state)
{
	(void)state;
	run(CROWD * (FAIR_QUEUE_OWN_TURNS + 3));
	for (size_t i = 0; i < CROWD; i++)
		assert_true(world.crowd[i].served > 0);
}

static void place_wakes_for_its_events_and_for_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(fair_queue_wait(&world.crowd[i].place, 0), 0);
	assert_int_equal(fair_queue_wait(&world.other.place, 0), 0);
	assert_int_equal(sd_event_run(world.event, 0), 0);
	assert_int_equal(fair_queue_wait(&world.crowd[CROWD - 1].place, EPOLLOUT), 0);
	assert_true(sd_event_run(world.event, 0) > 0);
	assert_int_equal(world.crowd[CROWD - 1].served, 1);
	assert_int_equal(world.events, EPOLLOUT);
	/* Nothing is waited for, and the end is heard of. */
	assert_int_equal(fair_queue_wait(&world.crowd[CROWD - 1].place, 0), 0);
	assert_int_equal(sd_event_run(world.event, 0), 0);
	shutdown(world.crowd[CROWD - 1].ends[1], SHUT_RDWR);
	assert_true(sd_event_run(world.event, 0) > 0);
	assert_true(world.events & EPOLLHUP);
}

/* Sessions end in their own turn, the last of a queue too. */
static void sessions_may_end_in_their_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < CROWD; i++)
		world.crowd[i].leaves = true;
	run(3 * CROWD);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(world.crowd[i].served, 1);
	assert_null(world.queue.source);
	/* and the queue is as good as new */
	for (size_t i = 0; i < CROWD; i++) {
		leave(&world.crowd[i]);
		world.crowd[i].leaves = false;
		enter(&world.queue, &world.crowd[i]);
	}
	run(10);
}

static void no_descriptor_is_lost(void **state)
{
	const int limit = dup(0);
	struct connection bad = {.ends = {limit, -1}};

	(void)state;
	close(limit);
	/* A closed one cannot be waited for. */
	assert_true(fair_queue_enter(&world.queue, world.event, &bad.place, limit, serve, &bad) < 0);
	fair_queue_leave(&bad.place);
	assert_int_equal(world.queue.own + world.queue.shared, CROWD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(crowd_does_not_crowd_out, setup, teardown),
		cmocka_unit_test_setup_teardown(all_of_the_crowd_are_served, setup, teardown),
		cmocka_unit_test_setup_teardown(place_wakes_for_its_events_and_for_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(sessions_may_end_in_their_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(no_descriptor_is_lost, setup, teardown),
	};
	int fds = unit_fds(), r = cmocka_run_group_tests_name("broker_lane", tests, NULL, NULL);

	return unit_fds() == fds ? r : 1;
}
