/* SPDX-License-Identifier: MIT */
#include "input.h"
#include "requester.h"
#include "session.h"
#include "vfio-broker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The library against a server that answers what it likes. Byte 0: which call; then the packets (input.h) that the
 * server has ready, before the call even begins: the library numbers its requests from 1, so their cookies can be
 * right. Descriptors that come with a packet are, in turn, those of enum kind.
 */
enum kind { SOCKET, MEMORY, READ_ONLY, SHORT, UNSEALED, KINDS };

#define MEMORY_SIZE 16384

static int fds[KINDS];
static char text[32];

static int make_memory(off_t size, int seals)
{
	int fd = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	INPUT_ASSERT(fd >= 0 && ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fds[MEMORY] = make_memory(MEMORY_SIZE, F_SEAL_SHRINK);
	fds[READ_ONLY] = make_memory(MEMORY_SIZE, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE);
	fds[SHORT] = make_memory(MEMORY_SIZE / 2, F_SEAL_SHRINK);
	fds[UNSEALED] = make_memory(MEMORY_SIZE, F_SEAL_GROW);
	return 0;
}

static void assert_text(const char *string, size_t size)
{
	INPUT_ASSERT(strnlen(string, size) < size);
}

static void call_list(struct vbroker_session *session)
{
	struct vbroker_device_entry *entries;
	size_t count;

	if (vbroker_list_devices(session, &entries, &count) != 0)
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

	if (vbroker_list_sessions(session, &entries, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		assert_text(entries[i].peer.unit, sizeof entries[i].peer.unit);
	free(entries);
}

static void call_leases(struct vbroker_session *session)
{
	struct vbroker_lease_entry *entries;
	size_t count;

	if (vbroker_list_leases(session, &entries, &count) != 0)
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
	/* The server here has no window, but a memfd can be mapped like one. */
	INPUT_ASSERT(vbroker_window_fd(window) >= 0);
	vbroker_window_map(window, &address);
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

/* ---- domains ---- */

static void call_ranges(struct vbroker_domain *domain)
{
	struct vbroker_range *ranges;
	uint64_t sizes;
	size_t count;

	if (vbroker_domain_ranges(domain, &ranges, &count, &sizes) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		text[i % sizeof text] = (char)ranges[i].last;
	free(ranges);
}

static void call_memory(struct vbroker_domain *domain)
{
	struct vbroker_memory *memory;
	uint64_t iova;

	if (vbroker_memory_alloc(domain, MEMORY_SIZE, VBROKER_DEVICE_READS, 0, &memory) != 0)
		return;
	INPUT_ASSERT(vbroker_memory_length(memory) >= MEMORY_SIZE);
	memset(vbroker_memory_address(memory), 1, MEMORY_SIZE);
	if (vbroker_domain_map(
		    domain, vbroker_memory_address(memory), 4096, VBROKER_DEVICE_READS, VBROKER_IOVA_ANY, &iova) == 0)
		vbroker_domain_unmap(domain, iova, 4096);
	/* vbroker_domain_close() frees it. */
}

static void call_unmap(struct vbroker_domain *domain)
{
	vbroker_domain_unmap(domain, 4096, 4096);
	vbroker_domain_unmap(domain, 4096, 4096);
}

static void (*const domain_calls[])(struct vbroker_domain *) = {
	call_ranges,
	call_memory,
	call_unmap,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a good server says first, so that the rest of the input is about what comes then. */
static void answer_hello(int server, enum channel_kind kind)
{
	static struct packet packet;
	struct hello_reply *reply;

	packet_init(&packet);
	packet_reply(&packet, &(struct message_header){.type = COMMON_HELLO, .cookie = 1});
	reply = packet_append(&packet, sizeof *reply);
	*reply = (struct hello_reply){MESSAGE_VERSION, (uint16_t)kind, MESSAGE_SIZE_MAX, 0};
	INPUT_ASSERT(packet_send(server, MSG_DONTWAIT, &packet) == 0);
}

static void serve(struct input *input, int server, uint64_t cookie)
{
	static struct input_packet packet;

	fds[SOCKET] = server;
	while (input_packet(input, cookie, &packet)) {
		input_send(server, &packet, fds, KINDS);
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

static void use_domain(int fd, unsigned int which)
{
	struct vbroker_domain *domain;

	if (vbroker_domain_adopt(fd, &domain) != 0) {
		close(fd);
		return;
	}
	domain_calls[which](domain);
	vbroker_domain_close(domain);
}

/*
 * All calls in one row: sessions', devices', domains'. The last one of devices' and of domains' makes even the HELLO
 * up.
 */
#define DEVICE_CALLS   COUNT(session_calls)
#define DEVICE_MADE_UP (DEVICE_CALLS + COUNT(device_calls))
#define DOMAIN_CALLS   (DEVICE_MADE_UP + 1)
#define DOMAIN_MADE_UP (DOMAIN_CALLS + COUNT(domain_calls))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	size_t which = input_byte(&input) % (DOMAIN_MADE_UP + 1);
	unsigned int open_fds = input_open_fds();
	int pair[2];

	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	if (which < DEVICE_CALLS || which == DEVICE_MADE_UP || which == DOMAIN_MADE_UP) {
		serve(&input, pair[0], 1);
	} else {
		answer_hello(pair[0], which < DOMAIN_CALLS ? CHANNEL_DEVICE : CHANNEL_DOMAIN);
		serve(&input, pair[0], 2);
	}
	if (which < DEVICE_CALLS)
		use_session(pair[1], (unsigned int)which);
	else if (which < DOMAIN_CALLS)
		use_device(pair[1], (unsigned int)((which - DEVICE_CALLS) % COUNT(device_calls)));
	else
		use_domain(pair[1], (unsigned int)((which - DOMAIN_CALLS) % COUNT(domain_calls)));
	vbroker_describe_result(VBROKER_GONE, text, sizeof text);
	close(pair[0]);
	INPUT_ASSERT(input_open_fds() == open_fds);
	return 0;
}
