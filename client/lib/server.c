/* SPDX-License-Identifier: MIT */
/*
 * The serving end of a domain channel: the owner of an IOMMU domain maps memory on behalf of a driver with nothing but
 * the channel. The cost of a driver is bounded by the channel's budget, before the kernel is asked.
 */
#include "channel.h"
#include "detail.h"
#include "domain.h"
#include "foreign_fd.h"
#include "memfd.h"
#include "vfio-broker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors that are no memory, or that come with a request without memory, are never closed (foreign_fd.h): how
 * many a driver may send. */
#define KEPT_FDS_MAX 16

/* Memory shared by the driver; the handle is the place in the array, plus one. */
struct memory {
	void *address; /* NULL: no such handle */
	uint64_t size;
	bool writable;
	bool forgotten; /* goes with the last mapping */
	bool ours;	/* made here, for ALLOC */
	uint32_t mappings;
};

/* How many ranges the elements of one packet may look at, to unmap and to map low: mappings of other channels, and the
 * room between mappings, twice as many as a domain has room for. */
#define STEPS_MAX (UINT64_C(1) << 18)

struct vbroker_domain_server {
	struct vbroker_domain *domain; /* borrowed */
	struct iova_owner owner;       /* of mappings; a mapping's tag is the handle of the memory */
	struct channel channel;
	struct vbroker_budget left; /* of the budget */
	struct vbroker_budget budget;
	struct memory *memories; /* owned */
	size_t memories_room;
	size_t memories_from; /* no place below is free */
	uint64_t page_rest;   /* the bits of an address within a page */
	uint64_t too_long;    /* for the memlock limit, by the kernel's answer in this packet */
	uint64_t steps;	      /* left of STEPS_MAX in this packet */
	unsigned int kept_fds;
	unsigned int unread; /* descriptors in replies possibly not read by the driver yet */
	struct channel_buffers buffers;
};

/* ---- memories ---- */

static struct memory *memory_of(const struct vbroker_domain_server *server, uint32_t handle)
{
	if (handle == 0 || handle > server->memories_room || !server->memories[handle - 1].address ||
		server->memories[handle - 1].forgotten)
		return NULL;
	return &server->memories[handle - 1];
}

/* A free place, as a handle; 0 without memory. */
static uint32_t memory_place(struct vbroker_domain_server *server)
{
	size_t before = server->memories_room, room = before ? 2 * before : 16;
	struct memory *grown;

	for (; server->memories_from < before; server->memories_from++) {
		if (!server->memories[server->memories_from].address)
			return (uint32_t)server->memories_from + 1;
	}
	grown = reallocarray(server->memories, room, sizeof *grown);
	if (!grown)
		return 0;
	memset(grown + before, 0, (room - before) * sizeof *grown);
	server->memories = grown;
	server->memories_room = room;
	return (uint32_t)before + 1;
}

/* Takes part in the budget. FD stays the caller's. */
static int memory_add(struct vbroker_domain_server *server, int fd, uint32_t *ret_handle)
{
	struct memory memory = {0};
	uint32_t handle;
	int r;

	if (server->left.memories == 0)
		return detail_set(REFUSAL_QUOTA, "the channel's budget has no memory left; FORGET some");
	handle = memory_place(server);
	if (handle == 0)
		return -ENOMEM;
	r = memfd_map(fd, server->budget.bytes, &memory.address, &memory.size, &memory.writable);
	if (r != 0)
		return r;
	server->memories[handle - 1] = memory;
	server->left.memories--;
	*ret_handle = handle;
	return 0;
}

static void memory_remove(struct vbroker_domain_server *server, uint32_t handle)
{
	struct memory *memory = &server->memories[handle - 1];

	/* The pages are this process's, but the driver may keep the descriptor. Pages touched later are the driver's
	 * own. */
	if (memory->ours && madvise(memory->address, memory->size, MADV_REMOVE) < 0) {
		/* The program locks all memory (mlockall()). */
		munlock(memory->address, memory->size);
		madvise(memory->address, memory->size, MADV_REMOVE);
	}
	munmap(memory->address, memory->size);
	*memory = (struct memory){0};
	if (handle - 1 < server->memories_from)
		server->memories_from = handle - 1;
	server->left.memories++;
}

/* ---- mappings ---- */

/* The policy may allow fewer than the budget, and fewer than there are already since another device has come. */
static uint32_t mappings_left(const struct vbroker_domain_server *server)
{
	uint32_t allowed = domain_channel_mappings(server->domain);
	uint32_t mapped = server->budget.mappings - server->left.mappings;
	uint32_t by_policy = allowed > mapped ? allowed - mapped : 0;

	return by_policy < server->left.mappings ? by_policy : server->left.mappings;
}

static int check_mappings(const struct vbroker_domain_server *server)
{
	if (server->left.mappings == 0)
		return detail_set(REFUSAL_QUOTA, "the channel's budget has no mapping left");
	if (mappings_left(server) == 0)
		return detail_set(REFUSAL_QUOTA,
			"the policy allows %" PRIu32
			" mappings by one domain channel for a device of this domain (key mappings)",
			domain_channel_mappings(server->domain));
	return 0;
}

/* domain_map_for() a driver. The detail must not tell the driver where memory is in this process. */
static int map_quietly(struct vbroker_domain_server *server, const struct memory *memory, uint32_t handle,
	const struct map_element *element, uint64_t *ret_iova)
{
	uint64_t iova = element->iova == IOVA_ANY ? 0 : element->iova;
	int r;

	if ((element->offset | element->length | iova) & server->page_rest)
		return detail_set(REFUSAL_IOVA_INVALID,
			"offset %#" PRIx64 ", length %#" PRIx64 " and IOVA %#" PRIx64
			" must be multiples of the page size, %" PRIu64,
			element->offset, element->length, iova, server->page_rest + 1);
	r = domain_map_for(server->domain, (struct iova_use){&server->owner, handle},
		(uint8_t *)memory->address + element->offset, element->length,
		(element->flags & MAP_DEVICE_READ ? VBROKER_DEVICE_READS : 0U) |
			(element->flags & MAP_DEVICE_WRITE ? VBROKER_DEVICE_WRITES : 0U) |
			(element->flags & MAP_ADDRESS_BITS),
		element->iova, &server->steps, ret_iova);
	if (r == -EFAULT)
		return detail_set(r, "the kernel cannot have all of this memory in place; is it short of huge pages?");
	return r;
}

static int map(
	struct vbroker_domain_server *server, const struct map_element *element, uint32_t handle, uint64_t *ret_iova)
{
	struct memory *memory = memory_of(server, handle);
	int r;

	if (!memory)
		return detail_set(REFUSAL_NOT_MEMORY, "this channel has no memory with the handle %" PRIu32, handle);
	if (element->offset > memory->size || memory->size - element->offset < element->length)
		return detail_set(REFUSAL_NOT_MEMORY,
			"%#" PRIx64 " bytes at %#" PRIx64 " are not within the %#" PRIx64 " of the memory",
			element->length, element->offset, memory->size);
	if ((element->flags & MAP_DEVICE_WRITE) && !memory->writable)
		return detail_set(REFUSAL_NOT_MEMORY, "the memory is sealed against writing");
	if (server->left.bytes < element->length)
		return detail_set(REFUSAL_QUOTA, "%" PRIu64 " KiB wanted, %" PRIu64 " KiB left in the channel's budget",
			element->length / 1024, server->left.bytes / 1024);
	/* The kernel pins as many pages as allowed, and unpins all again, before it says no. */
	if (element->length >= server->too_long)
		return detail_set(REFUSAL_MEMLOCK, "refused like an earlier element of this request");
	r = map_quietly(server, memory, handle, element, ret_iova);
	if (r == REFUSAL_MEMLOCK)
		server->too_long = element->length;
	if (r != 0)
		return r;
	memory->mappings++;
	server->left.mappings--;
	server->left.bytes -= element->length;
	return 0;
}

/* A mapping has left the kernel's tables. */
static void ended(struct iova_owner *owner, uint32_t handle, uint64_t length)
{
	struct vbroker_domain_server *server = (void *)((char *)owner - offsetof(struct vbroker_domain_server, owner));
	struct memory *memory = &server->memories[handle - 1];

	server->left.mappings++;
	server->left.bytes += length;
	if (--memory->mappings == 0 && memory->forgotten)
		memory_remove(server, handle);
}

static int owned(struct vbroker_domain_server *server, uint64_t first, uint64_t last, struct vbroker_range *ret_range)
{
	return domain_owned(server->domain, &server->owner, first, last, &server->steps, ret_range);
}

/* Unmaps FROM, the first of this channel's mappings up to LAST, and all the others. */
static void unmap_all(struct vbroker_domain_server *server, struct vbroker_range from, uint64_t last)
{
	uint64_t unlimited = UINT64_MAX;

	/* Each mapping is looked up anew: with the first unmap all of the mappings may turn out to have ended. */
	do
		domain_unmap_for(server->domain, &from);
	while (from.last < last &&
		domain_owned(server->domain, &server->owner, from.last + 1, last, &unlimited, &from) == 0);
}

/* 0: the range is short enough for a search from this channel's first mapping on. */
static int look_through(struct vbroker_domain_server *server, struct vbroker_range from, uint64_t last)
{
	int r = 0;

	while (r == 0 && from.last < last)
		r = owned(server, from.last + 1, last, &from);
	return r == -ENOENT ? 0 : r;
}

static int refuse_unmap(uint64_t first, uint64_t last, int result)
{
	if (result == -E2BIG)
		return detail_set(REFUSAL_QUOTA,
			"too much is mapped in %#" PRIx64 "-%#" PRIx64
			", most of it not by this channel; unmap less at once",
			first, last);
	return detail_set(
		REFUSAL_IOVA_INVALID, "this channel has nothing mapped in %#" PRIx64 "-%#" PRIx64, first, last);
}

/* Unmaps all of this channel's mappings in the range. Refuses to cut a mapping; mappings of other channels are not
 * touched. Only the first and the last mapping can be cut: a look at all of them would let a driver cause work for
 * nothing, again and again. */
static int unmap_range(struct vbroker_domain_server *server, uint64_t first, uint64_t last)
{
	struct vbroker_range begin, end;
	const struct vbroker_range *cut = NULL;
	int r = owned(server, first, last, &begin);

	if (r < 0)
		return refuse_unmap(first, last, r);
	if (begin.first < first || begin.last > last)
		cut = &begin;
	else if (begin.last < last && owned(server, last, last, &end) == 0 && end.last > last)
		cut = &end;
	if (cut)
		return detail_set(REFUSAL_IOVA_INVALID,
			"%#" PRIx64 "-%#" PRIx64 " would cut the mapping %#" PRIx64 "-%#" PRIx64, first, last,
			cut->first, cut->last);
	r = look_through(server, begin, last);
	if (r < 0)
		return refuse_unmap(first, last, r);
	unmap_all(server, begin, last);
	return 0;
}

/* ---- requests ---- */

static uint32_t count_of(const struct packet *request)
{
	return ((const struct array_header *)(const void *)request->payload)->count;
}

static const void *elements_of(const struct packet *request)
{
	return request->payload + sizeof(struct array_header);
}

static uint32_t wire_refusal(int result)
{
	return (uint32_t)(result < 0 ? REFUSAL_FAILED : result);
}

/* A request of one element is refused as a whole, which leaves room for words. */
static int answer(const struct packet *request, int result, struct detail *detail)
{
	if (result == 0 || count_of(request) != 1)
		return 0;
	*detail = *detail_get();
	return result;
}

/* Returns the results, all zero: COUNT of SIZE bytes each. No result is larger than an element of the request, so
 * there is room. */
static void *begin_results(struct packet *reply, uint32_t count, size_t size)
{
	struct array_header *header = packet_append(reply, sizeof *header);

	header->count = count;
	return packet_append(reply, count * size);
}

static int serve_describe(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct vbroker_domain_server *server = context;
	struct vbroker_range *ranges;
	struct domain_reply *describe;
	struct domain_range *range;
	uint64_t page_sizes;
	size_t count;
	int r = vbroker_domain_ranges(server->domain, &ranges, &count, &page_sizes);

	(void)request;
	if (r != 0) {
		*detail = *detail_get();
		return r;
	}
	describe = packet_append(reply, sizeof *describe);
	*describe = (struct domain_reply){
		.page_sizes = page_sizes,
		.bytes_left = server->left.bytes,
		.mappings_left = mappings_left(server),
		.memories_left = server->left.memories,
	};
	for (size_t i = 0; i < count && (range = packet_append(reply, sizeof *range)); i++) {
		*range = (struct domain_range){ranges[i].first, ranges[i].last};
		describe->count++;
	}
	free(ranges);
	return 0;
}

static int map_element(struct vbroker_domain_server *server, const struct map_element *element, struct fdset *fds,
	size_t *next_fd, struct map_result *result)
{
	bool new = element->flags &MAP_NEW_MEMORY;
	size_t i = new ? (*next_fd)++ : 0;
	uint32_t handle = element->handle;
	int r = check_mappings(server);

	if (r == 0 && new)
		r = memory_add(server, fds->fds[i], &handle);
	if (r != 0)
		return r;
	/* The mapping keeps the memfd. */
	if (new)
		close(fdset_take(fds, i));
	r = map(server, element, handle, &result->iova);
	if (r != 0 && new)
		memory_remove(server, handle);
	if (r == 0)
		result->handle = handle;
	return r;
}

static int serve_map(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct map_element *elements = elements_of(request);
	size_t next_fd = 0;
	struct map_result *results = begin_results(reply, count_of(request), sizeof *results);
	int r = 0;

	for (uint32_t i = 0; i < count_of(request); i++) {
		detail_clear();
		r = map_element(context, &elements[i], &request->fds, &next_fd, &results[i]);
		results[i].refusal = wire_refusal(r);
	}
	return answer(request, r, detail);
}

static int serve_unmap(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct unmap_element *elements = elements_of(request);
	struct element_result *results = begin_results(reply, count_of(request), sizeof *results);
	int r = 0;

	for (uint32_t i = 0; i < count_of(request); i++) {
		detail_clear();
		r = unmap_range(context, elements[i].iova, elements[i].iova + (elements[i].length - 1));
		results[i].refusal = wire_refusal(r);
	}
	return answer(request, r, detail);
}

static int forget(struct vbroker_domain_server *server, uint32_t handle)
{
	struct memory *memory = memory_of(server, handle);

	if (!memory)
		return detail_set(REFUSAL_NOT_MEMORY, "this channel has no memory with the handle %" PRIu32, handle);
	memory->forgotten = true;
	if (memory->mappings == 0)
		memory_remove(server, handle);
	return 0;
}

static int serve_forget(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct forget_element *elements = elements_of(request);
	struct element_result *results = begin_results(reply, count_of(request), sizeof *results);
	int r = 0;

	for (uint32_t i = 0; i < count_of(request); i++) {
		detail_clear();
		r = forget(context, elements[i].handle);
		results[i].refusal = wire_refusal(r);
	}
	return answer(request, r, detail);
}

/*
 * Descriptors in unread packets count against RLIMIT_NOFILE of this process's user, not of the driver's (unix(7),
 * ETOOMANYREFS). If a driver let descriptors pile up, no process of this user could pass any. Unread bytes say that
 * there may be some.
 */
static int check_unread(struct vbroker_domain_server *server)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof info;

	if (server->unread < FDSET_MAX)
		return 0;
	if (getsockopt(server->channel.fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0)
		return -errno;
	if (info[SK_MEMINFO_WMEM_ALLOC] > 0)
		return detail_set(REFUSAL_QUOTA, "%u descriptors are on their way already; read the replies first",
			server->unread);
	server->unread = 0;
	return 0;
}

/* Memory made, mapped, and handed over in one go. */
static int alloc_element(struct vbroker_domain_server *server, const struct alloc_element *element,
	struct map_result *result, struct fdset *fds)
{
	struct map_element as_map = {
		.flags = element->flags & ~MAP_HUGE_PAGES, .length = element->length, .iova = IOVA_ANY};
	OWNED_FD fd = -1;
	uint64_t size;
	int r;

	r = check_unread(server);
	if (r == 0)
		r = check_mappings(server);
	if (r != 0)
		return r;
	/* Checked before the kernel is asked for anything: no memory is made beyond the budget. */
	if (server->left.bytes < element->length)
		return detail_set(REFUSAL_QUOTA, "%" PRIu64 " KiB wanted, %" PRIu64 " KiB left in the channel's budget",
			element->length / 1024, server->left.bytes / 1024);
	fd = memfd_make(element->length, element->flags & MAP_HUGE_PAGES ? server->left.bytes : 0, &size);
	if (fd < 0)
		return fd;
	as_map.length = size;
	r = memory_add(server, fd, &as_map.handle);
	if (r != 0)
		return r;
	server->memories[as_map.handle - 1].ours = true;
	r = map(server, &as_map, as_map.handle, &result->iova);
	if (r != 0) {
		memory_remove(server, as_map.handle);
		return r;
	}
	result->handle = as_map.handle;
	server->unread++;
	/* There is room: a packet has at most FDSET_MAX elements. */
	return fdset_add(fds, fd_take(&fd));
}

static int serve_alloc(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct alloc_element *elements = elements_of(request);
	struct map_result *results = begin_results(reply, count_of(request), sizeof *results);
	int r = 0;

	for (uint32_t i = 0; i < count_of(request); i++) {
		detail_clear();
		r = alloc_element(context, &elements[i], &results[i], &reply->fds);
		results[i].refusal = wire_refusal(r);
	}
	return answer(request, r, detail);
}

static const channel_handler handlers[DOMAIN_TYPE_MAX] = {
	[DOMAIN_DESCRIBE] = serve_describe,
	[DOMAIN_MAP] = serve_map,
	[DOMAIN_UNMAP] = serve_unmap,
	[DOMAIN_FORGET] = serve_forget,
	[DOMAIN_ALLOC] = serve_alloc,
};

static const struct channel_service service = {&domain_table, handlers, 0};

/* ---- making, serving, closing ---- */

int vbroker_domain_serve(struct vbroker_domain *domain, const struct vbroker_budget *budget,
	struct vbroker_domain_server **ret_server, int *ret_channel)
{
	struct vbroker_domain_server *server;
	int ends[2];

	detail_clear();
	if (domain_remote(domain))
		return detail_set(
			REFUSAL_UNSUPPORTED, "this domain is behind a channel itself: ask its owner for one more");
	server = calloc(1, sizeof *server);
	if (!server)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		free(server);
		return -errno;
	}
	server->domain = domain;
	server->left = *budget;
	server->budget = *budget;
	server->page_rest = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	server->owner.ended = ended;
	channel_init(&server->channel, ends[0]);
	packet_init(&server->buffers.request);
	packet_init(&server->buffers.reply);
	*ret_server = server;
	*ret_channel = ends[1];
	return 0;
}

int vbroker_domain_server_fd(const struct vbroker_domain_server *server)
{
	return server->channel.fd;
}

short vbroker_domain_server_events(const struct vbroker_domain_server *server)
{
	return channel_events(&server->channel);
}

static void keep(struct vbroker_domain_server *server, int fd)
{
	foreign_fd_keep(fd);
	server->kept_fds++;
}

/* A driver's descriptor must not be able to stall this process, not even by close(). */
static void judge_left(struct vbroker_domain_server *server)
{
	bool wanted = table_takes_fds(&domain_table, server->buffers.request.header.type);
	int left[FDSET_MAX];
	size_t count = foreign_fd_left(left);

	for (size_t i = 0; i < count; i++) {
		if (wanted && memfd_check(left[i]))
			close(left[i]);
		else
			keep(server, left[i]);
	}
}

int vbroker_domain_server_dispatch(struct vbroker_domain_server *server)
{
	int r;

	detail_clear();
	server->buffers.request.fds.dispose = foreign_fd_leave;
	server->too_long = UINT64_MAX;
	server->steps = STEPS_MAX;
	r = channel_serve(&server->channel, &service, server, &server->buffers);
	server->buffers.request.fds.dispose = NULL;
	judge_left(server);
	if (r == CHANNEL_OPEN && server->kept_fds > KEPT_FDS_MAX)
		return detail_set(
			-EPROTO, "the driver has sent %u descriptors that nobody asked for", server->kept_fds);
	switch (r) {
	case CHANNEL_OPEN:
		return 0;
	case CHANNEL_ENDED:
		return detail_set(-EPIPE, "the driver has closed its domain channel");
	case CHANNEL_BROKEN:
		return detail_set(-EPROTO, "the driver has sent something that is not a packet of the protocol");
	default:
		return detail_set(r, "serving a domain channel");
	}
}

void vbroker_domain_server_close(struct vbroker_domain_server *server)
{
	struct vbroker_range first;
	uint64_t unlimited = UINT64_MAX;
	int socket;

	if (!server)
		return;
	if (domain_owned(server->domain, &server->owner, 0, UINT64_MAX, &unlimited, &first) == 0)
		unmap_all(server, first, UINT64_MAX);
	for (size_t i = 0; i < server->memories_room; i++) {
		if (server->memories[i].address)
			memory_remove(server, (uint32_t)i + 1);
	}
	free(server->memories);
	socket = channel_retire(&server->channel);
	if (socket >= 0)
		foreign_fd_keep(socket);
	packet_clear(&server->buffers.request);
	packet_clear(&server->buffers.reply);
	free(server);
}
