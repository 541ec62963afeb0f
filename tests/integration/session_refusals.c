/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "raw_channel.h"

#include <linux/vfio.h>
#include <sys/eventfd.h>

/* Every refusal from end to end: number and words. Whoever is refused can go on; nothing is left behind. */

static void expect_open_refused(struct vbroker_session *session, const char *name, int refusal, const char *words)
{
	struct vbroker_device *device = NULL;

	expect_refused(vbroker_device_open(session, name, &device), refusal, words);
	assert_null(device);
	expect_ok(vbroker_session_ping(session));
}

/* ---- policy ---- */

static void denied(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(
		session, NOBODYS, VBROKER_DENIED, "no policy rule fits " NOBODYS " (1234:11e8, class 00ff00)");
	expect_open_refused(session, NOBODYS, VBROKER_DENIED, "uid 0, pid ");
	expect_open_refused(session, LOCKED, VBROKER_DENIED, "is denied to uid 0, pid ");
	expect_open_refused(session, LOCKED, VBROKER_DENIED, "by rule \"locked\"");
	expect_open_refused(session, LOCKED, VBROKER_DENIED, "/policy/10-test.conf:1)");
	expect_open_refused(session, VIRTIO, VBROKER_DENIED,
		VIRTIO " is driven by virtio-pci; to take it from there, add \"rebind = yes\" to rule \"lab\" (");
	expect_driver(VIRTIO, "virtio-pci");
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options mistaken = {.policy = "[allow a]\nclass = *\nuser = *\n[allow b]\nusr = x\n"};

/* One mistake, and nobody gets anything: the refusal says where it is. */
static void denied_by_a_mistake(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, EDU, VBROKER_DENIED, "nobody gets anything, the policy cannot be read");
	expect_open_refused(session, EDU, VBROKER_DENIED, "/policy/10-test.conf:5:1: unknown key \"usr\"");
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options empty_policy = {.policy = ""};

static void denied_without_rules(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, EDU, VBROKER_DENIED, "no policy rule fits");
	vbroker_session_close(session);
	world_settle();
}

/* ---- the device ---- */

static void no_such_device(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, "0000:00:1f.7", VBROKER_NO_SUCH_DEVICE, "0000:00:1f.7");
	expect_open_refused(session, "no-such-name", VBROKER_NO_SUCH_DEVICE, "neither a PCI address like");
	expect_open_refused(session, "/dev/null", VBROKER_NO_SUCH_DEVICE, NULL);
	expect_open_refused(session, "0000:00:3f.0", VBROKER_NO_SUCH_DEVICE, NULL);
	expect_open_refused(session, "", VBROKER_NO_SUCH_DEVICE, NULL);
	vbroker_session_close(session);
	world_settle();
}

static void no_iommu(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, NO_IOMMU, VBROKER_NO_IOMMU, NO_IOMMU " is in no IOMMU group");
	vbroker_session_close(session);
	world_settle();
}

static void group_not_viable(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, MIXED, VBROKER_GROUP_NOT_VIABLE,
		MIXED " shares IOMMU group 5 with " MIXED_NIC " (8086:100e), which is driven by e1000");
	assert_null(strstr(vbroker_detail(), "; add"));
	/* Where a rule lets the user have both, a single line is missing, and named. */
	host_write("policy/10-test.conf",
		"[allow one]\naddress = " MIXED "\nuser = *\n"
		"[allow other]\naddress = " MIXED_NIC "\nuser = *\n");
	assert_int_equal(kill(world()->broker, SIGHUP), 0);
	expect_open_refused(session, MIXED, VBROKER_GROUP_NOT_VIABLE,
		", which is driven by e1000; add \"rebind = yes\" to rule \"other\" (");
	vbroker_session_close(session);
	world_settle();
}

static void device_bad_state(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, DEAD, VBROKER_DEVICE_BAD_STATE, DEAD " does not answer");
	vbroker_session_close(session);
	world_settle();
}

/* vfio-pci is not loaded: the device stays where it is. */
static void no_vfio_driver(void **state)
{
	struct vbroker_session *session = session_begin();
	char from[128], to[128];

	(void)state;
	snprintf(from, sizeof from, "%s/drivers/vfio-pci", world()->directory);
	snprintf(to, sizeof to, "%s/drivers/.away", world()->directory);
	assert_int_equal(rename(from, to), 0);
	expect_open_refused(session, NVME, VBROKER_DEVICE_BAD_STATE,
		NVME ": cannot bind it to vfio-pci: there is no such driver ('modprobe vfio-pci')");
	expect_driver(NVME, "nvme");
	assert_int_equal(host_claims(), 0);
	assert_int_equal(rename(to, from), 0);
	vbroker_device_close(device_begin(session, NVME));
	vbroker_session_close(session);
	world_settle();
}

static void no_group_node(void **state)
{
	struct vbroker_session *session = session_begin();
	char from[128], to[128];

	(void)state;
	snprintf(from, sizeof from, "%s/groups/3", world()->directory);
	snprintf(to, sizeof to, "%s/groups/.away", world()->directory);
	assert_int_equal(rename(from, to), 0);
	expect_open_refused(session, NVME, VBROKER_DEVICE_BAD_STATE, "/dev/vfio/3: No such file");
	await_driver(NVME, "nvme");
	assert_int_equal(rename(to, from), 0);
	vbroker_session_close(session);
	world_settle();
}

/* ---- somebody has it ---- */

static void device_busy(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *device = device_begin(session, TWIN);
	char words[128];

	(void)state;
	snprintf(words, sizeof words, TWIN " is held by uid %u, pid %d", getuid(), getpid());
	expect_open_refused(other, TWIN, VBROKER_DEVICE_BUSY, words);
	snprintf(words, sizeof words, TWIN_2 " belongs to an IOMMU group that is held by uid %u, pid %d", getuid(),
		getpid());
	expect_open_refused(other, TWIN_2, VBROKER_DEVICE_BUSY, words);
	expect_open_refused(session, TWIN, VBROKER_DEVICE_BUSY, "this session has it already");
	vbroker_device_close(device);
	vbroker_device_close(device_begin(other, TWIN));
	vbroker_session_close(session);
	vbroker_session_close(other);
	world_settle();
}

/* A program that root gave the node by hand. */
static void group_held_by_a_foreigner(void **state)
{
	struct vbroker_session *session = session_begin();
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[128];
	int fds[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/groups/%d", world()->directory, i ? 3 : 1);
		fds[i] = open(path, O_RDWR | O_CLOEXEC);
		assert_true(fds[i] >= 0);
		assert_int_equal(fcntl(fds[i], F_OFD_SETLK, &lock), 0);
	}
	expect_open_refused(session, EDU, VBROKER_DEVICE_BUSY, "/dev/vfio/1 is open in a program");
	expect_open_refused(session, NVME, VBROKER_DEVICE_BUSY, "'fuser -v /dev/vfio/3' names it");
	expect_driver(NVME, "nvme");
	assert_int_equal(host_claims(), 0);
	close(fds[0]);
	close(fds[1]);
	vbroker_device_close(device_begin(session, EDU));
	vbroker_session_close(session);
	world_settle();
}

/* ---- limits ---- */

static const struct world_options few_sessions = {.broker_arguments = {"--sessions-per-user", "3"}};

static void quota_of_sessions(void **state)
{
	struct vbroker_session *sessions[3], *more = NULL;

	(void)state;
	for (int i = 0; i < 3; i++)
		sessions[i] = session_begin();
	for (int i = 0; i < 20; i++)
		expect_refused(vbroker_session_open(world()->broker_socket, &more), VBROKER_QUOTA,
			"uid 0 has 3 sessions, the limit (--sessions-per-user)");
	assert_null(more);
	expect_ok(vbroker_session_ping(sessions[2]));
	vbroker_session_close(sessions[0]);
	for (int i = 0; i < 200 && vbroker_session_open(world()->broker_socket, &sessions[0]) != 0; i++)
		nap(5);
	expect_ok(vbroker_session_ping(sessions[0]));
	for (int i = 0; i < 3; i++)
		vbroker_session_close(sessions[i]);
	world_settle();
}

static const struct world_options few_leases = {.broker_arguments = {"--leases-per-user", "2"}};

static void quota_of_leases(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *a = device_begin(session, EDU), *b = device_begin(other, EDU_2);

	(void)state;
	expect_open_refused(session, NVME, VBROKER_QUOTA, "uid 0 has 2 devices, the limit is 2 (--leases-per-user)");
	expect_driver(NVME, "nvme");
	vbroker_device_close(b);
	b = device_begin(session, NVME);
	expect_open_refused(other, TWIN, VBROKER_QUOTA, NULL);
	vbroker_device_close(a);
	vbroker_device_close(b);
	vbroker_session_close(session);
	vbroker_session_close(other);
	world_settle();
}

/* ---- keepers ---- */

static const struct world_options nobody_listens = {.no_keepers = true};

static void no_keeper_socket(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	expect_open_refused(session, EDU, VBROKER_NO_KEEPER, "/keeper.sock: No such file or directory");
	expect_open_refused(session, NVME, VBROKER_NO_KEEPER, "/keeper.sock");
	vbroker_session_close(session);
	world_settle();
}

static const char *const dies[] = {"/bin/false", NULL};
static const struct world_options dies_at_once = {.keeper = dies};

static void keeper_dies_at_once(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	for (int i = 0; i < 10; i++) {
		expect_open_refused(session, i % 2 ? NVME : EDU, VBROKER_NO_KEEPER, NULL);
		world_settle();
	}
	vbroker_session_close(session);
	world_settle();
}

static const char *const slow[] = {"/bin/sh", "-c", "sleep 1; exec \"$0\"", NULL};
static const struct world_options slow_keeper = {.keeper = slow};

static void slow_keeper_is_waited_for(void **state)
{
	struct open_request open = {.name = NVME};
	int session = raw_connect(world()->broker_socket);
	struct vbroker_session *other = session_begin();
	uint64_t start = now_ms();

	(void)state;
	raw_hello(session);
	raw_request(session, BROKER_OPEN, 5, &open, sizeof open);
	/* nobody else waits for it */
	for (int i = 0; i < 20; i++)
		expect_ok(vbroker_session_ping(other));
	assert_true(now_ms() - start < 900);
	expect_open_refused(other, NVME, VBROKER_DEVICE_BUSY, "is held by");
	assert_int_equal(raw_reply(session, BROKER_OPEN, 5), 0);
	close(session);
	vbroker_session_close(other);
	world_settle();
}

/* It is given up, and its device goes back, as soon as the process lets go. */
static void keeper_that_never_answers(void **state)
{
	struct vbroker_session *session = session_begin();
	pid_t pids[KEEPERS_MAX];
	uint64_t start = now_ms();

	(void)state;
	world_await_spare(session);
	assert_int_equal(keepers(pids), 1);
	kill(pids[0], SIGSTOP);
	expect_open_refused(session, NVME, VBROKER_NO_KEEPER, NULL);
	assert_true(now_ms() - start > 10000);
	for (size_t i = keepers(pids); i > 0; i--)
		kill(pids[i - 1], SIGKILL);
	vbroker_session_close(session);
	world_settle();
}

/* ---- BIND ---- */

static void expect_bind_refused(const char *name, struct vbroker_domain *domain, int refusal, const char *words)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, name);
	struct vbroker_domain *fresh = domain_begin();

	expect_refused(vbroker_device_bind(device, domain ? domain : fresh), refusal, words);
	expect_ok(vbroker_device_ping(device));
	vbroker_device_close(device);
	vbroker_domain_close(fresh);
	vbroker_session_close(session);
}

static const struct failing {
	enum fake_step step;
	int error;
	int refusal;
	const char *words;
} failing[] = {
	{FAKE_ATTACH, ENOMEM, VBROKER_NO_DOMAINS, "VFIO_GROUP_SET_CONTAINER"},
	{FAKE_ATTACH, ENOSPC, VBROKER_NO_DOMAINS, "the IOMMU has no domain left"},
	{FAKE_ATTACH, EINVAL, VBROKER_DOMAIN_INCOMPATIBLE, "reserves"},
	{FAKE_ATTACH, ENODEV, VBROKER_DOMAIN_INCOMPATIBLE, "does not serve this group"},
	{FAKE_ATTACH, EPERM, VBROKER_NO_REMAPPING, "no interrupt remapping"},
	{FAKE_DEVICE_GET, EIO, VBROKER_DEVICE_BAD_STATE, "VFIO_GROUP_GET_DEVICE_FD"},
	{FAKE_DEVICE_GET, ENODEV, VBROKER_GONE, "does not have the device"},
	{FAKE_DEVICE_GET, EACCES, VBROKER_UNSUPPORTED, "token"},
	{FAKE_DEVICE_INFO, EIO, VBROKER_DEVICE_BAD_STATE, NULL},
	{FAKE_READ, EIO, VBROKER_DEVICE_BAD_STATE, NULL},
	{FAKE_WRITE, EIO, VBROKER_DEVICE_BAD_STATE, NULL},
};

static void bind_refused_by_the_kernel(void **state)
{
	struct fake_group *group = host_group(1);

	(void)state;
	for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
		group->failures[failing[i].step] = failing[i].error;
		expect_bind_refused(EDU, NULL, failing[i].refusal, failing[i].words);
		group->failures[failing[i].step] = 0;
	}
	group->devices[0].vanished = true;
	expect_bind_refused(EDU, NULL, VBROKER_DEVICE_BAD_STATE, "does not answer");
	group->devices[0].vanished = false;
	group->viable = false;
	expect_bind_refused(EDU, NULL, VBROKER_GROUP_NOT_VIABLE, EDU);
	group->viable = true;
	group->no_remapping = true;
	expect_bind_refused(EDU, NULL, VBROKER_NO_REMAPPING, "interrupt remapping");
	group->no_remapping = false;
	world_settle();
}

static void bind_refused_by_the_domain(void **state)
{
	struct vbroker_domain *domain = domain_begin();
	struct fake_container *container = fake_container_view(vbroker_domain_fd(domain));

	(void)state;
	assert_non_null(container);
	container->failures[FAKE_SETUP] = ENOMEM;
	expect_bind_refused(EDU, domain, VBROKER_NO_DOMAINS, "VFIO_SET_IOMMU");
	container->failures[FAKE_SETUP] = ENODEV;
	expect_bind_refused(EDU, domain, VBROKER_DOMAIN_INCOMPATIBLE, "no type 1 IOMMU");
	container->failures[FAKE_SETUP] = 0;
	vbroker_domain_close(domain);
	world_settle();
}

/* A device that has no reset can be had again by this, and has its reset back afterwards. */
static const struct world_options without_reset = {
	.policy = "[allow edu]\naddress = " EDU "\nuser = *\nreset = optional\nsettle = 0ms\n"};

static void unsupported(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	int event = eventfd(0, EFD_CLOEXEC);
	uint64_t value;

	(void)state;
	host_group(1)->devices[0].resettable = false;
	expect_ok(vbroker_device_bind(device, domain));
	expect_refused(vbroker_device_reset(device), VBROKER_UNSUPPORTED, EDU " has no reset of its own");
	expect_refused(vbroker_region_read(device, VFIO_PCI_BAR1_REGION_INDEX, 0, 4, &value), VBROKER_UNSUPPORTED,
		EDU " has no region 1");
	expect_refused(vbroker_irq_set(device, VFIO_PCI_ERR_IRQ_INDEX, 0, &event, 1), VBROKER_UNSUPPORTED, NULL);
	expect_refused(vbroker_region_read(device, 0, FAKE_BAR0_SIZE, 4, &value), VBROKER_MALFORMED, "0x10000");
	close(event);
	vbroker_device_close(device);
	host_group(1)->devices[0].resettable = true;
	device = device_begin(session, EDU);
	expect_ok(vbroker_device_bind(device, domain));
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* ---- quarantine ---- */

/* Hazard 1: the last holder keeps the kernel from letting go. Only its group suffers, and everybody is told why. */
static void quarantined(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *device = device_begin(session, EDU), *free_one;
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_status status;
	uint64_t start;
	int r;

	(void)state;
	expect_ok(vbroker_device_bind(device, domain));
	host_group(1)->hang = true;
	vbroker_session_close(session);
	start = now_ms();
	free_one = device_begin(other, EDU_2);
	vbroker_device_close(free_one);
	expect_open_refused(other, EDU, VBROKER_QUARANTINED, "IOMMU group 1: its keeper does not let go");
	assert_in_range(now_ms() - start, 3000, 9000);
	expect_open_refused(other, EDU, VBROKER_QUARANTINED, "the last holder, uid 0, pid ");
	expect_ok(vbroker_session_status(other, &status));
	assert_int_equal(status.quarantined, 1);
	host_group(1)->hang = false;
	for (int i = 0; (r = vbroker_device_open(other, EDU, &free_one)) != 0 && i < 400; i++)
		nap(10);
	expect_ok(r);
	vbroker_device_close(free_one);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(other);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(denied),
		CASE_IN(denied_by_a_mistake, &mistaken),
		CASE_IN(denied_without_rules, &empty_policy),
		CASE(no_such_device),
		CASE(no_iommu),
		CASE(group_not_viable),
		CASE(device_bad_state),
		CASE(no_vfio_driver),
		CASE(no_group_node),
		CASE(device_busy),
		CASE(group_held_by_a_foreigner),
		CASE_IN(quota_of_sessions, &few_sessions),
		CASE_IN(quota_of_leases, &few_leases),
		CASE_IN(no_keeper_socket, &nobody_listens),
		CASE_IN(keeper_dies_at_once, &dies_at_once),
		CASE_IN(slow_keeper_is_waited_for, &slow_keeper),
		CASE(keeper_that_never_answers),
		CASE(bind_refused_by_the_kernel),
		CASE(bind_refused_by_the_domain),
		CASE_IN(unsupported, &without_reset),
		CASE(quarantined),
	};

	return HARNESS_RUN(argc, argv, "refusals", tests);
}
