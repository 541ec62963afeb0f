/* SPDX-License-Identifier: MIT */
#include "requester.h"

#include "detail.h"
#include "text.h"
#include "timeout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

int requester_is_channel(int fd)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;

	return socket_option(fd, SO_DOMAIN) == AF_UNIX && socket_option(fd, SO_TYPE) == SOCK_SEQPACKET &&
		getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

void requester_init(struct requester *requester, int fd, const struct request_table *table)
{
	requester->fd = fd;
	requester->table = table;
	requester->end = 0;
	requester->end_why.text[0] = '\0';
	requester->notice = (struct pending_event){0};
	requester->notice_due_us = 0;
	requester->device[0] = '\0';
	requester->cookie = 0;
	requester->on_event = NULL;
	requester->event_context = NULL;
	packet_init(&requester->packet);
}

void requester_clear(struct requester *requester)
{
	packet_clear(&requester->packet);
}

void requester_name(struct requester *requester, const char *device)
{
	snprintf(requester->device, sizeof requester->device, "%s", device);
}

void requester_on_event(
	struct requester *requester, void (*hear)(void *context, const struct packet *event), void *context)
{
	requester->on_event = hear;
	requester->event_context = context;
}

void *requester_begin(struct requester *requester, uint16_t type, size_t size)
{
	packet_request(&requester->packet, type, ++requester->cookie);
	requester->packet.fds.dispose = NULL;
	return packet_append(&requester->packet, size);
}

int requester_attach(struct requester *requester, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return detail_set(-errno, "file descriptor %d cannot be duplicated", fd);
	return fdset_add(&requester->packet.fds, copy);
}

static void give_back(int fd)
{
	(void)fd;
}

int requester_attach_borrowed(struct requester *requester, int fd)
{
	requester->packet.fds.dispose = give_back;
	return fdset_add(&requester->packet.fds, fd);
}

/* ---- how a channel ends ---- */

static int ended(const struct requester *requester)
{
	return detail_set(requester->end, "%s", requester->end_why.text);
}

static int end(struct requester *requester, int result, const char *why)
{
	requester->end = result;
	snprintf(requester->end_why.text, sizeof requester->end_why.text, "%s", why);
	return ended(requester);
}

/* The other side closed and gave no reason. */
static int end_silent(struct requester *requester)
{
	if (requester->table->kind == CHANNEL_DEVICE)
		return end(requester, REFUSAL_REVOKED,
			"the device channel ended without a reason: the keeper of the device has died; "
			"'journalctl -u \"vfio-keeper@*\"' may say why");
	if (requester->table->kind == CHANNEL_DOMAIN)
		return end(requester, -ECONNRESET, "the owner of the domain has closed the domain channel");
	return end(requester, -ECONNRESET,
		"vfio-brokerd has closed the connection; 'journalctl -u vfio-broker' may say why");
}

static int end_misbehaved(struct requester *requester, uint16_t type, const char *what)
{
	char why[DETAIL_SIZE];

	snprintf(why, sizeof why, "%s instead of the reply to %s; the channel is not used any more", what,
		table_name(requester->table, type));
	return end(requester, -EPROTO, why);
}

static bool is_event(const struct message_header *header)
{
	return header->flags == MESSAGE_EVENT && header->cookie == 0;
}

/* The server says why the channel is closed. After RELEASE the reason is NONE: another process with a copy of the
 * channel sent RELEASE. */
static int end_by_event(struct requester *requester)
{
	const struct closed_event *event = packet_body(&requester->packet, sizeof *event);
	char why[sizeof event->detail];

	if (!event || requester->packet.header.length != sizeof *event || event->refusal > INT32_MAX)
		return end(requester, -EPROTO, "a CLOSED event of the wrong form");
	if (event->refusal == REFUSAL_NONE)
		return end(requester, REFUSAL_REVOKED, "the device was released through another copy of this channel");
	text_copy(why, sizeof why, event->detail, sizeof event->detail);
	return end(requester, (int)event->refusal, why);
}

/* A refusal with cookie 0 concerns the whole channel (PROTOCOL.md): too many sessions, say. No packet follows. */
static bool is_closing_refusal(const struct message_header *header)
{
	return header->flags == (MESSAGE_REPLY | MESSAGE_REFUSED) && header->cookie == 0;
}

static int end_by_closing_refusal(struct requester *requester)
{
	struct detail why;
	int r = packet_refusal(&requester->packet, &why);

	return end(requester, r, why.text);
}

static bool is_closed_event(const struct requester *requester)
{
	return requester->table->kind == CHANNEL_DEVICE && requester->packet.header.type == DEVICE_EVENT_CLOSED;
}

/* Handles an event that does not end the channel. REVOKE_PENDING is kept for vbroker_device_notice(); all other
 * events are of a newer server. */
static void take_event(struct requester *requester)
{
	const struct pending_event *pending = packet_body(&requester->packet, sizeof *pending);
	uint64_t now = timeout_now_us();

	if (requester->table->kind != CHANNEL_DEVICE || !pending ||
		requester->packet.header.type != DEVICE_EVENT_REVOKE_PENDING ||
		requester->packet.header.length != sizeof *pending)
		return;
	requester->notice = *pending;
	requester->notice_due_us = pending->left_us < UINT64_MAX - now ? now + pending->left_us : UINT64_MAX;
}

uint64_t requester_notice_left_us(const struct requester *requester)
{
	uint64_t now = timeout_now_us();

	return requester->notice_due_us > now ? requester->notice_due_us - now : 0;
}

static int check_refused(struct requester *requester, uint16_t type)
{
	const struct message_refusal *refusal = packet_body(&requester->packet, sizeof *refusal);

	if (!refusal || refusal->refusal == REFUSAL_NONE || refusal->refusal > INT32_MAX ||
		requester->packet.fds.count > 0)
		return end_misbehaved(requester, type, "a refusal of the wrong form");
	return packet_refusal(&requester->packet, detail_clear());
}

/* The channel is hung up; the last packets of the server may say why. (A reset connection has reported ECONNRESET
 * once, to the caller; now the socket gives the packets from before.) */
static int end_of_channel(struct requester *requester)
{
	int r;

	do {
		r = packet_receive(requester->fd, MSG_DONTWAIT, false, &requester->packet);
		if (r == PACKET_RECEIVED && is_event(&requester->packet.header) && is_closed_event(requester))
			return end_by_event(requester);
		if (r == PACKET_RECEIVED && is_closing_refusal(&requester->packet.header))
			return end_by_closing_refusal(requester);
	} while (r == PACKET_RECEIVED || r == -EPROTO);
	return end_silent(requester);
}

/* ---- a request and its reply ---- */

/* 0 or -ETIME. Sending and receiving never wait themselves: another process may share the socket, and be quicker. */
static int wait_for(const struct requester *requester, short events, uint64_t due_us)
{
	struct pollfd p = {.fd = requester->fd, .events = events};
	int left_ms, n;

	do {
		left_ms = timeout_left_ms(due_us);
		n = poll(&p, 1, left_ms);
	} while (n == 0 ? left_ms != 0 : n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIME : 0;
}

/* Says who does not answer, and what a person can do. */
static int late(struct requester *requester, uint16_t type, int64_t timeout_ms)
{
	const char *device = requester->device[0] ? requester->device : "the device";
	const char *request = table_name(requester->table, type);
	double seconds = (double)timeout_ms / 1000;
	char why[DETAIL_SIZE];

	if (requester->table->kind == CHANNEL_BROKER)
		return detail_set(-ETIME,
			"vfio-brokerd, or the vfio-front of this user, is stopped or hangs: no reply to %s in %.3g s; "
			"'vfio-brokerctl status', as root, names processes that hang",
			request, seconds);
	if (requester->table->kind == CHANNEL_DEVICE)
		snprintf(why, sizeof why,
			"the keeper of %s is stopped or hangs: no reply to %s in %.3g s; close the device; "
			"'vfio-brokerctl status' names the keeper, 'vfio-brokerctl revoke' takes the device back",
			device, request, seconds);
	else
		snprintf(why, sizeof why,
			"the owner of the domain is stopped, or does not serve the channel: no reply to %s in %.3g s; "
			"close the domain",
			request, seconds);
	return end(requester, -ETIME, why);
}

static int send_request(struct requester *requester, uint64_t due_us)
{
	int r;

	while ((r = packet_send(requester->fd, MSG_DONTWAIT, &requester->packet)) == -EAGAIN) {
		r = wait_for(requester, POLLOUT, due_us);
		if (r < 0)
			break;
	}
	if (r == -EPIPE || r == -ECONNRESET)
		return end_of_channel(requester);
	if (r < 0 && r != -ETIME)
		return detail_set(r, "sending the request");
	return r;
}

static int check_reply(
	struct requester *requester, const struct message_header *sent, const struct requester_reply *expected)
{
	const struct message_header *reply = &requester->packet.header;

	if (!(reply->flags & MESSAGE_REPLY) || (reply->flags & ~(MESSAGE_REPLY | MESSAGE_REFUSED)) ||
		reply->type != sent->type || reply->cookie != sent->cookie)
		return end_misbehaved(requester, sent->type, "something else came");
	if (reply->flags & MESSAGE_REFUSED)
		return check_refused(requester, sent->type);
	if (reply->length < expected->size ||
		(expected->element_size == 0 ? reply->length != expected->size
					     : (reply->length - expected->size) % expected->element_size != 0))
		return end_misbehaved(requester, sent->type, "a payload of the wrong length");
	if (requester->packet.fds.count != expected->fds)
		return end_misbehaved(requester, sent->type, "the wrong number of file descriptors");
	return 0;
}

static int receive(struct requester *requester, bool fds_wanted, uint64_t due_us)
{
	int r;

	do {
		r = wait_for(requester, POLLIN, due_us);
		if (r == 0)
			r = packet_receive(requester->fd, MSG_DONTWAIT, fds_wanted, &requester->packet);
	} while (r == -EAGAIN);
	return r;
}

/* The reply to a request that was given up; or, if a broker is killed between a reply and the next request, the second
 * reply of the next broker. */
static bool is_old_reply(const struct requester *requester)
{
	const struct message_header *header = &requester->packet.header;

	return requester->table->kind == CHANNEL_BROKER && (header->flags & MESSAGE_REPLY) && header->cookie > 0 &&
		header->cookie < requester->cookie;
}

/* Receives the next packet except events and old replies, or finds out that none will come. */
static int receive_reply(struct requester *requester, uint16_t type, bool fds_wanted, uint64_t due_us)
{
	for (;;) {
		int r = receive(requester, fds_wanted, due_us);

		if (r == PACKET_END || r == -ECONNRESET)
			return end_of_channel(requester);
		if (r == -EPROTO)
			return end_misbehaved(requester, type, "something that is not one whole packet");
		if (r == -ETIME)
			return r;
		if (r < 0)
			return end(requester, r, "waiting for the reply");
		if (is_closing_refusal(&requester->packet.header))
			return end_by_closing_refusal(requester);
		/* The reply's descriptors, a device channel say, are closed now: the next packet may be long in
		 * coming. */
		if (is_old_reply(requester)) {
			fdset_clear(&requester->packet.fds);
			continue;
		}
		if (!is_event(&requester->packet.header))
			return 0;
		if (is_closed_event(requester))
			return end_by_event(requester);
		if (requester->on_event)
			requester->on_event(requester->event_context, &requester->packet);
		take_event(requester);
	}
}

int requester_event(struct requester *requester, int timeout_ms)
{
	uint64_t due_us = timeout_after_ms(timeout_ms);
	int r;

	if (requester->end != 0)
		return ended(requester);
	for (;;) {
		r = wait_for(requester, POLLIN, due_us);
		if (r < 0)
			return r == -ETIME ? -EAGAIN : r;
		r = packet_receive(requester->fd, MSG_DONTWAIT, false, &requester->packet);
		if (r == -EAGAIN)
			continue;
		if (r == PACKET_END || r == -ECONNRESET)
			return end_of_channel(requester);
		if (r < 0)
			return end(requester, r, "waiting for an event");
		if (is_closing_refusal(&requester->packet.header))
			return end_by_closing_refusal(requester);
		if (is_event(&requester->packet.header))
			return is_closed_event(requester) ? end_by_event(requester) : 0;
		/* An old reply: is_old_reply(). */
	}
}

int requester_events(struct requester *requester)
{
	int r;

	while ((r = requester_event(requester, 0)) == 0)
		take_event(requester);
	return r == -EAGAIN ? 0 : r;
}

int requester_call(struct requester *requester, const struct requester_reply *expected)
{
	const struct message_header sent = requester->packet.header;
	int64_t timeout_ms = timeout_of_request(requester->table->kind, sent.type);
	uint64_t due_us;
	int r;

	if (requester->end != 0) {
		packet_clear(&requester->packet);
		return ended(requester);
	}
	if (timeout_ms >= 0)
		timeout_ms += expected->wait_ms;
	due_us = timeout_after_ms(timeout_ms);
	r = send_request(requester, due_us);
	fdset_clear(&requester->packet.fds);
	requester->packet.fds.dispose = NULL;
	if (r == 0)
		r = receive_reply(requester, sent.type, expected->fds > 0, due_us);
	if (r == -ETIME)
		r = late(requester, sent.type, timeout_ms);
	if (r == 0)
		r = check_reply(requester, &sent, expected);
	/* Nobody takes descriptors that were received with a failure, or not sent. */
	if (r != 0)
		fdset_clear(&requester->packet.fds);
	return r;
}

int requester_hello(struct requester *requester, enum channel_kind *ret_kind)
{
	static const struct requester_reply expected = {.size = sizeof(struct hello_reply)};
	struct hello_request *hello = requester_begin(requester, COMMON_HELLO, sizeof *hello);
	const struct hello_reply *reply;
	int r;

	hello->version_lowest = MESSAGE_VERSION;
	hello->version_highest = MESSAGE_VERSION;
	r = requester_call(requester, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&requester->packet, sizeof *reply);
	if (reply->version != MESSAGE_VERSION)
		return end_misbehaved(requester, COMMON_HELLO, "a version that nobody asked for");
	*ret_kind = (enum channel_kind)reply->kind;
	return 0;
}

int requester_ping(struct requester *requester)
{
	static const struct requester_reply expected = {0};

	requester_begin(requester, COMMON_PING, 0);
	return requester_call(requester, &expected);
}
