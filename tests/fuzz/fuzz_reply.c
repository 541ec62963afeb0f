/* SPDX-License-Identifier: MIT */
#include "input.h"
#include "requester.h"
#include "session.h"
#include "vfio-broker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The library against a server that answers what it likes. Byte 0: which call; then the packets (input.h) that the
 * server has ready, before the call even begins: the library numbers its requests from 1, so their cookies can be right.
 */
static char text[32];

static void assert_text(const char *string, size_t size)
{
	INPUT_ASSERT(strnlen(string, size) < size);
}

static void call_list(struct vbroker_session *session)
{
	struct vbroker_device_entry *entries;
	size_t count;

	if (vbroker_session_list(session, &entries, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		assert_text(entries[i].name, sizeof entries[i].name);
		assert_text(entries[i].driver, sizeof entries[i].driver);
		assert_text(entries[i].holder.unit, sizeof entries[i].holder.unit);
	}
	free(entries);
}

static void call_check(struct vbroker_session *session)
{
	struct vbroker_obstacle *obstacles;
	size_t count;
	int claim;

	if (vbroker_session_check(session, "0000:01:00.0", &obstacles, &count, &claim) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		assert_text(obstacles[i].detail, sizeof obstacles[i].detail);
	free(obstacles);
}

static void call_status(struct vbroker_session *session)
{
	struct vbroker_status status;

	vbroker_session_status(session, &status);
}

static void call_sessions(struct vbroker_session *session)
{
	struct vbroker_session_entry *entries;
	size_t count;

	if (vbroker_session_sessions(session, &entries, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		assert_text(entries[i].peer.unit, sizeof entries[i].peer.unit);
	free(entries);
}

static void call_leases(struct vbroker_session *session)
{
	struct vbroker_lease_entry *entries;
	size_t count;

	if (vbroker_session_leases(session, &entries, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		assert_text(entries[i].name, sizeof entries[i].name);
	free(entries);
}

static void call_open(struct vbroker_session *session)
{
	int channel;

	if (session_lease(session, "0000:01:00.0", &channel) == 0)
		INPUT_ASSERT(close(channel) == 0);
}

static void call_ping(struct vbroker_session *session)
{
	vbroker_session_ping(session);
}

static void (*const session_calls[])(struct vbroker_session *) = {
	call_list,
	call_check,
	call_status,
	call_sessions,
	call_leases,
	call_open,
	call_ping,
};

/* ---- devices ---- */

static void call_describe(struct vbroker_device *device)
{
	struct vbroker_device_info info;

	if (vbroker_device_describe(device, &info) != 0)
		return;
	assert_text(info.name, sizeof info.name);
	INPUT_ASSERT(info.regions_count <= VBROKER_REGIONS_MAX && info.irqs_count <= VBROKER_IRQS_MAX);
}

static void call_region(struct vbroker_device *device)
{
	char *data = malloc(12);
	uint64_t value;

	vbroker_region_read(device, 0, 0, 4, &value);
	vbroker_region_read_bytes(device, 0, 0, data, 12, 4);
	vbroker_region_write(device, 0, 0, 4, 5);
	free(data);
}

static void call_program(struct vbroker_device *device)
{
	struct vbroker_op *ops = calloc(2, sizeof *ops);
	size_t done = 0;
	int r;

	for (int i = 0; i < 2; i++)
		ops[i] = (struct vbroker_op){.kind = VBROKER_OP_READ, .width = 4};
	r = vbroker_region_program(device, ops, 2, &done);
	INPUT_ASSERT(done <= 2 && (r != 0 || done == 2));
	free(ops);
}

static void call_irq(struct vbroker_device *device)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	vbroker_irq_set(device, 1, 0, &fd, 1);
	vbroker_irq_clear(device, 1, 0, 0);
	vbroker_irq_unmask(device, 0, 0, 1);
	close(fd);
}

static void call_reset(struct vbroker_device *device)
{
	vbroker_device_reset(device);
	vbroker_device_unbind(device);
	vbroker_device_ping(device);
}

static void call_window(struct vbroker_device *device)
{
	struct vbroker_window *window = NULL;
	volatile void *address;

	if (vbroker_window_open(device, 0, 4096, 4096, VBROKER_WINDOW_WRITE, &window) != 0) {
		INPUT_ASSERT(!window);
		return;
	}
	/* The one descriptor that the server here has is a socket, which cannot be mapped. */
	INPUT_ASSERT(vbroker_window_fd(window) >= 0 && vbroker_window_map(window, &address) == VBROKER_REVOKED);
	vbroker_window_close(window);
}

static void (*const device_calls[])(struct vbroker_device *) = {
	call_describe,
	call_region,
	call_program,
	call_irq,
	call_reset,
	call_window,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a good server says first, so that the rest of the input is about what comes then. */
static void answer_hello(int server)
{
	static struct packet packet;
	struct hello_reply *reply;

	packet_init(&packet);
	packet_reply(&packet, &(struct message_header){.type = COMMON_HELLO, .cookie = 1});
	reply = packet_append(&packet, sizeof *reply);
	*reply = (struct hello_reply){MESSAGE_VERSION, CHANNEL_DEVICE, MESSAGE_SIZE_MAX, 0};
	INPUT_ASSERT(packet_send(server, MSG_DONTWAIT, &packet) == 0);
}

static void serve(struct input *input, int server, uint64_t cookie)
{
	static struct input_packet packet;

	while (input_packet(input, cookie, &packet)) {
		input_send(server, &packet, &server, 1);
		cookie++;
	}
	/* The library waits for ever otherwise. */
	shutdown(server, SHUT_WR);
}

static void use_session(int fd, unsigned int which)
{
	struct vbroker_session *session = calloc(1, sizeof *session);

	requester_init(&session->channel, fd, &broker_table);
	session_calls[which](session);
	vbroker_session_close(session);
}

static void use_device(int fd, unsigned int which)
{
	struct vbroker_device *device;

	if (vbroker_device_adopt(fd, &device) != 0) {
		close(fd);
		return;
	}
	device_calls[which](device);
	vbroker_device_close(device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned int which = input_byte(&input) % (COUNT(session_calls) + COUNT(device_calls) + 1);
	unsigned int open_fds = input_open_fds();
	bool device = which >= COUNT(session_calls);
	int pair[2];

	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	/* The last one makes even the HELLO up. */
	if (device && which < COUNT(session_calls) + COUNT(device_calls)) {
		answer_hello(pair[0]);
		serve(&input, pair[0], 2);
	} else {
		serve(&input, pair[0], 1);
	}
	if (device)
		use_device(pair[1], (which - (unsigned int)COUNT(session_calls)) % COUNT(device_calls));
	else
		use_session(pair[1], which);
	vbroker_explain(VBROKER_GONE, text, sizeof text);
	close(pair[0]);
	INPUT_ASSERT(input_open_fds() == open_fds);
	return 0;
}
