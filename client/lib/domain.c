/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include "detail.h"
#include "fdset.h"
#include "iova.h"
#include "memlock.h"
#include "message.h"
#include "remote.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * The kernel decides what is mapped. Other processes may hold the domain too, and a domain loses all mappings with the
 * last device, without notice. The record in `space` follows the kernel; the record serves to choose IOVAs and to say
 * in words why the kernel refused.
 */
struct vbroker_domain {
	struct remote
		*remote; /* owned; NULL: this process has the domain itself, and all the fields below are in use */
	struct memory_list memories;
	const struct domain_kernel *kernel;
	int fd;			      /* owned */
	bool fresh;		      /* the fields below are the kernel's answer after the last BIND */
	struct iova_space *space;     /* owned; NULL: no device is bound, as far as we know */
	struct vbroker_range *ranges; /* owned; the usable IOVAs */
	size_t ranges_count;
	uint64_t page_sizes;
	uint64_t granule;	   /* the smallest page size */
	uint32_t channel_mappings; /* domain_channel_mappings() */
};

/* drivers/vfio/vfio_iommu_type1.c: dma_entry_limit, U16_MAX unless the administrator changed the parameter */
#define MAPPINGS_MAX 65535

/* VFIO_IOMMU_GET_INFO says how much room the answer needs. The need can grow between two calls, but not for ever, and
 * not without bound: a megabyte is 65,000 ranges. */
#define INFO_TRIES    4
#define INFO_SIZE_MAX (1U << 20)

/* include/uapi/linux/major.h MISC_MAJOR; include/linux/miscdevice.h VFIO_MINOR */
#define DOMAIN_MAJOR 10
#define DOMAIN_MINOR 196

/* ---- opening and closing ---- */

int domain_open_on(const struct domain_kernel *kernel, struct vbroker_domain **ret_domain)
{
	struct vbroker_domain *domain = calloc(1, sizeof *domain);
	int fd;

	if (!domain)
		return -ENOMEM;
	fd = kernel->open();
	if (fd < 0) {
		free(domain);
		return detail_set(fd, "opening /dev/vfio/vfio; is the kernel's vfio module there?");
	}
	domain->kernel = kernel;
	domain->fd = fd;
	domain->channel_mappings = MAPPINGS_UNLIMITED;
	LIST_INIT(&domain->memories);
	*ret_domain = domain;
	return 0;
}

int vbroker_domain_adopt(int fd, struct vbroker_domain **ret_domain)
{
	struct vbroker_domain *domain = calloc(1, sizeof *domain);
	int r;

	detail_clear();
	if (!domain)
		return -ENOMEM;
	domain->fd = -1;
	LIST_INIT(&domain->memories);
	r = remote_open(fd, &domain->remote);
	if (r != 0) {
		free(domain);
		return r;
	}
	*ret_domain = domain;
	return 0;
}

struct remote *domain_remote(const struct vbroker_domain *domain)
{
	return domain->remote;
}

struct memory_list *domain_memories(struct vbroker_domain *domain)
{
	return &domain->memories;
}

int vbroker_domain_open(struct vbroker_domain **ret_domain)
{
	detail_clear();
	return domain_open_on(&domain_type1, ret_domain);
}

/* Why the file at PATH cannot be opened, as far as ERROR tells. */
static const char *cause_of(int error)
{
	if (error == ENOENT)
		return "the kernel's module vfio is not loaded, or the unit of this process hides the file";
	if (error == EACCES)
		return "its mode and owner do not let this user";
	if (error == EPERM)
		return "the unit of this process may not open it (DevicePolicy=, DeviceAllow=)";
	return "the kernel says no more";
}

int vbroker_domain_obstacle(const char *path, struct vbroker_obstacle *ret_obstacle)
{
	const char *file = path ? path : "/dev/vfio/vfio";
	int fd = open(file, O_RDWR | O_CLOEXEC | O_NONBLOCK), error = errno;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	ret_obstacle->refusal = VBROKER_NO_DOMAIN_FILE;
	snprintf(ret_obstacle->detail, sizeof ret_obstacle->detail, "%.100s, opened by uid %u: %s: %s", file, geteuid(),
		strerror(error), cause_of(error));
	return VBROKER_NO_DOMAIN_FILE;
}

static void forget(struct vbroker_domain *domain)
{
	if (domain->space)
		iova_space_evict(domain->space, 0, UINT64_MAX);
	iova_space_free(domain->space);
	free(domain->ranges);
	domain->space = NULL;
	domain->ranges = NULL;
	domain->ranges_count = 0;
	domain->fresh = false;
	domain->channel_mappings = MAPPINGS_UNLIMITED;
}

void vbroker_domain_close(struct vbroker_domain *domain)
{
	struct vbroker_memory *memory;

	if (!domain)
		return;
	/* Memory must not outlive the domain: vbroker_memory_free() would use a freed domain. */
	while ((memory = LIST_FIRST(&domain->memories)))
		vbroker_memory_free(memory);
	forget(domain);
	remote_close(domain->remote);
	if (domain->fd >= 0)
		close(domain->fd);
	free(domain);
}

int vbroker_domain_fd(const struct vbroker_domain *domain)
{
	return domain->remote ? remote_fd(domain->remote) : domain->fd;
}

bool domain_is_domain(int fd)
{
	struct statx s;

	/* With AT_STATX_DONT_SYNC no FUSE server is asked, so none can keep us waiting. A FUSE server could have
	 * claimed these numbers earlier; the keeper, the process that acts on the numbers, looks again. */
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &s) == 0 && S_ISCHR(s.stx_mode) &&
		s.stx_rdev_major == DOMAIN_MAJOR && s.stx_rdev_minor == DOMAIN_MINOR;
}

/* ---- the kernel's answer about the domain ---- */

/* *RET_INFO is the caller's to free. Returns 0, -ENOMEM, or the kernel's errno. */
static int info_read(const struct vbroker_domain *domain, struct vfio_iommu_type1_info **ret_info)
{
	size_t size = 4096;

	for (int i = 0; i < INFO_TRIES && size <= INFO_SIZE_MAX; i++) {
		struct vfio_iommu_type1_info *info = calloc(1, size);
		int r;

		if (!info)
			return -ENOMEM;
		info->argsz = (uint32_t)size;
		r = domain->kernel->info(domain->fd, info);
		if (r == 0 && info->argsz <= size) {
			*ret_info = info;
			return 0;
		}
		size = info->argsz;
		free(info);
		if (r < 0)
			return r;
	}
	return -EOVERFLOW;
}

/* Copies SIZE bytes at OFFSET of INFO: kernels before 6.6 do not align capabilities, so none is read in place. */
static bool info_copy(const struct vfio_iommu_type1_info *info, size_t offset, void *to, size_t size)
{
	if (offset > info->argsz || info->argsz - offset < size)
		return false;
	memcpy(to, (const char *)info + offset, size);
	return true;
}

/* Where the capability with ID begins in INFO, or 0. Offsets come from the kernel; the search ends even if the offsets
 * form a loop. */
static size_t info_capability(const struct vfio_iommu_type1_info *info, uint16_t id)
{
	uint32_t offset = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;

	for (int i = 0; i < 64 && offset >= sizeof *info; i++) {
		struct vfio_info_cap_header header;

		if (!info_copy(info, offset, &header, sizeof header))
			return 0;
		if (header.id == id)
			return offset;
		offset = header.next;
	}
	return 0;
}

/* Copies the usable ranges, cut to whole granules. */
static int ranges_read(const struct vfio_iommu_type1_info *info, uint64_t granule, struct vbroker_range **ret_ranges,
	size_t *ret_count)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;
	struct vfio_iova_range usable;
	struct vbroker_range *ranges;
	size_t at = info_capability(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE), count = 0;

	if (at == 0 || !info_copy(info, at, &cap, sizeof cap))
		return detail_set(REFUSAL_UNSUPPORTED, "this kernel does not say which IOVAs are usable");
	at += sizeof cap;
	if (cap.nr_iovas > (info->argsz - at) / sizeof usable)
		return -EOVERFLOW;
	ranges = calloc(cap.nr_iovas + 1U, sizeof *ranges);
	if (!ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < cap.nr_iovas && info_copy(info, at + i * sizeof usable, &usable, sizeof usable); i++) {
		uint64_t first = (usable.start + granule - 1) & ~(granule - 1);
		uint64_t last = ((usable.end + 1) & ~(granule - 1)) - 1;

		if (first >= usable.start && first < last)
			ranges[count++] = (struct vbroker_range){first, last};
	}
	*ret_ranges = ranges;
	*ret_count = count;
	return 0;
}

/* Takes RANGES on success. Mappings stay known. */
static int adopt_ranges(struct vbroker_domain *domain, struct vbroker_range *ranges, size_t count, uint64_t granule)
{
	struct iova_space *space;
	int r;

	if (domain->space && count == domain->ranges_count && granule == domain->granule &&
		memcmp(ranges, domain->ranges, count * sizeof *ranges) == 0) {
		free(ranges);
		return 0;
	}
	r = iova_space_new(ranges, count, granule, domain->space, &space);
	if (r < 0)
		return r;
	iova_space_free(domain->space);
	free(domain->ranges);
	domain->space = space;
	domain->ranges = ranges;
	domain->ranges_count = count;
	domain->granule = granule;
	return 0;
}

/* Asks the kernel anew. NOT_BOUND: there is no device in the domain, hence no mapping either. */
static int learn(struct vbroker_domain *domain)
{
	struct vfio_iommu_type1_info *info;
	struct vbroker_range *ranges;
	uint64_t page_sizes, granule;
	size_t count;
	int r;

	r = info_read(domain, &info);
	if (r == -EINVAL) {
		forget(domain);
		return detail_set(REFUSAL_NOT_BOUND, "no device is bound to this domain");
	}
	if (r < 0)
		return detail_set(r, "asking the kernel about the domain (VFIO_IOMMU_GET_INFO)");
	page_sizes = info->flags & VFIO_IOMMU_INFO_PGSIZES ? info->iova_pgsizes : 0;
	if (page_sizes == 0)
		page_sizes = (uint64_t)sysconf(_SC_PAGESIZE);
	granule = page_sizes & -page_sizes;
	r = ranges_read(info, granule, &ranges, &count);
	free(info);
	if (r != 0)
		return r;
	r = adopt_ranges(domain, ranges, count, granule);
	if (r < 0) {
		free(ranges);
		return r;
	}
	domain->page_sizes = page_sizes;
	domain->fresh = true;
	return 0;
}

static int known(struct vbroker_domain *domain)
{
	return domain->fresh ? 0 : learn(domain);
}

void domain_before_bind(struct vbroker_domain *domain)
{
	if (domain->remote)
		return;
	(void)learn(domain);
	detail_clear();
}

void domain_after_bind(struct vbroker_domain *domain, uint32_t channel_mappings)
{
	domain->fresh = false;
	if (channel_mappings < domain->channel_mappings)
		domain->channel_mappings = channel_mappings;
}

uint32_t domain_channel_mappings(const struct vbroker_domain *domain)
{
	return domain->channel_mappings;
}

int vbroker_domain_ranges(
	struct vbroker_domain *domain, struct vbroker_range **ret_ranges, size_t *ret_count, uint64_t *ret_page_sizes)
{
	struct vbroker_range *copy;
	int r;

	detail_clear();
	if (domain->remote)
		return remote_ranges(domain->remote, ret_ranges, ret_count, ret_page_sizes);
	r = learn(domain);
	if (r != 0)
		return r;
	copy = calloc(domain->ranges_count + 1, sizeof *copy);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, domain->ranges, domain->ranges_count * sizeof *copy);
	*ret_ranges = copy;
	*ret_count = domain->ranges_count;
	*ret_page_sizes = domain->page_sizes;
	return 0;
}

/* ---- refusals in words ---- */

static int refuse_range(const struct vbroker_domain *domain, uint64_t first, uint64_t last)
{
	char text[160] = "";
	size_t used = 0;

	for (size_t i = 0; i < domain->ranges_count && used < sizeof text; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, " %#" PRIx64 "-%#" PRIx64,
			domain->ranges[i].first, domain->ranges[i].last);
	return detail_set(REFUSAL_IOVA_INVALID, "%#" PRIx64 "-%#" PRIx64 " is not within one of the usable ranges%s",
		first, last, text);
}

static int refuse_memlock(const struct vbroker_domain *domain, uint64_t need)
{
	struct memlock memlock;
	uint64_t locked;
	size_t count;

	memlock_read(&memlock);
	locked = memlock.locked;
	/* Without /proc, the bytes mapped in this domain are the least that can be locked. */
	if (!memlock.known)
		iova_space_sum(domain->space, &count, &locked);
	if (memlock.limit == UINT64_MAX || (locked < memlock.limit && need <= memlock.limit - locked))
		return detail_set(-ENOMEM, "the kernel has no memory for this mapping; the memlock limit is not why");
	return detail_set(REFUSAL_MEMLOCK,
		"%" PRIu64 " KiB more on top of %" PRIu64 " KiB locked %swould exceed the limit of %" PRIu64
		" KiB; raise LimitMEMLOCK= of the unit to at least %" PRIu64 "K",
		need / 1024, locked / 1024, memlock.known ? "" : "by this domain alone ", memlock.limit / 1024,
		(locked + need) / 1024);
}

static int refuse_in_use(const struct vbroker_domain *domain, uint64_t first, uint64_t last)
{
	struct vbroker_range other;

	if (iova_space_used(domain->space, first, last, &other))
		return detail_set(REFUSAL_IOVA_IN_USE, "%#" PRIx64 "-%#" PRIx64 " is mapped", other.first, other.last);
	return detail_set(REFUSAL_IOVA_IN_USE,
		"somewhere in %#" PRIx64 "-%#" PRIx64
		" something is mapped, not by this library but by other means through the same domain",
		first, last);
}

/* Answers the kernel's errno for a MAP of valid form. */
static int refuse_map(struct vbroker_domain *domain, int error, const struct vfio_iommu_type1_dma_map *map)
{
	uint64_t last = map->iova + (map->size - 1);
	int r;

	switch (error) {
	case -EINVAL:
		r = learn(domain);
		return r != 0 ? r : refuse_range(domain, map->iova, last);
	case -EEXIST:
		return refuse_in_use(domain, map->iova, last);
	case -ENOMEM:
		return refuse_memlock(domain, map->size);
	case -ENOSPC:
		return detail_set(REFUSAL_QUOTA,
			"the kernel allows %d mappings in one domain (dma_entry_limit of vfio_iommu_type1); "
			"map larger pieces",
			MAPPINGS_MAX);
	case -EFAULT:
		return detail_set(-EFAULT, "not all of %#" PRIx64 "-%#" PRIx64 " is memory of this process%s",
			(uint64_t)map->vaddr, (uint64_t)(map->vaddr + map->size - 1),
			map->flags & VFIO_DMA_MAP_FLAG_WRITE ? " that it may write" : "");
	default:
		return detail_set(
			error, "mapping %" PRIu64 " bytes at IOVA %#" PRIx64, (uint64_t)map->size, (uint64_t)map->iova);
	}
}

/* ---- mapping ---- */

bool domain_access_valid(unsigned int access)
{
	const unsigned int both = VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES;

	return (access & both) && !(access & ~(both | MAP_ADDRESS_BITS)) && (access & MAP_ADDRESS_BITS) >> 8 <= 64;
}

static int check_form(const struct vbroker_domain *domain, uint64_t address, uint64_t length, uint64_t iova)
{
	uint64_t rest = domain->granule - 1;

	if (length == 0)
		return detail_set(REFUSAL_IOVA_INVALID, "the length is 0");
	if ((address | length | iova) & rest)
		return detail_set(REFUSAL_IOVA_INVALID,
			"address %#" PRIx64 ", length %#" PRIx64 " and IOVA %#" PRIx64
			" must be multiples of the page size, %" PRIu64,
			address, length, iova, domain->granule);
	if (length - 1 > UINT64_MAX - iova)
		return detail_set(
			REFUSAL_IOVA_INVALID, "IOVA %#" PRIx64 " and length %#" PRIx64 " overflow", iova, length);
	return 0;
}

/* Where a mapping goes, and for whom. */
struct place {
	struct iova_use use;
	uint64_t highest; /* the last IOVA that the devices reach */
	uint64_t *steps;  /* of the search below HIGHEST */
};

static int refuse_room(const struct vbroker_domain *domain, const struct place *place, uint64_t length)
{
	char below[48] = "";

	if (place->highest != UINT64_MAX)
		snprintf(below, sizeof below, " up to %#" PRIx64, place->highest);
	if (place->highest != UINT64_MAX && !iova_space_has_room(domain->space, length, place->highest))
		return detail_set(REFUSAL_IOVA_INVALID,
			"the usable IOVAs%s have no room for %" PRIu64 " KiB, even with nothing mapped", below,
			length / 1024);
	return detail_set(
		REFUSAL_QUOTA, "no free run of %" PRIu64 " KiB is left among the usable IOVAs%s", length / 1024, below);
}

static int take(struct vbroker_domain *domain, const struct place *place, uint64_t length, uint64_t *ret_iova)
{
	int r = place->highest == UINT64_MAX
		? iova_space_take(domain->space, length, place->use, ret_iova)
		: iova_space_take_below(domain->space, length, place->highest, place->use, place->steps, ret_iova);

	if (r == -E2BIG)
		return detail_set(REFUSAL_QUOTA,
			"too much is mapped up to IOVA %#" PRIx64 "; ask for fewer low mappings at once",
			place->highest);
	return r == -ENOSPC ? refuse_room(domain, place, length) : r;
}

/* The record comes first, so that nothing can fail once the kernel has mapped. Returns 0, a refusal, or a negative
 * errno, namely the kernel's for refuse_map(). */
static int map_anywhere(struct vbroker_domain *domain, const struct place *place, struct vfio_iommu_type1_dma_map *map)
{
	uint64_t iova;
	int r = take(domain, place, map->size, &iova);

	if (r != 0)
		return r;
	map->iova = iova;
	r = domain->kernel->map(domain->fd, map);
	if (r < 0)
		iova_space_put_back(domain->space, iova);
	return r;
}

/* A device bound by other means than vbroker_device_bind() may have narrowed the usable ranges. EINVAL is reason to
 * ask the kernel again and to try a second time. */
static int map_anywhere_twice(
	struct vbroker_domain *domain, const struct place *place, struct vfio_iommu_type1_dma_map *map)
{
	int r = map_anywhere(domain, place, map);

	if (r != -EINVAL)
		return r;
	r = learn(domain);
	return r != 0 ? r : map_anywhere(domain, place, map);
}

/* The kernel comes first, because the kernel decides: a record that contradicts the kernel is of a mapping that has
 * ended. */
static int map_at(struct vbroker_domain *domain, const struct place *place, struct vfio_iommu_type1_dma_map *map)
{
	uint64_t last = map->iova + (map->size - 1);
	int r;

	if (last > place->highest)
		return detail_set(REFUSAL_IOVA_INVALID, "the devices reach IOVAs up to %#" PRIx64 ", not %#" PRIx64,
			place->highest, last);
	r = domain->kernel->map(domain->fd, map);
	if (r < 0)
		return r;
	iova_space_evict(domain->space, map->iova, last);
	r = iova_space_take_at(domain->space, map->iova, last, place->use);
	/* Usable after all, because a device has left: the next look at the kernel will say so too. */
	if (r == -EINVAL) {
		r = learn(domain);
		if (r == 0)
			r = iova_space_take_at(domain->space, map->iova, last, place->use);
	}
	if (r != 0) {
		struct vfio_iommu_type1_dma_unmap undo = {.argsz = sizeof undo, .iova = map->iova, .size = map->size};

		domain->kernel->unmap(domain->fd, &undo);
	}
	return r;
}

/* The owner cannot reach memory of this process by address: the memory must be shared with the owner already. */
static int map_remotely(struct vbroker_domain *domain, const void *address, size_t length, unsigned int access,
	uint64_t iova, uint64_t *ret_iova)
{
	const struct vbroker_memory *memory = memory_find(&domain->memories, address, length);
	uint64_t chosen;
	int r;

	if (!memory)
		return detail_set(REFUSAL_NOT_MEMORY,
			"%p is not in memory of vbroker_memory_alloc(); "
			"through a domain channel nothing else can be mapped",
			address);
	r = remote_map(domain->remote, -1, memory->handle,
		(uint64_t)((const char *)address - (const char *)memory->address), length, access, iova, NULL, &chosen);
	if (r == 0 && ret_iova)
		*ret_iova = chosen;
	return r;
}

/* The last IOVA within the address bits of ACCESS. */
static uint64_t highest_of(unsigned int access)
{
	unsigned int bits = (access & MAP_ADDRESS_BITS) >> 8;

	return bits == 0 || bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

int domain_map_for(struct vbroker_domain *domain, struct iova_use use, void *address, uint64_t length,
	unsigned int access, uint64_t iova, uint64_t *steps, uint64_t *ret_iova)
{
	const struct place place = {use, highest_of(access), steps};
	bool any = iova == VBROKER_IOVA_ANY;
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = (access & VBROKER_DEVICE_READS ? VFIO_DMA_MAP_FLAG_READ : 0) |
			(access & VBROKER_DEVICE_WRITES ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)address,
		.size = length,
		.iova = iova,
	};
	int r;

	detail_clear();
	if (!domain_access_valid(access) || (any && !ret_iova))
		return detail_set(-EINVAL, "access %#x, or nowhere to put the chosen IOVA", access);
	if (domain->remote)
		return map_remotely(domain, address, length, access, iova, ret_iova);
	r = known(domain);
	if (r == 0)
		r = check_form(domain, map.vaddr, map.size, any ? 0 : iova);
	if (r != 0)
		return r;
	r = any ? map_anywhere_twice(domain, &place, &map) : map_at(domain, &place, &map);
	if (r < 0)
		return refuse_map(domain, r, &map);
	if (r == 0 && ret_iova)
		*ret_iova = map.iova;
	return r;
}

int vbroker_domain_map(struct vbroker_domain *domain, void *address, size_t length, unsigned int access, uint64_t iova,
	uint64_t *ret_iova)
{
	uint64_t steps = UINT64_MAX;

	return domain_map_for(domain, (struct iova_use){0}, address, length, access, iova, &steps, ret_iova);
}

/* ---- unmapping ---- */

/* The kernel said EINVAL to an UNMAP of valid form: either a mapping would be cut, or there is no device any more. */
static int refuse_unmap(struct vbroker_domain *domain, uint64_t first, uint64_t last)
{
	struct vbroker_range at_first, at_last;
	const struct vbroker_range *cut = NULL;
	int r = learn(domain);

	if (r != 0)
		return r;
	if (iova_space_used(domain->space, first, first, &at_first) && at_first.first < first)
		cut = &at_first;
	else if (iova_space_used(domain->space, last, last, &at_last) && at_last.last > last)
		cut = &at_last;
	if (!cut)
		return detail_set(
			REFUSAL_IOVA_INVALID, "%#" PRIx64 "-%#" PRIx64 " does not cover whole mappings", first, last);
	return detail_set(REFUSAL_IOVA_INVALID,
		"%#" PRIx64 "-%#" PRIx64 " would cut the mapping %#" PRIx64 "-%#" PRIx64, first, last, cut->first,
		cut->last);
}

int vbroker_domain_unmap(struct vbroker_domain *domain, uint64_t iova, size_t length)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = length};
	uint64_t last = iova + (length - 1);
	int r;

	detail_clear();
	if (domain->remote)
		return remote_unmap(domain->remote, iova, length);
	r = known(domain);
	if (r == 0)
		r = check_form(domain, 0, length, iova);
	if (r != 0)
		return r;
	r = domain->kernel->unmap(domain->fd, &unmap);
	if (r == -EINVAL)
		return refuse_unmap(domain, iova, last);
	if (r < 0)
		return detail_set(r, "unmapping %zu bytes at IOVA %#" PRIx64, length, iova);
	iova_space_release(domain->space, iova, last);
	if (unmap.size == 0)
		return detail_set(REFUSAL_IOVA_INVALID, "nothing is mapped in %#" PRIx64 "-%#" PRIx64, iova, last);
	return 0;
}

void domain_unmap_for(struct vbroker_domain *domain, const struct vbroker_range *range)
{
	if (vbroker_domain_unmap(domain, range->first, range->last - range->first + 1) != 0 && domain->space)
		iova_space_evict(domain->space, range->first, range->last);
}

int domain_owned(const struct vbroker_domain *domain, const struct iova_owner *owner, uint64_t first, uint64_t last,
	uint64_t *steps, struct vbroker_range *ret_range)
{
	return domain->space ? iova_space_owned(domain->space, owner, first, last, steps, ret_range) : -ENOENT;
}

/* ---- memory of vbroker_memory_alloc() ---- */

void vbroker_memory_free(struct vbroker_memory *memory)
{
	struct remote *remote;

	if (!memory)
		return;
	detail_clear();
	remote = domain_remote(memory->domain);
	/* A domain without devices has lost this mapping already. */
	(void)vbroker_domain_unmap(memory->domain, memory->iova, memory->length);
	if (remote)
		(void)remote_forget(remote, memory->handle);
	LIST_REMOVE(memory, in_domain);
	memory_discard(memory);
	detail_clear();
}
