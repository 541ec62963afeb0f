/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "raw_channel.h"

#include <poll.h>
#include <sys/eventfd.h>

/*
 * Everything that a SEQPACKET socket can bring, against the three kinds of servers. Whoever sends it is refused or cut
 * off; nobody else notices, nothing is lost.
 */

/* ---- the channels ---- */

enum target {
	BROKER, /* a session */
	DEVICE, /* a device channel, served by a keeper */
	KEEPER, /* a keeper's own channel: somebody else connected to its socket */
	TARGETS,
};

static const char *const target_names[] = {"broker", "device", "keeper"};

/* Who behaves, and must not notice; the session that the device of the one who does not behave belongs to. */
static struct bystander {
	struct vbroker_session *session;
	struct vbroker_device *device;
	int offender_session;
} bystander;

static void begin(enum target target)
{
	bystander.session = session_begin();
	bystander.device = device_begin(bystander.session, EDU_2);
	bystander.offender_session = -1;
	if (target == DEVICE) {
		bystander.offender_session = raw_connect(world()->broker_socket);
		raw_hello(bystander.offender_session);
	}
}

static void end(void)
{
	expect_ok(vbroker_session_ping(bystander.session));
	expect_ok(vbroker_device_ping(bystander.device));
	vbroker_device_close(bystander.device);
	vbroker_session_close(bystander.session);
	if (bystander.offender_session >= 0)
		close(bystander.offender_session);
	world_settle();
}

/* A fresh channel, without HELLO or with. */
static int channel_to(enum target target, bool greeted)
{
	int channel;

	if (target == DEVICE) {
		static struct packet packet;
		struct open_request request = {.name = EDU};

		raw_request(bystander.offender_session, BROKER_OPEN, 7, &request, sizeof request);
		assert_int_equal(raw_receive(bystander.offender_session, &packet), PACKET_RECEIVED);
		assert_int_equal(packet.header.flags, MESSAGE_REPLY);
		channel = fdset_take(&packet.fds, 0);
		packet_clear(&packet);
	} else {
		channel = raw_connect(target == BROKER ? world()->broker_socket : world()->keeper_socket);
	}
	if (greeted)
		raw_hello(channel);
	return channel;
}

/* ---- what is sent ---- */

enum outcome {
	CUT,	   /* refused with MALFORMED, then the channel is closed */
	MALFORMED, /* refused, the channel goes on */
	NAMELESS,  /* the same, with NO_SUCH_DEVICE */
	UNSUPPORTED,
	ANSWERED,
};

struct trap {
	const char *name;
	unsigned int targets; /* bits of enum target */
	uint16_t type;
	uint16_t flags;
	uint64_t cookie;
	size_t size;	   /* of the payload */
	long length_wrong; /* added to header.length */
	size_t fds;
	size_t bytes; /* of the packet; 0: header and payload */
	bool empty;
	bool ungreeted;
	uint32_t words[5]; /* how the payload begins */
	enum outcome outcome;
};

#define ALL ((1U << BROKER) | (1U << DEVICE) | (1U << KEEPER))
#define B   (1U << BROKER)
#define D   (1U << DEVICE)
#define K   (1U << KEEPER)

static const struct trap traps[] = {
	{.name = "empty packet", .targets = ALL, .empty = true},
	{.name = "empty packet with an fd", .targets = ALL, .empty = true, .fds = 1},
	{.name = "empty packet with 253 fds", .targets = ALL, .empty = true, .fds = 253},
	{.name = "one byte", .targets = ALL, .type = COMMON_PING, .bytes = 1},
	{.name = "half a header", .targets = ALL, .type = COMMON_PING, .bytes = 8},
	{.name = "half a header with an fd", .targets = ALL, .type = COMMON_PING, .bytes = 15, .fds = 1},
	{.name = "length too long", .targets = ALL, .type = COMMON_PING, .length_wrong = 1},
	{.name = "length too short", .targets = ALL, .type = COMMON_PING, .size = 8, .length_wrong = -1},
	{.name = "length enormous", .targets = ALL, .type = COMMON_PING, .length_wrong = UINT32_MAX},
	{.name = "length too long, with fds", .targets = ALL, .type = COMMON_PING, .length_wrong = 1, .fds = 3},
	{.name = "one byte too many for a packet", .targets = ALL, .type = COMMON_PING, .bytes = MESSAGE_SIZE_MAX + 1},
	{.name = "far too long", .targets = ALL, .type = COMMON_PING, .bytes = 150000, .fds = 2},
	{.name = "the longest packet",
		.targets = ALL,
		.type = COMMON_PING,
		.size = MESSAGE_PAYLOAD_MAX,
		.outcome = MALFORMED},
	{.name = "an fd with PING", .targets = B, .type = COMMON_PING, .fds = 1},
	{.name = "an fd with PING", .targets = D | K, .type = COMMON_PING, .fds = 1, .outcome = MALFORMED},
	{.name = "253 fds with PING", .targets = B, .type = COMMON_PING, .fds = 253},
	{.name = "253 fds with PING", .targets = D | K, .type = COMMON_PING, .fds = 253, .outcome = MALFORMED},
	{.name = "an fd with OPEN", .targets = B, .type = BROKER_OPEN, .size = 40, .fds = 1},
	{.name = "BIND without fd", .targets = D, .type = DEVICE_BIND, .size = 8, .outcome = MALFORMED},
	{.name = "BIND with two fds", .targets = D, .type = DEVICE_BIND, .size = 8, .fds = 2, .outcome = MALFORMED},
	{.name = "BIND with 253 fds", .targets = D, .type = DEVICE_BIND, .size = 8, .fds = 253, .outcome = MALFORMED},
	{.name = "BIND, padding not zero",
		.targets = D,
		.type = DEVICE_BIND,
		.size = 8,
		.fds = 1,
		.words = {0, 1},
		.outcome = MALFORMED},
	{.name = "LEASE without fds", .targets = K, .type = KEEPER_LEASE, .size = 48, .outcome = MALFORMED},
	{.name = "LEASE with three fds",
		.targets = K,
		.type = KEEPER_LEASE,
		.size = 48,
		.fds = 3,
		.outcome = MALFORMED},
	{.name = "unknown request", .targets = ALL, .type = 99, .outcome = UNSUPPORTED},
	{.name = "request 0", .targets = ALL, .type = 0, .outcome = UNSUPPORTED},
	{.name = "the number of an event", .targets = ALL, .type = 128, .outcome = UNSUPPORTED},
	{.name = "the largest number", .targets = ALL, .type = UINT16_MAX, .outcome = UNSUPPORTED},
	{.name = "a reply nobody waits for",
		.targets = ALL,
		.type = COMMON_PING,
		.flags = MESSAGE_REPLY,
		.outcome = MALFORMED},
	{.name = "an event", .targets = ALL, .type = COMMON_PING, .flags = MESSAGE_EVENT, .outcome = MALFORMED},
	{.name = "unknown flags of the packet",
		.targets = ALL,
		.type = COMMON_PING,
		.flags = 0x8000,
		.outcome = MALFORMED},
	{.name = "cookie 0", .targets = ALL, .type = COMMON_PING, .cookie = UINT64_MAX, .outcome = MALFORMED},
	{.name = "PING with a payload", .targets = ALL, .type = COMMON_PING, .size = 1, .outcome = MALFORMED},
	{.name = "HELLO too short", .targets = ALL, .type = COMMON_HELLO, .size = 15, .outcome = MALFORMED},
	{.name = "HELLO, trailing byte",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 17,
		.words = {0, 0x10001},
		.outcome = MALFORMED},
	{.name = "HELLO, unknown flags",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 16,
		.words = {1, 0x10001},
		.outcome = MALFORMED},
	{.name = "HELLO, versions 0 to 1",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 16,
		.words = {0, 0x10000},
		.outcome = MALFORMED},
	{.name = "HELLO, versions 3 to 2",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 16,
		.words = {0, 0x20003},
		.outcome = MALFORMED},
	{.name = "HELLO, versions 2 to 9",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 16,
		.words = {0, 0x90002},
		.ungreeted = true,
		.outcome = UNSUPPORTED},
	{.name = "HELLO, versions 1 to 65535",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 16,
		.words = {0, 0xffff0001},
		.ungreeted = true,
		.outcome = ANSWERED},
	{.name = "HELLO again",
		.targets = ALL,
		.type = COMMON_HELLO,
		.size = 16,
		.words = {0, 0x10001},
		.outcome = ANSWERED},
	{.name = "PING before HELLO", .targets = ALL, .type = COMMON_PING, .ungreeted = true, .outcome = MALFORMED},
	{.name = "OPEN before HELLO",
		.targets = B,
		.type = BROKER_OPEN,
		.size = 40,
		.words = {0, 0, 0x30303030, 0x3a30303a, 0x302e3130}, /* 0000:00:01.0 */
		.ungreeted = true,
		.outcome = MALFORMED},
	{.name = "LIST before HELLO",
		.targets = B,
		.type = BROKER_LIST,
		.size = 8,
		.ungreeted = true,
		.outcome = MALFORMED},
	{.name = "DESCRIBE before HELLO",
		.targets = D,
		.type = DEVICE_DESCRIBE,
		.ungreeted = true,
		.outcome = MALFORMED},
	{.name = "RELEASE before HELLO", .targets = D, .type = DEVICE_RELEASE, .ungreeted = true, .outcome = MALFORMED},
	{.name = "LIST, unknown flags",
		.targets = B,
		.type = BROKER_LIST,
		.size = 8,
		.words = {1},
		.outcome = MALFORMED},
	{.name = "LIST, trailing bytes", .targets = B, .type = BROKER_LIST, .size = 12, .outcome = MALFORMED},
	{.name = "OPEN, unknown flags",
		.targets = B,
		.type = BROKER_OPEN,
		.size = 40,
		.words = {0x80000000},
		.outcome = MALFORMED},
	{.name = "OPEN, padding not zero",
		.targets = B,
		.type = BROKER_OPEN,
		.size = 40,
		.words = {0, 1},
		.outcome = MALFORMED},
	{.name = "OPEN, no name", .targets = B, .type = BROKER_OPEN, .size = 40, .outcome = NAMELESS},
	{.name = "OPEN, a path",
		.targets = B,
		.type = BROKER_OPEN,
		.size = 40,
		.words = {0, 0, 0x2f2e2e2f},
		.outcome = NAMELESS},
	{.name = "CHECK, too short", .targets = B, .type = BROKER_CHECK, .size = 39, .outcome = MALFORMED},
};

static void send_trap(int channel, const struct trap *trap, int fd)
{
	static char bytes[160000];
	int fds[FDSET_MAX];
	size_t size = trap->bytes ? trap->bytes : sizeof(struct message_header) + trap->size;
	struct message_header header = {
		.type = trap->type,
		.flags = trap->flags,
		.length = (uint32_t)((long)trap->size + trap->length_wrong),
		.cookie = trap->cookie == UINT64_MAX ? 0 : 9,
	};

	for (size_t i = 0; i < FDSET_MAX; i++)
		fds[i] = fd;
	memset(bytes, 0, sizeof bytes);
	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header, trap->words, sizeof trap->words);
	raw_send(channel, bytes, trap->empty ? 0 : size, fds, trap->fds);
}

static void expect(enum target target, int channel, const struct trap *trap)
{
	static struct packet packet;
	struct detail detail = {""};
	int r = raw_receive(channel, &packet), refusal;

	assert_int_equal(r, PACKET_RECEIVED);
	assert_true(packet.header.flags & MESSAGE_REPLY);
	refusal = packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&packet, &detail) : 0;
	packet_clear(&packet);
	switch (trap->outcome) {
	case CUT:
		assert_int_equal(refusal, REFUSAL_MALFORMED);
		raw_expect_end(channel);
		return;
	case MALFORMED:
		assert_int_equal(refusal, REFUSAL_MALFORMED);
		break;
	case NAMELESS:
		assert_int_equal(refusal, REFUSAL_NO_SUCH_DEVICE);
		break;
	case UNSUPPORTED:
		assert_int_equal(refusal, REFUSAL_UNSUPPORTED);
		break;
	case ANSWERED:
		assert_int_equal(refusal, 0);
		break;
	}
	/* What came uninvited ends the lease (kept.h). */
	if (target == DEVICE && trap->fds > 0 && !table_takes_fds(&device_table, trap->type)) {
		raw_expect_end(channel);
		return;
	}
	/* and the channel goes on */
	if (trap->ungreeted)
		raw_hello(channel);
	raw_request(channel, COMMON_PING, 77, NULL, 0);
	assert_int_equal(raw_reply(channel, COMMON_PING, 77), 0);
	/* without this, the broker would not know yet that the device is free when its session asks for it again */
	if (target == DEVICE) {
		raw_request(channel, DEVICE_RELEASE, 78, NULL, 0);
		assert_int_equal(raw_reply(channel, DEVICE_RELEASE, 78), 0);
	}
}

static void spring_all(enum target target)
{
	int fds = unit_fds();

	begin(target);
	for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) {
		int channel, event;

		if (!(traps[i].targets & (1U << target)))
			continue;
		event = eventfd(0, EFD_CLOEXEC);
		channel = channel_to(target, !traps[i].ungreeted);
		/* the name is in the output when it fails */
		print_message("# %s: %s\n", target_names[target], traps[i].name);
		send_trap(channel, &traps[i], event);
		expect(target, channel, &traps[i]);
		close(channel);
		close(event);
		expect_ok(vbroker_session_ping(bystander.session));
		expect_ok(vbroker_device_ping(bystander.device));
	}
	end();
	assert_int_equal(unit_fds(), fds);
}

/* As on kernels before 6.16. */
static const struct world_options pass_rights = {.broker_arguments = {"--pass-rights"}};

static void traps_for_the_broker(void **state)
{
	(void)state;
	spring_all(BROKER);
}

static void traps_for_a_device_channel(void **state)
{
	(void)state;
	spring_all(DEVICE);
}

static void traps_for_a_keeper(void **state)
{
	(void)state;
	spring_all(KEEPER);
}

/* Where the kernel can, it keeps them out of what clients send to the broker. */
static void the_kernel_refuses_fds(void **state)
{
	const struct message_header ping = {COMMON_PING, 0, 0, 3};
	int session, fd = STDIN_FILENO;
	ssize_t sent;

	(void)state;
	session = raw_connect(world()->broker_socket);
	raw_hello(session);
	sent = raw_try_send(session, 0, &ping, sizeof ping, &fd, 1);
	if (sent < 0) {
		assert_int_equal(errno, EPERM);
		raw_request(session, COMMON_PING, 4, NULL, 0);
		assert_int_equal(raw_reply(session, COMMON_PING, 4), 0);
	} else {
		/* before 6.16 */
		assert_int_equal(raw_reply(session, COMMON_PING, 3), REFUSAL_MALFORMED);
		raw_expect_end(session);
	}
	close(session);
	world_settle();
}

/* The same on one channel, as long as it lives, with fds that would be seen if they stayed. */
/* A front answers while the broker is still looking the client's unit up. */
static void expect_broker_fds(int count)
{
	for (int i = 0; i < 1000 && process_fds(world()->broker) != count; i++)
		nap(2);
	assert_int_equal(process_fds(world()->broker), count);
}

static void no_fd_stays(void **state)
{
	int channel, broker_fds, event = eventfd(0, EFD_CLOEXEC);
	const struct message_header ping = {COMMON_PING, 0, 0, 3};
	const struct {
		struct message_header header;
		struct bind_request body;
	} bind = {.header = {DEVICE_BIND, 0, sizeof bind.body, 3}};
	int fds[FDSET_MAX];
	struct vbroker_lease_entry *leases;
	size_t count;
	pid_t keeper = 0;
	int keeper_fds;

	(void)state;
	for (size_t i = 0; i < FDSET_MAX; i++)
		fds[i] = event;
	begin(DEVICE);
	channel = channel_to(DEVICE, true);
	expect_ok(vbroker_list_leases(bystander.session, &leases, &count));
	for (size_t i = 0; i < count; i++)
		keeper = strcmp(leases[i].name, EDU) == 0 ? (pid_t)leases[i].keeper_pid : keeper;
	free(leases);
	keeper_fds = process_fds(keeper);
	assert_true(keeper_fds > 0);
	for (int i = 0; i < 50; i++) {
		raw_send(channel, &bind, sizeof bind, fds, FDSET_MAX);
		assert_int_equal(raw_reply(channel, DEVICE_BIND, 3), REFUSAL_MALFORMED);
	}
	raw_request(channel, COMMON_PING, 4, NULL, 0);
	assert_int_equal(raw_reply(channel, COMMON_PING, 4), 0);
	assert_int_equal(process_fds(keeper), keeper_fds);
	world_await_spare(bystander.session);
	broker_fds = process_fds(world()->broker);
	for (int i = 0; i < 50; i++) {
		int session = channel_to(BROKER, true);

		/* they are in the front, and stay there */
		raw_send(session, &ping, sizeof ping, fds, FDSET_MAX);
		assert_int_equal(raw_reply(session, COMMON_PING, 3), REFUSAL_MALFORMED);
		raw_expect_end(session);
		expect_broker_fds(broker_fds);
		close(session);
	}
	close(channel);
	close(event);
	end();
}

/* What came uninvited stays open in the keeper (kept.h). Therefore the keeper ends, after it has answered. */
static void file_that_could_hang_ends_its_keeper(void **state)
{
	int channel, file = open("/dev/null", O_RDWR | O_CLOEXEC), fds[FDSET_MAX];
	const struct message_header ping = {COMMON_PING, 0, 0, 3};

	(void)state;
	for (size_t i = 0; i < FDSET_MAX; i++)
		fds[i] = file;
	begin(DEVICE);
	for (size_t count = 1; count <= FDSET_MAX; count += FDSET_MAX - 1) {
		channel = channel_to(DEVICE, true);
		raw_send(channel, &ping, sizeof ping, fds, count);
		assert_int_equal(raw_reply(channel, COMMON_PING, 3), REFUSAL_MALFORMED);
		raw_expect_end(channel);
		close(channel);
	}
	/* the next one gets the device, and a keeper without any of them */
	channel = channel_to(DEVICE, true);
	close(channel);
	close(file);
	end();
}

/* ---- many requests ---- */

static void pipelined(enum target target)
{
	int channel;

	begin(target);
	channel = channel_to(target, true);
	for (uint64_t i = 1; i <= 100; i++) {
		const struct listing_request page = {0};

		if (target == BROKER && i % 3 == 0)
			raw_request(channel, BROKER_LIST, i, &page, sizeof page);
		else
			raw_request(channel, i % 7 ? COMMON_PING : 99, i, NULL, 0);
	}
	for (uint64_t i = 1; i <= 100; i++) {
		if (target == BROKER && i % 3 == 0)
			assert_int_equal(raw_reply(channel, BROKER_LIST, i), 0);
		else if (i % 7)
			assert_int_equal(raw_reply(channel, COMMON_PING, i), 0);
		else
			assert_int_equal(raw_reply(channel, 99, i), REFUSAL_UNSUPPORTED);
	}
	close(channel);
	end();
}

static void replies_come_in_order(void **state)
{
	(void)state;
	pipelined(BROKER);
	pipelined(DEVICE);
	pipelined(KEEPER);
}

/* Requests sent behind an OPEN are answered behind it, although the answer to OPEN waits for a keeper. */
static void requests_behind_an_open_are_answered_after_it(void **state)
{
	struct open_request open = {.name = NVME};
	static struct packet packet;
	int session;

	(void)state;
	begin(BROKER);
	session = channel_to(BROKER, true);
	raw_request(session, BROKER_OPEN, 10, &open, sizeof open);
	raw_request(session, COMMON_PING, 11, NULL, 0);
	raw_request(session, BROKER_OPEN, 12, &open, sizeof open);
	raw_request(session, BROKER_STATUS, 13, NULL, 0);
	assert_int_equal(raw_receive(session, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.cookie, 10);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	assert_int_equal(raw_reply(session, COMMON_PING, 11), 0);
	assert_int_equal(raw_reply(session, BROKER_OPEN, 12), REFUSAL_DEVICE_BUSY);
	assert_int_equal(raw_reply(session, BROKER_STATUS, 13), 0);
	packet_clear(&packet);
	close(session);
	end();
}

/* Asks until nothing goes in any more. Returns how many requests did. */
static size_t flood(int channel, uint16_t type, const void *payload, size_t length)
{
	struct {
		struct message_header header;
		char payload[64];
	} packet = {.header = {type, 0, (uint32_t)length, 1}};
	size_t count = 0;

	memcpy(packet.payload, payload, length);
	while (send(channel, &packet, sizeof packet.header + length, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ||
		errno == EAGAIN) {
		struct pollfd p = {.fd = channel, .events = POLLOUT};

		/* full for a while: the server has stopped reading */
		if (poll(&p, 1, 300) == 0)
			return count;
		count++;
	}
	return count;
}

/* Who never reads is not read any more either; a reply of its own size is all that it costs. */
static void client_that_never_reads(void **state)
{
	const struct listing_request page = {0};
	int sessions[8], device;

	(void)state;
	begin(DEVICE);
	for (int i = 0; i < 8; i++) {
		sessions[i] = channel_to(BROKER, true);
		assert_true(flood(sessions[i], BROKER_LIST, &page, sizeof page) > 10);
		expect_ok(vbroker_session_ping(bystander.session));
	}
	device = channel_to(DEVICE, true);
	assert_true(flood(device, DEVICE_DESCRIBE, "", 0) > 10);
	expect_ok(vbroker_device_ping(bystander.device));
	/* one reads after all: everything is there, in one piece */
	for (int i = 0; i < 20; i++)
		assert_int_equal(raw_reply(sessions[0], BROKER_LIST, 1), 0);
	for (int i = 0; i < 8; i++)
		close(sessions[i]);
	close(device);
	end();
}

/* ---- half-closed ---- */

static void half_closed(enum target target)
{
	int channel;

	begin(target);
	/* "I shall say no more": what was asked before is still answered */
	channel = channel_to(target, true);
	raw_request(channel, COMMON_PING, 21, NULL, 0);
	raw_request(channel, COMMON_PING, 22, NULL, 0);
	assert_int_equal(shutdown(channel, SHUT_WR), 0);
	if (target != KEEPER) {
		assert_int_equal(raw_reply(channel, COMMON_PING, 21), 0);
		assert_int_equal(raw_reply(channel, COMMON_PING, 22), 0);
	}
	raw_expect_end(channel);
	close(channel);
	/* "I shall listen no more" */
	channel = channel_to(target, true);
	assert_int_equal(shutdown(channel, SHUT_RD), 0);
	raw_request(channel, COMMON_PING, 23, NULL, 0);
	for (int i = 0; i < 500; i++) {
		const struct message_header ping = {COMMON_PING, 0, 0, 24};

		if (send(channel, &ping, sizeof ping, MSG_NOSIGNAL) < 0)
			break;
		nap(2);
	}
	assert_int_equal(send(channel, "", 1, MSG_NOSIGNAL), -1);
	close(channel);
	end();
}

static void half_closed_channels(void **state)
{
	(void)state;
	half_closed(BROKER);
	half_closed(DEVICE);
	half_closed(KEEPER);
}

/* SHUT_WR behind an OPEN: it is answered, and then the session and the lease end. */
static void half_closed_behind_an_open(void **state)
{
	struct open_request open = {.name = NVME};
	static struct packet packet;
	int session, device;

	(void)state;
	begin(BROKER);
	session = channel_to(BROKER, true);
	raw_request(session, BROKER_OPEN, 31, &open, sizeof open);
	assert_int_equal(shutdown(session, SHUT_WR), 0);
	assert_int_equal(raw_receive(session, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	device = fdset_take(&packet.fds, 0);
	packet_clear(&packet);
	raw_expect_end(session);
	raw_expect_end(device);
	close(session);
	close(device);
	end();
}

/* ---- closed in the middle ---- */

static void closed_with_requests_in_flight(void **state)
{
	static const char *const names[] = {EDU, NVME, TWIN, BARE};

	(void)state;
	begin(BROKER);
	for (int i = 0; i < 40; i++) {
		struct open_request open = {0};
		int session = channel_to(BROKER, i % 2);

		if (i % 2 == 0) {
			const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};

			raw_request(session, COMMON_HELLO, 1, &hello, sizeof hello);
		}
		snprintf(open.name, sizeof open.name, "%s", names[i % 4]);
		raw_request(session, BROKER_OPEN, 41, &open, sizeof open);
		raw_request(session, BROKER_STATUS, 42, NULL, 0);
		if (i % 3)
			nap((unsigned int)i % 5);
		close(session);
	}
	end();
}

/* Their replies were never fetched, and the device channel in the last of them is nobody's. */
static void closed_with_replies_unread(void **state)
{
	(void)state;
	begin(BROKER);
	for (int i = 0; i < 10; i++) {
		struct open_request open = {.name = NVME};
		int session = channel_to(BROKER, true);
		struct pollfd p = {.fd = session, .events = POLLIN};

		raw_request(session, BROKER_OPEN, 51, &open, sizeof open);
		assert_int_equal(poll(&p, 1, 10000), 1);
		close(session);
	}
	end();
}

static void connect_and_leave(void **state)
{
	(void)state;
	begin(BROKER);
	for (int i = 0; i < 300; i++)
		close(raw_connect(world()->broker_socket));
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(traps_for_the_broker, &pass_rights),
		CASE(the_kernel_refuses_fds),
		CASE(traps_for_a_device_channel),
		CASE(traps_for_a_keeper),
		CASE_IN(no_fd_stays, &pass_rights),
		CASE(file_that_could_hang_ends_its_keeper),
		CASE(replies_come_in_order),
		CASE(requests_behind_an_open_are_answered_after_it),
		CASE(client_that_never_reads),
		CASE(half_closed_channels),
		CASE(half_closed_behind_an_open),
		CASE(closed_with_requests_in_flight),
		CASE(closed_with_replies_unread),
		CASE(connect_and_leave),
	};

	return HARNESS_RUN(argc, argv, "traps", tests);
}
