/* SPDX-License-Identifier: MIT */
#include "iova.h"

#include <assert.h>
#include <bsd/sys/tree.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Extents, used and free, tile the usable ranges without gaps; two free ones are never neighbours within a range. All
 * extents are in a tree by address. The free extents are in a second tree too, by size: one extent of each size is in
 * the tree and leads a list of all others of equal size. Programs map few different sizes, so the tree by size stays
 * small even when a million pages are free one by one, and taking a page touches little memory.
 */
struct extent {
	/* A walk by address reads one cache line. */
	alignas(64) RB_ENTRY(extent) by_address;
	uint64_t first;
	uint64_t last;
	bool used;
	bool leads;	     /* free extents only: is in the tree by size */
	struct iova_use use; /* used extents only */
	/* free extents only: */
	uint64_t span; /* the size that can be handed out, less one; the key of the tree by size */
	RB_ENTRY(extent) by_size;
	struct extent *peer_before; /* other extents of this size; NULL before the leader */
	struct extent *peer_after;
};

/*
 * Extents are allocated many at a time, each time twice as many, and are freed with the space; an extent no longer
 * needed becomes a spare. From HUGE_PAGE on, slabs lie in huge pages, if the kernel has some: a walk down a tree of a
 * million extents is a TLB miss on each level.
 */
struct slab {
	struct slab *next;
	struct extent extents[];
};

#define SLAB_FIRST 4096
#define HUGE_PAGE  ((size_t)2 << 20)

RB_HEAD(address_tree, extent);
RB_HEAD(size_tree, extent);

struct iova_space {
	struct address_tree by_address;
	struct size_tree by_size;
	struct slab *slabs;   /* owned */
	size_t slab_size;     /* of the next slab */
	struct extent *spare; /* at least as many as the operation under way still needs; a list by peer_after */
	uint64_t free_from;   /* no free extent begins below */
	uint64_t granule;
	size_t used_count;
	uint64_t used_bytes;
	size_t ranges_count;
	struct vbroker_range ranges[];
};

static int compare_address(const struct extent *a, const struct extent *b)
{
	return (a->first > b->first) - (a->first < b->first);
}

static int compare_size(const struct extent *a, const struct extent *b)
{
	return (a->span > b->span) - (a->span < b->span);
}

/* RB_GENERATE_STATIC of libbsd needs a macro __unused, missing in glibc. */
#define TREE static __attribute__((unused))
RB_GENERATE_INTERNAL(address_tree, extent, by_address, compare_address, TREE)
RB_GENERATE_INTERNAL(size_tree, extent, by_size, compare_size, TREE)

/* ---- extents in memory ---- */

static void spare_add(struct iova_space *space, struct extent *extent)
{
	extent->peer_after = space->spare;
	space->spare = extent;
}

/* Makes sure of COUNT spare extents, so that the steps after this call cannot fail half way. */
static int spare_reserve(struct iova_space *space, unsigned int count)
{
	const struct extent *extent = space->spare;
	struct slab *slab;

	while (count > 0 && extent) {
		extent = extent->peer_after;
		count--;
	}
	if (count == 0)
		return 0;
	slab = aligned_alloc(space->slab_size, space->slab_size);
	if (!slab)
		return -ENOMEM;
	if (space->slab_size == HUGE_PAGE)
		madvise(slab, space->slab_size, MADV_HUGEPAGE);
	slab->next = space->slabs;
	space->slabs = slab;
	for (size_t i = (space->slab_size - sizeof *slab) / sizeof slab->extents[0]; i > 0; i--)
		spare_add(space, &slab->extents[i - 1]);
	if (space->slab_size < HUGE_PAGE)
		space->slab_size *= 2;
	return 0;
}

static struct extent *spare_take(struct iova_space *space, uint64_t first, uint64_t last)
{
	struct extent *extent = space->spare;

	assert(extent);
	space->spare = extent->peer_after;
	extent->first = first;
	extent->last = last;
	extent->used = false;
	return extent;
}

/* ---- the tree by size ---- */

/* IOVA 0 is never handed out, so the first granule does not count. */
static uint64_t offered_first(const struct iova_space *space, const struct extent *extent)
{
	return extent->first == 0 ? space->granule : extent->first;
}

static void size_insert(struct iova_space *space, struct extent *extent)
{
	uint64_t first = offered_first(space, extent);
	struct extent *leader;

	extent->leads = false;
	extent->peer_before = NULL;
	extent->peer_after = NULL;
	if (extent->last < first)
		return;
	extent->span = extent->last - first;
	leader = RB_INSERT(size_tree, &space->by_size, extent);
	if (!leader) {
		extent->leads = true;
		return;
	}
	extent->peer_before = leader;
	extent->peer_after = leader->peer_after;
	if (leader->peer_after)
		leader->peer_after->peer_before = extent;
	leader->peer_after = extent;
}

static void size_remove(struct iova_space *space, struct extent *extent)
{
	struct extent *heir = extent->peer_after;

	if (extent->peer_before)
		extent->peer_before->peer_after = heir;
	if (heir)
		heir->peer_before = extent->peer_before;
	if (!extent->leads)
		return;
	RB_REMOVE(size_tree, &space->by_size, extent);
	extent->leads = false;
	if (heir) {
		RB_INSERT(size_tree, &space->by_size, heir);
		heir->leads = true;
	}
}

/* EXTENT has become smaller than its key in the tree by size. The place in the tree stays if still right, as mostly
 * for a large extent; else the extent is inserted anew. */
static void size_shrunk(struct iova_space *space, struct extent *extent)
{
	uint64_t span = extent->last - offered_first(space, extent);
	const struct extent *below;

	if (extent->leads && !extent->peer_after) {
		below = RB_PREV(size_tree, &space->by_size, extent);
		if (!below || below->span < span) {
			extent->span = span;
			return;
		}
	}
	size_remove(space, extent);
	size_insert(space, extent);
}

/* ---- the tree by address ---- */

/* The extent that contains ADDRESS, else the next extent above, else NULL. */
static struct extent *extent_from(const struct iova_space *space, uint64_t address)
{
	struct extent *extent = RB_ROOT(&space->by_address);
	struct extent *found = NULL;

	while (extent) {
		if (extent->last < address) {
			extent = RB_RIGHT(extent, by_address);
		} else {
			found = extent;
			if (extent->first <= address)
				break;
			extent = RB_LEFT(extent, by_address);
		}
	}
	return found;
}

/* Links PART in as a child of PARENT, at AT: the neighbour's place is known, so no search is needed. */
static void insert_at(struct iova_space *space, struct extent *part, struct extent *parent, struct extent **at)
{
	*at = part;
	RB_SET(part, parent, by_address);
	address_tree_RB_INSERT_COLOR(&space->by_address, part);
}

static void insert_before(struct iova_space *space, struct extent *part, struct extent *neighbour)
{
	struct extent *parent = RB_LEFT(neighbour, by_address);

	if (!parent) {
		insert_at(space, part, neighbour, &RB_LEFT(neighbour, by_address));
		return;
	}
	while (RB_RIGHT(parent, by_address))
		parent = RB_RIGHT(parent, by_address);
	insert_at(space, part, parent, &RB_RIGHT(parent, by_address));
}

/* Makes FIRST ... LAST, a part of the free EXTENT, a used extent. Needs two spares. */
static void carve(struct iova_space *space, struct extent *extent, uint64_t first, uint64_t last, struct iova_use use)
{
	struct extent *low = NULL, *used = extent;

	if (first > extent->first) {
		low = spare_take(space, extent->first, first - 1);
		insert_before(space, low, extent);
	}
	if (last < extent->last) {
		used = spare_take(space, first, last);
		insert_before(space, used, extent);
		extent->first = last + 1;
		size_shrunk(space, extent);
	} else {
		size_remove(space, extent);
		extent->first = first;
	}
	if (low)
		size_insert(space, low);
	used->used = true;
	used->use = use;
	space->used_count++;
	space->used_bytes += last - first + 1;
}

static bool joins(const struct extent *low, const struct extent *high)
{
	return low && high && !low->used && !high->used && low->last + 1 == high->first;
}

/* Adds the free extent HIGH to LOW, the neighbour, which is in no size list at the moment. */
static void absorb(struct iova_space *space, struct extent *low, struct extent *high)
{
	RB_REMOVE(address_tree, &space->by_address, high);
	low->last = high->last;
	spare_add(space, high);
}

/* Makes a used extent free, and tells the owner. Returns the free extent around the range. */
static struct extent *set_free(struct iova_space *space, struct extent *extent)
{
	struct extent *low = RB_PREV(address_tree, &space->by_address, extent);
	struct extent *high = RB_NEXT(address_tree, &space->by_address, extent);
	const struct iova_use use = extent->use;
	const uint64_t length = extent->last - extent->first + 1;

	extent->used = false;
	if (extent->first < space->free_from)
		space->free_from = extent->first;
	space->used_count--;
	space->used_bytes -= length;
	if (joins(extent, high)) {
		size_remove(space, high);
		absorb(space, extent, high);
	}
	if (joins(low, extent)) {
		size_remove(space, low);
		absorb(space, low, extent);
		extent = low;
	}
	size_insert(space, extent);
	if (use.owner)
		use.owner->ended(use.owner, use.tag, length);
	return extent;
}

/* ---- spaces ---- */

static struct iova_space *space_alloc(const struct vbroker_range *ranges, size_t count, uint64_t granule)
{
	struct iova_space *space = calloc(1, sizeof *space + count * sizeof *ranges);

	if (!space)
		return NULL;
	RB_INIT(&space->by_address);
	RB_INIT(&space->by_size);
	space->granule = granule;
	space->slab_size = SLAB_FIRST;
	space->ranges_count = count;
	memcpy(space->ranges, ranges, count * sizeof *ranges);
	return space;
}

static int inherit(struct iova_space *space, const struct iova_space *former)
{
	struct extent *extent;

	RB_FOREACH(extent, address_tree, (struct address_tree *)&former->by_address) {
		/* -EINVAL: not usable any more. The kernel lets no device in while the range is mapped, so the mapping
		 * has ended. */
		if (extent->used && iova_space_take_at(space, extent->first, extent->last, extent->use) == -ENOMEM)
			return -ENOMEM;
	}
	RB_FOREACH(extent, address_tree, (struct address_tree *)&former->by_address) {
		if (extent->used && extent->use.owner && !iova_space_usable(space, extent->first, extent->last))
			extent->use.owner->ended(extent->use.owner, extent->use.tag, extent->last - extent->first + 1);
	}
	return 0;
}

int iova_space_new(const struct vbroker_range *ranges, size_t count, uint64_t granule, const struct iova_space *former,
	struct iova_space **ret_space)
{
	struct iova_space *space = space_alloc(ranges, count, granule);
	int r = 0;

	if (!space)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct extent *extent;

		r = spare_reserve(space, 1);
		if (r < 0)
			break;
		extent = spare_take(space, ranges[i].first, ranges[i].last);
		RB_INSERT(address_tree, &space->by_address, extent);
		size_insert(space, extent);
	}
	if (r == 0 && former)
		r = inherit(space, former);
	if (r < 0) {
		iova_space_free(space);
		return r;
	}
	*ret_space = space;
	return 0;
}

void iova_space_free(struct iova_space *space)
{
	struct slab *slab;

	if (!space)
		return;
	while ((slab = space->slabs)) {
		space->slabs = slab->next;
		free(slab);
	}
	free(space);
}

int iova_space_take(struct iova_space *space, uint64_t length, struct iova_use use, uint64_t *ret_first)
{
	struct extent key = {.span = length - 1};
	struct extent *extent = RB_NFIND(size_tree, &space->by_size, &key);
	uint64_t first;
	int r;

	if (!extent)
		return -ENOSPC;
	/* An extent behind the leader can go without a change of the tree. */
	if (extent->peer_after)
		extent = extent->peer_after;
	r = spare_reserve(space, 2);
	if (r < 0)
		return r;
	first = offered_first(space, extent);
	carve(space, extent, first, first + length - 1, use);
	*ret_first = first;
	return 0;
}

/* True if LENGTH bytes from FIRST on end at or below both LAST and HIGHEST. */
static bool ends_below(uint64_t first, uint64_t length, uint64_t last, uint64_t highest)
{
	if (last > highest)
		last = highest;
	return first <= last && length - 1 <= last - first;
}

int iova_space_take_below(struct iova_space *space, uint64_t length, uint64_t highest, struct iova_use use,
	uint64_t *steps, uint64_t *ret_first)
{
	struct extent *extent = extent_from(space, space->free_from);
	bool is_lowest = true;
	uint64_t first = 0;
	int r;

	for (; extent && extent->first <= highest; extent = RB_NEXT(address_tree, &space->by_address, extent)) {
		if (*steps == 0)
			return -E2BIG;
		--*steps;
		if (extent->used)
			continue;
		if (is_lowest)
			space->free_from = extent->first;
		is_lowest = false;
		first = offered_first(space, extent);
		if (ends_below(first, length, extent->last, highest))
			break;
	}
	if (!extent || extent->first > highest)
		return -ENOSPC;
	r = spare_reserve(space, 2);
	if (r < 0)
		return r;
	carve(space, extent, first, first + length - 1, use);
	*ret_first = first;
	return 0;
}

void iova_space_put_back(struct iova_space *space, uint64_t first)
{
	struct extent *extent = extent_from(space, first);

	assert(extent && extent->used && extent->first == first);
	extent->use.owner = NULL;
	set_free(space, extent);
}

int iova_space_take_at(struct iova_space *space, uint64_t first, uint64_t last, struct iova_use use)
{
	struct extent *extent;
	struct vbroker_range range;
	int r;

	if (!iova_space_usable(space, first, last))
		return -EINVAL;
	if (iova_space_used(space, first, last, &range))
		return -EEXIST;
	r = spare_reserve(space, 2);
	if (r < 0)
		return r;
	/* The range is usable and nothing in it is in use, so one free extent contains the whole range. */
	extent = extent_from(space, first);
	assert(extent && !extent->used && extent->first <= first && extent->last >= last);
	carve(space, extent, first, last, use);
	return 0;
}

static void release(struct iova_space *space, uint64_t first, uint64_t last, bool whole_only)
{
	struct extent *extent = extent_from(space, first);

	while (extent && extent->first <= last) {
		bool whole = extent->first >= first && extent->last <= last;

		if (extent->used && (whole || !whole_only))
			extent = set_free(space, extent);
		extent = RB_NEXT(address_tree, &space->by_address, extent);
	}
}

void iova_space_release(struct iova_space *space, uint64_t first, uint64_t last)
{
	release(space, first, last, true);
}

void iova_space_evict(struct iova_space *space, uint64_t first, uint64_t last)
{
	release(space, first, last, false);
}

bool iova_space_used(const struct iova_space *space, uint64_t first, uint64_t last, struct vbroker_range *ret_range)
{
	struct extent *extent = extent_from(space, first);

	while (extent && !extent->used)
		extent = RB_NEXT(address_tree, &space->by_address, extent);
	if (!extent || extent->first > last)
		return false;
	*ret_range = (struct vbroker_range){extent->first, extent->last};
	return true;
}

int iova_space_owned(const struct iova_space *space, const struct iova_owner *owner, uint64_t first, uint64_t last,
	uint64_t *steps, struct vbroker_range *ret_range)
{
	struct extent *extent = extent_from(space, first);

	for (; extent && extent->first <= last; extent = RB_NEXT(address_tree, &space->by_address, extent)) {
		if (*steps == 0)
			return -E2BIG;
		--*steps;
		if (extent->used && extent->use.owner == owner) {
			*ret_range = (struct vbroker_range){extent->first, extent->last};
			return 0;
		}
	}
	return -ENOENT;
}

bool iova_space_has_room(const struct iova_space *space, uint64_t length, uint64_t highest)
{
	for (size_t i = 0; i < space->ranges_count; i++) {
		const struct vbroker_range *range = &space->ranges[i];

		if (ends_below(range->first ? range->first : space->granule, length, range->last, highest))
			return true;
	}
	return false;
}

bool iova_space_usable(const struct iova_space *space, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < space->ranges_count; i++) {
		if (space->ranges[i].first <= first && last <= space->ranges[i].last)
			return first <= last;
	}
	return false;
}

void iova_space_sum(const struct iova_space *space, size_t *ret_count, uint64_t *ret_bytes)
{
	*ret_count = space->used_count;
	*ret_bytes = space->used_bytes;
}
