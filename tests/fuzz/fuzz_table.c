/* SPDX-License-Identifier: MIT */
#include "input.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

/*
 * The validators of all channels. Byte 0: which table; byte 1: the state of the channel; byte 2: how many
 * descriptors came; then header (its length is set right) and payload.
 */
static const struct request_table *const tables[] = {
	&broker_table, &device_table, &domain_table, &keeper_table, &helper_table};
static const enum channel_state states[] = {STATE_NEW, STATE_READY, STATE_BOUND};

/* The packet ends where its payload ends: reading on is caught. */
static struct packet *packet_of(struct input *input)
{
	size_t bytes = input->left > MESSAGE_SIZE_MAX ? MESSAGE_SIZE_MAX : input->left;
	struct packet *packet;

	if (bytes < sizeof packet->header)
		return NULL;
	packet = malloc(offsetof(struct packet, header) + bytes);
	fdset_init(&packet->fds);
	input_bytes(input, &packet->header, bytes);
	packet->header.length = (uint32_t)(bytes - sizeof packet->header);
	return packet;
}

static void check(const struct request_table *table, enum channel_state state, const struct packet *packet)
{
	struct detail detail;
	int r;

	memset(&detail, 'x', sizeof detail);
	r = table_check(table, state, packet, &detail);
	if (r == 0) {
		INPUT_ASSERT(packet->header.type < table->count && packet->header.cookie != 0);
		INPUT_ASSERT(detail.text[0] == 'x');
		return;
	}
	INPUT_ASSERT(r == REFUSAL_MALFORMED || r == REFUSAL_UNSUPPORTED || r == REFUSAL_NOT_BOUND ||
		r == REFUSAL_ALREADY_BOUND || r == REFUSAL_NO_SUCH_DEVICE);
	INPUT_ASSERT(strnlen(detail.text, sizeof detail.text) < sizeof detail.text);
	/* It will be printed. */
	for (const char *c = detail.text; *c; c++)
		INPUT_ASSERT(*c >= 0x20 && *c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	const struct request_table *table = tables[input_byte(&input) % 5];
	enum channel_state state = states[input_byte(&input) % 3];
	uint8_t fds = input_byte(&input);
	struct packet *packet = packet_of(&input);

	if (!packet)
		return 0;
	packet->fds.count = fds % (FDSET_MAX + 1);
	check(table, state, packet);
	free(packet);
	return 0;
}
