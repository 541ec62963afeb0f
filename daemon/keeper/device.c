/* SPDX-License-Identifier: MIT */
#include "device.h"
#include "binding.h"
#include "clock.h"
#include "foreign_fd.h"
#include "interrupt.h"
#include "kept.h"
#include "log.h"
#include "program.h"
#include "region.h"
#include "release.h"
#include "revocation.h"
#include "state.h"
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The only place where a device changes its state. */
static void device_enter(struct device *device, enum device_life life)
{
	device->life = life;
	if (life != DEVICE_ENDED)
		channel_enter(&device->channel, life == DEVICE_BOUND ? STATE_BOUND : STATE_READY);
}

struct device *device_new(struct iommu_group *group, const struct lease_request *lease, int windows, int channel)
{
	OWNED_FD owned_windows = windows;
	OWNED_FD owned = channel;
	struct device *device = calloc(1, sizeof *device);

	if (!device)
		return NULL;
	device->group = group;
	device->lease = *lease;
	device->life = DEVICE_LEASED;
	binding_init(device);
	interrupt_init(device);
	revocation_init(&device->revocation);
	device->windows = fd_take(&owned_windows);
	channel_init(&device->channel, fd_take(&owned));
	return device;
}

void device_free(struct device *device)
{
	if (!device)
		return;
	assert(device->fd < 0);
	fd_cleanup(&device->windows);
	channel_close(&device->channel);
	free(device);
}

/* ---- requests ---- */

static int serve_describe(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct device *device = context;
	bool bound = device->life == DEVICE_BOUND;
	struct describe_reply *describe = packet_append(reply, sizeof *describe);

	(void)request;
	(void)detail;
	memcpy(describe->name, device->lease.name, sizeof describe->name);
	describe->flags = (bound ? DESCRIBE_BOUND : 0U) | (bound && device->resettable ? DESCRIBE_RESET : 0U);
	describe->group = device->group->number;
	describe->vendor = device->lease.vendor;
	describe->device = device->lease.device;
	describe->class = device->lease.class;
	if (!bound)
		return 0;
	describe->regions = device->region_count;
	describe->irqs = device->irq_count;
	for (uint32_t i = 0; i < device->region_count; i++) {
		struct region_record *record = packet_append(reply, sizeof *record);

		*record = (struct region_record){i, device->regions[i].flags, device->regions[i].size};
	}
	for (uint32_t i = 0; i < device->irq_count; i++) {
		struct irq_record *record = packet_append(reply, sizeof *record);

		*record = (struct irq_record){i, device->irqs[i].flags, device->irqs[i].count, 0};
	}
	return 0;
}

static int serve_bind(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct device *device = context;
	uint64_t start = clock_us();
	int r = binding_check(device, request->fds.fds[0], detail);

	if (r == 0)
		r = binding_make(device, fdset_take(&request->fds, 0), detail);
	if (r != 0) {
		log_line(LOG_NOTICE, "%s: bind refused: %s: %s", device->lease.name,
			refusal_name(r < 0 ? REFUSAL_FAILED : r), detail->text);
		return r;
	}
	((struct bind_reply *)packet_append(reply, sizeof(struct bind_reply)))->mappings = device->lease.mappings;
	device_enter(device, DEVICE_BOUND);
	device->binding_changed = true;
	device->binding_time_us = clock_us() - start;
	return 0;
}

static int serve_unbind(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct device *device = context;
	uint64_t start = clock_us();
	int r = binding_undo(device);

	(void)request;
	(void)reply;
	/* Whatever failed on the way, the device is closed. */
	device_enter(device, DEVICE_LEASED);
	device->binding_changed = true;
	device->binding_time_us = clock_us() - start;
	if (r < 0) {
		refuse(detail, REFUSAL_FAILED, "%s is closed, but not cleanly: %s", device->lease.name, strerror(-r));
		log_line(LOG_WARNING, "%s", detail->text);
		return r;
	}
	return 0;
}

/* The hot path, with serve_region_write(): nothing here but the access itself. */
static int serve_region_read(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct region_request *region = (const void *)request->payload;

	return region_read(context, region, packet_append(reply, region->length), detail);
}

static int serve_region_write(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct region_request *region = (const void *)request->payload;

	(void)reply;
	return region_write(context, region, region + 1, detail);
}

static int serve_region_program(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	return program_run(context, (const void *)request->payload, reply, detail);
}

static int serve_region_window(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct device *device = context;
	int fd, r = window_open(device, (const void *)request->payload, &fd, detail);

	if (r == 0)
		fdset_add(&reply->fds, fd);
	return r;
}

/* Hands out a second fd of the device, made by the kernel: this process can neither see nor end its use. */
static int serve_file(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct device *device = context;
	int fd;

	(void)request;
	if (!(device->lease.flags & LEASE_DIRECT))
		return refuse(detail, REFUSAL_DENIED,
			"%s: the VFIO device itself is for rules with access = direct, and this is rule %s; "
			"add \"access = direct\" there, and open the device again",
			device->lease.name, device->lease.rule);
	fd = device->group->kernel->device_get(device->group->fd, device->lease.name);
	if (fd < 0) {
		refuse(detail, REFUSAL_FAILED, "opening %s again: %s", device->lease.name, strerror(-fd));
		return fd;
	}
	fdset_add(&reply->fds, fd);
	if (!device->handed_out)
		log_line(LOG_NOTICE, "%s: its holder has the VFIO device itself, by rule %s", device->lease.name,
			device->lease.rule);
	device->handed_out = true;
	return 0;
}

static int serve_irq_set(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	(void)reply;
	return interrupt_set(context, (const void *)request->payload, &request->fds, detail);
}

static int serve_irq_clear(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	(void)reply;
	return interrupt_clear(context, (const void *)request->payload, detail);
}

static int serve_irq_unmask(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	(void)reply;
	return interrupt_unmask(context, (const void *)request->payload, detail);
}

static int serve_reset(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct device *device = context;
	int r;

	(void)request;
	(void)reply;
	if (!device->resettable)
		return refuse(detail, REFUSAL_UNSUPPORTED, "%s has no reset of its own (function, power state or bus)",
			device->lease.name);
	r = device->group->kernel->device_reset(device->fd);
	if (r < 0)
		refuse(detail, REFUSAL_FAILED, "reset of %s: %s", device->lease.name, strerror(-r));
	return r;
}

/*
 * The reply confirms the close of the device and, after the last device, the group's leaving of the domain. The reply
 * is sent by device_send_closed(), after the broker was told: the client may open the device again right after
 * the reply.
 */
static int serve_release(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	(void)request;
	(void)reply;
	(void)detail;
	device_end(context, ENDED_RELEASED);
	return CHANNEL_LATER;
}

static const channel_handler handlers[DEVICE_TYPE_MAX] = {
	[DEVICE_DESCRIBE] = serve_describe,
	[DEVICE_BIND] = serve_bind,
	[DEVICE_UNBIND] = serve_unbind,
	[DEVICE_REGION_READ] = serve_region_read,
	[DEVICE_REGION_WRITE] = serve_region_write,
	[DEVICE_REGION_PROGRAM] = serve_region_program,
	[DEVICE_REGION_WINDOW] = serve_region_window,
	[DEVICE_IRQ_SET] = serve_irq_set,
	[DEVICE_IRQ_CLEAR] = serve_irq_clear,
	[DEVICE_IRQ_UNMASK] = serve_irq_unmask,
	[DEVICE_RESET] = serve_reset,
	[DEVICE_RELEASE] = serve_release,
	[DEVICE_FILE] = serve_file,
};

static const struct channel_service service = {&device_table, handlers, 0};

bool device_serve(struct device *device, struct channel_buffers *buffers)
{
	struct kept *kept = &device->group->kept;
	int r;

	device->binding_changed = false;
	buffers->request.fds.dispose = foreign_fd_leave;
	r = channel_serve(&device->channel, &service, device, buffers);
	buffers->request.fds.dispose = NULL;

	kept_judge(kept, device->group->kernel, table_takes_fds(&device_table, buffers->request.header.type));
	if (kept->tainted)
		log_line(LOG_WARNING, "%s: its client has sent a descriptor that nobody asked for", device->lease.name);
	if (r != CHANNEL_OPEN && device->life != DEVICE_ENDED)
		device_end(device, r == CHANNEL_BROKEN ? ENDED_BROKEN : ENDED_HANGUP);
	return device->binding_changed && device->life != DEVICE_ENDED;
}

/* ---- the end ---- */

void device_end(struct device *device, enum end_reason why)
{
	uint64_t start = clock_us();
	int r;

	release_set_reason(&device->report, why);
	r = binding_close_device(device);
	device_enter(device, DEVICE_ENDED);
	if (r < 0)
		log_line(LOG_WARNING, "%s: given back in %llu us, but not cleanly: %s", device->lease.name,
			(unsigned long long)(clock_us() - start), strerror(-r));
	else
		log_line(LOG_INFO, "%s: given back in %llu us", device->lease.name,
			(unsigned long long)(clock_us() - start));
	if (device->report.reset == RESET_FAILED)
		log_line(LOG_WARNING, "%s: the reset failed: %s", device->lease.name,
			strerror((int)device->report.steps[RELEASE_RESET].error));
}

/* The text of CLOSED, by enum end_reason; NULL: the text of the revocation order. */
static const struct {
	enum refusal why;
	const char *words;
} closed_texts[] = {
	[ENDED_NONE] = {REFUSAL_NONE, "released"},
	[ENDED_RELEASED] = {REFUSAL_NONE, "released"},
	[ENDED_HANGUP] = {REFUSAL_NONE, "released"},
	[ENDED_BROKEN] = {REFUSAL_MALFORMED,
		"taken back: its client broke the protocol, or sent what nobody asked for"},
	[ENDED_SESSION] = {REFUSAL_REVOKED, "taken back by vfio-brokerd"},
	[ENDED_ADMINISTRATOR] = {REFUSAL_REVOKED, NULL},
	[ENDED_POLICY] = {REFUSAL_REVOKED, NULL},
	[ENDED_TIME] = {REFUSAL_REVOKED, NULL},
	[ENDED_UNPLUG] = {REFUSAL_GONE, "the host took it away (hot-unplug, or vfio-pci was unbound)"},
	[ENDED_ERROR] = {REFUSAL_DEVICE_BAD_STATE,
		"it reported an uncorrectable error, and was taken back; the kernel's log may say more"},
};

void device_send_closed(struct device *device, struct packet *event)
{
	enum end_reason reason = (enum end_reason)device->report.reason;
	struct closed_event *closed;
	int socket;

	assert(device->life == DEVICE_ENDED);
	if (device->channel.fd < 0)
		return;
	if (device->channel.deferred) {
		packet_reply(event, &device->channel.awaiting);
		channel_answer(&device->channel, 0, event, NULL);
	}
	packet_event(event, DEVICE_EVENT_CLOSED);
	closed = packet_append(event, sizeof *closed);
	closed->refusal = (uint32_t)closed_texts[reason].why;
	snprintf(closed->detail, sizeof closed->detail, "%s: %s", device->lease.name,
		closed_texts[reason].words ? closed_texts[reason].words : device->revocation.text);
	channel_notify(&device->channel, event);
	socket = channel_retire(&device->channel);
	if (socket >= 0) {
		log_line(LOG_WARNING, "%s: its client has left descriptors on the channel", device->lease.name);
		kept_taint(&device->group->kept, socket);
	}
}
