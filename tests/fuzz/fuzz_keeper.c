/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "foreign_fd.h"
#include "input.h"
#include "keeper.h"
#include "kept.h"
#include "log.h"
#include "state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A whole keeper on the fake kernel, with a device that is leased, and a client and a broker that send what they
 * like.
 *
 * The input is a sequence of steps: 1 byte (enum step), and a packet (input.h) for those that send one. Descriptors
 * that come with a packet are, in turn: a container, an eventfd, /dev/null, a group, a memfd (which the fake module
 * takes for a control file), a socket: the last three are a LEASE's, in its order.
 */
enum step {
	STEP_CLIENT, /* the client sends */
	STEP_BROKER, /* the broker sends */
	STEP_CLIENT_READS,
	STEP_CLIENT_ENDS,
	STEP_HANG_UP, /* the broker ends */
	STEPS,
};

#define STEPS_MAX 32 /* more of them find nothing that fewer do not */

enum { CONTAINER, EVENTFD, NULL_FILE, GROUP, MEMFD, SOCKET, KINDS };

static struct keeper keeper;
static int fds[KINDS];
static int broker, client;

static const char name[] = "0000:01:00.0";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	INPUT_ASSERT(foreign_fd_open_links() == 0);
	log_set_level(-1);
	return 0;
}

static int pair(int *ret_ours)
{
	int both[2];

	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) == 0);
	*ret_ours = both[0];
	return both[1];
}

static void things_open(void)
{
	static const char *const names[] = {name, "0000:01:00.1", NULL};

	fds[CONTAINER] = fake_container_open();
	fds[EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[NULL_FILE] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[GROUP] = fake_group_create(7, true, names);
	fds[SOCKET] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	fds[MEMFD] = memfd_create("memory", MFD_CLOEXEC);
	for (size_t i = 0; i < KINDS; i++)
		INPUT_ASSERT(fds[i] >= 0);
}

static void keeper_run(void)
{
	for (int i = 0; i < 4 && keeper.channel.fd >= 0; i++)
		keeper_step(&keeper, 0);
}

/* FDS are taken. */
static void broker_sends(uint16_t type, const void *body, size_t size, const int *sent_fds, size_t count)
{
	static struct packet packet;

	packet_init(&packet);
	packet_request(&packet, type, 1);
	memcpy(packet_append(&packet, size), body, size);
	for (size_t i = 0; i < count; i++)
		fdset_add(&packet.fds, sent_fds[i]);
	INPUT_ASSERT(packet_send(broker, 0, &packet) == 0);
	keeper_run();
	INPUT_ASSERT(input_drain(broker) == 1);
}

/* With windows of most of BAR 0, but few. */
static void lease(void)
{
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};
	struct lease_request request = {
		.flags = LEASE_GROUP | LEASE_WINDOWS,
		.group = 7,
		.windows = {.count = 3,
			.range_count = 2,
			.size = 0x10000,
			.ranges = {{.last = 0x8fff}, {.first = 0xa000, .last = UINT64_MAX}}},
		.rule = "\"fuzz\" (t.conf:1)",
	};
	const int sent_fds[] = {dup(fds[GROUP]), dup(fds[MEMFD]), pair(&client)};

	memcpy(request.name, name, sizeof name);
	broker_sends(KEEPER_HELLO, &hello, sizeof hello, NULL, 0);
	broker_sends(KEEPER_LEASE, &request, sizeof request, sent_fds, 3);
	INPUT_ASSERT(keeper.group.device_count == 1);
	/* HELLO is nothing to learn: most inputs are about what comes after it. */
	keeper.group.devices[0]->channel.state = STATE_READY;
}

/* Waiting for registers is real time, and there is none to waste. Long timeouts stay refused as they are. */
static void shorten_waits(struct input_packet *packet)
{
	const size_t start = sizeof(struct message_header) + sizeof(struct program_request);
	struct message_header header;
	struct region_op op;

	if (packet->length < start)
		return;
	memcpy(&header, packet->bytes, sizeof header);
	for (size_t at = start; header.type == DEVICE_REGION_PROGRAM && at + sizeof op <= packet->length;
		at += sizeof op) {
		memcpy(&op, packet->bytes + at, sizeof op);
		if (op.timeout_us > 5 && op.timeout_us <= PROGRAM_TIMEOUT_MAX_US)
			op.timeout_us = 5;
		memcpy(packet->bytes + at, &op, sizeof op);
	}
}

static void step(struct input *input)
{
	static struct input_packet packet;
	uint8_t what = input_byte(input) % STEPS;

	if (what == STEP_CLIENT_READS)
		input_drain(client);
	if (what == STEP_CLIENT_ENDS)
		shutdown(client, SHUT_RDWR);
	if (what == STEP_HANG_UP)
		shutdown(broker, SHUT_RDWR);
	if (what <= STEP_BROKER) {
		input_packet(input, 9, &packet);
		shorten_waits(&packet);
		input_send(what == STEP_CLIENT ? client : broker, &packet, fds, KINDS);
	}
	keeper_run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned int open_fds = input_open_fds();

	things_open();
	keeper_init(&keeper, &fake_vfio, pair(&broker));
	lease();
	for (int i = 0; i < STEPS_MAX && input.left > 0; i++)
		step(&input);
	keeper_release(&keeper);
	kept_release(&keeper.group.kept);
	INPUT_ASSERT(keeper.group.device_count == 0 && keeper.group.fd < 0);
	close(broker);
	close(client);
	for (size_t i = 0; i < KINDS; i++)
		close(fds[i]);
	INPUT_ASSERT(input_open_fds() == open_fds);
	return 0;
}
