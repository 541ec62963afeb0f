/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void channel_init(struct channel *channel, int fd)
{
	*channel = (struct channel){.fd = fd, .state = STATE_NEW};
}

void channel_enter(struct channel *channel, enum channel_state state)
{
	channel->state = state;
}

/* Without the socket, nothing waits any more. */
static void forget_socket(struct channel *channel)
{
	channel->fd = -1;
	channel->deferred = false;
	if (channel->unsent) {
		packet_clear(channel->unsent);
		free(channel->unsent);
		channel->unsent = NULL;
	}
}

void channel_close(struct channel *channel)
{
	if (channel->fd >= 0)
		close(channel->fd);
	forget_socket(channel);
}

void channel_finish(struct channel *channel, struct packet *scratch)
{
	int r = PACKET_RECEIVED;

	/* After the shutdown nothing is added, so the loop ends. No fds are taken: the kernel drops all fds
	 * (packet.h). */
	if (channel->fd < 0 || shutdown(channel->fd, SHUT_RD) < 0)
		r = PACKET_END;
	while (r == PACKET_RECEIVED || r == -EPROTO)
		r = packet_receive(channel->fd, MSG_DONTWAIT, 0, scratch);
	/* The other side sees the end now, even if another process has our end, too: systemd keeps the
	 * socket of an Accept=yes unit open until the unit has ended. */
	if (channel->fd >= 0)
		shutdown(channel->fd, SHUT_WR);
	channel_close(channel);
}

int channel_retire(struct channel *channel)
{
	int fd = channel->fd;

	if (fd >= 0) {
		/* From now on the other side adds nothing, and sees the end even if the socket stays open. */
		shutdown(fd, SHUT_RDWR);
		if (packet_drain(fd) == PACKET_END)
			close(fd_take(&fd));
	}
	forget_socket(channel);
	return fd;
}

short channel_events(const struct channel *channel)
{
	if (channel->unsent)
		return POLLOUT;
	return channel->deferred ? 0 : POLLIN;
}

/* Moves PACKET with its fds to memory of the packet's own size. */
static struct packet *keep(struct packet *packet)
{
	size_t size = offsetof(struct packet, payload) + packet->header.length;
	struct packet *kept = malloc(size);

	if (!kept)
		return NULL;
	memcpy(kept, packet, size);
	packet->fds.count = 0;
	return kept;
}

static int send_reply(struct channel *channel, struct packet *reply)
{
	int r = packet_send(channel->fd, MSG_DONTWAIT, reply);

	if (r == -EAGAIN) {
		channel->unsent = keep(reply);
		r = channel->unsent ? 0 : -ENOMEM;
	}
	/* The buffers outlive the client: an fd left in a buffer would keep the other end of the fd waiting for a
	 * hang-up. */
	packet_clear(reply);
	return r;
}

static int send_unsent(struct channel *channel)
{
	int r = packet_send(channel->fd, MSG_DONTWAIT, channel->unsent);

	if (r == -EAGAIN)
		return 0;
	packet_clear(channel->unsent);
	free(channel->unsent);
	channel->unsent = NULL;
	return r;
}

static int finish(struct channel *channel, const struct message_header *request, int result, struct packet *reply,
	const struct detail *detail)
{
	if (result != 0) {
		channel->refusals++;
		packet_refuse(reply, request, result, detail);
	}
	return send_reply(channel, reply);
}

/* The framing cannot be trusted: refuses, once, and lets the caller close. */
static int refuse_framing(struct channel *channel, struct channel_buffers *buffers)
{
	struct message_header header = buffers->request.header;
	struct detail detail;

	refuse(&detail, REFUSAL_MALFORMED, "not one whole packet: a header, a length that is its own, at most %d bytes",
		MESSAGE_SIZE_MAX);
	finish(channel, &header, REFUSAL_MALFORMED, &buffers->reply, &detail);
	return CHANNEL_BROKEN;
}

int channel_act(const struct channel_service *service, enum channel_state state, void *context, struct packet *request,
	struct packet *reply, struct detail *detail)
{
	int r = table_check(service->table, state, request, detail);

	if (r != 0)
		return r;
	switch (request->header.type) {
	case COMMON_HELLO:
		r = table_hello(service->table, service->features, request, reply, detail);
		if (r == 0 && service->handlers[COMMON_HELLO])
			r = service->handlers[COMMON_HELLO](context, request, reply, detail);
		return r;
	case COMMON_PING:
		return 0;
	default:
		if (!service->handlers[request->header.type])
			return refuse(detail, REFUSAL_UNSUPPORTED, "%s is not served here",
				table_name(service->table, request->header.type));
		return service->handlers[request->header.type](context, request, reply, detail);
	}
}

/* The handler may close the channel, and change its state. */
static int act(struct channel *channel, const struct channel_service *service, void *context,
	struct channel_buffers *buffers, struct detail *detail)
{
	bool hello = buffers->request.header.type == COMMON_HELLO;
	int r = channel_act(service, channel->state, context, &buffers->request, &buffers->reply, detail);

	if (hello && r == 0 && channel->state == STATE_NEW)
		channel->state = STATE_READY;
	return r;
}

int channel_serve(
	struct channel *channel, const struct channel_service *service, void *context, struct channel_buffers *buffers)
{
	struct packet *request = &buffers->request;
	struct detail detail;
	int r;

	if (channel->unsent)
		return send_unsent(channel);
	r = packet_receive(channel->fd, MSG_DONTWAIT, service->table->takes_fds, request);
	if (r == -EAGAIN)
		return CHANNEL_OPEN;
	if (r == PACKET_END)
		return CHANNEL_ENDED;
	if (r == -EPROTO)
		return refuse_framing(channel, buffers);
	if (r < 0)
		return r;
	channel->requests++;
	detail.text[0] = '\0';
	packet_reply(&buffers->reply, &request->header);
	r = act(channel, service, context, buffers, &detail);
	fdset_clear(&request->fds);
	if (channel->fd < 0) {
		packet_clear(&buffers->reply);
		return CHANNEL_OPEN;
	}
	if (r == CHANNEL_LATER) {
		channel->deferred = true;
		channel->awaiting = request->header;
		return CHANNEL_OPEN;
	}
	return finish(channel, &request->header, r, &buffers->reply, &detail);
}

int channel_answer(struct channel *channel, int result, struct packet *reply, const struct detail *detail)
{
	channel->deferred = false;
	return finish(channel, &channel->awaiting, result, reply, detail);
}

bool channel_notify(struct channel *channel, struct packet *event)
{
	bool sent = !channel->unsent && packet_send(channel->fd, MSG_DONTWAIT, event) == 0;

	packet_clear(event);
	return sent;
}
