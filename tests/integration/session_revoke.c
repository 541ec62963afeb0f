/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "raw_channel.h"

#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

/* REVOKE between real processes: an administrator, a holder, the broker and its keepers. */

static uint32_t open_count(unsigned int group, const char *name)
{
	return fake_group_device(host_group(group), name)->opened;
}

/* ---- an administrator ---- */

struct revoker {
	pthread_t thread;
	const char *name;
	uint32_t deadline_ms;
	int result;
	struct vbroker_revocation revocation;
};

static void *run_revoker(void *argument)
{
	struct revoker *revoker = argument;
	struct vbroker_session *session = NULL;

	revoker->result = vbroker_session_open(world()->broker_socket, &session);
	if (revoker->result == 0)
		revoker->result =
			vbroker_session_revoke(session, revoker->name, revoker->deadline_ms, &revoker->revocation);
	vbroker_session_close(session);
	return NULL;
}

static void revoker_start(struct revoker *revoker, const char *name, uint32_t deadline_ms)
{
	*revoker = (struct revoker){.name = name, .deadline_ms = deadline_ms};
	assert_int_equal(pthread_create(&revoker->thread, NULL, run_revoker, revoker), 0);
}

static void revoker_end(struct revoker *revoker, enum vbroker_revoke_result result)
{
	pthread_join(revoker->thread, NULL);
	expect_ok(revoker->result);
	if (revoker->revocation.result != result)
		fail_msg("result %d, not %d: %s", (int)revoker->revocation.result, (int)result,
			revoker->revocation.detail);
}

static struct vbroker_revocation revoke_now(const char *name, enum vbroker_revoke_result result)
{
	struct revoker revoker;

	revoker_start(&revoker, name, 0);
	revoker_end(&revoker, result);
	return revoker.revocation;
}

/* ---- a holder ---- */

struct holder {
	struct vbroker_session *session;
	struct vbroker_domain *domain;
	struct vbroker_device *device;
};

static struct holder holder_begin(const char *name)
{
	struct holder holder = {session_begin(), domain_begin(), NULL};

	holder.device = device_begin(holder.session, name);
	expect_ok(vbroker_device_bind(holder.device, holder.domain));
	return holder;
}

static void holder_end(struct holder *holder)
{
	vbroker_device_close(holder->device);
	vbroker_domain_close(holder->domain);
	vbroker_session_close(holder->session);
}

/* Waits as an event loop would, until the channel says something. */
static int await_notice(const struct holder *holder, struct vbroker_notice *notice)
{
	struct pollfd p = {vbroker_device_fd(holder->device), POLLIN, 0};

	assert_int_equal(poll(&p, 1, 10000), 1);
	return vbroker_device_notice(holder->device, notice);
}

/* ---- the tests ---- */

static void at_once(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct vbroker_revocation revocation = revoke_now(EDU, VBROKER_REVOKE_COMPLETE);
	struct vbroker_notice notice;

	(void)state;
	assert_int_equal(open_count(1, EDU), 0);
	assert_int_equal(host_group(1)->container, 0);
	assert_true(revocation.reported);
	assert_int_equal(revocation.reason, VBROKER_ENDED_ADMINISTRATOR);
	assert_int_equal(revocation.holder.pid, getpid());
	assert_int_equal(revocation.group, 1);
	assert_true(revocation.keeper_pid > 0);
	for (int step = VBROKER_STEP_MASTER; step < VBROKER_STEPS; step++)
		assert_true(revocation.steps[step].taken || step == VBROKER_STEP_RESET);
	assert_int_equal(vbroker_device_notice(holder.device, &notice), VBROKER_REVOKED);
	assert_int_equal(notice.left_us, 0);
	expect_refused(vbroker_device_reset(holder.device), VBROKER_REVOKED, EDU ": revoked by uid ");
	holder_end(&holder);
	/* there is nobody in the way */
	holder = holder_begin(EDU);
	holder_end(&holder);
	world_settle();
}

static void polite_holder(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct vbroker_notice notice;
	struct revoker revoker;

	(void)state;
	assert_int_equal(vbroker_device_notice(holder.device, &notice), 0);
	revoker_start(&revoker, EDU, 3600000);
	expect_refused(await_notice(&holder, &notice), VBROKER_REVOKED, EDU ": revoked by uid ");
	assert_int_equal(notice.reason, VBROKER_ENDED_ADMINISTRATOR);
	assert_in_range(notice.left_us, 3500000000, 3600000000);
	/* it may finish */
	expect_ok(vbroker_device_reset(holder.device));
	assert_int_equal(vbroker_device_notice(holder.device, &notice), VBROKER_REVOKED);
	holder_end(&holder);
	revoker_end(&revoker, VBROKER_REVOKE_COMPLETE);
	assert_int_equal(revoker.revocation.reason, VBROKER_ENDED_RELEASED);
	world_settle();
}

/* A notice that comes while a reply is waited for is not lost. */
static void notice_before_a_reply(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct pollfd p = {vbroker_device_fd(holder.device), POLLIN, 0};
	struct vbroker_notice notice;
	struct revoker revoker;

	(void)state;
	revoker_start(&revoker, EDU, 3600000);
	assert_int_equal(poll(&p, 1, 10000), 1);
	expect_ok(vbroker_device_ping(holder.device));
	assert_int_equal(vbroker_device_notice(holder.device, &notice), VBROKER_REVOKED);
	assert_true(notice.left_us > 0);
	holder_end(&holder);
	revoker_end(&revoker, VBROKER_REVOKE_COMPLETE);
	world_settle();
}

/* COUNT sessions without a lease have asked the broker for one thing: their REVOKE. */
static void await_revokers(struct vbroker_session *session, size_t count)
{
	size_t asked = 0;

	for (int i = 0; i < WAITS && asked != count; i++) {
		struct vbroker_session_entry *entries;
		size_t sessions;

		nap(10);
		expect_ok(vbroker_list_sessions(session, &entries, &sessions));
		asked = 0;
		for (size_t k = 0; k < sessions; k++)
			asked += entries[k].leases == 0 && entries[k].requests == 1;
		free(entries);
	}
	assert_int_equal(asked, count);
}

/* The earliest deadline counts for all of them, and who leaves changes nothing. */
static void earliest_deadline_counts_for_all(void **state)
{
	struct revoke_request request = {.deadline_ms = 3600000, .name = EDU};
	struct holder holder = holder_begin(EDU);
	struct revoker revokers[4];
	struct vbroker_notice notice;
	int gone = raw_connect(world()->broker_socket);

	(void)state;
	raw_hello(gone);
	raw_request(gone, BROKER_REVOKE, 5, &request, sizeof request);
	expect_refused(await_notice(&holder, &notice), VBROKER_REVOKED, NULL);
	close(gone);
	for (size_t i = 0; i < 3; i++)
		revoker_start(&revokers[i], EDU, 3600000);
	await_revokers(holder.session, 3);
	expect_ok(vbroker_device_ping(holder.device));
	revoker_start(&revokers[3], EDU, 100);
	for (size_t i = 0; i < 4; i++) {
		revoker_end(&revokers[i], VBROKER_REVOKE_COMPLETE);
		assert_int_equal(revokers[i].revocation.reason, VBROKER_ENDED_ADMINISTRATOR);
	}
	holder_end(&holder);
	world_settle();
}

static void revoke_of_a_free_device_finds_nobody(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_revocation revocation = revoke_now(EDU, VBROKER_REVOKE_NOBODY);

	(void)state;
	assert_string_equal(revocation.detail, "nobody had it");
	revoke_now(NO_IOMMU, VBROKER_REVOKE_NOBODY);
	expect_refused(vbroker_session_revoke(session, "0000:77:00.0", 0, &revocation), VBROKER_NO_SUCH_DEVICE, NULL);
	expect_refused(vbroker_session_revoke(session, "../x", 0, &revocation), VBROKER_NO_SUCH_DEVICE, NULL);
	vbroker_session_close(session);
	world_settle();
}

/* The other device of the group stays with its holder. */
static void sibling_keeps_its_holder(void **state)
{
	struct holder holder = holder_begin(TWIN);
	struct vbroker_device *other = device_begin(holder.session, TWIN_2);
	struct vbroker_revocation revocation;

	(void)state;
	expect_ok(vbroker_device_bind(other, holder.domain));
	revocation = revoke_now(TWIN, VBROKER_REVOKE_COMPLETE);
	assert_non_null(strstr(revocation.detail, "still leased"));
	assert_false(revocation.steps[VBROKER_STEP_LEAVE].taken);
	assert_int_equal(open_count(4, TWIN), 0);
	expect_ok(vbroker_device_reset(other));
	revoke_now(TWIN, VBROKER_REVOKE_NOBODY);
	revocation = revoke_now(TWIN_2, VBROKER_REVOKE_COMPLETE);
	assert_true(revocation.steps[VBROKER_STEP_LEAVE].taken);
	assert_int_equal(host_group(4)->container, 0);
	vbroker_device_close(other);
	holder_end(&holder);
	world_settle();
}

/* As a client would leave it. */
#define COMMAND_BUSY  "0006"
#define COMMAND_QUIET "0402"

/* A helper has switched bus mastering off. */
static void await_quiet(void)
{
	for (int i = 0; i < 2000 && strcmp(host_read("devices/" EDU "/command"), COMMAND_QUIET) != 0; i++)
		nap(2);
	assert_string_equal(host_read("devices/" EDU "/command"), COMMAND_QUIET);
}

/* Its death is the revocation, too: the kernel's. */
static void keeper_dies(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct vbroker_lease_entry *leases;
	struct vbroker_notice notice;
	struct revoker revoker;
	size_t count;

	(void)state;
	revoker_start(&revoker, EDU, 3600000);
	expect_refused(await_notice(&holder, &notice), VBROKER_REVOKED, NULL);
	expect_ok(vbroker_list_leases(holder.session, &leases, &count));
	assert_int_equal(count, 1);
	/* the fake kernel does not close what a process has open when it dies; the real one does */
	fake_group_device(host_group(1), EDU)->opened = 0;
	host_write("devices/" EDU "/command", COMMAND_BUSY);
	assert_int_equal(kill((pid_t)leases[0].keeper_pid, SIGKILL), 0);
	free(leases);
	revoker_end(&revoker, VBROKER_REVOKE_COMPLETE);
	assert_false(revoker.revocation.reported);
	await_quiet();
	holder_end(&holder);
	world_settle();
}

/*
 * Hazard 1: the keeper hangs where the group leaves the domain. The device is closed, and that is said; the rest is
 * not there.
 */
static void hanging_detach_is_reported(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct vbroker_revocation revocation;
	uint64_t began;

	(void)state;
	host_group(1)->hang = true;
	revocation = revoke_now(EDU, VBROKER_REVOKE_INCOMPLETE);
	assert_int_equal(open_count(1, EDU), 0);
	assert_true(revocation.reported && revocation.steps[VBROKER_STEP_CLOSE].taken);
	assert_false(revocation.steps[VBROKER_STEP_LEAVE].taken);
	assert_non_null(strstr(revocation.detail, "hangs where IOMMU group 1 leaves the domain"));
	assert_int_equal(revocation.holder.pid, getpid());
	/* who asks later is told the same, at once */
	began = now_ms();
	revocation = revoke_now(EDU, VBROKER_REVOKE_INCOMPLETE);
	assert_non_null(strstr(revocation.detail, "hangs where IOMMU group 1 leaves the domain"));
	assert_true(now_ms() - began < 3000);
	expect_refused(vbroker_device_ping(holder.device), VBROKER_REVOKED, "revoked by");
	host_group(1)->hang = false;
	await_device_state(holder.session, EDU, VBROKER_STATE_FREE);
	holder_end(&holder);
	world_settle();
	revoke_now(EDU, VBROKER_REVOKE_NOBODY);
}

/* A keeper that does nothing at all is found out without the help of its holder, too. */
static void stopped_keeper(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct vbroker_lease_entry *leases;
	struct revoker revoker;
	uint64_t value;
	size_t count;

	(void)state;
	host_write("devices/" EDU "/command", COMMAND_BUSY);
	expect_ok(vbroker_list_leases(holder.session, &leases, &count));
	assert_int_equal(kill((pid_t)leases[0].keeper_pid, SIGSTOP), 0);
	/* The holder does not hang with the keeper, not even when closing the device. */
	vbroker_set_timeout(100);
	assert_int_equal(vbroker_region_read(holder.device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value), -ETIME);
	assert_non_null(strstr(vbroker_detail(), "the keeper of " EDU " is stopped or hangs: no reply to REGION_READ"));
	vbroker_set_timeout(0);
	assert_int_equal(vbroker_device_reset(holder.device), -ETIME);
	expect_ok(vbroker_session_ping(holder.session));
	revoker_start(&revoker, EDU, 0);
	await_quiet();
	revoker_end(&revoker, VBROKER_REVOKE_INCOMPLETE);
	assert_false(revoker.revocation.reported);
	assert_non_null(strstr(revoker.revocation.detail, "kill -9"));
	assert_int_equal(revoker.revocation.keeper_pid, leases[0].keeper_pid);
	assert_int_equal(kill((pid_t)leases[0].keeper_pid, SIGCONT), 0);
	free(leases);
	holder_end(&holder);
	world_settle();
}

/* The keeper does its work all the same; only the group is not given to anybody else. */
static void helper_that_hangs(void **state)
{
	struct holder holder = holder_begin(EDU);
	struct vbroker_notice notice;
	struct revoker revoker;
	char path[256];

	(void)state;
	host_write("devices/" EDU "/command", COMMAND_BUSY);
	host_write("hang-quiet", EDU);
	revoker_start(&revoker, EDU, 0);
	expect_refused(await_notice(&holder, &notice), VBROKER_REVOKED, NULL);
	for (int i = 0; i < 2000 && open_count(1, EDU) > 0; i++)
		nap(2);
	assert_int_equal(open_count(1, EDU), 0);
	assert_string_equal(host_read("devices/" EDU "/command"), COMMAND_BUSY);
	revoker_end(&revoker, VBROKER_REVOKE_INCOMPLETE);
	assert_true(revoker.revocation.reported);
	assert_non_null(strstr(revoker.revocation.detail, "making " EDU " quiet"));
	snprintf(path, sizeof path, "%s/hang-quiet", world()->directory);
	assert_int_equal(unlink(path), 0);
	await_quiet();
	holder_end(&holder);
	world_settle();
}

/* Whoever is not root is told so, and nothing happens. */
static void denied(void **state)
{
	struct holder holder = holder_begin(EDU);
	int status = 0;
	pid_t child;

	(void)state;
	assert_int_equal(chmod(world()->directory, 0755), 0);
	assert_int_equal(chmod(world()->broker_socket, 0666), 0);
	child = fork();
	if (child == 0) {
		struct vbroker_session *session;
		struct vbroker_revocation revocation;

		if ((getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)) ||
			vbroker_session_open(world()->broker_socket, &session) != 0)
			_exit(1);
		if (vbroker_session_revoke(session, EDU, 0, &revocation) != VBROKER_ROOT_ONLY)
			_exit(2);
		_exit(strstr(vbroker_detail(), "for root alone, not for uid ") ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	expect_ok(vbroker_device_ping(holder.device));
	holder_end(&holder);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest everybody[] = {
		CASE(denied),
	};
	const struct CMUnitTest root[] = {
		CASE(at_once),
		CASE(polite_holder),
		CASE(notice_before_a_reply),
		CASE(earliest_deadline_counts_for_all),
		CASE(revoke_of_a_free_device_finds_nobody),
		CASE(sibling_keeps_its_holder),
		CASE(keeper_dies),
		CASE(hanging_detach_is_reported),
		CASE(stopped_keeper),
		CASE(helper_that_hangs),
		CASE(denied),
	};

	if (getuid() != 0)
		return HARNESS_RUN(argc, argv, "revoke", everybody);
	return HARNESS_RUN(argc, argv, "revoke", root);
}
