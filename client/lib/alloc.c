/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "domain.h"
#include "memfd.h"
#include "memory.h"
#include "remote.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Memory of this process, mapped by this process. */
static int alloc_here(struct vbroker_memory *memory, uint64_t length, unsigned int access, bool huge)
{
	bool writable;
	int r = memfd_make(length, huge ? UINT64_MAX : 0, &memory->length);

	if (r < 0)
		return detail_set(r, "making a memfd of %llu bytes", (unsigned long long)length);
	memory->fd = r;
	r = memfd_map(memory->fd, UINT64_MAX, &memory->address, &memory->length, &writable);
	if (r == 0)
		r = vbroker_domain_map(
			memory->domain, memory->address, memory->length, access, VBROKER_IOVA_ANY, &memory->iova);
	return r;
}

/* Memory of the owner's, mapped by the owner. */
static int alloc_there(
	struct vbroker_memory *memory, struct remote *remote, uint64_t length, unsigned int access, bool huge)
{
	bool writable;
	int r = remote_alloc(remote, length, access, huge, &memory->fd, &memory->handle, &memory->iova);

	if (r != 0)
		return r;
	r = memfd_map(memory->fd, UINT64_MAX, &memory->address, &memory->length, &writable);
	if (r == 0 && (memory->length < length || !writable))
		r = detail_set(-EPROTO, "the domain's owner sent other memory than it was asked for");
	if (r != 0) {
		struct detail why = *detail_get();

		(void)remote_unmap(remote, memory->iova, memory->address ? memory->length : length);
		(void)remote_forget(remote, memory->handle);
		*detail_clear() = why;
	}
	return r;
}

int vbroker_memory_alloc(struct vbroker_domain *domain, uint64_t length, unsigned int access, unsigned int flags,
	struct vbroker_memory **ret_memory)
{
	struct remote *remote = domain_remote(domain);
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	bool huge = flags & VBROKER_MEMORY_HUGE;
	struct vbroker_memory *memory;
	int r;

	detail_clear();
	if (length == 0 || length > INT64_MAX - page || (flags & ~VBROKER_MEMORY_HUGE) || !domain_access_valid(access))
		return detail_set(-EINVAL, "memory of %llu bytes, access %#x, flags %#x", (unsigned long long)length,
			access, flags);
	memory = calloc(1, sizeof *memory);
	if (!memory)
		return -ENOMEM;
	memory->domain = domain;
	memory->fd = -1;
	length = (length + page - 1) / page * page;
	r = remote ? alloc_there(memory, remote, length, access, huge) : alloc_here(memory, length, access, huge);
	if (r != 0) {
		memory_discard(memory);
		return r;
	}
	LIST_INSERT_HEAD(domain_memories(domain), memory, in_domain);
	*ret_memory = memory;
	return 0;
}
