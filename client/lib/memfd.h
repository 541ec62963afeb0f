/* SPDX-License-Identifier: MIT */
#ifndef LIB_MEMFD_H
#define LIB_MEMFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Memory that processes share for DMA: memfds sealed against shrinking, because a page that is cut off under a mapping would be a
 * SIGBUS for the other side.
 */

/* Makes one of SIZE bytes, or of huge pages if there are some: a little more then (*RET_SIZE), but not more than HUGE_MAX, which is 0 for
 * ordinary pages. Returns the descriptor, the caller's, or a negative errno. */
int memfd_make(uint64_t size, uint64_t huge_max, uint64_t *ret_size);

/* True if FD is a memfd at all: asks only the kernel, never a file system that could stall the answer. */
bool memfd_check(int fd);

/*
 * Maps all of it, shared, for writing too if its seals allow that. FD stays the caller's. Returns 0, NOT_MEMORY with a detail (not
 * a memfd, not sealed, empty), QUOTA (more than SIZE_MAX bytes: a sparse one costs whoever made it nothing), or a negative errno.
 */
int memfd_map(int fd, uint64_t size_max, void **ret_address, uint64_t *ret_size, bool *ret_writable);

#endif
