/* SPDX-License-Identifier: MIT */
#ifndef LIB_DOMAIN_H
#define LIB_DOMAIN_H

#include "domain_kernel.h"
#include "iova.h"
#include "memory.h"
#include "vfio-broker.h"

#include <stdbool.h>

/* vbroker_domain_open() on another kernel, for tests. */
int domain_open_on(const struct domain_kernel *kernel, struct vbroker_domain **ret_domain);

/* True if FD is an open /dev/vfio/vfio. Asks only the kernel, never whoever may be behind a file system. */
bool domain_is_domain(int fd);

struct remote;

/* What a domain behind a channel is asked through; NULL: it is this process's own. */
struct remote *domain_remote(const struct vbroker_domain *domain);

/* Its vbroker_memory objects. */
struct memory_list *domain_memories(struct vbroker_domain *domain);

/*
 * vbroker_domain_map() and vbroker_domain_unmap() for somebody who is told when a mapping ends, by whatever means: also from within
 * these, as from within any function on the domain. What domain_unmap_for() unmaps has ended as far as USE's owner knows whatever the
 * kernel says, which refuses only what has ended already, with the domain's last device.
 */
int domain_map_for(struct vbroker_domain *domain, struct iova_use use, void *address, uint64_t length,
	unsigned int access, uint64_t iova, uint64_t *ret_iova);
void domain_unmap_for(struct vbroker_domain *domain, const struct vbroker_range *range);

/* iova_space_owned() of the domain. */
int domain_owned(const struct vbroker_domain *domain, const struct iova_owner *owner, uint64_t first, uint64_t last,
	uint64_t *steps, struct vbroker_range *ret_range);

/* Around a BIND: forgets the mappings and limits of a former life if all devices have left since; then, that a device has come, by
 * whose lease a domain channel may have so many mappings. */
void domain_before_bind(struct vbroker_domain *domain);
void domain_after_bind(struct vbroker_domain *domain, uint32_t channel_mappings);

/* How many mappings one domain channel may have, by the leases of all devices that were bound; or MAPPINGS_UNLIMITED. */
uint32_t domain_channel_mappings(const struct vbroker_domain *domain);

#endif
