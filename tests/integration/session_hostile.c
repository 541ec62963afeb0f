/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "harness.h"
#include "hostile.h"
#include "message.h"
#include "packet.h"
#include "raw_channel.h"
#include "refusal.h"
#include "unit.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

/*
 * One user does everything to the service that its sockets let it do. Another user, who has a device and wants more, is
 * served all the while; the first one alone is refused, in the words that PROTOCOL.md has for it; and when it is gone,
 * memory and descriptors are what they were. How much slower the other is served meanwhile, tests/run-bench measures.
 */

/* How long each attack lasts, at least: VFIO_BROKER_TEST_HOSTILE_MS. */
static unsigned int duration_ms = 700;

/* Real time of a test that waits for something: the machine may be busy. */
#define PATIENCE_MS 60000

/* ---- offenders are processes: COUNT of them do ATTACK until it returns or they are killed ---- */

typedef void (*attack_function)(unsigned int number);

/* Of those, the first stays root: it is an administrator who does his work. */
static void open_or_revoke(unsigned int number);

static pid_t offender_start(attack_function attack, unsigned int number)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		bool root = attack == open_or_revoke && number == 0;

		if (!root &&
			(setresgid(OFFENDER, OFFENDER, OFFENDER) < 0 || setresuid(OFFENDER, OFFENDER, OFFENDER) < 0))
			_exit(3);
		/* Not before: to become another user resets it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attack(number);
		_exit(0);
	}
	return pid;
}

#define OFFENDERS_MAX 64

/* The attacks go on for the duration at least, until the bystander was served a few times, and are killed then. */
static void under_attack(attack_function attack, unsigned int count)
{
	uint64_t start = now_ms();
	pid_t pids[OFFENDERS_MAX];

	begin();
	for (unsigned int i = 0; i < count; i++)
		pids[i] = offender_start(attack, i);
	do {
		serve_bystander();
		for (unsigned int i = 0; i < count; i++) {
			int status;

			/* Attacks are loops: what ends one is what it could not believe. */
			if (waitpid(pids[i], &status, WNOHANG) == pids[i])
				fail_msg("offender %u ended with wait status %#x", i, status);
		}
	} while (now_ms() - start < duration_ms || bystander.served < 3);
	for (unsigned int i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	}
	end();
}

/* The same for attacks that say themselves when they are done, with exit code 0. */
static void until_done(attack_function attack)
{
	uint64_t start = now_ms();
	int status = 0;
	pid_t pid;

	begin();
	pid = offender_start(attack, 0);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		serve_bystander();
		assert_true(now_ms() - start < PATIENCE_MS);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	end();
}

/* For offenders, which must not use the asserts of the test's process. */
#define BELIEVE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "offender: %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
			_exit(4);                                                                                      \
		}                                                                                                      \
	} while (0)

/* Returns a channel, or -1: the queue of the listening socket is full. */
static int try_connect(int flags)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	BELIEVE(fd >= 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", world()->broker_socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	BELIEVE(errno == EAGAIN);
	close(fd);
	return -1;
}

/* ---- connections ---- */

#define CONNECTIONS 10000

/* The refusal that comes before any request: 0 if the channel is still open and nothing came. */
static int turned_away(int fd, int timeout_ms, struct detail *detail)
{
	static struct packet packet;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r;

	packet_init(&packet);
	if (poll(&p, 1, timeout_ms) == 0)
		return 0;
	BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_RECEIVED);
	BELIEVE(packet.header.cookie == 0 && (packet.header.flags & MESSAGE_REFUSED));
	r = packet_refusal(&packet, detail);
	BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_END);
	return r;
}

static void connect_10000(unsigned int number)
{
	static int fds[CONNECTIONS];
	unsigned int admitted = 0, refused = 0;
	struct detail detail;

	(void)number;
	for (size_t i = 0; i < CONNECTIONS; i++)
		fds[i] = try_connect(0);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		/* The last ones may be in the queue still; the first ones are let in, and nothing ever comes. */
		int r = turned_away(fds[i], i < 1024 ? 0 : 20000, &detail);

		admitted += r == 0;
		refused += r == REFUSAL_QUOTA && strstr(detail.text, "uid 1000 has 1024 sessions");
	}
	BELIEVE(admitted == 1024 && refused == CONNECTIONS - 1024);
}

static void ten_thousand_connections(void **state)
{
	(void)state;
	until_done(connect_10000);
}

/* Nobody says HELLO: as many as one may have, held. */
static void hold_connections(unsigned int number)
{
	(void)number;
	for (;;) {
		int fd = try_connect(0);
		struct detail detail;

		if (turned_away(fd, 5, &detail) != 0)
			close(fd);
	}
}

static void half_open_handshakes(void **state)
{
	(void)state;
	under_attack(hold_connections, 2);
}

static void connect_and_close(unsigned int number)
{
	for (;;) {
		int fd = try_connect(number % 2 ? SOCK_NONBLOCK : 0);

		if (fd >= 0)
			close(fd);
	}
}

static void connection_churn(void **state)
{
	(void)state;
	under_attack(connect_and_close, 3);
}

/* ---- requests ---- */

/* True: it was sent. */
static bool try_send(int fd, const void *bytes, size_t size, const int *fds, size_t count)
{
	return raw_try_send(fd, MSG_DONTWAIT, bytes, size, fds, count) >= 0;
}

static bool try_request(int fd, uint16_t type, const void *payload, size_t size, const int *fds, size_t count)
{
	struct request request = {.header = {type, 0, (uint32_t)size, 7}};

	if (size > 0)
		memcpy(request.payload, payload, size);
	return try_send(fd, &request, sizeof request.header + size, fds, count);
}

/* As many sessions as one may have ask and ask, and never read. */
static void ask_without_reading(unsigned int number)
{
	const struct listing_request page = {0};
	int fds[256];

	(void)number;
	for (size_t i = 0; i < 256; i++) {
		fds[i] = try_connect(0);
		try_request(fds[i], COMMON_HELLO, &hello, sizeof hello, NULL, 0);
	}
	for (;;) {
		for (size_t i = 0; i < 256; i++) {
			while (try_request(fds[i], BROKER_LIST, &page, sizeof page, NULL, 0))
				;
		}
	}
}

static void slow_readers(void **state)
{
	(void)state;
	under_attack(ask_without_reading, 2);
}

static void send_garbage(unsigned int number)
{
	static uint8_t bytes[4096];
	unsigned int seed = number + 1;

	for (;;) {
		int fd = try_connect(0);
		bool good = fd >= 0;

		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t)(rand_r(&seed) >> 8);
		while (good) {
			size_t size = (unsigned int)rand_r(&seed) % sizeof bytes;
			struct message_header header = {.type = (uint16_t)(size % 16), .cookie = 1};

			/* Whole packets now and then, or nothing behind the first one is ever looked at. */
			if (size >= sizeof header && size % 8 > 0) {
				header.length = (uint32_t)(size - sizeof header);
				memcpy(bytes, &header, sizeof header);
			}
			good = try_send(fd, bytes, size, NULL, 0);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void pipelined_garbage(void **state)
{
	(void)state;
	under_attack(send_garbage, 4);
}

/* ---- opening ---- */

/* Dies with an OPEN in flight, or with the device: which, is a matter of time. */
static void open_and_die(unsigned int number)
{
	const struct open_request open = {.name = EDU};

	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			int fd = try_connect(0);

			try_request(fd, COMMON_HELLO, &hello, sizeof hello, NULL, 0);
			try_request(fd, BROKER_OPEN, &open, sizeof open, NULL, 0);
			usleep(number * 300);
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

static void fork_bomb_of_opens(void **state)
{
	(void)state;
	under_attack(open_and_die, 16);
}

static void open_and_release(unsigned int number)
{
	struct vbroker_session *session;

	BELIEVE(vbroker_session_open(world()->broker_socket, &session) == 0);
	for (;;) {
		struct vbroker_device *device;
		int r = vbroker_device_open(session, EDU, &device);

		if (r == 0)
			vbroker_device_close(device);
		else
			BELIEVE(r == VBROKER_DEVICE_BUSY || r == VBROKER_NO_KEEPER);
		if (number % 2) {
			vbroker_session_close(session);
			BELIEVE(vbroker_session_open(world()->broker_socket, &session) == 0);
		}
	}
}

static void storm_on_one_device(void **state)
{
	(void)state;
	under_attack(open_and_release, 6);
}

/* Whatever becomes of it; and it would like to take back devices of others. */
static void open_again_and_again(unsigned int number)
{
	const struct revoke_request revoke = {.name = EDU_2};
	struct vbroker_session *session;

	for (;;) {
		struct vbroker_device *device;

		BELIEVE(vbroker_session_open(world()->broker_socket, &session) == 0);
		for (int i = 0; i < 8; i++) {
			if (vbroker_device_open(session, EDU, &device) == 0)
				vbroker_device_close(device);
		}
		vbroker_session_close(session);
		if (number % 2) {
			int fd = try_connect(0);

			try_request(fd, COMMON_HELLO, &hello, sizeof hello, NULL, 0);
			while (try_request(fd, BROKER_REVOKE, &revoke, sizeof revoke, NULL, 0))
				;
			close(fd);
		}
	}
}

/* An administrator takes it back each time: every REVOKE is answered, and says that it is complete or nobody had it. */
static void revoke_again_and_again(unsigned int number)
{
	const struct revoke_request revoke = {.name = EDU};
	static struct packet packet;
	int fd;

	(void)number;
	fd = try_connect(0);
	packet_init(&packet);
	BELIEVE(try_request(fd, COMMON_HELLO, &hello, sizeof hello, NULL, 0));
	BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_RECEIVED);
	for (;;) {
		const struct revoke_reply *reply;

		BELIEVE(try_request(fd, BROKER_REVOKE, &revoke, sizeof revoke, NULL, 0));
		BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_RECEIVED);
		reply = packet_body(&packet, sizeof *reply);
		BELIEVE(packet.header.type == BROKER_REVOKE && packet.header.flags == MESSAGE_REPLY && reply);
		BELIEVE(reply->result == REVOKE_COMPLETE || reply->result == REVOKE_NOBODY);
	}
}

static void open_or_revoke(unsigned int number)
{
	if (number == 0)
		revoke_again_and_again(number);
	else
		open_again_and_again(number);
}

static void revocation_storm(void **state)
{
	(void)state;
	under_attack(open_or_revoke, 5);
}

/* ---- descriptors ---- */

static int open_channel(int session, const char *name)
{
	static struct packet packet;
	struct open_request request = {0};
	int channel = -1;

	packet_init(&packet);
	snprintf(request.name, sizeof request.name, "%s", name);
	if (!try_request(session, COMMON_HELLO, &hello, sizeof hello, NULL, 0) ||
		!try_request(session, BROKER_OPEN, &request, sizeof request, NULL, 0))
		return -1;
	for (int i = 0; i < 2 && packet_receive(session, 0, 1, &packet) == PACKET_RECEIVED; i++) {
		if (packet.fds.count == 1)
			channel = fdset_take(&packet.fds, 0);
	}
	packet_clear(&packet);
	return channel;
}

enum { SOCKETS, EVENTFDS, FILES, FLOODS };

static int flood_of(unsigned int kind)
{
	int ends[2];

	switch (kind) {
	case SOCKETS:
		BELIEVE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
		return ends[0];
	case EVENTFDS:
		return eventfd(0, EFD_CLOEXEC);
	default:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	}
}

/* 253 of them with every packet, as many packets as fit, to the broker and to the keeper of a device. */
static void flood(unsigned int number)
{
	const struct listing_request page = {0};
	int fds[FDSET_MAX];

	for (size_t i = 0; i < FDSET_MAX; i++)
		fds[i] = flood_of(number % FLOODS);
	for (;;) {
		int session = try_connect(0), device = open_channel(session, EDU);

		while (device >= 0 && try_request(device, COMMON_PING, NULL, 0, fds, FDSET_MAX))
			;
		while (try_request(session, BROKER_LIST, &page, sizeof page, fds, FDSET_MAX))
			;
		if (device >= 0)
			close(device);
		close(session);
	}
}

static void descriptor_floods(void **state)
{
	(void)state;
	under_attack(flood, FLOODS);
}

int main(int argc, char **argv)
{
	static const struct world_options options = {.broker_arguments = {"--sessions-per-user", "1024"}};
	const struct rlimit files = {16384, 16384};
	const struct CMUnitTest tests[] = {
		CASE_IN(ten_thousand_connections, &options),
		CASE_IN(half_open_handshakes, &options),
		CASE_IN(connection_churn, &options),
		CASE_IN(slow_readers, &options),
		CASE_IN(pipelined_garbage, &options),
		CASE_IN(fork_bomb_of_opens, &options),
		CASE_IN(storm_on_one_device, &options),
		CASE_IN(revocation_storm, &options),
		CASE_IN(descriptor_floods, &options),
	};

	/* The broker's as well, which keeps some for itself; vfio-broker.service has its own. */
	setrlimit(RLIMIT_NOFILE, &files);
	if (getenv("VFIO_BROKER_TEST_HOSTILE_MS"))
		duration_ms = (unsigned int)strtoul(getenv("VFIO_BROKER_TEST_HOSTILE_MS"), NULL, 10);
	return HARNESS_RUN(argc, argv, "session_hostile", tests);
}
