/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_ISOLATION_H
#define FUZZ_ISOLATION_H

struct broker;

/*
 * The kernel cannot reset one device of the world. What its user has left in the device, running DMA included, must
 * reach nobody else: no other user gets this device or another of its IOMMU group, unless the device has left the
 * machine meanwhile or an administrator has released it. That holds whatever happens to the broker and to keepers.
 */

/* Before each input: the device I of memory_host, in the group GROUP_FD (keepers_group()), is that one, and new. */
void isolation_begin(unsigned int i, int group_fd);

/* After each step. */
void isolation_check(const struct broker *broker);

#endif
