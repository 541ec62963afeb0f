/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/*
 * kill -9 of anybody at any moment. Afterwards every device is with its driver again, no record and no process is left
 * over, and the next one gets the device. The moments are random; a failure prints the seed, which
 * VFIO_BROKER_TEST_SEED repeats.
 */

static unsigned int seed;

static unsigned int chance(unsigned int below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static void sow(void)
{
	const char *given = getenv("VFIO_BROKER_TEST_SEED");

	seed = given ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)now_ms();
	print_message("# VFIO_BROKER_TEST_SEED=%u\n", seed);
}

static void nap_us(unsigned int microseconds)
{
	usleep(microseconds);
}

/* ---- a client that does everything, until it is killed ---- */

static const char *const names[] = {EDU, NVME, TWIN, BARE, STUBBED};
#define NAMES_COUNT (sizeof names / sizeof *names)

static void use(struct vbroker_session *session, struct vbroker_domain *domain, const char *name)
{
	static char memory[65536] __attribute__((aligned(4096)));
	int event = eventfd(0, EFD_CLOEXEC);
	struct vbroker_device *device;
	uint64_t iova, value;

	if (vbroker_device_open(session, name, &device) != 0) {
		close(event);
		return;
	}
	if (vbroker_device_bind(device, domain) == 0) {
		vbroker_domain_map(domain, memory, sizeof memory, VBROKER_DEVICE_READS, VBROKER_IOVA_ANY, &iova);
		vbroker_irq_set(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, &event, 1);
		vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value);
	}
	vbroker_device_close(device);
	close(event);
}

static void live(unsigned int first)
{
	struct vbroker_session *session;
	struct vbroker_domain *domain = domain_begin();

	for (unsigned int i = first;; i++) {
		if (vbroker_session_open(world()->broker_socket, &session) != 0) {
			nap(1);
			continue;
		}
		for (unsigned int j = 0; j < 3; j++)
			use(session, domain, names[(i + j) % NAMES_COUNT]);
		vbroker_session_close(session);
	}
}

static pid_t start_client(unsigned int first)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(first);
		_exit(0);
	}
	return pid;
}

static void end_client(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The next one gets each device at once: no refusal because of who has died. */
static void expect_usable(void)
{
	struct vbroker_session *session = session_begin();

	for (size_t i = 0; i < NAMES_COUNT; i++) {
		struct vbroker_device *device;
		int r = vbroker_device_open(session, names[i], &device);

		expect_ok(r);
		vbroker_device_close(device);
	}
	vbroker_session_close(session);
	world_settle();
}

#define MOMENTS 50

/* On a machine that is busy with something else, no more moments than these after this time. */
#define MOMENTS_MIN 10
#define TIME_MS	    20000

static bool is_moment(int i, uint64_t start)
{
	return i < MOMENTS_MIN || (i < MOMENTS && now_ms() - start < TIME_MS);
}

static void client_is_killed(void **state)
{
	uint64_t start = now_ms();

	(void)state;
	sow();
	for (int i = 0; is_moment(i, start); i++) {
		pid_t a = start_client(chance(NAMES_COUNT)), b = start_client(chance(NAMES_COUNT));

		nap_us(chance(60000));
		end_client(a);
		nap_us(chance(2000));
		end_client(b);
		if (i % 3 == 0)
			world_settle();
	}
	world_settle();
	expect_usable();
}

static void keeper_is_killed(void **state)
{
	uint64_t start = now_ms();

	(void)state;
	sow();
	for (int i = 0; is_moment(i, start); i++) {
		pid_t client = start_client(chance(NAMES_COUNT)), pids[KEEPERS_MAX];

		/* sometimes all of them, the spare one included, sometimes one */
		for (unsigned int n = 1 + chance(3); n > 0; n--) {
			size_t count, only = chance(3);

			nap_us(chance(40000));
			count = keepers(pids);
			for (size_t j = 0; j < count; j++) {
				if (only == 0 || only - 1 == j)
					kill(pids[j], SIGKILL);
			}
		}
		end_client(client);
		if (i % 10 == 0)
			world_settle();
	}
	world_settle();
	expect_usable();
}

static void broker_is_killed(void **state)
{
	uint64_t start = now_ms();

	(void)state;
	sow();
	for (int i = 0; is_moment(i, start); i++) {
		pid_t client = start_client(chance(NAMES_COUNT));

		nap_us(chance(80000));
		world_kill_broker();
		if (i % 2)
			end_client(client);
		world_start_broker();
		if (i % 2 == 0) {
			/* and once more, in the middle of undoing what the first left */
			nap_us(chance(3000));
			world_kill_broker();
			end_client(client);
			world_start_broker();
		}
		if (i % 5 == 0)
			expect_usable();
	}
	world_settle();
	expect_usable();
}

/* ---- what the survivors see ---- */

static void the_holder_is_told(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *device = device_begin(session, NVME);
	pid_t pids[KEEPERS_MAX];
	uint64_t value;
	int r;

	(void)state;
	expect_ok(vbroker_device_bind(device, domain));
	/* the keeper dies: the channel is the only one to say so, and the session goes on */
	for (size_t i = keepers(pids); i > 0; i--)
		kill(pids[i - 1], SIGKILL);
	expect_refused(vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value), VBROKER_REVOKED,
		"the keeper of the device has died");
	expect_refused(vbroker_device_ping(device), VBROKER_REVOKED, NULL);
	expect_ok(vbroker_session_ping(session));
	vbroker_device_close(device);
	/* The kernel may close the device's channel before the broker's, and the spare keeper has died as well: for
	 * a moment the broker does not know yet. */
	for (int i = 0; (r = vbroker_device_open(session, NVME, &device)) != 0 && i < 400; i++) {
		assert_true(r == VBROKER_DEVICE_BUSY || r == VBROKER_NO_KEEPER);
		nap(5);
	}
	expect_ok(r);
	expect_ok(vbroker_device_bind(device, domain));
	/* the broker dies: its keepers take the devices back and say why */
	world_kill_broker();
	for (int i = 0; i < 500 && (r = vbroker_device_ping(device)) == 0; i++)
		nap(5);
	expect_refused(r, VBROKER_REVOKED, "vfio-brokerd");
	assert_int_equal(vbroker_session_ping(session), -ECONNRESET);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_start_broker();
	world_settle();
	session = session_begin();
	device = device_begin(session, NVME);
	expect_ok(vbroker_device_bind(device, domain));
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

/* SIGTERM is not death: everything is let go first, and the exit status says so. */
static void broker_is_stopped(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *a = device_begin(session, NVME), *b = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	pid_t pids[KEEPERS_MAX];

	(void)state;
	expect_ok(vbroker_device_bind(a, domain));
	expect_ok(vbroker_device_bind(b, domain));
	world_stop_broker();
	expect_driver(NVME, "nvme");
	assert_int_equal(host_claims(), 0);
	for (int i = 0; i < 500 && keepers(pids) > 0; i++)
		nap(5);
	assert_int_equal(keepers(pids), 0);
	expect_refused(vbroker_device_ping(a), VBROKER_REVOKED, NULL);
	expect_refused(vbroker_device_ping(b), VBROKER_REVOKED, NULL);
	vbroker_device_close(a);
	vbroker_device_close(b);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_start_broker();
	world_settle();
}

/* ---- records of an earlier run ---- */

static void old_records_are_undone(void **state)
{
	(void)state;
	world_stop_broker();
	host_write("claims/" NVME, "nvme\n\n");
	host_write("devices/" NVME "/driver", "vfio-pci");
	host_write("devices/" NVME "/override", "vfio-pci");
	host_write("claims/0000:00:1e.0", "gone\n\n"); /* no such device any more */
	host_write("claims/" EDU, "nonsense");
	host_write("claims/" TWIN ".new", "vf");
	world_start_broker();
	world_settle();
	expect_usable();
}

/* A program has the group still, in another process than any keeper: it is waited for, and OPEN says so. */
static void old_records_wait_for_the_group(void **state)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct vbroker_session *session;
	char path[128];
	int fd;

	(void)state;
	world_stop_broker();
	host_write("claims/" NVME, "nvme\n\n");
	host_write("devices/" NVME "/driver", "vfio-pci");
	host_write("devices/" NVME "/override", "vfio-pci");
	snprintf(path, sizeof path, "%s/groups/3", world()->directory);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	world_start_broker();
	nap(100);
	expect_driver(NVME, "vfio-pci");
	session = session_begin();
	vbroker_device_close(device_begin(session, EDU));
	close(fd);
	/* waits for the group and gets it */
	vbroker_device_close(device_begin(session, NVME));
	vbroker_session_close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(client_is_killed),
		CASE(keeper_is_killed),
		CASE(broker_is_killed),
		CASE(the_holder_is_told),
		CASE(broker_is_stopped),
		CASE(old_records_are_undone),
		CASE(old_records_wait_for_the_group),
	};

	return HARNESS_RUN(argc, argv, "death", tests);
}
