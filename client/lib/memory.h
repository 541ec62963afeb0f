/* SPDX-License-Identifier: MIT */
#ifndef LIB_MEMORY_H
#define LIB_MEMORY_H

#include "vfio-broker.h"

#include <stdint.h>
#include <sys/queue.h>

/* Memory shared by this process and the devices of a domain, in the list of the domain. */
struct vbroker_memory {
	LIST_ENTRY(vbroker_memory) in_domain;
	struct vbroker_domain *domain; /* borrowed */
	int fd;			       /* owned */
	void *address;		       /* owned mapping */
	uint64_t length;
	uint64_t iova;
	uint32_t handle; /* where the domain is behind a channel */
};

LIST_HEAD(memory_list, vbroker_memory);

/* The memory with LENGTH bytes at ADDRESS, or NULL. */
const struct vbroker_memory *memory_find(const struct memory_list *list, const void *address, uint64_t length);

/* Unmaps MEMORY from this process, closes the descriptor and frees the object. MEMORY is in no list, and not mapped in
 * the domain. */
void memory_discard(struct vbroker_memory *memory);

#endif
