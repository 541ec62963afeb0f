/* SPDX-License-Identifier: MIT */
#ifndef LIB_MEMORY_H
#define LIB_MEMORY_H

#include "vfio-broker.h"

#include <stdint.h>
#include <sys/queue.h>

/* Memory that this process and the devices of a domain reach, in the list of its domain. */
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

/* The memory that has LENGTH bytes at ADDRESS, or NULL. */
const struct vbroker_memory *memory_find(const struct memory_list *list, const void *address, uint64_t length);

/* Unmaps it here, closes its descriptor and frees it. It is in no list; the domain does not have it mapped. */
void memory_discard(struct vbroker_memory *memory);

#endif
