/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <stdio.h>

/* WATCH: what happens is told in order, to all who watch, and nobody waits for one who does not read. */

static struct vbroker_session *watcher_begin(void)
{
	struct vbroker_session *session = session_begin();

	expect_ok(vbroker_session_watch(session));
	return session;
}

/* The next event, which is of this kind and about this device (NULL: whichever). */
static struct vbroker_change expect_change(struct vbroker_session *watcher, int kind, const char *device)
{
	struct vbroker_change change = {0};
	int r = vbroker_session_event(watcher, 10000, &change);

	if (r != 0)
		fail_msg("%s of %s: nothing came (%d)", vbroker_change_name(kind), device ? device : "anything", r);
	if ((int)change.kind != kind || (device && strcmp(change.device, device) != 0))
		fail_msg("%s of %s wanted, %s of %s came: %s", vbroker_change_name(kind), device ? device : "anything",
			vbroker_change_name((int)change.kind), change.device, change.message);
	return change;
}

static void expect_silence(struct vbroker_session *watcher)
{
	struct vbroker_change change;
	int r = vbroker_session_event(watcher, 100, &change);

	if (r != -EAGAIN)
		fail_msg("not asked for: %d %s", r, r == 0 ? change.message : "");
}

static void told_in_order(void **state)
{
	struct vbroker_session *watcher = watcher_begin(), *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *device = device_begin(session, EDU), *none;
	struct vbroker_change change;

	(void)state;
	change = expect_change(watcher, VBROKER_CHANGE_GRANT, EDU);
	assert_int_equal(change.who.pid, getpid());
	assert_int_equal(change.who.uid, getuid());
	assert_true(change.duration_us > 0 && change.session > 0);
	assert_int_equal(change.missed, 0);
	assert_int_equal(change.group, 1);
	expect_ok(vbroker_device_bind(device, domain));
	change = expect_change(watcher, VBROKER_CHANGE_BIND, EDU);
	assert_true(change.duration_us > 0);
	expect_ok(vbroker_device_unbind(device));
	expect_change(watcher, VBROKER_CHANGE_UNBIND, EDU);
	expect_refused(vbroker_device_open(session, LOCKED, &none), VBROKER_DENIED, NULL);
	change = expect_change(watcher, VBROKER_CHANGE_DENIAL, LOCKED);
	assert_int_equal(change.refusal, VBROKER_DENIED);
	assert_non_null(strstr(change.message, LOCKED " refused to uid "));
	vbroker_session_close(session);
	change = expect_change(watcher, VBROKER_CHANGE_RELEASE, EDU);
	assert_true(change.duration_us > 0);
	expect_silence(watcher);
	vbroker_device_close(device);
	vbroker_session_close(watcher);
	vbroker_domain_close(domain);
	world_settle();
}

/* It is a session like others: it can lease, and hears of that too. */
static void a_watcher_may_ask(void **state)
{
	struct vbroker_session *watcher = watcher_begin();
	struct vbroker_device *device = device_begin(watcher, EDU);
	struct vbroker_status status;

	(void)state;
	expect_ok(vbroker_session_status(watcher, &status));
	assert_int_equal(status.watchers, 1);
	assert_int_equal(status.changes[VBROKER_CHANGE_GRANT], 1);
	vbroker_device_close(device);
	expect_change(watcher, VBROKER_CHANGE_GRANT, EDU);
	expect_change(watcher, VBROKER_CHANGE_RELEASE, EDU);
	expect_refused(vbroker_device_open(watcher, LOCKED, &device), VBROKER_DENIED, NULL);
	expect_change(watcher, VBROKER_CHANGE_DENIAL, LOCKED);
	expect_ok(vbroker_session_status(watcher, &status));
	assert_int_equal(status.changes[VBROKER_CHANGE_RELEASE], 1);
	assert_int_equal(status.denials[VBROKER_DENIED], 1);
	vbroker_session_close(watcher);
	world_settle();
}

static void hot_plug(void **state)
{
	struct vbroker_session *watcher = watcher_begin();
	char here[160], away[160];

	(void)state;
	snprintf(here, sizeof here, "%s/devices/" BARE, world()->directory);
	snprintf(away, sizeof away, "%s/unplugged", world()->directory);
	assert_int_equal(rename(here, away), 0);
	expect_change(watcher, VBROKER_CHANGE_REMOVE, BARE);
	assert_int_equal(rename(away, here), 0);
	expect_change(watcher, VBROKER_CHANGE_ADD, BARE);
	vbroker_session_close(watcher);
	world_settle();
}

/*
 * One watcher does not read: the others lose nothing, and the slow one learns how many events it lost as soon as it
 * reads.
 */
static void slow_watcher_learns_what_it_missed(void **state)
{
	struct vbroker_session *slow = watcher_begin(), *quick = watcher_begin(), *session = session_begin();
	struct vbroker_change change;
	struct vbroker_status status;
	uint64_t sent = 0, read = 0, missed = 0;

	(void)state;
	do {
		struct vbroker_device *device = device_begin(session, EDU);

		vbroker_device_close(device);
		change = expect_change(quick, VBROKER_CHANGE_GRANT, EDU);
		assert_int_equal(change.missed, 0);
		change = expect_change(quick, VBROKER_CHANGE_RELEASE, EDU);
		assert_int_equal(change.missed, 0);
		sent += 2;
		/* More than the buffer of a socket has room for. How many, the front says when there is room again. */
	} while (sent < 600);
	while (read + missed < sent) {
		expect_ok(vbroker_session_event(slow, 5000, &change));
		missed += change.missed;
		read += change.kind != VBROKER_CHANGE_LOST;
	}
	assert_true(missed >= 3);
	expect_ok(vbroker_session_status(session, &status));
	assert_int_equal(read + missed, sent);
	assert_int_equal(missed, status.missed);
	expect_silence(slow);
	vbroker_session_close(slow);
	vbroker_session_close(quick);
	vbroker_session_close(session);
	world_settle();
}

static void many_watchers(void **state)
{
	struct vbroker_session *watchers[8], *one_more = session_begin(), *session = session_begin();
	struct vbroker_device *device;

	(void)state;
	for (size_t i = 0; i < 8; i++)
		watchers[i] = watcher_begin();
	expect_refused(vbroker_session_watch(one_more), VBROKER_QUOTA, "8 sessions that watch");
	expect_ok(vbroker_session_ping(one_more));
	device = device_begin(session, EDU);
	for (size_t i = 0; i < 8; i++)
		expect_change(watchers[i], VBROKER_CHANGE_GRANT, EDU);
	vbroker_session_close(watchers[3]);
	vbroker_device_close(device);
	for (size_t i = 0; i < 8; i++) {
		if (i != 3)
			expect_change(watchers[i], VBROKER_CHANGE_RELEASE, EDU);
	}
	expect_ok(vbroker_session_ping(session));
	expect_ok(vbroker_session_watch(one_more));
	for (size_t i = 0; i < 8; i++) {
		if (i != 3)
			vbroker_session_close(watchers[i]);
	}
	vbroker_session_close(one_more);
	vbroker_session_close(session);
	world_settle();
}

/* A flood of denials is summed up for watchers as it is for the journal, and counted in full. */
static void denials_are_summed_up(void **state)
{
	struct vbroker_session *watcher = watcher_begin(), *session = session_begin();
	struct vbroker_device *device;
	struct vbroker_change change;
	struct vbroker_status status;
	uint64_t events = 0, counted = 0;

	(void)state;
	for (size_t i = 0; i < 500; i++)
		expect_refused(vbroker_device_open(session, LOCKED, &device), VBROKER_DENIED, NULL);
	expect_ok(vbroker_session_status(session, &status));
	assert_int_equal(status.denials[VBROKER_DENIED], 500);
	/* The rest comes when the interval is over. */
	while (counted < 500) {
		expect_ok(vbroker_session_event(watcher, 15000, &change));
		assert_int_equal(change.kind, VBROKER_CHANGE_DENIAL);
		counted += change.count;
		events++;
	}
	assert_int_equal(counted, 500);
	assert_int_equal(events, 21);
	assert_non_null(strstr(change.message, "and 480 more refusals in 10 s"));
	vbroker_session_close(watcher);
	vbroker_session_close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(told_in_order),
		CASE(a_watcher_may_ask),
		CASE(hot_plug),
		CASE(slow_watcher_learns_what_it_missed),
		CASE(many_watchers),
		CASE(denials_are_summed_up),
	};

	return HARNESS_RUN(argc, argv, "watch", tests);
}
