/* SPDX-License-Identifier: MIT */
#include "keeper.h"
#include "binding.h"
#include "clock.h"
#include "device.h"
#include "foreign_fd.h"
#include "group.h"
#include "kept.h"
#include "log.h"
#include "query.h"
#include "release.h"
#include "revocation.h"
#include "state.h"

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
	packet_init(&keeper->buffers.reply);
	packet_init(&keeper->event);
}

/* ---- leases ---- */

static bool is_channel(int fd)
{
	int type = 0;
	socklen_t size = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* The broker is trusted, but a mistake there must not lead to a device with two leases or to a mix of groups. */
static int lease_check(
	const struct keeper *keeper, const struct lease_request *lease, const struct fdset *fds, struct detail *detail)
{
	const struct iommu_group *group = &keeper->group;
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
			foreign_fd_name(fds->fds[fds->count - 1]));
	r = first ? group->kernel->group_status(fds->fds[0], &flags) : 0;
	if (r < 0)
		return refuse(detail, REFUSAL_MALFORMED, "IOMMU group %" PRIu32 " of %s: %s: %s", lease->group,
			lease->name, foreign_fd_name(fds->fds[0]), strerror(-r));
	return 0;
}

/* Takes WINDOWS and returns the fd if it is a control file of the version known to window.c, else -1: the lease goes on
 * without windows. */
static int usable_windows(const struct keeper *keeper, const struct lease_request *lease, int windows)
{
	OWNED_FD owned = windows;
	struct vfio_window_info info = {.argsz = sizeof info};
	int r = keeper->group.kernel->window_info(owned, &info);

	if (r == 0 && info.version == VFIO_WINDOW_VERSION)
		return fd_take(&owned);
	if (r < 0)
		log_line(LOG_WARNING, "%s: no register windows: instead of a control file vfio-brokerd passed %s: %s",
			lease->name, foreign_fd_name(owned), strerror(-r));
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
		group_set_fd(&keeper->group, fdset_take(&request->fds, 0), lease->group);
	group_add(&keeper->group, device);
	keeper->leased = true;
	who = packet_append(reply, sizeof *who);
	who->pid = (uint32_t)getpid();
	who->uid = getuid();
	log_line(LOG_DEBUG, "%s: leased, IOMMU group %" PRIu32, lease->name, lease->group);
	return 0;
}

/* ---- the end of leases ---- */

static void report(struct keeper *keeper, uint16_t type, const struct device *device)
{
	struct packet *event = &keeper->event;
	struct released_event *released;

	packet_event(event, type);
	released = packet_append(event, sizeof *released);
	memcpy(released->name, device->lease.name, sizeof released->name);
	released->remaining = (uint32_t)keeper->group.device_count;
	released->error = (uint32_t)-release_result(&device->report);
	released->report = device->report;
	released->origin = device->lease.origin;
	released->used = device->channel.requests > 0;
	channel_notify(&keeper->channel, event);
}

/* Tells the broker, for its records, whether DEVICE is bound now. */
static void report_bound(struct keeper *keeper, const struct device *device)
{
	struct packet *event = &keeper->event;
	struct bound_event *bound;

	packet_event(event, KEEPER_EVENT_BOUND);
	bound = packet_append(event, sizeof *bound);
	memcpy(bound->name, device->lease.name, sizeof bound->name);
	bound->bound = device->life == DEVICE_BOUND;
	bound->duration_us = device->binding_time_us;
	channel_notify(&keeper->channel, event);
}

/* Takes an ended device out of the group and tells the broker. REMAINING 0 tells the broker that the group is free. */
static void report_released(struct keeper *keeper, struct device *device)
{
	struct iommu_group *group = &keeper->group;

	group_remove(group, device);
	if (group->device_count == 0)
		group_close(group);
	report(keeper, KEEPER_EVENT_RELEASED, device);
}

/* True if the device is closed and the group has not left the domain since. */
static bool is_leaving(const struct device *device)
{
	return device->life == DEVICE_ENDED && device->report.steps_done &&
		!(device->report.steps_done & 1U << RELEASE_LEAVE);
}

/*
 * The last step of all ended devices; may never return (group.h). So the broker is told before the step: the broker
 * then knows that the devices are quiet, and where this process hangs. The clients are told before, too, unless other
 * leases of the group go on. A RELEASE is answered after the step.
 */
static void leave_domain(struct keeper *keeper)
{
	struct iommu_group *group = &keeper->group;
	size_t ended = 0;
	uint64_t start;
	int r;

	if (group->domain < 0 || group_bound_device(group, NULL))
		return;
	for (size_t i = 0; i < group->device_count; i++) {
		ended += group->devices[i]->life == DEVICE_ENDED;
		if (is_leaving(group->devices[i]))
			report(keeper, KEEPER_EVENT_LEAVING, group->devices[i]);
	}
	for (size_t i = 0; i < ended && ended == group->device_count; i++) {
		if (!group->devices[i]->channel.deferred)
			device_send_closed(group->devices[i], &keeper->event);
	}
	start = clock_us();
	r = group_leave_domain(group);
	if (r < 0)
		log_line(LOG_WARNING, "IOMMU group %" PRIu32 ": leaving the domain: %s", group->number, strerror(-r));
	for (size_t i = 0; i < group->device_count; i++) {
		if (is_leaving(group->devices[i]))
			release_note(&group->devices[i]->report, RELEASE_LEAVE, start, r);
	}
}

/*
 * Finishes and frees all ended devices. The broker is told of each device before the client, because the client may
 * open the device again at once. A client that leave_domain() tells gets CLOSED after LEAVING, and before RELEASED; any
 * other client gets CLOSED after RELEASED.
 */
static void reap(struct keeper *keeper)
{
	struct iommu_group *group = &keeper->group;

	leave_domain(keeper);
	for (size_t i = 0; i < group->device_count;) {
		struct device *device = group->devices[i];

		if (device->life != DEVICE_ENDED) {
			i++;
			continue;
		}
		report_released(keeper, device);
		device_send_closed(device, &keeper->event);
		device_free(device);
	}
}

/* ---- later requests of the broker ---- */

static int serve_revoke(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct keeper *keeper = context;
	const struct revoke_order *order = (const void *)request->payload;
	struct device *device = group_find(&keeper->group, order->name);

	(void)reply;
	/* The lease has ended, and RELEASED is on its way to the broker. */
	if (!device)
		return refuse(detail, REFUSAL_REVOKED, "%s is not leased any more", order->name);
	revocation_order(device, order, &keeper->event);
	return 0;
}

static int serve_query(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct keeper *keeper = context;

	(void)request;
	(void)detail;
	/* An earlier broker was killed before it sent the device channel to the client: nobody has such a lease. */
	for (size_t i = 0; i < keeper->group.device_count; i++) {
		if (query_client_gone(keeper->group.devices[i]))
			device_end(keeper->group.devices[i], ENDED_HANGUP);
	}
	reap(keeper);
	query_answer(&keeper->group, reply);
	log_line(LOG_INFO, "vfio-brokerd has restarted: %zu leases go on", keeper->group.device_count);
	return 0;
}

static const channel_handler handlers[KEEPER_TYPE_MAX] = {
	[KEEPER_LEASE] = serve_lease,
	[KEEPER_QUERY] = serve_query,
	[KEEPER_REVOKE] = serve_revoke,
};
static const struct channel_service service = {&keeper_table, handlers, 0};

/* ---- the end of all ---- */

/* Closes all devices before the group leaves the domain: the devices are quiet even if leaving hangs. */
static void release_all(struct keeper *keeper, enum end_reason why)
{
	struct iommu_group *group = &keeper->group;
	uint64_t start = clock_us();

	if (keeper->channel.fd < 0)
		return;
	/* Those of the first device device_end() refuses before anything that may hang. */
	for (size_t i = 1; i < group->device_count; i++)
		binding_refuse_windows(group->devices[i]);
	for (size_t i = 0; i < group->device_count; i++)
		device_end(group->devices[i], why);
	reap(keeper);
	group_close(group);
	if (keeper->leased)
		log_line(LOG_INFO, "IOMMU group %" PRIu32 ": all released in %llu us", group->number,
			(unsigned long long)(clock_us() - start));
	channel_finish(&keeper->channel, &keeper->buffers.request);
	packet_clear(&keeper->buffers.request);
	packet_clear(&keeper->buffers.reply);
	packet_clear(&keeper->event);
}

void keeper_release(struct keeper *keeper)
{
	release_all(keeper, ENDED_SESSION);
}

/*
 * Something of a client is open whose close may wait for the client (kept.h), so this process does not close it. The
 * process ends, which may wait, after all devices are closed and the broker has seen the end: even without a bound
 * device, because a BIND could come a moment later.
 */
static void release_tainted(struct keeper *keeper)
{
	log_line(LOG_WARNING, "IOMMU group %" PRIu32 " is taken back", keeper->group.number);
	release_all(keeper, ENDED_BROKEN);
}

/*
 * Ends the lease: after an uncorrectable error nobody knows what the device still does, and to whose memory. The
 * kernel's own drivers stop everything then, too. A driver able to recover leases the device again, and gets a device
 * freshly reset.
 */
static void end_faulty(struct keeper *keeper, struct device *device)
{
	struct packet *event = &keeper->event;
	struct fault_event *fault;

	log_line(LOG_ERR, "%s: the device reports an uncorrectable error", device->lease.name);
	packet_event(event, KEEPER_EVENT_FAULT);
	fault = packet_append(event, sizeof *fault);
	memcpy(fault->name, device->lease.name, sizeof fault->name);
	channel_notify(&keeper->channel, event);
	device_end(device, ENDED_ERROR);
}

/* ---- the loop ---- */

/* The slots of poll(): first the broker's, then DEVICE_SLOTS for each device. */
enum device_slot {
	SLOT_CHANNEL,
	SLOT_UNPLUG,
	SLOT_FAULT,
	DEVICE_SLOTS,
};

#define SLOTS_MAX (1 + DEVICE_SLOTS * DEVICES_MAX)

/* Returns the number of slots. */
static size_t fill(const struct keeper *keeper, struct pollfd *slots)
{
	const struct iommu_group *group = &keeper->group;

	/* POLLRDHUP, because the end of the broker counts at once, even with requests or an unread reply still on
	 * the socket. */
	slots[0] = (struct pollfd){keeper->channel.fd, (short)(channel_events(&keeper->channel) | POLLRDHUP), 0};
	for (size_t i = 0; i < group->device_count; i++) {
		const struct device *device = group->devices[i];
		struct pollfd *of = &slots[1 + DEVICE_SLOTS * i];

		of[SLOT_CHANNEL] = (struct pollfd){device->channel.fd, channel_events(&device->channel), 0};
		of[SLOT_UNPLUG] = (struct pollfd){device->unplug, POLLIN, 0};
		of[SLOT_FAULT] = (struct pollfd){device->fault, POLLIN, 0};
	}
	return 1 + DEVICE_SLOTS * group->device_count;
}

/* The broker's turn comes first: clients may delay a revocation by one request at most. */
static bool serve_broker(struct keeper *keeper, short events)
{
	if (events & (POLLRDHUP | POLLHUP | POLLERR))
		return false;
	return channel_serve(&keeper->channel, &service, keeper, &keeper->buffers) == CHANNEL_OPEN;
}

static void serve_device(struct keeper *keeper, struct device *device, const struct pollfd *slots)
{
	if (slots[SLOT_FAULT].revents) {
		end_faulty(keeper, device);
	} else if (slots[SLOT_UNPLUG].revents) {
		log_line(LOG_NOTICE, "%s: the host asks for the device", device->lease.name);
		device_end(device, ENDED_UNPLUG);
	} else if (device_serve(device, &keeper->buffers)) {
		report_bound(keeper, device);
	}
	/* If a client has tainted the keeper, nothing is taken off a channel before the devices are closed. */
	if (device->life == DEVICE_ENDED && !keeper->group.kept.tainted)
		reap(keeper);
}

static void serve_devices(struct keeper *keeper, const struct pollfd *slots)
{
	const struct iommu_group *group = &keeper->group;

	for (size_t i = 0; i < group->device_count; i++) {
		size_t turn = (keeper->turn + i) % group->device_count;
		const struct pollfd *of = &slots[1 + DEVICE_SLOTS * turn];

		if (!of[SLOT_CHANNEL].revents && !of[SLOT_UNPLUG].revents && !of[SLOT_FAULT].revents)
			continue;
		keeper->turn = turn + 1;
		serve_device(keeper, group->devices[turn], of);
		return;
	}
}

/* DUE is the first device whose deadline is over. If the end of DUE hangs, the windows of others that are due do not
 * wait. */
static void end_due(struct keeper *keeper, struct device *due)
{
	const struct iommu_group *group = &keeper->group;

	for (size_t i = 0; i < group->device_count; i++) {
		if (group->devices[i] != due && revocation_is_due(group->devices[i]))
			binding_refuse_windows(group->devices[i]);
	}
	device_end(due, due->revocation.reason);
	reap(keeper);
}

bool keeper_step(struct keeper *keeper, int timeout_ms)
{
	struct pollfd slots[SLOTS_MAX];
	struct device *due;
	int r;

	do
		r = poll(slots, fill(keeper, slots), revocation_timeout(&keeper->group, timeout_ms));
	while (r < 0 && errno == EINTR);
	/* Without poll() the keeper would never hear of anything again. */
	if (r < 0 || (slots[0].revents && !serve_broker(keeper, slots[0].revents))) {
		keeper_release(keeper);
	} else if ((due = revocation_due(&keeper->group))) {
		end_due(keeper, due);
	} else if (r > 0 && !slots[0].revents) {
		serve_devices(keeper, slots);
	}
	if (keeper->channel.fd >= 0 && keeper->group.kept.tainted)
		release_tainted(keeper);
	else if (keeper->leased && keeper->group.device_count == 0)
		keeper_release(keeper);
	else if (!group_bound_device(&keeper->group, NULL))
		kept_forget(&keeper->group.kept);
	return keeper->channel.fd >= 0;
}
