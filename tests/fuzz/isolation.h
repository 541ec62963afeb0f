/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_ISOLATION_H
#define FUZZ_ISOLATION_H

struct broker;

/*
 * One device of the world can be reset by nobody. What its user has left in it, DMA that goes on among that, is for nobody else: another
 * user has neither this device nor another of its IOMMU group opened, unless it has left the machine meanwhile or an
 * administrator has said that it is fit. Whatever happens to broker and keepers.
 */

/* Before each input: the device I of memory_host, in the group GROUP_FD (keepers_group()), is that one, and new. */
void isolation_begin(unsigned int i, int group_fd);

/* After each step. */
void isolation_check(const struct broker *broker);

#endif
