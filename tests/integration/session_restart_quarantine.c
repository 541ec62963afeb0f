/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "message.h"
#include "raw_channel.h"
#include "restart.h"
#include "unit.h"
#include "vfio-broker.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* What the next broker knows of leases that ended without a reset while there was none. */

/* ---- requests ---- */

/* Until what is on record is no lease that goes on: QUARANTINE_LENT is 1. */
static void await_judged(const char *name)
{
	char record[64];

	snprintf(record, sizeof record, "quarantine/%s", name);
	for (int i = 0; i < 1000 && host_read(record)[0] == '1'; i++)
		nap(5);
	assert_int_not_equal(host_read(record)[0], '1');
}

static const struct world_options reset_optional = {
	.systemd = true, .policy = "[allow lax]\naddress = " EDU "\nuser = *\nreset = optional\nsettle = 0ms\n"};

/* A lease of another process. Afterwards it is on record that EDU was not reset, and who had it. */
static void use_as_another_process(char record[512])
{
	int status;
	pid_t pid;

	host_set_reset(1, EDU, false);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		device_use(session_begin(), EDU);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	await_judged(EDU);
	snprintf(record, 512, "%s", host_read("quarantine/" EDU));
}

/* A lease that ends with a reset, so that nothing is on record any more. */
static void end_with_a_reset(unsigned int group, const char *name)
{
	struct vbroker_session *session = session_begin();

	host_set_reset(group, name, true);
	device_use(session, name);
	vbroker_session_close(session);
	world_settle();
}

/*
 * The killed broker had carried out the REVOKE and had not answered. The revoked lease did nothing with the device,
 * so the record names the lease before: its holder is not the one who had the device last. The test makes that moment
 * by hand: the keeper ends, and the next broker has its socket, but not a word from it.
 */
static void revoke_answers_nobody_where_the_keeper_left_no_word(void **state)
{
	int administrator = raw_connect(world()->broker_socket), holder = raw_connect(world()->broker_socket), device;
	pid_t pids[KEEPERS_MAX] = {0};
	char before[512];

	(void)state;
	use_as_another_process(before);
	raw_hello(administrator);
	raw_hello(holder);
	device = raw_open(holder, EDU);
	stop_broker(administrator);
	raw_revoke(administrator, 2, EDU);
	signal_keepers(pids, SIGSTOP);
	world_kill_broker();
	host_write("quarantine/" EDU, before);
	world_start_broker();
	vbroker_session_close(session_begin());
	signal_keepers(pids, SIGKILL);
	expect_revoked(administrator, 2, REVOKE_NOBODY, "may have seen to it");
	close(device);
	close(holder);
	close(administrator);
	end_with_a_reset(1, EDU);
}

/*
 * A lease that does nothing with the device leaves the record of the device as it was: also if the broker is killed
 * twice during the lease, and if the lease ends while there is no broker.
 */
static void idle_lease_keeps_the_earlier_record(void **state)
{
	char before[512];

	(void)state;
	use_as_another_process(before);
	for (int i = 0; i < 3; i++) {
		struct vbroker_session *session = session_begin();
		struct vbroker_device *device = device_begin(session, EDU);

		assert_int_equal(host_read("quarantine/" EDU)[0], '1');
		if (i > 0)
			kill_and_start();
		expect_ok(vbroker_device_ping(device));
		if (i > 0)
			world_kill_broker();
		if (i == 1)
			world_start_broker();
		vbroker_device_close(device);
		if (i == 2)
			world_start_broker();
		await_judged(EDU);
		assert_string_equal(host_read("quarantine/" EDU), before);
		vbroker_session_close(session);
	}
	end_with_a_reset(1, EDU);
}

static const struct world_options reset_same_user = {
	.systemd = true, .policy = "[allow same]\naddress = " TWIN " " TWIN_2 "\nuser = *\nreset = same-user\n"};
static const struct world_options reset_same_user_direct = {.systemd = true,
	.policy = "[allow same]\naddress = " TWIN " " TWIN_2 "\nuser = *\naccess = direct\nreset = same-user\n"};

static void expect_twin_is_kept_from_strangers(void)
{
	assert_int_equal(stranger_opens(TWIN), VBROKER_QUARANTINED);
	end_with_a_reset(4, TWIN);
}

/*
 * The broker was killed between reading how a lease ended and recording the end, while the group goes on with another
 * lease.
 */
static void unrecorded_end(bool resettable)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);
	struct vbroker_domain *domain = domain_begin();
	char lent[512];

	host_set_reset(4, TWIN, resettable);
	expect_ok(vbroker_device_bind(twin, domain));
	snprintf(lent, sizeof lent, "%s", host_read("quarantine/" TWIN));
	assert_int_equal(lent[0], '1');
	vbroker_device_close(twin);
	await_judged(TWIN);
	world_kill_broker();
	host_write("quarantine/" TWIN, lent); /* that moment is to be made by hand */
	world_start_broker();
	expect_ok(vbroker_device_ping(twin_2));
	/* The same user may have it again, and does nothing with it. */
	vbroker_device_close(device_begin(session, TWIN));
	expect_ok(vbroker_device_ping(twin_2));
	vbroker_device_close(twin_2);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
}

static void unrecorded_end_is_learned_from_the_keeper(void **state)
{
	(void)state;
	unrecorded_end(false);
	expect_twin_is_kept_from_strangers();
}

/* That it was reset, nobody has recorded: a helper resets it when the group is free. */
static void unrecorded_end_leads_to_a_reset(void **state)
{
	(void)state;
	host_write("devices/" TWIN "/fails", "reset");
	unrecorded_end(true);
	await_judged(TWIN);
	host_write("devices/" TWIN "/fails", "");
	expect_twin_is_kept_from_strangers();
	host_write("devices/" TWIN "/was-reset", "no");
	unrecorded_end(true);
	await_judged(TWIN);
	assert_int_equal(stranger_opens(TWIN), 0);
	assert_string_equal(host_read("devices/" TWIN "/was-reset"), "yes");
	world_settle();
}

static void leave_the_reset_to_the_bus(bool works)
{
	host_set_reset(4, TWIN, false);
	host_set_reset(4, TWIN_2, false);
	host_write("devices/" TWIN "/resets", "bus");
	host_write("devices/" TWIN_2 "/resets", "bus");
	host_write("devices/" TWIN "/was-reset", "no");
	host_write("devices/" TWIN_2 "/was-reset", "no");
	host_write("devices/" TWIN "/fails", works ? "" : "reset");
	host_write("devices/" TWIN_2 "/fails", works ? "" : "reset");
}

static int resets_of_the_bus(void)
{
	return (strcmp(host_read("devices/" TWIN "/was-reset"), "bus") == 0) +
		(strcmp(host_read("devices/" TWIN_2 "/was-reset"), "bus") == 0);
}

/* Both are leased and bound, and TWIN is released: its holder alone may have it again, unreset, also from the next
 * broker. */
static void release_one_of_two(struct vbroker_session *session, struct vbroker_device **ret_other)
{
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);
	struct vbroker_domain *domain = domain_begin();

	expect_ok(vbroker_device_bind(twin, domain));
	expect_ok(vbroker_device_bind(twin_2, domain));
	vbroker_device_close(twin);
	vbroker_device_close(device_begin(session, TWIN));
	world_kill_broker();
	world_start_broker();
	expect_ok(vbroker_device_ping(twin_2));
	assert_int_equal(stranger_opens(TWIN), VBROKER_DEVICE_BUSY);
	vbroker_device_close(device_begin(session, TWIN));
	vbroker_domain_close(domain);
	*ret_other = twin_2;
}

/* Neither can be reset without the other: one reset of their bus, after both, and by a broker that finds on record
 * alone that TWIN was in use. */
static void bus_is_reset_after_the_last_lease(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin_2;

	(void)state;
	leave_the_reset_to_the_bus(true);
	release_one_of_two(session, &twin_2);
	assert_int_equal(resets_of_the_bus(), 0);
	vbroker_device_close(twin_2);
	await_judged(TWIN);
	await_judged(TWIN_2);
	assert_int_equal(resets_of_the_bus(), 1);
	await_device_state(session, TWIN, VBROKER_STATE_FREE);
	assert_int_equal(stranger_opens(TWIN), 0);
	assert_int_equal(stranger_opens(TWIN_2), 0);
	vbroker_session_close(session);
	world_settle();
}

/* A failure is the failure of both. */
static void bus_that_fails_is_a_quarantine_of_all(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin_2;

	(void)state;
	leave_the_reset_to_the_bus(false);
	release_one_of_two(session, &twin_2);
	vbroker_device_close(twin_2);
	await_judged(TWIN);
	await_judged(TWIN_2);
	assert_int_equal(resets_of_the_bus(), 0);
	await_device_state(session, TWIN, VBROKER_STATE_QUARANTINED);
	await_device_state(session, TWIN_2, VBROKER_STATE_QUARANTINED);
	vbroker_session_close(session);
	assert_int_equal(stranger_opens(TWIN_2), VBROKER_QUARANTINED);
	host_write("devices/" TWIN "/fails", "");
	host_write("devices/" TWIN_2 "/fails", "");
	host_set_reset(4, TWIN_2, true);
	session = session_begin();
	device_use(session, TWIN_2);
	vbroker_session_close(session);
	end_with_a_reset(4, TWIN);
}

/* His client has closed it, but may have the VFIO device still: all of the group is taken back, as without a kill. */
static void direct_ends_while_the_group_goes_on(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);
	struct vbroker_domain *domain = domain_begin();
	int file;

	(void)state;
	host_set_reset(4, TWIN, false);
	expect_ok(vbroker_device_bind(twin, domain));
	expect_ok(vbroker_device_vfio_fd(twin, &file));
	world_kill_broker();
	vbroker_device_close(twin);
	world_start_broker();
	for (int i = 0; i < 1000 && vbroker_device_ping(twin_2) == 0; i++)
		nap(5);
	expect_refused(vbroker_device_ping(twin_2), VBROKER_REVOKED, NULL);
	close(file);
	vbroker_device_close(twin_2);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	await_judged(TWIN);
	expect_twin_is_kept_from_strangers();
}

/* Somebody has removed the record: that the device is in use, the keeper knows. */
static void missing_record_is_made_up_by_the_keeper(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN);
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_obstacle *obstacles;
	char path[160];
	size_t count;
	int claim;

	(void)state;
	host_set_reset(4, TWIN, false);
	expect_ok(vbroker_device_bind(twin, domain));
	world_kill_broker();
	snprintf(path, sizeof path, "%s/quarantine/" TWIN, world()->directory);
	assert_int_equal(unlink(path), 0);
	world_start_broker();
	/* The answer comes when the policy has been read: what the rule says of a lease without a reset. */
	expect_ok(vbroker_session_check(session, EDU, &obstacles, &count, &claim));
	free(obstacles);
	expect_ok(vbroker_device_ping(twin));
	vbroker_device_close(twin);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	expect_twin_is_kept_from_strangers();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(revoke_answers_nobody_where_the_keeper_left_no_word, &reset_optional),
		CASE_IN(idle_lease_keeps_the_earlier_record, &reset_optional),
		CASE_IN(unrecorded_end_is_learned_from_the_keeper, &reset_same_user),
		CASE_IN(unrecorded_end_leads_to_a_reset, &reset_same_user),
		CASE_IN(bus_is_reset_after_the_last_lease, &reset_same_user),
		CASE_IN(bus_that_fails_is_a_quarantine_of_all, &reset_same_user),
		CASE_IN(direct_ends_while_the_group_goes_on, &reset_same_user_direct),
		CASE_IN(missing_record_is_made_up_by_the_keeper, &reset_same_user),
	};

	return HARNESS_RUN(argc, argv, "restart_quarantine", tests);
}
