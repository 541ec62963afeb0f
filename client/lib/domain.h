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

/* False: ACCESS of vbroker_domain_map() has no access, too many address bits or unknown bits. */
bool domain_access_valid(unsigned int access);

struct remote;

/* The channel to the domain's owner; NULL: this process owns the domain itself. */
struct remote *domain_remote(const struct vbroker_domain *domain);

/* The vbroker_memory objects of the domain. */
struct memory_list *domain_memories(struct vbroker_domain *domain);

/*
 * vbroker_domain_map() and vbroker_domain_unmap() for a caller that wants to know when a mapping ends. USE's owner is
 * told of every end, also from within these two functions and any other function on the domain.
 *
 * A mapping with address bits in ACCESS looks at no more than *STEPS ranges, subtracts their number, and is QUOTA else.
 *
 * domain_unmap_for() never fails: the kernel refuses an unmap only when the mapping went away with the last device,
 * and the owner has been told then.
 */
int domain_map_for(struct vbroker_domain *domain, struct iova_use use, void *address, uint64_t length,
	unsigned int access, uint64_t iova, uint64_t *steps, uint64_t *ret_iova);
void domain_unmap_for(struct vbroker_domain *domain, const struct vbroker_range *range);

/* iova_space_owned() of the domain. */
int domain_owned(const struct vbroker_domain *domain, const struct iova_owner *owner, uint64_t first, uint64_t last,
	uint64_t *steps, struct vbroker_range *ret_range);

/* To be called before and after a BIND. domain_before_bind() forgets the mappings and limits of earlier devices if all
 * have left since. domain_after_bind() notes that a device has come, and that the device's lease allows a domain
 * channel so many mappings. */
void domain_before_bind(struct vbroker_domain *domain);
void domain_after_bind(struct vbroker_domain *domain, uint32_t channel_mappings);

/* How many mappings one domain channel may have, by the leases of all devices bound so far; or MAPPINGS_UNLIMITED. */
uint32_t domain_channel_mappings(const struct vbroker_domain *domain);

#endif
