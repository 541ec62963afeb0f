/* SPDX-License-Identifier: MIT */
#include "keeper.h"
#include "binding.h"
#include "clock.h"
#include "device.h"
#include "log.h"
#include "query.h"
#include "release.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void keeper_init(struct keeper *keeper, const struct vfio_kernel *kernel, int channel)
{
	group_init(&keeper->group, kernel);
	channel_init(&keeper->channel, channel);
	keeper->turn = 0;
	keeper->leased = false;
	packet_init(&keeper->buffers.request);
	stranger_trust(kernel->domain_check);
	packet_init(&keeper->buffers.reply);
}

/* ---- leases ---- */

static bool is_channel(int fd)
{
	int type = 0;
	socklen_t size = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* The broker is trusted, but a mistake there must not turn into one device under two names or a mix of groups. */
static int lease_check(
	const struct keeper *keeper, const struct lease_request *lease, const struct fdset *fds, struct detail *detail)
{
	const struct group *group = &keeper->group;
	bool first = lease->flags & LEASE_GROUP;
	uint32_t flags;
	int r;

	if (first && group->fd >= 0)
		return refuse(
			detail, REFUSAL_MALFORMED, "this keeper has IOMMU group %" PRIu32 " already", group->number);
	if (!first && group->fd < 0)
		return refuse(detail, REFUSAL_MALFORMED, "the first lease brings the group, and this one has none");
	if (!first && lease->group != group->number)
		return refuse(detail, REFUSAL_MALFORMED, "%s is in IOMMU group %" PRIu32 ", this keeper has %" PRIu32,
			lease->name, lease->group, group->number);
	if (group_find(group, lease->name))
		return refuse(detail, REFUSAL_DEVICE_BUSY, "%s is leased already, by this keeper", lease->name);
	if (group_full(group))
		return refuse(detail, REFUSAL_QUOTA, "%d devices of one group at most", DEVICES_MAX);
	if (!is_channel(fds->fds[fds->count - 1]))
		return refuse(detail, REFUSAL_MALFORMED, "the device channel of %s is %s", lease->name,
			stranger_name(fds->fds[fds->count - 1]));
	r = first ? group->kernel->group_status(fds->fds[0], &flags) : 0;
	if (r < 0)
		return refuse(detail, REFUSAL_MALFORMED, "IOMMU group %" PRIu32 " of %s: %s: %s", lease->group,
			lease->name, stranger_name(fds->fds[0]), strerror(-r));
	return 0;
}

/* The control file WINDOWS if it is one that window.c can speak with, else -1: then there are no windows, which is no reason to
 * have no device. Takes it. */
static int usable_windows(const struct keeper *keeper, const struct lease_request *lease, int windows)
{
	OWNED_FD owned = windows;
	struct vfio_window_info info = {.argsz = sizeof info};
	int r = keeper->group.kernel->window_info(owned, &info);

	if (r == 0 && info.version == VFIO_WINDOW_VERSION)
		return fd_take(&owned);
	if (r < 0)
		log_line(LOG_WARNING, "%s: no register windows: what came as control file is %s: %s", lease->name,
			stranger_name(owned), strerror(-r));
	else
		log_line(LOG_WARNING, "%s: no register windows: vfio_window has version %u, this keeper needs %u",
			lease->name, info.version, VFIO_WINDOW_VERSION);
	return -1;
}

static int serve_lease(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct keeper *keeper = context;
	const struct lease_request *lease = (const void *)request->payload;
	struct lease_reply *who;
	struct device *device;
	int windows = -1;
	int r = lease_check(keeper, lease, &request->fds, detail);

	if (r != 0) {
		log_line(LOG_WARNING, "lease refused: %s", detail->text);
		return r;
	}
	if (lease->flags & LEASE_WINDOWS)
		windows = usable_windows(keeper, lease, fdset_take(&request->fds, request->fds.count - 2));
	device = device_new(&keeper->group, lease, windows, fdset_take(&request->fds, request->fds.count - 1));
	if (!device)
		return -ENOMEM;
	if (lease->flags & LEASE_GROUP)
		group_adopt(&keeper->group, fdset_take(&request->fds, 0), lease->group);
	group_add(&keeper->group, device);
	keeper->leased = true;
	who = packet_append(reply, sizeof *who);
	who->pid = (uint32_t)getpid();
	who->uid = getuid();
	log_line(LOG_INFO, "%s: leased, IOMMU group %" PRIu32, lease->name, lease->group);
	return 0;
}

/* ---- the end of leases ---- */

/* Takes an ended device out of the group and tells the broker, for whom REMAINING 0 means that the group is free. */
static void report_released(struct keeper *keeper, struct device *device)
{
	struct group *group = &keeper->group;
	struct packet *event = &keeper->buffers.reply;
	struct released_event *released;

	group_remove(group, device);
	if (group->device_count == 0)
		group_close(group);
	packet_event(event, KEEPER_EVENT_RELEASED);
	released = packet_append(event, sizeof *released);
	memcpy(released->name, device->lease.name, sizeof released->name);
	released->remaining = (uint32_t)group->device_count;
	released->error = (uint32_t)-release_result(&device->report);
	released->report = device->report;
	channel_notify(&keeper->channel, event);
}

/* After each step: devices that ended in it, by RELEASE or because their channel did. */
static void reap(struct keeper *keeper, struct device *device)
{
	if (device->life != DEVICE_ENDED)
		return;
	report_released(keeper, device);
	device_farewell(device, REFUSAL_NONE, "released", &keeper->buffers.reply);
	device_free(device);
}

/* One step for all its devices that were bound. */
static void leave_domain(struct group *group)
{
	bool bound = group->domain >= 0;
	uint64_t start = clock_us();
	int r = group_leave(group);

	if (r < 0)
		log_line(LOG_WARNING, "IOMMU group %" PRIu32 ": leaving the domain: %s", group->number, strerror(-r));
	for (size_t i = 0; bound && i < group->device_count; i++) {
		struct release_report *report = &group->devices[i]->report;

		if (report->taken && !(report->taken & 1U << RELEASE_LEAVE))
			release_took(report, RELEASE_LEAVE, start, r);
	}
}

static int serve_query(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct keeper *keeper = context;

	(void)detail;
	/* A lease that the earlier broker was killed with, before its client had it, is none. */
	for (size_t i = keeper->group.device_count; i > 0; i--) {
		struct device *device = keeper->group.devices[i - 1];

		if (!query_client_gone(device))
			continue;
		device_end(device, ENDED_HANGUP);
		reap(keeper, device);
	}
	/* The events about these were made in the packet that becomes the reply. */
	packet_reply(reply, &request->header);
	query_answer(&keeper->group, reply);
	log_line(LOG_INFO, "vfio-brokerd was started anew: %zu leases go on", keeper->group.device_count);
	return 0;
}

static const channel_handler handlers[KEEPER_TYPE_MAX] = {
	[KEEPER_LEASE] = serve_lease,
	[KEEPER_QUERY] = serve_query,
};
static const struct channel_service service = {&keeper_table, handlers, 0};

/*
 * All devices are closed before the group leaves the domain: that may hang (binding.h), and whoever waits for the
 * devices to be quiet need not wait for it.
 */
void keeper_release(struct keeper *keeper)
{
	struct group *group = &keeper->group;
	uint64_t start = clock_us();

	if (keeper->channel.fd < 0)
		return;
	for (size_t i = 0; i < group->device_count; i++) {
		device_end_early(group->devices[i], ENDED_SESSION);
		device_farewell(
			group->devices[i], REFUSAL_REVOKED, "taken back by vfio-brokerd", &keeper->buffers.reply);
	}
	leave_domain(group);
	group_close(group);
	for (; group->device_count > 0;) {
		struct device *device = group->devices[0];

		report_released(keeper, device);
		device_free(device);
	}
	if (keeper->leased)
		log_line(LOG_INFO, "IOMMU group %" PRIu32 ": all released in %llu us", group->number,
			(unsigned long long)(clock_us() - start));
	channel_finish(&keeper->channel, &keeper->buffers.request);
	packet_clear(&keeper->buffers.request);
	packet_clear(&keeper->buffers.reply);
}

/* ---- the loop ---- */

#define SLOTS_MAX (1 + 2 * DEVICES_MAX)

/* Slot 0 is the broker; each device has two: its channel, and the host's request for it. Returns the number of slots. */
static size_t fill(const struct keeper *keeper, struct pollfd *slots)
{
	const struct group *group = &keeper->group;

	/* POLLRDHUP, because the end of the broker counts at once, even with requests or an unread reply before it. */
	slots[0] = (struct pollfd){keeper->channel.fd, (short)(channel_events(&keeper->channel) | POLLRDHUP), 0};
	for (size_t i = 0; i < group->device_count; i++) {
		const struct device *device = group->devices[i];

		slots[1 + 2 * i] = (struct pollfd){device->channel.fd, channel_events(&device->channel), 0};
		slots[2 + 2 * i] = (struct pollfd){device->unplug, POLLIN, 0};
	}
	return 1 + 2 * group->device_count;
}

/* The broker's turn comes first: nothing that clients do may delay a revocation by more than one request. */
static bool serve_broker(struct keeper *keeper, short events)
{
	if (events & (POLLRDHUP | POLLHUP | POLLERR))
		return false;
	return channel_serve(&keeper->channel, &service, keeper, &keeper->buffers) == CHANNEL_OPEN;
}

static void serve_device(struct keeper *keeper, const struct pollfd *slots)
{
	const struct group *group = &keeper->group;

	for (size_t i = 0; i < group->device_count; i++) {
		size_t turn = (keeper->turn + i) % group->device_count;
		struct device *device = group->devices[turn];

		if (!slots[1 + 2 * turn].revents && !slots[2 + 2 * turn].revents)
			continue;
		keeper->turn = turn + 1;
		if (slots[2 + 2 * turn].revents)
			device_unplug(device, &keeper->buffers.reply);
		else
			device_serve(device, &keeper->buffers);
		reap(keeper, device);
		return;
	}
}

bool keeper_step(struct keeper *keeper, int timeout_ms)
{
	struct pollfd slots[SLOTS_MAX];
	int r;

	do
		r = poll(slots, fill(keeper, slots), timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return true;
	/* Without poll there is no way to hear of anything any more. */
	if (r < 0 || (slots[0].revents && !serve_broker(keeper, slots[0].revents)))
		keeper_release(keeper);
	else if (!slots[0].revents)
		serve_device(keeper, slots);
	if (keeper->leased && keeper->group.device_count == 0)
		keeper_release(keeper);
	return keeper->channel.fd >= 0;
}
