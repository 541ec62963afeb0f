/* SPDX-License-Identifier: MIT */
#include "packet.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

/*
 * Every case runs over a real socket and compares the number of open descriptors at its end with that at its
 * start. The sending side of the hostile cases is raw sendmsg(): packet_send() would not produce what they
 * need.
 */
struct wire {
	int fds_before;
	int pair[2]; /* [0] sends, [1] receives */
	struct packet packet;
};

static int wire_setup(void **state)
{
	struct wire *wire = malloc(sizeof *wire);

	wire->fds_before = unit_fds();
	unit_pair(wire->pair);
	packet_init(&wire->packet);
	*state = wire;
	return 0;
}

static int wire_teardown(void **state)
{
	struct wire *wire = *state;

	packet_clear(&wire->packet);
	for (int i = 0; i < 2; i++) {
		if (wire->pair[i] >= 0)
			close(wire->pair[i]);
	}
	assert_int_equal(unit_fds(), wire->fds_before);
	free(wire);
	return 0;
}

/* Sends LENGTH bytes with COUNT copies of one descriptor, in one or two control messages. */
static void send_raw(int fd, const void *bytes, size_t length, unsigned int count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)bytes, length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count > 0) {
		struct cmsghdr *c;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		for (unsigned int i = 0; i < count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), length);
}

static struct message_header header_of(uint32_t length)
{
	return (struct message_header){.type = 7, .length = length, .cookie = 42};
}

static int receive(struct wire *wire, int fds_wanted)
{
	return packet_receive(wire->pair[1], MSG_DONTWAIT, fds_wanted, &wire->packet);
}

static void assert_refused(struct wire *wire, int fds_wanted)
{
	assert_int_equal(receive(wire, fds_wanted), -EPROTO);
	assert_int_equal(wire->packet.fds.count, 0);
	/* The two ends of the pair and nothing else. */
	assert_int_equal(unit_fds(), wire->fds_before + 2);
}

static void whole_packet_arrives(void **state)
{
	struct wire *wire = *state;
	struct packet sent;

	packet_init(&sent);
	packet_request(&sent, 6, 99);
	memcpy(packet_append(&sent, 5), "hello", 5);
	fdset_add(&sent.fds, dup(wire->pair[0]));
	assert_int_equal(packet_send(wire->pair[0], 0, &sent), 0);
	/* Sent means gone: the receiver has them. */
	assert_int_equal(sent.fds.count, 0);
	assert_int_equal(unit_fds(), wire->fds_before + 2);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.header.type, 6);
	assert_int_equal(wire->packet.header.flags, 0);
	assert_int_equal(wire->packet.header.cookie, 99);
	assert_int_equal(wire->packet.header.length, 5);
	assert_memory_equal(wire->packet.payload, "hello", 5);
	assert_int_equal(wire->packet.fds.count, 1);
	assert_int_equal(fcntl(wire->packet.fds.fds[0], F_GETFD), FD_CLOEXEC);
}

static void largest_packet_arrives(void **state)
{
	struct wire *wire = *state;
	static struct packet sent;

	packet_init(&sent);
	packet_request(&sent, 6, 1);
	assert_non_null(packet_append(&sent, MESSAGE_PAYLOAD_MAX));
	sent.payload[MESSAGE_PAYLOAD_MAX - 1] = 0xee;
	assert_null(packet_append(&sent, 1));
	assert_int_equal(packet_send(wire->pair[0], 0, &sent), 0);
	assert_int_equal(receive(wire, 0), PACKET_RECEIVED);
	assert_int_equal(wire->packet.header.length, MESSAGE_PAYLOAD_MAX);
	assert_int_equal(wire->packet.payload[MESSAGE_PAYLOAD_MAX - 1], 0xee);
}

/* CMSG_SPACE(sizeof(int)) has room for two descriptors: a receiver that counts on one would lose the second.
 */
static void two_fds_where_one_is_wanted_are_both_collected(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);

	send_raw(wire->pair[0], &header, sizeof header, 2);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, 2);
	assert_int_equal(unit_fds(), wire->fds_before + 4);
}

static void as_many_fds_as_the_kernel_takes_arrive(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);

	send_raw(wire->pair[0], &header, sizeof header, FDSET_MAX);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, FDSET_MAX);
	assert_int_equal(unit_fds(), wire->fds_before + 2 + FDSET_MAX);
	/* The next packet replaces this one, its descriptors included. */
	send_raw(wire->pair[0], &header, sizeof header, 0);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, 0);
	assert_int_equal(unit_fds(), wire->fds_before + 2);
}

static void whole_fdset_can_be_sent(void **state)
{
	struct wire *wire = *state;
	static struct packet sent;

	packet_init(&sent);
	packet_request(&sent, 6, 1);
	for (int i = 0; i < FDSET_MAX; i++)
		fdset_add(&sent.fds, dup(wire->pair[0]));
	assert_int_equal(packet_send(wire->pair[0], 0, &sent), 0);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, FDSET_MAX);
}

static void unwanted_fds_are_dropped_unseen(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);
	const unsigned int counts[] = {1, 2, FDSET_MAX};

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		send_raw(wire->pair[0], &header, sizeof header, counts[i]);
		assert_int_equal(receive(wire, 0), PACKET_RECEIVED);
		assert_int_equal(wire->packet.header.cookie, 42);
		assert_int_equal(wire->packet.fds.count, 0);
		assert_int_equal(unit_fds(), wire->fds_before + 2);
	}
}

/* What was sent is gone, not only kept out of here: the other end of the pipe sees that. */
static void dropped_fds_are_closed(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);
	struct packet sent;
	char byte;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	packet_init(&sent);
	packet_request(&sent, 7, 1);
	fdset_add(&sent.fds, ends[1]);
	assert_int_equal(packet_send(wire->pair[0], 0, &sent), 0);
	assert_int_equal(receive(wire, 0), PACKET_RECEIVED);
	assert_int_equal(header.type, wire->packet.header.type);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

static void empty_packet_with_an_fd_is_not_the_end(void **state)
{
	struct wire *wire = *state;

	send_raw(wire->pair[0], NULL, 0, 1);
	assert_refused(wire, 1);
	send_raw(wire->pair[0], NULL, 0, 1);
	assert_refused(wire, 0);
	/* Not even on a socket that is hung up. */
	send_raw(wire->pair[0], NULL, 0, 1);
	shutdown(wire->pair[0], SHUT_WR);
	assert_refused(wire, 1);
	assert_int_equal(receive(wire, 1), PACKET_END);
}

static void empty_packet_on_a_live_socket_is_not_the_end(void **state)
{
	struct wire *wire = *state;

	send_raw(wire->pair[0], NULL, 0, 0);
	assert_refused(wire, 1);
	assert_int_equal(receive(wire, 1), -EAGAIN);
}

static void end_is_the_end(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);

	/* What was sent before the end comes before the end. */
	send_raw(wire->pair[0], &header, sizeof header, 0);
	close(wire->pair[0]);
	wire->pair[0] = -1;
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(receive(wire, 1), PACKET_END);
	assert_int_equal(receive(wire, 0), PACKET_END);
}

static void half_closed_is_the_end(void **state)
{
	struct wire *wire = *state;

	shutdown(wire->pair[0], SHUT_WR);
	assert_int_equal(receive(wire, 1), PACKET_END);
}

static void truncated_packet_loses_its_fds_too(void **state)
{
	struct wire *wire = *state;
	static uint8_t bytes[MESSAGE_SIZE_MAX + 1];
	struct message_header header = header_of(MESSAGE_PAYLOAD_MAX);

	/* Its first 64 KiB look like a whole packet. */
	memcpy(bytes, &header, sizeof header);
	send_raw(wire->pair[0], bytes, sizeof bytes, 3);
	assert_refused(wire, 1);
	send_raw(wire->pair[0], bytes, sizeof bytes, 0);
	assert_refused(wire, 0);
	assert_int_equal(receive(wire, 1), -EAGAIN);
}

/* The table of descriptors is full after some of those that came: the kernel delivers these, drops the
 * others. */
static void fds_cut_by_the_descriptor_limit_are_closed(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);
	struct rlimit limit, low;
	int highest = dup(wire->pair[0]);

	close(highest);
	send_raw(wire->pair[0], &header, sizeof header, 5);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){(rlim_t)highest + 2, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(receive(wire, 1), -EPROTO);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(wire->packet.fds.count, 0);
	assert_int_equal(wire->packet.header.type, 7);
	assert_int_equal(unit_fds(), wire->fds_before + 2);
}

/* Somebody switched credentials on: they take the room of the last descriptors. */
static void fds_cut_by_other_ancillary_data_are_closed(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);
	int on = 1;

	assert_int_equal(setsockopt(wire->pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
	send_raw(wire->pair[0], &header, sizeof header, FDSET_MAX);
	assert_refused(wire, 1);
	/* With room left, they are stepped over. */
	send_raw(wire->pair[0], &header, sizeof header, 2);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, 2);
}

static void short_header_is_refused(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0), none = {0};

	for (size_t size = 1; size < sizeof header; size++) {
		send_raw(wire->pair[0], &header, size, size % 2);
		assert_refused(wire, 1);
		assert_memory_equal(&wire->packet.header, &none, sizeof none);
	}
}

static void wrong_length_is_refused(void **state)
{
	struct wire *wire = *state;
	struct {
		struct message_header header;
		uint8_t payload[8];
	} bytes = {.header = header_of(0)};
	const uint32_t wrong[] = {0, 7, 9, 24, UINT32_MAX, UINT32_MAX - 15};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		bytes.header.length = wrong[i];
		send_raw(wire->pair[0], &bytes, sizeof bytes, 1);
		assert_refused(wire, 1);
		assert_int_equal(wire->packet.header.cookie, 42);
	}
	bytes.header.length = 8;
	send_raw(wire->pair[0], &bytes, sizeof bytes, 0);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
}

static void packet_that_does_not_fit_keeps_its_fds(void **state)
{
	struct wire *wire = *state;
	static struct packet sent;
	int full = 0;

	packet_init(&sent);
	while (!full) {
		packet_request(&sent, 6, 1);
		packet_append(&sent, 30000);
		fdset_add(&sent.fds, dup(wire->pair[0]));
		full = packet_send(wire->pair[0], MSG_DONTWAIT, &sent) == -EAGAIN;
	}
	assert_int_equal(sent.fds.count, 1);
	assert_true(fcntl(sent.fds.fds[0], F_GETFD) >= 0);
	while (receive(wire, 1) == PACKET_RECEIVED)
		;
	/* The same packet goes out later, whole. */
	assert_int_equal(packet_send(wire->pair[0], MSG_DONTWAIT, &sent), 0);
	assert_int_equal(receive(wire, 1), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, 1);
	assert_int_equal(wire->packet.header.length, 30000);
}

/* SIGPIPE would end this process. */
static void sending_to_nobody_is_an_error(void **state)
{
	struct wire *wire = *state;
	struct packet sent;

	close(wire->pair[1]);
	wire->pair[1] = -1;
	packet_init(&sent);
	packet_request(&sent, 6, 1);
	fdset_add(&sent.fds, dup(wire->pair[0]));
	assert_int_equal(packet_send(wire->pair[0], 0, &sent), -EPIPE);
	assert_int_equal(sent.fds.count, 1);
	packet_clear(&sent);
}

static void what_is_no_socket_is_an_error(void **state)
{
	struct wire *wire = *state;
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(packet_receive(file, 0, 1, &wire->packet), -ENOTSOCK);
	assert_int_equal(packet_send(file, 0, &wire->packet), -ENOTSOCK);
	assert_int_equal(packet_receive(-1, 0, 1, &wire->packet), -EBADF);
	close(file);
}

static void kinds_of_packets(void **state)
{
	struct wire *wire = *state;
	struct packet *packet = &wire->packet;
	struct message_header request = {.type = 4, .cookie = 77, .length = 12};

	fdset_add(&packet->fds, dup(wire->pair[0]));
	packet_reply(packet, &request);
	assert_int_equal(packet->fds.count, 0);
	assert_int_equal(packet->header.type, 4);
	assert_int_equal(packet->header.flags, MESSAGE_REPLY);
	assert_int_equal(packet->header.cookie, 77);
	assert_int_equal(packet->header.length, 0);
	packet_event(packet, 128);
	assert_int_equal(packet->header.type, 128);
	assert_int_equal(packet->header.flags, MESSAGE_EVENT);
	assert_int_equal(packet->header.cookie, 0);
}

static void append_gives_zeroed_bytes_until_it_is_full(void **state)
{
	struct packet *packet = &((struct wire *)*state)->packet;
	const uint8_t zero[64] = {0};
	uint8_t *bytes;

	packet_request(packet, 3, 1);
	memset(packet->payload, 0xff, sizeof packet->payload);
	bytes = packet_append(packet, 64);
	assert_memory_equal(bytes, zero, 64);
	assert_int_equal(bytes[64], 0xff);
	assert_null(packet_append(packet, SIZE_MAX));
	assert_null(packet_append(packet, MESSAGE_PAYLOAD_MAX - 63));
	assert_int_equal(packet->header.length, 64);
	assert_ptr_equal(packet_append(packet, MESSAGE_PAYLOAD_MAX - 64), bytes + 64);
	assert_int_equal(packet->header.length, MESSAGE_PAYLOAD_MAX);
}

static void body_needs_that_many_bytes(void **state)
{
	struct packet *packet = &((struct wire *)*state)->packet;

	packet_request(packet, 3, 1);
	packet_append(packet, 8);
	assert_ptr_equal(packet_body(packet, 8), packet->payload);
	assert_ptr_equal(packet_body(packet, 0), packet->payload);
	assert_null(packet_body(packet, 9));
}

static void refusal_round_trip(void **state)
{
	struct packet *packet = &((struct wire *)*state)->packet;
	struct message_header request = {.type = 5, .cookie = 8};
	struct detail sent, got;

	refuse(&sent, REFUSAL_DEVICE_BUSY, "uid %d has it", 1000);
	packet_refuse(packet, &request, REFUSAL_DEVICE_BUSY, &sent);
	assert_int_equal(packet->header.flags, MESSAGE_REPLY | MESSAGE_REFUSED);
	assert_int_equal(packet->header.type, 5);
	assert_int_equal(packet->header.cookie, 8);
	assert_int_equal(packet_refusal(packet, &got), REFUSAL_DEVICE_BUSY);
	assert_string_equal(got.text, "uid 1000 has it");
	packet_refuse(packet, &request, REFUSAL_GONE, NULL);
	assert_int_equal(packet_refusal(packet, &got), REFUSAL_GONE);
	assert_string_equal(got.text, "");
	/* An errno survives the way. */
	packet_refuse(packet, &request, -ENODEV, &sent);
	assert_int_equal(packet_refusal(packet, &got), -ENODEV);
	assert_string_equal(got.text, "uid 1000 has it");
}

static void long_detail_is_cut(void **state)
{
	struct packet *packet = &((struct wire *)*state)->packet;
	struct message_header request = {.type = 5, .cookie = 8};
	struct detail detail;

	/* As long as a struct detail can be, and longer than one, as only a hostile server sends it. */
	memset(detail.text, 'x', sizeof detail.text);
	packet_refuse(packet, &request, REFUSAL_GONE, &detail);
	assert_int_equal(packet->header.length, sizeof(struct message_refusal) + DETAIL_SIZE);
	memset(packet_append(packet, 1000), 'y', 1000);
	assert_int_equal(packet_refusal(packet, &detail), REFUSAL_GONE);
	assert_int_equal(strlen(detail.text), DETAIL_SIZE - 1);
}

static void hostile_refusals(void **state)
{
	struct packet *packet = &((struct wire *)*state)->packet;
	struct message_header request = {.type = 5, .cookie = 8};
	struct message_refusal *refusal = (void *)packet->payload;
	struct detail detail;

	packet_reply(packet, &request);
	packet_append(packet, sizeof *refusal - 1);
	assert_int_equal(packet_refusal(packet, &detail), -EPROTO);
	packet_append(packet, 1);
	assert_int_equal(packet_refusal(packet, &detail), -EPROTO); /* NONE is no refusal */
	refusal->refusal = 0x80000000;
	assert_int_equal(packet_refusal(packet, &detail), -EPROTO);
	refusal->refusal = 1000; /* one of a newer server */
	assert_int_equal(packet_refusal(packet, &detail), 1000);
	refusal->refusal = REFUSAL_FAILED;
	assert_int_equal(packet_refusal(packet, &detail), REFUSAL_FAILED);
	refusal->error = 4096; /* no errno */
	assert_int_equal(packet_refusal(packet, &detail), REFUSAL_FAILED);
	refusal->error = UINT32_MAX;
	assert_int_equal(packet_refusal(packet, &detail), REFUSAL_FAILED);
	/* Nothing of it can move a terminal's cursor. */
	memcpy(packet_append(packet, 6), "a\033[2\0\xff", 6);
	packet_refusal(packet, &detail);
	assert_string_equal(detail.text, "a?[2??");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, wire_setup, wire_teardown)

/* ---- without closing ---- */

/* The packet owns the fds of broken framing, too. */
static void receive_keeping(void **state)
{
	struct wire *wire = *state;
	struct message_header wrong = header_of(5), good = header_of(0);

	send_raw(wire->pair[0], &wrong, sizeof wrong, 3);
	assert_int_equal(packet_receive_keeping(wire->pair[1], MSG_DONTWAIT, &wire->packet), -EPROTO);
	assert_int_equal(wire->packet.fds.count, 3);
	assert_int_equal(wire->packet.header.cookie, 42);
	packet_clear(&wire->packet);
	send_raw(wire->pair[0], &wrong, 3, 2);
	assert_int_equal(packet_receive_keeping(wire->pair[1], MSG_DONTWAIT, &wire->packet), -EPROTO);
	assert_int_equal(wire->packet.fds.count, 2);
	assert_int_equal(wire->packet.header.type, 0);
	packet_clear(&wire->packet);
	send_raw(wire->pair[0], "", 0, 1);
	assert_int_equal(packet_receive_keeping(wire->pair[1], MSG_DONTWAIT, &wire->packet), -EPROTO);
	assert_int_equal(wire->packet.fds.count, 1);
	packet_clear(&wire->packet);
	send_raw(wire->pair[0], &good, sizeof good, FDSET_MAX);
	assert_int_equal(packet_receive_keeping(wire->pair[1], MSG_DONTWAIT, &wire->packet), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, FDSET_MAX);
	packet_clear(&wire->packet);
	assert_int_equal(packet_receive_keeping(wire->pair[1], MSG_DONTWAIT, &wire->packet), -EAGAIN);
}

static int drain(struct wire *wire)
{
	assert_int_equal(shutdown(wire->pair[1], SHUT_RDWR), 0);
	return packet_drain(wire->pair[1]);
}

static void drain_of_an_empty_queue(void **state)
{
	struct wire *wire = *state;

	assert_int_equal(packet_drain(wire->pair[1]), -EAGAIN);
	assert_int_equal(drain(wire), PACKET_END);
	assert_int_equal(packet_drain(wire->pair[1]), PACKET_END);
	assert_int_equal(packet_drain(STDERR_FILENO), -ENOTSOCK);
}

/* Empty packets look like the end. */
static void drain_of_packets_without_fds(void **state)
{
	struct wire *wire = *state;

	for (int i = 0; i < 30; i++) {
		send_raw(wire->pair[0], "", 0, 0);
		send_raw(wire->pair[0], "a packet", 8, 0);
	}
	assert_int_equal(drain(wire), PACKET_END);
	assert_int_equal(receive(wire, 1), PACKET_END);
}

static void drain_stops_at_fds(void **state)
{
	struct wire *wire = *state;
	struct message_header header = header_of(0);
	int fds;

	send_raw(wire->pair[0], "", 0, 0);
	send_raw(wire->pair[0], "", 0, 0);
	send_raw(wire->pair[0], "a packet", 8, 0);
	send_raw(wire->pair[0], &header, sizeof header, 2);
	send_raw(wire->pair[0], "", 0, 1);
	fds = unit_fds();
	assert_int_equal(drain(wire), PACKET_RECEIVED);
	assert_int_equal(packet_drain(wire->pair[1]), PACKET_RECEIVED);
	assert_int_equal(unit_fds(), fds);
	/* and the packet is whole, and the next is there */
	assert_int_equal(packet_receive_keeping(wire->pair[1], MSG_DONTWAIT, &wire->packet), PACKET_RECEIVED);
	assert_int_equal(wire->packet.fds.count, 2);
	assert_int_equal(packet_drain(wire->pair[1]), PACKET_RECEIVED);
}

/* The other side has gone, with packets of ours unread: the kernel tells ECONNRESET first. */
static void drain_after_a_reset(void **state)
{
	struct wire *wire = *state;

	send_raw(wire->pair[1], "unread", 6, 0);
	send_raw(wire->pair[0], "a packet", 8, 0);
	send_raw(wire->pair[0], "", 0, 1);
	fd_cleanup(&wire->pair[0]);
	assert_int_equal(drain(wire), PACKET_RECEIVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(whole_packet_arrives),
		CASE(largest_packet_arrives),
		CASE(two_fds_where_one_is_wanted_are_both_collected),
		CASE(as_many_fds_as_the_kernel_takes_arrive),
		CASE(whole_fdset_can_be_sent),
		CASE(unwanted_fds_are_dropped_unseen),
		CASE(dropped_fds_are_closed),
		CASE(empty_packet_with_an_fd_is_not_the_end),
		CASE(empty_packet_on_a_live_socket_is_not_the_end),
		CASE(end_is_the_end),
		CASE(half_closed_is_the_end),
		CASE(truncated_packet_loses_its_fds_too),
		CASE(fds_cut_by_the_descriptor_limit_are_closed),
		CASE(fds_cut_by_other_ancillary_data_are_closed),
		CASE(short_header_is_refused),
		CASE(wrong_length_is_refused),
		CASE(receive_keeping),
		CASE(drain_of_an_empty_queue),
		CASE(drain_of_packets_without_fds),
		CASE(drain_stops_at_fds),
		CASE(drain_after_a_reset),
		CASE(packet_that_does_not_fit_keeps_its_fds),
		CASE(sending_to_nobody_is_an_error),
		CASE(what_is_no_socket_is_an_error),
		CASE(kinds_of_packets),
		CASE(append_gives_zeroed_bytes_until_it_is_full),
		CASE(body_needs_that_many_bytes),
		CASE(refusal_round_trip),
		CASE(long_detail_is_cut),
		CASE(hostile_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
