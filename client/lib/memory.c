/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const struct vbroker_memory *memory_find(const struct memory_list *list, const void *address, uint64_t length)
{
	const struct vbroker_memory *memory;
	const char *first = address;

	LIST_FOREACH(memory, list, in_domain) {
		const char *start = memory->address;

		if (first >= start && (uint64_t)(first - start) <= memory->length &&
			memory->length - (uint64_t)(first - start) >= length)
			return memory;
	}
	return NULL;
}

void memory_discard(struct vbroker_memory *memory)
{
	if (memory->address)
		munmap(memory->address, memory->length);
	if (memory->fd >= 0)
		close(memory->fd);
	free(memory);
}

void *vbroker_memory_address(const struct vbroker_memory *memory)
{
	return memory->address;
}

uint64_t vbroker_memory_iova(const struct vbroker_memory *memory)
{
	return memory->iova;
}

uint64_t vbroker_memory_length(const struct vbroker_memory *memory)
{
	return memory->length;
}

int vbroker_memory_fd(const struct vbroker_memory *memory)
{
	return memory->fd;
}
