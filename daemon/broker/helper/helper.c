/* SPDX-License-Identifier: MIT */
#include "helper/helper.h"

#include "base/limits.h"
#include "base/loop.h"
#include "base/store.h"
#include "connection.h"
#include "fdset.h"
#include "helper/note.h"
#include "log.h"
#include "packet.h"
#include "state/operation_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A helper has a single order at a time, so that replies need no number. */
#define COOKIE 1

void helper_free(struct helper *helper)
{
	LIST_REMOVE(helper, in_broker);
	helper->broker->helpers_count--;
	sd_event_source_disable_unref(helper->io);
	store_forget(STORE_HELPER, helper->number);
	/* An idle helper reads the end, although systemd may still have a copy of the socket. */
	shutdown(helper->fd, SHUT_RDWR);
	close(helper->fd);
	if (helper->note >= 0)
		close(helper->note);
	free(helper);
}

/* ---- news from a helper ---- */

/* The process has ended: of its order nothing is known, besides that the order goes no further. */
static void lost(struct helper *helper)
{
	struct operation *operation = helper->operation;
	struct broker *broker = helper->broker;

	if (operation && operation->order)
		log_line(LOG_ERR, "helper (pid %u) ended without an answer to its order about %s", helper->pid,
			operation->device);
	helper_free(helper);
	helper_prepare_in(broker, HELPER_RETRY_US);
	if (operation)
		broker->helper_events->lost(operation);
}

static int on_hello(struct helper *helper, const struct packet *packet)
{
	const struct helper_hello_reply *hello = packet_body(packet, sizeof *hello);

	if ((packet->header.flags & MESSAGE_REFUSED) || !hello)
		return -EPROTO;
	helper->state = HELPER_READY;
	helper->pid = hello->pid;
	note_write(helper);
	if (helper->operation)
		helper->broker->helper_events->started(helper->operation);
	return 0;
}

/*
 * An earlier broker was killed between the note of an order and the order, or between the answer and the note of it: no
 * answer will come. The helper answers in turn, so the answer to PING comes after the answer to the order.
 */
static int on_pong(struct helper *helper)
{
	static const struct helper_reply unknown = {
		.error = EREMOTEIO, .node_error = EREMOTEIO, .use_error = EREMOTEIO};

	if (helper->adopted)
		helper->broker->helper_events->answered(helper->operation, &unknown);
	return 0;
}

static int on_packet(struct helper *helper, const struct packet *packet)
{
	struct operation *operation = helper->operation;
	struct helper_reply reply = {.error = EREMOTEIO, .node_error = EREMOTEIO, .use_error = EREMOTEIO};
	const struct helper_reply *body = packet_body(packet, sizeof *body);

	if (!(packet->header.flags & MESSAGE_REPLY))
		return -EPROTO;
	if (packet->header.type == HELPER_HELLO)
		return on_hello(helper, packet);
	/* The answer to HELLO may have been an earlier broker's. */
	helper->state = HELPER_READY;
	if (packet->header.type == HELPER_PING)
		return on_pong(helper);
	if (!operation || operation->order == 0 || packet->header.type != operation->order)
		return -EPROTO;
	/* A helper of another version may know the order by another number. */
	if (!(packet->header.flags & MESSAGE_REFUSED)) {
		if (!body || !memchr(body->driver, '\0', sizeof body->driver) ||
			!memchr(body->use, '\0', sizeof body->use))
			return -EPROTO;
		reply = *body;
	}
	helper->broker->helper_events->answered(operation, &reply);
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct helper *helper = userdata;
	struct packet *packet = &helper->broker->buffers.request;
	int r = packet_receive(fd, MSG_DONTWAIT, 0, packet);

	(void)source;
	(void)events;
	if (r == -EAGAIN)
		return 0;
	if (r == PACKET_RECEIVED)
		r = on_packet(helper, packet);
	else if (r == PACKET_END)
		r = -EPIPE;
	if (r == -EPROTO)
		log_line(LOG_ERR, "helper (pid %u) broke the protocol: is it of the same version?", helper->pid);
	if (r < 0)
		lost(helper);
	return 0;
}

/* ---- starting one ---- */

static int greet(struct helper *helper)
{
	struct packet *packet = &helper->broker->outgoing;
	struct hello_request *hello;

	packet_request(packet, HELPER_HELLO, COOKIE);
	hello = packet_append(packet, sizeof *hello);
	hello->version_lowest = MESSAGE_VERSION;
	hello->version_highest = MESSAGE_VERSION;
	return packet_send(helper->fd, MSG_DONTWAIT, packet);
}

/* Takes FD and NOTE, also on failure. */
static struct helper *helper_make(struct broker *broker, unsigned int number, int fd, int note)
{
	struct helper *helper = calloc(1, sizeof *helper);
	int r = helper ? 0 : -ENOMEM;

	if (r == 0) {
		*helper = (struct helper){.broker = broker, .fd = fd, .note = note, .number = number};
		r = sd_event_add_io(broker->event, &helper->io, fd, EPOLLIN, on_io, helper);
	}
	/* As keepers, helpers come before clients. */
	if (r >= 0)
		r = sd_event_source_set_priority(helper->io, SD_EVENT_PRIORITY_IMPORTANT);
	if (r < 0) {
		if (helper)
			sd_event_source_disable_unref(helper->io);
		free(helper);
		close(fd);
		if (note >= 0)
			close(note);
		return NULL;
	}
	LIST_INSERT_HEAD(&broker->helpers, helper, in_broker);
	broker->helpers_count++;
	if (number > broker->last_helper)
		broker->last_helper = number;
	return helper;
}

static struct helper *helper_new(struct broker *broker)
{
	struct helper *helper;
	int fd;

	if (broker->stopping && broker->leaving)
		return NULL;
	/* systemd listens on this socket. */
	fd = connection_open(broker->options->helper_socket, SOCK_SEQPACKET);
	if (fd < 0) {
		log_line(LOG_WARNING, "%s: no helper: %s", broker->options->helper_socket, strerror(-fd));
		return NULL;
	}
	helper = helper_make(broker, broker->last_helper + 1, fd, note_make());
	if (!helper)
		return NULL;
	/* Stored before the first order, so that the next broker finds the helper whatever becomes of this one. */
	store_put(STORE_HELPER, helper->number, (const int[]){helper->fd, helper->note}, helper->note < 0 ? 1 : 2);
	if (greet(helper) < 0) {
		helper_free(helper);
		return NULL;
	}
	return helper;
}

static struct helper *find_idle(const struct broker *broker)
{
	struct helper *helper;

	LIST_FOREACH(helper, &broker->helpers, in_broker) {
		if (!helper->operation && helper->state == HELPER_READY)
			return helper;
	}
	LIST_FOREACH(helper, &broker->helpers, in_broker) {
		if (!helper->operation)
			return helper;
	}
	return NULL;
}

void helper_prepare(struct broker *broker)
{
	if (broker->stopping || find_idle(broker) || broker->helpers_count >= HELPERS_MAX - HELPERS_QUIETING)
		return;
	if (!helper_new(broker))
		helper_prepare_in(broker, HELPER_RETRY_US);
}

static int on_time(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	helper_prepare(userdata);
	return 0;
}

void helper_prepare_in(struct broker *broker, uint64_t delay_us)
{
	if (broker->helper_timer && sd_event_source_get_enabled(broker->helper_timer, NULL) > 0)
		return;
	if (loop_timer(broker->event, &broker->helper_timer, delay_us, on_time, broker) < 0)
		log_line(LOG_ERR, "out of memory: the next operation will have to start its helper");
}

/* ---- who has which ---- */

static bool is_hung(const struct helper *helper)
{
	return helper->operation && operation_is_named(helper->operation);
}

unsigned int helper_count_hung(const struct broker *broker, uid_t uid)
{
	const struct helper *helper;
	unsigned int count = 0;

	LIST_FOREACH(helper, &broker->helpers, in_broker)
		count += is_hung(helper) && helper->operation->uid == uid && !helper->operation->urgent;
	return count;
}

/* How many helpers there may be for OPERATION to start one more. */
static unsigned int places(const struct operation *operation)
{
	if (operation->first)
		return HELPERS_MAX;
	return HELPERS_MAX - HELPERS_QUIETING - (operation->urgent ? 0 : 1);
}

static bool may_start(const struct operation *operation)
{
	const struct broker *broker = operation->broker;
	const struct helper *helper;
	unsigned int working = 0;

	LIST_FOREACH(helper, &broker->helpers, in_broker)
		working += !is_hung(helper);
	return (operation->first || working < HELPERS_AT_WORK) && broker->helpers_count < places(operation);
}

struct helper *helper_take(struct operation *operation)
{
	struct broker *broker = operation->broker;
	struct helper *helper = find_idle(broker);

	if (!helper && may_start(operation))
		helper = helper_new(broker);
	if (!helper)
		return NULL;
	helper->operation = operation;
	if (!find_idle(broker))
		helper_prepare_in(broker, HELPER_SPARE_US);
	return helper;
}

void helper_assign(struct helper *helper, struct operation *operation)
{
	struct packet *packet = &helper->broker->outgoing;

	helper->operation = operation;
	helper->adopted = operation != NULL;
	if (!operation)
		return;
	packet_request(packet, HELPER_PING, COOKIE);
	if (packet_send(helper->fd, MSG_DONTWAIT, packet) < 0)
		packet_clear(packet);
}

void helper_give_back(struct helper *helper)
{
	const struct helper *other;
	unsigned int idle = 0;

	helper->operation = NULL;
	helper->adopted = false;
	note_write(helper);
	LIST_FOREACH(other, &helper->broker->helpers, in_broker)
		idle += !other->operation;
	if (idle > HELPERS_IDLE)
		helper_free(helper);
}

void helper_send(struct helper *helper, struct packet *packet)
{
	/* Comes first: if this broker is killed, the next one must not take the helper for idle. */
	note_write(helper);
	if (packet_send(helper->fd, MSG_DONTWAIT, packet) == 0)
		return;
	packet_clear(packet);
	/* The loop finds the end of the connection. */
	shutdown(helper->fd, SHUT_RDWR);
}

struct helper *helper_adopt(
	struct broker *broker, unsigned int number, int fd, int note, const struct helper_note *content)
{
	struct helper *helper = helper_make(broker, number, fd, note);

	if (!helper)
		return NULL;
	helper->pid = content->pid;
	helper->state = content->pid ? HELPER_READY : HELPER_STARTING;
	return helper;
}
