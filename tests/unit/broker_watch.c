/* SPDX-License-Identifier: MIT */
#include "audit/audit.h"
#include "audit/watch.h"
#include "base/limits.h"
#include "log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* Watchers as objects, without a broker around them: who sees what, and what becomes of one who does not read. */

#define SESSIONS 16

static struct broker broker;
static struct session sessions[SESSIONS];
static struct front fronts[SESSIONS]; /* one for each, so that each has a socket of its own */
static int clients[SESSIONS];
static struct packet packet;

static int never(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	(void)userdata;
	return 0;
}

static int begin(void **state)
{
	(void)state;
	packet_init(&broker.outgoing);
	memset(&broker, 0, offsetof(struct broker, buffers));
	LIST_INIT(&broker.watchers);
	packet_init(&broker.change);
	packet_init(&packet);
	assert_true(sd_event_new(&broker.event) >= 0);
	audit_init(&broker.audit, NULL);
	/* What goes to stderr is not looked at here. */
	log_set_level(LOG_EMERG);
	for (size_t i = 0; i < SESSIONS; i++) {
		int pair[2];

		unit_pair(pair);
		fcntl(pair[0], F_SETFL, O_NONBLOCK);
		fronts[i] = (struct front){.broker = &broker, .control = pair[0], .roll = {.fd = -1}};
		STAILQ_INIT(&fronts[i].unsent);
		assert_true(sd_event_add_io(broker.event, &fronts[i].io, pair[0], EPOLLIN, never, NULL) >= 0);
		sessions[i] = (struct session){
			.broker = &broker, .front = &fronts[i], .peer = {.uid = 1000, .owner = 1000}, .id = i + 1};
		clients[i] = pair[1];
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < SESSIONS; i++) {
		watch_end(&sessions[i]);
		sd_event_source_disable_unref(fronts[i].io);
		sd_event_source_disable_unref(fronts[i].timer);
		close(fronts[i].control);
		close(clients[i]);
	}
	assert_true(LIST_EMPTY(&broker.watchers));
	broker.stopping = true;
	audit_clear(&broker);
	sd_event_unref(broker.event);
	packet_clear(&packet);
	return 0;
}

static int watch(struct session *session)
{
	struct detail detail;

	return watch_begin(session, NULL, NULL, &detail);
}

/* The next event of client I, or NULL. */
static const struct change_event *next(size_t i)
{
	if (packet_receive(clients[i], MSG_DONTWAIT, true, &packet) != PACKET_RECEIVED)
		return NULL;
	assert_int_equal(packet.header.type, BROKER_EVENT_CHANGE);
	assert_int_equal(packet.header.flags, MESSAGE_EVENT);
	assert_int_equal(packet.header.cookie, i + 1);
	return packet_body(&packet, sizeof(struct change_event));
}

static void record(enum change_kind kind, uid_t uid)
{
	const struct iommu_group group = {.number = 7};
	const struct audit_event event = {
		.kind = kind,
		.device = "0000:01:00.0",
		.group = &group,
		.who = {uid, 4711, "spdk.service"},
		.session = 3,
		.rule = "\"storage\" (a.conf:1)",
		.refusal = kind == CHANGE_DENIAL ? REFUSAL_DEVICE_BUSY : 0,
		.duration_us = 99,
	};

	audit_record(&broker, &event, "words");
}

static void an_event_has_it_all(void **state)
{
	const struct change_event *change;

	(void)state;
	assert_int_equal(watch(&sessions[0]), 0);
	record(CHANGE_DENIAL, 1000);
	change = next(0);
	assert_non_null(change);
	assert_int_equal(packet.header.length, sizeof *change);
	assert_true(change->time_us > 1500000000000000);
	assert_int_equal(change->missed, 0);
	assert_int_equal(change->kind, CHANGE_DENIAL);
	assert_int_equal(change->level, LOG_NOTICE);
	assert_int_equal(change->refusal, REFUSAL_DEVICE_BUSY);
	assert_int_equal(change->group, 7);
	assert_int_equal(change->session, 3);
	assert_int_equal(change->duration_us, 99);
	assert_int_equal(change->count, 1);
	assert_int_equal(change->who.uid, 1000);
	assert_int_equal(change->who.pid, 4711);
	assert_string_equal(change->who.unit, "spdk.service");
	assert_string_equal(change->device, "0000:01:00.0");
	assert_string_equal(change->rule, "\"storage\" (a.conf:1)");
	assert_string_equal(change->message, "words");
	audit_record(&broker, &(struct audit_event){.kind = CHANGE_ADD, .refusal = -EIO}, "words");
	change = next(0);
	assert_int_equal(change->group, GROUP_NONE);
	assert_int_equal(change->refusal, REFUSAL_FAILED);
}

static void others_see_no_denials_and_no_rules(void **state)
{
	(void)state;
	sessions[1].peer.uid = 1001;
	sessions[2].peer.uid = 0;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(watch(&sessions[i]), 0);
	record(CHANGE_DENIAL, 1000);
	assert_non_null(next(0));
	assert_null(next(1));
	assert_non_null(next(2));
	record(CHANGE_GRANT, 1000);
	assert_string_equal(next(0)->rule, "\"storage\" (a.conf:1)");
	assert_string_equal(next(1)->rule, "");
	assert_string_equal(next(2)->rule, "\"storage\" (a.conf:1)");
	/* Not being shown something is not missing it. */
	assert_int_equal(sessions[1].watch.missed, 0);
}

static void only_watchers_get_any(void **state)
{
	(void)state;
	assert_int_equal(watch(&sessions[1]), 0);
	assert_int_equal(watch(&sessions[1]), 0);
	record(CHANGE_GRANT, 1000);
	assert_null(next(0));
	assert_non_null(next(1));
	assert_null(next(1));
	watch_end(&sessions[1]);
	record(CHANGE_GRANT, 1000);
	assert_null(next(1));
}

static void a_user_has_some_of_them(void **state)
{
	struct detail detail = {0};

	(void)state;
	for (size_t i = 0; i < WATCHERS_PER_USER; i++)
		assert_int_equal(watch(&sessions[i]), 0);
	assert_int_equal(watch_begin(&sessions[WATCHERS_PER_USER], NULL, NULL, &detail), REFUSAL_QUOTA);
	assert_string_equal(detail.text, "uid 1000 has 8 sessions that watch, the limit");
	sessions[WATCHERS_PER_USER + 1].peer.uid = sessions[WATCHERS_PER_USER + 1].peer.owner = 1001;
	assert_int_equal(watch(&sessions[WATCHERS_PER_USER + 1]), 0);
	watch_end(&sessions[0]);
	assert_int_equal(watch(&sessions[WATCHERS_PER_USER]), 0);
}

static void who_does_not_read_is_told_how_much_it_missed(void **state)
{
	const struct change_event *change;
	uint64_t read = 0, sent = 0;

	(void)state;
	assert_int_equal(watch(&sessions[0]), 0);
	assert_int_equal(watch(&sessions[1]), 0);
	while (sessions[0].watch.missed < 5) {
		record(CHANGE_GRANT, 1000);
		sent++;
		assert_non_null(next(1)); /* nobody else misses anything */
		assert_true(sent < 10000);
	}
	assert_int_equal(broker.changes_missed, 5);
	/* No room yet. */
	watch_catch_up(&sessions[0]);
	assert_int_equal(sessions[0].watch.missed, 5);
	while ((change = next(0))) {
		assert_int_equal(change->missed, 0);
		read++;
	}
	assert_int_equal(read, sent - 5);
	/* Told as soon as there is room, also if nothing more happens. */
	watch_catch_up(&sessions[0]);
	change = next(0);
	assert_int_equal(change->kind, CHANGE_LOST);
	assert_int_equal(change->missed, 5);
	assert_int_equal(sessions[0].watch.missed, 0);
	watch_catch_up(&sessions[0]);
	assert_null(next(0));
	/* Or by the next event. */
	sessions[0].watch.missed = 2;
	record(CHANGE_RELEASE, 1000);
	change = next(0);
	assert_int_equal(change->kind, CHANGE_RELEASE);
	assert_int_equal(change->missed, 2);
	assert_int_equal(sessions[0].watch.missed, 0);
}

/* Events that the front could not send are counted like those that it did not get. */
static void the_front_says_what_a_client_missed(void **state)
{
	const struct change_event *change;

	(void)state;
	watch_missed(&sessions[0], 3);
	assert_null(next(0));
	assert_int_equal(watch(&sessions[0]), 0);
	watch_missed(&sessions[0], 3);
	assert_int_equal(broker.changes_missed, 3);
	change = next(0);
	assert_int_equal(change->kind, CHANGE_LOST);
	assert_int_equal(change->missed, 3);
}

/* The next broker has nothing but the roll. */
static void a_watch_outlives_its_broker(void **state)
{
	const struct change_event *change;

	(void)state;
	assert_int_equal(watch(&sessions[0]), 0);
	watch_end(&sessions[0]);
	watch_adopt(&sessions[0]);
	change = next(0);
	assert_non_null(change);
	assert_int_equal(change->kind, CHANGE_LOST);
	assert_int_equal(change->missed, 0);
	record(CHANGE_GRANT, 1000);
	assert_int_equal(next(0)->kind, CHANGE_GRANT);
}

/* A watcher that has gone is none of this file's business: its session ends when the loop hears of it. */
static void a_watcher_that_is_gone_harms_nobody(void **state)
{
	(void)state;
	assert_int_equal(watch(&sessions[0]), 0);
	assert_int_equal(watch(&sessions[1]), 0);
	close(clients[1]);
	clients[1] = -1;
	record(CHANGE_GRANT, 1000);
	assert_non_null(next(0));
	assert_int_equal(sessions[1].watch.missed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_has_it_all, begin, end),
		cmocka_unit_test_setup_teardown(others_see_no_denials_and_no_rules, begin, end),
		cmocka_unit_test_setup_teardown(only_watchers_get_any, begin, end),
		cmocka_unit_test_setup_teardown(a_user_has_some_of_them, begin, end),
		cmocka_unit_test_setup_teardown(who_does_not_read_is_told_how_much_it_missed, begin, end),
		cmocka_unit_test_setup_teardown(the_front_says_what_a_client_missed, begin, end),
		cmocka_unit_test_setup_teardown(a_watch_outlives_its_broker, begin, end),
		cmocka_unit_test_setup_teardown(a_watcher_that_is_gone_harms_nobody, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
