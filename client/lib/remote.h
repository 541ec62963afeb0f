/* SPDX-License-Identifier: MIT */
#ifndef LIB_REMOTE_H
#define LIB_REMOTE_H

#include "vfio-broker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The asking end of a domain channel: the inside of a struct vbroker_domain when another process owns the IOMMU
 * domain. The functions of the same names in domain.c and alloc.c hand over to the functions below.
 */
struct remote;

/* FD is a domain channel; taken on success. NOT_A_DOMAIN if FD is anything else. */
int remote_open(int fd, struct remote **ret_remote);
void remote_close(struct remote *remote);
int remote_fd(const struct remote *remote);

int remote_ranges(
	struct remote *remote, struct vbroker_range **ret_ranges, size_t *ret_count, uint64_t *ret_page_sizes);

/* Maps part of some memory: of memory passed before (HANDLE, with FD -1), or of the memfd FD, passed with this
 * request. FD stays the caller's. *RET_HANDLE may be NULL. */
int remote_map(struct remote *remote, int fd, uint32_t handle, uint64_t offset, uint64_t length, unsigned int access,
	uint64_t iova, uint32_t *ret_handle, uint64_t *ret_iova);
int remote_unmap(struct remote *remote, uint64_t iova, uint64_t length);
int remote_forget(struct remote *remote, uint32_t handle);

/* New memory, made and mapped by the owner; *RET_FD is the caller's. */
int remote_alloc(struct remote *remote, uint64_t length, unsigned int access, bool huge, int *ret_fd,
	uint32_t *ret_handle, uint64_t *ret_iova);

#endif
