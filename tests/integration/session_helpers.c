/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "vfio-broker.h"

#include <pthread.h>
#include <stdlib.h>

/* Helpers that hang while brokers come and go. The host makes a step hang for as long as a file "hang-STEP" is there
 * (tests/fake/file_tree.h). */

/* ---- an OPEN in a thread of its own ---- */

struct opener {
	const char *name;
	struct vbroker_session *session;
	struct vbroker_device *device;
	int result;
	char detail[512];
	pthread_t thread;
};

static void *open_it(void *argument)
{
	struct opener *opener = argument;

	opener->result = vbroker_device_open(opener->session, opener->name, &opener->device);
	snprintf(opener->detail, sizeof opener->detail, "%s", vbroker_detail());
	return NULL;
}

static struct opener opener_begin(const char *name)
{
	return (struct opener){.name = name, .session = session_begin()};
}

static void opener_start(struct opener *opener)
{
	assert_int_equal(pthread_create(&opener->thread, NULL, open_it, opener), 0);
}

static void opener_join(struct opener *opener)
{
	pthread_join(opener->thread, NULL);
}

static void opener_end(struct opener *opener)
{
	if (opener->result == 0)
		vbroker_device_close(opener->device);
	vbroker_session_close(opener->session);
}

/* ---- the host ---- */

static void hang(const char *step, const char *subject)
{
	char below[64];

	snprintf(below, sizeof below, "hang-%s", step);
	host_write(below, subject);
}

static void go_on(const char *step)
{
	char path[256];

	snprintf(path, sizeof path, "%s/hang-%s", world()->directory, step);
	assert_int_equal(unlink(path), 0);
}

/* Waits until CHECK of NAME names a helper that does WORDS. */
static void await_named(struct vbroker_session *session, const char *name, const char *words)
{
	struct vbroker_obstacle *obstacles;
	bool found = false;
	size_t count;
	int claim;

	for (int i = 0; i < 2000 && !found; i++) {
		expect_ok(vbroker_session_check(session, name, &obstacles, &count, &claim));
		for (size_t k = 0; k < count; k++)
			found = found || strstr(obstacles[k].detail, words);
		free(obstacles);
		nap(5);
	}
	if (!found)
		fail_msg("check of %s does not say \"%s\"", name, words);
}

/* STATUS says which helper hangs, of whom, at what, and what says more. */
static void expect_named_hung(struct vbroker_session *session)
{
	struct vbroker_process_entry entry;
	char words[160];

	assert_true(process_find(session, VBROKER_PROCESS_HELPER, VBROKER_PROCESS_HUNG, 0, &entry));
	assert_int_equal(kill((pid_t)entry.pid, 0), 0);
	assert_int_equal(entry.uid, getuid());
	assert_string_equal(entry.name, NVME);
	assert_in_range(entry.age_us, 900000, 60000000);
	snprintf(words, sizeof words, "unbinding " NVME " from nvme; 'cat /proc/%u/stack' says where nvme waits",
		entry.pid);
	assert_string_equal(entry.text, words);
}

/* ---- brokers ---- */

/* The next broker finds the helper, tells of it, and waits for its answer. */
static void broker_is_killed_while_a_helper_hangs(void **state)
{
	struct opener opener = opener_begin(NVME);
	struct vbroker_session *session = session_begin();

	(void)state;
	hang("unbind", NVME);
	opener_start(&opener);
	await_named(session, NVME, "unbinding " NVME " from nvme");
	expect_named_hung(session);
	world_kill_broker();
	world_start_broker();
	await_named(session, NVME, "unbinding " NVME " from nvme");
	expect_named_hung(session);
	vbroker_device_close(device_begin(session, EDU));
	go_on("unbind");
	opener_join(&opener);
	opener_end(&opener);
	vbroker_session_close(session);
	await_driver(NVME, "nvme");
	world_settle();
}

/* The answer waits on the socket that systemd keeps. */
static void helper_is_done_while_no_broker_is_there(void **state)
{
	struct opener opener = opener_begin(NVME);
	struct vbroker_session *session = session_begin();

	(void)state;
	hang("bind", NVME);
	opener_start(&opener);
	await_named(session, NVME, "binding " NVME " to vfio-pci");
	world_kill_broker();
	go_on("bind");
	for (int i = 0; i < 2000 && strcmp(host_read("devices/" NVME "/driver"), "vfio-pci") != 0; i++)
		nap(2);
	expect_driver(NVME, "vfio-pci");
	world_start_broker();
	opener_join(&opener);
	opener_end(&opener);
	vbroker_session_close(session);
	await_driver(NVME, "nvme");
	world_settle();
}

/* A LEASE in flight at the takeover: no keeper gets a lease that nobody knows of. */
static void late_lease_of_a_killed_broker(void **state)
{
	struct opener opener = opener_begin(EDU);
	struct vbroker_session *session = session_begin();

	(void)state;
	/* The LOOK passes: LEASE alone opens the windows. */
	hang("window", "");
	opener_start(&opener);
	nap(300);
	world_kill_broker();
	world_start_broker();
	go_on("window");
	opener_join(&opener);
	opener_end(&opener);
	device_use(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

/* ---- helpers ---- */

/* The state is looked up anew, and the client told. */
static void helper_is_killed(void **state)
{
	struct opener opener = opener_begin(NVME);
	struct vbroker_session *session = session_begin();
	pid_t pids[KEEPERS_MAX];
	size_t count;

	(void)state;
	hang("bind", NVME);
	opener_start(&opener);
	await_named(session, NVME, "binding " NVME " to vfio-pci");
	count = helpers(pids);
	assert_true(count > 0);
	for (size_t i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	go_on("bind");
	opener_join(&opener);
	opener_end(&opener);
	await_driver(NVME, "nvme");
	device_use(session, NVME);
	vbroker_session_close(session);
	world_settle();
}

/* `systemctl stop` does not wait for a helper that hangs. The next start gives the device back. */
static void stop_does_not_wait_for_a_helper(void **state)
{
	struct opener opener = opener_begin(NVME);
	struct vbroker_session *session = session_begin();
	uint64_t since;

	(void)state;
	hang("bind", NVME);
	opener_start(&opener);
	await_named(session, NVME, "binding " NVME " to vfio-pci");
	since = now_ms();
	world_stop_broker();
	assert_in_range(now_ms() - since, 0, 15000);
	go_on("bind");
	opener_join(&opener);
	opener_end(&opener);
	vbroker_session_close(session);
	world_start_broker();
	await_driver(NVME, "nvme");
	world_settle();
}

static const struct world_options kept = {.systemd = true};

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(broker_is_killed_while_a_helper_hangs, &kept),
		CASE_IN(helper_is_done_while_no_broker_is_there, &kept),
		CASE_IN(late_lease_of_a_killed_broker, &kept),
		CASE(helper_is_killed),
		CASE_IN(stop_does_not_wait_for_a_helper, &kept),
	};

	return HARNESS_RUN(argc, argv, "helpers", tests);
}
