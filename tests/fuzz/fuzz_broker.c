/* SPDX-License-Identifier: MIT */
#include "broker_world.h"
#include "front_process.h"
#include "helper_process.h"
#include "input.h"
#include "log.h"
#include "memory_host.h"
#include "policy/policy_text.h"
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
 * A whole broker on a host of three devices in memory, with clients, keepers, fronts and helpers that send what they
 * like. Fronts and helpers do what they should as well.
 *
 * The input is a sequence of steps: 1 byte, of which the lower half is an enum step and the upper half says which
 * process, and a packet (input.h) for those that send one.
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
	STEP_FRONT,  /* a front sends */
	STEP_HELPER, /* a helper sends */
	STEP_HELPER_STICKS,
	STEP_HELPER_GOES_ON,
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

static bool run_broker(void)
{
	int turns = 0;

	while (turns < 32 && sd_event_run(event, 0) > 0)
		turns++;
	return turns > 0;
}

static void accept_keepers(void)
{
	for (size_t i = 0; i < KEEPERS_MAX; i++) {
		if (keepers[i] >= 0)
			continue;
		keepers[i] = accept4(world.keeper_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (keepers[i] < 0)
			break;
	}
}

static void run(void)
{
	bool more = true;

	for (int i = 0; i < 16 && more; i++) {
		more = run_broker();
		more = broker_world_start_processes(&world) || more;
		more = front_process_step() || more;
		more = helpers_step() || more;
		accept_keepers();
	}
}

static void connect_client(size_t i)
{
	if (clients[i] < 0)
		clients[i] = broker_world_connect(&world, (unsigned int)i);
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
	run();
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
		.front_socket = world.front_socket,
		.helper_socket = world.helper_socket,
		.claims_directory = world.claims,
		.quarantine_directory = world.quarantine,
		.sessions_per_user = 3,
		.leases_per_user = 2};
	memset(clients, -1, sizeof clients);
	memset(keepers, -1, sizeof keepers);
	helpers_init();
	memory_host_reset(devices_at_start, DEVICES);
	INPUT_ASSERT(sd_event_new(&event) >= 0);
	INPUT_ASSERT(policy_read(policy, "fuzz.conf", rules, &error) == 0);
	INPUT_ASSERT(service_init(&broker, event, &memory_host_functions, &options, policy, &no_error,
			     broker_world_listener(&world)) == 0);
	greet();
}

static void end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		end(&fds[i]);
}

static void expect_ends(void)
{
	for (int i = 0; i < 4; i++) {
		front_process_step();
		helpers_step();
	}
	INPUT_ASSERT(front_process_running() == 0 && helpers_running() == 0);
}

/* When all clients and fronts, and then all helpers and keepers have died, nothing is leased any more, whatever went
 * before. */
static void finish(void)
{
	int fd;

	close_all(clients, CLIENTS_MAX);
	run();
	/* Fronts that said what is not true may have connections of which the broker knows nothing. */
	front_process_release();
	run();
	INPUT_ASSERT(broker.sessions_count == 0);
	for (size_t i = 0; i < HELPER_SLOTS; i++)
		helpers_kill(i);
	close_all(keepers, KEEPERS_MAX);
	while ((fd = accept(world.keeper_listener, NULL, NULL)) >= 0)
		close(fd);
	run();
	INPUT_ASSERT(broker.leases_count == 0);
	service_clear(&broker);
	sd_event_unref(event);
	close_all(keepers, KEEPERS_MAX);
	broker_world_start_processes(&world);
	expect_ends();
	broker_world_turn_away(&world);
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
	case STEP_FRONT:
		input_packet(input, 1, &packet);
		input_send(front_process_control((byte >> 4) % FRONT_SLOTS), &packet, &world.keeper_listener, 1);
		break;
	case STEP_HELPER:
		input_packet(input, 1, &packet);
		input_send(helpers_channel((byte >> 4) % HELPER_SLOTS), &packet, &world.keeper_listener, 1);
		break;
	case STEP_HELPER_STICKS:
	case STEP_HELPER_GOES_ON:
		helpers_stick((byte >> 4) % HELPER_SLOTS, (byte & 15) % STEPS == STEP_HELPER_STICKS);
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
