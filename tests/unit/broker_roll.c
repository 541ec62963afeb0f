/* SPDX-License-Identifier: MIT */
#include "front/roll.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the next broker reads of what this broker has written, whenever this broker was killed. */

#define ENTRIES 8

static struct roll_entry entries[ENTRIES];
static size_t entries_count;

static void note(void *context, struct roll_entry *entry)
{
	(void)context;
	assert_true(entries_count < ENTRIES);
	entries[entries_count++] = *entry;
}

static void forget(void)
{
	while (entries_count > 0)
		peer_clear(&entries[--entries_count].peer);
}

/* As the next broker does. */
static void read_again(const struct roll *roll, struct roll *ret_again)
{
	struct roll_whose whose;

	forget();
	assert_int_equal(roll_open(ret_again, dup(roll->fd), 7, &whose), 0);
	assert_int_equal(whose.role, FRONT_OWNED);
	assert_int_equal(whose.owner, 1000);
	assert_int_equal(whose.pid, 321);
	assert_int_equal(roll_read(ret_again, note, NULL), 0);
}

static gid_t groups[40] = {10, 20, 30};
static char unit[] = "spdk.service";

static void what_is_written_is_read(void **state)
{
	struct session few = {
		.id = 3, .started = 99, .peer = {.uid = 1000, .owner = 1000, .gid = 1001, .pid = 5, .groups_count = 3}};
	struct session many = {.id = 4, .peer = {.uid = 1000, .owner = 1001, .pid = 6, .groups_count = 40}};
	struct roll roll, again;

	(void)state;
	few.peer.groups = many.peer.groups = groups;
	assert_int_equal(roll_make(&roll, 7), 0);
	assert_int_equal(roll_assign(&roll, FRONT_OWNED, 1000, 321), 0);
	assert_int_equal(roll_add(&roll, &few), 0);
	assert_int_equal(roll_add(&roll, &many), 0);
	few.peer.unit = unit;
	roll_unit(&roll, &few);
	roll_watches(&roll, &many);
	read_again(&roll, &again);
	assert_int_equal(entries_count, 2);
	for (size_t i = 0; i < entries_count; i++) {
		const struct peer *peer = &entries[i].peer;

		assert_int_equal(peer->uid, 1000);
		assert_int_equal(peer->owner, entries[i].session == 4 ? 1001 : 1000);
		assert_memory_equal(peer->groups, groups, peer->groups_count * sizeof *groups);
		assert_int_equal(entries[i].watches, entries[i].session == 4);
		if (entries[i].session == 4)
			continue;
		assert_int_equal(entries[i].session, 3);
		assert_int_equal(entries[i].started, 99);
		assert_int_equal(peer->gid, 1001);
		assert_int_equal(peer->pid, 5);
		assert_string_equal(peer->unit, unit);
	}
	forget();
	roll_close(&again);
	roll_close(&roll);
}

static void room_is_used_again(void **state)
{
	struct session session = {.id = 1, .peer = {.uid = 1000}};
	struct roll roll, again;
	uint32_t end;

	(void)state;
	assert_int_equal(roll_make(&roll, 7), 0);
	assert_int_equal(roll_assign(&roll, FRONT_OWNED, 1000, 321), 0);
	assert_int_equal(roll_add(&roll, &session), 0);
	end = roll.end;
	for (int i = 0; i < 100; i++) {
		roll_remove(&roll, &session);
		assert_int_equal(roll_add(&roll, &session), 0);
	}
	assert_int_equal(roll.end, end);
	roll_remove(&roll, &session);
	/* The next broker finds the room, too. */
	read_again(&roll, &again);
	assert_int_equal(entries_count, 0);
	assert_int_equal(roll_add(&again, &session), 0);
	assert_int_equal(again.end, end);
	roll_close(&again);
	roll_close(&roll);
}

/* A kill in the middle of a record: its number is not there yet, and the file may end in it. */
static void half_a_record_is_nobody(void **state)
{
	struct session whole = {.id = 1, .peer = {.uid = 1000}}, half = {.id = 2, .peer = {.uid = 1000}};
	const uint64_t none = 0;
	struct roll roll, again;

	(void)state;
	half.peer.groups = groups;
	half.peer.groups_count = 40;
	assert_int_equal(roll_make(&roll, 7), 0);
	assert_int_equal(roll_assign(&roll, FRONT_OWNED, 1000, 321), 0);
	assert_int_equal(roll_add(&roll, &whole), 0);
	assert_int_equal(roll_add(&roll, &half), 0);
	assert_int_equal(pwrite(roll.fd, &none, sizeof none, (off_t)half.record * 64), sizeof none);
	assert_int_equal(ftruncate(roll.fd, (off_t)half.record * 64 + 60), 0);
	read_again(&roll, &again);
	assert_int_equal(entries_count, 1);
	assert_int_equal(entries[0].session, 1);
	forget();
	roll_close(&again);
	roll_close(&roll);
}

static void other_files_are_no_rolls(void **state)
{
	struct roll roll, again;
	struct roll_whose whose;

	(void)state;
	assert_int_equal(roll_make(&roll, 7), 0);
	assert_int_equal(roll_open(&again, roll.fd, 8, &whose), -EPROTO);
	assert_int_equal(pwrite(roll.fd, "x", 1, 0), 1);
	assert_int_equal(roll_open(&again, roll.fd, 7, &whose), -EPROTO);
	assert_int_equal(ftruncate(roll.fd, 3), 0);
	assert_int_equal(roll_open(&again, roll.fd, 7, &whose), -EPROTO);
	roll_close(&roll);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(room_is_used_again),
		cmocka_unit_test(half_a_record_is_nobody),
		cmocka_unit_test(other_files_are_no_rolls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
