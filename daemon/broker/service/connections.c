/* SPDX-License-Identifier: MIT */
#include "service/connections.h"

#include "base/limits.h"
#include "base/loop.h"
#include "connection.h"
#include "front/front.h"
#include "log.h"
#include "refusal.h"
#include "request/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The owner of connections whose clients nobody has looked at. */
#define NOBODY ((uid_t)-1)

/* ---- connections without a front ---- */

static int on_retry(sd_event_source *source, uint64_t now, void *userdata);

static void listen_if_ready(struct broker *broker)
{
	bool ready = broker->unplaced_count == 0 && front_is_ready(broker) && !broker->stopping;

	(void)sd_event_source_set_enabled(broker->listener, ready ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void retry_soon(struct broker *broker)
{
	if (loop_timer(broker->event, &broker->unplaced_timer, FRONT_FULL_US, on_retry, broker) < 0)
		log_line(LOG_ERR, "out of memory: connections are not served until the service is restarted");
}

/* Nobody is accepted until a front has taken FD. */
static void put_off(struct broker *broker, int fd, bool old)
{
	struct unplaced *all = reallocarray(broker->unplaced, broker->unplaced_count + 1, sizeof *all);

	if (!all) {
		log_line(LOG_ERR, "out of memory: a connection is not served, and stays open");
		return;
	}
	broker->unplaced = all;
	all[broker->unplaced_count++] = (struct unplaced){fd, old};
	listen_if_ready(broker);
	retry_soon(broker);
}

static bool dispose(struct broker *broker, int fd)
{
	struct detail detail;

	refuse(&detail, REFUSAL_FAILED, "the service was updated; connect again");
	return front_turn_away(broker, NOBODY, fd, REFUSAL_FAILED, &detail) == 0;
}

static int on_retry(sd_event_source *source, uint64_t now, void *userdata)
{
	struct broker *broker = userdata;

	(void)source;
	(void)now;
	while (broker->unplaced_count > 0) {
		const struct unplaced *last = &broker->unplaced[broker->unplaced_count - 1];

		if (!(last->old ? dispose(broker, last->fd) : session_accept(broker, last->fd)))
			break;
		broker->unplaced_count--;
	}
	if (broker->unplaced_count > 0)
		retry_soon(broker);
	listen_if_ready(broker);
	return 0;
}

void connections_dispose(struct broker *broker, int fd)
{
	put_off(broker, fd, true);
}

/* ---- accepting ---- */

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct broker *broker = userdata;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_WAKEUP && front_is_ready(broker) && broker->unplaced_count == 0; i++) {
		int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (connection >= 0) {
			/* Before a front has the connection: by then the front may be answering. */
			connection_limit_queue(connection);
			if (!session_accept(broker, connection))
				put_off(broker, connection, false);
			continue;
		}
		/* A peer that has left again is no error. */
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			log_line(LOG_ERR, "cannot accept a connection: %s", strerror(errno));
		break;
	}
	return 0;
}

int connections_begin(struct broker *broker, int listener)
{
	int r = sd_event_add_io(broker->event, &broker->listener, listener, EPOLLIN, on_connection, broker);

	if (r < 0) {
		close(listener);
		return r;
	}
	sd_event_source_set_io_fd_own(broker->listener, 1);
	if (!broker->options->pass_rights)
		connection_refuse_fds(listener);
	listen_if_ready(broker);
	return 0;
}

void connections_stop(struct broker *broker)
{
	(void)sd_event_source_set_enabled(broker->listener, SD_EVENT_OFF);
}

void connections_clear(struct broker *broker)
{
	free(broker->unplaced);
	broker->unplaced = NULL;
	broker->unplaced_count = 0;
	sd_event_source_disable_unref(broker->unplaced_timer);
	sd_event_source_disable_unref(broker->listener);
}
