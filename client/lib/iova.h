/* SPDX-License-Identifier: MIT */
#ifndef LIB_IOVA_H
#define LIB_IOVA_H

#include "vfio-broker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The IOVAs of one domain: which are in use, which are free, and which one to hand out next. Pure bookkeeping in
 * memory; no operation depends on how long a range is, and each costs O(log n) of the number of ranges.
 *
 * All ranges are given by first and last IOVA, both included: a range may end at UINT64_MAX. Their bounds are multiples
 * of the granule (the last one: of it less one), which the caller sees to.
 */
struct iova_space;

/* Who wants to know when a range of its own is not in use any more, for what reason ever. */
struct iova_owner {
	/* LENGTH bytes, taken with TAG. Called from within functions on the space; must not call one itself. */
	void (*ended)(struct iova_owner *owner, uint32_t tag, uint64_t length);
};

/* What a range is taken for. */
struct iova_use {
	struct iova_owner *owner; /* NULL: nobody wants to know */
	uint32_t tag;		  /* the owner's own business */
};

/*
 * Makes a space of COUNT usable ranges, ascending, disjoint and not adjacent (the kernel makes them by cutting reserved
 * ones out). What FORMER, which may be NULL and stays the caller's, has in use is in use here too, as far as it is
 * usable still; the owners of the rest are told. Returns 0 or -ENOMEM.
 */
int iova_space_new(const struct vbroker_range *ranges, size_t count, uint64_t granule, const struct iova_space *former,
	struct iova_space **ret_space);
/* Tells no owner. */
void iova_space_free(struct iova_space *space);

/*
 * Takes LENGTH bytes, a multiple of the granule, wherever they fit best: in the smallest free run that has them, at
 * its low end. So IOVAs stay low, where old devices can reach them, and large runs stay whole. Never 0, which too many drivers
 * take for "no address". Returns 0, -ENOSPC or -ENOMEM.
 */
int iova_space_take(struct iova_space *space, uint64_t length, struct iova_use use, uint64_t *ret_first);

/* Undoes that, and tells nobody. */
void iova_space_put_back(struct iova_space *space, uint64_t first);

/* Takes the given range. Returns 0, -EEXIST (some of it is in use), -EINVAL (not usable) or -ENOMEM. */
int iova_space_take_at(struct iova_space *space, uint64_t first, uint64_t last, struct iova_use use);

/* Frees all ranges in use that lie in FIRST ... LAST as a whole; those that stick out stay. Never fails. */
void iova_space_release(struct iova_space *space, uint64_t first, uint64_t last);

/* Frees all ranges in use that have an IOVA in FIRST ... LAST. Never fails. */
void iova_space_evict(struct iova_space *space, uint64_t first, uint64_t last);

/* The lowest range in use that has an IOVA in FIRST ... LAST. False if there is none. */
bool iova_space_used(const struct iova_space *space, uint64_t first, uint64_t last, struct vbroker_range *ret_range);

/*
 * The lowest range of OWNER's with an IOVA in FIRST ... LAST. Returns 0, -ENOENT (none), or -E2BIG: it would have to look at more
 * than *STEPS ranges, of which it takes off what it looked at.
 */
int iova_space_owned(const struct iova_space *space, const struct iova_owner *owner, uint64_t first, uint64_t last,
	uint64_t *steps, struct vbroker_range *ret_range);

/* True if FIRST ... LAST lies in one usable range. */
bool iova_space_usable(const struct iova_space *space, uint64_t first, uint64_t last);

/* How many ranges are in use, and how many bytes they have. */
void iova_space_sum(const struct iova_space *space, size_t *ret_count, uint64_t *ret_bytes);

#endif
