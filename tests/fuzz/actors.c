/* SPDX-License-Identifier: MIT */
#include "actors.h"

#include "packet.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void actors_init(struct actors *actors)
{
	for (size_t i = 0; i < ACTORS_SESSIONS + ACTORS_DEVICES; i++)
		actors->all[i].fd = -1;
	actors->sent = actors->granted = actors->refused = actors->events = 0;
}

static void begin(struct actor *actor, int fd, const struct request_table *table)
{
	*actor = (struct actor){.fd = fd, .table = table, .state = STATE_NEW};
}

void actor_end(struct actor *actor)
{
	if (actor->fd >= 0)
		close(actor->fd);
	actor->fd = -1;
	actor->expected_count = 0;
}

/* ---- what comes ---- */

/* Its words go to terminals and logs. */
static void check_refusal(const struct packet *packet)
{
	const struct message_refusal *refusal = packet_body(packet, sizeof *refusal);

	INPUT_ASSERT(refusal && packet->fds.count == 0);
	INPUT_ASSERT(refusal->refusal > REFUSAL_NONE && refusal->refusal < REFUSAL_MAX && refusal->error < 4096);
	INPUT_ASSERT(refusal->error == 0 || refusal->refusal == REFUSAL_FAILED);
	for (size_t i = sizeof *refusal; i < packet->header.length; i++)
		INPUT_ASSERT(packet->payload[i] >= ' ' && packet->payload[i] < 0x7f);
}

static void check_event(struct actors *actors, struct actor *actor, const struct packet *packet)
{
	INPUT_ASSERT(!actor->closed && packet->header.flags == MESSAGE_EVENT && packet->header.cookie == 0);
	INPUT_ASSERT(packet->header.type >= 128 && packet->fds.count == 0);
	actors->events++;
	if (actor->table == &device_table && packet->header.type == DEVICE_EVENT_CLOSED) {
		INPUT_ASSERT(packet->header.length == sizeof(struct closed_event));
		actor->closed = true;
	}
}

/* What a request does to the state of its channel, once it is granted. */
static void follow(struct actor *actor, const struct packet *packet)
{
	const struct hello_reply *hello = packet_body(packet, sizeof *hello);

	switch (packet->header.type) {
	case COMMON_HELLO:
		INPUT_ASSERT(hello && hello->kind == (uint16_t)actor->table->kind);
		if (actor->state == STATE_NEW)
			actor->state = STATE_READY;
		break;
	case DEVICE_BIND:
		if (actor->table == &device_table)
			actor->state = STATE_BOUND;
		break;
	case DEVICE_UNBIND:
		if (actor->table == &device_table)
			actor->state = STATE_READY;
		break;
	default:
		break;
	}
}

/* All clients are this process. */
static void check_revoked(const struct packet *packet)
{
	const struct revoke_reply *reply = packet_body(packet, sizeof *reply);

	INPUT_ASSERT(reply && reply->result >= REVOKE_COMPLETE && reply->result <= REVOKE_INCOMPLETE);
	INPUT_ASSERT(reply->result != REVOKE_COMPLETE || reply->holder.pid == (uint32_t)getpid());
	INPUT_ASSERT(reply->result != REVOKE_NOBODY || reply->detail[0]);
}

static struct actor *free_device(struct actors *actors)
{
	for (size_t i = ACTORS_SESSIONS; i < ACTORS_SESSIONS + ACTORS_DEVICES; i++) {
		if (actors->all[i].fd < 0)
			return &actors->all[i];
	}
	return NULL;
}

static void check_granted(struct actors *actors, struct actor *actor, struct packet *packet)
{
	const struct request_rule *rule = &actor->table->rules[packet->header.type];
	bool opened = actor->table == &broker_table && packet->header.type == BROKER_OPEN;
	bool file = actor->table == &device_table &&
		(packet->header.type == DEVICE_REGION_WINDOW || packet->header.type == DEVICE_FILE);
	struct actor *device;

	INPUT_ASSERT(packet->header.type < actor->table->count && rule->name && (rule->states & actor->state));
	INPUT_ASSERT(packet->fds.count == (opened || file));
	follow(actor, packet);
	if (actor->table == &broker_table && packet->header.type == BROKER_REVOKE)
		check_revoked(packet);
	device = opened ? free_device(actors) : NULL;
	if (device)
		begin(device, fdset_take(&packet->fds, 0), &device_table);
}

static bool is_next(const struct actor *actor, const struct message_header *reply)
{
	return actor->expected_count > 0 && reply->type == actor->expected[0].type &&
		reply->cookie == actor->expected[0].cookie;
}

static void check_reply(struct actors *actors, struct actor *actor, struct packet *packet)
{
	const struct message_header *header = &packet->header;
	bool refused = header->flags & MESSAGE_REFUSED;
	struct detail detail;

	INPUT_ASSERT(!actor->ending && !actor->closed && (header->flags & ~MESSAGE_REFUSED) == MESSAGE_REPLY);
	if (refused) {
		actors->refused++;
		check_refusal(packet);
	} else {
		actors->granted++;
	}
	/* Of the channel as a whole: it is one too many, or its framing is broken. */
	if (!is_next(actor, header)) {
		INPUT_ASSERT(
			refused && (actor->cut ? actor->expected_count == 0 : !actor->spoken && header->cookie == 0));
		actor->ending = true;
		return;
	}
	actor->expected_count--;
	memmove(actor->expected, actor->expected + 1, actor->expected_count * sizeof actor->expected[0]);
	if (!refused)
		check_granted(actors, actor, packet);
	else if (actor->table == &device_table && header->type == DEVICE_UNBIND && packet_refusal(packet, &detail) < 0)
		actor->state = STATE_READY; /* the device is closed, but not cleanly */
}

void actors_read(struct actors *actors, struct actor *actor)
{
	static struct packet packet;
	int r = PACKET_RECEIVED;

	packet_init(&packet);
	while (actor->fd >= 0 && r == PACKET_RECEIVED) {
		r = packet_receive(actor->fd, MSG_DONTWAIT, 1, &packet);
		if (r == PACKET_RECEIVED) {
			if (packet.header.flags & MESSAGE_EVENT)
				check_event(actors, actor, &packet);
			else
				check_reply(actors, actor, &packet);
			actor->spoken = true;
		}
	}
	packet_clear(&packet);
	INPUT_ASSERT(r == PACKET_RECEIVED || r == -EAGAIN || r == PACKET_END || r == -ECONNRESET);
	if (r == PACKET_END || r == -ECONNRESET)
		actor_end(actor);
}

void actors_read_all(struct actors *actors)
{
	for (size_t i = 0; i < ACTORS_SESSIONS + ACTORS_DEVICES; i++)
		actors_read(actors, &actors->all[i]);
}

static size_t count_expected(const struct actors *actors, bool revoking)
{
	size_t count = 0;

	for (size_t i = 0; i < ACTORS_SESSIONS + ACTORS_DEVICES; i++) {
		const struct actor *actor = &actors->all[i];

		if (actor->fd < 0 || actor->expected_count == 0)
			continue;
		if ((actor->table == &broker_table && actor->expected[0].type == BROKER_REVOKE) == revoking)
			count += actor->expected_count;
	}
	return count;
}

size_t actors_unanswered(const struct actors *actors)
{
	return count_expected(actors, false);
}

size_t actors_revoking(const struct actors *actors)
{
	return count_expected(actors, true);
}

/* ---- what goes ---- */

/* As packet_receive() judges it. */
static bool is_whole(const struct input_packet *packet, struct message_header *ret_header)
{
	if (packet->length < sizeof *ret_header || packet->length > MESSAGE_SIZE_MAX)
		return false;
	memcpy(ret_header, packet->bytes, sizeof *ret_header);
	return ret_header->length == packet->length - sizeof *ret_header;
}

static void send_packet(struct actors *actors, struct actor *actor, const struct input_packet *packet)
{
	struct message_header header;

	if (actor->fd < 0 || actor->expected_count == ACTORS_EXPECTED)
		return;
	if (!input_send(actor->fd, packet, actors->fds, actors->fd_count))
		return;
	actors->sent++;
	if (actor->cut)
		return;
	if (is_whole(packet, &header))
		actor->expected[actor->expected_count++] = header;
	else
		actor->cut = true;
}

/* A small number or an odd one. */
static uint64_t number(struct input *input)
{
	static const uint64_t odd[] = {UINT32_MAX, UINT64_MAX, 0x8000, 0xffff, 0x1000, 0x60, 0x34, 0x30};
	uint8_t byte = input_byte(input);

	return byte < 240 ? byte % 16 : odd[byte - 240 < 8 ? byte - 240 : 0];
}

static void fill_region(struct input *input, uint8_t *payload)
{
	struct region_request region = {.region = (uint32_t)number(input) % 10, .length = 4, .width = 4};
	uint8_t byte = input_byte(input);

	region.offset = number(input);
	if (byte & 1)
		region.offset *= 4;
	if (byte & 2)
		region.length = 1U << (byte >> 4);
	if (byte & 4)
		region.width = byte >> 5;
	memcpy(payload, &region, sizeof region);
}

static size_t fill_program(struct input *input, uint8_t *payload)
{
	struct program_request program = {.count = 1 + input_byte(input) % 3};
	size_t at = sizeof program;

	memcpy(payload, &program, sizeof program);
	for (uint32_t i = 0; i < program.count; i++) {
		uint8_t byte = input_byte(input);
		struct region_op op = {.kind = 1 + byte % 4, .width = 4, .offset = 4 * number(input)};

		if (op.kind == REGION_OP_POLL)
			op.timeout_us = 1 + byte / 4;
		if (op.kind != REGION_OP_READ)
			op.value = (uint32_t)number(input) & 0xff;
		if (op.kind >= REGION_OP_MODIFY)
			op.mask = 0xff;
		memcpy(payload + at, &op, sizeof op);
		at += sizeof op;
	}
	return at;
}

/* The first descriptors are domains; eventfds come after them. */
static void fill_device(const struct actors *actors, struct input *input, uint16_t type, struct input_packet *packet)
{
	uint8_t *payload = packet->bytes + sizeof(struct message_header);
	struct irq_request irq = {0};
	struct window_request window = {0};

	switch (type) {
	case DEVICE_BIND:
		packet->fds = 1;
		packet->first_fd = input_byte(input);
		if (packet->first_fd < 192)
			packet->first_fd %= (unsigned int)actors->domain_count;
		break;
	case DEVICE_REGION_READ:
		fill_region(input, payload);
		break;
	case DEVICE_REGION_WRITE:
		fill_region(input, payload);
		packet->length += 4;
		memset(payload + sizeof(struct region_request), input_byte(input) & 7, 4);
		break;
	case DEVICE_REGION_PROGRAM:
		packet->length = sizeof(struct message_header) + fill_program(input, payload);
		break;
	case DEVICE_IRQ_SET:
	case DEVICE_IRQ_CLEAR:
	case DEVICE_IRQ_UNMASK:
		irq.index = (uint32_t)number(input) % 6;
		irq.start = (uint32_t)number(input);
		irq.count = (uint32_t)number(input);
		memcpy(payload, &irq, sizeof irq);
		packet->fds = type == DEVICE_IRQ_SET ? irq.count : 0;
		if (packet->fds > FDSET_MAX)
			packet->fds = FDSET_MAX;
		packet->first_fd = (unsigned int)actors->domain_count;
		break;
	case DEVICE_REGION_WINDOW:
		window.flags = input_byte(input) & 3;
		window.region = (uint32_t)number(input) % 3;
		window.offset = 0x1000 * number(input);
		window.length = 0x1000 * number(input);
		memcpy(payload, &window, sizeof window);
		break;
	default:
		break;
	}
}

/* Requests of a broker channel: those about a device have its name after the flags and the padding. */
static void fill_broker(
	const struct actors *actors, struct input *input, uint16_t type, size_t size, struct input_packet *packet)
{
	uint8_t *payload = packet->bytes + sizeof(struct message_header);
	uint8_t byte = input_byte(input);
	const char *name = actors->names[byte % 32 % actors->name_count];

	if (type == BROKER_REVOKE)
		payload[offsetof(struct revoke_request, deadline_ms) + 1] = byte >> 5; /* times 256 ms */
	if (type == BROKER_UNQUARANTINE)
		payload[offsetof(struct unquarantine_request, flags)] = byte >> 6;
	if (size >= sizeof(struct open_request))
		memcpy(payload + offsetof(struct open_request, name), name, strlen(name));
	else if (size == sizeof(struct listing_request))
		payload[offsetof(struct listing_request, start)] = input_byte(input) % 8;
}

/* A request as it should be, though perhaps not now; the upper bit of its number has one byte changed. */
static void ask(struct actors *actors, struct actor *actor, struct input *input)
{
	static struct input_packet packet;
	const struct hello_request hello = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION};
	struct message_header header = {.cookie = ++actor->cookie};
	uint8_t byte = input_byte(input);
	const struct request_rule *rule;

	if (actor->fd < 0)
		return;
	header.type = (uint16_t)(byte % 32 % actor->table->count);
	rule = &actor->table->rules[header.type];
	memset(packet.bytes, 0, 512);
	packet.length = sizeof header + rule->size;
	packet.fds = packet.first_fd = 0;
	if (header.type == COMMON_HELLO)
		memcpy(packet.bytes + sizeof header, &hello, sizeof hello);
	else if (actor->table == &broker_table)
		fill_broker(actors, input, header.type, rule->size, &packet);
	else
		fill_device(actors, input, header.type, &packet);
	if (byte & 0x80)
		packet.bytes[input_byte(input) % 128] = input_byte(input);
	header.length = (uint32_t)(packet.length - sizeof header);
	memcpy(packet.bytes, &header, sizeof header);
	send_packet(actors, actor, &packet);
}

static void send_anything(struct actors *actors, struct actor *actor, struct input *input)
{
	static struct input_packet packet;

	if (input_packet(input, ++actor->cookie, &packet))
		send_packet(actors, actor, &packet);
}

static void connect_actor(struct actors *actors, struct actor *actor)
{
	size_t i = (size_t)(actor - actors->all);
	int fd;

	if (i >= ACTORS_SESSIONS || actor->fd >= 0)
		return;
	fd = actors->connect(i);
	if (fd >= 0)
		begin(actor, fd, &broker_table);
}

void actors_step(struct actors *actors, enum actor_step step, size_t who, struct input *input)
{
	struct actor *actor = &actors->all[who % (ACTORS_SESSIONS + ACTORS_DEVICES)];

	switch (step) {
	case ACTOR_CONNECTS:
		connect_actor(actors, actor);
		break;
	case ACTOR_ENDS:
		actor_end(actor);
		break;
	case ACTOR_ASKS:
		ask(actors, actor, input);
		break;
	case ACTOR_SENDS:
		send_anything(actors, actor, input);
		break;
	case ACTOR_READS:
		actors_read(actors, actor);
		break;
	case ACTOR_STEPS:
		break;
	}
}
