/* SPDX-License-Identifier: MIT */
#include "connection.h"
#include "control.h"
#include "kept.h"
#include "sessions.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int watch(const struct front *front, const struct connection *connection, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = connection->session};

	return epoll_ctl(front->epoll, operation, connection->fd, &event) < 0 ? -errno : 0;
}

int connection_begin(struct front *front, uint64_t session, int fd)
{
	struct connection *connection = calloc(1, sizeof *connection);
	int r = -ENOMEM;

	if (connection) {
		connection->session = session;
		connection->fd = fd;
		connection->state = STATE_NEW;
		connection->events = EPOLLIN;
		r = watch(front, connection, EPOLL_CTL_ADD, EPOLLIN);
	}
	if (r < 0) {
		kept_retire(front, fd, NULL);
		free(connection);
		return r;
	}
	sessions_add(front, connection);
	return 0;
}

static void unsent_free(struct connection *connection)
{
	if (!connection->unsent)
		return;
	packet_clear(connection->unsent);
	free(connection->unsent);
	connection->unsent = NULL;
}

void connection_report_end(struct front *front, uint64_t session, uint32_t why, int error)
{
	struct front_closed *closed;

	packet_event(&front->reply, FRONT_EVENT_CLOSED);
	closed = packet_append(&front->reply, sizeof *closed);
	closed->session = session;
	closed->why = why;
	closed->error = (uint32_t)error;
	control_post(front, &front->reply);
}

void connection_end(struct front *front, struct connection *connection, uint32_t why, int error, struct fdset *attached)
{
	control_forget(front, connection);
	/* The socket may stay open, and epoll would report its end for ever. */
	watch(front, connection, EPOLL_CTL_DEL, 0);
	sessions_remove(front, connection);
	kept_retire(front, connection->fd, attached);
	unsent_free(connection);
	if (why != 0)
		connection_report_end(front, connection->session, why, error);
	free(connection);
}

void connection_fail(struct front *front, struct connection *connection, int error)
{
	bool hangup = error == -EPIPE || error == -ECONNRESET;

	connection_end(front, connection, hangup ? FRONT_END_HANGUP : FRONT_END_FAILED, hangup ? 0 : -error, NULL);
}

void connection_greet(struct connection *connection)
{
	connection->state = STATE_READY;
}

static uint32_t events_wanted(const struct connection *connection)
{
	uint32_t events = connection->missed > 0 ? EPOLLOUT : 0;

	if (connection->unsent)
		return EPOLLOUT;
	return connection->pending ? events : events | EPOLLIN;
}

void connection_rearm(struct front *front, struct connection *connection)
{
	uint32_t events = events_wanted(connection);

	if (events == connection->events)
		return;
	/* The change of an entry needs no memory. */
	(void)watch(front, connection, EPOLL_CTL_MOD, events);
	connection->events = events;
}

bool connection_is_hung_up(const struct connection *connection)
{
	struct pollfd end = {.fd = connection->fd};

	return poll(&end, 1, 0) == 1 && (end.revents & (POLLHUP | POLLERR));
}

/* ---- to the client ---- */

/* Moves PACKET with its descriptors to memory of the packet's own size. */
static struct packet *hold(struct packet *packet)
{
	size_t size = offsetof(struct packet, payload) + packet->header.length;
	struct packet *held = malloc(size);

	if (!held)
		return NULL;
	memcpy(held, packet, size);
	packet->fds.count = 0;
	return held;
}

void connection_send(struct front *front, struct connection *connection, struct packet *reply)
{
	int r = packet_send(connection->fd, MSG_DONTWAIT, reply);

	if (r == -EAGAIN) {
		connection->unsent = hold(reply);
		r = connection->unsent ? 0 : -ENOMEM;
	}
	/* A descriptor left in a buffer would keep the other end of the descriptor waiting for a hang-up. */
	packet_clear(reply);
	if (r < 0)
		connection_fail(front, connection, r);
	else
		connection_rearm(front, connection);
}

void connection_send_again(struct front *front, struct connection *connection)
{
	int r = packet_send(connection->fd, MSG_DONTWAIT, connection->unsent);

	if (r == -EAGAIN)
		return;
	unsent_free(connection);
	if (r < 0)
		connection_fail(front, connection, r);
	else
		connection_rearm(front, connection);
}

void connection_notify(struct front *front, struct connection *connection, struct packet *event)
{
	/* The broker is to tell the client of missed events before later events come. */
	bool turn = !connection->unsent && connection->missed == 0;

	if (!turn || packet_send(connection->fd, MSG_DONTWAIT, event) < 0) {
		connection->missed++;
		connection_rearm(front, connection);
	}
	packet_clear(event);
}

void connection_report_missed(struct front *front, struct connection *connection)
{
	struct front_missed *missed;

	packet_event(&front->reply, FRONT_EVENT_MISSED);
	missed = packet_append(&front->reply, sizeof *missed);
	*missed = (struct front_missed){connection->session, connection->missed};
	control_post(front, &front->reply);
	connection->missed = 0;
	connection_rearm(front, connection);
}
