/* SPDX-License-Identifier: MIT */
#ifndef LIB_MEMFD_H
#define LIB_MEMFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Memory shared between processes for DMA: memfds sealed against shrinking, because a page cut off under a mapping
 * would be a SIGBUS for the other side.
 */

/* Makes a memfd of SIZE bytes. Huge pages are used if some are free, and the memfd then has a little more (*RET_SIZE),
 * but not more than HUGE_MAX; a HUGE_MAX of 0 asks for ordinary pages. Returns the descriptor, the caller's, or a
 * negative errno. */
int memfd_make(uint64_t size, uint64_t huge_max, uint64_t *ret_size);

/* True if FD is a memfd sealed against shrinking: no other file of tmpfs or hugetlbfs can have the seal, and no mount
 * ends with a memfd. Asks only the kernel, never a file system that could stall the answer. */
bool memfd_check(int fd);

/*
 * Maps the whole memfd, shared, and writable if the seals allow writing. FD stays the caller's. Returns 0, NOT_MEMORY
 * with a detail (not a memfd, not sealed, empty), QUOTA (more than SIZE_MAX bytes: a sparse memfd costs the sender
 * nothing), or a negative errno.
 */
int memfd_map(int fd, uint64_t size_max, void **ret_address, uint64_t *ret_size, bool *ret_writable);

#endif
