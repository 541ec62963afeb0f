/* SPDX-License-Identifier: MIT */
#include "base/fair_queue.h"

#include "base/limits.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

static int on_own(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	const struct fair_queue_place *place = userdata;

	(void)source;
	(void)fd;
	place->serve(place->owner, events);
	return 0;
}

/* The kernel puts a connection at the end of its list after each report, so the connections take turns here too. The
 * queue may be gone after serve(). */
static int on_shared(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct epoll_event event;

	(void)source;
	(void)events;
	(void)userdata;
	if (epoll_wait(fd, &event, 1, 0) == 1) {
		const struct fair_queue_place *place = event.data.ptr;

		place->serve(place->owner, event.events);
	}
	return 0;
}

static int enter_own(sd_event *event, struct fair_queue_place *place)
{
	int r = sd_event_add_io(event, &place->source, place->fd, EPOLLIN, on_own, place);

	if (r < 0)
		return r;
	place->queue->own++;
	return 0;
}

static int make_shared(struct fair_queue *queue, sd_event *event)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (epoll < 0)
		return -errno;
	r = sd_event_add_io(event, &queue->source, epoll, EPOLLIN, on_shared, queue);
	if (r < 0) {
		close(epoll);
		return r;
	}
	sd_event_source_set_io_fd_own(queue->source, 1);
	return 0;
}

static int control(const struct fair_queue_place *place, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = (void *)(uintptr_t)place};

	return epoll_ctl(sd_event_source_get_io_fd(place->queue->source), operation, place->fd, &event) < 0 ? -errno
													    : 0;
}

static void drop_shared(struct fair_queue *queue)
{
	if (queue->shared == 0)
		queue->source = sd_event_source_disable_unref(queue->source);
}

static int enter_shared(sd_event *event, struct fair_queue_place *place)
{
	struct fair_queue *queue = place->queue;
	int r = queue->source ? 0 : make_shared(queue, event);

	if (r < 0)
		return r;
	r = control(place, EPOLL_CTL_ADD, EPOLLIN);
	if (r == 0)
		queue->shared++;
	drop_shared(queue);
	return r;
}

int fair_queue_enter(struct fair_queue *queue, sd_event *event, struct fair_queue_place *place, int fd,
	fair_queue_serve serve, void *owner)
{
	int r;

	*place = (struct fair_queue_place){.queue = queue, .fd = fd, .events = EPOLLIN, .serve = serve, .owner = owner};
	r = queue->own < FAIR_QUEUE_OWN_TURNS ? enter_own(event, place) : enter_shared(event, place);
	if (r < 0)
		place->queue = NULL;
	return r;
}

int fair_queue_wait(struct fair_queue_place *place, uint32_t events)
{
	int r;

	if (!place->queue)
		return -ENOTCONN;
	if (events == place->events)
		return 0;
	r = place->source ? sd_event_source_set_io_events(place->source, events)
			  : control(place, EPOLL_CTL_MOD, events);
	if (r >= 0)
		place->events = events;
	return r;
}

void fair_queue_leave(struct fair_queue_place *place)
{
	struct fair_queue *queue = place->queue;

	if (!queue)
		return;
	if (place->source) {
		place->source = sd_event_source_disable_unref(place->source);
		queue->own--;
	} else {
		control(place, EPOLL_CTL_DEL, 0);
		queue->shared--;
		drop_shared(queue);
	}
	place->queue = NULL;
}
