/* SPDX-License-Identifier: MIT */
#include "front.h"
#include "client.h"
#include "connection.h"
#include "control.h"
#include "kept.h"
#include "limits.h"
#include "log.h"
#include "order.h"
#include "sessions.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What epoll reports for the broker's sockets; for clients it reports the session. */
#define OF_LIFELINE (FRONT_SESSION_END + 1)
#define OF_CONTROL  FRONT_SESSION_END

static int watch(const struct front *front, int operation, int fd, uint32_t events, uint64_t of)
{
	struct epoll_event event = {.events = events, .data.u64 = of};

	return epoll_ctl(front->epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int front_init(struct front *front, int lifeline)
{
	int r;

	front->lifeline = lifeline;
	front->control = -1;
	front->ended = false;
	front->awake = false;
	kept_init(front);
	sessions_init(front);
	control_init(front);
	packet_init(&front->request);
	packet_init(&front->reply);
	front->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = front->epoll < 0 ? -errno : watch(front, EPOLL_CTL_ADD, lifeline, EPOLLIN | EPOLLRDHUP, OF_LIFELINE);
	if (r < 0)
		front_release(front);
	return r;
}

/* ---- the end ---- */

/*
 * The broker sees the end before the clients do, because a client may connect again at once. The control socket is shut
 * down and not just closed, because the end of the process may wait for a descriptor of a client. The life line stays
 * open until the process has ended: so the broker tells a front that hangs here from one that is gone.
 */
static void end(struct front *front)
{
	struct connection *connection;

	if (front->ended)
		return;
	front->ended = true;
	if (front->control >= 0) {
		shutdown(front->control, SHUT_RDWR);
		order_dispose(front);
	}
	while ((connection = sessions_after(front, 0)))
		connection_end(front, connection, 0, 0, NULL);
	if (front->kept_count > 0)
		log_line(LOG_NOTICE,
			"the clients of %zu connections attached file descriptors; the end of this process closes "
			"these, and may have to wait",
			front->kept_count);
}

void front_release(struct front *front)
{
	if (front->lifeline < 0)
		return;
	end(front);
	control_release(front);
	kept_release(front);
	packet_clear(&front->request);
	packet_clear(&front->reply);
	fd_cleanup(&front->epoll);
	fd_cleanup(&front->control);
	fd_cleanup(&front->lifeline);
}

/* ---- HELLO ---- */

static bool is_channel(int fd)
{
	int type = 0;
	socklen_t size = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

static int hello_check(const struct packet *hello, struct detail *detail)
{
	const struct hello_request *request = (const void *)hello->payload;
	const struct message_header *header = &hello->header;

	if (header->type != FRONT_HELLO || header->flags != 0 || header->length != sizeof *request)
		return refuse(detail, REFUSAL_MALFORMED, "a front waits for HELLO, and for nothing else");
	if (request->version_highest < MESSAGE_VERSION)
		return refuse(detail, REFUSAL_UNSUPPORTED, "versions %u to %u; this side speaks %d",
			request->version_lowest, request->version_highest, MESSAGE_VERSION);
	return 0;
}

/* The answer goes over the control socket, which front->request brings. Returns false if there will be no service. */
static bool answer_hello(struct front *front)
{
	static const struct request_table table = {.kind = CHANNEL_FRONT};
	const struct packet *hello = &front->request;
	struct detail detail = {0};
	int r = hello_check(hello, &detail);
	uint32_t *who;

	packet_reply(&front->reply, &hello->header);
	if (r == 0)
		r = table_hello(&table, 0, hello, &front->reply, &detail);
	if (r == 0) {
		who = packet_append(&front->reply, 2 * sizeof *who);
		who[0] = (uint32_t)getpid();
		who[1] = getuid();
	} else {
		log_line(LOG_WARNING, "HELLO of the broker: %s", detail.text);
		packet_refuse(&front->reply, &hello->header, r, &detail);
	}
	control_post(front, &front->reply);
	return r == 0;
}

/* Returns false if the front has to end. */
static bool serve_hello(struct front *front)
{
	int r = packet_receive(front->lifeline, MSG_DONTWAIT, 1, &front->request);
	int control;
	bool good;

	if (r == -EAGAIN)
		return true;
	if (r != PACKET_RECEIVED || front->request.fds.count != 1 || !is_channel(front->request.fds.fds[0])) {
		if (r != PACKET_END)
			log_line(LOG_WARNING, "the first packet of the broker brings no control socket");
		return false;
	}
	control = fdset_take(&front->request.fds, 0);
	front->control = control;
	good = answer_hello(front);
	packet_clear(&front->request);
	/* The life line has nothing more to say than its end. */
	return good && watch(front, EPOLL_CTL_MOD, front->lifeline, EPOLLRDHUP, OF_LIFELINE) == 0 &&
		watch(front, EPOLL_CTL_ADD, control, EPOLLIN | EPOLLRDHUP, OF_CONTROL) == 0;
}

/* ---- the loop ---- */

/* While the control socket is full, clients wait, and are not asked about. */
static int wait_for_room(struct front *front, struct epoll_event *events, int timeout_ms)
{
	struct pollfd slots[] = {
		{.fd = front->lifeline, .events = POLLRDHUP},
		{.fd = front->control, .events = POLLIN | POLLOUT | POLLRDHUP},
	};
	int count = 0;

	if (poll(slots, 2, timeout_ms) < 0)
		return -errno;
	if (slots[0].revents)
		events[count++] = (struct epoll_event){.events = EPOLLRDHUP, .data.u64 = OF_LIFELINE};
	if (slots[1].revents & ~POLLOUT)
		events[count++] = (struct epoll_event){.events = EPOLLIN, .data.u64 = OF_CONTROL};
	if (slots[1].revents & POLLOUT)
		control_flush(front);
	return count;
}

/* Returns the number of events, or a negative errno. */
static int wait_for_events(struct front *front, struct epoll_event *events, int timeout_ms)
{
	int count;

	if (front->blocked)
		count = wait_for_room(front, events, timeout_ms);
	else
		count = epoll_wait(front->epoll, events, FRONT_TURNS_MAX, timeout_ms);
	if (count == -1)
		count = -errno;
	return count == -EINTR ? 0 : count;
}

/* How many orders to read at most. To ask a control socket that is empty would cost each request two system calls. */
static int orders_due(const struct epoll_event *events, int count)
{
	/* Nobody waits meanwhile, and epoll tells if there is more. */
	if (count == 1 && events[0].data.u64 == OF_CONTROL)
		return 1;
	/* A full list may have had no place for the control socket. */
	for (int i = 0; i < count && count < FRONT_TURNS_MAX; i++) {
		if (events[i].data.u64 >= OF_CONTROL)
			return FRONT_ORDERS_MAX;
	}
	return count < FRONT_TURNS_MAX ? 0 : FRONT_ORDERS_MAX;
}

/* Returns false if the front has to end. */
static bool serve_orders(struct front *front, const struct epoll_event *events, int count)
{
	int due = orders_due(events, count), r = PACKET_RECEIVED;

	for (int i = 0; i < due && r == PACKET_RECEIVED && front->control >= 0; i++)
		r = order_serve(front);
	return r == PACKET_RECEIVED || r == -EAGAIN;
}

/* Returns false if the front has to end. */
static bool serve_lifeline(struct front *front, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 != OF_LIFELINE)
			continue;
		return front->control < 0 && serve_hello(front);
	}
	return true;
}

static void serve_clients(struct front *front, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count && !front->blocked; i++) {
		/* A connection earlier in the list, or the broker, may have ended this one. */
		struct connection *connection = sessions_find(front, events[i].data.u64);

		if (connection)
			client_serve(front, connection, events[i].events);
	}
}

bool front_step(struct front *front, int timeout_ms)
{
	struct epoll_event events[FRONT_TURNS_MAX];
	int count;

	if (front->ended)
		return false;
	count = wait_for_events(front, events, timeout_ms);
	front->awake = count > 0;
	/* What the broker has said before its end still counts: replies go out before the clients see the end. */
	if (count < 0 || (count > 0 && (!serve_orders(front, events, count) || !serve_lifeline(front, events, count))))
		end(front);
	else
		serve_clients(front, events, count);
	if (front->failed || front->kept_count > FRONT_KEPT_MAX)
		end(front);
	return !front->ended;
}
