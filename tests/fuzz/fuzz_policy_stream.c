/* SPDX-License-Identifier: MIT */
#include "../unit/round_trip.h"
#include "input.h"
#include "log.h"
#include "packet.h"
#include "policy/policy.h"
#include "policy/policy_stream.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What the broker takes from a reader of the policy files that is broken, or somebody else's. The input is a sequence
 * of packets (input.h). A policy that is taken is one that could have been written, and can be decided by.
 */
#define PACKETS_MAX 32

static const struct host_device device = {
	.name = "0000:01:00.0", .driver = "nvme", .group = 1, .vendor = 0x1b36, .device = 0x10, .class = 0x010802};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(-1);
	return 0;
}

static void use(struct policy *policy)
{
	gid_t groups[] = {100};
	char unit[] = "spdk@1.service";
	const struct peer peer = {
		.uid = 1000, .gid = 1000, .pid = 1, .groups = groups, .groups_count = 1, .unit = unit};

	INPUT_ASSERT(policy && !round_trip_mistake(policy));
	policy_decide(policy, &device, &peer);
	policy_free(policy);
}

/* A single packet of the reader, and all that the broker makes of it. */
static bool feed(struct policy_stream *stream, struct input *input, const int pair[2])
{
	static struct input_packet sent;
	static struct packet packet;

	packet_init(&packet);
	if (!input_packet(input, 0, &sent))
		shutdown(pair[0], SHUT_RDWR);
	else if (!input_send(pair[0], &sent, &pair[0], 1))
		return true;
	policy_stream_receive(stream, pair[1], &packet);
	packet_clear(&packet);
	return !policy_stream_ended(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_stream stream = {.state = STREAM_SILENT};
	struct input input = {data, size};
	unsigned int open_fds = input_open_fds();
	int pair[2];

	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	for (int i = 0; i < PACKETS_MAX && feed(&stream, &input, pair); i++)
		;
	INPUT_ASSERT(memchr(stream.error.text, '\0', sizeof stream.error.text));
	if (stream.state == STREAM_DONE)
		use(policy_stream_take(&stream));
	else if (policy_stream_ended(&stream))
		INPUT_ASSERT(stream.error.text[0]);
	policy_stream_clear(&stream);
	close(pair[0]);
	close(pair[1]);
	INPUT_ASSERT(input_open_fds() == open_fds);
	return 0;
}
