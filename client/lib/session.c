/* SPDX-License-Identifier: MIT */
#include "session.h"

#include "detail.h"
#include "name.h"
#include "text.h"
#include "timeout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* How often a connection may end before HELLO is answered: more often than a broker in a crash loop gets to accept a
 * connection. */
#define ATTEMPTS_MAX 16

/* ---- opening and closing ---- */

/* Bounds connect(), which waits while nobody accepts. TIMEOUT_MS negative: no bound. */
static void bound_connect(int fd, int timeout_ms)
{
	struct timeval bound = {0};

	if (timeout_ms > 0)
		bound = (struct timeval){timeout_ms / 1000, timeout_ms % 1000 * 1000};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
}

static int connect_to(const char *path, int *ret_fd)
{
	const int timeout_ms = timeout_of_request(CHANNEL_BROKER, BROKER_HELLO);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	OWNED_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof address.sun_path)
		return detail_set(
			-ENAMETOOLONG, "the path of a socket has at most %zu bytes", sizeof address.sun_path - 1);
	strcpy(address.sun_path, path);
	bound_connect(fd, timeout_ms);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int r = -errno;

		if (r == -ENOENT || r == -ECONNREFUSED)
			return detail_set(r, "no broker at %.100s; 'systemctl status vfio-broker.socket'", path);
		if (r == -EAGAIN)
			return detail_set(-ETIME,
				"nobody has accepted a connection at %.100s in %.3g s: "
				"vfio-brokerd is stopped or hangs; 'systemctl status vfio-broker'",
				path, timeout_ms / 1000.0);
		return detail_set(r, "connecting to %.100s", path);
	}
	bound_connect(fd, -1);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* FD is taken on success and stays the caller's on failure. */
static int session_new(int fd, struct vbroker_session **ret_session)
{
	struct vbroker_session *session = malloc(sizeof *session);
	enum channel_kind kind;
	int r;

	if (!session)
		return -ENOMEM;
	session->watch = NULL;
	requester_init(&session->channel, fd, &broker_table);
	r = requester_hello(&session->channel, &kind);
	if (r == 0 && kind != CHANNEL_BROKER)
		r = detail_set(-EPROTO, "the server at this socket is not a broker (channel kind %d)", (int)kind);
	if (r != 0) {
		requester_clear(&session->channel);
		free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

static int open_once(const char *path, struct vbroker_session **ret_session)
{
	OWNED_FD fd = -1;
	int r = connect_to(path, &fd);

	if (r == 0)
		r = session_new(fd, ret_session);
	if (r == 0)
		fd_take(&fd);
	return r;
}

int vbroker_session_open(const char *path, struct vbroker_session **ret_session)
{
	int r = -ECONNRESET;

	/* A broker killed right after accept() has no record of the connection yet; the next connection waits in the
	 * socket's queue for the next broker. */
	for (int i = 0; i < ATTEMPTS_MAX && r == -ECONNRESET; i++) {
		detail_clear();
		r = open_once(path ? path : VBROKER_SOCKET, ret_session);
	}
	return r;
}

void vbroker_session_close(struct vbroker_session *session)
{
	if (!session)
		return;
	close(session->channel.fd);
	requester_clear(&session->channel);
	free(session->watch);
	free(session);
}

int vbroker_session_fd(const struct vbroker_session *session)
{
	return session->channel.fd;
}

int vbroker_session_ping(struct vbroker_session *session)
{
	detail_clear();
	return requester_ping(&session->channel);
}

/* ---- devices by name ---- */

int session_lease(struct vbroker_session *session, const char *name, int *ret_channel)
{
	static const struct requester_reply expected = {.size = sizeof(struct open_reply), .fds = 1};
	struct open_request *open = requester_begin(&session->channel, BROKER_OPEN, sizeof *open);
	int r = name_find(name, open->name);

	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r == 0)
		*ret_channel = fdset_take(&session->channel.packet.fds, 0);
	return r;
}

static int read_obstacles(const struct packet *packet, struct vbroker_obstacle **ret_obstacles)
{
	const struct check_reply *reply = packet_body(packet, sizeof *reply);
	const struct check_obstacle *records = (const void *)(reply + 1);
	struct vbroker_obstacle *obstacles;

	if (packet->header.length != sizeof *reply + (uint64_t)reply->count * sizeof *records)
		return detail_set(-EPROTO, "%u obstacles in a reply of another length", reply->count);
	obstacles = calloc(reply->count + 1U, sizeof *obstacles);
	if (!obstacles)
		return -ENOMEM;
	for (uint32_t i = 0; i < reply->count; i++) {
		obstacles[i].refusal = (int)records[i].refusal;
		text_copy(obstacles[i].detail, sizeof obstacles[i].detail, records[i].detail, sizeof records[i].detail);
	}
	*ret_obstacles = obstacles;
	return 0;
}

static int check(struct vbroker_session *session, const char *name, uint32_t flags,
	struct vbroker_obstacle **ret_obstacles, size_t *ret_count, int *ret_claim)
{
	static const struct requester_reply expected = {
		.size = sizeof(struct check_reply),
		.element_size = sizeof(struct check_obstacle),
	};
	struct check_request *request = requester_begin(&session->channel, BROKER_CHECK, sizeof *request);
	const struct check_reply *reply;
	int r;

	detail_clear();
	request->flags = flags;
	r = name_find(name, request->name);
	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r == 0)
		r = read_obstacles(&session->channel.packet, ret_obstacles);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	*ret_count = reply->count;
	*ret_claim = reply->claim != 0;
	return 0;
}

int vbroker_session_check(struct vbroker_session *session, const char *name, struct vbroker_obstacle **ret_obstacles,
	size_t *ret_count, int *ret_claim)
{
	return check(session, name, 0, ret_obstacles, ret_count, ret_claim);
}

int vbroker_session_in_use(struct vbroker_session *session, const char *name, char ret_use[256])
{
	struct vbroker_obstacle *obstacles;
	size_t count;
	int claim, r = check(session, name, BROKER_CHECK_USE, &obstacles, &count, &claim);

	if (r != 0)
		return r;
	if (count > 0 && obstacles[0].refusal != VBROKER_IN_USE)
		r = detail_set(obstacles[0].refusal, "%s", obstacles[0].detail);
	else
		snprintf(ret_use, 256, "%s", count > 0 ? obstacles[0].detail : "");
	free(obstacles);
	return r;
}
