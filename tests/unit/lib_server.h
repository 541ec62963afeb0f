/* SPDX-License-Identifier: MIT */
#ifndef LIB_SERVER_H
#define LIB_SERVER_H

#include "packet.h"
#include "table.h"

#include "unit.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/*
 * A server that follows a script, in a thread of its own, at the other end of a socket pair. The requests that it gets
 * are checked with the real table: the library must never send what a real server would refuse as malformed.
 */
struct server {
	int fds_before;
	int client; /* the library's end */
	int fd;	    /* the script's end; closed when the script returns */
	pthread_t thread;
	bool running;
	const struct request_table *table;
	void (*script)(struct server *server);
	const void *argument;
	unsigned int malformed; /* requests that the table refuses */
	unsigned int requests;
	struct packet request;
	struct packet reply;
};

/* Receives the next request. False at the end. */
static inline bool server_receive(struct server *server)
{
	struct detail detail;

	if (packet_receive(server->fd, 0, true, &server->request) != PACKET_RECEIVED)
		return false;
	server->requests++;
	if (table_check(server->table, STATE_BOUND, &server->request, &detail) == REFUSAL_MALFORMED)
		server->malformed++;
	return true;
}

/* Starts the reply to what was received last. */
static inline void *server_reply(struct server *server, size_t size)
{
	packet_reply(&server->reply, &server->request.header);
	return packet_append(&server->reply, size);
}

static inline void server_send(struct server *server)
{
	packet_send(server->fd, 0, &server->reply);
}

/* Answers HELLO as a server of KIND. */
static inline void server_greet(struct server *server, enum channel_kind kind)
{
	struct hello_reply *reply;

	if (!server_receive(server))
		return;
	reply = server_reply(server, sizeof *reply);
	*reply = (struct hello_reply){MESSAGE_VERSION, (uint16_t)kind, MESSAGE_SIZE_MAX, 0};
	server_send(server);
}

/* An event that the device is being closed. */
static inline void server_send_closed(struct server *server, uint32_t refusal, const char *detail)
{
	struct closed_event *event;

	packet_event(&server->reply, DEVICE_EVENT_CLOSED);
	event = packet_append(&server->reply, sizeof *event);
	event->refusal = refusal;
	strncpy(event->detail, detail, sizeof event->detail - 1);
	server_send(server);
}

static inline void *server_main(void *argument)
{
	struct server *server = argument;

	server->script(server);
	packet_clear(&server->request);
	packet_clear(&server->reply);
	close(server->fd);
	server->fd = -1;
	return NULL;
}

/* Makes the pair; the library's end is server->client and belongs to the test. */
static inline void server_start(
	struct server *server, const struct request_table *table, void (*script)(struct server *), const void *argument)
{
	int pair[2];

	server->fds_before = unit_fds();
	unit_pair(pair);
	server->client = pair[0];
	server->fd = pair[1];
	server->table = table;
	server->script = script;
	server->argument = argument;
	server->malformed = 0;
	server->requests = 0;
	packet_init(&server->request);
	packet_init(&server->reply);
	assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
	server->running = true;
}

/* Waits for the script to end, as a test may want to have happened before it goes on. */
static inline void server_wait(struct server *server)
{
	if (server->running)
		pthread_join(server->thread, NULL);
	server->running = false;
}

/* After the test has closed its end: nothing was malformed, no file descriptor was lost. */
static inline void server_finish(struct server *server)
{
	server_wait(server);
	assert_int_equal(server->malformed, 0);
	assert_int_equal(unit_fds(), server->fds_before);
}

#endif
