/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <linux/vfio.h>
#include <sys/stat.h>

/*
 * Devices that were not reset. The worlds of these tests have three rules: EDU wants a reset (nothing is said about
 * it), EDU_2 goes to the same user again, BARE to everybody after a while.
 */

static const struct world_options rules = {
	.policy = "[allow strict]\naddress = " EDU " " NVME " " TWIN " " TWIN_2 " " DEAD "\nuser = *\nrebind = yes\n"
		  "[allow same]\naddress = " EDU_2 "\nuser = *\nreset = same-user\n"
		  "[allow lax]\naddress = " BARE "\nuser = *\nrebind = yes\nreset = optional\nsettle = 400ms\n"};

/* ---- devices without a reset ---- */

/* OPEN, and the detail if it is refused. */
static void expect_quarantined(struct vbroker_session *session, const char *name, const char *words)
{
	struct vbroker_device *device;

	expect_refused(vbroker_device_open(session, name, &device), VBROKER_QUARANTINED, words);
}

static void release(struct vbroker_session *session, const char *name, unsigned int flags, const char *was)
{
	struct vbroker_unquarantined released;

	/* OPEN says QUARANTINED already when its keeper has not ended yet. */
	await_device_state(session, name, VBROKER_STATE_QUARANTINED);
	expect_ok(vbroker_session_unquarantine(session, name, flags, &released));
	if (!strstr(released.ended, was))
		fail_msg("\"%s\" does not say \"%s\"", released.ended, was);
	assert_true(strlen(released.unverified) > 20);
}

/* ---- what begins it ---- */

static void no_reset_method(void **state)
{
	struct vbroker_session *session = session_begin();
	uint32_t pid;

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, EDU, EDU " was not reset, it has no reset method, since 20");
	expect_quarantined(session, EDU, "last holder uid 0, pid ");
	expect_quarantined(session, EDU, "reset = required by rule \"strict\"");
	assert_int_equal(device_state(session, EDU, &pid), VBROKER_STATE_QUARANTINED);
	assert_int_equal(pid, getpid());
	assert_int_equal(stranger_opens(EDU), VBROKER_QUARANTINED);
	host_set_reset(1, EDU, true);
	release(session, EDU, 0, "it has no reset method");
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* Nothing was done with the device, so nothing needs to be undone. */
static void never_bound(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_set_reset(1, EDU, false);
	vbroker_device_close(device_begin(session, EDU));
	vbroker_device_close(device_begin(session, EDU));
	host_set_reset(1, EDU, true);
	vbroker_session_close(session);
	world_settle();
}

static void reset_fails(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_group(1)->failures[FAKE_RESET] = ETIMEDOUT;
	device_use(session, EDU);
	host_group(1)->failures[FAKE_RESET] = 0;
	expect_quarantined(session, EDU, "its reset failed: Connection timed out");
	release(session, EDU, 0, "its reset failed");
	device_use(session, EDU);
	/* sysfs has a method, and VFIO could not reset it when it opened it */
	host_device(1, EDU)->resettable = false;
	device_use(session, EDU);
	host_device(1, EDU)->resettable = true;
	expect_quarantined(session, EDU, "its reset failed when VFIO opened it");
	release(session, EDU, VBROKER_UNQUARANTINE_FORCE, "its reset failed");
	vbroker_session_close(session);
	world_settle();
}

/* An earlier failure in the lease does not matter: it is the last BIND that counts. */
static void reset_at_the_end_counts(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();

	(void)state;
	host_group(1)->failures[FAKE_RESET] = EIO;
	expect_ok(vbroker_device_bind(device, domain));
	expect_ok(vbroker_device_unbind(device));
	host_group(1)->failures[FAKE_RESET] = 0;
	expect_ok(vbroker_device_bind(device, domain));
	vbroker_device_close(device);
	device_use(session, EDU);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

static void kill_keepers(void)
{
	pid_t pids[KEEPERS_MAX];
	size_t count = keepers(pids);

	assert_true(count > 0);
	for (size_t i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
}

/* Whether the kernel has reset what it closed, nobody knows: a helper does. If it cannot, nobody has. */
static void keeper_dies(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();

	(void)state;
	expect_ok(vbroker_device_bind(device, domain));
	host_write("devices/" EDU "/was-reset", "no");
	kill_keepers();
	await_device_state(session, EDU, VBROKER_STATE_FREE);
	assert_string_equal(host_read("devices/" EDU "/was-reset"), "yes");
	vbroker_device_close(device);
	world_await_spare(session);
	host_set_reset(1, EDU, false);
	device = device_begin(session, EDU);
	expect_ok(vbroker_device_bind(device, domain));
	kill_keepers();
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, EDU, "its keeper died and it has no reset method");
	vbroker_device_close(device);
	host_set_reset(1, EDU, true);
	release(session, EDU, VBROKER_UNQUARANTINE_FORCE, "its keeper died");
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* The reset of a helper can fail, too. A reset that works ends what stood against the device before. */
static void keeper_dies_after_a_reset_failed(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device;

	(void)state;
	host_group(2)->failures[FAKE_RESET] = EIO;
	device_use(session, EDU_2);
	host_group(2)->failures[FAKE_RESET] = 0;
	await_device_state(session, EDU_2, VBROKER_STATE_QUARANTINED);
	host_write("devices/" EDU_2 "/fails", "reset");
	device = device_begin(session, EDU_2);
	kill_keepers();
	await_device_state(session, EDU_2, VBROKER_STATE_QUARANTINED);
	assert_int_equal(stranger_opens(EDU_2), VBROKER_QUARANTINED);
	vbroker_device_close(device);
	world_await_spare(session);
	host_write("devices/" EDU_2 "/fails", "");
	device = device_begin(session, EDU_2);
	kill_keepers();
	vbroker_device_close(device);
	world_await_spare(session);
	await_device_state(session, EDU_2, VBROKER_STATE_FREE);
	assert_int_equal(stranger_opens(EDU_2), 0);
	vbroker_session_close(session);
	world_settle();
}

static void all_ones_after_a_lease(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_unquarantined released;
	struct vbroker_status status;

	(void)state;
	expect_ok(vbroker_device_bind(device, domain));
	host_write("devices/" EDU "/answers", "no");
	vbroker_device_close(device);
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, EDU, EDU " does not answer, its configuration space reads all ones, since 20");
	expect_quarantined(session, EDU, "last holder uid 0, pid ");
	expect_ok(vbroker_session_status(session, &status));
	assert_int_equal(status.quarantined, 1);
	expect_refused(vbroker_session_unquarantine(session, EDU, 0, &released), VBROKER_DEVICE_BAD_STATE, "all ones");
	/* that it answers again does not say what became of it */
	host_write("devices/" EDU "/answers", "yes");
	expect_quarantined(session, EDU, "all ones");
	release(session, EDU, 0, "all ones");
	device_use(session, EDU);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* Found by an OPEN or a CHECK of somebody who might have had it. */
static void all_ones_when_asked(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_obstacle *obstacles;
	struct vbroker_device *device;
	uint32_t pid;
	size_t count;
	int claim;

	(void)state;
	assert_int_equal(device_state(session, DEAD, &pid), VBROKER_STATE_FREE);
	expect_refused(vbroker_device_open(session, DEAD, &device), VBROKER_DEVICE_BAD_STATE, "all ones");
	assert_int_equal(device_state(session, DEAD, &pid), VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, DEAD, "nobody had it");
	host_write("devices/" EDU "/answers", "no");
	expect_ok(vbroker_session_check(session, EDU, &obstacles, &count, &claim));
	assert_int_equal(count, 2);
	assert_int_equal(obstacles[0].refusal, VBROKER_QUARANTINED);
	assert_int_equal(obstacles[1].refusal, VBROKER_DEVICE_BAD_STATE);
	free(obstacles);
	expect_quarantined(session, EDU, "all ones");
	host_write("devices/" DEAD "/answers", "yes");
	host_write("devices/" EDU "/answers", "yes");
	release(session, DEAD, 0, "all ones");
	release(session, EDU, 0, "all ones");
	vbroker_session_close(session);
	world_settle();
}

/* What one device of a group does by DMA reaches the domain of all of them. */
static void the_whole_group(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_unquarantined released;
	uint32_t pid;

	(void)state;
	host_set_reset(4, TWIN, false);
	device_use(session, TWIN);
	await_device_state(session, TWIN, VBROKER_STATE_QUARANTINED);
	assert_int_equal(device_state(session, TWIN_2, &pid), VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, TWIN_2, TWIN " was not reset");
	expect_refused(vbroker_session_unquarantine(session, TWIN_2, VBROKER_UNQUARANTINE_FORCE, &released),
		VBROKER_NOT_QUARANTINED, TWIN_2 " shares its IOMMU group with one that is: " TWIN);
	host_set_reset(4, TWIN, true);
	release(session, TWIN, 0, "no reset method");
	device_use(session, TWIN_2);
	vbroker_session_close(session);
	world_settle();
}

/* ---- the policy ---- */

static void same_user(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_set_reset(2, EDU_2, false);
	device_use(session, EDU_2);
	device_use(session, EDU_2);
	await_device_state(session, EDU_2, VBROKER_STATE_QUARANTINED);
	assert_int_equal(stranger_opens(EDU_2), VBROKER_QUARANTINED);
	host_set_reset(2, EDU_2, true);
	/* a lease that ends with a reset ends it, too */
	device_use(session, EDU_2);
	await_device_state(session, EDU_2, VBROKER_STATE_FREE);
	assert_int_equal(stranger_opens(EDU_2), 0);
	vbroker_session_close(session);
	world_settle();
}

/* It rests, with vfio-pci, and then anybody may have it: who asks meanwhile waits. */
static void optional_after_a_while(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_revocation revocation;
	uint64_t start;

	(void)state;
	host_set_reset(11, BARE, false);
	device_use(session, BARE);
	start = now_ms();
	await_device_state(session, BARE, VBROKER_STATE_RESTORING);
	expect_driver(BARE, "vfio-pci");
	/* When its keeper has ended there is nobody it could be taken from, so nothing to wait for. */
	expect_ok(vbroker_session_revoke(session, BARE, 0, &revocation));
	expect_ok(vbroker_session_revoke(session, BARE, 0, &revocation));
	assert_int_equal(revocation.result, VBROKER_REVOKE_NOBODY);
	assert_string_equal(revocation.detail, "nobody has it any more");
	assert_int_equal(device_state(session, BARE, &revocation.holder.pid), VBROKER_STATE_RESTORING);
	device_use(session, BARE);
	assert_in_range(now_ms() - start, 350, 4000);
	await_device_state(session, BARE, VBROKER_STATE_FREE);
	expect_driver(BARE, "");
	assert_int_equal(host_claims(), 0);
	assert_int_equal(stranger_opens(BARE), 0);
	host_set_reset(11, BARE, true);
	nap(500);
	device_use(session, BARE);
	vbroker_session_close(session);
	world_settle();
}

/* The stricter of two rules: of the lease, and of who asks. */
static const struct world_options two_rules = {
	.policy = "[allow strict]\naddress = " EDU "\nuser = 12345\n"
		  "[allow lax]\naddress = " EDU " " EDU_2 "\nuser = *\nreset = optional\nsettle = 0ms\n"
		  "[allow lax-stranger]\naddress = *\nuser = 12345\nreset = optional\n"};

static void stricter_of_two(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	device_use(session, EDU);
	assert_int_equal(stranger_opens(EDU), VBROKER_QUARANTINED);
	host_set_reset(1, EDU, true);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* A rule that is loosened afterwards does not free what was leased by the stricter one. */
static void loosened_later(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_kill_broker();
	host_write("policy/10-test.conf", "[allow lax]\naddress = *\nuser = *\nreset = optional\nsettle = 0ms\n");
	world_start_broker();
	session = session_begin();
	expect_quarantined(session, EDU, "reset = required by rule \"strict\"");
	host_set_reset(1, EDU, true);
	release(session, EDU, 0, "no reset method");
	vbroker_session_close(session);
}

/* Once in a world. */
static unsigned int reloads(void)
{
	const char *at = host_read("log");
	unsigned int count = 0;

	while ((at = strstr(at, "in force now (read because a file has changed)"))) {
		at++;
		count++;
	}
	return count;
}

static void reload(const char *policy)
{
	unsigned int before = reloads();

	host_write("policy/10-test.conf", policy);
	for (int i = 0; i < 1000 && reloads() == before; i++)
		nap(5);
	assert_int_equal(reloads(), before + 1);
}

static const struct world_options same_rule = {
	.policy = "[allow same]\naddress = " EDU "\nuser = *\nreset = same-user\n"};
#define RESET_OPTIONAL "[allow lax]\naddress = " EDU "\nuser = *\nreset = optional\nsettle = 0ms\n"
static const struct world_options reset_optional_at_first = {.policy = RESET_OPTIONAL};

/* The rule of the user who asks is what refuses: the line for that rule is named. */
static void the_line_that_would_help(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	reload("[allow now]\naddress = " EDU "\nuser = *\n");
	expect_quarantined(session, EDU, "/policy/10-test.conf:1); add \"reset = same-user\" there");
	reload("[allow now]\naddress = " EDU "\nuser = *\nreset = same-user\n");
	device_use(session, EDU);
	host_set_reset(1, EDU, true);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* Nor does one more lease by the looser rule, however it ends. */
static void loosened_and_leased_again(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device;

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	reload(RESET_OPTIONAL);
	device_use(session, EDU);
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	assert_int_equal(stranger_opens(EDU), VBROKER_QUARANTINED);
	device = device_begin(session, EDU);
	kill_keepers();
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	vbroker_device_close(device);
	world_await_spare(session);
	assert_int_equal(stranger_opens(EDU), VBROKER_QUARANTINED);
	host_set_reset(1, EDU, true);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* A rule that is tightened during the lease counts at its end, also if both daemons are killed before that. */
static void tightened_meanwhile(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	pid_t pids[KEEPERS_MAX];

	(void)state;
	host_set_reset(1, EDU, false);
	expect_ok(vbroker_device_bind(device, domain));
	reload("[allow root]\naddress = " EDU "\nuser = root\n" RESET_OPTIONAL);
	world_kill_broker();
	for (int i = 0; i < 1000 && keepers(pids) > 0; i++)
		nap(5);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_start_broker();
	session = session_begin();
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, EDU, "reset = required by rule \"root\"");
	assert_int_equal(stranger_opens(EDU), VBROKER_QUARANTINED);
	host_set_reset(1, EDU, true);
	release(session, EDU, 0, "no reset method");
	vbroker_session_close(session);
	world_settle();
}

/* ---- host drivers ---- */

/* The host driver would switch bus mastering on for what the last holder left. */
static void kept_from_its_host_driver(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_group(3)->failures[FAKE_RESET] = EIO;
	device_use(session, NVME);
	host_group(3)->failures[FAKE_RESET] = 0;
	await_device_state(session, NVME, VBROKER_STATE_QUARANTINED);
	expect_driver(NVME, "vfio-pci");
	assert_int_equal(host_claims(), 1);
	vbroker_session_close(session);
	world_stop_broker();
	expect_driver(NVME, "vfio-pci");
	world_start_broker();
	session = session_begin();
	expect_quarantined(session, NVME, "its reset failed");
	nap(50);
	expect_driver(NVME, "vfio-pci");
	release(session, NVME, 0, "its reset failed");
	await_driver(NVME, "nvme");
	device_use(session, NVME);
	vbroker_session_close(session);
	world_settle();
}

/* ---- brokers that are killed ---- */

static void survives_the_broker(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	vbroker_session_close(session);
	for (int i = 0; i < 2; i++) {
		world_kill_broker();
		world_start_broker();
	}
	session = session_begin();
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, EDU, EDU " was not reset, it has no reset method, since 20");
	expect_quarantined(session, EDU, "last holder uid 0, pid ");
	host_set_reset(1, EDU, true);
	release(session, EDU, VBROKER_UNQUARANTINE_FORCE, "no reset method");
	world_kill_broker();
	world_start_broker();
	vbroker_session_close(session);
	session = session_begin();
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* The lease ends while there is no broker: nobody has heard how. */
static void ends_without_a_broker(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU), *good = device_begin(session, EDU_2);
	struct vbroker_domain *domain = domain_begin();
	pid_t pids[KEEPERS_MAX];

	(void)state;
	host_set_reset(1, EDU, false);
	expect_ok(vbroker_device_bind(device, domain));
	expect_ok(vbroker_device_bind(good, domain));
	world_kill_broker();
	for (int i = 0; i < 1000 && keepers(pids) > 0; i++)
		nap(5);
	assert_int_equal(keepers(pids), 0);
	vbroker_device_close(device);
	vbroker_device_close(good);
	vbroker_session_close(session);
	world_start_broker();
	session = session_begin();
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(session, EDU, "its keeper died and it has no reset method");
	device_use(session, EDU_2);
	host_set_reset(1, EDU, true);
	release(session, EDU, VBROKER_UNQUARANTINE_FORCE, "no reset method");
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

static void records_that_make_no_sense(void **state)
{
	static const char *const nonsense[] = {"", "x", "2 0 1 0 0 0 0 0", "2 0 1 0 0 0 0 0\n\n",
		"9 0 1 0 0 0 0 0\n\n\n", "2 0 99999999999999999 0 0 0 0 0\n\n\n", "2 0 1 0 0 7 0 0\n\n\n",
		"2 0 1 0 0 0 0\n\n\n", "2 0 1 0 0 0 0 2\n\n\n", "2 0 1 0 0 0 0 0 0\n\n\n",
		"2 0 1 0 0 0 0 0\n\n\nmore\n", "2 0 1 0 0 0 0 0\n\n\n2 0 1 0 0 0 0 0\n\n\n", "1 0 1 0 0 0 0 0 9x\n\n\n",
		"1 0 1 0 0 0 0 0 9 9\n\n\n", "1 0 1 0 0 0 0 0\n\n\nmore\n",
		"1 0 1 0 0 0 0 0\n\n\n1 0 1 0 0 0 0 0\n\n\n", "1 0 1 0 0 0 0 0\n\n\n2 0 1 0 0 0 0 0\n\n\nmore\n"};
	struct vbroker_session *session;
	char below[128];

	(void)state;
	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
		world_kill_broker();
		host_write("quarantine/" EDU, nonsense[i]);
		host_write("quarantine/" EDU_2 ".new", "half");
		host_write("quarantine/0000:7f:00.0", "2 0 1 0 0 0 0 0\n\n\"r\" (f:1)\n");
		world_start_broker();
		snprintf(below, sizeof below, "quarantine/%s", EDU);
		if (access(below, F_OK) == 0 || *host_read(below))
			fail_msg("record %zu is still there", i);
		world_settle();
	}
	assert_non_null(strstr(host_read("log"), "this record makes no sense; removed"));
	assert_non_null(strstr(host_read("log"), "0000:7f:00.0: it has left the machine"));
	assert_string_equal(host_read("quarantine/0000:7f:00.0"), "");
	assert_string_equal(host_read("quarantine/" EDU_2 ".new"), "");
	/* and one that does */
	world_kill_broker();
	host_write("quarantine/" EDU, "2 0 1 77 4711 0 18446744073709551615 0\nold.service\n\"r\" (f:1)\n");
	world_start_broker();
	session = session_begin();
	expect_quarantined(
		session, EDU, "last holder uid 77, pid 4711 in old.service; reset = required by rule \"r\" (f:1)");
	vbroker_session_close(session);
}

/* ---- UNQUARANTINE ---- */

static void who_may_release(void **state)
{
	struct vbroker_session *session = session_begin(), *other;
	struct vbroker_unquarantined released;
	struct vbroker_device *device;
	int status;
	pid_t pid;

	(void)state;
	expect_refused(
		vbroker_session_unquarantine(session, "0000:99:00.0", 0, &released), VBROKER_NO_SUCH_DEVICE, NULL);
	expect_refused(vbroker_session_unquarantine(session, EDU, VBROKER_UNQUARANTINE_FORCE, &released),
		VBROKER_NOT_QUARANTINED, EDU);
	expect_refused(
		vbroker_session_unquarantine(session, EDU, 8, &released), VBROKER_MALFORMED, "unknown flags 0x8");
	device = device_begin(session, EDU);
	expect_refused(vbroker_session_unquarantine(session, EDU, VBROKER_UNQUARANTINE_FORCE, &released),
		VBROKER_NOT_QUARANTINED, "in use by uid 0, pid ");
	vbroker_device_close(device);
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	await_device_state(session, EDU, VBROKER_STATE_QUARANTINED);
	chmod(world()->directory, 0711);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(STRANGER) < 0 || setuid(STRANGER) < 0 ||
			vbroker_session_open(world()->broker_socket, &other) != 0)
			_exit(200);
		_exit(vbroker_session_unquarantine(other, EDU, VBROKER_UNQUARANTINE_FORCE, &released) & 0x7f);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), VBROKER_ROOT_ONLY);
	release(session, EDU, VBROKER_UNQUARANTINE_DRY_RUN, "no reset method");
	expect_quarantined(session, EDU, "no reset method");
	release(session, EDU, VBROKER_UNQUARANTINE_FORCE, "no reset method");
	assert_non_null(strstr(host_read("log"), EDU ": quarantine ended by uid 0, pid "));
	assert_non_null(strstr(host_read("log"), ", without a reset; it was: " EDU " was not reset"));
	host_set_reset(1, EDU, true);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* Nothing can make the kernel let go. */
static void stuck_keeper(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_unquarantined released;

	(void)state;
	expect_ok(vbroker_device_bind(device, domain));
	host_group(1)->hang = true;
	vbroker_session_close(session);
	await_device_state(other, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(other, EDU, "its keeper does not let go, since 20");
	expect_refused(vbroker_session_unquarantine(other, EDU, VBROKER_UNQUARANTINE_FORCE, &released),
		VBROKER_QUARANTINED, "nothing can force the kernel");
	/* Its record says who had it, also to the next broker, which finds the group still held. */
	world_kill_broker();
	vbroker_session_close(other);
	world_start_broker();
	other = session_begin();
	await_device_state(other, EDU, VBROKER_STATE_QUARANTINED);
	expect_quarantined(other, EDU, "is not free although its keeper is gone");
	expect_quarantined(other, EDU, "last holder uid 0, pid ");
	expect_refused(
		vbroker_session_unquarantine(other, EDU, 0, &released), VBROKER_QUARANTINED, "fuser -v /dev/vfio/1");
	host_group(1)->hang = false;
	await_device_state(other, EDU, VBROKER_STATE_FREE);
	device_use(other, EDU);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(other);
	world_settle();
}

/* ---- devices that leave ---- */

static void leaves_the_machine(void **state)
{
	struct vbroker_session *session = session_begin();
	char from[160], to[160];

	(void)state;
	host_group(3)->failures[FAKE_RESET] = EIO;
	device_use(session, NVME);
	host_group(3)->failures[FAKE_RESET] = 0;
	await_device_state(session, NVME, VBROKER_STATE_QUARANTINED);
	snprintf(from, sizeof from, "%s/devices/" NVME, world()->directory);
	snprintf(to, sizeof to, "%s/" NVME, world()->directory);
	assert_int_equal(rename(from, to), 0);
	for (int i = 0; i < 1000 && host_claims() > 0; i++)
		nap(5);
	assert_int_equal(host_claims(), 0);
	host_write(NVME "/driver", "nvme");
	host_write(NVME "/override", "");
	assert_int_equal(rename(to, from), 0);
	await_device_state(session, NVME, VBROKER_STATE_FREE);
	device_use(session, NVME);
	vbroker_session_close(session);
	world_settle();
}

/* In a lease without a BIND, which its keeper does not outlive: what comes into its place is another device. */
static void leaves_in_a_lease(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	char from[160], to[160];

	(void)state;
	assert_int_not_equal(*host_read("quarantine/" EDU), '\0');
	snprintf(from, sizeof from, "%s/devices/" EDU, world()->directory);
	snprintf(to, sizeof to, "%s/" EDU, world()->directory);
	assert_int_equal(rename(from, to), 0);
	for (int i = 0; i < 1000 && *host_read("quarantine/" EDU); i++)
		nap(5);
	kill_keepers();
	world_await_spare(session);
	vbroker_device_close(device);
	assert_string_equal(host_read("quarantine/" EDU), "");
	assert_int_equal(rename(to, from), 0);
	await_device_state(session, EDU, VBROKER_STATE_FREE);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* ---- REVOKE of what nobody has ---- */

static const struct world_options long_rest = {
	.policy = "[allow lax]\naddress = " EDU "\nuser = *\nreset = optional\nsettle = 1h\n"};

static void expect_nobody(struct vbroker_session *session)
{
	struct vbroker_revocation revocation;

	expect_ok(vbroker_session_revoke(session, EDU, 0, &revocation));
	assert_int_equal(revocation.result, VBROKER_REVOKE_NOBODY);
	assert_int_equal(revocation.holder.pid, 0);
	assert_string_equal(revocation.detail, "nobody has it any more");
}

/* It is not waited for, also if somebody has the group whom this service does not know. */
static void revoke_of_a_resting_device_finds_nobody(void **state)
{
	struct vbroker_session *session = session_begin();
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct vbroker_revocation revocation;
	char path[160];
	int group;

	(void)state;
	host_set_reset(1, EDU, false);
	device_use(session, EDU);
	/* Until its keeper has ended, this waits. */
	expect_ok(vbroker_session_revoke(session, EDU, 0, &revocation));
	expect_nobody(session);
	snprintf(path, sizeof path, "%s/groups/1", world()->directory);
	group = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(group, F_OFD_SETLK, &lock), 0);
	expect_nobody(session);
	close(group);
	host_set_reset(1, EDU, true);
	expect_ok(vbroker_session_unquarantine(session, EDU, 0, &(struct vbroker_unquarantined){0}));
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(no_reset_method, &rules),
		CASE_IN(never_bound, &rules),
		CASE_IN(reset_fails, &rules),
		CASE_IN(reset_at_the_end_counts, &rules),
		CASE_IN(keeper_dies, &rules),
		CASE_IN(keeper_dies_after_a_reset_failed, &rules),
		CASE_IN(all_ones_after_a_lease, &rules),
		CASE_IN(all_ones_when_asked, &rules),
		CASE_IN(the_whole_group, &rules),
		CASE_IN(same_user, &rules),
		CASE_IN(optional_after_a_while, &rules),
		CASE_IN(stricter_of_two, &two_rules),
		CASE_IN(the_line_that_would_help, &reset_optional_at_first),
		CASE_IN(loosened_later, &rules),
		CASE_IN(loosened_and_leased_again, &same_rule),
		CASE_IN(tightened_meanwhile, &reset_optional_at_first),
		CASE_IN(kept_from_its_host_driver, &rules),
		CASE_IN(survives_the_broker, &rules),
		CASE_IN(ends_without_a_broker, &rules),
		CASE_IN(records_that_make_no_sense, &rules),
		CASE_IN(who_may_release, &rules),
		CASE_IN(stuck_keeper, &rules),
		CASE_IN(leaves_the_machine, &rules),
		CASE_IN(leaves_in_a_lease, &same_rule),
		CASE_IN(revoke_of_a_resting_device_finds_nobody, &long_rest),
	};

	return HARNESS_RUN(argc, argv, "quarantine", tests);
}
