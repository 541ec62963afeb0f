/* SPDX-License-Identifier: MIT */
#ifndef LIB_IOVA_H
#define LIB_IOVA_H

#include "vfio-broker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The IOVAs of one domain: the ranges in use, the free ranges, and the next range to hand out. Pure bookkeeping in
 * memory; no operation depends on the length of a range, and each costs O(log n) of the number of ranges.
 *
 * All ranges are given by first and last IOVA, both included: a range may end at UINT64_MAX. The caller sees to the
 * bounds: the first IOVA is a multiple of the granule, and the last is a multiple less one.
 */
struct iova_space;

/* Is told when a range taken in the owner's name is no longer in use, for whatever reason. */
struct iova_owner {
	/* LENGTH bytes, taken with TAG. Called from within functions on the space; must not call such a function
	 * itself. */
	void (*ended)(struct iova_owner *owner, uint32_t tag, uint64_t length);
};

/* The purpose of a range. */
struct iova_use {
	struct iova_owner *owner; /* NULL: nobody wants to know */
	uint32_t tag;		  /* the owner's own business */
};

/*
 * Makes a space of COUNT usable ranges, ascending, disjoint and not adjacent (the kernel makes such ranges by cutting
 * out the reserved ones). FORMER may be NULL and stays the caller's. Every range in use in FORMER is in use here too,
 * if still usable; the owners of all others are told. Returns 0 or -ENOMEM.
 */
int iova_space_new(const struct vbroker_range *ranges, size_t count, uint64_t granule, const struct iova_space *former,
	struct iova_space **ret_space);
/* Tells no owner. */
void iova_space_free(struct iova_space *space);

/*
 * Takes LENGTH bytes, a multiple of the granule, by best fit: from the low end of the smallest free run with enough
 * room. So IOVAs stay low, within the reach of old devices, and large runs stay whole. Never 0: too many drivers take
 * 0 for "no address". Returns 0, -ENOSPC or -ENOMEM.
 */
int iova_space_take(struct iova_space *space, uint64_t length, struct iova_use use, uint64_t *ret_first);

/*
 * The same at or below the IOVA HIGHEST, by first fit. A search from free run to free run, so O(n) if all free runs
 * below are too small. Subtracts the number of ranges looked at from *STEPS. -E2BIG: the search would need more.
 */
int iova_space_take_below(struct iova_space *space, uint64_t length, uint64_t highest, struct iova_use use,
	uint64_t *steps, uint64_t *ret_first);

/* Undoes iova_space_take() and iova_space_take_below(), and tells nobody. */
void iova_space_put_back(struct iova_space *space, uint64_t first);

/* Takes the given range. Returns 0, -EEXIST (part of the range is in use), -EINVAL (not usable) or -ENOMEM. */
int iova_space_take_at(struct iova_space *space, uint64_t first, uint64_t last, struct iova_use use);

/* Frees all ranges in use that lie wholly in FIRST ... LAST; ranges that stick out stay. Never fails. */
void iova_space_release(struct iova_space *space, uint64_t first, uint64_t last);

/* Frees all ranges in use with an IOVA in FIRST ... LAST. Never fails. */
void iova_space_evict(struct iova_space *space, uint64_t first, uint64_t last);

/* The lowest range in use with an IOVA in FIRST ... LAST. False if there is none. */
bool iova_space_used(const struct iova_space *space, uint64_t first, uint64_t last, struct vbroker_range *ret_range);

/*
 * The lowest range of OWNER with an IOVA in FIRST ... LAST. Subtracts the number of ranges looked at from *STEPS.
 * Returns 0, -ENOENT (none), or -E2BIG (the search would need more than *STEPS ranges).
 */
int iova_space_owned(const struct iova_space *space, const struct iova_owner *owner, uint64_t first, uint64_t last,
	uint64_t *steps, struct vbroker_range *ret_range);

/* True if LENGTH bytes could be taken at or below HIGHEST, were nothing in use. */
bool iova_space_has_room(const struct iova_space *space, uint64_t length, uint64_t highest);

/* True if a single usable range contains FIRST ... LAST. */
bool iova_space_usable(const struct iova_space *space, uint64_t first, uint64_t last);

/* How many ranges are in use, and how many bytes they have. */
void iova_space_sum(const struct iova_space *space, size_t *ret_count, uint64_t *ret_bytes);

#endif
