/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "connection.h"
#include "control.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void answer(struct front *front, struct connection *connection, int result, const struct detail *detail)
{
	control_count(front, result != 0);
	if (result != 0)
		packet_refuse(&front->reply, &front->request.header, result, detail);
	connection_send(front, connection, &front->reply);
}

/* Says why, once, and ends the connection of a client that broke the rules of the channel. */
static void cut_off(struct front *front, struct connection *connection, uint32_t why, const struct detail *detail)
{
	struct packet *reply = &front->reply;

	control_count(front, true);
	packet_refuse(reply, &front->request.header, REFUSAL_MALFORMED, detail);
	packet_send(connection->fd, MSG_DONTWAIT, reply);
	connection_end(front, connection, why, 0, &front->request.fds);
}

/* The framing cannot be trusted from here on. */
static void refuse_framing(struct front *front, struct connection *connection)
{
	struct detail detail;

	refuse(&detail, REFUSAL_MALFORMED, "not one whole packet: a header, a length that is its own, at most %d bytes",
		MESSAGE_SIZE_MAX);
	cut_off(front, connection, FRONT_END_BROKEN, &detail);
}

/* Each descriptor of a client costs a place in this process until the process ends (kept.h), so a client gets no second
 * chance. */
static void refuse_descriptors(struct front *front, struct connection *connection)
{
	struct detail detail;

	refuse(&detail, REFUSAL_MALFORMED, "%s: %zu file descriptors; no request of the broker channel takes any",
		table_name(&broker_table, front->request.header.type), front->request.fds.count);
	cut_off(front, connection, FRONT_END_DESCRIPTORS, &detail);
}

static void serve_hello(struct front *front, struct connection *connection)
{
	struct detail detail = {0};
	int r = table_hello(&broker_table, 0, &front->request, &front->reply, &detail);

	if (r == 0)
		connection_greet(connection);
	answer(front, connection, r, &detail);
}

static void serve_request(struct front *front, struct connection *connection)
{
	struct packet *request = &front->request;
	struct detail detail = {0};
	int r = table_check(&broker_table, connection->state, request, &detail);

	packet_reply(&front->reply, &request->header);
	if (r == 0 && request->header.type == BROKER_HELLO) {
		serve_hello(front, connection);
		return;
	}
	/* epoll goes on with EPOLLIN: most clients send nothing more before the answer. */
	if (r == 0)
		r = control_relay(front, connection, request);
	if (r != 0)
		answer(front, connection, r, &detail);
}

static void receive(struct front *front, struct connection *connection)
{
	int r = packet_receive_keeping(connection->fd, MSG_DONTWAIT, &front->request);

	if (r == -EAGAIN)
		return;
	if (front->request.fds.count > 0)
		refuse_descriptors(front, connection);
	else if (r == -EPROTO)
		refuse_framing(front, connection);
	else if (r == PACKET_END)
		connection_end(front, connection, FRONT_END_HANGUP, 0, NULL);
	else if (r < 0)
		connection_fail(front, connection, r);
	else
		serve_request(front, connection);
}

void client_serve(struct front *front, struct connection *connection, uint32_t events)
{
	if (connection->missed > 0 && (events & EPOLLOUT))
		connection_report_missed(front, connection);
	if (connection->unsent)
		connection_send_again(front, connection);
	else if (!connection->pending)
		receive(front, connection);
	/* Nobody waits for the answer. A client that has closed its sending direction alone does wait. */
	else if (events & (EPOLLHUP | EPOLLERR))
		connection_end(front, connection, FRONT_END_HANGUP, 0, NULL);
	else
		connection_rearm(front, connection);
}
