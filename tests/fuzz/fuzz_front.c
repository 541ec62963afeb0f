/* SPDX-License-Identifier: MIT */
#include "front.h"
#include "input.h"
#include "log.h"
#include "table.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A whole front, with four clients that send what they like, and a broker that mostly does what a broker does.
 *
 * The input is a sequence of steps: 1 byte (enum step, and in the high bits which client), and what the step says. Each
 * descriptor that a client attaches is the one end of a pair, and the front has to keep the end open.
 */
enum step {
	STEP_CONNECT,
	STEP_GREET,  /* HELLO of a client */
	STEP_ASK,    /* PING of a client */
	STEP_CLIENT, /* the client sends; a packet (input.h) */
	STEP_CLIENT_READS,
	STEP_CLIENT_ENDS,
	STEP_CLIENT_HALF, /* the client shuts its sending direction down */
	STEP_BROKER_READS,
	STEP_ANSWER, /* the broker answers the client's request; 1 byte: the size in units of 256 */
	STEP_EVENT,  /* the broker has an event for the client */
	STEP_TURN_AWAY,
	STEP_CLOSE,
	STEP_LOOK,
	STEP_QUERY,  /* the broker is a new one */
	STEP_BROKER, /* the broker sends; a packet (input.h) */
	STEP_HANG_UP,
	STEPS,
};

#define STEPS_MAX 64
#define CLIENTS	  4

struct client {
	int fd; /* -1: none */
	uint64_t session;
	unsigned int requests, replies;
	bool asking; /* the broker has read a request, and has not answered */
	uint16_t type;
};

static struct front front;
static struct client clients[CLIENTS];
static uint64_t sessions;
static int lifeline, control, bait[2], event;
static bool running;
static bool baited; /* a client has attached a descriptor */
static bool wild;   /* the broker has sent what no broker sends */
static struct packet packet;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(-1);
	packet_init(&packet);
	return 0;
}

static void pair(int both[2])
{
	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) == 0);
}

static void front_run(void)
{
	for (int i = 0; i < 4 && running; i++)
		running = front_step(&front, 0);
}

/* ---- the broker ---- */

static bool order(uint16_t type, uint16_t flags, uint64_t cookie, size_t size, int fd)
{
	bool sent;

	packet_request(&packet, type, cookie);
	packet.header.flags = flags;
	INPUT_ASSERT(packet_append(&packet, size));
	if (fd >= 0)
		fdset_add(&packet.fds, dup(fd));
	sent = packet_send(control, MSG_DONTWAIT, &packet) == 0;
	packet_clear(&packet);
	return sent;
}

static struct client *client_of(uint64_t session)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		if (clients[i].fd >= 0 && clients[i].session == session)
			return &clients[i];
	}
	return NULL;
}

/* Whatever clients send, the broker gets well formed requests of sessions, one at a time of each. */
static void check(const struct packet *got)
{
	struct client *client = client_of(got->header.cookie);
	struct detail detail;

	INPUT_ASSERT(got->fds.count == 0);
	if (got->header.type >= FRONT_HELLO)
		return;
	/* A broker gone wild may order HELLO: what comes then is the answer to that. */
	INPUT_ASSERT(table_check(&broker_table, STATE_READY, got, &detail) == 0 || wild);
	INPUT_ASSERT(got->header.type != BROKER_HELLO || wild);
	if (!client)
		return;
	INPUT_ASSERT(!client->asking || wild);
	client->asking = true;
	client->type = got->header.type;
}

static void broker_reads(void)
{
	while (packet_receive(control, MSG_DONTWAIT, 1, &packet) == PACKET_RECEIVED)
		check(&packet);
	packet_clear(&packet);
}

static void connect_client(struct client *client, uint16_t refusal)
{
	int both[2];

	if (client->fd >= 0)
		return;
	pair(both);
	*client = (struct client){.fd = both[0], .session = ++sessions};
	packet_request(&packet, FRONT_CONNECT, client->session);
	((struct front_connect *)packet_append(&packet, sizeof(struct front_connect)))->refusal.refusal = refusal;
	fdset_add(&packet.fds, both[1]);
	packet_send(control, MSG_DONTWAIT, &packet);
	packet_clear(&packet);
}

static void answer(struct client *client, uint8_t size)
{
	if (client->asking && order(client->type, MESSAGE_REPLY, client->session, size * 256U, -1))
		client->asking = false;
}

/* All that was not answered comes again, and comes after the answer. */
static void query(void)
{
	broker_reads();
	if (!order(FRONT_QUERY, 0, 77, 0, -1))
		return;
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i].asking = false;
	/* What was sent before is lost with the earlier broker. */
	front_run();
	while (packet_receive(control, MSG_DONTWAIT, 1, &packet) == PACKET_RECEIVED) {
		for (size_t i = 0; packet.header.type == FRONT_QUERY && i < CLIENTS; i++)
			clients[i].asking = false;
		check(&packet);
	}
	packet_clear(&packet);
}

/* ---- clients ---- */

static void client_sends(struct client *client, const struct input_packet *sent)
{
	if (!input_send(client->fd, sent, &bait[1], 1))
		return;
	client->requests++;
	baited |= sent->fds > 0;
}

static void client_asks(struct client *client, uint16_t type, const void *body, uint32_t size)
{
	static struct input_packet sent;
	const struct message_header header = {type, 0, size, 5};

	sent.fds = 0;
	sent.length = sizeof header + size;
	memcpy(sent.bytes, &header, sizeof header);
	memcpy(sent.bytes + sizeof header, body, size);
	client_sends(client, &sent);
}

static void client_reads(struct client *client)
{
	while (packet_receive(client->fd, MSG_DONTWAIT, 1, &packet) == PACKET_RECEIVED)
		client->replies += (packet.header.flags & MESSAGE_REPLY) != 0;
	packet_clear(&packet);
	/* One more if the client was turned away. */
	INPUT_ASSERT(client->replies <= client->requests + 1);
}

/* ---- the steps ---- */

static void client_step(struct input *input, enum step what, struct client *client)
{
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};
	static struct input_packet sent;

	if (what == STEP_CLIENT)
		input_packet(input, 9, &sent);
	if (client->fd < 0)
		return;
	if (what == STEP_GREET)
		client_asks(client, BROKER_HELLO, &hello, sizeof hello);
	else if (what == STEP_ASK)
		client_asks(client, BROKER_PING, "", 0);
	else if (what == STEP_CLIENT)
		client_sends(client, &sent);
	else if (what == STEP_CLIENT_READS)
		client_reads(client);
	else if (what == STEP_CLIENT_HALF)
		shutdown(client->fd, SHUT_WR);
	else
		fd_cleanup(&client->fd);
}

static void broker_step(struct input *input, enum step what, struct client *client)
{
	static struct input_packet sent;

	if (what == STEP_BROKER_READS)
		broker_reads();
	else if (what == STEP_ANSWER)
		answer(client, input_byte(input));
	else if (what == STEP_EVENT)
		order(BROKER_EVENT_CHANGE, MESSAGE_EVENT, client->session, sizeof(struct change_event), -1);
	else if (what == STEP_CLOSE)
		order(FRONT_CLOSE, 0, client->session, 0, -1);
	else if (what == STEP_LOOK)
		order(FRONT_LOOK, 0, client->session, 0, -1);
	else if (what == STEP_QUERY)
		query();
	else if (what == STEP_BROKER) {
		wild = true;
		input_packet(input, client->session, &sent);
		input_send(control, &sent, &event, 1);
	} else {
		shutdown(control, SHUT_RDWR);
	}
}

static void step(struct input *input)
{
	uint8_t byte = input_byte(input);
	struct client *client = &clients[byte >> 4 & (CLIENTS - 1)];
	enum step what = byte & 15U;

	if (what == STEP_CONNECT)
		connect_client(client, 0);
	else if (what == STEP_TURN_AWAY)
		connect_client(client, REFUSAL_QUOTA);
	else if (what >= STEP_GREET && what <= STEP_CLIENT_HALF)
		client_step(input, what, client);
	else
		broker_step(input, what, client);
	front_run();
}

static void start(void)
{
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};
	int life[2], both[2];

	pair(life);
	pair(both);
	pair(bait);
	event = eventfd(0, EFD_CLOEXEC);
	lifeline = life[0];
	control = both[0];
	sessions = 0;
	baited = wild = false;
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){.fd = -1};
	INPUT_ASSERT(front_init(&front, life[1]) == 0);
	running = true;
	packet_request(&packet, FRONT_HELLO, 1);
	memcpy(packet_append(&packet, sizeof hello), &hello, sizeof hello);
	fdset_add(&packet.fds, both[1]);
	INPUT_ASSERT(packet_send(lifeline, 0, &packet) == 0);
	front_run();
	INPUT_ASSERT(input_drain(control) == 1);
}

static bool bait_is_open(void)
{
	struct pollfd p = {bait[0], 0, 0};

	return poll(&p, 1, 0) == 0;
}

static void finish(void)
{
	for (size_t i = 0; i < CLIENTS; i++)
		fd_cleanup(&clients[i].fd);
	front_run();
	close(control);
	front_run();
	/* A client's packets may wait behind a connection that the control socket had no room for. */
	close(bait[1]);
	INPUT_ASSERT(!running);
	INPUT_ASSERT(bait_is_open() || !baited);
	front_release(&front);
	INPUT_ASSERT(!bait_is_open());
	close(bait[0]);
	close(lifeline);
	close(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct input_run run = {start, step, finish, STEPS_MAX};

	input_run(&run, data, size);
	return 0;
}
