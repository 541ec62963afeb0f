/* SPDX-License-Identifier: MIT */
#include "order.h"
#include "connection.h"
#include "control.h"
#include "kept.h"
#include "limits.h"
#include "sessions.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- orders, which front_message.h describes ---- */

/* The payload is the client's, too: a refusal and its detail. */
static void turn_away(struct front *front, int fd, struct packet *order)
{
	order->header = (struct message_header){
		.type = BROKER_HELLO, .flags = MESSAGE_REPLY | MESSAGE_REFUSED, .length = order->header.length};
	fdset_clear(&order->fds);
	packet_send(fd, MSG_DONTWAIT, order);
	kept_retire(front, fd, NULL);
}

/* A session with a number in use would get the answers of the other session. Both end, and the broker hears that the
 * number is free. */
static int connect_check(struct front *front, uint64_t session)
{
	struct connection *other = sessions_find(front, session);

	if (other)
		connection_end(front, other, 0, 0, NULL);
	if (other)
		return -EEXIST;
	return session == 0 || session >= FRONT_SESSION_END ? -EINVAL : 0;
}

static void serve_connect(struct front *front, struct packet *order)
{
	const struct front_connect *connect = (const void *)order->payload;
	uint64_t session = order->header.cookie;
	int fd = fdset_take(&order->fds, 0), r;

	if (connect->refusal.refusal != REFUSAL_NONE) {
		turn_away(front, fd, order);
		return;
	}
	r = connect_check(front, session);
	if (r < 0)
		kept_retire(front, fd, NULL);
	else
		r = connection_begin(front, session, fd);
	if (r < 0)
		connection_report_end(front, session, FRONT_END_FAILED, -r);
}

static void serve_close(struct front *front, struct packet *order)
{
	struct connection *connection = sessions_find(front, order->header.cookie);

	if (connection)
		connection_end(front, connection, 0, 0, NULL);
}

static void serve_ping(struct front *front, struct packet *order)
{
	packet_reply(&front->reply, &order->header);
	control_post(front, &front->reply);
}

static void serve_look(struct front *front, struct packet *order)
{
	struct connection *connection = sessions_find(front, order->header.cookie);

	if (connection && connection_is_hung_up(connection))
		connection_end(front, connection, FRONT_END_HANGUP, 0, NULL);
	serve_ping(front, order);
}

static void serve_query(struct front *front, struct packet *order)
{
	control_query(front, &order->header);
}

/* ---- for clients ---- */

/* A client gets one answer for each request, so any other answer is dropped. */
static void relay_reply(struct front *front, struct packet *reply)
{
	struct connection *connection = sessions_find(front, reply->header.cookie);
	const struct pending *pending = connection ? connection->pending : NULL;

	if (!pending || !pending->sent || pending->header.type != reply->header.type)
		return;
	reply->header.cookie = pending->cookie;
	control_forget(front, connection);
	connection_send(front, connection, reply);
}

static void relay_event(struct front *front, struct packet *event)
{
	struct connection *connection = sessions_find(front, event->header.cookie);

	if (!connection)
		return;
	event->header.cookie = 0;
	connection_notify(front, connection, event);
}

/* ---- the table ---- */

struct order {
	size_t size; /* of the payload; more may follow if `open` */
	bool open;
	size_t fds;
	void (*serve)(struct front *front, struct packet *order);
};

static const struct order orders[FRONT_TYPE_MAX - FRONT_CONNECT] = {
	[FRONT_CONNECT - FRONT_CONNECT] = {sizeof(struct front_connect), true, 1, serve_connect},
	[FRONT_CLOSE - FRONT_CONNECT] = {0, false, 0, serve_close},
	[FRONT_PING - FRONT_CONNECT] = {0, false, 0, serve_ping},
	[FRONT_LOOK - FRONT_CONNECT] = {0, false, 0, serve_look},
	[FRONT_QUERY - FRONT_CONNECT] = {0, false, 0, serve_query},
};

static void refuse_order(struct front *front, const struct packet *order, int refusal)
{
	struct detail detail;

	refuse(&detail, refusal, "order %u of %u bytes, with %zu file descriptors", order->header.type,
		order->header.length, order->fds.count);
	packet_refuse(&front->reply, &order->header, refusal, &detail);
	control_post(front, &front->reply);
}

static const struct order *order_find(uint16_t type)
{
	return type < FRONT_CONNECT || type >= FRONT_TYPE_MAX ? NULL : &orders[type - FRONT_CONNECT];
}

static void serve_order(struct front *front, struct packet *packet)
{
	const struct order *order = order_find(packet->header.type);

	if (!order)
		refuse_order(front, packet, REFUSAL_UNSUPPORTED);
	else if (packet->header.length < order->size || (!order->open && packet->header.length > order->size) ||
		packet->fds.count != order->fds)
		refuse_order(front, packet, REFUSAL_MALFORMED);
	else
		order->serve(front, packet);
}

static void serve_packet(struct front *front, struct packet *packet)
{
	if (packet->header.flags & MESSAGE_EVENT)
		relay_event(front, packet);
	else if (packet->header.flags & MESSAGE_REPLY)
		relay_reply(front, packet);
	else
		serve_order(front, packet);
}

/* Descriptors did not fit this process. */
static void serve_cut(struct front *front, const struct packet *packet)
{
	if (packet->header.type == FRONT_CONNECT && packet->header.flags == 0)
		connection_report_end(front, packet->header.cookie, FRONT_END_FAILED, EMFILE);
}

int order_serve(struct front *front)
{
	struct packet *packet = &front->request;
	int r = packet_receive(front->control, MSG_DONTWAIT, FDSET_MAX, packet);

	if (r == PACKET_RECEIVED)
		serve_packet(front, packet);
	else if (r == -EPROTO)
		serve_cut(front, packet);
	packet_clear(packet);
	return r == -EPROTO || r == -ECONNRESET ? PACKET_RECEIVED : r;
}

void order_dispose(struct front *front)
{
	struct packet *packet = &front->request;
	int r;

	while ((r = packet_receive(front->control, MSG_DONTWAIT, FDSET_MAX, packet)) == PACKET_RECEIVED ||
		r == -ECONNRESET || r == -EPROTO) {
		int fd = packet->header.type == FRONT_CONNECT ? fdset_take(&packet->fds, 0) : -1;

		if (fd >= 0)
			kept_retire(front, fd, NULL);
		packet_clear(packet);
	}
}
