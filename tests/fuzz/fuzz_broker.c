/* SPDX-License-Identifier: MIT */
#include "broker_world.h"
#include "input.h"
#include "log.h"
#include "memory_host.h"
#include "policy/policy_text.h"
#include "request/session.h"
#include "service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A whole broker on a host of three devices in memory, with clients and keepers that send what they like.
 *
 * The input is a sequence of steps: 1 byte, of which the lower half is an enum step and the upper half says which
 * client or keeper, and a packet (input.h) for those that send one.
 */
enum step {
	STEP_CLIENT, /* a client sends */
	STEP_KEEPER, /* a keeper sends */
	STEP_CLIENT_CONNECTS,
	STEP_CLIENT_ENDS,
	STEP_KEEPER_ENDS,
	STEP_CLIENT_READS,
	STEP_DEVICE_LEAVES,
	STEP_DEVICE_COMES,
	STEPS,
};

#define STEPS_MAX   32 /* more of them find nothing that fewer do not */
#define CLIENTS_MAX 4
#define KEEPERS_MAX 8

static struct broker broker;
static sd_event *event;
static int clients[CLIENTS_MAX], keepers[KEEPERS_MAX];
static struct broker_world world;

static const struct host_device devices_at_start[] = {
	{.name = "0000:01:00.0", .driver = "nvme", .group = 1, .vendor = 0x1b36, .device = 0x10, .class = 0x010802},
	{.name = "0000:02:00.0", .driver = "", .group = 2, .vendor = 0x1234, .device = 0x11e8, .class = 0x00ff00},
	{.name = "0000:02:00.1", .driver = "", .group = 2, .vendor = 0x1234, .device = 0x11e8, .class = 0x00ff00},
};

#define DEVICES (sizeof devices_at_start / sizeof devices_at_start[0])

/* ---- the world around it ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(-1);
	broker_world_make(&world, "fuzz_broker");
	return 0;
}

static void run(void)
{
	for (int i = 0; i < 32 && sd_event_run(event, 0) > 0; i++)
		;
	for (size_t i = 0; i < KEEPERS_MAX; i++) {
		if (keepers[i] >= 0)
			continue;
		keepers[i] = accept4(world.keeper_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (keepers[i] < 0)
			break;
	}
}

static void connect_client(size_t i)
{
	int pair[2];

	if (clients[i] >= 0)
		return;
	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	clients[i] = pair[0];
	session_accept(&broker, pair[1]);
}

static void say(int socket, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	static struct packet packet;

	packet_request(&packet, type, 1);
	packet.header.flags = flags;
	memcpy(packet_append(&packet, size), body, size);
	packet_send(socket, MSG_DONTWAIT, &packet);
	run();
	input_drain(socket);
}

/* A client that has said HELLO, and a keeper that has answered it: most inputs are about what comes then. */
static void greet(void)
{
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};
	const struct hello_reply reply = {MESSAGE_VERSION, CHANNEL_KEEPER, MESSAGE_SIZE_MAX, 0};

	run();
	connect_client(0);
	say(clients[0], COMMON_HELLO, 0, &hello, sizeof hello);
	say(keepers[0], COMMON_HELLO, MESSAGE_REPLY, &reply, sizeof reply);
}

static void start(void)
{
	static const char rules[] = "[allow all]\naddress = *\nuser = *\nrebind = yes\n";
	static struct broker_options options;
	const struct policy_error no_error = {.text = ""};
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error;

	options = (struct broker_options){.keeper_socket = world.keeper_socket,
		.claims_directory = world.claims,
		.quarantine_directory = world.quarantine,
		.sessions_per_user = 3,
		.leases_per_user = 2};
	memset(clients, -1, sizeof clients);
	memset(keepers, -1, sizeof keepers);
	memory_host_reset(devices_at_start, DEVICES);
	INPUT_ASSERT(sd_event_new(&event) >= 0);
	INPUT_ASSERT(policy_read(policy, "fuzz.conf", rules, &error) == 0);
	INPUT_ASSERT(service_init(&broker, event, &memory_host_functions, &options, policy, &no_error,
			     broker_world_nobodys_listener()) == 0);
	greet();
}

static void end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* When all clients and then all keepers have died, nothing is leased any more, whatever went before. */
static void finish(void)
{
	int fd;

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		end(&clients[i]);
	run();
	for (size_t i = 0; i < KEEPERS_MAX; i++)
		end(&keepers[i]);
	while ((fd = accept(world.keeper_listener, NULL, NULL)) >= 0)
		close(fd);
	run();
	INPUT_ASSERT(broker.sessions_count == 0 && broker.leases_count == 0);
	service_clear(&broker);
	sd_event_unref(event);
	for (size_t i = 0; i < KEEPERS_MAX; i++)
		end(&keepers[i]);
	broker_world_clear(&world);
}

static void step(struct input *input)
{
	static struct input_packet packet;
	uint8_t byte = input_byte(input);
	int *client = &clients[(byte >> 4) % CLIENTS_MAX], *keeper = &keepers[(byte >> 4) % KEEPERS_MAX];

	switch ((enum step)((byte & 15) % STEPS)) {
	case STEP_CLIENT:
		input_packet(input, 9, &packet);
		input_send(*client, &packet, &world.keeper_listener, 1);
		break;
	case STEP_KEEPER:
		input_packet(input, 1, &packet);
		input_send(*keeper, &packet, &world.keeper_listener, 1);
		break;
	case STEP_CLIENT_CONNECTS:
		connect_client((size_t)(client - clients));
		break;
	case STEP_CLIENT_ENDS:
		end(client);
		break;
	case STEP_KEEPER_ENDS:
		end(keeper);
		break;
	case STEP_CLIENT_READS:
		input_drain(*client);
		break;
	case STEP_DEVICE_LEAVES:
	case STEP_DEVICE_COMES:
		memory_host_plug((size_t)(byte >> 4) % DEVICES, (byte & 15) % STEPS == STEP_DEVICE_COMES);
		break;
	case STEPS:
		break;
	}
	run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct input_run whole = {start, step, finish, STEPS_MAX};

	input_run(&whole, data, size);
	return 0;
}
