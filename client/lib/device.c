/* SPDX-License-Identifier: MIT */
#include "device.h"

#include "detail.h"
#include "domain.h"
#include "session.h"
#include "text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct requester_reply nothing = {0};

/* ---- making a device object ---- */

int device_greet(struct requester *channel)
{
	enum channel_kind kind;
	int r;

	r = requester_hello(channel, &kind);
	if (r == -EPROTO)
		return detail_set(REFUSAL_NOT_A_DEVICE,
			"file descriptor %d is a socket, but the other end does not speak the protocol", channel->fd);
	/* A channel that the broker has just given is a keeper's. */
	if (r == -ETIME && !channel->device[0])
		return detail_set(REFUSAL_NOT_A_DEVICE,
			"file descriptor %d is a socket, but nobody answers HELLO on it: "
			"it is no device channel, or the keeper of the device is stopped or hangs",
			channel->fd);
	if (r != 0)
		return r;
	if (kind != CHANNEL_DEVICE)
		return detail_set(REFUSAL_NOT_A_DEVICE, "file descriptor %d is %s", channel->fd,
			kind == CHANNEL_BROKER ? "a session with the broker" : "a channel of another kind");
	return 0;
}

/* FD is taken on success and stays the caller's on failure. NAME: the device's; empty: not known. */
static int device_new(int fd, const char *name, struct vbroker_device **ret_device)
{
	struct vbroker_device *device = malloc(sizeof *device);
	int r;

	if (!device)
		return -ENOMEM;
	requester_init(&device->channel, fd, &device_table);
	requester_name(&device->channel, name);
	device->domain = NULL;
	device->own_session = NULL;
	device->own_domain = NULL;
	r = device_greet(&device->channel);
	if (r != 0) {
		requester_clear(&device->channel);
		free(device);
		return r;
	}
	*ret_device = device;
	return 0;
}

int vbroker_device_adopt(int fd, struct vbroker_device **ret_device)
{
	detail_clear();
	if (!requester_is_channel(fd))
		return detail_set(
			REFUSAL_NOT_A_DEVICE, "file descriptor %d is not a connected SOCK_SEQPACKET socket", fd);
	return device_new(fd, "", ret_device);
}

int vbroker_device_open(struct vbroker_session *session, const char *name, struct vbroker_device **ret_device)
{
	OWNED_FD channel = -1;
	int r;

	detail_clear();
	r = session_lease(session, name, &channel);
	if (r != 0)
		return r;
	r = device_new(channel, name, ret_device);
	if (r == 0)
		fd_take(&channel);
	return r;
}

void device_take_domain(struct vbroker_device *device, struct vbroker_domain *domain)
{
	device->domain = domain;
	device->own_domain = domain;
}

int vbroker_open(const char *name, struct vbroker_device **ret_device)
{
	struct vbroker_session *session;
	struct vbroker_device *device;
	int r;

	r = vbroker_session_open(NULL, &session);
	if (r != 0)
		return r;
	r = vbroker_device_open(session, name, &device);
	if (r != 0) {
		vbroker_session_close(session);
		return r;
	}
	device->own_session = session;
	r = vbroker_domain_open(&device->own_domain);
	if (r == 0)
		r = vbroker_device_bind(device, device->own_domain);
	if (r != 0) {
		struct detail why = *detail_get();

		vbroker_device_close(device);
		return detail_set(r, "%s", why.text);
	}
	*ret_device = device;
	return 0;
}

/*
 * The order matters. RELEASE is first, because the reply says that the device is closed and the group has left the
 * domain. Only then does closing the domain end the mappings, and only then is closing the session no race with the
 * keeper.
 */
void vbroker_device_close(struct vbroker_device *device)
{
	if (!device)
		return;
	detail_clear();
	requester_begin(&device->channel, DEVICE_RELEASE, 0);
	/* A broken channel has released the device already, or will release the device when the channel is closed
	 * below. */
	(void)requester_call(&device->channel, &nothing);
	close(device->channel.fd);
	requester_clear(&device->channel);
	vbroker_domain_close(device->own_domain);
	vbroker_session_close(device->own_session);
	free(device);
	detail_clear();
}

/* ---- requests about the whole device ---- */

int vbroker_device_fd(const struct vbroker_device *device)
{
	return device->channel.fd;
}

struct vbroker_domain *vbroker_device_domain(const struct vbroker_device *device)
{
	return device->domain;
}

int vbroker_device_ping(struct vbroker_device *device)
{
	detail_clear();
	return requester_ping(&device->channel);
}

int vbroker_device_notice(struct vbroker_device *device, struct vbroker_notice *ret_notice)
{
	const struct pending_event *notice = &device->channel.notice;
	int r;

	detail_clear();
	r = requester_events(&device->channel);
	if (r != 0 && r != REFUSAL_REVOKED)
		return r;
	if (r == 0 && notice->reason == ENDED_NONE)
		return 0;
	memset(ret_notice, 0, sizeof *ret_notice);
	ret_notice->reason = (enum vbroker_end_reason)notice->reason;
	if (r != 0) {
		snprintf(ret_notice->detail, sizeof ret_notice->detail, "%s", detail_get()->text);
		return r;
	}
	ret_notice->left_us = requester_notice_left_us(&device->channel);
	text_copy(ret_notice->detail, sizeof ret_notice->detail, notice->detail, sizeof notice->detail);
	return detail_set(REFUSAL_REVOKED, "%s", ret_notice->detail);
}

int vbroker_device_vfio_fd(struct vbroker_device *device, int *ret_fd)
{
	static const struct requester_reply expected = {.fds = 1};
	int r;

	detail_clear();
	requester_begin(&device->channel, DEVICE_FILE, 0);
	r = requester_call(&device->channel, &expected);
	if (r == 0)
		*ret_fd = fdset_take(&device->channel.packet.fds, 0);
	return r;
}

int vbroker_device_reset(struct vbroker_device *device)
{
	detail_clear();
	requester_begin(&device->channel, DEVICE_RESET, 0);
	return requester_call(&device->channel, &nothing);
}

static void read_regions(struct vbroker_device_info *info, const struct region_record *records, uint32_t count)
{
	info->regions_count = count;
	for (uint32_t i = 0; i < count; i++)
		info->regions[i] = (struct vbroker_region){records[i].index, records[i].flags, records[i].size};
}

static void read_irqs(struct vbroker_device_info *info, const struct irq_record *records, uint32_t count)
{
	info->irqs_count = count;
	for (uint32_t i = 0; i < count; i++)
		info->irqs[i] = (struct vbroker_irq){records[i].index, records[i].flags, records[i].count};
}

int vbroker_device_describe(struct vbroker_device *device, struct vbroker_device_info *ret_info)
{
	/* Both kinds of records follow, so the total length is checked here. */
	static const struct requester_reply expected = {.size = sizeof(struct describe_reply), .element_size = 1};
	const struct describe_reply *reply;
	const struct region_record *regions;
	const struct irq_record *irqs;
	int r;

	detail_clear();
	requester_begin(&device->channel, DEVICE_DESCRIBE, 0);
	r = requester_call(&device->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&device->channel.packet, sizeof *reply);
	if (reply->regions > VBROKER_REGIONS_MAX || reply->irqs > VBROKER_IRQS_MAX ||
		device->channel.packet.header.length !=
			sizeof *reply + reply->regions * sizeof *regions + reply->irqs * sizeof *irqs)
		return detail_set(-EPROTO, "%u regions and %u interrupts in a reply of another length", reply->regions,
			reply->irqs);
	regions = (const void *)(reply + 1);
	irqs = (const void *)(regions + reply->regions);
	memset(ret_info, 0, sizeof *ret_info);
	text_copy(ret_info->name, sizeof ret_info->name, reply->name, sizeof reply->name);
	requester_name(&device->channel, ret_info->name);
	ret_info->group = reply->group;
	ret_info->vendor = reply->vendor;
	ret_info->device = reply->device;
	ret_info->class_code = reply->class;
	ret_info->bound = !!(reply->flags & DESCRIBE_BOUND);
	ret_info->can_reset = !!(reply->flags & DESCRIBE_RESET);
	read_regions(ret_info, regions, reply->regions);
	read_irqs(ret_info, irqs, reply->irqs);
	return 0;
}

/* ---- binding; vbroker_bind_fds() for bare file descriptors is in binding.c ---- */

int device_send_bind(struct requester *channel, int domain)
{
	static const struct requester_reply expected = {.size = sizeof(struct bind_reply)};
	int r;

	requester_begin(channel, DEVICE_BIND, sizeof(struct bind_request));
	r = requester_attach(channel, domain);
	return r != 0 ? r : requester_call(channel, &expected);
}

int vbroker_device_bind(struct vbroker_device *device, struct vbroker_domain *domain)
{
	const struct bind_reply *reply;
	int r;

	detail_clear();
	domain_before_bind(domain);
	r = device_send_bind(&device->channel, vbroker_domain_fd(domain));
	if (r != 0)
		return r;
	reply = packet_body(&device->channel.packet, sizeof *reply);
	domain_after_bind(domain, reply->mappings);
	device->domain = domain;
	return 0;
}

int vbroker_device_unbind(struct vbroker_device *device)
{
	int r;

	detail_clear();
	requester_begin(&device->channel, DEVICE_UNBIND, 0);
	r = requester_call(&device->channel, &nothing);
	if (r == 0)
		device->domain = NULL;
	return r;
}
