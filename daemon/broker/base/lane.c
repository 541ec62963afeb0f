/* SPDX-License-Identifier: MIT */
#include "base/lane.h"

#include "base/limits.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

static int on_own(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	const struct lane_place *place = userdata;

	(void)source;
	(void)fd;
	place->serve(place->owner, events);
	return 0;
}

/* The kernel puts what it reports at the end of its list, so that they take turns here too. The lane may be gone after serve(). */
static int on_shared(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct epoll_event event;

	(void)source;
	(void)events;
	(void)userdata;
	if (epoll_wait(fd, &event, 1, 0) == 1) {
		const struct lane_place *place = event.data.ptr;

		place->serve(place->owner, event.events);
	}
	return 0;
}

static int enter_own(sd_event *event, struct lane_place *place)
{
	int r = sd_event_add_io(event, &place->source, place->fd, EPOLLIN, on_own, place);

	if (r < 0)
		return r;
	place->lane->own++;
	return 0;
}

static int make_shared(struct lane *lane, sd_event *event)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (epoll < 0)
		return -errno;
	r = sd_event_add_io(event, &lane->source, epoll, EPOLLIN, on_shared, lane);
	if (r < 0) {
		close(epoll);
		return r;
	}
	sd_event_source_set_io_fd_own(lane->source, 1);
	return 0;
}

static int control(const struct lane_place *place, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = (void *)(uintptr_t)place};

	return epoll_ctl(sd_event_source_get_io_fd(place->lane->source), operation, place->fd, &event) < 0 ? -errno : 0;
}

static void drop_shared(struct lane *lane)
{
	if (lane->shared == 0)
		lane->source = sd_event_source_disable_unref(lane->source);
}

static int enter_shared(sd_event *event, struct lane_place *place)
{
	struct lane *lane = place->lane;
	int r = lane->source ? 0 : make_shared(lane, event);

	if (r < 0)
		return r;
	r = control(place, EPOLL_CTL_ADD, EPOLLIN);
	if (r == 0)
		lane->shared++;
	drop_shared(lane);
	return r;
}

int lane_enter(struct lane *lane, sd_event *event, struct lane_place *place, int fd, lane_serve serve, void *owner)
{
	int r;

	*place = (struct lane_place){.lane = lane, .fd = fd, .events = EPOLLIN, .serve = serve, .owner = owner};
	r = lane->own < LANE_OWN_TURNS ? enter_own(event, place) : enter_shared(event, place);
	if (r < 0)
		place->lane = NULL;
	return r;
}

int lane_wait(struct lane_place *place, uint32_t events)
{
	int r;

	if (!place->lane)
		return -ENOTCONN;
	if (events == place->events)
		return 0;
	r = place->source ? sd_event_source_set_io_events(place->source, events)
			  : control(place, EPOLL_CTL_MOD, events);
	if (r >= 0)
		place->events = events;
	return r;
}

void lane_leave(struct lane_place *place)
{
	struct lane *lane = place->lane;

	if (!lane)
		return;
	if (place->source) {
		place->source = sd_event_source_disable_unref(place->source);
		lane->own--;
	} else {
		control(place, EPOLL_CTL_DEL, 0);
		lane->shared--;
		drop_shared(lane);
	}
	place->lane = NULL;
}
