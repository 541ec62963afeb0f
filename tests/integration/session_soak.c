/* SPDX-License-Identifier: MIT */
#include "actors.h"
#include "harness.h"
#include "raw_channel.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

/*
 * The clients of fuzz_service (tests/fuzz/actors.h), against daemons that are processes: random steps, good and bad
 * ones, of two users, while keepers are killed and the kernel fails. Each request is answered once and in order, and
 * whenever all clients have gone, everything is as it was. VFIO_BROKER_TEST_SEED repeats the steps,
 * VFIO_BROKER_TEST_SOAK_MS is how long it takes.
 */

#define STEPS 150 /* before everybody leaves */

static unsigned int duration_ms = 15000;
static unsigned int seed;
static struct actors actors;

static const char *const names[] = {EDU, NVME, TWIN, TWIN_2, BARE, "0000:ff:00.0"};

enum { DOMAINS = 2, EVENTFDS = 2, THINGS = DOMAINS + EVENTFDS + 4 };
static int things[THINGS];

static unsigned int chance(unsigned int below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static int connect_session(size_t i)
{
	int fd;

	assert_int_equal(seteuid((uid_t)(1000 + i % 2)), 0);
	fd = raw_connect(world()->broker_socket);
	assert_int_equal(seteuid(0), 0);
	return fd;
}

static void make_things(void)
{
	int at = 0;

	for (int i = 0; i < DOMAINS; i++)
		things[at++] = fake_container_open();
	for (int i = 0; i < EVENTFDS; i++)
		things[at++] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	things[at++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	things[at++] = memfd_create("memory", MFD_CLOEXEC);
	things[at++] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	things[at++] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	actors.connect = connect_session;
	actors.names = names;
	actors.name_count = sizeof names / sizeof names[0];
	actors.fds = things;
	actors.fd_count = THINGS;
	actors.domain_count = DOMAINS;
}

static void kill_a_keeper(void)
{
	pid_t pids[KEEPERS_MAX];
	size_t count = keepers(pids);

	if (count > 0)
		kill(pids[chance((unsigned int)count)], SIGKILL);
}

static void fail_somewhere(unsigned int group)
{
	static const int errors[] = {EIO, EINVAL, EBUSY, ENODEV, ENOMEM};

	host_group(group)->failures[chance(FAKE_STEPS)] = errors[chance(5)];
}

static void heal(void)
{
	for (unsigned int group = 1; group <= 12; group++)
		memset(host_group(group)->failures, 0, sizeof host_group(group)->failures);
}

/* One who is there, mostly. */
static struct actor *someone(void)
{
	struct actor *actor = NULL;

	for (int i = 0; i < 4 && (!actor || actor->fd < 0); i++)
		actor = &actors.all[chance(ACTORS_SESSIONS + ACTORS_DEVICES)];
	return actor;
}

static void step(void)
{
	uint8_t bytes[64];
	struct input input = {bytes, sizeof bytes};
	/* Asking is what most of it should be. */
	static const enum actor_step steps[] = {ACTOR_CONNECTS, ACTOR_ASKS, ACTOR_ASKS, ACTOR_ASKS, ACTOR_ASKS,
		ACTOR_ASKS, ACTOR_ASKS, ACTOR_READS, ACTOR_READS, ACTOR_SENDS, ACTOR_ENDS};
	enum actor_step what = steps[chance(sizeof steps / sizeof steps[0])];
	struct actor *actor = someone();

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)chance(256);
	/*
	 * Framing is broken now and then only: it is the end of a channel. Whoever has said nothing yet says HELLO,
	 * mostly; sessions are there to open devices, and these to be bound.
	 */
	if (what == ACTOR_SENDS && chance(8) > 0)
		bytes[0] |= INPUT_LENGTH_RIGHT | INPUT_COOKIE_RIGHT;
	else if (actor->state == STATE_NEW && chance(8) > 0)
		bytes[0] = COMMON_HELLO;
	else if (actor->table == &broker_table && chance(3) == 0)
		bytes[0] = BROKER_OPEN;
	else if (actor->table == &device_table && actor->state == STATE_READY && chance(2) == 0)
		bytes[0] = DEVICE_BIND;
	actors_step(&actors, what, (size_t)(actor - actors.all), &input);
	switch (chance(120)) {
	case 0:
		kill_a_keeper();
		break;
	case 1:
		fail_somewhere(1 + chance(12));
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		nap(1);
		break;
	default:
		break;
	}
}

/* An OPEN may have to wait for a keeper that was killed, and that is all. */
static void expect_answers(void)
{
	uint64_t start = now_ms();

	do {
		actors_read_all(&actors);
		if (actors_unanswered(&actors) == 0)
			return;
		nap(1);
	} while (now_ms() - start < 40000);
	fail_msg("%zu requests are not answered", actors_unanswered(&actors));
}

static void everybody_at_random(void **state)
{
	uint64_t start = now_ms(), sent = 0, granted = 0, refused = 0, rounds = 0;

	(void)state;
	assert_int_equal(chmod(world()->directory, 0711), 0);
	make_things();
	do {
		print_message("# VFIO_BROKER_TEST_SEED=%u\n", seed);
		actors_init(&actors);
		for (int i = 0; i < STEPS; i++)
			step();
		heal();
		expect_answers();
		for (size_t i = 0; i < ACTORS_SESSIONS + ACTORS_DEVICES; i++)
			actor_end(&actors.all[i]);
		if (++rounds % 8 == 0)
			world_settle();
		sent += actors.sent;
		granted += actors.granted;
		refused += actors.refused;
	} while (now_ms() - start < duration_ms);
	world_settle();
	print_message("# %llu rounds: %llu requests were sent, %llu granted, %llu refused\n",
		(unsigned long long)rounds, (unsigned long long)sent, (unsigned long long)granted,
		(unsigned long long)refused);
	assert_true(granted > 100);
	for (size_t i = 0; i < THINGS; i++)
		close(things[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {CASE(everybody_at_random)};
	const char *given = getenv("VFIO_BROKER_TEST_SEED");

	seed = given ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)now_ms();
	if (getenv("VFIO_BROKER_TEST_SOAK_MS"))
		duration_ms = (unsigned int)strtoul(getenv("VFIO_BROKER_TEST_SOAK_MS"), NULL, 10);
	return HARNESS_RUN(argc, argv, "session_soak", tests);
}
