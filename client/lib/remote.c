/* SPDX-License-Identifier: MIT */
#include "remote.h"

#include "detail.h"
#include "requester.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct remote {
	struct requester channel; /* owns the fd */
};

int remote_open(int fd, struct remote **ret_remote)
{
	struct remote *remote;
	enum channel_kind kind;
	int r;

	if (!requester_is_channel(fd))
		return detail_set(
			REFUSAL_NOT_A_DOMAIN, "file descriptor %d is not a connected SOCK_SEQPACKET socket", fd);
	remote = malloc(sizeof *remote);
	if (!remote)
		return -ENOMEM;
	requester_init(&remote->channel, fd, &domain_table);
	r = requester_hello(&remote->channel, &kind);
	if (r == 0 && kind != CHANNEL_DOMAIN)
		r = detail_set(REFUSAL_NOT_A_DOMAIN, "file descriptor %d is a channel, but not a domain's", fd);
	else if (r < 0)
		r = detail_set(REFUSAL_NOT_A_DOMAIN,
			"file descriptor %d is a socket, but no domain channel answers on it", fd);
	if (r != 0) {
		requester_clear(&remote->channel);
		free(remote);
		return r;
	}
	*ret_remote = remote;
	return 0;
}

void remote_close(struct remote *remote)
{
	if (!remote)
		return;
	requester_clear(&remote->channel);
	close(remote->channel.fd);
	free(remote);
}

int remote_fd(const struct remote *remote)
{
	return remote->channel.fd;
}

int remote_ranges(struct remote *remote, struct vbroker_range **ret_ranges, size_t *ret_count, uint64_t *ret_page_sizes)
{
	static const struct requester_reply expected = {
		.size = sizeof(struct domain_reply), .element_size = sizeof(struct domain_range)};
	const struct domain_reply *reply;
	const struct domain_range *records;
	struct vbroker_range *ranges;
	int r;

	requester_begin(&remote->channel, DOMAIN_DESCRIBE, 0);
	r = requester_call(&remote->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&remote->channel.packet, sizeof *reply);
	records = (const void *)(reply + 1);
	if ((remote->channel.packet.header.length - sizeof *reply) / sizeof *records != reply->count)
		return detail_set(-EPROTO, "%u ranges in a reply of another length", reply->count);
	ranges = calloc(reply->count + 1U, sizeof *ranges);
	if (!ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < reply->count; i++)
		ranges[i] = (struct vbroker_range){records[i].first, records[i].last};
	*ret_ranges = ranges;
	*ret_count = reply->count;
	*ret_page_sizes = reply->page_sizes;
	return 0;
}

/* Starts a request of one element, and returns the element. */
static void *begin_one(struct remote *remote, uint16_t type, size_t size)
{
	struct array_header *header = requester_begin(&remote->channel, type, sizeof *header + size);

	header->count = 1;
	return header + 1;
}

/* The result of a reply with one element. If the only element is refused, the request is. */
static int call_one(struct remote *remote, size_t size, unsigned int fds, const void **ret_result)
{
	const struct requester_reply expected = {.size = sizeof(struct array_header) + size, .fds = fds};
	const struct array_header *header;
	int r = requester_call(&remote->channel, &expected);

	if (r != 0)
		return r;
	header = packet_body(&remote->channel.packet, sizeof *header);
	if (header->count != 1 || *(const uint32_t *)(const void *)(header + 1) != REFUSAL_NONE) {
		fdset_clear(&remote->channel.packet.fds);
		return detail_set(-EPROTO, "a reply of the wrong form to a request of one element");
	}
	*ret_result = header + 1;
	return 0;
}

int remote_map(struct remote *remote, int fd, uint32_t handle, uint64_t offset, uint64_t length, unsigned int access,
	uint64_t iova, uint32_t *ret_handle, uint64_t *ret_iova)
{
	struct map_element *element = begin_one(remote, DOMAIN_MAP, sizeof *element);
	const struct map_result *result;
	const void *body;
	int r = 0;

	*element = (struct map_element){
		access | (fd >= 0 ? MAP_NEW_MEMORY : 0U), fd >= 0 ? 0 : handle, offset, length, iova};
	if (fd >= 0)
		r = requester_attach_borrowed(&remote->channel, fd);
	if (r == 0)
		r = call_one(remote, sizeof *result, 0, &body);
	if (r != 0)
		return r;
	result = body;
	if (ret_handle)
		*ret_handle = result->handle;
	*ret_iova = result->iova;
	return 0;
}

int remote_unmap(struct remote *remote, uint64_t iova, uint64_t length)
{
	struct unmap_element *element = begin_one(remote, DOMAIN_UNMAP, sizeof *element);
	const void *body;

	*element = (struct unmap_element){iova, length};
	return call_one(remote, sizeof(struct element_result), 0, &body);
}

int remote_forget(struct remote *remote, uint32_t handle)
{
	struct forget_element *element = begin_one(remote, DOMAIN_FORGET, sizeof *element);
	const void *body;

	*element = (struct forget_element){handle, 0};
	return call_one(remote, sizeof(struct element_result), 0, &body);
}

int remote_alloc(struct remote *remote, uint64_t length, unsigned int access, bool huge, int *ret_fd,
	uint32_t *ret_handle, uint64_t *ret_iova)
{
	struct alloc_element *element = begin_one(remote, DOMAIN_ALLOC, sizeof *element);
	const struct map_result *result;
	const void *body;
	int r;

	*element = (struct alloc_element){access | (huge ? MAP_HUGE_PAGES : 0U), 0, length};
	r = call_one(remote, sizeof *result, 1, &body);
	if (r != 0)
		return r;
	result = body;
	*ret_fd = fdset_take(&remote->channel.packet.fds, 0);
	*ret_handle = result->handle;
	*ret_iova = result->iova;
	return 0;
}
