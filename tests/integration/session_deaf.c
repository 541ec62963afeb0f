/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "restart.h"
#include "systemd.h"

#include <unistd.h>

/* PID 1 and journald do not read: the broker goes on, and what PID 1 is told comes later, in order. */

static const struct world_options with_full_log = {.systemd = true, .full_log = true};

static void await_kept(const char *name, size_t count)
{
	for (int i = 0; i < 3000 && systemd_kept(name) != count; i++)
		nap(2);
	assert_int_equal(systemd_kept(name), count);
}

/* A life line, a control socket and a roll for the front of ours, and for each of the two spare ones. */
#define FRONTS_KEPT 9

static void leases_begin_and_end_meanwhile(void **state)
{
	struct vbroker_session *session, *other;
	struct vbroker_device *device;
	size_t kept;

	(void)state;
	session = session_begin();
	await_kept("front-", FRONTS_KEPT);
	systemd_stop_reading();
	kept = systemd_kept("");
	other = session_begin();
	device_use(other, EDU);
	device = device_begin(other, EDU_2);
	for (int i = 0; i < 50; i++)
		expect_ok(vbroker_session_ping(session));
	assert_int_equal(systemd_kept(""), kept);
	systemd_read_on();
	/* The keeper of EDU_2; of EDU nothing is left. */
	await_kept("group-", 1);
	await_kept("front-", FRONTS_KEPT);
	kill_and_start();
	expect_ok(vbroker_session_ping(session));
	expect_ok(vbroker_device_ping(device));
	vbroker_device_close(device);
	vbroker_session_close(other);
	vbroker_session_close(session);
	world_settle();
}

static void a_full_log_stops_nobody(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device;

	(void)state;
	for (int i = 0; i < 50; i++) {
		/* Each refusal is a line of the log. */
		expect_refused(vbroker_device_open(session, NOBODYS, &device), VBROKER_DENIED, NULL);
		expect_ok(vbroker_session_ping(session));
	}
	device_use(session, EDU);
	kill(world()->broker, SIGHUP);
	expect_ok(vbroker_session_ping(session));
	vbroker_session_close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RESTART_CASE(leases_begin_and_end_meanwhile),
		CASE_IN(a_full_log_stops_nobody, &with_full_log),
	};

	return HARNESS_RUN(argc, argv, "session_deaf", tests);
}
